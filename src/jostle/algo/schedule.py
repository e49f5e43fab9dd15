"""When a training ends, logs, saves and evaluates: the section ``training`` of a run's config.yaml."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jostle.algo.settings import check_type
from jostle.domain import Space
from jostle.errors import ConfigError, closest
from jostle.plain import as_count

_NEEDED = ("total", "log_every", "checkpoint_every")
_COUNTS = (*_NEEDED, "keep", "eval_episodes")
_FROM_ZERO = ("schedules_from", "eval_every")


@dataclass(frozen=True)
class Schedule:
    """When training ends, logs, saves and evaluates, in environment steps.

    Attributes:
        total: steps at the end.
        log_every, checkpoint_every: steps between two lines of metrics, and between two checkpoints.
        save_replay: checkpoints hold the replay.
        keep: checkpoints that are left.
        schedules_from: step at which the linear schedules that end at ``total`` began.
        eval_every: steps between two evaluations; 0: none.
        eval_episodes, eval_noise, eval_env_options: of an evaluation; options None: the training's.
        eval_env: where it plays; None: where the training does. What no folder holds is named ``<so>``.
        eval_domain: what is randomised there: None nothing, "train" the domain of the training, or a domain as data.
    """

    total: int
    log_every: int
    checkpoint_every: int
    save_replay: bool = True
    keep: int = 2
    schedules_from: int = 0
    eval_every: int = 0
    eval_episodes: int = 10
    eval_noise: str = "mean"
    eval_env: str | None = None
    eval_env_options: dict[str, Any] | None = None
    eval_domain: Any = None

    def __post_init__(self) -> None:
        for name in (*_COUNTS, *_FROM_ZERO):
            value, least = getattr(self, name), int(name in _COUNTS)
            if value < least:
                what = "at least 1" if least else "0 or more"
                raise ConfigError(f"training.{name}={value} cannot be used: it must be {what}.")

    @classmethod
    def of(
        cls,
        steps: int,
        *,
        start: int = 0,
        log_every: int | None = None,
        checkpoint_every: int | None = None,
        save_replay: bool = True,
        **others: Any,
    ) -> "Schedule":
        """The schedule of ``steps`` more steps from ``start`` on, with defaults for what is None.

        Raises:
            ConfigError: a number that is not whole, or not positive.
        """
        steps = whole("steps", steps, 1)
        log_every = max(1_000, steps // 100) if log_every is None else whole("log_every", log_every, 1)
        checkpoint_every = (
            max(10_000, steps // 10) if checkpoint_every is None else whole("checkpoint_every", checkpoint_every, 1)
        )
        return cls(start + steps, log_every, checkpoint_every, bool(save_replay)).changed(others)

    @classmethod
    def from_mapping(cls, values: object) -> "Schedule":
        """The schedule of a run's config.yaml; what older ones lack is as it was then.

        Raises:
            ConfigError: it is missing, or holds what no schedule can.
        """
        hints = {field.name: field.type for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or not set(_NEEDED) <= set(values) <= set(hints):
            raise ConfigError(
                f"the section 'training' of config.yaml must hold {', '.join(sorted(_NEEDED))}, and may hold "
                f"{', '.join(sorted(set(hints) - set(_NEEDED)))}; restore it."
            )
        for name, value in values.items():
            if name == "eval_env_options":
                _check_options(value)
            elif name == "eval_domain":
                _domain_data(value)
            else:
                check_type(f"training.{name}", value, hints[name])
        return cls(**values)

    def changed(self, values: Mapping[str, Any]) -> "Schedule":
        """The schedule with some of its values replaced; None says nothing.

        A domain among the options of evaluations is `eval_domain`; "nominal" is none.

        Raises:
            ConfigError: a value that cannot be used.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name in values:
            if name not in names:
                raise ConfigError(f"there is no '{name}' in the plan of a training; {closest(name, names)}")
        given = {name: value for name, value in values.items() if value is not None}
        options = given.get("eval_env_options")
        if isinstance(options, dict) and "domain" in options:
            domain = options["domain"]
            given["eval_env_options"] = {key: value for key, value in options.items() if key != "domain"} or None
            given.setdefault("eval_domain", domain or "nominal")
        for name in given:
            if name in (*_COUNTS, *_FROM_ZERO):
                given[name] = whole(name, given[name], int(name in _COUNTS))
            elif name == "save_replay":
                given[name] = bool(given[name])
            elif name == "eval_env_options":
                _check_options(given[name])
            elif name == "eval_domain":
                given[name] = _domain_data(given[name])
        return dataclasses.replace(self, **given)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a configuration file."""
        return dataclasses.asdict(self)


def whole(name: str, value: object, least: int) -> int:
    """A whole number, which may be written 1e5, as Python's own.

    Raises:
        ConfigError: it is none, or smaller than ``least``.
    """
    number = as_count(value)
    if type(number) is not int:
        raise ConfigError(f"{name}={value!r} cannot be used: it must be a whole number.")
    if number < least:
        raise ConfigError(f"{name}={value} cannot be used: it must be {f'at least {least}' if least else '0 or more'}.")
    return number


def _domain_data(value: Any) -> Any:
    """A domain of evaluations as plain data, so that a run holds it: files are read now.

    Raises:
        ConfigError: it cannot be read.
    """
    if value is None or (isinstance(value, str) and value == "nominal"):
        return None
    return value if isinstance(value, str) and value == "train" else Space.load(value).data()


def _check_options(options: object) -> None:
    if options is not None and not (isinstance(options, dict) and all(isinstance(key, str) for key in options)):
        raise ConfigError(f"eval_env_options={options!r} cannot be used: give options by name, such as {{'size': 10}}.")
