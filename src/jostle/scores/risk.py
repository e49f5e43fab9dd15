"""The bad end of a distribution."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jostle.errors import ConfigError
from jostle.scores.statistics import as_scores


def cvar(scores: ArrayLike, alpha: float = 0.1) -> float:
    """Conditional value at risk: the mean of the worst share α of all scores (low scores are bad).

    Of n scores in ascending order, ``(Σ_{i≤k} x_i + (αn − k) x_{k+1}) / αn`` with k = ⌊αn⌋: the score at the border
    counts in part, and with αn ≤ 1 this is the worst score (Rockafellar and Uryasev 2000, for an empirical
    distribution).

    >>> cvar([1.0, 2.0, 3.0, 4.0], alpha=0.5)
    1.5
    """
    return float(batched_cvar(as_scores(scores), check_alpha(alpha)))


def batched_cvar(scores: Float[np.ndarray, "*B R M"], alpha: float) -> Float[np.ndarray, "*B"]:
    """`cvar` of each matrix of a batch."""
    pooled = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    share = max(alpha * pooled.shape[-1], 1.0)
    whole = int(share + 1e-9)
    weights = np.zeros(pooled.shape[-1])
    weights[:whole] = 1.0
    if whole < len(weights):
        weights[whole] = max(share - whole, 0.0)
    return np.asarray(pooled @ weights / weights.sum())


def check_alpha(alpha: float) -> float:
    """Raises: ConfigError unless α is within (0, 1]."""
    if not 0 < alpha <= 1:
        raise ConfigError(f"alpha={alpha} cannot be used: give the share of the worst outcomes, such as 0.1.")
    return alpha
