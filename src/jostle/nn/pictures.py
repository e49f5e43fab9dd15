"""Which observations are pictures, and how these are brought to one form."""

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.nn.scaling import Scale, Scaling, declared

SMALLEST = 16
"""Pixels of the shorter side, below which three axes are taken for a grid of symbols."""


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """Which axis of a picture's shape, 0 or −1, holds the channels: an end that is shorter than the other two axes.

    None where neither is.
    """
    first, middle, last = shape
    if first < min(middle, last):
        return 0
    return -1 if last < min(first, middle) else None


def picture_size(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(height, width) of a shape [H, W], [C, H, W], [H, W, C] or [k, H, W, C]; None of any other."""
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) == 4:
        return shape[1], shape[2]
    axis = channel_axis(shape) if len(shape) == 3 else None
    return None if axis is None else (shape[0], shape[1]) if axis == -1 else (shape[1], shape[2])


def is_picture_like(space: spaces.Box, scaling: Scaling = "bounds") -> bool:
    """Numbers with bounds and an axis of channels, and perhaps one of frames; or [H, W] of numbers from 0 to 255.

    Other numbers [H, W] are taken for a matrix, such as the one-hot grid of DeepSea. With ``bytes`` as scaling only
    bytes and floats within [0, 1] are pictures.
    """
    size = picture_size(space.shape)
    if size is None:
        return False
    if len(space.shape) == 2:
        if space.dtype == np.uint8:
            return int(space.high.min()) == 255
        return scaling == "bounds" and bool((space.low == 0).all() and (space.high == 255).all())
    return is_scalable(space, scaling)


def is_scalable(space: spaces.Box, scaling: Scaling = "bounds") -> bool:
    """Its numbers can be brought to [0, 1]."""
    if scaling == "bytes":
        return space.dtype == np.uint8 or (float(space.low.min()) >= 0 and float(space.high.max()) <= 1)
    return space.dtype.kind == "b" or bool(declared(space, picture=True).all())


def is_sizeable(space: spaces.Box, least: int = SMALLEST) -> bool:
    """It has the shape of a picture of at least so many pixels a side."""
    size = picture_size(space.shape)
    return size is not None and min(size) >= least


class Images(nn.Module):
    """Brings image observations to [B, C, H, W] floats in [0, 1], by their bounds (`jostle.nn.scaling`).

    Accepts [C, H, W], [H, W, C], [H, W] and stacks of these [k, …] (the stack's frames become channels). The channel
    axis of a three-dimensional observation is the shorter end. Pictures come out channels-last in memory, which is the
    faster layout of the convolutions that follow, where that costs little.

    ``frames`` is the number of frames among the ``channels``, as far as the shape tells: k of [k, H, W, C]; 1 of [H, W]
    and of one or three channels; 2 and 4 of two and four channels, which are taken as grey frames; otherwise None.

    Raises:
        ConfigError: another shape, one without a channel axis, or values without bounds.
    """

    def __init__(self, space: spaces.Box, scaling: Scaling = "bounds") -> None:
        super().__init__()
        shape = space.shape
        if len(shape) not in (2, 3, 4):
            raise ConfigError(
                f"an image encoder needs observations of 2 to 4 dimensions, not {shape}; use encoder='flat'."
            )
        axis = channel_axis(shape) if len(shape) == 3 else -1
        if axis is None:
            raise ConfigError(
                f"observations {shape} are no picture [C, H, W] or [H, W, C], for neither end is shorter than the "
                "other axes; bring the channels to one end in a wrapper, or use encoder='flat'."
            )
        self.channels_last = len(shape) == 4 or (len(shape) == 3 and axis == -1)
        self.shape = shape
        self.frames: int | None = 1
        if len(shape) == 2:
            self.channels, self.size = 1, (shape[0], shape[1])
        elif len(shape) == 4:  # [k, H, W, C]
            self.channels, self.size = shape[0] * shape[3], (shape[1], shape[2])
            self.frames = shape[0]
        else:
            self.channels = shape[axis]
            self.size = (shape[0], shape[1]) if self.channels_last else (shape[1], shape[2])
            self.frames = {1: 1, 2: 2, 3: 1, 4: 4}.get(self.channels)
        if not is_scalable(space, scaling):
            wanted = "numbers with finite bounds" if scaling == "bounds" else "uint8 or floats within [0, 1]"
            raise ConfigError(
                f"an image encoder needs {wanted}, not {space.dtype} within [{space.low.min()}, {space.high.max()}]; "
                "rescale them in a wrapper (gymnasium.wrappers.RescaleObservation), or use encoder='flat'."
            )
        scale = Scale(space, picture=True, scaling=scaling)
        self.by_bounds = scale if scale.unit is None else None
        self.unit = scale.unit if scale.unit is not None else 1.0

    def forward(self, obs: Tensor) -> Tensor:
        if self.by_bounds is not None:
            obs = self.by_bounds(obs)
        if len(self.shape) == 2:
            obs = obs[:, None]
        elif len(self.shape) == 4:
            obs = obs.permute(0, 1, 4, 2, 3).flatten(1, 2)
        elif self.channels_last:
            obs = obs.permute(0, 3, 1, 2)
        elif obs.dtype == torch.uint8:  # cheaper than later, as floats
            if self.channels <= 4:  # the same in half the time
                obs = torch.stack(obs.unbind(1), -1).permute(0, 3, 1, 2)
            else:
                obs = obs.contiguous(memory_format=torch.channels_last)
        if obs.dtype == torch.uint8:
            return obs.float().mul_(self.unit)  # these floats are nobody else's
        return obs.float() if self.unit == 1.0 else obs.float() * self.unit
