"""What every algorithm's settings share: types checked, one sentence for a wrong one, plain data and back."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from jostle.errors import ConfigError, closest


@dataclass(frozen=True)
class Settings:
    """A frozen dataclass of settings. A subclass gives the fields, and checks their values in `check`."""

    def __post_init__(self) -> None:
        for name, kind in typing.get_type_hints(type(self)).items():
            check_type(name, getattr(self, name), kind)
        self.check()

    def check(self) -> None:
        """Refuse values of the right type that make no sense."""

    def need(self, name: str, good: bool, what: str) -> None:
        """Raises: ConfigError for the setting ``name``, which must be ``what``, unless it is good."""
        if not good:
            raise ConfigError(f"{name}={getattr(self, name)!r} cannot be used: it must be {what}.")

    def within_0_and_1(self, *names: str) -> None:
        """Raises: ConfigError for a setting outside of [0, 1]; None is let through."""
        for name in names:
            value = getattr(self, name)
            self.need(name, value is None or 0 <= value <= 1, "within 0 and 1")

    def at_least(self, least: int, *names: str) -> None:
        """Raises: ConfigError for a smaller setting; None is let through."""
        for name in names:
            value = getattr(self, name)
            self.need(name, value is None or value >= least, f"at least {least}" if least else "0 or more")

    def positive(self, *names: str) -> None:
        """Raises: ConfigError for a setting that is not above 0; None is let through."""
        for name in names:
            value = getattr(self, name)
            self.need(name, value is None or value > 0, "greater than 0")

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `merged` reads back."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


S = TypeVar("S", bound=Settings)


def merged(base: S, values: Mapping[str, Any]) -> S:
    """The settings of ``base`` with some of them replaced.

    Raises:
        ConfigError: an unknown key (with the nearest known ones) or a value that cannot be used.
    """
    names = [field.name for field in dataclasses.fields(base)]
    for key in values:
        if key not in names:
            raise ConfigError(f"there is no setting '{key}'; {closest(str(key), names)}")
    ready: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return dataclasses.replace(base, **ready)


def check_type(name: str, value: Any, kind: Any) -> None:
    """Refuse a value that is not of the annotated type of its setting; an int will do for a float.

    Raises:
        ConfigError: names the setting, the value and what may stand there.
    """
    union = isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
    options = typing.get_args(kind) if union else (kind,)
    for option in options:
        origin, arguments = typing.get_origin(option), typing.get_args(option)
        if origin is typing.Literal:
            if value in arguments and isinstance(value, str):
                return
            if isinstance(value, str):
                raise ConfigError(f"{name}='{value}' is unknown; {closest(value, arguments)}")
        elif origin is tuple:
            if isinstance(value, tuple) and all(type(v) is arguments[0] for v in value):
                return
            if isinstance(value, tuple) and typing.get_origin(arguments[0]) is typing.Literal:
                for v in value:
                    check_type(name, v, arguments[0])
                return
        elif option is float:
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                return
        elif type(value) is option:
            return
    wanted = " or ".join(_describe(option) for option in options)
    raise ConfigError(f"{name}={value!r} cannot be used: it must be {wanted}.")


def _describe(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(repr(a) for a in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return "a list of whole numbers" if inner is int else f"a list of {_describe(inner)}"
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text", type(None): "null"}
    return names.get(kind, str(kind))
