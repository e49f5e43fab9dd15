"""Masks M ∈ [0, 1] over a picture at a grid of places, and maps made of a score for each place.

Every mask here is a product of two vectors, M_ij(y, x) = r_i(y) c_j(x), so that n_i · n_j of them are held as
[n_i, H] and [n_j, W].
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from jostle.errors import ConfigError

KEPT = 2**22
"""Numbers of masks that are kept: 16 MB, more than Atari's 289."""


@dataclass(frozen=True)
class Masks:
    """P = n_i · n_j masks, row by row, and how scores of these become maps.

    Attributes:
        rows, columns: r [n_i, H] and c [n_j, W].
        up_rows, up_columns: [H, n_i] and [W, n_j]: a map is ``up_rows @ scores @ up_columnsᵀ``.
        name: for titles.
    """

    rows: Float[Tensor, "I H"]
    columns: Float[Tensor, "J W"]
    up_rows: Float[Tensor, "H I"]
    up_columns: Float[Tensor, "W J"]
    name: str

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def some(self, first: int, last: int) -> Float[Tensor, "N H W"]:
        """The masks from ``first`` to before ``last``; where all are few numbers, views of ones that are kept."""
        if len(self) * self.rows.shape[1] * self.columns.shape[1] <= KEPT:
            return self._every[first:last]
        return self._made(first, last)

    @cached_property
    def _every(self) -> Float[Tensor, "P H W"]:
        return self._made(0, len(self))

    def _made(self, first: int, last: int) -> Float[Tensor, "N H W"]:
        places = torch.arange(first, last)
        i, j = places // len(self.columns), places % len(self.columns)
        return self.rows[i][:, :, None] * self.columns[j][:, None, :]

    def spread(self, scores: Float[Tensor, "*B P"]) -> Float[Tensor, "*B H W"]:
        """Maps of a score for each place."""
        grid = scores.unflatten(-1, (len(self.rows), len(self.columns)))  # type: ignore[no-untyped-call]
        found: Tensor = self.up_rows @ grid @ self.up_columns.T
        return found


@lru_cache(maxsize=4)
def gaussian_masks(size: tuple[int, int], *, stride: int = 5, variance: float = 25.0) -> Masks:
    """Gaussians exp(−d² / 2σ²) with peak 1 at every ``stride``-th pixel, as Greydanus et al. (2018) have them.

    A map is linear between the centres and constant beyond the last ones, so that its maximum is the largest score's.

    Args:
        size: (H, W).
        stride: pixels between centres; 5 gives 17 × 17 = 289 of 84 × 84.
        variance: σ² in pixels².

    Raises:
        ConfigError: a stride below 1 or a variance of 0 or less.
    """
    if variance <= 0:
        raise ConfigError(f"variance={variance} of a mask cannot be used: it must be greater than 0.")
    parts = []
    for length in size:
        centres = torch.arange(0, length, _stride(stride), dtype=torch.float32)
        pixels = torch.arange(length, dtype=torch.float32)
        mask = (-(pixels - centres[:, None]).square() / (2 * variance)).exp()
        parts.append((mask, _linear(pixels, centres)))
    (rows, up_rows), (columns, up_columns) = parts
    return Masks(rows, columns, up_rows, up_columns, f"Gaussian, σ² = {variance:g}, every {stride} pixels")


@lru_cache(maxsize=4)
def square_masks(size: tuple[int, int], *, window: int = 5, stride: int | None = None) -> Masks:
    """Hard windows of n × n pixels, from the upper left corner on; the last ones are cut off at the border.

    A pixel of a map is the mean score of the windows that cover it (0 where none does), as in Captum's ``Occlusion``.

    Args:
        size: (H, W).
        window: n.
        stride: pixels between windows; None: the window's.

    Raises:
        ConfigError: a window that is no part of the picture, or a stride below 1.
    """
    stride = window if stride is None else stride
    if not 1 <= window <= min(size):
        raise ConfigError(f"window={window} is no part of pictures of {size[0]}×{size[1]}: choose 1 to {min(size)}.")
    parts = []
    for length in size:
        count = -(-(length - window) // _stride(stride)) + 1
        first = torch.arange(count)[:, None] * stride
        pixels = torch.arange(length)
        mask = ((pixels >= first) & (pixels < first + window)).float()
        parts.append((mask, (mask / mask.sum(0).clamp_min(1)).T.contiguous()))
    (rows, up_rows), (columns, up_columns) = parts
    return Masks(rows, columns, up_rows, up_columns, f"windows of {window}×{window}, every {stride} pixels")


def _stride(stride: int) -> int:
    if stride < 1:
        raise ConfigError(f"stride={stride} cannot be used: it must be at least 1.")
    return stride


def _linear(at: Float[Tensor, "L"], nodes: Float[Tensor, "I"]) -> Float[Tensor, "L I"]:
    """Weights of linear interpolation between nodes, constant beyond them."""
    if len(nodes) == 1:
        return torch.ones(len(at), 1)
    at = at.clamp(nodes[0], nodes[-1])
    right = torch.searchsorted(nodes, at, right=True).clamp(1, len(nodes) - 1)
    share = (at - nodes[right - 1]) / (nodes[right] - nodes[right - 1])
    weights = torch.zeros(len(at), len(nodes))
    weights[torch.arange(len(at)), right - 1] = 1 - share
    weights[torch.arange(len(at)), right] += share
    return weights
