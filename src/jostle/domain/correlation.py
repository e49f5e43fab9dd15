"""Parameters that vary together: a Gaussian copula over a group of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from jostle.errors import ConfigError


@dataclass(frozen=True)
class Correlated:
    """A group whose members keep their own distributions and move together.

    z ~ N(0, R), u_i = Φ(z_i), and member i is the u_i-quantile of its distribution. For uniform members the rank
    correlation is 6/π·asin(R/2), close to R.

    Args:
        names: of the parameters, two or more.
        correlation: R of the normal numbers: one number for every pair, or a matrix [G, G] with ones on its diagonal.
    """

    names: tuple[str, ...]
    correlation: float | tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        where = f"the correlation of {', '.join(self.names)}"
        if len(self.names) < 2 or len(set(self.names)) != len(self.names):
            raise ConfigError(f"{where} needs two or more different parameters.")
        if not isinstance(self.correlation, float | int):
            size = len(self.names)
            if len(self.correlation) != size or any(len(row) != size for row in self.correlation):
                raise ConfigError(f"{where} must be one number or a matrix of {size} rows of {size}.")
        matrix = self.matrix
        if not (np.allclose(matrix, matrix.T) and np.allclose(np.diag(matrix), 1.0)):
            raise ConfigError(f"{where} must be symmetric with ones on the diagonal.")
        if not np.isfinite(matrix).all() or np.linalg.eigvalsh(matrix).min() <= 1e-9:
            raise ConfigError(f"{where} cannot be: no numbers are correlated so (it is not positive definite).")

    @cached_property
    def matrix(self) -> Float64[np.ndarray, "G G"]:
        """R."""
        if isinstance(self.correlation, float | int):
            size = len(self.names)
            return np.full((size, size), float(self.correlation)) + (1 - self.correlation) * np.eye(size)
        return np.array(self.correlation, np.float64)

    def join(self, u: Float64[np.ndarray, "R G"]) -> Float64[np.ndarray, "R G"]:
        """Uniform numbers that are correlated, from independent ones."""
        from scipy.special import ndtr, ndtri

        z = np.asarray(ndtri(u), np.float64) @ np.linalg.cholesky(self.matrix).T
        return np.clip(np.asarray(ndtr(z), np.float64), 2.0**-54, 1 - 2.0**-53)

    def log_density(self, u: Float64[np.ndarray, "R G"], free: Bool[np.ndarray, "R G"]) -> Float64[np.ndarray, "R"]:
        """Log density of the copula: −½ ln|R| − ½ zᵀ(R⁻¹ − 1)z with z = Φ⁻¹(u), over the members that are free.

        A member that is pinned to one value tells nothing: the others' joint density is that of their own R.
        """
        from scipy.special import ndtri

        z = np.asarray(ndtri(np.clip(u, 2.0**-54, 1 - 2.0**-53)), np.float64)
        total = np.zeros(len(u))
        for pattern in np.unique(free, axis=0):
            if pattern.sum() < 2:
                continue
            rows = (free == pattern).all(1)
            part = self.matrix[np.ix_(pattern, pattern)]
            inner = np.linalg.inv(part) - np.eye(int(pattern.sum()))
            seen = z[np.ix_(rows, pattern)]
            total[rows] = -0.5 * np.linalg.slogdet(part)[1] - 0.5 * np.einsum("ri,ij,rj->r", seen, inner, seen)
        return total

    def entropy(self) -> float:
        """What the correlation takes from the members' entropy: ½ ln|R|, which is 0 or less."""
        return 0.5 * float(np.linalg.slogdet(self.matrix)[1])

    def data(self) -> dict[str, Any]:
        """As it stands in a file."""
        one = isinstance(self.correlation, float | int)
        return {"names": list(self.names), "correlation": self.correlation if one else self.matrix.tolist()}
