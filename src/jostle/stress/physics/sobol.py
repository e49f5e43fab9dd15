"""Which parameters of a domain matter to a policy, alone and together: Sobol indices of its return and success."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from jostle.domain import Space
from jostle.errors import ConfigError
from jostle.scores.intervals import Interval, interval
from jostle.stress.physics.field import TOGETHER, Field, How, seeds_of
from jostle.stress.physics.indices import (
    CONFIDENCE,
    Indices,
    indices_from,
    mixed,
    saltelli_points,
    sobol_indices,
)
from jostle.stress.physics.suites import space_of, success_of
from jostle.stress.target import Target, target_of
from jostle.view import PolicyView, Success, as_view

POINTS, EPISODES = 128, 2
_STREAM = 2
"""Of the episodes' seeds: none of them is one of a stress test's conditions (`seeds_of`)."""


@dataclass(frozen=True)
class Sensitivity:
    """One run of one method.

    Attributes:
        method, run: as in a `StressResult`.
        noise: the inference mode.
        indices: by metric, ``return`` and, where there is a rule, ``success``.
    """

    method: str
    run: int
    noise: str
    indices: Mapping[str, Indices]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, which `sensitivity_from` reads."""
        return {
            "method": self.method, "run": self.run, "noise": self.noise,
            "indices": {metric: each.as_dict() for metric, each in self.indices.items()},
        }  # fmt: skip


def sensitivity_from(data: Mapping[str, Any]) -> Sensitivity:
    """What `Sensitivity.as_dict` wrote."""
    indices = {metric: indices_from(each) for metric, each in data["indices"].items()}
    return Sensitivity(data["method"], data["run"], data["noise"], indices)


def sobol_test(
    policy: Any,
    space: Any = None,
    *,
    points: int = POINTS,
    episodes: int = EPISODES,
    noise: str = "mean",
    actions: str = "greedy",
    success: str | None = None,
    seed: int = 0,
    env: Any = None,
    env_options: Mapping[str, Any] | None = None,
) -> Sensitivity:
    """Sobol indices of a policy's return, and of its success, over a domain.

    `points` × (parameters + 2) points are played, each in `episodes` episodes with seeds of their own, many together.

    Args:
        policy: whatever `jostle.as_view` takes.
        space: the domain, as `Space.load` takes it, without correlated parameters; None: the training's own.
        points: a power of two.
        episodes: at each point; of 2 or more the luck of episodes is taken off.
        noise: the inference mode.
        actions: ``greedy`` or ``sampled``.
        success: the rule, such as ``return >= 195``; None: the task's own, if it has one.
        seed: of points and episodes.
        env, env_options: where the policy was trained, if it does not know itself.

    Raises:
        ConfigError: the environment offers nothing to vary, or an argument cannot be used.
    """
    view = as_view(policy, env=env, env_options=env_options) if env is not None else as_view(policy)
    target = target_of(view, env, env_options)
    rule = success_of(target) if success is None else Success.parse(success)
    how = How(noise, actions == "sampled", rule, seed)
    found = sensitivity(
        {view.name: [view]}, target, space_of(target) if space is None else Space.load(space), points=points,
        episodes=episodes, how={view.name: how},
    )  # fmt: skip
    return found[0]


def sensitivity(
    views: Mapping[str, Sequence[PolicyView]],
    target: Target,
    space: Space,
    *,
    points: int,
    episodes: int,
    how: Mapping[str, How],
) -> list[Sensitivity]:
    """Of every run, on the same points and seeds; those that were whole before a stop.

    Args:
        views: method -> its runs.
        target: where they were trained.
        space: the domain.
        points, episodes: as in `sobol_test`.
        how: method -> how it is played.
    """
    if space.correlated:
        raise ConfigError("Sobol indices share the variance out among independent parameters: leave correlated out.")
    if episodes < 1:
        raise ConfigError(f"episodes={episodes} cannot be used: it must be at least 1.")
    names = [p.name for p in space.parameters if p.distribution.support[1] > p.distribution.support[0]] or None
    if names is None:
        raise ConfigError("a domain of constants has no variance to share out: let something vary in it.")
    seed = next(iter(how.values())).seed
    found: list[Sensitivity] = []
    with Field(target, space, min(TOGETHER, points * (len(names) + 2) * episodes)) as field:
        a, b = saltelli_points(points, len(names), seed)
        shares = np.concatenate([a[None], b[None], mixed(a, b)])  # [P + 2, N, P]
        values = field.values(_all_columns(shares.reshape(-1, len(names)), space, names))
        repeated = np.repeat(values, episodes, axis=0)
        seeds = seeds_of(seed, _STREAM, len(repeated))
        for method, group in views.items():
            for number, view in enumerate(group):
                scores = field.play(view, repeated, seeds, how[method])
                if scores is None:
                    return found
                told = {"return": scores.returns} | ({} if scores.successes is None else {"success": scores.successes})
                indices = {
                    metric: _indices(names, each.reshape(len(names) + 2, points, episodes), seed)
                    for metric, each in told.items()
                }
                found.append(Sensitivity(method, number, how[method].noise, indices))
    return found


def _indices(names: Sequence[str], scores: Float64[np.ndarray, "P2 N E"], seed: int) -> Indices:
    return sobol_indices(names, scores[0], scores[1], scores[2:], seed=seed)


def _all_columns(shares: Float64[np.ndarray, "M V"], space: Space, names: Sequence[str]) -> Float64[np.ndarray, "M P"]:
    """Columns for parameters of one value too, which take whatever share they are given."""
    whole = np.full((len(shares), len(space)), 0.5)
    whole[:, [space.names.index(name) for name in names]] = shares
    return whole


def of_method(found: Sequence[Sensitivity], method: str, metric: str) -> dict[str, tuple[Interval, Interval]] | None:
    """Parameter -> first-order and total index of a method: of one run its own, of several their mean over runs.

    Of several runs the intervals are over runs. None where a run has no indices to share.
    """
    runs = [each.indices[metric] for each in found if each.method == method and metric in each.indices]
    if not runs or not all(run.variance.point > 0 for run in runs):
        return None
    if len(runs) == 1:
        return dict(zip(runs[0].names, zip(runs[0].first, runs[0].total, strict=True), strict=True))
    told = {}
    for place, name in enumerate(runs[0].names):
        first, total = ([getattr(run, kind)[place].point for run in runs] for kind in ("first", "total"))
        told[name] = (interval(first, "mean"), interval(total, "mean"))
    return told


def metrics_of(found: Sequence[Sensitivity]) -> list[str]:
    """``return``, and ``success`` where it was told."""
    return list(dict.fromkeys(metric for each in found for metric in each.indices))


_COLUMNS = (
    "method", "run", "noise", "metric", "parameter", "first", "first_low", "first_high", "total", "total_low",
    "total_high", "variance", "variance_low", "variance_high", "luck", "mean", "points", "episodes",
)  # fmt: skip


def write_csv(path: Path, found: Sequence[Sensitivity], runs: Mapping[str, Sequence[str]]) -> None:
    """A line a run, metric and parameter; what there is not is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(_COLUMNS)
        for each in found:
            for metric, indices in each.indices.items():
                v = indices.variance
                rest = [v.point, v.low, v.high, indices.luck, indices.mean, indices.points, indices.episodes]
                for name, first, total in zip(indices.names, indices.first, indices.total, strict=True):
                    numbers = [first.point, first.low, first.high, total.point, total.low, total.high, *rest]
                    plain = ["" if number != number else f"{number:.10g}" for number in numbers]
                    lines.writerow([each.method, runs[each.method][each.run], each.noise, metric, name, *plain])


def sentences(found: Sequence[Sensitivity]) -> list[str]:
    """What was found, a sentence a method and metric."""
    told = []
    for method in dict.fromkeys(each.method for each in found):
        for metric in metrics_of(found):
            shares = of_method(found, method, metric)
            runs = [each.indices[metric] for each in found if each.method == method and metric in each.indices]
            who = f"{method}, {metric}"
            if shares is None or not all(run.certain for run in runs):
                told.append(f"{who}: no certain dependence on the domain, so there is nothing to share out")
                continue
            order = sorted(shares, key=lambda name: -shares[name][1].point)
            parts = [f"{name} {shares[name][0]} alone, {shares[name][1]} in all" for name in order]
            luck = 100 * float(np.mean([run.share_of_luck for run in runs]))
            told.append(
                f"{who}: {'; '.join(parts)}; the luck of episodes is {luck:.0f}% of the variance of single ones"
            )
    return told


__all__ = [
    "CONFIDENCE", "EPISODES", "POINTS", "Sensitivity", "metrics_of", "of_method", "sensitivity", "sensitivity_from",
    "sentences", "sobol_test", "write_csv",
]  # fmt: skip
