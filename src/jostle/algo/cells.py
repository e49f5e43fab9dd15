"""What counts as a place for coverage: a room of an Atari game, a cell of a grid, a box of a vector's values.

A view keeps little of each step (`look`), and gives many steps their places later (`identify`), which is cheaper.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from jaxtyping import Int64, Shaped, UInt64

from jostle.envs import JostleEnv
from jostle.nn.pictures import channel_axis
from jostle.nn.privileged import is_beside

Array = np.ndarray[Any, np.dtype[Any]]

ROOM_BYTES = {"MontezumaRevenge": 3, "Pitfall": 1, "Venture": 90, "PrivateEye": 92, "Hero": 28}
"""Where an Atari game keeps the number of the room in its 128 bytes of memory.

The first two are those of openai/random-network-distillation (`atari_wrappers.py`), the others of AtariARI
(mila-iqia/atari-representation-learning, `ram_annotations.py`).
"""
_LARGEST = 256  # numbers of an observation that is looked at as a whole
_BOXES = 18  # log2 of the boxes that a vector's values are sorted into, all dimensions together
_FINEST = 64  # boxes along one dimension, at most
_BLOCKS, _GREYS = 7, 8


@dataclass(frozen=True)
class View:
    """How places are told apart. ``name`` is ``rooms`` or ``cells``.

    ``look`` takes the observations and infos of a step to an array [N, …] that is worth keeping, ``identify`` such
    arrays of T steps [T, N, …] to the places' numbers [T, N].
    """

    name: str
    look: Callable[[Any, dict[str, Any]], Array]
    identify: Callable[[Array], Int64[np.ndarray, "T N"]]


def find_view(env: JostleEnv, info: dict[str, Any]) -> View | None:
    """The view for an environment, whose infos look like ``info``; None where nothing can be told apart.

    Known games are seen by their rooms; grids, and whatever tells whole numbers [N, 2] as ``agent_pos`` of its infos,
    by the agent's position; DeepSea by its cell; other pictures shrunk to 7×7 blocks of 8 levels of each colour, and
    other small observations as they are, real numbers in boxes.
    """
    byte = ROOM_BYTES.get(env.id.partition("-")[0])
    if byte is not None and env.engine == "envpool" and "ram" in info:
        return View("rooms", lambda obs, info: info["ram"][:, byte], lambda kept: kept.astype(np.int64))
    if _tells_position(info):
        return View("cells", _told_position, _position)
    space = env.single_observation_space
    if env.id.startswith("jostle/DeepSea"):
        return View("cells", _lit, lambda kept: kept)
    if _is_picture(space):
        assert isinstance(space, spaces.Box)
        levels = int(space.high.max()) + 1
        return View("cells", lambda obs, info: _newest(obs, env.frame_stack, levels), _hashed)
    return _whole(space)


def _tells_position(info: dict[str, Any]) -> bool:
    told = info.get("agent_pos")
    return isinstance(told, np.ndarray) and told.ndim == 2 and told.shape[1] == 2 and told.dtype.kind in "iu"


def _told_position(obs: Any, info: dict[str, Any]) -> Array:
    """Column and row [N, 2]; where nobody tells them any more, those of the origin."""
    return info["agent_pos"] if _tells_position(info) else np.zeros((len(info["valid"]), 2), np.int64)


def _position(kept: Array) -> Int64[np.ndarray, "T N"]:
    column, row = kept[..., 0].astype(np.int64), kept[..., 1].astype(np.int64)
    return np.asarray(column * 65_536 + row)


def _lit(obs: Array, info: dict[str, Any]) -> Int64[np.ndarray, "N"]:
    """The cell of DeepSea's one-hot grid. Below the last row, where all is 0, it is the one that episodes begin in."""
    cell: Array = obs.reshape(len(obs), -1).argmax(1)
    return cell


# ---- pictures ----


def _is_picture(space: gym.Space[Any]) -> bool:
    return (
        isinstance(space, spaces.Box)
        and space.dtype == np.uint8
        and len(space.shape) == 3
        and sorted(space.shape)[1] >= 2 * _BLOCKS
        and channel_axis(space.shape) is not None
    )


def _newest(obs: Shaped[np.ndarray, "N ..."], frame_stack: int, levels: int = 256) -> Shaped[np.ndarray, "N cells"]:
    """The newest frame of each stack of pictures, shrunk colour by colour."""
    planes = np.moveaxis(obs, -1, 1) if obs.shape[-1] < obs.shape[1] else obs
    colours = max(1, planes.shape[1] // frame_stack)
    return np.concatenate([shrink(planes[:, -c], levels) for c in range(1, colours + 1)], axis=1)


def shrink(picture: Shaped[np.ndarray, "N H W"], levels: int = 256) -> Shaped[np.ndarray, "N cells"]:
    """uint8 pictures of one colour → the greys (0 to 7) of 7×7 blocks, each the mean over every third of its rows."""
    n, height, width = picture.shape
    high, wide = height // _BLOCKS, width // _BLOCKS
    blocks = picture[:, : high * _BLOCKS, : wide * _BLOCKS].reshape(n, _BLOCKS, high, -1)
    # Row by row: a quarter of the time that a mean over two axes takes.
    rows = range(0, high, 3)
    total = sum((blocks[:, :, row].astype(np.uint32) for row in rows[1:]), blocks[:, :, 0].astype(np.uint32))
    level = total.reshape(n, _BLOCKS * _BLOCKS, wide).sum(2) * _GREYS // (levels * len(rows) * wide)
    return np.asarray(level, np.uint8)


# ---- whole observations ----


def _whole(space: gym.Space[Any]) -> View | None:
    """Small observations as they are, real numbers in boxes; None if they are large."""
    inner = {"": space}
    if isinstance(space, spaces.Dict):
        inner = {key: part for key, part in space.spaces.items() if not is_beside(key)}
    parts = list(inner.values())
    if not parts or any(part.shape is None for part in parts):
        return None
    if sum(math.prod(part.shape or ()) for part in parts) > _LARGEST:
        return None
    box = Boxes(parts) if any(_is_real(part) for part in parts) else None

    def look(obs: Any, info: dict[str, Any]) -> Array:
        if not isinstance(obs, dict):
            return np.asarray(obs)
        return np.concatenate([obs[key].reshape(len(obs[key]), -1) for key in inner], 1, dtype=np.float64)

    def identify(kept: Array) -> Int64[np.ndarray, "T N"]:
        rows = kept.reshape(kept.shape[0] * kept.shape[1], -1)
        return _hashed(kept if box is None else box(rows).reshape(*kept.shape[:2], -1))

    return View("cells", look, identify)


def _is_real(space: gym.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and space.dtype.kind == "f"


class Boxes:
    """Sorts real numbers into boxes: [B, W] → int64 [B, W], the columns of other parts as they are.

    Boxes have equal widths between a number's bounds, and where it has none they have equal widths of x / (1 + |x|).
    The more real numbers there are, the fewer boxes each has: 64 for up to three, two from ten on.
    """

    def __init__(self, parts: Sequence[gym.Space[Any]]) -> None:
        low, high, real = [], [], []
        for part in parts:
            size = math.prod(part.shape or ())
            bounds = (part.low, part.high) if isinstance(part, spaces.Box) else (np.zeros(size), np.ones(size))
            low.append(np.asarray(bounds[0], np.float64).ravel())
            high.append(np.asarray(bounds[1], np.float64).ravel())
            real.append(np.full(size, _is_real(part)))
        self.low, top, self.real = np.concatenate(low), np.concatenate(high), np.concatenate(real)
        dimensions = int(self.real.sum())
        self.count = max(2, min(_FINEST, int(2 ** (_BOXES / dimensions) + 1e-9)))
        self.squash = self.real & ~((top - self.low < 1e6) & (top > self.low))
        self.low = np.where(self.squash, -1.0, self.low)
        self.scale = self.count / np.where(self.squash | ~self.real, 2.0, top - self.low)

    def __call__(self, rows: Shaped[np.ndarray, "B W"]) -> Int64[np.ndarray, "B W"]:
        x = rows.astype(np.float64)
        if self.squash.any():
            x = np.where(self.squash, x / (1 + np.abs(x)), x)
        boxes = np.clip((x - self.low) * self.scale, 0, self.count - 1)
        return np.asarray(boxes if self.real.all() else np.where(self.real, boxes, x)).astype(np.int64)


def _hashed(kept: Array) -> Int64[np.ndarray, "T N"]:
    """63 bits of a hash of each row; equal rows have equal ones, on any machine and in any order."""
    lead = kept.shape[:2]
    rows = np.ascontiguousarray(kept).reshape(lead[0] * lead[1], -1)
    if rows.dtype == np.uint8:  # eight to a word
        words = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8))).view(np.uint64)
    else:
        words = rows.astype(np.int64).view(np.uint64)
    place = np.arange(1, words.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    total = mix(words + place).sum(1, dtype=np.uint64)
    found: Array = (total >> np.uint64(1)).astype(np.int64).reshape(lead)
    return found


def mix(x: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """SplitMix64's finaliser: a bijection that scatters neighbouring numbers."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = x ^ (x >> np.uint64(31))
    return mixed
