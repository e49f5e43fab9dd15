"""What single environments tell in `info`, joined for N of them. It may be anything, and never stops a run."""

from collections.abc import Mapping
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper

Told = Mapping[int, Mapping[Any, Any]]
"""The infos of those rows that tell something, by row."""

_DEEPEST = 4
"""Dicts within dicts that are joined; deeper ones (an info may hold itself) stay the objects that they are."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def join_infos(told: Told, num_envs: int, depth: int = 0) -> dict[str, Any]:
    """The infos of single environments as Gymnasium's vector environments give them.

    Every key comes with a mask `_key`, bool [N]: the rows that told it. Numbers, bools and arrays of numbers of one
    shape become arrays [N, …] of a dtype that holds all their values, zero in other rows; dicts whose keys are text
    become dicts of the same kind; all else, mixtures included, becomes an array of objects [N], None in other rows.
    Keys that are no text or begin with "_" (those are the masks') are dropped.

    >>> join_infos({0: {"x": 0}, 2: {"x": 0.5}}, 3)
    {'x': array([0. , 0. , 0.5]), '_x': array([ True, False,  True])}
    """
    columns: dict[str, dict[int, Any]] = {}
    for row, info in told.items():
        for key, value in info.items():
            if isinstance(key, str) and not key.startswith("_"):
                columns.setdefault(key, {})[row] = value
    joined: dict[str, Any] = {}
    for key, column in columns.items():
        mask = np.zeros(num_envs, np.bool_)
        mask[list(column)] = True
        joined[key], joined[f"_{key}"] = _joined(column, num_envs, depth), mask
    return joined


def _joined(column: dict[int, Any], num_envs: int, depth: int) -> Any:
    if depth < _DEEPEST and all(_is_tree(value) for value in column.values()):
        return join_infos(column, num_envs, depth + 1)
    try:
        numbers = _numbers(column, num_envs)
    except Exception:  # whatever a number may do: one that does not fit its type, an array too large for N of it
        numbers = None
    if numbers is not None:
        return numbers
    objects = np.full(num_envs, None, dtype=object)
    for row, value in column.items():
        objects[row] = value.copy() if isinstance(value, np.ndarray) and value.ndim else value
    return objects


def _is_tree(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _numbers(column: dict[int, Any], num_envs: int) -> np.ndarray | None:
    """The numbers, or arrays of one shape, in one array; None where no dtype holds them all as they are."""
    values = list(column.values())
    kinds, shape = {type(value) for value in values}, ()
    if len(kinds) == 1 and kinds <= {bool, int, float}:
        dtype = np.dtype(kinds.pop())
    else:
        if not all(isinstance(v, bool | int | float | complex | np.generic) or type(v) is np.ndarray for v in values):
            return None
        arrays = [np.asarray(value) for value in values]
        dtypes, shape = {array.dtype for array in arrays}, arrays[0].shape
        if any(array.shape != shape for array in arrays) or any(each.kind not in "biufc" for each in dtypes):
            return None
        dtype = np.result_type(*dtypes)
        long = [array.astype(object) for array in arrays if array.dtype.kind in "iu" and array.dtype.itemsize == 8]
        if dtype.kind in "fc" and any(np.any(np.abs(array) > 2**53) for array in long):
            return None  # a float would change them
    joined = np.zeros((num_envs, *shape), dtype)
    for row, value in column.items():
        joined[row] = value
    return joined


# ---- between a trainer and its workers; nothing of this is ever a file ----


class _Packed(bytes):
    """A pickled object, which is unpacked only by those who can."""


def pack_infos(told: Told) -> dict[int, dict[str, Any]]:
    """The same infos without what cannot be pickled, ready for another process."""
    return {row: _packed(info) for row, info in told.items()}


def unpack_infos(told: Told) -> dict[int, dict[str, Any]]:
    """What `pack_infos` packed, without what this process cannot make again."""
    return {row: _unpacked(info) for row, info in told.items()}


def _packed(info: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    packed = {}
    for key, value in info.items():
        if not isinstance(key, str):
            continue
        if type(value) in _PLAIN or _is_plain_array(value):
            packed[str(key)] = value
        elif depth < _DEEPEST and _is_tree(value):
            packed[str(key)] = _packed(value, depth + 1)
        else:
            try:
                packed[str(key)] = _Packed(ForkingPickler.dumps(CloudpickleWrapper(value)))
            except Exception:  # whatever an object's own pickling may raise
                continue
    return packed


def _is_plain_array(value: Any) -> bool:
    return (type(value) is np.ndarray or isinstance(value, np.generic)) and not value.dtype.hasobject


def _unpacked(info: Mapping[str, Any]) -> dict[str, Any]:
    unpacked = {}
    for key, value in info.items():
        if isinstance(value, dict):
            unpacked[key] = _unpacked(value)
        elif isinstance(value, _Packed):
            try:
                unpacked[key] = ForkingPickler.loads(value).fn
            except Exception:  # of a class that this process does not know
                continue
        else:
            unpacked[key] = value
    return unpacked
