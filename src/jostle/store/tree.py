"""A nested state as JSON plus named tensors, and back, bit for bit.

JSON has neither tuples, tensors, NaN, integers of any size nor keys that are no strings. Each of these becomes an
object with one key that starts with "$":

    {"$tensor": name} {"$array": name}  a torch tensor, a NumPy array, in the part's safetensors file (or in "file")
    {"$segments": [[version, leaf], …]} a `Segmented`
    {"$tuple": […]} {"$dict": [[key, value], …]}
    {"$float": "nan"} {"$int": "0x…"}
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from jostle.errors import CheckpointError
from jostle.store.tensorfile import Array, dtype_code

# Numbers beyond this are rounded by readers that hold JSON numbers as doubles (RFC 8259, section 6).
_EXACT = 2**53

Fetch = Callable[[str | None, str], Tensor]


@dataclass(frozen=True)
class Segmented:
    """A large store in pieces, of which only the changed ones are written again.

    segments: tensors or arrays; each becomes a file of its own.
    versions: one id per segment. Within one run the same id must mean the same contents, also after a resume: go on
        counting from the loaded ids, for instance with the number of rows ever written.
    """

    segments: Sequence[Array]
    versions: Sequence[int | str]

    def __post_init__(self) -> None:
        if len(self.segments) != len(self.versions):
            raise ValueError(f"{len(self.segments)} segments need as many versions, not {len(self.versions)}")


@dataclass
class Flat:
    """What `flatten` took out of a tree: tensors by name, and segments by file name as (tensor's name, tensor)."""

    tensors: dict[str, Array] = field(default_factory=dict)
    segments: dict[str, tuple[str, Array]] = field(default_factory=dict)

    def all_tensors(self) -> dict[str, Array]:
        """Every tensor by name, those of segments with their file's name in front."""
        return self.tensors | {f"{file}:{name}": array for file, (name, array) in self.segments.items()}


def flatten(value: Any, stem: str, flat: Flat, path: tuple[str, ...] = ()) -> Any:
    """`value` as JSON data; its tensors go to `flat`, under their path joined by dots.

    stem: the beginning of the segments' file names.
    Raises: CheckpointError for a value that cannot be stored, with its place.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < _EXACT else {"$int": hex(value)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": str(float(value))}
    if isinstance(value, Tensor | np.ndarray):
        return _leaf(value, _free_name(path, flat), flat.tensors, stem, path)
    if isinstance(value, Segmented):
        return {"$segments": list(_segments(value, stem, flat, path))}
    if isinstance(value, dict):
        return _flatten_dict(value, stem, flat, path)
    if isinstance(value, list | tuple):
        items = [flatten(item, stem, flat, (*path, str(i))) for i, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, np.bool_ | np.integer | np.floating) and isinstance(value.item(), bool | int | float):
        return flatten(value.item(), stem, flat, path)
    raise CheckpointError(
        f"cannot store {_place(stem, path)}, a {type(value).__name__}: "
        "a state holds tensors, arrays, numbers, strings, None, and dicts, lists and tuples of these"
    )


def _flatten_dict(value: dict[Any, Any], stem: str, flat: Flat, path: tuple[str, ...]) -> Any:
    for key in value:
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise CheckpointError(f"cannot store the key {key!r} at {_place(stem, path)}: keys are strings or integers")
    items = {key: flatten(item, stem, flat, (*path, str(key))) for key, item in value.items()}
    if all(isinstance(key, str) and not key.startswith("$") for key in items):
        return items
    return {"$dict": [[flatten(key, stem, flat, path), item] for key, item in items.items()]}


def _segments(value: Segmented, stem: str, flat: Flat, path: tuple[str, ...]) -> Iterator[Any]:
    for i, (array, version) in enumerate(zip(value.segments, value.versions, strict=True)):
        name = _printable((*path, str(i)))
        own: dict[str, Array] = {}
        leaf = _leaf(array, name, own, stem, (*path, str(i)))
        # The file's name stands for its contents: the next checkpoint looks for the same name to link to.
        identity = json.dumps([*path, i, version, leaf, dtype_code(array), list(array.shape)])
        file = f"{stem}.{hashlib.sha256(identity.encode()).hexdigest()[:24]}.safetensors"
        flat.segments[file] = (name, array)
        yield [version, {**leaf, "file": file}]


def _leaf(array: Array, name: str, into: dict[str, Array], stem: str, path: tuple[str, ...]) -> dict[str, str]:
    if isinstance(array, np.ma.MaskedArray) or dtype_code(array) is None:
        raise CheckpointError(
            f"cannot store {_place(stem, path)}, a {type(array).__name__} of {array.dtype}: "
            "only dense tensors and arrays of booleans, integers, floats and complex64 are stored"
        )
    into[name] = array
    return {"$tensor" if isinstance(array, Tensor) else "$array": name}


def _free_name(path: tuple[str, ...], flat: Flat) -> str:
    """The path joined by dots; a number is appended where keys with dots make two paths look alike."""
    name = _printable(path)
    free, count = name, 1
    while free in flat.tensors or free == "__metadata__":  # the latter is the safetensors header's own
        count += 1
        free = f"{name}~{count}"
    return free


def _printable(path: tuple[str, ...]) -> str:
    """The tensor's name; lone surrogates, which UTF-8 cannot express, are written as escapes."""
    return ".".join(path).encode("utf-8", "backslashreplace").decode() or "value"


def _place(stem: str, path: tuple[str, ...]) -> str:
    return repr(".".join((stem, *path)))


def unflatten(data: Any, fetch: Fetch) -> Any:
    """The tree that `flatten` turned into `data`. Raises ValueError or KeyError for anything else.

    fetch: gives the tensor for (file or None, name).
    """
    if isinstance(data, list):
        return [unflatten(item, fetch) for item in data]
    if not isinstance(data, dict):
        return data
    mark = next((key for key in data if key.startswith("$")), None)
    match mark:
        case None:
            return {key: unflatten(item, fetch) for key, item in data.items()}
        case "$tensor" | "$array":
            tensor = fetch(data.get("file"), data[mark])
            return tensor if mark == "$tensor" else tensor.numpy()
        case "$segments":
            leaves = data[mark]
            return Segmented([unflatten(leaf, fetch) for _, leaf in leaves], [version for version, _ in leaves])
        case "$tuple":
            return tuple(unflatten(item, fetch) for item in data[mark])
        case "$dict":
            return {unflatten(key, fetch): unflatten(item, fetch) for key, item in data[mark]}
        case "$float":
            return float(data[mark])
        case "$int":
            return int(data[mark], 16)
    raise ValueError(f"unknown mark {mark}")
