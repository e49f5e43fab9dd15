"""How far randomisation moves a policy's features, and how its outputs settle as more draws are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from jostle.errors import ConfigError


@dataclass(frozen=True)
class FeatureDistance:
    """Features of the same observations, clean and randomised.

    Attributes:
        absolute: mean Euclidean distance between an observation's two features.
        relative: the same over the mean distance between the clean features of different observations: 0 says that
            randomisation changes nothing, 1 that it moves a feature as far as another observation lies; NaN where all
            clean features are equal.
        cosine: mean cosine of the angle between the two; features of zeros are left out (NaN if there are no others).
    """

    absolute: float
    relative: float
    cosine: float


def feature_distance(clean: Float[np.ndarray, "B F"], randomised: Float[np.ndarray, "*M B F"]) -> FeatureDistance:
    """Distance between clean and randomised features of B observations, averaged over M draws where there are several.

    Raises:
        ConfigError: the shapes do not fit.
    """
    if clean.ndim != 2 or randomised.shape[-2:] != clean.shape or randomised.ndim not in (2, 3):
        raise ConfigError(
            f"features must be [B, F] clean and [B, F] or [M, B, F] randomised, not {list(clean.shape)} and "
            f"{list(randomised.shape)}."
        )
    x, y = clean.astype(np.float64), randomised.astype(np.float64)
    absolute = float(np.linalg.norm(y - x, axis=-1).mean())
    apart = float(pdist(x).mean()) if len(x) > 1 else 0.0
    size = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    cosines = (x * y).sum(-1)[size > 0] / size[size > 0]
    return FeatureDistance(
        absolute, absolute / apart if apart > 0 else np.nan, float(cosines.mean()) if cosines.size else np.nan
    )


def average_of_draws(
    outputs: Float[np.ndarray, "D *S"], sizes: Sequence[int]
) -> tuple[Float[np.ndarray, "K"], Float[np.ndarray, "K"]]:
    """Mean and variance of the average of M draws, for growing M.

    The D draws are cut into ⌊D / M⌋ disjoint groups of M. The mean is that of all groups' averages over everything; the
    variance is the one between groups (divisor ⌊D / M⌋ − 1) of each number, averaged over the numbers. Independent
    draws make the variance fall as 1 / M.

    Args:
        outputs: what each draw gave, such as probabilities [D, B, A], action values, or returns [D, episodes].
        sizes: the K numbers of draws M, each at most D / 2 so that there are two groups.

    Returns:
        Means [K] and variances [K].

    Raises:
        ConfigError: a size without two groups.
    """
    draws = len(outputs)
    for size in sizes:
        if not 1 <= size <= draws // 2:
            raise ConfigError(
                f"an average of {size} draws has no variance with {draws} draws: draw at least {2 * size}."
            )
    means, variances = [], []
    for size in sizes:
        groups = draws // size
        averages = outputs[: groups * size].reshape(groups, size, -1).mean(1)
        means.append(averages.mean())
        variances.append(averages.var(0, ddof=1).mean())
    return np.array(means), np.array(variances)
