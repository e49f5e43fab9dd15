"""An algorithm's settings as flags, in the sections that its dataclass is written in."""

import dataclasses
import inspect
import re
import types
import typing
from typing import Annotated, Any

import tyro

from jostle.algo.parts.stream_settings import StreamTable
from jostle.algo.settings import Settings, plain_kind
from jostle.cli.streams import as_words, from_words

_STREAMS = "[NAME.FIELD=VALUE ...]"

_SHORT = {"learning_rate": ["--lr"]}
"""Flags that have a second name."""


def with_sections(command: type[Any], settings: type[Settings], doc: str) -> type[Any]:
    """The dataclass ``command`` with a dataclass for each section of the settings, whose flags have no prefix.

    Values are not checked: `merged` does so in one sentence, where tyro would frame it.

    Args:
        doc: what help says above the flags.
    """
    fields = []
    for title, names in sections(settings).items():
        section: Any = section_of(settings, title, names)
        unprefixed: Any = tyro.conf.OmitArgPrefixes
        fields.append((_identifier(title), unprefixed[section], dataclasses.field(default_factory=section)))
    made: type[Any] = dataclasses.make_dataclass(command.__name__, fields, bases=(command,))
    made.__doc__ = doc
    return made


def section_of(settings: type[Settings], title: str, names: list[str]) -> type[Any]:
    """A dataclass of some of the settings, for tyro."""
    hints = {name: plain_kind(kind) for name, kind in typing.get_type_hints(settings).items()}
    helps = docs(settings)
    defaults = {field.name: field.default for field in dataclasses.fields(settings)}
    tables = {name for name, kind in hints.items() if kind is StreamTable}
    hints |= dict.fromkeys(tables, tuple[str, ...])
    defaults |= dict.fromkeys(tables, ())
    fields = []
    for name in names:
        shape = _STREAMS if name in tables else metavar(hints[name])
        flag = tyro.conf.arg(help=helps[name], metavar=shape, aliases=_SHORT.get(name))
        fields.append((name, Annotated[hints[name], flag], dataclasses.field(default=defaults[name])))
    made: type[Any] = dataclasses.make_dataclass(_identifier(title), fields, frozen=True)
    made.__doc__ = f"{title}."
    return made


def chosen(arguments: Any, settings: type[Settings]) -> dict[str, Any]:
    """The settings in a parsed command, by name."""
    sectioned = [getattr(arguments, _identifier(title)) for title in sections(settings)]
    found = {field.name: getattr(part, field.name) for part in sectioned for field in dataclasses.fields(part)}
    tables = [name for name, kind in typing.get_type_hints(settings).items() if kind is StreamTable]
    return found | {name: from_words(found[name]) for name in tables}


def as_sections(command: type[Any], values: Settings) -> dict[str, Any]:
    """The values of settings as arguments of a command made by `with_sections`."""

    def flagged(value: Any) -> Any:
        return as_words(value) if isinstance(value, StreamTable) else value

    kinds = {field.name: field.default_factory for field in dataclasses.fields(command)}
    return {
        _identifier(title): typing.cast(Any, kinds[_identifier(title)])(
            **{name: flagged(getattr(values, name)) for name in names}
        )
        for title, names in sections(type(values)).items()
    }


def sections(settings: type[Settings]) -> dict[str, list[str]]:
    """The titles of the sections, each with its settings; those of the class itself before those of its bases."""
    found: dict[str, list[str]] = {}
    for kind in settings.__mro__:
        if kind is Settings:
            break
        title = ""
        for line in inspect.getsource(kind).splitlines():
            comment = re.fullmatch(r"    # (\w.*)", line)
            field = re.match(r"    (\w+): ", line)
            if comment:
                title = comment[1]
            elif field:
                found.setdefault(title, []).append(field[1])
    return found


def docs(settings: type[Settings]) -> dict[str, str]:
    """What stands below each setting."""
    found: dict[str, str] = {}
    for kind in reversed(settings.__mro__):
        if issubclass(kind, Settings) and kind is not Settings:
            pattern = r'^    (\w+): [^\n]*\n    """(.*?)"""'
            for name, text in re.findall(pattern, inspect.getsource(kind), flags=re.MULTILINE | re.DOTALL):
                found[name] = " ".join(text.split())
    return found


def metavar(kind: Any) -> str | None:
    """What help calls a value that may be None; None leaves it to tyro.

    >>> metavar(float | None), metavar(tuple[int, ...] | None), metavar(int)
    ('FLOAT|None', '[INT ...]|None', None)
    >>> metavar(float | typing.Literal["joint"] | None)
    'FLOAT|joint|None'
    """
    union = isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
    options = typing.get_args(kind) if union else ()
    if type(None) not in options:
        return None
    return "|".join([*(_named(option) for option in options if option is not type(None)), "None"])


def _named(value: Any) -> str:
    if typing.get_origin(value) is tuple:
        return f"[{typing.get_args(value)[0].__name__.upper()} ...]"
    if typing.get_origin(value) is typing.Literal:
        return "|".join(typing.get_args(value))
    return "True|False" if value is bool else str(value.__name__).upper()


def _identifier(title: str) -> str:
    """
    >>> _identifier("The network"), _identifier("Noise in the weights")
    ('network', 'noise_in_the_weights')
    """
    return re.sub(r"\W+", "_", title.lower()).removeprefix("the_")
