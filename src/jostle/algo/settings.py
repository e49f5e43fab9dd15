"""What every algorithm's settings share: types checked, one sentence for a wrong one, plain data and back."""

import collections.abc
import dataclasses
import math
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np
from torch import nn

from jostle.errors import ConfigError, closest
from jostle.plain import as_count, plain

SAVED = "a saved agent"
"""`Settings.origin` of settings read from a checkpoint."""


class Compound(ABC):
    """A setting with settings inside: hashable, and plain data in files."""

    @classmethod
    @abstractmethod
    def read(cls, value: Any) -> Self:
        """From plain data, or itself.

        Raises:
            ConfigError: it cannot be used.
        """

    @abstractmethod
    def overlaid(self, value: Any) -> Self:
        """With plain data in front of what it holds."""

    @abstractmethod
    def as_plain(self) -> Any:
        """Plain data that `read` takes back."""


@dataclass(frozen=True)
class Settings:
    """A frozen dataclass of settings. A subclass gives the fields, and checks their values in `check`.

    NumPy's scalars and arrays become plain numbers and tuples, and one value where several may stand a tuple of one.

    ``origin`` is no setting: the name of the preset that the values come from, or `SAVED`; None: somebody wrote them.
    """

    origin: str | None = field(default=None, compare=False, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for name in setting_names(type(self)):
            given = getattr(self, name)
            if isinstance(hints[name], type) and issubclass(hints[name], Compound):
                value = hints[name].read(given)
            else:
                value = _normalised(plain(given), hints[name])
                check_type(name, value, hints[name])
            if value is not given:
                object.__setattr__(self, name, value)
        self.check()

    def check(self) -> None:
        """Refuse values of the right type that make no sense."""

    def idle(self) -> Iterator[tuple[str, str]]:
        """Settings that do nothing beside the others, each with the reason: where one is not its default, somebody
        expects of it what will not come. Sizes of parts that are not there are none of these: they may stand ready."""
        yield from ()

    def decided_by_agent(self) -> tuple[str, ...]:
        """Settings that an agent decides where they are None: its config then holds what it decided."""
        return ()

    def doubts(self) -> Iterator[str]:
        """What is known to go wrong with these settings, each in a sentence with the remedy."""
        yield from ()

    def refuse_idle(self, known: "Settings | None" = None, *, allowed: Collection[str] = ()) -> None:
        """Refuse what was set and does nothing, but for values that stand in ``known`` too, and the ``allowed``.

        Raises:
            ConfigError: the setting and the reason.
        """
        defaults = type(self)()
        for name, why in self.idle():
            value = getattr(self, name)
            given = value != getattr(defaults, name) and (known is None or value != getattr(known, name))
            if given and name not in allowed:
                raise ConfigError(f"{name}={value!r} does nothing {why}: leave it out.")

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
        """Raises: ConfigError for a setting that is not above 0; None and functions are let through."""
        for name in names:
            value = getattr(self, name)
            self.need(name, value is None or callable(value) or value > 0, "greater than 0")

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `merged` reads back; functions and modules by their names, which it asks for."""
        values = {name: getattr(self, name) for name in setting_names(type(self))}
        return {key: list(value) if isinstance(value, tuple) else _named(value) for key, value in values.items()}


S = TypeVar("S", bound=Settings)


def setting_names(kind: "type[Settings] | Settings") -> list[str]:
    """The names of the settings."""
    return [f.name for f in dataclasses.fields(kind) if f.name != "origin"]


def _options(kind: Any) -> tuple[Any, ...]:
    union = isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
    return typing.get_args(kind) if union else (kind,)


def _normalised(value: Any, kind: Any) -> Any:
    """Where several values may stand: a list as a tuple, and a single value as a tuple of one; a count written 1e5 as a
    whole number."""
    if int in _options(kind) and float not in _options(kind):
        return as_count(value)
    if not any(typing.get_origin(option) is tuple for option in _options(kind)):
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else value


def is_object(kind: Any) -> bool:
    """Whether an option of a setting's type is a function or a module, which no file and no flag can hold."""
    return typing.get_origin(kind) is collections.abc.Callable or kind is nn.Module


def plain_kind(kind: Any) -> Any:
    """A setting's type without the objects among its options."""
    options = [option for option in _options(kind) if not is_object(option)]
    return kind if len(options) == len(_options(kind)) else typing.Union[tuple(options)]  # noqa: UP007


def _named(value: Any) -> Any:
    """Functions, classes and modules by name, such as ``<function mine.make_encoder>``; plain values as they are."""
    if isinstance(value, Compound):
        return value.as_plain()
    if isinstance(value, nn.Module):
        return f"<module {type(value).__module__}.{type(value).__qualname__}>"
    if not callable(value):
        return value
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"<{'class' if isinstance(value, type) else 'function'} {named.__module__}.{named.__qualname__}>"


def is_name_of_object(value: Any) -> bool:
    """Whether a value of a file stands for a function or a module, as `Settings.as_dict` writes it."""
    return isinstance(value, str) and value.startswith(("<function ", "<class ", "<module ")) and value.endswith(">")


def restored(base: S, values: Mapping[str, Any], given: Mapping[str, Any]) -> S:
    """The settings of a saved agent, with the functions and modules ``given`` in place of their names.

    Raises:
        ConfigError: one is missing, or one is given for what the folder holds as plain data; or as `merged` raises.
    """
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if not is_name_of_object(values.get(name)):
            raise ConfigError(
                f"{name}= is not needed: the folder holds {name}={values.get(name)!r} itself; leave it out."
            )
    return merged(base, {**values, **given}, origin=SAVED)


def merged(base: S, values: Mapping[str, Any], *, origin: str | None = None) -> S:
    """The settings of ``base`` with some of them replaced, and ``origin`` unless it is None.

    What has settings inside (`Compound`) is replaced field by field.

    Raises:
        ConfigError: an unknown key (with the nearest known ones) or a value that cannot be used.
    """
    names, new = setting_names(base), {}
    for key, value in values.items():
        if key not in names:
            raise ConfigError(f"there is no setting '{key}'; {closest(str(key), names)}")
        here = getattr(base, key)
        new[key] = here.overlaid(value) if isinstance(here, Compound) else value
    return dataclasses.replace(base, **new, origin=base.origin if origin is None else origin)


def settings_of(kind: type[S], config: "Settings | Mapping[str, Any] | None", values: Mapping[str, Any]) -> S:
    """Settings from what a constructor is given: settings or a mapping of them, and some more by name.

    Raises:
        ConfigError: they are another algorithm's, nothing of the kind, or as `merged` raises.
    """
    if config is None or isinstance(config, Mapping):
        return merged(kind(), {**(config or {}), **values})
    if not isinstance(config, kind):
        raise ConfigError(
            f"config={type(config).__name__ if isinstance(config, Settings) else repr(config)} cannot be used: it must "
            f"be a {kind.__name__}, or a mapping of its settings."
        )
    return merged(config, values)


def check_type(name: str, value: Any, kind: Any) -> None:
    """Refuse a value that is not of the annotated type of its setting; an int will do for a float.

    Raises:
        ConfigError: names the setting, the value and what may stand there.
    """
    options = _options(kind)
    if any(is_object(option) for option in options):
        if is_name_of_object(value):
            raise ConfigError(
                f"{name}={value!r} stands for an object, which no file holds: give it in Python, as {name}=… "
                f"(jostle.load and jostle.resume take it too)."
            )
        if callable(value):
            return
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
        elif is_object(option):
            continue
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
    if is_object(kind):
        return "a module" if kind is nn.Module else "a function"
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text", type(None): "null"}
    return names.get(kind, str(kind))
