"""One writer per run folder: a lock that the kernel takes back when its holder dies."""

import errno
import os
import sys
import warnings
from pathlib import Path

from jostle.errors import CheckpointError

if sys.platform != "win32":
    import fcntl

# A forked worker shares the lock through its copy of the descriptor and could outlive a killed trainer with it.
_held: set[int] = set()


def _drop_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_drop_in_child)


class Lock:
    """An exclusive lock on `path`, held until `release` or the end of the process.

    Windows and some network file systems have no such locks; there two writers are not detected, and a warning says so
    of the file system.

    Raises: CheckpointError if another process, or another `Lock` of this one, holds it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise CheckpointError(f"cannot write in {path.parent} ({error.strerror}): choose another folder") from error
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK):
                warnings.warn(
                    f"the file system of {path.parent} gives no locks ({error.strerror}): the run is written without "
                    "one, so see to it that no other process writes to it at the same time",
                    stacklevel=3,
                )
                return
            os.close(self._descriptor)
            self._descriptor = None
            raise CheckpointError(
                f"another process is writing to the run {path.parent}: wait until it ends, or choose another folder"
            ) from error
        _held.add(self._descriptor)

    def release(self) -> None:
        """Give the lock back; further calls do nothing."""
        if self._descriptor is not None:
            _held.discard(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
