"""Where frames, channels and sides lie in an observation that is a picture."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from jaxtyping import Float32

from jostle.errors import ConfigError

SMALLEST = 16
"""Pixels of the shorter side, below which an array with three axes is taken for a grid of symbols."""


@dataclass(frozen=True)
class Layout:
    """A stack of ``frames`` pictures of ``channels`` channels (3 or 4: RGB first; 1: grey), first or last."""

    frames: int
    channels: int
    last: bool
    flat: bool = False
    """[H, W], without an axis for channels."""

    def unpack(self, obs: np.ndarray) -> Float32[np.ndarray, "N F H W C"]:
        """Observations [N, …] as frames in [0, 1], the newest last."""
        x = obs.astype(np.float32) * np.float32(1 / 255) if obs.dtype == np.uint8 else obs.astype(np.float32)
        if self.flat:
            return x[:, None, :, :, None]
        if self.last:
            return x[:, None]
        n, _, height, width = x.shape
        return np.ascontiguousarray(x.reshape(n, self.frames, self.channels, height, width).transpose(0, 1, 3, 4, 2))

    def pack(self, frames: Float32[np.ndarray, "N F H W C"], dtype: np.dtype[Any]) -> np.ndarray:
        """Back again, in the observations' own type."""
        x = frames
        if self.flat:
            x = x[:, 0, :, :, 0]
        elif self.last:
            x = x[:, 0]
        else:
            n, f, height, width, c = x.shape
            x = x.transpose(0, 1, 4, 2, 3).reshape(n, f * c, height, width)
        return np.rint(x * 255).astype(np.uint8) if dtype == np.uint8 else np.ascontiguousarray(x.astype(dtype))


def picture_layout(space: gym.Space[Any], frame_stack: int, env: str) -> Layout:
    """The layout of an environment's observations.

    Args:
        space: of one environment.
        frame_stack: frames in an observation, 1 if they are not stacked.
        env: its name, for messages.

    Raises:
        ConfigError: the observations are no pictures in [0, 255] (uint8) or [0, 1] (floats).
    """
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3):
        raise ConfigError(
            f"pictures can be perturbed, and {env} has observations {_short(space)}: use another suite, or an "
            "environment that shows pixels."
        )
    if space.dtype != np.uint8 and not (space.dtype.kind == "f" and space.low.min() >= 0 and space.high.max() <= 1):
        raise ConfigError(
            f"pictures must be uint8 or floats in [0, 1], and {env} has {_short(space)}: rescale them in a wrapper."
        )
    shape = space.shape
    last = len(shape) == 3 and shape[2] <= 4 < shape[0]
    sides = shape if len(shape) == 2 else shape[:2] if last else shape[1:]
    if min(sides) < SMALLEST:
        raise ConfigError(
            f"the observations {_short(space)} of {env} are a grid of symbols rather than a picture: use another suite."
        )
    if len(shape) == 2:
        return Layout(1, 1, last=False, flat=True)
    if last:
        return Layout(1, shape[2], last=True)
    if shape[0] % frame_stack or shape[0] // frame_stack > 4:
        raise ConfigError(f"{env} has {shape[0]} channels in {frame_stack} frames, which is no stack of pictures.")
    return Layout(frame_stack, shape[0] // frame_stack, last=False)


def _short(space: gym.Space[Any]) -> str:
    """A space without its bounds, which fill a page where they differ from number to number."""
    shape = list(space.shape) if space.shape is not None else ""
    return f"{type(space).__name__}{shape}" + (f" of {space.dtype}" if space.dtype is not None else "")
