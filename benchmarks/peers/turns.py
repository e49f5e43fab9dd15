"""Processes that run by turns, one at a time, so that a machine that slows down slows all of them.

A contestant reports after each iteration through a pipe (see `tick.py`). Between its turns it is stopped by a signal,
and its clock with it: rates are iterations over the time in which it was running.
"""

import bisect
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Tick(NamedTuple):
    """The end of an iteration, on the contestant's own clock."""

    steps: int
    seconds: float
    memory: int
    mean_return: float


class Contestant:
    """A process in a group of its own.

    Args:
        name: what tables call it.
        command: file in this folder and its arguments.
        python: the interpreter.
        threads: torch's threads.
        environment: further environment variables.
        warm: iterations that are not measured.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        python: str = sys.executable,
        threads: int = 1,
        environment: dict[str, str] | None = None,
        warm: int = 3,
    ) -> None:
        self.name, self.threads, self.warm = name, threads, warm
        self.environment = environment or {}
        self.command = [python, "-W", "ignore", str(HERE / command[0]), *command[1:]]
        self.ticks: list[Tick] = []
        self.marks: list[int] = []  # the index of the last tick at the end of each round
        self._turns: list[tuple[float, float]] = []  # on the clock of the machine
        self._before: list[float] = []  # seconds of all earlier turns
        self.ended = False
        self._rest = b""
        self._folder = tempfile.TemporaryDirectory(prefix="jostle-speed-")

    def start(self, limit: float = 900) -> None:
        """Start it, and let it run alone until it is warm; then stop it.

        Raises:
            RuntimeError: it ended or took longer than ``limit`` seconds.
        """
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        environment = os.environ | {
            "JOSTLE_TICKS": str(write),
            "OMP_NUM_THREADS": str(self.threads),
            "MKL_NUM_THREADS": str(self.threads),
            "PYTHONPATH": str(HERE),
            **self.environment,
        }
        self._log = open(Path(self._folder.name) / "log", "wb")  # noqa: SIM115
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=self._folder.name,
            env=environment,
            pass_fds=(write,),
            start_new_session=True,
        )
        os.close(write)
        began = time.monotonic()
        self._turns.append((began, began))
        self._before.append(0.0)
        while len(self.ticks) <= self.warm:
            if time.monotonic() - began > limit:
                raise RuntimeError(f"{self.name} was not warm after {limit:.0f} seconds:\n{self.tail()}")
            self._listen(0.2)
            if self.ended:
                raise RuntimeError(f"{self.name} has ended:\n{self.tail()}")
        self._pause(began)
        self.marks.append(len(self.ticks) - 1)

    def turn(self, seconds: float) -> bool:
        """Go on for a while; False: it has come to its end."""
        began = time.monotonic()
        os.killpg(self._process.pid, signal.SIGCONT)
        while not self.ended and (left := began + seconds - time.monotonic()) > 0:
            self._listen(min(left, 0.2))
        self._pause(began)
        return not self.ended

    def stop(self) -> None:
        """End it for good."""
        if hasattr(self, "_process") and not self._log.closed:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            os.close(self._read)
            self._log.close()
        self._folder.cleanup()

    def tail(self) -> str:
        """The end of what it printed."""
        return (Path(self._folder.name) / "log").read_text(errors="replace")[-3000:]

    def active(self, moment: float) -> float:
        """Seconds that it has run until a moment of the machine's clock."""
        i = bisect.bisect_right(self._turns, (moment, float("inf"))) - 1
        began, ended = self._turns[i]
        return self._before[i] + min(moment, ended) - began

    def seconds(self, first: int, last: int) -> float:
        """Running time between two ticks."""
        return self.active(self.ticks[last].seconds) - self.active(self.ticks[first].seconds)

    def rate(self, first: int, last: int) -> float:
        """Steps per second between two ticks."""
        return (self.ticks[last].steps - self.ticks[first].steps) / self.seconds(first, last)

    def rates(self) -> list[float]:
        """Steps per second of each round."""
        return [self.rate(a, b) for a, b in zip(self.marks, self.marks[1:], strict=False)]

    @property
    def running_time(self) -> float:
        """Seconds that it has run so far, its start included."""
        began, ended = self._turns[-1]
        return self._before[-1] + ended - began

    def _pause(self, began: float) -> None:
        if not self.ended:
            os.killpg(self._process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self._before.append(self.running_time)
        self._turns.append((began, time.monotonic()))
        if not self.ended:
            self._listen(0)

    def _listen(self, seconds: float) -> None:
        """Read what has come, waiting at most this long."""
        if not select.select([self._read], [], [], seconds)[0]:
            return
        data = os.read(self._read, 1 << 16)
        if not data:
            self.ended = True
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            steps, seconds_, memory, mean = line.split()
            self.ticks.append(Tick(int(steps), float(seconds_), int(memory), float(mean)))


def interleave(contestants: Sequence[Contestant], rounds: int, slice_seconds: float, least: float) -> None:
    """Let all of them run by turns until each has ``rounds`` rounds.

    In a round everybody finishes an iteration or more and runs for ``least`` seconds or more; who has done so waits for
    the others. Who begins changes from round to round.
    """
    for count in range(rounds):
        first = count % len(contestants)
        waiting = [*contestants[first:], *contestants[:first]]
        before = {id(c): c.running_time for c in contestants}
        while waiting:
            for contestant in waiting:
                if not contestant.turn(slice_seconds):
                    raise RuntimeError(f"{contestant.name} has ended:\n{contestant.tail()}")
            waiting = [c for c in waiting if c.running_time - before[id(c)] < least or len(c.ticks) - 1 <= c.marks[-1]]
        for contestant in contestants:
            contestant.marks.append(len(contestant.ticks) - 1)


def quickest(group: Sequence[Contestant], slack: float = 0.7) -> list[Contestant]:
    """Started contestants but those whose best iteration is far slower than the best of all; these end."""
    speed = [max((c.rate(k - 1, k) for k in range(1, len(c.ticks))), default=1.0) for c in group]
    kept = []
    for contestant, value in zip(group, speed, strict=True):
        if value >= slack * max(speed):
            kept.append(contestant)
        else:
            contestant.stop()
    return kept
