"""Settings of single reward streams as flags: ``--streams.e3b.coef 0.1``, or ``--streams e3b.coef=0.1 ext.coef=2``."""

from collections.abc import Iterable
from typing import Any

import yaml

from jostle.algo.parts.stream_settings import StreamTable
from jostle.errors import ConfigError
from jostle.yaml_text import parse_yaml

FLAG = "--streams"


def as_words(table: StreamTable) -> tuple[str, ...]:
    """
    >>> as_words(StreamTable({"e3b": {"coef": 0.1, "episodic": True}}))
    ('e3b.coef=0.1', 'e3b.episodic=true')
    """
    return tuple(
        f"{name}.{field}={str(value).lower() if isinstance(value, bool) else value}"
        for name, fields in table.as_plain().items()
        for field, value in fields.items()
    )


def from_words(words: Iterable[str]) -> StreamTable:
    """The table of `as_words`; of what is said twice, the last.

    >>> from_words(["e3b.coef=1", "e3b.coef=None", "ext.gamma=0.9"])
    {'ext': {'gamma': 0.9}}

    Raises:
        ConfigError: a word of another shape, or what `StreamTable` refuses.
    """
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        where, sign, value = word.partition("=")
        name, dot, field = where.rpartition(".")
        if not (sign and dot and name and field):
            raise ConfigError(
                f"{FLAG} {word} cannot be used: write the stream, what is its own, and its value, such as "
                f"{FLAG}.e3b.coef 0.1."
            )
        try:
            found.setdefault(name, {})[field.replace("-", "_")] = None if value == "None" else parse_yaml(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"the value of {FLAG}.{where} cannot be read: {value!r} is no number.") from error
    return StreamTable(found)


def gathered(arguments: Iterable[str], before: StreamTable) -> list[str]:
    """The arguments with everything that is said of streams behind one flag, over what they are ``before``.

    >>> gathered(["--lr", "1", "--streams.e3b.coef", "0.1"], StreamTable({"ext": {"coef": 2}}))
    ['--lr', '1', '--streams', 'ext.coef=2', 'e3b.coef=0.1']

    Raises:
        ConfigError: a flag of a stream without a value.
    """
    rest: list[str] = []
    said: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        flag, sign, value = word.partition("=")
        if flag.startswith(f"{FLAG}."):
            if not sign:
                if not words or words[0].startswith("--"):
                    raise ConfigError(f"{flag} needs a value, such as {flag} 0.1.")
                value = words.pop(0)
            said.append(f"{flag.removeprefix(FLAG + '.')}={value}")
        elif flag == FLAG:
            said += [value] if sign else []
            while not sign and words and not words[0].startswith("--"):
                said.append(words.pop(0))
        else:
            rest.append(word)
    return [*rest, FLAG, *as_words(before), *said] if said else rest
