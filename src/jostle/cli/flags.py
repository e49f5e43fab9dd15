"""What the commands' flags need beside tyro."""

from typing import Any

import tyro

from jostle.errors import ConfigError


def shown(default: str) -> Any:
    """For `Annotated`: what help says of a default that is worked out later, in place of None."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {default})")


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
