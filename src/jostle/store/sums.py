"""SHA256SUMS: one line per file of a folder, as `sha256sum` writes them, over every file of the folder."""

import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from jostle.errors import CheckpointError

SUMS = "SHA256SUMS"


def sums_text(sums: Mapping[str, str]) -> bytes:
    """The contents of SHA256SUMS for file names and their digests in hexadecimal."""
    return b"".join(digest.encode() + b"  " + os.fsencode(name) + b"\n" for name, digest in sorted(sums.items()))


def recorded_sums(folder: Path) -> dict[str, str]:
    """What SHA256SUMS says, unverified; empty if it cannot be read."""
    try:
        lines = (folder / SUMS).read_text().splitlines()
    except (OSError, ValueError):
        return {}
    return {line[66:]: line[:64] for line in lines if len(line) > 66}


def verify(folder: Path, *, without: Collection[str] = ()) -> frozenset[str]:
    """The names of the folder's files, if SHA256SUMS is byte for byte what it must be for what lies there.

    without: parts (file names up to the first dot) whose bytes are not read; their files must be there all the same.
    Nothing is parsed. Raises: CheckpointError for any flipped, cut or added byte, and any missing or added file.
    """
    known = recorded_sums(folder) if without else {}
    found: dict[str, str] = {}
    try:
        recorded = (folder / SUMS).read_bytes()
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_file():
                    raise CheckpointError(_damaged(folder, f"{entry.name!r} is no file"))
                if entry.name.split(".")[0] in without:
                    found[entry.name] = known.get(entry.name, "")
                elif entry.name != SUMS:
                    with open(entry.path, "rb") as file:
                        found[entry.name] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        name = os.path.basename(error.filename or "")
        what = f"there is no {name}" if isinstance(error, FileNotFoundError) else f"{name}: {error.strerror}"
        raise CheckpointError(_damaged(folder, what)) from error
    if recorded != sums_text(found):
        raise CheckpointError(_damaged(folder, _difference(recorded_sums(folder), found)))
    return frozenset(found)


def _damaged(folder: Path, what: str) -> str:
    return f"the checkpoint {folder} is damaged ({what}): use another checkpoint, or copy this one from a backup"


def _difference(recorded: dict[str, str], found: dict[str, str]) -> str:
    for name in sorted(recorded.keys() | found.keys()):
        if name not in found:
            return f"{name!r} is missing"
        if name not in recorded:
            return f"{name!r} is not in {SUMS}"
        if recorded[name] != found[name]:
            return f"{name!r} does not match its checksum"
    return f"{SUMS} itself was changed"
