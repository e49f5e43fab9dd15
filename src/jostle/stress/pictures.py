"""Where frames, channels and sides lie in an observation that is a picture."""

from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from jaxtyping import Float32

from jostle.errors import ConfigError
from jostle.nn.pictures import Images, channel_axis, is_scalable
from jostle.view.interface import in_short

SMALLEST = 16
"""Pixels of the shorter side, below which an array with three axes is taken for a grid of symbols."""


@dataclass(frozen=True)
class Layout:
    """A stack of ``frames`` pictures of ``channels`` channels (3 or 4: RGB first; 1: grey).

    ``axes`` are those of an observation: K for frames, H and W for the sides, C for the channels of all frames, or of
    one frame beside K.
    """

    frames: int
    channels: int
    axes: Literal["HW", "CHW", "HWC", "KHWC"]
    low: float = 0.0
    high: float | None = None
    """Bounds of a pixel; None: 255 of bytes, else 1."""

    def unpack(self, obs: np.ndarray) -> Float32[np.ndarray, "N F H W C"]:
        """Observations [N, …] as frames in [0, 1], the newest last."""
        x, width = obs.astype(np.float32), self._width(obs.dtype)
        x = x if self.low == 0 else x - np.float32(self.low)
        x = x if width == 1 else x * np.float32(1 / width)
        if self.axes == "HW":
            return x[:, None, :, :, None]
        if self.axes == "CHW":
            n, _, height, width = x.shape
            x = x.reshape(n, self.frames, self.channels, height, width).transpose(0, 1, 3, 4, 2)
        elif self.axes == "HWC":
            n, height, width, _ = x.shape
            x = x.reshape(n, height, width, self.frames, self.channels).transpose(0, 3, 1, 2, 4)
        return np.ascontiguousarray(x)

    def pack(self, frames: Float32[np.ndarray, "N F H W C"], dtype: np.dtype[Any]) -> np.ndarray:
        """Back again, in the observations' own type."""
        x = frames
        n, f, height, width, c = x.shape
        if self.axes == "HW":
            x = x[:, 0, :, :, 0]
        elif self.axes == "CHW":
            x = x.transpose(0, 1, 4, 2, 3).reshape(n, f * c, height, width)
        elif self.axes == "HWC":
            x = x.transpose(0, 2, 3, 1, 4).reshape(n, height, width, f * c)
        width = self._width(dtype)
        if dtype.kind != "f":
            whole: np.ndarray = np.rint(x * np.float32(width) + np.float32(self.low)).astype(dtype)
            return whole
        if (self.low, width) != (0, 1):
            x = x * np.float32(width) + np.float32(self.low)
        return np.ascontiguousarray(x.astype(dtype))

    def _width(self, dtype: np.dtype[Any]) -> float:
        high = (255.0 if dtype == np.uint8 else 1.0) if self.high is None else self.high
        return high - self.low


def picture_layouts(space: gym.Space[Any], frame_stack: int, env: str) -> dict[str, Layout]:
    """The layouts of the pictures among an environment's observations, key by key; "" where they are no dictionary.

    Args:
        space: of one environment.
        frame_stack: frames in an observation, 1 if the environment stacks none that it knows of.
        env: its name, for messages.

    Raises:
        ConfigError: there is no picture whose pixels all have the same finite bounds.
    """
    if not isinstance(space, spaces.Dict):
        return {"": _layout(space, frame_stack, env)}
    found: dict[str, Layout] = {}
    nearly: ConfigError | None = None
    for key, part in space.spaces.items():
        try:
            found[key] = _layout(part, frame_stack, f"'{key}' of {env}")
        except ConfigError as error:
            nearly = error if nearly is None and len(part.shape or ()) > 1 else nearly
    if not found:
        raise nearly or _no_pictures(space, env)
    return found


def _layout(space: gym.Space[Any], frame_stack: int, env: str) -> Layout:
    """Of one array. Frames that wrappers stacked are told as the encoders tell them, so that both see the same."""
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3, 4):
        raise _no_pictures(space, env)
    low, high = float(space.low.min()), float(space.high.max())
    unit = space.dtype.kind == "f" and low >= 0 and high <= 1
    if not unit and (not is_scalable(space) or np.ptp(space.low.astype(float)) or np.ptp(space.high.astype(float))):
        raise ConfigError(
            f"pictures must have the same finite bounds for every pixel, and {env} has {in_short(space)}: rescale them "
            "in a wrapper (gymnasium.wrappers.RescaleObservation)."
        )
    bounds = {} if unit or (space.dtype == np.uint8 and (low, high) == (0, 255)) else {"low": low, "high": high}
    if len(space.shape) == 4 and channel_axis(space.shape[1:]) != -1:
        raise ConfigError(
            f"the stacked pictures {in_short(space)} of {env} do not end with their channels, [k, H, W, C]: turn them "
            "round in a wrapper."
        )
    images = Images(space)
    if min(images.size) < SMALLEST:
        raise ConfigError(
            f"the observations {in_short(space)} of {env} are a grid of symbols rather than a picture: use another "
            "suite."
        )
    if len(space.shape) == 2:
        return Layout(1, 1, "HW", **bounds)
    if len(space.shape) == 4:
        return Layout(space.shape[0], space.shape[3], "KHWC", **bounds)
    frames = images.frames
    if frame_stack > 1 and not images.channels_last and images.channels % frame_stack == 0:
        frames = frame_stack
    if frames is None:  # the shape does not tell: colours come in threes, all else is one picture
        frames = images.channels // 3 if images.channels % 3 == 0 else 1
    return Layout(frames, images.channels // frames, "HWC" if images.channels_last else "CHW", **bounds)


def _no_pictures(space: gym.Space[Any], env: str) -> ConfigError:
    return ConfigError(
        f"pictures can be perturbed, and {env} has observations {in_short(space)}: use another suite, or an "
        "environment that shows pixels."
    )
