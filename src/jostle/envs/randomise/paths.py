"""Numbers of an object by path: ``masscart``, ``link.mass``, ``high[2]``."""

import re
from typing import Any

import numpy as np

from jostle.errors import ConfigError, closest

_PART = re.compile(r"[^.\[\]]+|\[\d+\]")
_PATH = re.compile(r"[^.\[\]]+(\[\d+\])*(\.[^.\[\]]+(\[\d+\])*)*")
_LOOKS = ("screen", "render", "metadata")
"""Beginnings of attributes that say how an environment is drawn."""


def read(root: Any, path: str, of: str) -> float:
    """The number at a path.

    Raises:
        ConfigError: there is nothing there, or no number.
    """
    owner, last = _owner(root, path, of)
    value = _step(owner, last, path, root, of)
    if not is_number(value):
        raise ConfigError(f"{path} of {of} is no number ({type(value).__name__}): name one number, such as high[0].")
    return float(value)


def write(root: Any, path: str, value: float, of: str) -> None:
    """Put a number there. What is a whole number stays one where the value is whole."""
    owner, last = _owner(root, path, of)
    before = _step(owner, last, path, root, of)
    if isinstance(before, int | np.integer) and float(value).is_integer():
        value = int(value)
    if last.startswith("["):
        owner[int(last[1:-1])] = value
    else:
        setattr(owner, last, value)


def own_arrays(root: Any, path: str, of: str) -> None:
    """Give the object a copy of the array or list that a path leads into, which others may share."""
    parts = _PART.findall(path)
    if parts[-1].startswith("["):
        holder = path[: path.rindex("[")]
        owner, last = _owner(root, holder, of)
        if not last.startswith("["):
            held = _step(owner, last, path, root, of)
            setattr(owner, last, held.copy() if hasattr(held, "copy") else list(held))


def numbers_of(root: Any) -> dict[str, float]:
    """The public attributes of an object that are finite numbers, its class's too, by name."""
    names = {*vars(root), *(name for kind in type(root).__mro__[:-1] for name in vars(kind))}
    found = {}
    for name in sorted(names):
        if name.startswith(("_", *_LOOKS)) or isinstance(getattr(type(root), name, None), property):
            continue
        value: Any = getattr(root, name, None)
        if is_number(value) and np.isfinite(value):
            found[name] = float(value)
    return found


def is_number(value: Any) -> bool:
    """One number, and no truth value."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def is_plain(path: str) -> bool:
    """A path that is an attribute of the object itself."""
    return len(_PART.findall(path)) == 1


def _owner(root: Any, path: str, of: str) -> tuple[Any, str]:
    parts = _PART.findall(path)
    if not _PATH.fullmatch(path):
        raise ConfigError(f"{path!r} is no path to a number of {of}: write masscart, link.mass or high[0].")
    for part in parts[:-1]:
        root = _step(root, part, path, root, of)
    return root, parts[-1]


def _step(owner: Any, part: str, path: str, root: Any, of: str) -> Any:
    try:
        return owner[int(part[1:-1])] if part.startswith("[") else getattr(owner, part)
    except (AttributeError, IndexError, TypeError, KeyError):
        near = closest(path, list(numbers_of(root)))
        raise ConfigError(f"{of} has no number {path} (nothing at {part}); {near}") from None
