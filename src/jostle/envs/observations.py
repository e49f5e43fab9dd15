"""One form for the observations of every engine: flat dicts or single arrays, float32 for any floating-point type."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from jostle.errors import EnvError

Obs = np.ndarray | dict[str, np.ndarray]
"""A batch of observations: [N, …], or one such array under each key."""

_SMALLEST = [float(np.finfo(dtype).tiny) for dtype in (np.float32, np.float64)]
_LARGEST = [float(np.finfo(dtype).max) for dtype in (np.float32, np.float64)]


def tidy_observation_space(space: spaces.Space[Any], env: str) -> spaces.Space[Any]:
    """The observation space that agents see.

    Floating-point boxes become float32, and a nested `Dict` becomes a flat one with dotted keys.

    Raises:
        EnvError: a part of the space is none of Box, Discrete, MultiDiscrete, MultiBinary.
    """
    if not isinstance(space, spaces.Dict):
        return _tidy_leaf(space, env)
    leaves = dict(flat_items(space))
    return spaces.Dict({key: _tidy_leaf(leaf, env) for key, leaf in leaves.items()})


def flat_items(space: spaces.Dict, prefix: str = "") -> Iterator[tuple[str, spaces.Space[Any]]]:
    """Each part of a nested `Dict` space with its dotted key."""
    for key, part in space.spaces.items():
        if isinstance(part, spaces.Dict):
            yield from flat_items(part, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", part


def converter(space: spaces.Space[Any], num_envs: int) -> Callable[[np.ndarray], np.ndarray]:
    """Brings one array of an engine to the shape and type of a tidy space (no Dict), without a copy where it fits."""
    shape, dtype = (num_envs, *(space.shape or ())), space.dtype

    def convert(array: np.ndarray) -> np.ndarray:
        if array.dtype != dtype:
            array = array.astype(dtype)
        return array if array.shape == shape else array.reshape(shape)

    return convert


def float_keys(space: spaces.Space[Any]) -> list[str]:
    """The keys of a tidy space whose arrays can hold NaN; the key of a space that is no Dict is the empty string."""
    parts = space.spaces.items() if isinstance(space, spaces.Dict) else [("", space)]
    return [key for key, part in parts if part.dtype is not None and part.dtype.kind == "f"]


def _tidy_leaf(space: spaces.Space[Any], env: str) -> spaces.Space[Any]:
    if isinstance(space, spaces.Box) and space.dtype is not None and space.dtype.kind == "f":
        # Where EnvPool knows no bounds it states C++'s numeric limits, whose "min" is the smallest positive number:
        # LunarLander and DeepMind Control have negative observations all the same.
        low = np.where(np.isin(space.low, _SMALLEST) | np.isin(-space.low, _LARGEST), -np.inf, space.low)
        high = np.where(np.isin(space.high, _LARGEST), np.inf, space.high)
        return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
    if isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        return space
    raise EnvError(
        f"{env} has observations of the kind {space}, which jostle cannot batch: wrap the environment with "
        "gymnasium.wrappers.FlattenObservation."
    )
