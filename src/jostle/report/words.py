"""How numbers and names are written."""

import math
from collections.abc import Iterable, Sequence

from jostle.scores.intervals import Interval, decimal

_WORDS = {
    "coef": "coefficient", "lr": "learning rate", "num": "number of", "env": "environment", "envs": "environments",
    "obs": "observations", "eps": "epsilon", "max": "greatest", "min": "least", "kl": "KL", "gae": "GAE",
}  # fmt: skip


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Iterable[object], most: int = 6) -> str:
    """``a, b and c``; of many the first ones and how many more.

    >>> listed("abc"), listed("abcd", most=2)
    ('a, b and c', 'a, b and 2 more')
    """
    told = [str(name) for name in names]
    if len(told) > most:
        return f"{', '.join(told[:most])} and {len(told) - most} more"
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}" if told else "nothing"


def setting(name: str) -> str:
    """A setting's name in words.

    >>> setting("entropy_coef"), setting("env_options.size"), setting("num_steps")
    ('entropy coefficient', 'size (of the environment)', 'number of steps')
    """
    option = name.removeprefix("env_options.")
    told = " ".join(_WORDS.get(word, word) for word in option.split("_"))
    return f"{told} (of the environment)" if option != name else told


def number(value: float, digits: int = 2) -> str:
    """With thousands apart where it is large, and a true minus sign.

    >>> number(12345.6, 0), number(-0.5), number(math.nan)
    ('12,346', '−0.50', '–')
    """
    if not math.isfinite(value):
        return "–"
    return f"{float(decimal(value, digits)):,.{digits}f}".replace("-", "−")


def span(found: Interval | None, digits: int | None = None) -> str:
    """A point with its interval: ``0.82 [0.71, 0.90]``."""
    if found is None or not math.isfinite(found.point):
        return "–"
    digits = found.digits if digits is None else digits
    point = number(found.point, digits)
    if not math.isfinite(found.high - found.low):
        return point
    return f"{point} [{number(found.low, digits)}, {number(found.high, digits)}]"


def ends(found: Interval, digits: int | None = None) -> str:
    """The interval alone: ``[0.71, 0.90]``."""
    digits = found.digits if digits is None else digits
    return f"[{number(found.low, digits)}, {number(found.high, digits)}]"


def steps(value: float) -> str:
    """Environment steps on an axis: ``20k``, ``1.5M``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{letter}"
    return f"{value:.6g}"


def duration(seconds: float) -> str:
    """``42 s``, ``3.5 min``, ``2 h``."""
    if not math.isfinite(seconds):
        return "–"
    if abs(seconds) < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if abs(seconds) < 6000 else f"{seconds / 3600:.3g} h"


def over(counts: Sequence[int]) -> str:
    """``over 5 seeds each``, ``over 3 to 5 seeds``."""
    least, most = min(counts), max(counts)
    if least == most:
        return f"over {counted(least, 'seed')}" + (" each" if len(counts) > 1 else "")
    return f"over {least} to {most} seeds"
