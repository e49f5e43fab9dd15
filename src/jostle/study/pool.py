"""Jobs as processes of this machine, so many at once."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jostle.study.executor import LOG, RUNS, THREADS, Ended, Executor


def cores() -> int:
    """Of this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_pool(at_once: int | None = None, threads: int = 1) -> Executor:
    """Processes of this machine.

    An interrupt ends the processes as it ends this one: they save what they have.

    Args:
        at_once: processes at once; None: as many as there are cores for their threads. They are fewer where another
            like the largest so far would not fit into memory.
        threads: of each process.
    """
    count = max(1, cores() // threads) if at_once is None else at_once

    def run(
        folders: Sequence[Path],
        *,
        stop: Callable[[], bool] = lambda: False,
        started: Callable[[Path], None] = lambda _: None,
        tick: Callable[[], None] = lambda: None,
    ) -> Iterator[Ended]:
        waiting, largest = list(folders), 0
        running: dict[subprocess.Popen[bytes], tuple[Path, float]] = {}
        try:
            while waiting or running:
                while waiting and not stop() and len(running) < count and (not running or _fits(largest)):
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

    return run


def _start(folder: Path, threads: int) -> "subprocess.Popen[bytes]":
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *RUNS, str(folder), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **dict.fromkeys(THREADS, str(threads))},
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
