"""How far apart two methods are over their seeds: in the number's own units, and in its deviations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from jostle.errors import ConfigError
from jostle.scores.differences import Difference, contrast, holm, relabelled
from jostle.scores.intervals import Interval


@dataclass(frozen=True)
class Effect:
    """y − x of one number over the seeds of two methods.

    Attributes:
        name: of the number.
        difference: in its units, with Welch's interval and p-value.
        g: Hedges' g, the difference in pooled standard deviations, with its interval.
        p: by permutation of the seeds, which supposes nothing of their distribution; with several numbers Holm's.
        seeds: of x and of y.
    """

    name: str
    difference: Difference
    g: Interval
    p: float
    seeds: tuple[int, int]

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "x": self.difference.x, "y": self.difference.y, "difference": self.difference.interval.as_dict(),
            "p (Welch)": self.difference.p, "g": self.g.as_dict(), "p (permutation)": self.p, "seeds": [*self.seeds],
        }  # fmt: skip


def hedges(x: Float[np.ndarray, "N"], y: Float[np.ndarray, "M"], *, confidence: float = 0.95) -> Interval:
    """Hedges' g = J (ȳ − x̄) / s_pooled with J = 1 − 3 / (4 (N + M − 2) − 1) (Hedges 1981, eq. 6).

    The interval is that of the non-central t distribution (Cumming and Finch 2001), scaled alike. NaN where nothing
    varies.

    Raises:
        ConfigError: a side of fewer than two.
    """
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise ConfigError(f"an effect size needs two seeds a side, not {n} and {m}: train more of them.")
    degrees = n + m - 2
    pooled = math.sqrt(((n - 1) * x.var(ddof=1) + (m - 1) * y.var(ddof=1)) / degrees)
    if not pooled > 1e-12 * max(1.0, float(np.abs(x).max()), float(np.abs(y).max())):
        return Interval(math.nan, math.nan, math.nan, confidence)
    scale, correction = math.sqrt(1 / n + 1 / m), 1 - 3 / (4 * degrees - 1)
    t = float(y.mean() - x.mean()) / pooled / scale
    ends = [_noncentrality(t, degrees, q) for q in ((1 + confidence) / 2, (1 - confidence) / 2)]
    low, high = (correction * scale * end for end in ends)
    return Interval(correction * scale * t, low, high, confidence)


def effect(name: str, x: Sequence[float], y: Sequence[float], *, confidence: float = 0.95) -> Effect:
    """`Effect` of one number, given of every seed of two methods.

    Raises:
        ConfigError: a side of fewer than two seeds, or numbers that are not finite.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    size = hedges(a, b, confidence=confidence)
    found = contrast([a, b], [-1.0, 1.0], confidence=confidence)
    return Effect(name, found, size, relabelled(a, b), (len(a), len(b)))


def effects(
    x: Mapping[str, Sequence[float]], y: Mapping[str, Sequence[float]], *, confidence: float = 0.95
) -> list[Effect]:
    """`effect` of every number that both sides have, their p-values adjusted for there being several (Holm 1979)."""
    found = [effect(name, x[name], y[name], confidence=confidence) for name in x if name in y]
    if not found:
        raise ConfigError("the two sides share no number: give the same ones of both.")
    adjusted = holm([each.p for each in found])
    return [
        Effect(each.name, each.difference, each.g, float(p), each.seeds)
        for each, p in zip(found, adjusted, strict=True)
    ]


def _noncentrality(t: float, degrees: int, quantile: float) -> float:
    """The δ under which t is this quantile of the non-central t distribution."""

    def over(delta: float) -> float:
        return float(stats.nct.cdf(t, degrees, delta)) - quantile

    reach = 5.0
    while over(t - reach) < 0 or over(t + reach) > 0:
        reach *= 2
        if reach > 1e4:
            return math.nan
    return float(optimize.brentq(over, t - reach, t + reach))
