"""The stratified bootstrap: runs are resampled with replacement, independently within each task.

The tasks are kept: the uncertainty is that of other seeds on the same tasks, not of other tasks (Agarwal et al. 2021,
"stratified bootstrap confidence intervals").
"""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri

from jostle.errors import ConfigError, closest
from jostle.scores.statistics import STATISTICS, Statistic, wins

METHODS = ("percentile", "bca")
CHUNK = 2**19  # drawn scores in memory at once: 4 MB of indices and as much of scores


def draws(runs: int, tasks: int, resamples: int, rng: np.random.Generator) -> Iterator[Int[np.ndarray, "C R M"]]:
    """Run indices of all resamples in chunks: entry [c, r, m] is the run that stands in row r of task m.

    Every entry is drawn on its own, so tasks are resampled independently of each other. The size of the chunks does not
    change the numbers drawn.
    """
    size = max(1, CHUNK // (runs * tasks))
    for start in range(0, resamples, size):
        yield rng.integers(runs, size=(min(size, resamples - start), runs, tasks))


def take(scores: Float[np.ndarray, "R M"], index: Int[np.ndarray, "C R M"]) -> Float[np.ndarray, "C R M"]:
    """The resamples that the indices of `draws` name."""
    return np.asarray(scores[index, np.arange(scores.shape[1])])


def distributions(
    scores: Float[np.ndarray, "R M"], statistics: Mapping[str, Statistic], resamples: int, seed: int
) -> dict[str, Float[np.ndarray, "B"]]:
    """Each statistic on the same B resamples."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
    for index in draws(len(scores), scores.shape[1], resamples, np.random.default_rng(seed)):
        resampled = take(scores, index)
        for name, function in statistics.items():
            found[name].append(function(resampled))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def paired_distribution(
    x: Float[np.ndarray, "R M"], y: Float[np.ndarray, "R M"], function: Statistic, resamples: int, seed: int
) -> Float[np.ndarray, "B"]:
    """``function(x*) − function(y*)`` where both resamples take the same runs, so that pairs stay together."""
    rng = np.random.default_rng(seed)
    indices = draws(len(x), x.shape[1], resamples, rng)
    return np.concatenate([function(take(x, index)) - function(take(y, index)) for index in indices])


def improvement_distribution(
    x: Float[np.ndarray, "Rx M"], y: Float[np.ndarray, "Ry M"], resamples: int, seed: int
) -> Float[np.ndarray, "B"]:
    """P(X > Y) + ½ P(X = Y) on B resamples; X and Y are resampled independently of each other."""
    rng_x, rng_y = np.random.default_rng(seed).spawn(2)
    parts, done = [], 0
    size = max(1, CHUNK // (len(x) * len(y) * x.shape[1]))
    while done < resamples:
        count = min(size, resamples - done)
        index_x = rng_x.integers(len(x), size=(count, *x.shape))
        index_y = rng_y.integers(len(y), size=(count, *y.shape))
        parts.append(wins(take(x, index_x), take(y, index_y)))
        done += count
    return np.concatenate(parts)


def profile_distribution(
    indicator: Float[np.ndarray, "R M T"], resamples: int, seed: int
) -> Iterator[Float[np.ndarray, "C T"]]:
    """Performance profiles of all resamples, in chunks."""
    runs, tasks, _ = indicator.shape
    flat = indicator.reshape(runs * tasks, -1)
    for index in draws(runs, tasks, resamples, np.random.default_rng(seed)):
        count = len(index)
        # How often each score was drawn, times the indicators: one matrix product instead of B · R · M · T look-ups.
        cell = (index * tasks + np.arange(tasks)).reshape(count, -1) + np.arange(count)[:, None] * runs * tasks
        drawn = np.bincount(cell.ravel(), minlength=count * runs * tasks).reshape(count, runs * tasks)
        yield drawn @ flat / (runs * tasks)


def percentile(distribution: Float[np.ndarray, "B *T"], confidence: float) -> Float[np.ndarray, "2 *T"]:
    """The central share `confidence` of a bootstrap distribution, along its first axis."""
    tail = (1 - confidence) / 2
    return np.asarray(np.quantile(distribution, [tail, 1 - tail], axis=0))


def bca(
    distribution: Float[np.ndarray, "B"], point: float, jackknife: Float[np.ndarray, "R M"], confidence: float
) -> Float[np.ndarray, "2"]:
    """Bias-corrected and accelerated interval (Efron 1987), with the acceleration of several independent samples.

    Args:
        distribution: the statistic on B resamples.
        point: the statistic of the scores themselves.
        jackknife: the statistic without run r of task m.

    Returns:
        The two ends; NaN where every resample lies on the same side of the point.
    """
    # Resamples that equal the scores up to their order differ by rounding only; with three runs they are 22% of all.
    rounding = 1e-12 * max(abs(point), float(np.abs(distribution).max()))
    ties = np.abs(distribution - point) <= rounding
    below = float(((distribution < point) & ~ties).mean() + 0.5 * ties.mean())
    if below in (0.0, 1.0):
        return np.full(2, np.nan)
    z0 = ndtri(below)
    z = z0 + ndtri([(1 - confidence) / 2, (1 + confidence) / 2])
    level = ndtr(z0 + z / (1 - _acceleration(jackknife) * z))
    return np.asarray(np.quantile(distribution, level))


def _acceleration(jackknife: Float[np.ndarray, "R M"]) -> float:
    """``Σ U³ / R³ / (6 (Σ U² / R²)^{3/2})`` with ``U = (R − 1)(mean of the task's jackknife values − value)``."""
    runs = len(jackknife)
    u = (runs - 1) * (jackknife.mean(axis=0) - jackknife)
    spread = float((u**2).sum() / runs**2)
    scale = float(np.abs(jackknife).max())
    if spread <= (1e-12 * scale) ** 2:
        return 0.0
    return float((u**3).sum() / runs**3 / (6 * spread**1.5))


def jackknife(scores: Float[np.ndarray, "R M"], name: str, gamma: float = 1.0) -> Float[np.ndarray, "R M"]:
    """The named statistic without run r of task m, for each r and m.

    Tasks keep their weight when one of them lacks a run; the IQM pools the R·M − 1 scores that are left.
    """
    runs, tasks = scores.shape
    if name == "iqm":
        pooled = scores.ravel()
        without = np.array([np.delete(pooled, k) for k in range(pooled.size)])
        return STATISTICS["iqm"](without[:, None, :]).reshape(runs, tasks)
    capped = np.minimum(scores, gamma) if name == "optimality_gap" else scores
    left = (capped.sum(axis=0) - capped) / (runs - 1)  # the task's own mean without the run
    if name == "median":
        means = np.broadcast_to(capped.mean(axis=0), (runs, tasks, tasks)).copy()
        means[:, np.arange(tasks), np.arange(tasks)] = left
        return np.asarray(np.median(means, axis=-1))
    value = capped.mean() + (left - capped.mean(axis=0)) / tasks
    return np.asarray(gamma - value if name == "optimality_gap" else value)


def check(confidence: float, resamples: int, seed: int, method: str = "percentile") -> None:
    """Refuse settings of a bootstrap that cannot be used."""
    if method not in METHODS:
        raise ConfigError(f"unknown bootstrap method {method!r}: {closest(method, METHODS)}")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is {confidence}: give a share between 0 and 1, such as 0.95.")
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}: give at least 1; 10,000 is usual.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}: give a whole number of at least 0.")
