"""Axes: round places for ticks, and numbers to pixels."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """From numbers within low and high to pixels within begin and end."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a number."""
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)


def extent(values: Iterable[float], margin: float = 0.05) -> tuple[float, float]:
    """The least and the greatest finite value with a margin; wide enough to be an axis where all are the same.

    >>> extent([0.0, 10.0, float("nan")], margin=0.1)
    (-1.0, 11.0)
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    wide = (high - low) * margin
    if wide <= 1e-12 * max(abs(low), abs(high)):
        wide = abs(high) * 0.05 or 0.5
    return low - wide, high + wide


def ticks(low: float, high: float, count: int = 5, base: float = 10.0) -> list[float]:
    """Round numbers within low and high, about ``count`` of them: multiples of 1, 2 or 5 times a power of ten.

    Args:
        low, high: the ends of the axis.
        count: how many at most, nearly.
        base: 60 for seconds, which are multiples of minutes or hours then.

    >>> ticks(0, 97), ticks(0, 400, base=60)
    ([0.0, 20.0, 40.0, 60.0, 80.0], [0.0, 120.0, 240.0, 360.0])
    """
    unit = 1.0
    if base == 60.0:
        unit = 3600.0 if high - low > 3600 * count / 4 else 60.0 if high - low > 60 * count / 2 else 1.0
    raw = (high - low) / max(count, 1) / unit
    power = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next(mult * power for mult in (1, 2, 2.5, 5, 10) if mult * power >= raw * (1 - 1e-9)) * unit
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) + 0.0 for k in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_digits(found: list[float]) -> int:
    """Decimals that tell the ticks apart."""
    step = min((b - a for a, b in itertools.pairwise(found)), default=1.0)
    digits = max(0, -math.floor(math.log10(step))) if step > 0 else 0
    while digits < 12 and any(abs(round(value, digits) - value) > 1e-9 * max(step, 1e-12) for value in found):
        digits += 1
    return digits
