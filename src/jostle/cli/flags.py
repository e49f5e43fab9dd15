"""What the commands' flags need beside tyro."""

import contextlib
import dataclasses
import io
import itertools
import re
from typing import Any, TypeVar

import tyro

from jostle.errors import ConfigError, closest

T = TypeVar("T")


def parse(kind: type[T], arguments: list[str], prog: str, default: T | None = None) -> T:
    """The arguments as a dataclass; what tyro would say of wrong ones in a frame of ten lines becomes one sentence.

    Raises:
        ConfigError: the arguments cannot be used.
        SystemExit: after help, with 0.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return (
                tyro.cli(kind, prog=prog, args=arguments)
                if default is None
                else tyro.cli(kind, prog=prog, args=arguments, default=default)
            )
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise ConfigError(_sentence(said.getvalue(), kind, prog)) from None


def _sentence(box: str, kind: type[Any], prog: str) -> str:
    """One sentence from tyro's frame, whose parts are divided by rules.

    Where the terminal knows no box characters, the frame is of spaces, and the title a part of its own.
    """
    lines = [line.strip("│ ") for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    parts: list[list[str]] = [[]]
    for line in lines:
        if line and not line.strip("─-"):
            parts.append([])
        else:
            parts[-1].append(line)
    said = parts[0] if "╭" in box or len(parts) == 1 else parts[1]
    text = " ".join(itertools.takewhile(bool, said)).rstrip(".")
    if text.startswith("Unrecognized options: "):
        unknown = text.removeprefix("Unrecognized options: ").split(", ")
        flag = next((word for word in unknown if word.startswith("-")), None)
        if flag is None:
            return f"{prog} has no use for '{unknown[0]}': see {prog} --help."
        hint = closest(flag.split("=")[0], _flags(kind))
        return f"{prog} has no option {flag}; {hint if hint.startswith('did') else f'see {prog} --help.'}"
    if text.startswith("Missing from"):
        needed = list(dict.fromkeys(re.findall(r"(?<!\S)(--[a-z-]+|PATH)(?= )", text)))
        return f"{prog} needs {' and '.join(needed) or 'more arguments'}: see {prog} --help."
    choice = re.fullmatch(r"invalid choice '(.*)' for argument '(\S+)'. Expected one of \((.*)\)", text)
    if choice:
        known = re.findall(r"'([^']*)'", choice[3])
        return f"{choice[2]} {choice[1]} is unknown; {closest(choice[1], known)}"
    wrong = re.fullmatch(r"Error parsing (\S+): no type matching (.*) could be instantiated from \[(.*)\]", text)
    if wrong:
        given = " ".join(re.findall(r"'([^']*)'", wrong[3]))
        numbers = "whole numbers" if "INT" in wrong[2] else "a number"
        return f"{wrong[1]} {given} cannot be used: write {numbers}, or None."
    return f"{text or 'the arguments cannot be used'}: see {prog} --help."


def _flags(kind: type[Any]) -> list[str]:
    """Every flag of a dataclass, those of the dataclasses inside included."""
    found = []
    for field in dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ():
        inner = field.default_factory
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            found += _flags(inner)
        else:
            found.append("--" + field.name.replace("_", "-"))
    return found


def named(metavar: str) -> Any:
    """For `Annotated`: what help calls the value."""
    return tyro.conf.arg(metavar=metavar)


def shown(default: str, metavar: str | None = None) -> Any:
    """For `Annotated`: what help says of a default that is worked out later, in place of None."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {default})", metavar=metavar)


def refuse_twice(arguments: list[str], flag: str) -> None:
    """Of a flag with many values that is given twice, tyro would drop the first without a word.

    Raises:
        ConfigError: it is given twice.
    """
    given = [word for word in arguments if word.split("=", 1)[0].replace("_", "-") == flag]
    if len(given) > 1:
        raise ConfigError(f"{flag} is given twice: write all values behind one {flag}.")


def flag_value(arguments: list[str], flag: str) -> str | None:
    """The value of a flag that must be known before the others are parsed; the last one counts.

    >>> flag_value(["--steps", "10", "--preset=cartpole-noisy"], "--preset")
    'cartpole-noisy'
    """
    found = None
    for index, word in enumerate(arguments):
        if word == flag:
            found = arguments[index + 1] if index + 1 < len(arguments) else None
        elif word.startswith(f"{flag}="):
            found = word.split("=", 1)[1]
    return found
