"""What the doctor found when a training ended, kept in the run's folder, so that nobody has to load the run for it."""

import json
from collections.abc import Sequence
from pathlib import Path

from jostle.doctor.shared import Check
from jostle.errors import CheckpointError
from jostle.store.files import replace_file

FILE = "doctor.json"


def write_down(path: Path, step: int, checks: Sequence[Check]) -> Path:
    """The checks of a run at a step, in its folder.

    Raises:
        CheckpointError: they cannot be written.
    """
    told = {"step": step, "checks": [vars(check) for check in checks]}
    try:
        replace_file(path / FILE, json.dumps(told, indent=1) + "\n")
    except OSError as error:
        raise CheckpointError(f"cannot write {path / FILE} ({error.strerror}): make room") from error
    return path / FILE
