"""A checkpoint: one folder of safetensors and JSON files with checksums over all of them.

    <part>.safetensors   the tensors of one top-level key of the state
    <part>.<digest>.safetensors   one segment of a `Segmented`
    state.json           the tree, with references to the tensors
    meta.json            the format's number and what the caller says about the checkpoint
    SHA256SUMS           one line per file, for `sha256sum -c`; also the proof that nothing is missing or added

A checkpoint is written beside its final place, forced to the disk, and renamed. It never changes afterwards.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from jostle.errors import CheckpointError, closest
from jostle.store.files import STAGING, sync_folder, write_file
from jostle.store.sums import SUMS, recorded_sums, sums_text, verify
from jostle.store.tensorfile import Array, first_nonfinite, size_of, tensor_chunks
from jostle.store.tree import Fetch, Flat, flatten, unflatten

FORMAT = 1
_PLAIN = re.compile(r"[A-Za-z0-9_]{1,64}")
_NONSENSE = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError, RuntimeError,
    SafetensorError,
)  # fmt: skip
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


def save_checkpoint(
    folder: Path,
    state: dict[str, Any],
    meta: dict[str, Any],
    *,
    finite: Collection[str] = (),
    previous: Path | None = None,
) -> Path:
    """Write `state` and `meta` as the new checkpoint `folder`, and return it.

    state: nested dicts (keys: strings or integers), lists and tuples of tensors, arrays, numbers, strings, None and
        `Segmented`. Each top-level key becomes one file; for the key "model" the names in it are those of the state
        dict. Device and `requires_grad` are not stored; NumPy scalars are stored as Python's numbers.
    meta: the same without tensors.
    finite: top-level keys whose tensors must hold neither NaN nor infinities.
    previous: the checkpoint that this process saved or loaded last; unchanged segments are linked from it.
    Raises: CheckpointError if the state cannot be stored or the files cannot be written. What stood there before
        stays as it was.
    """
    parts, tree = _plan(state)
    notes = Flat()
    info = {"format": FORMAT, "meta": flatten(meta, "meta", notes)}
    if notes.tensors or notes.segments:
        raise CheckpointError(f"the meta data of {folder} hold tensors: put them into the state")
    _check_finite({key: part.all_tensors() for key, (_, part) in parts.items()}, finite, folder)
    staging = folder.with_name(STAGING + folder.name)
    try:
        if folder.exists():
            raise CheckpointError(f"the checkpoint {folder} exists already: choose another step or folder")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        sums = {"state.json": _write_json(staging / "state.json", tree)}
        sums["meta.json"] = _write_json(staging / "meta.json", info)
        for stem, part in parts.values():
            _write_part(staging, stem, part, previous, sums)
        write_file(staging / SUMS, [sums_text(sums)])
        sync_folder(staging)
        os.replace(staging, folder)
        sync_folder(folder.parent)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if isinstance(error, OSError):
            raise CheckpointError(_why_not_written(folder, parts, error)) from error
        raise
    return folder


def load_checkpoint(
    folder: Path, *, finite: Collection[str] = (), without: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state and the meta data of a checkpoint, after all its bytes have been checked against SHA256SUMS.

    without: top-level keys with plain names whose values are not read: None stands in their place.
    Tensors come back on the CPU. Segments are private views of the mapped files: changing them changes no file.
    Raises: CheckpointError if any byte of any file differs, a file is missing or was added, the format is newer than
        this version of jostle knows, or a tensor under a key of `finite` holds NaN or an infinity.
    """
    files = verify(folder, without=without)
    try:
        info = json.loads((folder / "meta.json").read_bytes())
        if type(info["format"]) is not int or info["format"] < 1:
            raise ValueError(f"format {str(info['format'])[:20]!r}")
        if info["format"] > FORMAT:
            raise CheckpointError(
                f"the checkpoint {folder} has format {info['format']}, and this version of jostle reads up to "
                f"{FORMAT}: upgrade jostle"
            )
        tree = json.loads((folder / "state.json").read_bytes())
        tensors: dict[str, dict[str, Array]] = {key: {} for key in tree}
        state = {
            key: None if key in without else unflatten(part["tree"], _reader(folder, files, part["file"], tensors[key]))
            for key, part in tree.items()
        }
        meta = unflatten(info["meta"], _reader(folder, files, "", {}))
        if not isinstance(meta, dict):
            raise ValueError("its meta data are no mapping")
    except CheckpointError:
        raise
    except (OSError, *_NONSENSE) as error:
        raise CheckpointError(
            f"the checkpoint {folder} has the right checksums but no contents that jostle wrote ({error}): "
            "use another checkpoint"
        ) from error
    _check_finite(tensors, finite, folder)
    return state, meta


def _plan(state: dict[str, Any]) -> tuple[dict[str, tuple[str, Flat]], dict[str, Any]]:
    """Per top-level key its files' stem and tensors; and the JSON tree."""
    parts: dict[str, tuple[str, Flat]] = {}
    tree: dict[str, Any] = {}
    stems: set[str] = set()
    for index, (key, value) in enumerate(state.items()):
        # "part-3" is no plain name, so it is free; two names must not differ in case alone (macOS, Windows).
        stem = key if _PLAIN.fullmatch(key) and key.lower() not in stems else f"part-{index}"
        stems.add(stem.lower())
        flat = Flat()
        tree[key] = {"file": f"{stem}.safetensors", "tree": flatten(value, stem, flat)}
        parts[key] = (stem, flat)
    return parts, tree


def _write_json(path: Path, data: Any) -> str:
    return write_file(path, [json.dumps(data, allow_nan=False).encode() + b"\n"])


def _write_part(staging: Path, stem: str, part: Flat, previous: Path | None, sums: dict[str, str]) -> None:
    """Write one part's tensors and link or write its segments; their digests go to `sums`."""
    if part.tensors:
        sums[f"{stem}.safetensors"] = write_file(staging / f"{stem}.safetensors", tensor_chunks(part.tensors))
    known = recorded_sums(previous) if previous and part.segments else {}
    for file, (name, array) in part.segments.items():
        if previous and file in known and _link(previous / file, staging / file, size_of(array)):
            sums[file] = known[file]
        else:
            sums[file] = write_file(staging / file, tensor_chunks({name: array}))


def _link(old: Path, new: Path, size: int) -> bool:
    """Give an old segment a second name; False where that is impossible, or the old file is too short."""
    try:
        if old.stat().st_size < size:
            return False
        os.link(old, new)
    except OSError:  # another file system, too many links, or no links at all: write the segment again
        return False
    return True


def _reader(folder: Path, files: Collection[str], own: str, read: dict[str, Array]) -> Fetch:
    """A function that reads tensors of a part, from its own file or a segment's, and notes them in `read`."""

    opened: dict[str, Any] = {}

    def fetch(file: str | None, name: str) -> Tensor:
        path = file or own
        if path not in files:  # also keeps references inside the folder
            raise ValueError(f"no file {path!r}")
        if path not in opened:
            opened[path] = safe_open(str(folder / path), "pt")
        tensor: Tensor = opened[path].get_tensor(name)
        tensor = tensor if file else tensor.clone()
        read[f"{path}:{name}" if file else name] = tensor
        return tensor

    return fetch


def _check_finite(tensors: Mapping[str, Mapping[str, Array]], keys: Collection[str], folder: Path) -> None:
    for key in keys:
        if key not in tensors:
            raise CheckpointError(f"the checkpoint {folder} has no part {key!r}: {closest(key, tensors)}")
        name = first_nonfinite(tensors[key])
        if name is not None:
            raise CheckpointError(
                f"{name!r} of {key!r} holds NaN or an infinity, so it makes no checkpoint {folder}: "
                "go back to an earlier checkpoint, with a lower learning rate or gradient clipping"
            )


def _why_not_written(folder: Path, parts: Mapping[str, tuple[str, Flat]], error: OSError) -> str:
    if error.errno not in _FULL:
        return (
            f"cannot write the checkpoint {folder} ({error.strerror or error}): "
            "make its folder writable, or choose another"
        )
    need = sum(size_of(array) for _, part in parts.values() for array in part.all_tensors().values())
    return (
        f"cannot write the checkpoint {folder} ({error.strerror}): it takes about {need / 1e6:,.1f} MB; "
        "make room or choose another disk (earlier checkpoints are untouched)"
    )
