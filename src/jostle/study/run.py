"""A study, from its jobs to its results: what is done stays, what is missing runs."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jostle.errors import ConfigError, JostleError
from jostle.store.files import replace_file
from jostle.store.lock import Lock
from jostle.study import results
from jostle.study.executor import Ended, Executor, last_lines
from jostle.study.job import RESULT
from jostle.study.pool import local_pool
from jostle.study.spec import Job, Study


@dataclass(frozen=True)
class Event:
    """What happened to a job: ``started``, ``done``, or ``failed`` with the last lines of its log."""

    job: Job
    what: str
    ended: Ended | None = None
    said: Sequence[str] = ()


@dataclass
class Outcome:
    """How far a study came.

    Attributes:
        done: jobs with a result, those of earlier calls included.
        failed: jobs that failed, each as often as it may.
        left: jobs that were not begun, or not ended.
    """

    done: list[Job] = field(default_factory=list)
    failed: list[Job] = field(default_factory=list)
    left: list[Job] = field(default_factory=list)


def run_study(
    study: Study,
    folder: Path,
    *,
    at_once: int | None = None,
    threads: int = 1,
    executor: Executor | None = None,
    retries: int = 0,
    fail_fast: bool = False,
    most: int | None = None,
    notify: Callable[[Event], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    tick: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run the jobs that have no result yet, and write down the results of all.

    Args:
        study: the jobs.
        folder: of the study; each job has a run's folder in it.
        at_once: jobs at once; None: as many as there are cores for their threads.
        threads: of each job.
        executor: runs the jobs, and has its own number at once and threads; None: processes of this machine.
        retries: how often a job that failed is tried again; it goes on where it was.
        fail_fast: after a failure no other job is begun.
        most: begin no more jobs than this.
        notify: called with each `Event`.
        stop: asked all the time; where it says true, no job is begun any more.
        tick: called several times a second.

    Raises:
        ConfigError: an argument that cannot be used.
        CheckpointError: another process runs a study in this folder, or it cannot be written.
    """
    if (at_once is not None and at_once < 1) or threads < 1 or retries < 0 or (most is not None and most < 0):
        raise ConfigError("jobs at once and threads must be at least 1, retries and the most jobs 0 or more.")
    executor = local_pool(at_once, threads) if executor is None else executor
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder} ({error.strerror}): choose another with --out.") from error
    lock = Lock(folder / ".lock")
    try:
        outcome = Outcome()
        by_folder = {path: job for job, path in places(study, folder).items()}
        todo = [path for path, job in by_folder.items() if result_of(path, job) is None]
        outcome.done = [job for path, job in by_folder.items() if path not in todo]
        todo, later = (todo, []) if most is None else (todo[:most], todo[most:])
        outcome.left = [by_folder[path] for path in later]
        write_results(study, folder)
        _run(todo, by_folder, outcome, study, folder, executor, retries, fail_fast, notify, stop, tick)
        return outcome
    finally:
        lock.release()


def _run(
    todo: list[Path], by_folder: dict[Path, Job], outcome: Outcome, study: Study, folder: Path,
    executor: Executor, retries: int, fail_fast: bool, notify: Callable[[Event], None], stop: Callable[[], bool],
    tick: Callable[[], None],
) -> None:  # fmt: skip
    tries = dict.fromkeys(todo, 0)
    begun: set[Path] = set()

    def over() -> bool:
        return stop() or (fail_fast and bool(outcome.failed))

    def started(path: Path) -> None:
        begun.add(path)
        notify(Event(by_folder[path], "started"))

    while todo:
        again: list[Path] = []
        for path in todo:
            prepare(path, by_folder[path])
        for ended in executor(todo, stop=over, started=started, tick=tick):
            job = by_folder[ended.folder]
            if ended.code == 0 and result_of(ended.folder, job) is not None:
                outcome.done.append(job)
                write_results(study, folder)
                notify(Event(job, "done", ended))
                continue
            tries[ended.folder] += 1
            said = last_lines(ended.folder)
            notify(Event(job, "failed", ended, said))
            if tries[ended.folder] <= retries and not over():
                again.append(ended.folder)
            else:
                outcome.failed.append(job)
        todo = again
    outcome.left += [by_folder[path] for path in tries if path not in begun]


def places(study: Study, folder: Path) -> dict[Job, Path]:
    """The folder of each job: the one that it has, whatever task and method were called then, or a new one."""
    known = {path.name: path for path in sorted(folder.glob("*/*/s*-*")) if (path / "job.json").exists()}
    return {job: known.get(job.folder.name, folder / job.folder) for job in study.jobs}


def prepare(path: Path, job: Job) -> None:
    """The folder of a job, with what it is asked for."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        replace_file(path / "job.json", json.dumps(job.as_dict(), indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write in {path} ({error.strerror}): choose another folder with --out.") from error


def result_of(path: Path, job: Job) -> dict[str, Any] | None:
    """What a job has found; None where it is not done, or something else was measured."""
    try:
        found = json.loads((path / RESULT).read_text(encoding="utf-8"))
        good = (found["key"], found["measured"]) == (job.key, job.measured)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {**found, "task": job.task, "method": job.method, "seed": job.seed} if good else None


def found_rows(study: Study, folder: Path) -> Iterator[dict[str, Any]]:
    """The results of the study's jobs that are done, with their folders, in the order of the jobs."""
    for job, path in places(study, folder).items():
        found = result_of(path, job)
        if found is not None:
            yield {**found, "folder": str(path.relative_to(folder))}


def write_results(study: Study, folder: Path) -> None:
    """`results.jsonl` and `results.csv` anew from the jobs' folders.

    Raises:
        JostleError: they cannot be written.
    """
    rows = list(found_rows(study, folder))
    try:
        replace_file(folder / results.FILE, results.as_text(rows))
        replace_file(folder / results.TABLE, results.as_csv(rows))
    except OSError as error:
        raise JostleError(
            f"cannot write the results in {folder} ({error.strerror}): make room, and run again."
        ) from error
