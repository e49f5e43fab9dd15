"""Rates of success and their differences, with one family of intervals at every count: Clopper and Pearson's.

Unlike resampling it is not certain where all episodes agree, and covers no less than it says. Of several runs, whose
episodes are alike, it takes as many episodes as they are worth (Korn and Graubard 1998).
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from jaxtyping import Float
from scipy.special import betaincinv, stdtrit

from jostle.errors import ConfigError
from jostle.scores.intervals import Interval

Runs = Sequence[Float[np.ndarray, "E"]]
"""What each episode of each run counts."""


def clopper_pearson(share: float, count: float, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share of ``count`` trials, which need be no whole number (Clopper and Pearson 1934).

    >>> [round(end, 4) for end in clopper_pearson(1.0, 20)]
    [0.8316, 1.0]
    """
    tail, hits = (1 - confidence) / 2, share * count
    low = 0.0 if hits <= 0 else float(betaincinv(hits, count - hits + 1, tail))
    high = 1.0 if hits >= count else float(betaincinv(hits + 1, count - hits, 1 - tail))
    return low, high


def worth(runs: Runs, pooled: int = 1) -> float:
    """How many independent trials have a mean as sure as that of these runs.

    Of one run ``p (1 − p)`` over the variance of its mean, which is its episodes where they are 0 and 1. Of R runs the
    variance is that between them, and of the number ``(t_{n−1} / t_{R−1})²`` is left (97.5% quantiles of Student's
    distribution, of n episodes), for so few tell their variance badly (Korn and Graubard 1998).

    Args:
        runs: per run what its episodes count.
        pooled: how many rates each number is the mean of. No more trials are counted than episodes were played, and
            where nothing varies no more than there are numbers.
    """
    means = np.array([np.mean(run) for run in runs])
    point, count, most = float(means.mean()), len(runs), sum(map(len, runs))
    variance = float(means.var(ddof=1)) / count if count > 1 else float(np.var(runs[0])) / most
    trials = min(point * (1 - point) / variance, pooled * most) if variance > 0 else float(most)
    if count == 1:
        return trials
    return trials * float((stdtrit(max(most - 1, 1), 0.975) / stdtrit(count - 1, 0.975)) ** 2)


def rate_interval(runs: Runs, *, confidence: float = 0.95, pooled: int = 1) -> Interval:
    """The mean of what lies within 0 and 1, such as successes, with the interval of as many trials as it is `worth`.

    Args:
        runs: per run what its episodes count, 0 and 1 or between. Runs weigh the same.
        confidence: nominal coverage, which the interval of one run never falls below.
        pooled: how many rates each number is the mean of.

    Raises:
        ConfigError: no run, an empty one, or a number that is not within 0 and 1.
    """
    if not len(runs) or not all(len(run) for run in runs):
        raise ConfigError("a rate needs at least one run of at least one episode.")
    if not all(((np.asarray(run) >= 0) & (np.asarray(run) <= 1)).all() for run in runs):
        raise ConfigError("a rate is of numbers within 0 and 1: give successes as 0 and 1.")
    point = float(np.mean([np.mean(run) for run in runs]))
    low, high = clopper_pearson(point, worth(runs, pooled), confidence)
    return Interval(point, low, high, confidence)


def difference_interval(seen: Runs, others: Sequence[Runs], *, confidence: float = 0.95) -> Interval:
    """A rate minus the mean of other rates, with an interval made of those of its parts.

    What an episode adds to the difference, and what it takes away, have a rate each. From the difference the interval
    reaches as far as both of theirs together: the distances are added as deviations are, squared, with twice their
    product times the correlation (Newcombe 1998; Zou and Donner 2008). Episodes in equal places stand in pairs,
    and so do runs: what is alike on both sides cancels. Where it is not, any pairs are as good.

    Args:
        seen: successes of each run, 0 and 1.
        others: the same of each other condition, with as many runs and episodes.
        confidence: nominal coverage.

    Raises:
        ConfigError: the sides differ in runs or episodes, or hold other numbers than from 0 to 1.
    """
    if not others or any([*map(len, runs)] != [*map(len, seen)] for runs in others):
        raise ConfigError("a difference of rates needs as many runs and episodes on both sides.")
    added = [np.asarray(x) - np.mean(y, axis=0) for x, *y in zip(seen, *others, strict=True)]
    gained, lost = [np.clip(run, 0, None) for run in added], [np.clip(-run, 0, None) for run in added]
    up, down = (rate_interval(part, confidence=confidence, pooled=len(others)) for part in (gained, lost))
    opposed = 2 * _opposition(up.point, down.point, sum(map(len, seen)))
    less, more = up.point - up.low, up.high - up.point
    fewer, further = down.point - down.low, down.high - down.point
    below = sqrt(less**2 + further**2 + opposed * less * further)
    above = sqrt(more**2 + fewer**2 + opposed * more * fewer)
    point = up.point - down.point
    return Interval(point, max(point - below, -1.0), min(point + above, 1.0), confidence)


def _opposition(up: float, down: float, count: int) -> float:
    """Minus the correlation of two rates that exclude each other, ``√(p q / ((1 − p)(1 − q)))``.

    Half an episode more of each keeps it from 0 where one of them was never seen.
    """
    p, q = (up * count + 0.5) / (count + 1), (down * count + 0.5) / (count + 1)
    return min(sqrt(p * q / ((1 - p) * (1 - q))), 1.0)
