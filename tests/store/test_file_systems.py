"""File systems without locks, or that force nothing to the disk: a notice, and the run goes on."""

import errno
import fcntl
import os
import shutil
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jostle.errors import CheckpointError
from jostle.store import Metrics, Run

STATE = {"model": {"w": torch.ones(3)}}


def _write(path: Path) -> None:
    with Run.create(path, {}, {}) as run, Metrics(path) as metrics:
        metrics.log(0, {"a": 1.0})
        run.save(0, STATE, {"metrics_offset": metrics.offset()})
    with Run.open(path, write=True) as run:
        run.newest()
        run.save(1, STATE)


def _fails(number: int, where: Callable[[int], bool] = lambda _: True) -> Callable[..., None]:
    real = os.fsync

    def fail(descriptor: int, *_: Any) -> None:
        if where(descriptor):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    return fail


def _is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL, errno.EPERM])
def test_without_locks_a_run_is_written_with_a_notice(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", _fails(number))
    with pytest.warns(UserWarning, match="gives no locks") as told:
        _write(tmp_path / "run")
    assert len(told) == 2, "one for each time that the run was opened"
    monkeypatch.undo()
    assert Run.open(tmp_path / "run").newest()[2]["step"] == 1
    with Run.open(tmp_path / "run", write=True):
        pass  # nobody holds it


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EWOULDBLOCK])
def test_a_lock_that_another_holds_is_no_missing_lock(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", _fails(number))
    with pytest.raises(CheckpointError, match="another process is writing"):
        _write(tmp_path / "run")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES])
def test_folders_that_cannot_be_forced_to_the_disk(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", _fails(number, _is_folder))
    with pytest.warns(UserWarning, match="may be lost in a power cut") as told:
        _write(tmp_path / "run")
    assert len(told) == 2
    assert Run.open(tmp_path / "run").newest()[2]["step"] == 1


def test_files_that_cannot_be_forced_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", _fails(errno.EINVAL))
    with pytest.warns(UserWarning, match="may be lost in a power cut"):
        _write(tmp_path / "run")
    assert Run.open(tmp_path / "run").newest()[2]["step"] == 1


@pytest.mark.parametrize("where", [_is_folder, lambda d: not _is_folder(d)], ids=["folder", "file"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_is_not_taken_for_one_that_cannot(
    tmp_path: Path, number: int, where: Callable[[int], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Run.create(tmp_path / "run", {}, {}) as run:
        monkeypatch.setattr(os, "fsync", _fails(number, where))
        with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
            run.save(0, STATE)
        assert not run.checkpoints() or where is _is_folder


def test_a_checkpoint_of_a_lower_layer_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def replace(old: Any, new: Any) -> None:
        if Path(old).name.startswith("step_"):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(old, new)

    with Run.create(tmp_path / "run", {}, {}, keep=1) as run:
        run.save(0, STATE)
        monkeypatch.setattr(os, "replace", replace)
        run.save(1, STATE)
        assert [path.name for path in run.checkpoints()] == ["step_000000000001"]


def test_without_links_segments_are_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jostle.store import Segmented

    def link(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with Run.create(tmp_path / "run", {}, {}) as run:
        for step in range(2):
            run.save(step, {"replay": Segmented([torch.arange(4)], [1])})
        assert torch.equal(run.newest()[1]["replay"].segments[0], torch.arange(4))


def test_a_folder_that_may_only_be_read_is_read(tmp_path: Path) -> None:
    _write(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "shown")
    for path in [*(tmp_path / "shown").rglob("*"), tmp_path / "shown"]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert Run.open(tmp_path / "shown").newest()[2]["step"] == 1
    finally:
        for path in [tmp_path / "shown", *(tmp_path / "shown").rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
