"""Is one side better than another, how sure is that, and how small a difference could have been seen?

Units are episodes, paired where both sides played the same ones, or the means of training runs. What is asked is y − x.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy import stats

from jostle.errors import ConfigError
from jostle.scores.intervals import Interval

POWER = 0.8
"""The chance with which `Difference.smallest` would have been called a difference."""
FLIPS = 10_000
"""Sign patterns of the permutation test; all of them where there are no more."""


@dataclass(frozen=True)
class Difference:
    """y − x.

    Attributes:
        x, y: mean of each side.
        interval: of y − x.
        p: two-sided p-value of "there is no difference".
        smallest: the least true difference that so many units would have called with probability `POWER`.
        units: pairs, or units of the smaller side.
        test: what the p-value comes from.
    """

    x: float
    y: float
    interval: Interval
    p: float
    smallest: float
    units: int
    test: str


def mcnemar(x: Bool[np.ndarray, "N"], y: Bool[np.ndarray, "N"]) -> float:
    """McNemar's exact test (McNemar 1947): of the pairs that differ, each side wins with probability ½.

    Two-sided p-value; 1 where no pair differs.
    """
    won, lost = int((y & ~x).sum()), int((x & ~y).sum())
    return 1.0 if won + lost == 0 else float(stats.binomtest(won, won + lost).pvalue)


def paired_successes(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> Difference:
    """The difference of two success rates on the same episodes [N].

    p by `mcnemar`; the interval is Bonett and Price's (2012, Statistical Methods in Medical Research 21:479), Wald's
    with one more pair of each kind that differs; the smallest difference is Connor's (1987, Biometrics 43:207, eq. 3)
    at the share of differing pairs that was found, and no less than what the exact test can call at all.

    Raises:
        ConfigError: sides of different lengths, or no pair.
    """
    x, y = _same(x, y)
    a, b, n = x > 0, y > 0, len(x)
    won, lost = int((b & ~a).sum()), int((a & ~b).sum())
    up, down = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    half = _z(confidence) * np.sqrt((up + down - (up - down) ** 2) / (n + 2))
    low, high = max(up - down - half, -1.0), min(up - down + half, 1.0)
    found = Interval((won - lost) / n, float(low), float(high), confidence)
    return Difference(a.mean(), b.mean(), found, mcnemar(a, b), smallest_paired_rate(n, up + down, confidence), n,
                      "McNemar's exact test")  # fmt: skip


def smallest_paired_rate(pairs: int, differing: float, confidence: float = 0.95) -> float:
    """The least difference of two rates that McNemar's test would have called with probability `POWER`.

    Args:
        pairs: how many.
        differing: the share of pairs in which one side succeeds and the other fails.
    """
    least = int(np.ceil(np.log2(2 / (1 - confidence))))  # so many, all for one side, have p = 2 · 2^−least
    # n d² = (z_α √ψ + z_β √(ψ − d²))², solved for d: with equal square roots d = (z_α + z_β) √(ψ / n) bounds it.
    levels = np.linspace(0, min(1.0, np.sqrt(differing)), 20_001)
    needed = _z(confidence) * np.sqrt(differing) + stats.norm.ppf(POWER) * np.sqrt(np.maximum(differing - levels**2, 0))
    enough = np.sqrt(pairs) * levels >= needed
    found = levels[enough.argmax()] if enough.any() else 1.0
    return float(min(1.0, max(found, least / pairs)))


def paired_returns(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95, seed: int = 0) -> Difference:
    """The difference of two means on the same episodes [N].

    p by flipping the signs of the pairs' differences (Fisher's permutation test: exact where equal sides make each sign
    as likely as the other), the interval by Student's t of the differences.

    Raises:
        ConfigError: as `paired_successes`, or numbers that are not finite.
    """
    x, y = _same(x, y)
    d = y - x
    n = len(d)
    error = float(d.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    found = _interval(float(d.mean()), error, n - 1, confidence)
    p = _sign_flip(d, seed)
    return Difference(x.mean(), y.mean(), found, p, _smallest(error, n - 1, confidence), n, "sign-flip test of pairs")


def unpaired_successes(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> Difference:
    """The difference of two success rates on other episodes, [N] and [M].

    p by Fisher's exact test; the interval is Agresti and Caffo's (2000, The American Statistician 54:280), Wald's with
    one more success and one more failure on each side.
    """
    a, b = (_numbers(side) > 0 for side in (x, y))
    table = np.array([[int(side.sum()), int((~side).sum())] for side in (a, b)])
    p = float(stats.fisher_exact(table)[1])
    (wins_x, size_x), (wins_y, size_y) = ((int(side.sum()) + 1, len(side) + 2) for side in (a, b))
    rate_x, rate_y = wins_x / size_x, wins_y / size_y
    error = np.sqrt(rate_x * (1 - rate_x) / size_x + rate_y * (1 - rate_y) / size_y)
    low, high = rate_y - rate_x - _z(confidence) * error, rate_y - rate_x + _z(confidence) * error
    found = Interval(float(b.mean() - a.mean()), max(float(low), -1.0), min(float(high), 1.0), confidence)
    smallest = min(1.0, float((_z(confidence) + stats.norm.ppf(POWER)) * error))
    return Difference(a.mean(), b.mean(), found, p, smallest, min(len(a), len(b)), "Fisher's exact test")


def contrast(
    groups: Sequence[ArrayLike],
    weights: Sequence[float],
    *,
    confidence: float = 0.95,
    variances: Sequence[float] | None = None,
) -> Difference:
    """``Σ w_g mean_g`` of independent groups with spreads of their own, by Welch's t (Satterthwaite's degrees).

    Groups with negative weights make up x, the others y: of [x, y] with weights [−1, 1] it is Welch's test.

    Args:
        groups: numbers of each group, two at least.
        weights: of the groups' means.
        variances: least variance of each group: what its numbers would scatter by for a known reason alone.

    Raises:
        ConfigError: a group of fewer than two, or numbers that are not finite.
    """
    sides = [_numbers(group) for group in groups]
    if any(len(side) < 2 for side in sides):
        raise ConfigError("a spread needs two numbers at least: give more runs, or more episodes.")
    w = np.asarray(weights, np.float64)
    mean = np.array([side.mean() for side in sides])
    least = np.zeros(len(sides)) if variances is None else np.asarray(variances, np.float64)
    size = np.array([len(side) for side in sides])
    part = w**2 * np.maximum([side.var(ddof=1) for side in sides], least) / size
    error, total = float(np.sqrt(part.sum())), float((w * mean).sum())
    degrees = float(part.sum() ** 2 / (part**2 / (size - 1)).sum()) if error > 0 else float(size.min() - 1)
    p = 2 * float(stats.t.sf(abs(total) / error, degrees)) if error > 0 else float(total == 0)
    x, y = float(-(w * mean)[w < 0].sum()), float((w * mean)[w > 0].sum())
    found = _interval(total, error, degrees, confidence)
    return Difference(x, y, found, p, _smallest(error, degrees, confidence), int(size.min()), "Welch's t-test")


def relabelled(x: ArrayLike, y: ArrayLike, *, seed: int = 0) -> float:
    """Two-sided p-value of the difference of two means [N], [M] by permutation (Fisher 1935): the share of all ways to
    deal the numbers to the sides that set the means at least as far apart. All ways up to `FLIPS`, else so many drawn.

    It supposes nothing of the numbers' distribution, and can be no less than 2 / C(N + M, N) where N = M: three runs
    against three never have p below 0.1, however far apart they are.

    >>> relabelled([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    0.1
    """
    a, b = _numbers(x), _numbers(y)
    pooled, n = np.concatenate([a, b]), len(a)
    ways = math.comb(len(pooled), n)
    if ways <= FLIPS:
        sides = np.array(list(itertools.combinations(range(len(pooled)), n)))
    else:
        rng = np.random.default_rng(seed)
        sides = rng.permuted(np.tile(np.arange(len(pooled)), (FLIPS, 1)), axis=1)[:, :n]
    total = pooled.sum()
    first = pooled[sides].sum(1)
    apart = np.abs((total - first) / len(b) - first / n)
    seen = abs(b.mean() - a.mean())
    extreme = int((apart >= seen - 1e-12 * max(1.0, np.abs(pooled).max())).sum())
    return extreme / ways if ways <= FLIPS else (extreme + 1) / (FLIPS + 1)


def holm(p: ArrayLike) -> Float[np.ndarray, "M"]:
    """Holm's adjusted p-values (1979): called at α, the chance of any false call among all M is at most α."""
    p = _numbers(p)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _sign_flip(d: Float[np.ndarray, "N"], seed: int) -> float:
    """Two-sided p-value of mean 0 over sign patterns, the one that was seen among them."""
    d = d[d != 0]
    if len(d) == 0:
        return 1.0
    seen = abs(d.sum()) * (1 - 1e-12)  # sums in another order differ by rounding
    if 2 ** len(d) <= FLIPS:
        signs = 1 - 2 * ((np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1)
        return float((np.abs(signs @ d) >= seen).mean())
    rng = np.random.default_rng(seed)
    extreme = sum(
        int((np.abs((1 - 2.0 * rng.integers(2, size=(FLIPS // 10, len(d)))) @ d) >= seen).sum()) for _ in range(10)
    )
    return (extreme + 1) / (FLIPS + 1)


def _interval(point: float, error: float, degrees: float, confidence: float) -> Interval:
    if not degrees > 0:
        return Interval(point, np.nan, np.nan, confidence)
    half = float(stats.t.ppf((1 + confidence) / 2, degrees)) * error
    return Interval(point, point - half, point + half, confidence)


def _smallest(error: float, degrees: float, confidence: float) -> float:
    """What a t-test calls with probability `POWER`, nearly: so many standard errors."""
    if not degrees > 0:
        return np.nan
    return float(stats.t.ppf((1 + confidence) / 2, degrees) + stats.t.ppf(POWER, degrees)) * error


def _z(confidence: float) -> float:
    return float(stats.norm.ppf((1 + confidence) / 2))


def _numbers(side: ArrayLike) -> Float[np.ndarray, "N"]:
    numbers = np.asarray(side, np.float64)
    if numbers.ndim != 1 or len(numbers) == 0 or not np.isfinite(numbers).all():
        raise ConfigError(f"a side must be a vector of finite numbers, not {numbers.shape}: drop what is missing.")
    return numbers


def _same(x: ArrayLike, y: ArrayLike) -> tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
    a, b = _numbers(x), _numbers(y)
    if len(a) != len(b):
        raise ConfigError(f"{len(a)} and {len(b)} episodes are no pairs: give the same ones on both sides.")
    return a, b
