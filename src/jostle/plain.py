"""NumPy's scalars as Python's own: `np.arange` and sweeps give them, and YAML, JSON and type checks know them not."""

from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """The value with every NumPy scalar and array of no dimensions in it made a number, bool or text of Python's own.

    Lists, tuples and dicts are gone through (a dict's keys too); whatever else there is stays as it is.

    >>> plain({"size": np.int64(3), "tags": [np.str_("a"), np.True_]})
    {'size': 3, 'tags': ['a', True]}
    """
    if isinstance(value, (np.generic, np.ndarray)):
        return value.item() if value.ndim == 0 else value
    if type(value) is dict:
        return {plain(key): plain(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(part) for part in value)
    return value


def as_count(value: Any) -> Any:
    """A float without a fraction as a whole number, for counts are written 1e5 too; all else as `plain` has it.

    >>> as_count(1e5), as_count(1.5), as_count(7)
    (100000, 1.5, 7)
    """
    value = plain(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
