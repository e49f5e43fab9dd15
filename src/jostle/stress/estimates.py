"""Numbers of a stress test with their intervals.

What is resampled: with one run (training seed) its episodes, which tells how the same policy would do in other
episodes; with several runs of a method the runs, which tells how other training seeds would do. Conditions that are
pooled are strata: each keeps its weight. Copies of an environment are no strata: they differ by their seeds alone,
as two episodes do.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from jostle.errors import ConfigError
from jostle.scores import bootstrap
from jostle.scores.intervals import (
    RESAMPLES,
    Interval,
    improvement_interval,
    intervals,
    paired_interval,
    settled,
)
from jostle.scores.rates import difference_interval, rate_interval
from jostle.scores.risk import batched_cvar, cvar
from jostle.scores.statistics import Statistic, lookup
from jostle.stress.result import Cell

CONFIDENCE = 0.95
Scores = Sequence[Float[np.ndarray, "E"]]
"""The scores of each run's episodes."""


def estimate(scores: Scores, statistic: str = "mean", *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """``mean``, ``iqm`` or ``cvar`` (the worst tenth) with its interval.

    Of one run the statistic of its episodes. Of several runs, the mean over runs of each run's mean or cvar, and the
    IQM over runs of their means.
    """
    if len(scores) == 1:
        return _interval(scores[0][:, None], _function(statistic), resamples, seed)
    per_run: Callable[[np.ndarray], float] = cvar if statistic == "cvar" else lambda x: float(np.mean(x))
    reduced = np.array([per_run(run) for run in scores])
    name = "iqm" if statistic == "iqm" else "mean"
    return intervals(reduced[:, None], [name], CONFIDENCE, resamples, seed, "percentile", 1.0)[name]


def success_rate(successes: Scores) -> Interval:
    """Share of successes with its interval, of one run Clopper and Pearson's (`jostle.scores.rate_interval`)."""
    return rate_interval(successes, confidence=CONFIDENCE)


def gap(
    seen: Sequence[Cell], unseen: Sequence[Sequence[Cell]], *, success: bool = False, resamples: int = RESAMPLES
) -> Interval:
    """Seen minus unseen: how much is lost. Of several unseen conditions their mean is taken, each with equal weight.

    Of several runs, row r of both sides is run r. Of one run, episodes of conditions that are `paired` are resampled
    together, others independently. Rates of success are not resampled (`jostle.scores.difference_interval`).

    Args:
        seen: the reference's cells, one a run.
        unseen: the cells of each other condition.
        success: of success rates instead of returns.
    """
    if success:
        rates = [[_successes(cell) for cell in cells] for cells in (seen, *unseen)]
        return difference_interval(rates[0], rates[1:], confidence=CONFIDENCE)
    if len(seen) > 1:
        x = np.array([cell.returns.mean() for cell in seen])
        y = np.mean([[cell.returns.mean() for cell in cells] for cells in unseen], axis=0)
        return paired_interval(x, y, confidence=CONFIDENCE, resamples=resamples)
    blocks: list[tuple[Cell, np.ndarray]] = []  # a cell of the block, and what each episode adds to the difference
    for cell, weight in [(seen[0], 1.0), *((cells[0], -1.0 / len(unseen)) for cells in unseen)]:
        added = weight * cell.returns
        for number, (first, total) in enumerate(blocks):
            if paired(first, cell):
                blocks[number] = first, total + added
                break
        else:
            blocks.append((cell, added))
    returns = [cells[0].returns for cells in (seen, *unseen)]
    point = float(sum(total.mean() for _, total in blocks))
    if any(len(total) == 1 for _, total in blocks):
        return settled(Interval(point, np.nan, np.nan, CONFIDENCE), *returns)
    mean = {"": lookup("mean")}
    found = [bootstrap.distributions(x[:, None], mean, resamples, seed)[""] for seed, (_, x) in enumerate(blocks)]
    low, high = bootstrap.percentile(np.sum(found, axis=0), CONFIDENCE)
    return settled(Interval(point, float(low), float(high), CONFIDENCE), *returns)


def paired(a: Cell, b: Cell) -> bool:
    """Episodes of both cells stand in pairs: equal seeds and (env, index), and equal levels where they are told.

    Of how many pairs it is known that both were the same game, `same_games` says.
    """
    if a.seed != b.seed or len(a.episodes) != len(b.episodes):
        return False
    return all(
        (x.env, x.index, x.level_seed) == (y.env, y.index, y.level_seed)
        for x, y in zip(a.episodes, b.episodes, strict=True)
    )


def same_games(cell: Cell) -> int:
    """Episodes of a cell that are the same games as those at equal places of any cell that it is `paired` with.

    They are those whose level the environment tells, and the first of each environment, which begins with the seed;
    where a later one begins may depend on what was played before.
    """
    return sum(e.level_seed is not None or e.index == 0 for e in cell.episodes)


def improvement(x: Sequence[Cell], y: Sequence[Cell], *, resamples: int = RESAMPLES) -> Interval:
    """How likely X beats Y, ``P(X > Y) + ½ P(X = Y)``.

    Of one run each, the share of the pairs of equal episodes (`jostle.scores.rate_interval`); of several runs, of all
    pairs of runs by their mean returns.

    Raises:
        ConfigError: one run each, whose episodes are not `paired`.
    """
    if len(x) == len(y) == 1:
        if not paired(x[0], y[0]):
            raise ConfigError("the episodes of the two policies are not the same games: test both with equal seeds.")
        a, b = x[0].returns, y[0].returns
        return rate_interval([(a > b) + 0.5 * (a == b)], confidence=CONFIDENCE)
    means = [[float(cell.returns.mean()) for cell in side] for side in (x, y)]
    return improvement_interval(*means, confidence=CONFIDENCE, resamples=resamples)


def _interval(scores: Float[np.ndarray, "R M"], function: Statistic, resamples: int, seed: int) -> Interval:
    point = float(function(scores))
    if len(scores) == 1:
        return Interval(point, np.nan, np.nan, CONFIDENCE)
    found = bootstrap.distributions(scores, {"": function}, resamples, seed)[""]
    low, high = bootstrap.percentile(found, CONFIDENCE)
    return Interval(point, float(low), float(high), CONFIDENCE)


def _function(statistic: str) -> Statistic:
    return partial(batched_cvar, alpha=0.1) if statistic == "cvar" else lookup(statistic)


def _successes(cell: Cell) -> np.ndarray:
    found = cell.successes
    assert found is not None
    return found
