"""Where jobs run: the one interface behind which a study knows neither processes nor clusters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

LOG = "log.txt"
RUNS = ("-m", "jostle.study.job")
"""What a Python is asked for, with a job's folder and the process that starts it behind it."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that say how many threads a job has."""


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


class Executor(Protocol):
    """Runs jobs, wherever that is: give it their folders, and it yields each as it ends."""

    def __call__(
        self,
        folders: Sequence[Path],
        *,
        stop: Callable[[], bool] = lambda: False,
        started: Callable[[Path], None] = lambda _: None,
        tick: Callable[[], None] = lambda: None,
    ) -> Iterator[Ended]:
        """Run the jobs in these folders, begun in order.

        Args:
            folders: each holds a ``job.json``.
            stop: asked all the time; where it says true, no job is started any more.
            started: called with each job that starts.
            tick: called several times a second; what it raises ends the jobs, which save what they have.
        """
        ...


def last_lines(folder: Path, count: int = 5) -> list[str]:
    """The end of a job's log."""
    try:
        text = (folder / LOG).read_bytes()[-8192:].decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
