"""Levels by their numbers, as Procgen has them: which an environment with given options plays, and which are unseen.

Levels are ``start_level`` to ``start_level + num_levels − 1``; ``num_levels=0`` means every level and ignores
``start_level``.
"""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from jostle.errors import ConfigError

MOST = 2**31 - 1
"""One more than the last level."""


def levels_of(options: Mapping[str, Any], where: str) -> tuple[int, int]:
    """First level and number of levels under an environment's options; missing and None are the default, 0.

    Args:
        options: of the environment.
        where: whose they are, for the message.

    Raises:
        ConfigError: one of them is no whole number of 0 or more.
    """
    return _whole(options, "start_level", where), _whole(options, "num_levels", where)


def unseen_levels(first: int, count: int, where: str) -> dict[str, int]:
    """Options that leave out the levels of the training: all that follow them.

    Raises:
        ConfigError: none follows.
    """
    if first + count >= MOST:
        raise ConfigError(
            f"no level follows those of the training, {first} to {first + count - 1}, so none is left for {where}: "
            "train on fewer, with --env-options num_levels=500."
        )
    return {"start_level": first + count, "num_levels": MOST - first - count}


def require_unseen(start: int, number: int, training: tuple[int, int], condition: str) -> None:
    """Raises: ConfigError where levels that a condition calls unseen were trained on."""
    first, count = training
    if number and (start >= first + count or first >= start + number):
        return
    after = unseen_levels(first, count, f"the condition '{condition}'")["start_level"]
    if number == 0:
        raise ConfigError(
            f"the condition '{condition}' has num_levels=0, which means every level and ignores start_level: to leave "
            f"out the levels trained on, give start_level={after} and a large num_levels."
        )
    raise ConfigError(
        f"the condition '{condition}' is called unseen, but its levels {start} to {start + number - 1} overlap the "
        f"levels {first} to {first + count - 1} of the training: start at {after}."
    )


def _whole(options: Mapping[str, Any], key: str, where: str) -> int:
    value = options.get(key)
    if value is None:
        return 0
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < 0:
        raise ConfigError(f"{key}={value!r} of {where} cannot be used: it must be a whole number of 0 or more.")
    return int(value)
