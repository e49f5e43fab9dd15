"""A study, from its jobs to its results: what is done stays, what is missing runs."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from jostle.errors import ConfigError
from jostle.store.files import replace_file
from jostle.store.lock import Lock
from jostle.study.executor import Ended, Executor, last_lines
from jostle.study.jobs import Job
from jostle.study.pool import local_pool
from jostle.study.spec import Study
from jostle.study.state import FAILED, known, result_of, write_results


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
        later: how many there are besides, whose settings are not chosen yet.
    """

    done: list[Job] = field(default_factory=list)
    failed: list[Job] = field(default_factory=list)
    left: list[Job] = field(default_factory=list)
    later: int = 0


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
        rounds = _Rounds(study, folder, executor, retries, fail_fast, most, notify, stop, tick)
        write_results(study, folder)
        while rounds.once():  # what a search has found makes other jobs
            pass
        return rounds.outcome()
    finally:
        lock.release()


@dataclass
class _Rounds:
    """The jobs that are known are run, until no other ones become known by that.

    Attributes:
        tries: failures of each job, by its key.
        begun: keys of the jobs that were begun.
        given_up: keys of the jobs that failed as often as they may.
    """

    study: Study
    folder: Path
    executor: Executor
    retries: int
    fail_fast: bool
    most: int | None
    notify: Callable[[Event], None]
    stop: Callable[[], bool]
    tick: Callable[[], None]
    tries: Counter[str] = field(default_factory=Counter)
    begun: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)

    def over(self) -> bool:
        """No job is to be begun any more."""
        return self.stop() or (self.fail_fast and bool(self.given_up))

    def once(self) -> bool:
        """Run the jobs that are known and not done, each once; false where there is none, or none may be begun."""
        by_folder: dict[Path, Job] = {}
        found = known(self.study, self.folder, self.given_up)
        for job in found.jobs:
            if not job.carried and job.key not in self.given_up and found.shelf.row(job) is None:
                by_folder.setdefault(found.shelf.path(job), job)
        todo = list(by_folder)
        if self.most is not None:
            fresh = [path for path in todo if by_folder[path].key not in self.begun]
            late = set(fresh[max(0, self.most - len(self.begun)) :])
            todo = [path for path in todo if path not in late]
        if not todo or self.over():
            return False
        for search, trials in found.trials.items():
            search.keep(trials, self.folder)
        for path in todo:
            prepare(path, by_folder[path])

        def started(path: Path) -> None:
            self.begun.add(by_folder[path].key)
            self.notify(Event(by_folder[path], "started"))

        for ended in self.executor(todo, stop=self.over, started=started, tick=self.tick):
            self._note(by_folder[ended.folder], ended)
        return True

    def _note(self, job: Job, ended: Ended) -> None:
        if ended.code == 0 and result_of(ended.folder, job) is not None:
            (ended.folder / FAILED).unlink(missing_ok=True)
            write_results(self.study, self.folder)
            self.notify(Event(job, "done", ended))
            return
        said = last_lines(ended.folder)
        self.tries[job.key] += 1
        if self.tries[job.key] > self.retries or self.over():
            self.given_up.add(job.key)
            with suppress(OSError):  # on a full disk the job is told of all the same
                replace_file(ended.folder / FAILED, json.dumps({"code": ended.code, "said": said}) + "\n")
        self.notify(Event(job, "failed", ended, said))

    def outcome(self) -> Outcome:
        """Of all rounds."""
        found = known(self.study, self.folder, self.given_up)
        outcome = Outcome(later=sum(self.study.plan.values()) - len(found.jobs))
        for job in found.jobs:
            done = found.shelf.row(job) is not None
            (outcome.done if done else outcome.failed if job.key in self.given_up else outcome.left).append(job)
        return outcome


def prepare(path: Path, job: Job) -> None:
    """The folder of a job, with what it is asked for."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        replace_file(path / "job.json", json.dumps(job.as_dict(), indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write in {path} ({error.strerror}): choose another folder with --out.") from error
