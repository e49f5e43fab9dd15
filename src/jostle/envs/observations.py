"""One form for the observations of every engine: flat dicts or single arrays, float32 for any floating-point type."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from jostle.errors import EnvError

Obs = np.ndarray | dict[str, np.ndarray]
"""A batch of observations: [N, …], or one such array under each key."""

Path = tuple[Any, ...]
"""The keys that lead to a part of a nested `Dict`, the outermost first."""

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
    return spaces.Dict({key: _tidy_leaf(leaf, env) for key, leaf in flat_items(space)})


def flat_items(space: spaces.Dict) -> Iterator[tuple[str, spaces.Space[Any]]]:
    """Each part of a nested `Dict` space with its dotted key."""
    for key, path in flat_paths(space).items():
        part: Any = space
        for step in path:
            part = part.spaces[step]
        yield key, part


def flat_paths(space: spaces.Dict) -> dict[str, Path]:
    """Where the parts of a nested `Dict` space lie, under their dotted keys.

    Any text may be a key. Where two parts would have the same one, as "a.b" beside "b" within "a", the one that lies
    deeper gets "~" behind it, as often as needed.
    """
    found: dict[str, Path] = {}
    for path in sorted(_paths(space), key=len):
        key = ".".join(str(part) for part in path)
        while key in found:
            key += "~"
        found[key] = path
    return found


def _paths(space: spaces.Dict, before: Path = ()) -> Iterator[Path]:
    for key, part in space.spaces.items():
        if isinstance(part, spaces.Dict):
            yield from _paths(part, (*before, key))
        else:
            yield (*before, key)


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


RangeCheck = Callable[[np.ndarray], np.ndarray | None]
"""Takes one array [N, …] of observations and tells which entries lie outside their space; None where none does."""


def range_checks(space: spaces.Space[Any], engine: str) -> list[tuple[str, RangeCheck]]:
    """Checks of the parts of a tidy space that count, by key: networks look up by them, and scale by their bounds.

    Categories are checked whatever the engine. Integer boxes are not on EnvPool, whose bounds are its own affair, nor
    where every number of the type lies inside; floats need only be finite.
    """
    parts = space.spaces.items() if isinstance(space, spaces.Dict) else [("", space)]
    found = [(key, _range_check(part, engine)) for key, part in parts]
    return [(key, check) for key, check in found if check is not None]


def _range_check(space: spaces.Space[Any], engine: str) -> RangeCheck | None:
    if isinstance(space, spaces.Discrete):
        low, high = np.asarray(space.start), np.asarray(space.start + space.n - 1)
    elif isinstance(space, spaces.MultiDiscrete):
        low, high = np.asarray(space.start), np.asarray(space.start + space.nvec - 1)
    elif isinstance(space, spaces.MultiBinary):
        low, high = np.asarray(0, space.dtype), np.asarray(1, space.dtype)
    elif isinstance(space, spaces.Box) and space.dtype is not None and space.dtype.kind in "iu" and engine != "envpool":
        limits = np.iinfo(space.dtype)
        if (space.low == limits.min).all() and (space.high == limits.max).all():
            return None
        low, high = space.low, space.high
        if low.size and (low == low.flat[0]).all() and (high == high.flat[0]).all():
            low, high = low.flat[0], high.flat[0]
    else:
        return None
    if np.ndim(low) or np.ndim(high):

        def check(values: np.ndarray) -> np.ndarray | None:
            wrong: np.ndarray = (values < low) | (values > high)
            return wrong if np.count_nonzero(wrong) else None

    else:
        least, most = int(low), int(high)

        def check(values: np.ndarray) -> np.ndarray | None:
            if values.size and (np.minimum.reduce(values, None) < least or np.maximum.reduce(values, None) > most):
                return (values < least) | (values > most)
            return None

    return check


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
