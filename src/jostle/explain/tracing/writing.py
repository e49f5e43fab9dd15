"""Steps on their way to the disk, a piece at a time, so that no more than one of these is in memory."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jostle.errors import CheckpointError, ConfigError
from jostle.explain.tracing.format import DESCRIPTION, PIECE, PIECES, Description
from jostle.store.files import replace_file, write_file
from jostle.store.tensorfile import tensor_chunks

PIECE_BYTES = 16 * 2**20
Row = dict[str, np.ndarray[Any, Any]]


class Writer:
    """Takes steps in any order, and writes them in that order.

    Args:
        folder: a new or empty one, or one with a former trace to replace.
        overwrite: replace it.

    Raises:
        ConfigError: the folder holds something already, or cannot be written.
    """

    def __init__(self, folder: Path, *, overwrite: bool) -> None:
        self.folder, self.pieces = folder, list[int]()
        self.columns: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._held: list[Row] = []
        self._bytes = 0
        require_free(folder, overwrite)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / DESCRIPTION).unlink(missing_ok=True)  # first: what is left of a trace then is none
            for piece in folder.glob(PIECES):
                piece.unlink()
        except OSError as error:
            raise ConfigError(f"cannot write to {folder} ({error.strerror}): choose another folder.") from error

    def add(self, row: Mapping[str, Any]) -> None:
        """One step."""
        arrays = {name: np.array(value) for name, value in row.items()}  # copies: rows of a batch would keep it whole
        kinds = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
        self.columns = self.columns or kinds
        if kinds != self.columns:
            odd = sorted(set(kinds.items()) ^ set(self.columns.items()))[0][0]
            raise ConfigError(
                f"'{odd}' changes its type or shape within the trace ({self.columns.get(odd)}, then {kinds.get(odd)}): "
                "give each condition a trace of its own."
            )
        self._held.append(arrays)
        self._bytes += sum(array.nbytes for array in arrays.values())
        if self._bytes >= PIECE_BYTES:
            self._flush()

    def close(self, description: Description) -> None:
        """Write what is left, and the description, with which the trace is there."""
        replace_file(self.folder / DESCRIPTION, json.dumps(description.as_dict(), indent=1) + "\n")

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            self._flush()

    def _flush(self) -> None:
        stacked = {name: np.stack([row[name] for row in self._held]) for name in self.columns}
        path = self.folder / PIECE.format(len(self.pieces))
        try:
            write_file(path, tensor_chunks(stacked))
        except OSError as error:
            raise CheckpointError(
                f"cannot write {path} ({error.strerror}): make room, or choose another folder."
            ) from error
        self.pieces.append(len(self._held))
        self._held, self._bytes = [], 0


def require_free(folder: Path, overwrite: bool) -> None:
    """Raises: ConfigError where a folder holds what may not be replaced."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file: choose another name for the folder of the trace.")
    names = {path.name for path in folder.iterdir()}
    ours = {path.name for path in folder.glob(PIECES)} | ({DESCRIPTION} & names)
    if names - ours:
        raise ConfigError(f"{folder} holds other files, such as {min(names - ours)}: give the trace a new folder.")
    if ours and not overwrite:
        raise ConfigError(f"{folder} holds a trace already: choose another folder, or give overwrite=True.")
