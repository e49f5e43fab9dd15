"""Conditions and suites: under which circumstances a policy is tested, and which of them it has seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jostle.errors import ConfigError, closest
from jostle.stress.levels import levels_of, require_unseen
from jostle.stress.perturbation import Perturbation
from jostle.view import Success

RESERVED = ("seed", "num_envs", "render_mode", "id")
"""Arguments of `make_env` that the test sets itself."""


@dataclass(frozen=True)
class Condition:
    """One circumstance.

    Attributes:
        name: unique in its suite, one line without slashes.
        env_options: laid over the policy's own; None as a value takes an option away.
        env: another environment than the policy's own, with the same spaces.
        perturbation: of what the policy sees; the environment is not touched.
        seed_offset: added to the seed. Conditions with equal offsets play the same games where the environment lets
            them, and are then compared episode by episode.
        labels: axis -> level, such as {"layouts": "unseen", "looks": "seen"}; tables and figures are made along them.

    Raises:
        ConfigError: a name or a seed_offset that cannot be used, or an option that the test sets itself.
    """

    name: str
    env_options: Mapping[str, Any] = field(default_factory=dict)
    env: str | None = None
    perturbation: Perturbation | None = None
    seed_offset: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_name(self.name, "a condition")
        for key in RESERVED:
            if key in self.env_options:
                raise ConfigError(
                    f"{key} cannot stand in env_options of the condition '{self.name}': the test sets it itself."
                )
        offset: object = self.seed_offset
        if not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset < 2**31:
            raise ConfigError(
                f"seed_offset={offset!r} of the condition '{self.name}' cannot be used: it must be a whole number from "
                "0 to 2147483647."
            )

    def options(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """The environment's options: the policy's own with the condition's over them."""
        return {key: value for key, value in {**own, **self.env_options}.items() if value is not None}


@dataclass(frozen=True)
class Suite:
    """Conditions that belong together.

    Attributes:
        name: for tables and files, one line without slashes.
        conditions: at least one.
        reference: the name of the condition that was seen in training; gaps are measured from it.
        success: when an episode is a success; None: only returns are told.
        about: one line.
        training_levels: first level and number of the levels trained on, where the environment numbers its levels.
            Conditions labelled {"layouts": "unseen"} must not share any of them.
        control: acts by observations and has learned nothing; played beside random play. No part of what the suite is.
        sobol: the domain among whose parameters the variance is shared out, beside the conditions; None: none is.

    Raises:
        ConfigError: a name that cannot be used, no condition, a name twice, an unknown reference, or levels that are
            called unseen and were trained on.
    """

    name: str
    conditions: tuple[Condition, ...]
    reference: str
    success: Success | None = None
    about: str = ""
    training_levels: tuple[int, int] | None = None
    control: Callable[[np.ndarray], np.ndarray] | None = field(default=None, compare=False)
    sobol: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _check_name(self.name, "a suite")
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names:
            raise ConfigError(f"the suite '{self.name}' has no conditions: give at least one.")
        if twice:
            raise ConfigError(
                f"the suite '{self.name}' has the condition '{twice[0]}' twice: give each a name of its own."
            )
        if self.reference not in names:
            raise ConfigError(
                f"the suite '{self.name}' has no condition '{self.reference}' to be its reference; "
                f"{closest(self.reference, names)}"
            )
        for condition in self.conditions:
            _check_levels(self, condition)

    @property
    def names(self) -> list[str]:
        """Names of the conditions, in order."""
        return [condition.name for condition in self.conditions]

    def only(self, names: Sequence[str]) -> "Suite":
        """The suite with some of its conditions, the reference among them whether named or not.

        Raises:
            ConfigError: it has no condition of such a name, or names are not a list.
        """
        if isinstance(names, str):
            raise ConfigError(f"conditions={names!r} are one name: give a list of names.")
        wanted = {self.reference, *(self[name].name for name in names)}
        return replace(self, conditions=tuple(c for c in self.conditions if c.name in wanted))

    def __getitem__(self, name: str) -> Condition:
        for condition in self.conditions:
            if condition.name == name:
                return condition
        raise ConfigError(f"the suite '{self.name}' has no condition '{name}'; {closest(name, self.names)}")


def _check_levels(suite: Suite, condition: Condition) -> None:
    """Levels labelled unseen must lie outside of those trained on."""
    if suite.training_levels is None or condition.labels.get("layouts") != "unseen":
        return
    own = dict(zip(("start_level", "num_levels"), suite.training_levels, strict=True))
    start, number = levels_of(condition.options(own), f"the condition '{condition.name}'")
    require_unseen(start, number, suite.training_levels, condition.name)


def _check_name(name: object, whose: str) -> None:
    """Names stand in tables, and that of a suite is a folder's."""
    if not isinstance(name, str) or not name.isprintable() or name.strip() in ("", ".", "..") or set(name) & {*"/\\"}:
        raise ConfigError(f"{whose} cannot be called {name!r}: give it a name of one line without / and \\.")
