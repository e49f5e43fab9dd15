"""How alike two maps are."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import uniform_filter
from scipy.stats import rankdata

from jostle.errors import ConfigError


def spearman(a: Float[np.ndarray, "..."], b: Float[np.ndarray, "..."]) -> float:
    """Correlation of ranks, equal numbers sharing their mean rank; NaN where all numbers of one map are equal."""
    _require_alike(a, b)
    x, y = (rankdata(m, axis=None) for m in (a, b))
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / scale) if scale > 0 else float("nan")


def ssim(a: Float[np.ndarray, "H W"], b: Float[np.ndarray, "H W"], *, window: int = 7) -> float:
    """Structural similarity (Wang et al. 2004) of two maps, each brought to [0, 1]: mean over all whole windows.

    Uniform windows, K₁ = 0.01, K₂ = 0.03, unbiased variances, as scikit-image's ``structural_similarity`` by default.
    """
    _require_alike(a, b)
    x, y = _unit(a), _unit(b)
    window = min(window, *(side - 1 + side % 2 for side in x.shape))
    n = window**2
    mean_x, mean_y = uniform_filter(x, window), uniform_filter(y, window)
    unbiased = n / (n - 1) if n > 1 else 1.0
    var_x = unbiased * (uniform_filter(x * x, window) - mean_x**2)
    var_y = unbiased * (uniform_filter(y * y, window) - mean_y**2)
    both = unbiased * (uniform_filter(x * y, window) - mean_x * mean_y)
    c1, c2 = 0.01**2, 0.03**2
    each = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    edge = (window - 1) // 2
    inner = each[edge : each.shape[0] - edge, edge : each.shape[1] - edge]
    return float(inner.mean())


def _unit(a: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    low, high = float(a.min()), float(a.max())
    return (a.astype(np.float64) - low) / (high - low) if high > low else np.zeros(a.shape)


def _require_alike(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or not a.size:
        raise ConfigError(f"maps of {list(a.shape)} and {list(b.shape)} cannot be compared: give two of one size.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ConfigError("a map holds NaN or infinities: look for the layer where they come from.")
