"""Ridge regression of many targets at once, with penalties chosen inside the training episodes."""

import numpy as np
from jaxtyping import Float, Int

PENALTIES = tuple(float(x) for x in np.logspace(-3, 4, 8))
"""λ over the number of steps, on features of deviation 1."""


def folds_of(episode: Int[np.ndarray, "B"], count: int, rng: np.random.Generator) -> Int[np.ndarray, "B"]:
    """The fold of each step; all steps of an episode are in one."""
    episodes, place = np.unique(episode, return_inverse=True)
    fold = np.arange(len(episodes)) % min(count, len(episodes))
    return np.asarray(rng.permutation(fold)[place])


def out_of_fold(
    x: Float[np.ndarray, "B F"],
    y: Float[np.ndarray, "B C"],
    episode: Int[np.ndarray, "B"],
    *,
    folds: int = 5,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "B C"], Float[np.ndarray, "B C"]]:
    """Predictions of each target for episodes that the regression has not seen, and the training means there.

    Within the training episodes the penalty is chosen, for each target, by the same kind of split.

    Args:
        x: features.
        y: C targets.
        episode: of each step.
        folds: at most; fewer where there are fewer episodes.
        seed: of the splits.
    """
    rng = np.random.default_rng(seed)
    outer = folds_of(episode, folds, rng)
    found, means = np.empty_like(y), np.empty_like(y)
    for fold in range(outer.max() + 1):
        train, test = outer != fold, outer == fold
        inner = folds_of(episode[train], 3, rng)
        error = np.zeros((len(PENALTIES), y.shape[1]))
        if inner.max() > 0:
            for part in range(inner.max() + 1):
                a, b = inner != part, inner == part
                each = _predicted(x[train][a], y[train][a], x[train][b])
                error += ((each - y[train][b][None]) ** 2).sum(1)
        chosen = error.argmin(0)
        every = _predicted(x[train], y[train], x[test])
        found[test] = np.take_along_axis(every, chosen[None, None], 0)[0]
        means[test] = y[train].mean(0)
    return found, means


def _predicted(
    x: Float[np.ndarray, "B F"], y: Float[np.ndarray, "B C"], new: Float[np.ndarray, "N F"]
) -> Float[np.ndarray, "P N C"]:
    """Under each of P penalties, by one singular value decomposition."""
    mean, spread = x.mean(0), x.std(0)
    spread = np.where(
        spread > 1e-12 * max(1.0, float(np.abs(x).max())), spread, np.inf
    )  # what is constant tells nothing
    centre = y.mean(0)
    u, s, vt = np.linalg.svd((x - mean) / spread, full_matrices=False)
    inner = u.T @ (y - centre)
    along = ((new - mean) / spread) @ vt.T
    shrunk = np.stack([s / (s**2 + penalty * len(x)) for penalty in PENALTIES])
    return np.asarray((along[None] * shrunk[:, None]) @ inner + centre)
