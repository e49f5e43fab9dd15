"""Principal components, fitted on some steps and applied to others."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jostle.errors import ConfigError


@dataclass(frozen=True)
class Components:
    """K principal components of F numbers.

    Attributes:
        mean: of what they were fitted on [F].
        axes: orthonormal [K, F], the one of the greatest variance first; its largest entry is positive.
        variance: along each [K], with divisor B − 1.
        share: of the whole variance [K].
    """

    mean: Float[np.ndarray, "F"]
    axes: Float[np.ndarray, "K F"]
    variance: Float[np.ndarray, "K"]
    share: Float[np.ndarray, "K"]

    def project(self, x: Float[np.ndarray, "B F"]) -> Float[np.ndarray, "B K"]:
        """Coordinates along the axes.

        Raises:
            ConfigError: other numbers than those fitted on.
        """
        if x.shape[1] != len(self.mean):
            raise ConfigError(f"components of {len(self.mean)} numbers cannot show {x.shape[1]}: fit them on the same.")
        return np.asarray((x - self.mean) @ self.axes.T)

    def residual(self, x: Float[np.ndarray, "B F"]) -> float:
        """Mean squared distance from the plane of the axes, over the whole variance of what they were fitted on."""
        centred = x - self.mean
        along = centred @ self.axes.T
        whole = float(self.variance.sum() / self.share.sum()) if self.share.sum() > 0 else 0.0
        rest = float(((centred**2).sum(1) - (along**2).sum(1)).mean())
        return max(rest, 0.0) / whole if whole > 0 else 0.0

    def beyond(self, x: Float[np.ndarray, "B F"]) -> float:
        """How far steps lie beyond those fitted on, along the axes and off them; of these themselves about 1.

        (T² / K + Q / Q₀) / 2, means over the steps (the combined index of Yue and Qin 2001): Hotelling's T² = Σ z_k² /
        variance_k, and Q the squared distance from the plane, Q₀ that of the steps fitted on. Either alone is blind to
        what happens in the other's directions.
        """
        real = self.variance > 1e-12 * max(float(self.variance.max()), 1e-300)
        along = float((self.project(x)[:, real] ** 2 / self.variance[real]).sum(1).mean()) / max(int(real.sum()), 1)
        left = 1 - float(self.share.sum())
        return (along + self.residual(x) / left) / 2 if left > 1e-9 else along


def fit_pca(x: Float[np.ndarray, "B F"], count: int = 2) -> Components:
    """The components of B steps, by singular value decomposition of the centred numbers.

    Raises:
        ConfigError: fewer than two steps, or more components than there can be.
    """
    if len(x) < 2:
        raise ConfigError("components need two steps at least: give more.")
    if not 1 <= count <= min(x.shape):
        raise ConfigError(f"{count} components cannot be had of {x.shape[0]} steps of {x.shape[1]} numbers.")
    mean = x.mean(0)
    _, sizes, axes = np.linalg.svd(x - mean, full_matrices=False)
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])
    signs[signs == 0] = 1.0
    variance = sizes**2 / (len(x) - 1)
    total = variance.sum()
    share = variance / total if total > 0 else np.zeros_like(variance)
    return Components(mean, (axes * signs[:, None])[:count], variance[:count], share[:count])
