"""The best checkpoint of a run, beside its newest ones: RUN/best/step_000000012345/, without the replay.

A better one is whole before the one before it is removed, so that a kill at any moment leaves a best checkpoint.
"""

import json
import math
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jostle.errors import CheckpointError
from jostle.store.checkpoint import load_checkpoint, save_checkpoint
from jostle.store.files import remove_folder, remove_staging

_FOLDER, _VALUE = "best", "value"


def save_best(
    run: Path, step: int, state: dict[str, Any], meta: dict[str, Any], value: float, *, finite: Collection[str] = ()
) -> Path:
    """Keep a checkpoint with its value, and remove the one that was the best until now.

    Only the run's writer may do so. See `save_checkpoint` for state, meta and finite.
    Raises: CheckpointError if it cannot be written.
    """
    home = run / _FOLDER
    remove_staging(home)
    folder = home / f"step_{step:012d}"
    if folder.exists():  # of the same step, before a resume that was not exact
        remove_folder(folder)
    save_checkpoint(folder, state, {**meta, "step": step, _VALUE: value}, finite=finite)
    for path in _all(run):
        if path != folder:
            remove_folder(path)
    return folder


def best_value(run: Path) -> float:
    """The value of the best checkpoint; minus infinity where there is none."""
    return max((_value(path) for path in _all(run)), default=-math.inf)


def load_best(
    run: Path, *, finite: Collection[str] = (), without: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and meta data of the best good checkpoint; "value" in the meta data says how good.

    Raises: CheckpointError if there is none.
    """
    for path in sorted(_all(run), key=_value, reverse=True):
        try:
            return load_checkpoint(path, finite=finite, without=without)
        except CheckpointError as error:
            warnings.warn(f"skipping a checkpoint: {error}", stacklevel=2)
    raise CheckpointError(
        f"the run {run} has no best checkpoint: train with evaluations, by eval_every or --eval-every, or take the "
        "newest one"
    )


def _all(run: Path) -> list[Path]:
    return list((run / _FOLDER).glob("step_*"))


def _value(folder: Path) -> float:
    """What stands in the folder; minus infinity where that cannot be read."""
    try:
        return float(json.loads((folder / "meta.json").read_bytes())["meta"][_VALUE])
    except (OSError, ValueError, LookupError, TypeError):
        return -math.inf
