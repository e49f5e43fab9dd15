"""Jobs as processes of this machine, so many at once. Nobody else knows where a job runs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG = "log.txt"


@dataclass(frozen=True)
class Ended:
    """A job's process that has ended.

    Attributes:
        folder: of the job.
        code: the exit code; negative where a signal ended it.
        seconds: it took.
        memory: the most it held, in bytes.
    """

    folder: Path
    code: int
    seconds: float
    memory: int


def cores() -> int:
    """Of this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_pool(
    folders: Sequence[Path],
    at_once: int,
    *,
    threads: int = 1,
    stop: Callable[[], bool] = lambda: False,
    started: Callable[[Path], None] = lambda _: None,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Ended]:
    """Run the jobs in these folders, in order, and yield each as it ends.

    Args:
        folders: each holds a ``job.json``.
        at_once: processes at once; fewer where another like the largest so far would not fit into memory.
        threads: of each process.
        stop: asked all the time; where it says true, no job is started any more.
        started: called with each job that starts.
        tick: called several times a second.

    An interrupt ends the processes as it ends this one: they save what they have.
    """
    waiting, largest = list(folders), 0
    running: dict[subprocess.Popen[bytes], tuple[Path, float]] = {}
    try:
        while waiting or running:
            while waiting and not stop() and len(running) < at_once and (not running or _fits(largest)):
                folder = waiting.pop(0)
                running[_start(folder, threads)] = folder, time.monotonic()
                started(folder)
            if stop():
                waiting.clear()
            for process, (folder, begun) in list(running.items()):
                done, status, usage = os.wait4(process.pid, os.WNOHANG)
                if done:
                    process.returncode = os.waitstatus_to_exitcode(status)
                    del running[process]
                    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                    largest = max(largest, memory)
                    yield Ended(folder, process.returncode, time.monotonic() - begun, memory)
            tick()
            time.sleep(0.05)
    except BaseException:
        _end(list(running))
        raise


def _start(folder: Path, threads: int) -> "subprocess.Popen[bytes]":
    quiet = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "jostle.study.job", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **quiet},
        )


def _end(processes: "list[subprocess.Popen[bytes]]") -> None:
    """Let them save; whoever asks a second time ends them at once."""
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.wait()
    except BaseException:
        for process in processes:
            process.kill()
            process.wait()
        raise


def _fits(largest: int) -> bool:
    """Whether the machine has room for one more like the largest so far; true where nobody tells."""
    try:
        told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(told["MemAvailable"].split()[0]) * 1024 > 1.2 * largest
    except (OSError, KeyError, ValueError):
        return True


def last_lines(folder: Path, count: int = 5) -> list[str]:
    """The end of a job's log."""
    try:
        text = (folder / LOG).read_bytes()[-8192:].decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
