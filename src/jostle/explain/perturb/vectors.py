"""Features of observations that are no pictures: taken away one by one, or exchanged between steps."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from jostle.envs.names import KNOWN
from jostle.errors import ConfigError, closest
from jostle.explain.asking import Subject, Target, ask
from jostle.explain.perturb.maps import drop, half_square
from jostle.explain.results.importance import Importance

ROWS = 4096
"""Perturbed observations that go through the network at a time."""


def feature_ablation(
    policy: Any,
    steps: Any,
    target: str | Target | None = None,
    *,
    fill: float | Literal["mean"] | Any = "mean",
    names: Sequence[str] | None = None,
    score: Literal["drop", "square"] = "drop",
    key: str | None = None,
) -> Importance:
    """y(x) − y(x′), where one feature has another value.

    Args:
        policy, steps, target, key: see `jostle.explain.ask`.
        fill: what a feature becomes: the ``mean`` over the steps, a number, or one for each feature.
        names: of the features; None: see `feature_names`.
        score: ``drop``, or ``square``: ½ ‖y(x) − y(x′)‖².

    Raises:
        ConfigError: names or numbers that are not one for each feature.
    """
    subject = ask(policy, steps, target, key=key)
    flat = subject.x.flatten(1)
    if isinstance(fill, str):
        if fill != "mean":
            raise ConfigError(f"fill='{fill}' is unknown; {closest(fill, ['mean'])}")
        values = flat.mean(0)
    else:
        given = torch.as_tensor(np.asarray(fill, np.float32))
        if given.ndim and given.numel() != flat.shape[1]:
            raise ConfigError(f"fill has {given.numel()} numbers for {flat.shape[1]} features: give one for each.")
        values = given.flatten().expand(flat.shape[1]) if given.ndim == 0 else given.flatten()
    named = feature_names(subject, names)
    found = torch.stack(_each(subject, lambda f: values[f].expand(len(flat)), score), 1)
    how = {"fill": "mean of the steps" if isinstance(fill, str) else "given numbers", "score": score}
    return _result(subject, "feature ablation", named, found, score, how)


def permutation(
    policy: Any,
    steps: Any,
    target: str | Target | None = None,
    *,
    repeats: int = 10,
    seed: int = 0,
    names: Sequence[str] | None = None,
    score: Literal["drop", "square"] = "square",
    key: str | None = None,
) -> Importance:
    """The mean of ½ (y(x) − y(x′))² where one feature has been exchanged between the steps (Breiman 2001).

    What a feature is worth in the company that it keeps in the steps: correlated ones share it.

    Args:
        policy, steps, target, key: see `jostle.explain.ask`; at least two steps.
        repeats: permutations, which are averaged.
        seed: of these.
        names, score: as of `feature_ablation`.

    Raises:
        ConfigError: a single step, or names that are not one for each feature.
    """
    subject = ask(policy, steps, target, key=key)
    count = len(subject.steps)
    if count < 2:
        raise ConfigError("features of a single step have nothing to be exchanged with: give more steps.")
    if repeats < 1:
        raise ConfigError(f"repeats={repeats} cannot be used: it must be at least 1.")
    named, flat = feature_names(subject, names), subject.x.flatten(1)
    rng = np.random.default_rng(seed)
    total = torch.zeros(count, flat.shape[1])
    for _ in range(repeats):
        order = torch.from_numpy(rng.permutation(count))
        total += torch.stack(_each(subject, lambda f, o=order: flat[o, f], score), 1)  # type: ignore[misc]
    how = {"repeats": repeats, "seed": seed, "score": score}
    return _result(subject, "permutation", named, total / repeats, score, how)


def feature_names(subject: Subject, names: Sequence[str] | None = None) -> list[str]:
    """A name for each number of an observation: those given, those that the steps' trace or the policy's environment
    tells (`jostle.envs.names`), those of a known id, or ``obs[i]``.

    Raises:
        ConfigError: more or fewer names than there are numbers.
    """
    size, part = math.prod(subject.x.shape[1:]), subject.key or ""
    if names is not None and len(names) != size:
        raise ConfigError(f"{len(names)} names were given for {size} features: give one for each.")
    origin, view = subject.steps.origin, subject.view
    for known in (
        names, None if origin is None else origin.about.names.get(part), view.observation_names.get(part),
        None if part else KNOWN.get(str(view.env_source)),
    ):  # fmt: skip
        if known is not None and len(known) == size:
            return [str(name) for name in known]
    places = np.ndindex(*subject.x.shape[1:])
    return [f"{part or 'obs'}[{', '.join(map(str, place))}]" for place in places]


@torch.no_grad()
def _each(subject: Subject, value: Callable[[int], Float[Tensor, "B"]], score: str) -> "list[Float[Tensor, 'B']]":
    """The score [B] with each feature in turn changed."""
    if score not in ("drop", "square"):
        raise ConfigError(f"score='{score}' is unknown; {closest(str(score), ['drop', 'square'])}")
    before = subject(subject.x)
    if before.ndim > 1 and score == "drop":
        raise ConfigError(f"the target '{subject.target.name}' is several numbers: give score='square'.")
    change = drop(before) if score == "drop" else half_square(before)
    flat, steps = subject.x.flatten(1), len(subject.steps)
    features = flat.shape[1]
    found: list[Tensor] = []
    together = max(1, ROWS // steps)
    for first in range(0, features, together):
        some = range(first, min(first + together, features))
        x = flat.repeat(len(some), 1)
        for place, feature in enumerate(some):
            x[place * steps : (place + 1) * steps, feature] = value(feature)
        at = torch.arange(steps).repeat(len(some))
        one = subject.run(x.view(-1, *subject.x.shape[1:]), at)
        found += list(change(subject.target(one), one).view(len(some), steps))
    return found


def _result(
    subject: Subject, method: str, names: list[str], values: Tensor, score: str, how: dict[str, Any]
) -> Importance:
    array = values.cpu().numpy()
    if not np.isfinite(array).all():
        raise ConfigError(f"{method} of {subject.view.name} found NaN or infinities: its weights hold them.")
    return Importance(method, subject.target.name, subject.view.name, names, array, score == "drop", how)
