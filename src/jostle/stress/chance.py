"""How far a policy is ahead of random play, and how much of that lead it keeps under other conditions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jostle.scores import bootstrap
from jostle.scores.intervals import RESAMPLES, Interval
from jostle.stress.estimates import CONFIDENCE, estimate, gap, paired
from jostle.stress.result import Cell


def lead(cells: Sequence[Cell], chance: Cell, *, resamples: int = RESAMPLES) -> Interval:
    """Mean return minus random play's, under one condition.

    Of one run, pairs of equal episodes are resampled together; of several runs the runs are, and random play's mean is
    taken as it is.
    """
    if len(cells) == 1:
        return gap(cells, [[chance]], resamples=resamples)
    return estimate([cell.returns - chance.returns.mean() for cell in cells], resamples=resamples)


def kept(
    cells: Sequence[Cell], chance: Cell, seen: Sequence[Cell], chance_seen: Cell, *, resamples: int = RESAMPLES
) -> Interval | None:
    """The lead under a condition as a share of that in the reference, ``(X − R) / (X₀ − R₀)``.

    Resampled as leads are; None where the lead in the reference is not certain, so that there is nothing to share.

    Args:
        cells, seen: a policy's, one a run, under the condition and in the reference.
        chance, chance_seen: random play's.
    """
    if not lead(seen, chance_seen, resamples=resamples).low > 0:
        return None
    if len(cells) == 1:
        means = _means([cells[0], chance, seen[0], chance_seen], resamples)
        point = [cell.returns.mean() for cell in (cells[0], chance, seen[0], chance_seen)]
    else:
        x, x0 = (np.array([cell.returns.mean() for cell in side]) for side in (cells, seen))
        drawn = _resampled(np.stack([x, x0], 1), resamples, 0)
        r, r0 = chance.returns.mean(), chance_seen.returns.mean()
        means = np.stack([drawn[:, 0], np.full(resamples, r), drawn[:, 1], np.full(resamples, r0)], 1)
        point = [x.mean(), r, x0.mean(), r0]
    low, high = bootstrap.percentile((means[:, 0] - means[:, 1]) / (means[:, 2] - means[:, 3]), CONFIDENCE)
    return Interval(float((point[0] - point[1]) / (point[2] - point[3])), float(low), float(high), CONFIDENCE)


def _means(cells: Sequence[Cell], resamples: int) -> Float[np.ndarray, "B C"]:
    """Mean returns of every cell on B resamples; cells that are `paired` are resampled together."""
    found = np.empty((resamples, len(cells)))
    blocks: list[list[int]] = []
    for number, cell in enumerate(cells):
        block = next((each for each in blocks if paired(cells[each[0]], cell)), None)
        if block is None:
            blocks.append([number])
        else:
            block.append(number)
    for seed, block in enumerate(blocks):
        found[:, block] = _resampled(np.stack([cells[i].returns for i in block], 1), resamples, seed)
    return found


def _resampled(scores: Float[np.ndarray, "E C"], resamples: int, seed: int) -> Float[np.ndarray, "B C"]:
    """Means of the columns on B resamples of the rows."""
    count = len(scores)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.asarray(weights @ scores / count)
