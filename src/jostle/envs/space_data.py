"""Spaces as plain data, and back, so that a folder can say what a policy sees and does.

Bounds are exact; where all are the same, one number stands for them.
"""

import math
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from jostle.errors import CheckpointError

_MOST = 2**28
"""Numbers in one observation, above which a description is nonsense."""
_DTYPES = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {
    "float16", "float32", "float64", "bool",
}  # fmt: skip


def space_data(space: gym.Space[Any]) -> dict[str, Any] | None:
    """The space as numbers, texts, lists and dicts; None for a kind of space that no agent of jostle knows."""
    dtype = str(space.dtype)
    if isinstance(space, spaces.Dict):
        parts = [[key, space_data(part)] for key, part in space.spaces.items()]
        return None if any(part is None for _, part in parts) else {"kind": "dict", "parts": parts}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "multi_binary", "shape": [int(n) for n in space.shape]}
    if dtype not in _DTYPES:
        return None
    if isinstance(space, spaces.Box):
        bounds = {"low": _compact(space.low), "high": _compact(space.high)}
        return {"kind": "box", "shape": [int(n) for n in space.shape], "dtype": dtype, **bounds}
    if isinstance(space, spaces.Discrete):
        return {"kind": "discrete", "n": int(space.n), "start": int(space.start), "dtype": dtype}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "multi_discrete", "nvec": space.nvec.tolist(), "start": space.start.tolist(), "dtype": dtype}
    return None


def space_of(data: Any) -> gym.Space[Any]:
    """The space that `space_data` described.

    Raises:
        CheckpointError: the data describe none.
    """
    try:
        return _space_of(data)
    except (LookupError, TypeError, ValueError, AssertionError, OverflowError, AttributeError, RecursionError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"a checkpoint's space {str(data)[:80]} is none that jostle wrote ({text}): use another checkpoint"
        ) from error


def _space_of(data: Any) -> gym.Space[Any]:
    kind = data["kind"]
    if kind == "dict":
        return spaces.Dict({_text(key): _space_of(part) for key, part in data["parts"]}, sort_keys=False)
    if kind == "multi_binary":
        shape = _shape(data["shape"])
        return spaces.MultiBinary(shape if len(shape) != 1 else shape[0])
    if data["dtype"] not in _DTYPES:
        raise ValueError(f"dtype {data['dtype']!r}")
    dtype = np.dtype(data["dtype"])
    if kind == "box":
        shape = _shape(data["shape"])
        return spaces.Box(_bounds(data["low"], shape, dtype), _bounds(data["high"], shape, dtype), dtype=dtype.type)
    if kind == "discrete":
        return spaces.Discrete(_count(data["n"]), start=_whole(data["start"]), dtype=dtype.type)
    if kind == "multi_discrete":
        nvec, start = np.array(data["nvec"]), np.array(data["start"])
        if nvec.dtype.kind != "i" or start.dtype.kind != "i" or not nvec.size:
            raise ValueError("nvec and start must be whole numbers")
        return spaces.MultiDiscrete(nvec, start=start, dtype=dtype.type)
    raise ValueError(f"kind {kind!r}")


def _compact(bounds: np.ndarray[Any, Any]) -> Any:
    first = bounds.flat[0] if bounds.size else bounds.dtype.type(0)
    return first.item() if (bounds == first).all() else bounds.tolist()


def _bounds(data: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    exact = np.array(data, dtype)
    if np.isnan(np.array(data, np.float64)).any():
        raise ValueError("a bound is NaN")
    if isinstance(data, list) and exact.shape != shape:
        raise ValueError(f"bounds of shape {exact.shape}")
    return np.full(shape, exact, dtype) if exact.ndim == 0 else exact


def _shape(data: Any) -> tuple[int, ...]:
    shape = tuple(_whole(n) for n in data)
    if any(n < 0 for n in shape) or math.prod(shape) > _MOST:
        raise ValueError(f"shape {shape}")
    return shape


def _count(value: Any) -> int:
    if not 1 <= _whole(value) <= _MOST:
        raise ValueError(f"n={value}")
    return int(value)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{value!r} is no key")
    return value
