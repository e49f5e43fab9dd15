"""The help of a command with many options: sections that each fit a screen, and can be shown one by one."""

import dataclasses
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any


def sections_of(kind: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """A command's sections, which are the dataclasses within its dataclass: names as help has them, and fields."""
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    return {f.name.replace("_", "-"): f for f in fields if dataclasses.is_dataclass(f.default_factory)}


def asked_for(arguments: list[str], kind: type[Any]) -> list[str]:
    """The sections whose name begins with the word behind ``--help``, or else has it within; empty without one."""
    names = list(sections_of(kind))
    for flag, word in itertools.pairwise(arguments):
        if flag in ("-h", "--help"):
            begins = [name for name in names if name.startswith(word.lower())]
            return begins or [name for name in names if word.lower() in name]
    return []


def values_of(names: list[str], kind: type[Any], default: Any) -> Iterator[tuple[type[Any], Any]]:
    """The dataclass of each of these sections, and its values: those of a command's defaults, or its own."""
    for name in names:
        field = sections_of(kind)[name]
        section: Any = field.default_factory
        yield section, section() if default is None else getattr(default, field.name)


def epilogue(kind: type[Any], prog: str) -> str:
    """What stands below the whole help; nothing where there are no sections."""
    names = list(sections_of(kind))
    if not names:
        return ""
    listed = textwrap.fill(f"sections: {', '.join(names)}", 80, subsequent_indent="  ", break_on_hyphens=False)
    return f"{listed}\n{prog} --help {min(names, key=len)} shows one of them alone\n"
