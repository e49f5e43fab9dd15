"""An environment that draws by itself, compared with what a space says that it draws."""

from typing import Any

import gymnasium as gym
import numpy as np

from jostle.domain import Space
from jostle.envs.randomise.models import has_model
from jostle.envs.randomise.paths import read
from jostle.errors import ConfigError
from jostle.stress.lint.alone import Alone
from jostle.stress.lint.constants import Constants, apart, constants_of, described, differing, steady
from jostle.stress.lint.effect import Effects
from jostle.stress.lint.findings import Finding, Report
from jostle.stress.lint.places import compared
from jostle.stress.lint.reach import Reach, reaches
from jostle.stress.lint.subject import Source, Subject

RESETS = 100
_GROWTH = 1.8
"""How much further from the nominal value the last quarter of the resets lies than the first, when something drifts.

Independent draws give 1; a random walk of a hundred steps gives 2.6, steps to one side 7.
"""


def check_itself(source: Source, space: Space, steps: int) -> Report:
    """Watch a hundred resets: what the space names varies within its bounds, nothing else does, nothing grows."""
    with Subject(source, inner=True) as subject:
        return Report(subject.name, tuple(_findings(subject, space, steps)))


def _findings(subject: Subject, space: Space, steps: int) -> list[Finding]:
    known = {name: subject.quantities[name] for name in space.names if name in subject.quantities}
    parameters, findings = reaches(space, subject.quantities, subject.name)
    when = {p.name: p.when for p in space.parameters}
    truths = Alone(subject.env)
    watched = _Watched(subject, steps)
    declared: dict[str, tuple[str, int]] = {}
    for reach in parameters:
        place = _place(subject, truths, reach, watched.made)
        if place is not None:
            declared[reach.name] = place
    for reach in parameters:
        values = _values(reach.name, declared, watched, subject)
        findings += _varied(reach, values, when[reach.name], subject)
    findings += watched.repeated()
    findings.append(watched.drift())
    findings.append(watched.elsewhere(truths, parameters, declared))
    findings += watched.derived(truths, parameters, declared)
    effects = Effects(subject, {name: quantity.nominal for name, quantity in known.items()}, steps, late=True)
    for reach in parameters:
        findings += effects.of(reach)
    return findings


class _Watched:
    """A hundred resets of an environment."""

    def __init__(self, subject: Subject, steps: int) -> None:
        self._env = subject.env
        self.made = constants_of(self._env)
        self._env.reset(seed=0)
        episode = [constants_of(self._env)]
        self._env.action_space.seed(0)
        for _ in range(min(steps, 20)):
            _, _, terminated, truncated, _ = self._env.step(self._env.action_space.sample())
            if terminated or truncated:
                break
            episode.append(constants_of(self._env))
        self.names = {name for name in steady(*episode) if not name.startswith("_np_random")}
        self.resets: list[Constants] = []
        for _ in range(RESETS):
            self._env.reset()
            self.resets.append(constants_of(self._env))

    def repeated(self) -> list[Finding]:
        """Two resets with one seed."""
        first_obs, _ = self._env.reset(seed=7)
        first = constants_of(self._env)
        again_obs, _ = self._env.reset(seed=7)
        moved = differing(first, constants_of(self._env), self.names)
        if moved:
            said = f"two resets with one seed differ in {described(self._env, moved)}"
            return [Finding("", "repeatable", "failed", said)]
        same = np.array_equal(_flat(self._env, first_obs), _flat(self._env, again_obs), equal_nan=True)
        said = "" if same else "two resets with one seed begin differently"
        return [Finding("", "repeatable", "passed" if same else "failed", said)]

    def drift(self) -> Finding:
        """Constants that lie the further from where they began the later it is."""
        quarter = RESETS // 4
        grown: dict[str, np.ndarray] = {}
        for name in self._varying():
            made = self.made[name]
            away = np.stack([np.where(apart(c[name], made), np.abs(c[name] - made), 0.0) for c in self.resets])
            early, late = away[:quarter].mean(0), away[-quarter:].mean(0)
            often = (away > 0).mean(0) > 0.5  # what hardly moves at all does so by rounding, now and then
            grows = (late > _GROWTH * early) & often
            if grows.any():
                grown[name] = grows & (late > 0)
        if not grown:
            return Finding("", "no-drift", "passed")
        said = f"{described(self._env, grown)} lies further from where it began with every reset"
        return Finding("", "no-drift", "failed", said)

    def elsewhere(self, truths: Alone, parameters: list[Reach], declared: dict[str, tuple[str, int]]) -> Finding:
        """Constants that vary and follow from no parameter of the space."""
        ends = {p.name: p.high if p.high != p.nominal else p.low for p in parameters}
        truth = truths.at({name: end for name, end in ends.items() if name in declared})
        unread = [truths.at({name: end}) for name, end in ends.items() if name not in declared]
        if truth is None or None in unread:
            return Finding("", "nothing-else", "unknown", "nobody knows what follows from the parameters")
        others = {}
        for name in self._varying():
            moved = np.any([apart(c[name], self.made[name]) for c in self.resets], axis=0)
            meant = np.zeros_like(moved)
            for follows in (truth, *unread):  # of several that meet in one field each moves its part
                if follows is not None and name in follows.constants:
                    meant |= apart(follows.constants[name], self.made[name])
            if np.any(moved & ~meant):
                others[name] = moved & ~meant
        if not others:
            return Finding("", "nothing-else", "passed")
        said = f"{described(self._env, others)} varies, and the space does not name it"
        return Finding("", "nothing-else", "failed", said)

    def derived(self, truths: Alone, parameters: list[Reach], declared: dict[str, tuple[str, int]]) -> list[Finding]:
        """What follows from the values of the last reset is that of an environment made with them."""
        last = self.resets[-1]
        unread = [p.name for p in parameters if p.name not in declared]
        if unread:
            return [Finding("", "derived", "unknown", f"the value of {', '.join(unread)} cannot be read")]
        values = {name: _value(last, self.made, name, place) for name, place in declared.items()}
        truth = truths.at(values) if values else None
        if truth is None:
            return []
        return [
            f
            for f in compared(self._env, "", self.made, last, truth, self.names & truth.constants.keys())
            if f.question == "derived"
        ]

    def _varying(self) -> list[str]:
        return [
            name
            for name in sorted(self.names & self.made.keys())
            if all(c[name].shape == self.made[name].shape for c in self.resets)
            and any(apart(c[name], self.made[name]).any() for c in self.resets)
        ]


def _varied(reach: Reach, values: list[float] | None, when: str, subject: Subject) -> list[Finding]:
    """Whether it was drawn, anew each time, and within its bounds."""
    if values is None:
        return [Finding(reach.name, "applied", "unknown", "its value cannot be read")]
    slack = 1e-6 * max(abs(reach.low), abs(reach.high))
    outside = [v for v in values if not reach.low - slack <= v <= reach.high + slack]
    if all(v == values[0] for v in values):
        if when != "start" or np.isclose(values[0], reach.nominal):
            kept = "its nominal value" if np.isclose(values[0], reach.nominal) else f"{values[0]:g}"
            said = f"it keeps {kept} in {len(values)} resets"
            return [Finding(reach.name, "applied", "failed", said)]
    elif when == "reset" and len(set(values[len(values) // 2 :])) == 1:
        return [Finding(reach.name, "applied", "failed", "it changes at first, and then keeps its value")]
    if outside:
        said = f"it was {outside[0]:g}, and the space says {reach.low:g} to {reach.high:g}"
        return [Finding(reach.name, "applied", "failed", said)]
    return [Finding(reach.name, "applied", "passed")]


def _place(subject: Subject, truths: Alone, reach: Reach, made: Constants) -> tuple[str, int] | None:
    """The constant that holds a parameter's value, and where in it."""
    if not has_model(subject.env.unwrapped):
        return reach.name, 0
    truth = truths.at({reach.name: reach.high if reach.high != reach.nominal else reach.low})
    if truth is None or ".inertia." in reach.name or ".turn." in reach.name:
        return None
    for field in sorted(truth.named, key=lambda name: name != "body_mass"):
        changed = np.flatnonzero(truth.constants[field].reshape(-1) != made[field].reshape(-1))
        if changed.size:
            return field, int(changed[0])
    return None


def _values(name: str, declared: dict[str, tuple[str, int]], watched: _Watched, subject: Subject) -> list[float] | None:
    if name not in declared:
        return None
    if name not in watched.made and not has_model(subject.env.unwrapped):  # a path into something
        try:
            return [read(subject.env.unwrapped, name, subject.name)]
        except ConfigError:
            return None
    return [_value(c, watched.made, name, declared[name]) for c in watched.resets]


def _value(constants: Constants, made: Constants, name: str, place: tuple[str, int]) -> float:
    field, at = place
    value = float(constants[field].reshape(-1)[at])
    return value / float(made[field].reshape(-1)[at]) if name.startswith("all.") else value


def _flat(env: Any, obs: Any) -> np.ndarray:
    return np.asarray(gym.spaces.flatten(env.observation_space, obs), np.float64)
