"""What the commands' flags need beside tyro."""

import contextlib
import dataclasses
import io
import itertools
import re
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from jostle.cli.manual import asked_for, epilogue, values_of
from jostle.errors import ConfigError, closest

T = TypeVar("T")
_NUMBERS = ConstructorRegistry()
_MOST = 2**63


@_NUMBERS.primitive_rule
def _counts(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
    """Whole numbers as people write them, 1e6 and 1_000_000 included."""
    if kind.type is not int:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda words: whole_number(words[0]),
        is_instance=lambda value: isinstance(value, int) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


def whole_number(word: str) -> int:
    """A whole number from its text.

    >>> whole_number("1e6"), whole_number("2.5e3"), whole_number("1_000")
    (1000000, 2500, 1000)

    Raises:
        ValueError: it is none.
    """
    try:
        number = Decimal(word)
        if -_MOST < number < _MOST and number == int(number):
            return int(number)
    except InvalidOperation:  # of nan too
        pass
    raise ValueError(f"{word} cannot be used: write a whole number, such as 1000 or 1e3")


def parse(kind: type[T], arguments: list[str], prog: str, default: T | None = None) -> T:
    """The arguments as a dataclass; what tyro would say of wrong ones in a frame of ten lines becomes one sentence.

    Raises:
        ConfigError: the arguments cannot be used.
        SystemExit: after help, of which ``--help SECTION`` shows a part, with 0.
    """
    said = io.StringIO()
    alone = asked_for(arguments, kind)
    for section, values in values_of(alone, kind, default):
        with contextlib.suppress(SystemExit):
            tyro.cli(section, prog=prog, args=["--help"], default=values, registry=_NUMBERS)
    if alone:
        raise SystemExit(0)
    try:
        with contextlib.redirect_stderr(said):
            return (
                tyro.cli(kind, prog=prog, args=arguments, registry=_NUMBERS)
                if default is None
                else tyro.cli(kind, prog=prog, args=arguments, default=default, registry=_NUMBERS)
            )
    except SystemExit as end:
        if end.code in (0, None):
            print(epilogue(kind, prog), end="")
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
    uncounted = re.fullmatch(r"Error parsing (\S+): (.* cannot be used: .*)", text)
    if uncounted:
        return f"{uncounted[1]} {uncounted[2]}."
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
