"""Conditions and suites: under which circumstances a policy is tested, and which of them it has seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jostle.errors import ConfigError, closest
from jostle.stress.perturbation import Perturbation
from jostle.view import Success


@dataclass(frozen=True)
class Condition:
    """One circumstance.

    Attributes:
        name: unique in its suite.
        env_options: laid over the policy's own; None as a value takes an option away.
        env: another environment than the policy's own, with the same spaces.
        perturbation: of what the policy sees; the environment is not touched.
        seed_offset: added to the seed. Conditions with equal offsets play the same games where the environment lets
            them, and are then compared episode by episode.
        labels: axis -> level, such as {"layouts": "unseen", "looks": "seen"}; tables and figures are made along them.
    """

    name: str
    env_options: Mapping[str, Any] = field(default_factory=dict)
    env: str | None = None
    perturbation: Perturbation | None = None
    seed_offset: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)

    def options(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """The environment's options: the policy's own with the condition's over them."""
        return {key: value for key, value in {**own, **self.env_options}.items() if value is not None}


@dataclass(frozen=True)
class Suite:
    """Conditions that belong together.

    Attributes:
        name: for tables and files.
        conditions: at least one.
        reference: the name of the condition that was seen in training; gaps are measured from it.
        success: when an episode is a success; None: only returns are told.
        about: one line.
        training_levels: first level and number of the levels trained on, where the environment numbers its levels.
            Conditions labelled {"layouts": "unseen"} must not share any of them.

    Raises:
        ConfigError: no condition, a name twice, or an unknown reference.
    """

    name: str
    conditions: tuple[Condition, ...]
    reference: str
    success: Success | None = None
    about: str = ""
    training_levels: tuple[int, int] | None = None

    def __post_init__(self) -> None:
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

    def __getitem__(self, name: str) -> Condition:
        for condition in self.conditions:
            if condition.name == name:
                return condition
        raise ConfigError(f"the suite '{self.name}' has no condition '{name}'; {closest(name, self.names)}")


def _check_levels(suite: Suite, condition: Condition) -> None:
    """Levels labelled unseen must lie outside of those trained on."""
    if suite.training_levels is None or condition.labels.get("layouts") != "unseen":
        return
    first, count = suite.training_levels
    start, number = (
        int(condition.env_options.get("start_level", first)),
        int(condition.env_options.get("num_levels", count)),
    )
    if number == 0:
        raise ConfigError(
            f"the condition '{condition.name}' has num_levels=0, which means every level and ignores start_level: to "
            f"leave out the levels trained on, give start_level={first + count} and a large num_levels."
        )
    if start < first + count and first < start + number:
        raise ConfigError(
            f"the condition '{condition.name}' is called unseen, but its levels {start} to {start + number - 1} "
            f"overlap the levels {first} to {first + count - 1} of the training: start at {first + count}."
        )
