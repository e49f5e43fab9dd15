"""What stands on the disk when a writer is killed, or the disk is full."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jostle.errors import CheckpointError
from jostle.store import Run, load_checkpoint, save_checkpoint

# Forks one writer per line of its input, so that torch is imported once. A writer announces each step that it saved.
_DRIVER = """
import os, signal, sys
import numpy as np
from jostle.store import Run, Segmented

def write(folder, syncs):
    real = os.fsync
    def fsync(descriptor):
        nonlocal syncs
        syncs -= 1
        if syncs == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)
    os.fsync = fsync
    run = Run.open(folder, write=True)
    step = run.newest()[2]["step"]
    while True:
        step += 1
        versions = [step - (step - i) % 4 for i in range(4)]
        arrays = [np.full(5000, v) for v in versions]
        run.save(step, {"model": {"w": np.full(20000, step)}, "replay": Segmented(arrays, versions)})
        os.write(1, f"{step}\\n".encode())

from pathlib import Path
for line in sys.stdin:
    folder, syncs = line.split()
    pid = os.fork()
    if pid == 0:
        write(Path(folder), int(syncs))
    os.write(1, f"pid {pid}\\n".encode())
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""


class Driver:
    """One writer at a time, in a process that can be killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def killed_writer(
        self, folder: Path, *, at_sync: int = 0, saves: int = 0, delay: float | None = None
    ) -> int | None:
        """Run a writer until it is killed; the last step that it announced.

        It is killed at its n-th fsync, or some seconds after so many saves.
        """
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{folder} {at_sync}\n")
        announced, pid = None, None
        if delay is not None:
            while pid is None or saves > 0:
                line = self.process.stdout.readline().strip()
                assert line, "the driver itself died"
                if line.isdigit():
                    announced, saves = int(line), saves - 1
                else:
                    pid = int(line.removeprefix("pid "))
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
        while (line := self.process.stdout.readline().strip()) != "dead":
            assert line, "the driver itself died"
            announced = int(line) if line.isdigit() else announced
        return announced


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    assert driver.process.stdin
    assert driver.process.stdout
    driver.process.stdin.close()
    driver.process.wait()
    driver.process.stdout.close()


@pytest.fixture
def folder(memory_path: Path) -> Path:
    """A run with a checkpoint of step 0."""
    with Run.create(memory_path / "run", {}, {}) as run:
        run.save(0, {"model": {"w": np.full(20000, 0)}})
    return run.path


def _check(folder: Path, announced: int | None) -> int:
    """The newest checkpoint is good without any fallback, consistent, and no older than the one announced."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path, state, meta = Run.open(folder).newest()
    assert path.name == f"step_{meta['step']:012d}"
    assert (state["model"]["w"] == meta["step"]).all()
    if meta["step"]:
        replay = state["replay"]
        assert all((a == v).all() for a, v in zip(replay.segments, replay.versions, strict=True))
    assert meta["step"] >= (announced or 0)
    step: int = meta["step"]
    return step


def test_a_kill_at_any_moment_leaves_a_good_newest_checkpoint(driver: Driver, folder: Path) -> None:
    rng = random.Random(0)
    step = 0
    for _ in range(12):
        announced = driver.killed_writer(folder, saves=rng.randrange(4), delay=rng.uniform(0.0, 0.02))
        step = _check(folder, announced)
    assert step >= 12
    # The next writer clears up what the killed ones left.
    Run.open(folder, write=True).close()
    assert not list((folder / "checkpoints").glob(".*"))


def test_a_kill_at_each_sync_leaves_a_good_newest_checkpoint(driver: Driver, folder: Path) -> None:
    before = 0
    for sync in range(1, 26):  # three saves: the first, one with links, one with rotation
        announced = driver.killed_writer(folder, at_sync=sync)
        step = _check(folder, announced)
        assert step - before <= 3
        before = step
    assert before > 10


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}, {}) as run:
        run.save(1, {"x": np.zeros(10)})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(CheckpointError, match=r"takes about 8\.0 MB; make room"):
                run.save(2, {"x": np.zeros(1_000_000)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert run.newest()[2]["step"] == 1
        assert [p.name for p in (run.path / "checkpoints").iterdir()] == ["step_000000000001"]
        run.save(2, {"x": np.zeros(1_000_000)})


@pytest.mark.parametrize("allowed", range(12))
def test_a_disk_full_at_any_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    old = save_checkpoint(tmp_path / "old", {"x": np.zeros(10)}, {})
    real, done = os.fsync, 0

    def fsync(descriptor: int) -> None:
        nonlocal done
        done += 1
        if done > allowed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    try:
        save_checkpoint(tmp_path / "new", {"x": np.ones(10), "y": np.ones(10)}, {})
    except CheckpointError as error:
        assert "make room" in str(error)  # noqa: PT017
        assert allowed < 7
    else:
        assert allowed >= 7  # four files and the sums, the folder, its parent
    monkeypatch.undo()
    assert not list(tmp_path.glob(".*"))
    load_checkpoint(old)
    if (tmp_path / "new").exists():
        load_checkpoint(tmp_path / "new")


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"Not a directory\): make its folder writable"):
        save_checkpoint(tmp_path / "file" / "c", {}, {})


def test_an_interrupted_save_clears_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "c", {"n": 1}, {})
    assert list(tmp_path.iterdir()) == []
