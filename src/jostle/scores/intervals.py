"""Confidence intervals of the statistics, by the stratified bootstrap.

With few runs every bootstrap interval is too narrow: it can only rearrange the scores it was given. docs/statistics.md
says by how much.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, isfinite, log10

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jostle.errors import ConfigError
from jostle.scores import bootstrap
from jostle.scores.statistics import (
    above,
    as_scores,
    as_vector,
    lookup,
    same_tasks,
    wins,
)

RESAMPLES = 2_000
"""Of intervals over the episodes of an evaluation or a stress test."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate with its confidence interval; `low` and `high` are NaN where there is none, as with one run."""

    point: float
    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        """``0.82 [0.71, 0.90]``: as many decimals as give the interval's width two significant digits."""
        return self.text(self.digits)

    @property
    def size(self) -> float:
        """The largest of its numbers without its sign; 0 where there is none."""
        return max((abs(each) for each in (self.point, self.low, self.high) if isfinite(each)), default=0.0)

    @property
    def digits(self) -> int:
        """Decimals that give the width two significant digits; where there is none two, or as many as show a small
        number."""
        width = self.high - self.low
        # Rewards are float32: what is narrower is their rounding.
        if isfinite(width) and width > max(1e-6 * self.size, 1e-12):
            return min(max(1 - floor(log10(width)), 0), 12)
        if 1e-6 < self.size < 0.01:
            return 1 - floor(log10(self.size))
        return max(2 - max(floor(log10(max(self.size, 1.0))), 0), 0)

    def text(self, digits: int) -> str:
        """Point and ends with so many decimals."""
        point = decimal(self.point, digits)
        if not isfinite(self.high - self.low):
            return f"{point} [no interval]"
        return f"{point} [{decimal(self.low, digits)}, {decimal(self.high, digits)}]"

    def as_dict(self) -> dict[str, float | None]:
        """Numbers for JSON; None where there is no interval, since JSON has no NaN."""
        ends = {"low": self.low, "high": self.high}
        return {"point": self.point} | {name: end if isfinite(end) else None for name, end in ends.items()}


def decimal(value: float, digits: int) -> str:
    """A number with so many decimals, and without the sign of a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def decimals(column: Iterable[Interval | None]) -> int:
    """One number of decimals for a column: what the narrowest interval asks for, but no more than four significant
    digits of the largest number."""
    found = [each for each in column if each is not None]
    if not found:
        return 2
    largest = max(max(each.size for each in found), 1e-9)
    return min(max(each.digits for each in found), max(3 - floor(log10(largest)), 0))


def settled(found: Interval, *scores: ArrayLike) -> Interval:
    """A difference of scores without their rounding: what is less than a millionth of the median score is 0.

    Scores are sums of float32 rewards, whose last digits depend on the order of adding.
    """
    least = 1e-6 * float(np.median(np.abs(np.concatenate([np.ravel(each) for each in scores]))))
    point, low, high = (0.0 if abs(value) <= least else value for value in (found.point, found.low, found.high))
    return Interval(point, low, high, found.confidence)


def interval(
    scores: ArrayLike,
    statistic: str = "iqm",
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    method: str = "percentile",
    gamma: float = 1.0,
) -> Interval:
    """Confidence interval of one statistic by the stratified bootstrap.

    Args:
        scores: [R, M], R runs of M tasks, or [R].
        statistic: "mean", "median", "iqm" or "optimality_gap".
        confidence: nominal coverage; below about ten runs the true one is lower (docs/statistics.md).
        resamples: bootstrap resamples.
        seed: of the resampling; the same seed gives the same interval.
        method: "percentile" (as in Agarwal et al. 2021) or "bca" (bias-corrected and accelerated, Efron 1987).
        gamma: the optimality gap's target.

    Returns:
        The statistic with its interval; the interval is NaN with one run.

    Raises:
        ConfigError: bad scores, or an unknown statistic or method.
    """
    matrix = as_scores(scores)
    return intervals(matrix, [statistic], confidence, resamples, seed, method, gamma)[statistic]


def intervals(
    scores: Float[np.ndarray, "R M"],
    names: list[str],
    confidence: float,
    resamples: int,
    seed: int,
    method: str,
    gamma: float,
) -> dict[str, Interval]:
    """`interval` of several statistics on the same resamples."""
    bootstrap.check(confidence, resamples, seed, method)
    functions = {name: lookup(name, gamma) for name in names}
    points = {name: float(function(scores)) for name, function in functions.items()}
    if len(scores) == 1:
        return {name: Interval(point, np.nan, np.nan, confidence) for name, point in points.items()}
    found = {}
    for name, distribution in bootstrap.distributions(scores, functions, resamples, seed).items():
        if method == "bca":
            ends = bootstrap.bca(distribution, points[name], bootstrap.jackknife(scores, name, gamma), confidence)
        else:
            ends = bootstrap.percentile(distribution, confidence)
        found[name] = Interval(points[name], float(ends[0]), float(ends[1]), confidence)
    return found


def paired_interval(
    x: ArrayLike,
    y: ArrayLike,
    statistic: str = "mean",
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    method: str = "percentile",
    gamma: float = 1.0,
) -> Interval:
    """Interval of ``statistic(x) − statistic(y)`` where row r of both was run with the same seed.

    Resampling keeps the pairs together, so what a seed does to both methods alike cancels. Options as in `interval`.

    Raises:
        ConfigError: x and y differ in shape, bad scores, or an unknown statistic or method.
    """
    x, y = as_scores(x, "x"), as_scores(y, "y")
    if x.shape != y.shape:
        raise ConfigError(f"x has shape {list(x.shape)} and y {list(y.shape)}: pairs need the same runs and tasks.")
    bootstrap.check(confidence, resamples, seed, method)
    function = lookup(statistic, gamma)
    point = float(function(x) - function(y))
    if len(x) == 1:
        return settled(Interval(point, np.nan, np.nan, confidence), x, y)
    distribution = bootstrap.paired_distribution(x, y, function, resamples, seed)
    if method == "bca":
        without = bootstrap.jackknife(x, statistic, gamma) - bootstrap.jackknife(y, statistic, gamma)
        ends = bootstrap.bca(distribution, point, without, confidence)
    else:
        ends = bootstrap.percentile(distribution, confidence)
    return settled(Interval(point, float(ends[0]), float(ends[1]), confidence), x, y)


def improvement_interval(
    x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """`probability_of_improvement` with its percentile interval; X and Y are resampled independently, task by task.

    NaN where either has one run. Where every run of X beats every run of Y, the interval is the single point 1:
    resampling cannot show the run that was not seen.
    """
    x, y = same_tasks(x, y)
    bootstrap.check(confidence, resamples, seed)
    point = float(wins(x, y))
    if min(len(x), len(y)) == 1:
        return Interval(point, np.nan, np.nan, confidence)
    low, high = bootstrap.percentile(bootstrap.improvement_distribution(x, y, resamples, seed), confidence)
    return Interval(point, float(low), float(high), confidence)


def profile_band(
    scores: ArrayLike, thresholds: ArrayLike, *, confidence: float = 0.95, resamples: int = 2_000, seed: int = 0
) -> Float[np.ndarray, "2 T"]:
    """Percentile band of `performance_profile`, threshold by threshold; NaN with one run.

    The confidence holds at each threshold, not for the whole curve at once.
    """
    matrix, levels = as_scores(scores), as_vector(thresholds, "thresholds")
    bootstrap.check(confidence, resamples, seed)
    if len(matrix) == 1:
        return np.full((2, len(levels)), np.nan)
    profiles = np.concatenate(list(bootstrap.profile_distribution(above(matrix, levels), resamples, seed)))
    return bootstrap.percentile(profiles, confidence)
