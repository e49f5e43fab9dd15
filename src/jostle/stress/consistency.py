"""Cycle-consistency of hidden trajectories: do two ways of seeing one game lead through the same hidden states?

From the features of two (or three) trajectories of the same game, such as one in seen and one in unseen looks: go from
step i to the nearest step of the other trajectory and back; the step is consistent if it comes home to within one step.
Lee et al. 2020 (Network Randomization) report such a measure; what is defined here was not compared with their text.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import cdist

from jostle.errors import ConfigError

TOLERANCE = 1
"""Steps that a cycle may miss its beginning by."""


def cycle_consistency(v: Float[np.ndarray, "T F"], u: Float[np.ndarray, "S F"], *, tolerance: int = TOLERANCE) -> float:
    """Two-way: the share of steps i of v with ``|i − k| ≤ tolerance``, v_i → nearest u_j → nearest v_k.

    Distances are Euclidean; of several nearest steps the first one counts.

    Args:
        v: features of one trajectory, step by step.
        u: features of the other one, which may be longer or shorter.
        tolerance: steps.

    Raises:
        ConfigError: an empty trajectory, features of different sizes, or numbers that are not finite.
    """
    _check(v, u)
    return float(_returns_home(v, [u], tolerance).mean())


def cycle_consistency_3way(
    v: Float[np.ndarray, "T F"],
    u: Float[np.ndarray, "S F"],
    w: Float[np.ndarray, "R F"],
    *,
    tolerance: int = TOLERANCE,
) -> float:
    """Three-way: the share of steps of v from which both ways round come home, v → u → w → v and v → w → u → v."""
    _check(v, u, w)
    both = _returns_home(v, [u, w], tolerance) & _returns_home(v, [w, u], tolerance)
    return float(both.mean())


def nearest(a: Float[np.ndarray, "T F"], b: Float[np.ndarray, "S F"]) -> Int[np.ndarray, "T"]:
    """For each row of a the index of the nearest row of b."""
    return np.asarray(cdist(a, b, "sqeuclidean").argmin(1))


def _returns_home(
    v: Float[np.ndarray, "T F"], others: list[Float[np.ndarray, "_ F"]], tolerance: int
) -> Bool[np.ndarray, "T"]:
    """Steps of v from which the way through the other trajectories, in their order, comes home."""
    at, here = np.arange(len(v)), v
    for there in [*others, v]:
        at, here = nearest(here, there)[at], there
    return np.asarray(np.abs(at - np.arange(len(v))) <= tolerance)


def _check(*trajectories: np.ndarray) -> None:
    shapes = [list(t.shape) for t in trajectories]
    if any(t.ndim != 2 or len(t) == 0 for t in trajectories) or len({t.shape[1] for t in trajectories}) > 1:
        raise ConfigError(f"trajectories of features must be [steps, features] with equal features, not {shapes}.")
    if not all(np.isfinite(t).all() for t in trajectories):
        raise ConfigError("the trajectories hold NaN or infinities: look for the layer where they come from.")
