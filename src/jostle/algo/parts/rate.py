"""Learning rates over a training: constant, falling, or a function of one's own."""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

from jostle.errors import ConfigError

Rate: TypeAlias = float | Callable[[float], float]
"""A learning rate, or a function of the share of the training that is left, 1 at the start and 0 at the end."""
RateSchedule = Literal["constant", "linear", "cosine"]


def rate_at(rate: Rate, schedule: RateSchedule, left: float) -> float:
    """The learning rate with a share ``left`` of the training still to come.

    >>> rate_at(0.5, "linear", 0.25), rate_at(0.5, "cosine", 0.5), rate_at(lambda left: 0.1 * left, "constant", 0.5)
    (0.125, 0.25, 0.05)

    Raises:
        ConfigError: the function raises, or returns what is no learning rate.
    """
    if not callable(rate):
        factor = {"constant": 1.0, "linear": left, "cosine": 0.5 * (1 + math.cos(math.pi * (1 - left)))}[schedule]
        return rate * factor
    try:
        returned = rate(left)
        found = float(returned)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"the learning rate's function failed at {left:g}, the share of training left ({why})."
        ) from error
    if not (math.isfinite(found) and found >= 0):
        raise ConfigError(
            f"the learning rate's function returned {returned!r} at {left:g}, the share of training left: it must "
            "return the learning rate, a finite number of 0 or more."
        )
    return found


def check_rate(rate: Rate, schedule: RateSchedule) -> None:
    """Refuse a function that does not work, or one with a schedule beside it.

    Raises:
        ConfigError: it is so.
    """
    if callable(rate):
        if schedule != "constant":
            raise ConfigError(f"lr_schedule='{schedule}' does nothing where learning_rate is a function: leave it out.")
        rate_at(rate, schedule, 1.0)
