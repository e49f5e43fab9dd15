"""What keeps maximising inputs from becoming noise: penalties, a small blur, and shifts."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, pad


def square_norm(x: Float[Tensor, "N *S"], centre: Float[Tensor, "*S"] | float) -> Float[Tensor, "N"]:
    """Mean of (x − centre)² over the numbers of each row."""
    return (x - centre).flatten(1).square().mean(1)


def total_variation(planes: Float[Tensor, "N C H W"]) -> Float[Tensor, "N"]:
    """Mean squared difference of neighbouring pixels, of those side by side and of those one below the other, summed.

    Squared (β = 2 in Mahendran and Vedaldi 2015), so that it is smooth everywhere.
    """
    down = (planes[:, :, 1:] - planes[:, :, :-1]).square().flatten(1).mean(1)
    along = (planes[:, :, :, 1:] - planes[:, :, :, :-1]).square().flatten(1).mean(1)
    return down + along


def blurred(planes: Float[Tensor, "N C H W"], sigma: float) -> Float[Tensor, "N C H W"]:
    """A Gaussian blur, σ in pixels, cut off at 3 σ; the border is repeated."""
    if sigma <= 0:
        return planes
    reach = max(1, math.ceil(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=planes.dtype)
    kernel = (-(at**2) / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    channels = planes.shape[1]
    wide = pad(planes, (reach, reach, reach, reach), mode="replicate")
    wide = conv2d(wide, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return conv2d(wide, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def shifted(planes: Float[Tensor, "N C H W"], down: int, right: int) -> Float[Tensor, "N C H W"]:
    """Moved by whole pixels; what leaves at one side comes in at the other."""
    return planes.roll((down, right), (2, 3)) if down or right else planes
