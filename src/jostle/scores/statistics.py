"""Point estimates of scores over runs and tasks, as recommended by Agarwal et al. 2021 (arXiv 2108.13264).

Scores are a matrix [R, M]: R runs (seeds) of each of M tasks; a vector [R] is one task. Where several tasks are pooled
the scores should be normalised per task first, or the task with the largest rewards decides. `STATISTICS` and `wins`
take any leading axes, so that one call evaluates many bootstrap resamples.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jostle.errors import ConfigError, closest

Statistic = Callable[[Float[np.ndarray, "*B R M"]], Float[np.ndarray, "*B"]]


def as_scores(scores: ArrayLike, name: str = "scores") -> Float[np.ndarray, "R M"]:
    """Scores as a float64 matrix [R, M] of R runs and M tasks; a vector is one task.

    Raises:
        ConfigError: not numbers, neither one nor two axes, empty, or NaN or infinite somewhere.
    """
    try:
        array = np.asarray(scores)
        if array.dtype.kind not in "biuf":
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be numbers, with equally many runs of every task.") from error
    if array.ndim not in (1, 2):
        raise ConfigError(f"{name} has shape {list(array.shape)}: give [runs] or [runs, tasks].")
    if array.size == 0:
        raise ConfigError(f"{name} is empty (shape {list(array.shape)}): give at least one run of one task.")
    matrix = array.reshape(len(array), -1)
    if not np.isfinite(matrix).all():
        run, task = np.argwhere(~np.isfinite(matrix))[0]
        raise ConfigError(f"{name} holds {matrix[run, task]} (run {run}, task {task}): give a failed run a score.")
    return matrix


def as_vector(values: ArrayLike, name: str) -> Float[np.ndarray, "N"]:
    """A float64 vector, checked to be finite and not empty."""
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be numbers.") from error
    if vector.ndim != 1 or vector.size == 0 or not np.isfinite(vector).all():
        raise ConfigError(f"{name} (shape {list(vector.shape)}) must be a vector of finite numbers.")
    return vector


def mean(scores: ArrayLike) -> float:
    """Mean over all runs and tasks, which is the mean of the tasks' means."""
    return float(_mean(as_scores(scores)))


def median(scores: ArrayLike) -> float:
    """Median over tasks of each task's mean; with one task it equals the mean."""
    return float(_median(as_scores(scores)))


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean: the mean of the middle half of all R·M scores.

    ``floor(R·M / 4)`` scores are cut off at either end, as in `scipy.stats.trim_mean(scores, 0.25, axis=None)`: where
    R·M is not divisible by 4 more than half are kept, and fewer than four scores are all kept.

    >>> iqm([0.0, 1.0, 2.0, 9.0])
    1.5
    """
    return float(_iqm(as_scores(scores)))


def optimality_gap(scores: ArrayLike, gamma: float = 1.0) -> float:
    """How far scores stay below the target γ on average, ``γ − mean(min(score, γ))``: lower is better, 0 is best.

    What exceeds γ does not count. With γ = 1 the scores must be normalised so that 1 is the level wanted.
    """
    return float(lookup("optimality_gap", gamma)(as_scores(scores)))


def std(scores: ArrayLike) -> float:
    """Standard deviation between runs of the same task: the root of the tasks' mean variance (divisor R − 1).

    NaN with one run.
    """
    matrix = as_scores(scores)
    return float(np.sqrt(matrix.var(axis=0, ddof=1).mean())) if len(matrix) > 1 else float("nan")


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> Float[np.ndarray, "T"]:
    """Share of all R·M scores above each threshold τ (the run-score distribution; strictly above)."""
    return np.asarray(above(as_scores(scores), as_vector(thresholds, "thresholds")).mean(axis=(0, 1)))


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """How likely a run of X beats a run of Y on the same task: mean over tasks of ``P(X > Y) + ½ P(X = Y)``.

    Per task this is the Mann-Whitney statistic U over ``R_x · R_y``. It says how often, not by how much.

    Args:
        x: scores [R_x, M].
        y: scores [R_y, M]; the number of runs may differ, the tasks must be the same.
    """
    return float(wins(*same_tasks(x, y)))


def lookup(name: str, gamma: float = 1.0) -> Statistic:
    """The batched function [*B, R, M] -> [*B] of a name in `STATISTICS`; γ matters to the optimality gap only."""
    if name not in STATISTICS:
        raise ConfigError(f"unknown statistic {name!r}: {closest(name, STATISTICS)}")
    if not np.isfinite(gamma):
        raise ConfigError(f"gamma is {gamma}: give the score that is good enough, a finite number.")
    return partial(_optimality_gap, gamma=float(gamma)) if name == "optimality_gap" else STATISTICS[name]


def same_tasks(
    x: ArrayLike, y: ArrayLike, names: tuple[str, str] = ("x", "y")
) -> tuple[Float[np.ndarray, "Rx M"], Float[np.ndarray, "Ry M"]]:
    """Two score matrices, checked to be of equally many tasks."""
    x, y = as_scores(x, names[0]), as_scores(y, names[1])
    if x.shape[1] != y.shape[1]:
        raise ConfigError(
            f"{names[0]} has {x.shape[1]} tasks and {names[1]} has {y.shape[1]}: compare methods on the same tasks."
        )
    return x, y


def above(scores: Float[np.ndarray, "R M"], thresholds: Float[np.ndarray, "T"]) -> Float[np.ndarray, "R M T"]:
    """1 where a score is above a threshold, else 0."""
    return (scores[..., None] > thresholds).astype(np.float64)


def _mean(scores: Float[np.ndarray, "*B R M"]) -> Float[np.ndarray, "*B"]:
    return np.asarray(scores.mean(axis=(-2, -1)))


def _median(scores: Float[np.ndarray, "*B R M"]) -> Float[np.ndarray, "*B"]:
    return np.asarray(np.median(scores.mean(axis=-2), axis=-1))


def _iqm(scores: Float[np.ndarray, "*B R M"]) -> Float[np.ndarray, "*B"]:
    pooled = scores.reshape(*scores.shape[:-2], -1)
    size = pooled.shape[-1]
    cut = size // 4
    # A partition is cheaper than a sort: only the two borders have to be in place.
    middle = np.partition(pooled, (cut, size - cut - 1), axis=-1)[..., cut : size - cut]
    return np.asarray(middle.mean(axis=-1))


def _optimality_gap(scores: Float[np.ndarray, "*B R M"], gamma: float = 1.0) -> Float[np.ndarray, "*B"]:
    return np.asarray(gamma - np.minimum(scores, gamma).mean(axis=(-2, -1)))


def wins(x: Float[np.ndarray, "*B Rx M"], y: Float[np.ndarray, "*B Ry M"]) -> Float[np.ndarray, "*B"]:
    """`probability_of_improvement` of a batch: the share of pairs that X wins, a tie being half a win."""
    x, y = x[..., :, None, :], y[..., None, :, :]
    return np.asarray((x > y).mean(axis=(-3, -2, -1)) + 0.5 * (x == y).mean(axis=(-3, -2, -1)))


STATISTICS: dict[str, Statistic] = {"mean": _mean, "median": _median, "iqm": _iqm, "optimality_gap": _optimality_gap}
