"""Stacks of the last k frames, for pixel environments whose engine does not stack them itself."""

from typing import Any

import numpy as np
from gymnasium import spaces

from jostle.errors import ConfigError


class FrameStack:
    """The last k frames of every environment, oldest first, along the leading (channel) axis.

    The first frame of an episode fills the whole stack ("repeat" padding), as in the usual Atari wrappers. Images with
    the channels last are turned to channels first, so the stack is [N, k·C, H, W] for any source.

    Args:
        space: the observation space of one environment: uint8, [H, W], [C, H, W] or [H, W, C].
        num_envs: N.
        depth: k.

    Raises:
        ConfigError: the observations are no uint8 images.
    """

    def __init__(self, space: spaces.Space[Any], num_envs: int, depth: int, env: str) -> None:
        if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) not in (2, 3):
            raise ConfigError(f"frame_stack={depth} needs uint8 images, and the observations of {env} are {space}.")
        shape = space.shape
        self._flat = len(shape) == 2
        self._channels_last = len(shape) == 3 and shape[2] < min(shape[:2])
        if self._flat:
            self.channels, size = 1, shape
        elif self._channels_last:
            self.channels, size = shape[2], shape[:2]
        else:
            self.channels, size = shape[0], shape[1:]
        self.depth = depth
        self.stack = np.zeros((num_envs, depth * self.channels, *size), np.uint8)
        self.space = spaces.Box(0, 255, (depth * self.channels, *size), np.uint8)

    def push(self, frame: np.ndarray, start: np.ndarray) -> np.ndarray:
        """The stacks after one more frame, as a new array.

        Args:
            frame: uint8 [N, …] as the environment gives it.
            start: bool [N], rows where `frame` is the first of an episode.
        """
        if self._flat:
            frame = frame[:, None]
        elif self._channels_last:
            frame = np.moveaxis(frame, -1, 1)
        stack = np.empty_like(self.stack)
        stack[:, : -self.channels] = self.stack[:, self.channels :]
        stack[:, -self.channels :] = frame
        repeat_newest(stack, start, self.channels)
        self.stack = stack
        return stack


def repeat_newest(stack: np.ndarray, rows: np.ndarray, channels: int) -> None:
    """In the given rows of [N, k·C, H, W], overwrite the older frames with the newest one, in place."""
    for row in np.flatnonzero(rows):
        newest = stack[row, -channels:]
        for at in range(0, stack.shape[1] - channels, channels):
            stack[row, at : at + channels] = newest


def forget_before(stack: np.ndarray, age: np.ndarray, channels: int) -> None:
    """In a stack [N, k·C, H, W], overwrite frames from before the episode with the episode's first one, in place.

    Args:
        stack: frames, the oldest first.
        age: int [N], steps since the episode's first observation; from k − 1 on nothing is overwritten.
        channels: C.
    """
    depth = stack.shape[1] // channels
    for row in np.flatnonzero(age < depth - 1):
        at = (depth - 1 - int(age[row])) * channels
        first = stack[row, at : at + channels]
        for before in range(0, at, channels):
            stack[row, before : before + channels] = first
