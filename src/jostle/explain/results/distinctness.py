"""Saliency of the picture alone: each pixel's distinctness from its surroundings, no policy involved.

The null beside every map: a map that looks like it may show no more than where there is something to be seen.
"""

import numpy as np
from jaxtyping import Float

CENTRE, SURROUND = 1.0, 8.0
"""σ in pixels of the two Gaussians."""


def distinctness(pictures: Float[np.ndarray, "B H W C"] | np.ndarray) -> Float[np.ndarray, "B H W"]:
    """‖G₁ ∗ I − G₈ ∗ I‖₂ over the channels: how a pixel differs from its surroundings (centre and surround, Itti 1998).

    Args:
        pictures: [B, H, W, C] of any numbers.
    """
    from scipy.ndimage import gaussian_filter

    floats = np.asarray(pictures, np.float32)
    near, far = (gaussian_filter(floats, (0, s, s, 0)) for s in (CENTRE, SURROUND))
    return np.asarray(np.linalg.norm(near - far, axis=-1), np.float32)
