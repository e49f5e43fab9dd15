"""`domain_check`: whether what a space says of an environment is what happens."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from jostle.domain import Space
from jostle.envs.engines.no_screen import without_a_screen
from jostle.envs.randomise.known import Derived
from jostle.envs.randomise.models import has_model
from jostle.errors import ConfigError
from jostle.stress.lint.alone import Alone
from jostle.stress.lint.constants import constants_of, described, differing, steady
from jostle.stress.lint.effect import Effects
from jostle.stress.lint.findings import Finding, Report
from jostle.stress.lint.itself import check_itself
from jostle.stress.lint.places import compared
from jostle.stress.lint.reach import Reach, everything, reaches
from jostle.stress.lint.subject import Source, Subject

RESETS = 100
MOST_PAIRS = 30
"""Parameters of which every pair is looked at."""


def domain_check(
    env: Source,
    space: Any = None,
    *,
    steps: int = 100,
    itself: bool = False,
    derived: Derived | None = None,
    told: Callable[[str], None] | None = None,
) -> Report:
    """Look at each parameter of a space, on one environment.

    Args:
        env: an id of Gymnasium or jostle, ``module:Name-v0``, an MJCF file, or a function that makes an environment.
        space: what varies, as `Space.load` takes it; None: everything that the environment offers, around its nominal
            value.
        steps: of each of the three trajectories that are compared.
        itself: the environment draws by itself, as the space says; else it is set from here, through the
            `quantities` and `set_quantities` of the environment or of a wrapper, or as `Randomise` would.
        derived: as of `Randomise`; by default no formula is asked for, and what is stale is found.
        told: called with a line before each parameter.

    Raises:
        ConfigError: the space cannot be read.
        EnvError: the environment cannot be made, or fails.
    """
    loaded = None if space is None else Space.load(space)
    with without_a_screen():
        if itself:
            if loaded is None:
                raise ConfigError("what an environment draws by itself is compared with what a space says: give one.")
            return check_itself(env, loaded, steps)
        with _subject(env, loaded, derived) as subject:
            if loaded is None:
                parameters, findings = everything(subject.quantities), list[Finding]()
            else:
                parameters, findings = reaches(loaded, subject.quantities, subject.name)
            return Report(subject.name, tuple(findings + _Check(subject, parameters, steps, told).findings()))


def _subject(env: Source, space: Space | None, derived: Derived | None) -> Subject:
    """The environment with those parameters that it has; the others are declared in vain."""
    if space is None:
        return Subject(env, (), derived)
    with Subject(env, (), derived) as first:
        offered = set(first.quantities)
    if offered.issuperset(space.names):
        return Subject(env, space.names, derived)
    return Subject(env, [name for name in space.names if _has(env, name, derived)], derived)


def _has(env: Source, name: str, derived: Derived | None) -> bool:
    try:
        with Subject(env, [name], derived):
            return True
    except ConfigError:
        return False


class _Check:
    """The questions, asked of a subject that is set from here."""

    def __init__(
        self, subject: Subject, parameters: list[Reach], steps: int, told: Callable[[str], None] | None
    ) -> None:
        self._subject, self._parameters, self._steps = subject, parameters, steps
        self._told = told or (lambda line: None)
        self._nominal = {p.name: p.nominal for p in parameters}
        self._alone = Alone(subject.env)
        self._before = constants_of(subject.env)
        self._names = set(self._before)
        if not has_model(subject.env.unwrapped):  # attributes may be states
            seen = []
            for seed in (0, 1):
                subject.play(seed, steps)
                seen.append(constants_of(subject.env))
            self._names = steady(self._before, *seen)

    @property
    def _env(self) -> gym.Env[Any, Any]:
        return self._subject.env

    def findings(self) -> list[Finding]:
        """All of them."""
        effects = Effects(self._subject, self._nominal, self._steps)
        said = "" if effects.repeats else "the same seed and actions do not give the same trajectory"
        found = [Finding("", "repeatable", "passed" if effects.repeats else "failed", said)]
        constants = {}
        for reach in self._parameters:
            self._told(reach.name)
            found += effects.of(reach)
            value = reach.high if reach.high != reach.nominal else reach.low
            if value == reach.nominal:
                continue
            with self._subject.anew() as fresh:
                found += self._places(reach.name, value, fresh)
                constants[reach.name] = constants_of(fresh.env)
                if effects.repeats:
                    found.append(self._history(reach.name, value, fresh))
        found.append(self._drift(effects))
        return found + self._collisions(constants)

    def _places(self, name: str, value: float, fresh: Subject) -> list[Finding]:
        """Where the value goes in an environment that knows no other, and whether it still goes there in this one."""
        fresh.set({name: value})
        fresh.env.reset(seed=0)
        truth = self._alone.at({name: value})
        found = compared(fresh.env, name, self._before, constants_of(fresh.env), truth, self._names)
        later = compared(self._env, name, self._before, self._constants_at({name: value}), truth, self._names)
        if found[0].answer == "passed" and later[0].answer == "failed":
            found[0] = replace(later[0], said=f"after other values {later[0].said}")
        if self._alone.simple(name):
            said = 'the body was compiled as a simple one, whose mass matrix has no room for it: <body simple="false">'
            found = [replace(f, answer="failed", said=said) if f.question == "derived" else f for f in found]
        return found

    def _history(self, name: str, value: float, fresh: Subject) -> Finding:
        """Trajectories here, after all that was set before, and in an environment that knows nothing of it."""
        here = self._subject.play(3, self._steps, self._nominal | {name: value})
        there = fresh.play(3, self._steps, {name: value})
        if here.shape == there.shape and np.array_equal(here, there, equal_nan=True):
            return Finding(name, "no-history", "passed")
        said = f"at {value:g} the trajectory is not that of a fresh environment at {value:g}"
        return Finding(name, "no-history", "failed", said)

    def _constants_at(self, values: dict[str, float]) -> Any:
        self._subject.set(self._nominal | values)
        self._env.reset(seed=0)
        return constants_of(self._env)

    def _drift(self, effects: Effects) -> Finding:
        """A hundred resets under draws, then nominal values again."""
        rng = np.random.default_rng(0)
        for _ in range(RESETS):
            self._subject.set({p.name: rng.uniform(p.low, p.high) for p in self._parameters if not _chosen(self, p)})
            self._env.reset()
        after = self._constants_at({})
        moved = differing(self._before, after, self._names)
        if moved:
            said = f"after {RESETS} resets and back at nominal values, {described(self._env, moved)} is another"
            return Finding("", "no-drift", "failed", said)
        again = self._subject.play(0, self._steps, self._nominal)
        if effects.repeats and not np.array_equal(again, effects.base[0], equal_nan=True):
            return Finding("", "no-drift", "failed", f"after {RESETS} resets the nominal trajectory is another")
        return Finding("", "no-drift", "passed")

    def _collisions(self, alone: dict[str, Any]) -> list[Finding]:
        """Of two parameters together, one that leaves no trace has been overwritten by the other."""
        ends = {p.name: p.high if p.high != p.nominal else p.low for p in self._parameters}
        acting = [n for n in alone if differing(self._before, alone[n], self._names)]
        if not 1 < len(acting) <= MOST_PAIRS:
            return []
        over: dict[str, str] = {}
        for a, b in itertools.combinations(acting, 2):
            both = self._constants_at({a: ends[a], b: ends[b]})
            for lost, kept in ((a, b), (b, a)):
                if not differing(both, alone[kept], self._names) and differing(both, alone[lost], self._names):
                    over[lost] = kept
        return [
            Finding(name, "no-collision", "failed", f"{over[name]} overwrites it")
            if name in over
            else Finding(name, "no-collision", "passed")
            for name in acting
        ]


def _chosen(check: _Check, reach: Reach) -> bool:
    return bool(check._subject.quantities[reach.name].choices)
