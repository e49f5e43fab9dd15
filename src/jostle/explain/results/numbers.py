"""A number beside its null, as summaries and reports show it: a number alone proves nothing."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jostle.scores.intervals import Interval

FEW = 40
"""Values of a null below which their least and greatest are told, not what holds 95% of them."""


@dataclass(frozen=True)
class Number:
    """A number and what it must be compared with.

    Attributes:
        name: what it is.
        value: the number.
        of: what the null is made of, in the plural where there are several.
        null: where it lies, from and to; None where nothing could be told of it.
        count: values of it; 0 where it is known without any.
        interval: of the number; None where it has none.
        p: the chance of such a number under the null; None where nobody tells it.
    """

    name: str
    value: float
    of: str
    null: tuple[float, float] | None = None
    count: int = 0
    interval: tuple[float, float] | None = None
    p: float | None = None

    @classmethod
    def beside(
        cls, name: str, value: float | Interval, nulls: Iterable[float], of: str, p: float | None = None
    ) -> "Number":
        """Of the values that the null has taken."""
        found = np.array([x for x in nulls if math.isfinite(x)], np.float64)
        point, interval = float(value.point if isinstance(value, Interval) else value), None
        if isinstance(value, Interval) and math.isfinite(value.high - value.low):
            interval = value.low, value.high
        null = None
        if len(found):
            ends = (found.min(), found.max()) if len(found) < FEW else np.quantile(found, [0.025, 0.975])
            null = float(ends[0]), float(ends[1])
        return cls(name, point, of, null, len(found), interval, p)

    @property
    def shown(self) -> str:
        """``0.21 [0.18, 0.25]``."""
        return short(self.value) + (f" [{short(self.interval[0])}, {short(self.interval[1])}]" if self.interval else "")

    @property
    def null_shown(self) -> str:
        """``0.04 to 0.09``, or the one number that it is."""
        if self.null is None:
            return "–"
        low, high = (short(x) for x in self.null)
        return low if low == high else f"{low} to {high}"

    @property
    def null_is(self) -> str:
        """``5 untrained networks``, ``95% of 99 permuted labels``."""
        told = f"{self.count} {self.of}" if self.count else self.of
        return f"95% of {told}" if self.count >= FEW else told

    @property
    def p_shown(self) -> str:
        """``0.048``."""
        return "" if self.p is None else f"{self.p:.2g}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data; what is not finite is None."""
        return {
            "number": self.name, "value": _plain(self.value), "null": _pair(self.null), "null is": self.of,
            "values of the null": self.count, "interval": _pair(self.interval), "p": _plain(self.p),
        }  # fmt: skip

    @classmethod
    def of_dict(cls, data: Any) -> "Number":
        """From `as_dict`.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        value = math.nan if data["value"] is None else float(data["value"])
        pairs = [None if data[key] is None else tuple(map(float, data[key])) for key in ("null", "interval")]
        if any(pair is not None and len(pair) != 2 for pair in pairs):
            raise ValueError("a range has two ends")
        null, interval = pairs
        p = None if data["p"] is None else float(data["p"])
        count = int(data["values of the null"])
        return cls(str(data["number"]), value, str(data["null is"]), null, count, interval, p)  # type: ignore[arg-type]


def short(value: float) -> str:
    """Three significant digits and a true minus sign.

    >>> short(0.12345), short(-1234.5), short(0.0), short(float("nan"))
    ('0.123', '−1234', '0', '–')
    """
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    told = f"{value:.{digits}f}" if digits <= 6 else f"{value:.2g}"
    return told.replace("-", "−")


def _plain(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _pair(pair: tuple[float, float] | None) -> list[float] | None:
    return None if pair is None or not all(map(math.isfinite, pair)) else [float(x) for x in pair]
