"""Writing files and folders so that a kill at any moment leaves the old state or the new one, never a mixture."""

import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from jostle.errors import CheckpointError
from jostle.store.sums import SUMS

STAGING = ".staging-"
# What a file system says that cannot force anything to the disk, in distinction from one that failed to.
_UNABLE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.ENOTTY}


def write_file(path: Path, chunks: Iterable[bytes | memoryview]) -> str:
    """Write a new file, force it to the disk, and return its SHA-256 in hexadecimal digits.

    The digest is taken of what is written while it is written: nothing is read back.
    """
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        force(file.fileno())
    return digest.hexdigest()


def force(descriptor: int) -> None:
    """Force a file to the disk, where its file system can do that. Raises: OSError if it can and fails."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise


def sync_folder(folder: Path) -> bool:
    """Force a folder's list of names to the disk, so that a rename in it survives a power cut.

    Returns False where the file system cannot do that, as some network mounts: there a kill is survived all the same.
    """
    if sys.platform == "win32":  # folders cannot be opened there
        return False
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _UNABLE | {errno.EACCES, errno.EPERM, errno.EISDIR}:
            raise
        return False
    return True


def replace_file(path: Path, text: str) -> None:
    """Write `text` to `path` through a staged sibling: readers see the old file or the new one."""
    staged = path.with_name(STAGING + path.name)
    staged.unlink(missing_ok=True)
    write_file(staged, [text.encode()])
    os.replace(staged, path)
    sync_folder(path.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder; it leaves its name first, so that a kill never leaves half a folder under that name.

    Raises: CheckpointError if it cannot be removed.
    """
    doomed = folder.with_name(STAGING + "old-" + folder.name)
    shutil.rmtree(doomed, ignore_errors=True)
    try:
        os.replace(folder, doomed)
    except OSError as error:
        if error.errno == errno.EXDEV:  # layered file systems rename no folder of a lower layer
            (folder / SUMS).unlink(missing_ok=True)  # first, so that what a kill leaves is no good checkpoint
            shutil.rmtree(folder, ignore_errors=True)
            return
        raise CheckpointError(
            f"cannot remove {folder} ({error.strerror}): remove it yourself, or make its parent writable"
        ) from error
    shutil.rmtree(doomed, ignore_errors=True)


def remove_staging(folder: Path) -> None:
    """Remove what writers that were killed left in `folder`. Call it only while no other process writes there."""
    remove_leftovers(folder, [path.name for path in folder.glob(STAGING + "*")])


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove files, and folders with all that is in them, where they are there; of a link the link alone.

    Raises: OSError for a file that cannot be removed.
    """
    for path in (folder / name for name in names):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
