"""How pictures lie in the tensors that a policy takes, and which part of these is the newest frame."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, UInt8
from torch import Tensor

from jostle.errors import ConfigError
from jostle.nn.pictures import SMALLEST, channel_axis, is_sizeable

_FRAMES = {1: 1, 2: 2, 3: 1, 4: 4}
"""Frames by channels, as `jostle.nn.pictures.Images` takes them: two and four channels are grey frames."""


@dataclass(frozen=True)
class Layout:
    """Pictures [B, *shape] of C channels, the frames of a stack among these, the oldest first.

    Attributes:
        shape: of one picture.
        channels, size: C, and (H, W).
        frames: how many frames the channels are.
        low, high: the least and the greatest number of a picture; None where these have no bounds.
    """

    shape: tuple[int, ...]
    channels: int
    size: tuple[int, int]
    frames: int
    low: float | None
    high: float | None

    def planes(self, x: Tensor) -> Float[Tensor, "B C H W"]:
        """A view of tensors [B, *shape] with their channels in front."""
        if len(self.shape) == 2:
            return x.unsqueeze(1)
        if len(self.shape) == 4:  # k, H, W, C: a view only where C is 1 or the memory says so
            return x.permute(0, 1, 4, 2, 3).flatten(1, 2)
        return x if channel_axis(self.shape) == 0 else x.permute(0, 3, 1, 2)

    def shaped(self, planes: Float[Tensor, "B C H W"]) -> Tensor:
        """From `planes` back to [B, *shape]."""
        if len(self.shape) == 2:
            return planes.squeeze(1)
        if len(self.shape) == 4:
            frames = planes.reshape(len(planes), self.shape[0], self.shape[3], *self.size)
            return frames.permute(0, 1, 3, 4, 2)
        return planes if channel_axis(self.shape) == 0 else planes.permute(0, 2, 3, 1)

    @property
    def newest(self) -> slice:
        """The channels of the newest frame."""
        return slice(self.channels - self.channels // self.frames, self.channels)

    @property
    def grey(self) -> float:
        """Half-way between black and white.

        Raises:
            ConfigError: the pictures have no bounds.
        """
        if self.low is None or self.high is None:
            raise ConfigError("these pictures have no bounds, so that nobody knows what is grey: use another baseline.")
        return (self.low + self.high) / 2

    def rgb(self, x: Tensor) -> UInt8[np.ndarray, "B H W 3"]:
        """The newest frames for people's eyes; other than one or three channels become their mean."""
        frame = self.planes(x)[:, self.newest].detach().cpu().numpy()
        low = float(frame.min()) if self.low is None else self.low
        high = float(frame.max()) if self.high is None else self.high
        unit = (frame - low) / (high - low or 1.0)
        if unit.shape[1] != 3:
            unit = np.repeat(unit.mean(1, keepdims=True), 3, 1)
        return np.moveaxis((unit.clip(0, 1) * 255).round().astype(np.uint8), 1, -1)


def layout_of(space: gym.Space[Any], shape: tuple[int, ...], name: str, frames: int | None = None) -> Layout:
    """The layout of pictures of a space, as tensors [B, *shape] (their channels may have been moved).

    Args:
        space: of one observation.
        shape: of one, in the tensors.
        name: the policy's, for messages.
        frames: how many frames the channels are; None: as their number tells.

    Raises:
        ConfigError: they are no pictures, or frames of unequal numbers of channels.
    """
    seen = f"Box{list(space.shape)} of {space.dtype}" if isinstance(space, spaces.Box) else str(space)
    refusal = f"{name} sees {seen} and no pictures: use feature_ablation or permutation."
    if not isinstance(space, spaces.Box) or len(shape) not in (2, 3, 4) or not is_sizeable(space):
        few = isinstance(space, spaces.Box) and len(shape) >= 2
        raise ConfigError(
            refusal.replace(":", f" of at least {SMALLEST} pixels a side:", 1) if few and len(shape) != 1 else refusal
        )
    if len(shape) == 3 and channel_axis(shape) is None:
        raise ConfigError(refusal)
    if len(shape) == 2:
        channels, size = 1, (shape[0], shape[1])
    elif len(shape) == 4:
        channels, size = shape[0] * shape[3], (shape[1], shape[2])
    elif channel_axis(shape) == 0:
        channels, size = shape[0], (shape[1], shape[2])
    else:
        channels, size = shape[2], (shape[0], shape[1])
    if frames is None:
        frames = shape[0] if len(shape) == 4 else _FRAMES.get(channels, channels // 3 if channels % 3 == 0 else 1)
    if frames < 1 or channels % frames:
        raise ConfigError(f"pictures of {channels} channels cannot be frames={frames}: give a number that divides it.")
    low, high = float(space.low.min()), float(space.high.max())
    bounded = bool(np.isfinite([low, high]).all()) and high > low and high < 1e30
    return Layout(shape, channels, size, frames, low if bounded else None, high if bounded else None)
