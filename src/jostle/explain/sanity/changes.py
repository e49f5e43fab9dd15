"""Objects changed in the simulator, each by itself, at the same steps of the same episodes.

For each object the episodes are played twice, the second time with it changed, by `jostle.explain.ablate.twin_worlds`.
At each step the policy is then asked in both worlds, with the memory that it had in the unchanged one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.envs.sources import EnvSource
from jostle.errors import ConfigError, closest
from jostle.explain.ablate import Twins, twin_worlds
from jostle.explain.asking import Subject, Target
from jostle.explain.tracing import Steps
from jostle.view import as_view

SHIFTS = 8

_CONTROL: dict[str, dict[str, Any]] = {
    "CartPole-v1": {"pole": {"domain": {"pole.half_length": 2.0}}, "force": {"domain": {"force": 20.0}}},
    "Pendulum-v1": {"rod": {"domain": {"rod.mass": 3.0}}},
    "Acrobot-v1": {"gravity": {"domain": {"gravity": 5.0}}},
    "MountainCar-v0": {"gravity": {"domain": {"gravity": 0.0015}}},
    "MountainCarContinuous-v0": {"gravity": {"domain": {"gravity": 0.0015}}},
}
USUAL: dict[str, dict[str, dict[str, Any]]] = {
    "jostle/ThemedCatch-v0": {"ball": {"ball_shift": 3}, "paddle": {"paddle_shift": 3}},
    "jostle/Reach-v0": {
        "target": {"domain": {"target.rgba.r": 0.1, "target.rgba.g": 0.6}},
        "arm": {"domain": {"arm.rgba.r": 0.2, "arm.rgba.b": 0.3}},
        "hand": {"domain": {"hand.rgba.r": 0.8}},
        "table": {"domain": {"table.rgba.g": 0.8}},
    },
    **{f"jostle/{name}": changes for name, changes in _CONTROL.items()},
}
"""By the environment's id, what is changed where nobody says: the place or the looks of objects, or a constant."""


@dataclass(frozen=True)
class ChangedObjects:
    """O objects, at B steps.

    Attributes:
        env: where.
        objects: their names, or, of observations that are no pictures, names of the changes.
        told: what was changed.
        subject: the policy at the steps of the unchanged world.
        changed: the same with each object changed.
        pixels: of each object in the unchanged world [O, B, H, W]; None where observations are no pictures.
    """

    env: str
    objects: list[str]
    told: list[str]
    subject: Subject
    changed: list[Subject]
    pixels: Bool[np.ndarray, "O B H W"] | None

    @property
    def episode(self) -> Int[np.ndarray, "B"]:
        """The episode of each step."""
        assert self.subject.steps.episode is not None
        return self.subject.steps.episode

    @torch.no_grad()
    def effect(self, target: str | Target) -> Float[np.ndarray, "O B"]:
        """|y(x) − y(x′)| of a number (of several their Euclidean distance), with each object changed."""
        own, rows = self.subject.about(target), torch.arange(len(self.subject.steps))
        before = own(own.x, rows)
        found = []
        for other in self.changed:
            there = other.about(target)
            found.append(_distance(there(there.x, rows), before, own.view.name))
        return np.stack(found)

    @torch.no_grad()
    def elsewhere(self, target: str | Target, *, seed: int = 0) -> Float[np.ndarray, "O B"]:
        """The same where each step's difference of pixels is put at another place, round the border: means over 8.

        What any change of that size does, whatever it is of. NaN where observations are no pictures.
        """
        if self.pixels is None:
            return np.full((len(self.objects), len(self.subject.steps)), np.nan)
        own, rows = self.subject.about(target), torch.arange(len(self.subject.steps))
        layout, rng = own.layout(), np.random.default_rng(seed)
        planes, before = layout.planes(own.x), own(own.x, rows)
        height, width = layout.size
        moves = list(zip(rng.integers(1, height, SHIFTS), rng.integers(1, width, SHIFTS), strict=True))
        found = []
        for other in self.changed:
            difference = layout.planes(other.x) - planes
            each = []
            for down, right in moves:
                moved = planes + difference.roll((int(down), int(right)), (2, 3))
                if layout.low is not None:
                    moved = moved.clamp(layout.low, layout.high)
                each.append(_distance(own(layout.shaped(moved).contiguous(), rows), before, own.view.name))
            found.append(np.mean(each, axis=0))
        return np.stack(found)


def change_objects(
    policy: Any,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    target: str | Target | None = None,
    key: str | None = None,
    episodes: int = 8,
    max_steps: int = 50,
    steps: int = 64,
    seed: int = 10_000,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    **view: Any,
) -> ChangedObjects:
    """Play the same episodes with each object changed.

    Args:
        policy: whatever `jostle.as_view` takes; it must show outputs.
        changes: object -> options of the environment under which it is another one, as `twin_worlds` takes them, such
            as ``{"ball": {"ball_hue": 0.5}}`` or ``{"pole": {"domain": {"pole.mass": 1.0}}}``. Of pictures, objects
            whose pixels the environment tells. None: those of `USUAL`, for environments of jostle's own.
        target, key: as of `jostle.explain.ask`.
        episodes, max_steps, seed, env, env_options: as of `twin_worlds`.
        steps: at most so many, at equal distances.
        **view: further arguments of `jostle.as_view`.

    Raises:
        ConfigError: an argument cannot be used, an object is not told by the environment, or a change shows nowhere.
        EnvError: an environment failed.
    """
    seen = as_view(policy, **view)
    if changes is None:
        known = str(seen.env_source if env is None else env)
        if known not in USUAL:
            raise ConfigError(f"nobody knows which objects of {known} to change: give changes={{object: options}}.")
        changes = USUAL[known]
    if not changes:
        raise ConfigError("there is no object to change: give changes={object: options of the environment}.")
    if steps < 1:
        raise ConfigError(f"steps={steps} cannot be used: it must be at least 1.")
    how: dict[str, Any] = {"episodes": episodes, "max_steps": max_steps, "seed": seed}
    pairs = [twin_worlds(seen, each, env=env, env_options=env_options, **how) for each in changes.values()]
    rows = _shared(pairs, steps)
    subject = _asked(pairs[0], rows[0], False, target, key)
    others = [_asked(twins, at, True, subject.target, key) for twins, at in zip(pairs, rows, strict=True)]
    for other in others:
        other.action = subject.action
    names = list(changes)
    return ChangedObjects(
        pairs[0].env, names, [twins.change for twins in pairs], subject, others, _pixels(subject, pairs, rows, names)
    )


def _shared(pairs: list[Twins], steps: int) -> list[Int[np.ndarray, "B"]]:
    """Of each pair of worlds, the rows of steps that all of them have; with the same actions, the same ones."""
    places = [{(int(e), int(s)): i for i, (e, s) in enumerate(zip(t.episode, t.step, strict=True))} for t in pairs]
    common = sorted(set(places[0]).intersection(*places[1:]))
    some = ((np.arange(min(steps, len(common))) + 0.5) * len(common) / min(steps, len(common))).astype(np.int64)
    return [np.array([place[common[i]] for i in some]) for place in places]


def _asked(
    twins: Twins, rows: Int[np.ndarray, "B"], changed: bool, target: str | Target | None, key: str | None
) -> Subject:
    obs = twins.second if changed else twins.first
    some = {k: v[rows] for k, v in obs.items()} if isinstance(obs, dict) else obs[rows]
    state: Tensor | None = None if twins.states is None else twins.states[0][:, torch.from_numpy(rows)]
    return Subject(
        twins.view, Steps(some, state, episode=twins.episode[rows], step=twins.step[rows],
                          condition=("",) * len(rows)), target, key=key,
    )  # fmt: skip


def _pixels(
    subject: Subject, pairs: list[Twins], rows: list[Int[np.ndarray, "B"]], names: list[str]
) -> Bool[np.ndarray, "O B H W"] | None:
    try:
        size = subject.layout().size
    except ConfigError:
        return None
    found = []
    for twins, at, name in zip(pairs, rows, names, strict=True):
        if name not in twins.objects:
            hint = closest(name, twins.objects) if twins.objects else "it tells none"
            raise ConfigError(f"{twins.env} tells no pixels of an object '{name}'; {hint}")
        found.append(twins.objects[name][at])
        if found[-1].shape[1:] != size:
            raise ConfigError(f"the pixels of '{name}' are {list(found[-1].shape[1:])} and the pictures {list(size)}.")
    return np.stack(found)


def _distance(y: Tensor, before: Tensor, name: str) -> Float[np.ndarray, "B"]:
    found = np.asarray((y - before).reshape(len(y), -1).norm(dim=1).double().cpu().numpy())
    if not np.isfinite(found).all():
        raise ConfigError(f"{name} puts out NaN or infinities: its weights hold them, or it overflows.")
    return found
