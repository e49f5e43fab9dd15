"""How alike two maps are."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import uniform_filter
from scipy.stats import rankdata

from jostle.errors import ConfigError

HOG_EPS = 1e-5
"""What scikit-image adds to the squared norm of a block."""


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


def hog(a: Float[np.ndarray, "H W"], *, orientations: int = 9, cell: int = 8, block: int = 3) -> Float[np.ndarray, "F"]:
    """Histograms of oriented gradients (Dalal and Triggs 2005), as scikit-image's ``feature.hog`` by default.

    Central differences, 0 at the border; magnitudes by unsigned direction in whole cells, over the cell's area; blocks
    of cells normalised by L2, cut off at 0.2 and normalised again.

    Args:
        a: a map.
        orientations: bins of 180° / n each.
        cell: pixels a side; of smaller maps the whole side.
        block: cells a side; of fewer cells all of them.
    """
    image = np.asarray(a, np.float64)
    cell = min(cell, *image.shape)
    down, right = np.zeros_like(image), np.zeros_like(image)
    down[1:-1] = image[2:] - image[:-2]
    right[:, 1:-1] = image[:, 2:] - image[:, :-2]
    size, angle = np.hypot(right, down), np.rad2deg(np.arctan2(down, right)) % 180
    which = np.minimum((angle * orientations / 180).astype(np.int64), orientations - 1)
    rows, columns = (side // cell for side in image.shape)
    whole = np.s_[: rows * cell, : columns * cell]
    one = np.eye(orientations)[which[whole]] * size[whole][..., None]
    cells = one.reshape(rows, cell, columns, cell, orientations).sum((1, 3)) / cell**2
    high, wide = min(block, rows), min(block, columns)
    found = []
    for y in range(rows - high + 1):
        for x in range(columns - wide + 1):
            part = cells[y : y + high, x : x + wide].ravel()
            part = np.minimum(part / np.sqrt((part**2).sum() + HOG_EPS**2), 0.2)
            found.append(part / np.sqrt((part**2).sum() + HOG_EPS**2))
    return np.concatenate(found)


def alike_in_gradients(a: Float[np.ndarray, "H W"], b: Float[np.ndarray, "H W"]) -> float:
    """Correlation of two maps' histograms of oriented gradients; NaN where the numbers of one are all equal.

    Each map is brought to [0, 1] first.
    """
    _require_alike(a, b)
    x, y = (hog(_unit(m)) for m in (a, b))
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / scale) if scale > 0 else float("nan")


def _unit(a: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    low, high = float(a.min()), float(a.max())
    return (a.astype(np.float64) - low) / (high - low) if high > low else np.zeros(a.shape)


def _require_alike(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or not a.size:
        raise ConfigError(f"maps of {list(a.shape)} and {list(b.shape)} cannot be compared: give two of one size.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ConfigError("a map holds NaN or infinities: look for the layer where they come from.")
