"""One part of an observation space: from raw values to normalised floats.

Pictures stay planes, codes and categories become indicators, and all else becomes a vector. Each pixel, plane cell or
feature has running statistics of its own, as in Burda et al. (2018, section 2.4): for grey 84×84 pictures they have the
shape (1, 84, 84).
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.functional.running import Moments
from jostle.nn.privileged import is_beside
from jostle.nn.scaling import Scale, Scaling

Kind = Literal["picture", "grid", "vector", "category"]

# MiniGrid's bounds: 11 objects, 6 colours, 4 states.
GRID_CODES = (11, 6, 4)


class Part(nn.Module):
    """One box or category of an observation space. ``shape`` is that of its normalised floats.

    Args:
        codes: small bytes [H, W, 3] are MiniGrid's codes of objects, colours and states, not colours.
    """

    kind: Kind
    shape: tuple[int, ...]
    begin: Tensor
    end: Tensor
    offset: Tensor

    def __init__(
        self, space: gym.Space[Any], owner: str, frame_stack: int, obs_norm: bool, clip: float, *, codes: bool = False
    ) -> None:
        super().__init__()
        self.owner, self.clip, self.space_shape = owner, clip, tuple(space.shape or ())
        self.kind = _kind(space, owner)
        if codes and may_hold_codes(space):
            self.kind = "grid"
        self._space = space
        self.scale: Scale | None = None
        self.scale_by("bounds")
        if frame_stack > 1 and self.kind != "picture":
            raise ConfigError(f"{owner}: frame_stack={frame_stack} needs pictures, not {space}; use frame_stack=1.")
        counts: Sequence[int] = ()
        first: Any = 0
        if self.kind == "picture":
            self.shape = self._picture_shape(frame_stack)
        elif self.kind == "grid":
            counts, self.shape = GRID_CODES, (sum(GRID_CODES), *self.space_shape[:2])
        elif isinstance(space, spaces.Discrete):
            counts, first, self.shape = [int(space.n)], int(space.start), (int(space.n),)
        elif isinstance(space, spaces.MultiDiscrete):
            counts, first = space.nvec.ravel().tolist(), space.start.ravel()
            self.shape = (sum(counts),)
        else:
            self.shape = (math.prod(self.space_shape),)
        self.counts = tuple(counts)
        end = np.cumsum(counts)
        begin = end - np.asarray(counts)
        for name, value in (("begin", begin), ("end", end), ("offset", begin - np.asarray(first))):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.int64), persistent=False)
        # 1e-4 is the official code's; it also keeps the variance of constant pixels above 0.
        self.moments = Moments(self.shape, epsilon_count=1e-4) if obs_norm else None

    def _picture_shape(self, frame_stack: int) -> tuple[int, int, int]:
        shape = self.space_shape
        self.channels_last = len(shape) == 3 and shape[-1] < shape[0]
        if len(shape) == 2:
            channels, height, width = 1, *shape
        elif len(shape) == 4:  # [k, H, W, C]
            channels, height, width = shape[0] * shape[3], *shape[1:3]
        elif self.channels_last:
            channels, height, width = shape[2], *shape[:2]
        else:
            channels, height, width = shape
        if channels % frame_stack:
            raise ConfigError(
                f"{self.owner}: frame_stack={frame_stack} does not divide the {channels} channels of observations "
                f"{list(shape)}; give the number of frames that the environment stacks."
            )
        self.channels = channels // frame_stack
        return self.channels, height, width

    def scale_by(self, scaling: Scaling) -> None:
        """What is done to numbers where they are not normalised; bytes and pictures always lie between 0 and 1."""
        if self.kind not in ("picture", "vector") or not isinstance(self._space, spaces.Box):
            return
        low, high, dtype = self._space.low.ravel(), self._space.high.ravel(), self._space.dtype.type
        if self.kind == "picture":
            low, high = low.min(), high.max()
        box = spaces.Box(low, high, np.shape(low), dtype)
        self.scale = Scale(box, picture=self.kind == "picture" or dtype == np.uint8, scaling=scaling)

    def newest(self, obs: Tensor) -> Tensor:
        """Raw observations [B, *space_shape] → the raw rows that are seen; pictures as [B, C, H, W]. A view."""
        if self.kind != "picture":
            return obs
        if len(self.space_shape) == 2:
            return obs[:, None]
        if len(self.space_shape) == 4:
            frames = self.channels // self.space_shape[3]
            return obs[:, -frames:].permute(0, 1, 4, 2, 3).flatten(1, 2)
        return (obs.permute(0, 3, 1, 2) if self.channels_last else obs)[:, -self.channels :]

    def planes(self, rows: Tensor) -> Tensor:
        """Raw rows → [B, *shape], indicators for codes and categories; pictures keep their dtype."""
        if self.kind == "picture":
            return rows
        if self.kind == "vector":
            return rows.reshape(rows.shape[0], *self.shape).float()
        codes = rows if self.kind == "grid" else rows.reshape(rows.shape[0], len(self.counts))
        index = codes.long() + self.offset
        if ((index < self.begin) | (index >= self.end)).any():
            raise ConfigError(
                f"{self.owner}: an observation {list(self.space_shape)} holds codes outside of its {list(self.counts)} "
                "categories; wrap the environment so that it keeps to its space"
                + (", or, if these are colours, set bonus_codes=False." if self.kind == "grid" else ".")
            )
        planes = torch.zeros(*index.shape[:-1], sum(self.counts), device=rows.device).scatter_(-1, index, 1.0)
        # A view: channels-last in memory, the faster layout of the convolutions that follow.
        return planes.movedim(-1, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Raw rows → normalised floats [B, *shape]."""
        planes = self.planes(rows)
        if self.moments is not None:
            return self.moments.normalise(planes, self.clip)
        if self.scale is None:
            return planes.float()
        return planes.float() / 255 if self.scale.unit == 1 / 255 else self.scale(planes)


def _kind(space: gym.Space[Any], owner: str) -> Kind:
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        return "category"
    if isinstance(space, spaces.MultiBinary):
        return "vector"
    if not isinstance(space, spaces.Box):
        raise ConfigError(
            f"{owner} cannot see observations of the kind {space}: flatten them with "
            "gymnasium.wrappers.FlattenObservation."
        )
    shape, is_bytes = space.shape, space.dtype == np.uint8
    if len(shape) not in (2, 3, 4) or (len(shape) == 2 and not is_bytes):
        return "vector"
    unit = float(space.low.min()) >= 0 and float(space.high.max()) <= 1
    if not is_bytes and not unit:
        return "vector"
    return "picture" if _side(shape) >= 16 else "vector"


def may_hold_codes(space: gym.Space[Any]) -> bool:
    """It has the form of MiniGrid's codes, bytes [H, W, 3] with sides from 4 to 15, as small pictures in colour do."""
    is_bytes = isinstance(space, spaces.Box) and space.dtype == np.uint8
    shape = space.shape or ()
    return is_bytes and len(shape) == 3 and shape[-1] == 3 and 4 <= _side(shape) < 16


def holds_numbers(space: gym.Space[Any]) -> bool:
    """Its parts, but for the privileged one, are vectors of real numbers, and perhaps categories beside them."""
    parts = [space]
    if isinstance(space, spaces.Dict):
        parts = [part for key, part in space.spaces.items() if not is_beside(key)]
    vectors = [
        part for part in parts if isinstance(part, spaces.Box) and part.dtype.kind == "f" and len(part.shape) < 2
    ]
    categories = [
        part for part in parts if isinstance(part, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary))
    ]
    return bool(vectors) and len(vectors) + len(categories) == len(parts)


def _side(shape: tuple[int, ...]) -> int:
    """The shorter side of a picture."""
    if len(shape) == 2:
        return min(shape)
    if len(shape) == 4:
        return min(shape[1:3])
    return min(shape[:2]) if shape[-1] < shape[0] else min(shape[1:])
