"""Learning curves of several seeds on one step grid, with a bootstrap band."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jostle.errors import ConfigError
from jostle.scores import bootstrap
from jostle.scores.statistics import as_vector, lookup

POINTS = 200  # more are not seen in a figure


@dataclass(frozen=True, slots=True)
class Curve:
    """A statistic over seeds along training. `low` and `high` are NaN where there is only one run.

    Attributes:
        steps: [T], environment steps.
        point, low, high: [T], the statistic and its pointwise interval.
        runs: the number of seeds.
    """

    steps: Float[np.ndarray, "T"]
    point: Float[np.ndarray, "T"]
    low: Float[np.ndarray, "T"]
    high: Float[np.ndarray, "T"]
    runs: int


def between(steps: ArrayLike, values: ArrayLike, grid: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T"]:
    """Values at the grid's steps, on straight lines between records; NaN before the first record and after the last."""
    at, recorded = _series(steps, values, "the run")
    found: np.ndarray = np.interp(grid, at, recorded, left=np.nan, right=np.nan)
    return found


def curve(
    runs: Sequence[tuple[ArrayLike, ArrayLike]],
    statistic: str = "iqm",
    *,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> Curve:
    """A statistic over the seeds of one method, at the steps that every seed has reached.

    Runs may be recorded at different steps: between two records lies a straight line. The curve begins where the last
    run begins and ends where the first one ends, since beyond that the survivors are another set of runs.

    Args:
        runs: per seed ``(steps, values)``, with increasing steps.
        statistic: "mean", "median", "iqm" or "optimality_gap" over the seeds (one task; its median is the mean).
        confidence: of the percentile band, which holds at each step, not for the whole curve at once.
        resamples: bootstrap resamples; whole runs are resampled.
        seed: of the resampling.

    Raises:
        ConfigError: no runs, unusable records, or no step that all runs share.
    """
    bootstrap.check(confidence, resamples, seed)
    if not runs:
        raise ConfigError("a curve needs at least one run, as (steps, values).")
    series = [_series(steps, values, f"run {number}") for number, (steps, values) in enumerate(runs)]
    first, last = max(at[0] for at, _ in series), min(at[-1] for at, _ in series)
    if first > last:
        raise ConfigError(f"no step is common to all runs: one begins at {first:g}, another ends at {last:g}.")
    grid = np.unique(np.concatenate([at for at, _ in series]))
    grid = grid[(grid >= first) & (grid <= last)]
    if len(grid) > POINTS:
        grid = np.linspace(first, last, POINTS)
    table = np.stack([between(at, values, grid) for at, values in series])  # [R, T]
    function = lookup(statistic)
    point = function(table.T[:, :, None])
    if len(table) == 1:
        return Curve(grid, point, np.full_like(point, np.nan), np.full_like(point, np.nan), 1)
    rng = np.random.default_rng(seed)
    found = []
    size = max(1, bootstrap.CHUNK // table.size)
    for start in range(0, resamples, size):
        index = rng.integers(len(table), size=(min(size, resamples - start), len(table)))
        found.append(function(table[index].swapaxes(1, 2)[..., None]))
    low, high = bootstrap.percentile(np.concatenate(found), confidence)
    return Curve(grid, point, low, high, len(table))


def _series(steps: ArrayLike, values: ArrayLike, name: str) -> tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
    """Steps and values of a run, checked."""
    at, recorded = as_vector(steps, f"the steps of {name}"), as_vector(values, f"the values of {name}")
    if at.shape != recorded.shape:
        raise ConfigError(f"{name} has {at.size} steps and {recorded.size} values: give one value a step.")
    if not (np.diff(at) > 0).all():
        raise ConfigError(f"the steps of {name} must increase from record to record.")
    return at, recorded
