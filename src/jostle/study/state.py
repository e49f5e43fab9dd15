"""What a study's folder holds: which jobs there are, what they have found, and what that makes of the searches."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jostle.errors import CheckpointError, JostleError
from jostle.store.files import replace_file
from jostle.study import results
from jostle.study.job import RESULT
from jostle.study.jobs import RANDOM, Job
from jostle.study.search.tune import Found, Search, Trial
from jostle.study.spec import Study

CARRIED = "carried.jsonl"
"""Rows whose runs have no folder here, and which the study does not ask for any more."""
FAILED = "failed.json"
"""In the folder of a job that failed when it was last tried: its exit code and the end of its log."""


@dataclass(frozen=True)
class Known:
    """What there is to run, by what was found so far.

    Attributes:
        shelf: what was found.
        trials: of each search.
        chosen: of each search; None before it has ended, or where every trial failed.
        reports: the jobs that report, whose settings are known.
    """

    shelf: "Shelf"
    trials: Mapping[Search, Sequence[Trial]]
    chosen: Mapping[Search, Trial | None]
    reports: Sequence[Job]

    @property
    def jobs(self) -> list[Job]:
        """Trials first, for without them nothing else becomes known; seeds first among those that report."""
        tried = [job for trials in self.trials.values() for trial in trials for job in trial.jobs]
        return [*tried, *self.reports]


def known(study: Study, folder: Path, failed: Collection[str] | None = None) -> Known:
    """What a study's folder makes of its searches.

    Args:
        study: with its searches.
        folder: of the study.
        failed: keys of jobs that are not tried again; None: of those that failed when they were last tried.
    """
    shelf = Shelf(folder)
    if failed is None:
        failed = {path.name.rpartition("-")[2] for path in shelf.there.values() if (path / FAILED).exists()}

    def score(job: Job, measure: str) -> float | None:
        row = shelf.row(job)
        return None if row is None else results.score(row, measure)

    found = Found(folder, score, frozenset(failed))
    trials = {search: search.trials(found) for search in study.searches}
    chosen = {search: search.chosen(each) for search, each in trials.items()}
    jobs = [*study.jobs, *(job for search, trial in chosen.items() if trial for job in search.reports(trial.settings))]
    if study.searches:
        seeds, places = list(dict.fromkeys(job.seed for job in jobs)), list(study.plan)
        jobs.sort(key=lambda job: (seeds.index(job.seed), places.index((job.task, job.method))))
    return Known(shelf, trials, chosen, jobs)


class Shelf:
    """The results in a study's folder, as it is now: in the runs' folders, and in `results.jsonl` of runs whose folders
    are elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.there = {path.name: path for path in sorted(folder.glob("*/*/s*-*")) if (path / "job.json").exists()}
        self._carried: dict[tuple[str, str], dict[str, Any]] | None = None

    def path(self, job: Job) -> Path:
        """The folder of a job: the one that it has, whatever task and method were called then, or a new one.

        Play by chance has its own in each task: it may be the same in two that are measured otherwise.
        """
        own = self.folder / job.folder
        return own if job.asked["algorithm"] == RANDOM else self.there.get(job.folder.name, own)

    def row(self, job: Job) -> dict[str, Any] | None:
        """What a job has found; None where it is not done, or something else was measured."""
        path = self.path(job)
        found = result_of(path, job)
        if found is not None:
            return {**found, "folder": str(path.relative_to(self.folder))}
        found = self.carried.get((job.key, job.measured))
        return None if found is None else {**found, "task": job.task, "method": job.method, "seed": job.seed}

    @property
    def carried(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Rows whose runs have no folder here, by what they were asked for."""
        if self._carried is None:
            self._carried = {}
            for name in (CARRIED, results.FILE):
                path = self.folder / name
                for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
                    try:
                        row = json.loads(line)
                        if not self._is_there(row.pop("folder", None)):
                            self._carried[row["key"], row["measured"]] = row
                    except (ValueError, KeyError, TypeError, AttributeError) as error:
                        raise CheckpointError(
                            f"{path} is damaged: restore it, or take it away to do without"
                        ) from error
        return self._carried

    def _is_there(self, folder: str | None) -> bool:
        """Whether the run of a row is in this folder, where its own result counts; else nothing but the row is left."""
        return folder is not None and (self.folder / folder).is_dir()


def result_of(path: Path, job: Job) -> dict[str, Any] | None:
    """What the run in a folder has found; None where it is not done, or something else was measured."""
    try:
        found = json.loads((path / RESULT).read_text(encoding="utf-8"))
        good = (found["key"], found["measured"]) == (job.key, job.measured)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {**found, "task": job.task, "method": job.method, "seed": job.seed} if good else None


def found_rows(study: Study, folder: Path) -> Iterator[dict[str, Any]]:
    """The results of the study's jobs that are done and report, with their folders, in the order of the jobs; of
    settings that were searched for, which trial they are of."""
    found = known(study, folder)
    tuned = {(s.task, s.method): trial for s, trial in found.chosen.items() if trial}
    for job in found.reports:
        row = found.shelf.row(job)
        if row is not None:
            trial = tuned.get((job.task, job.method))
            chosen = {} if trial is None else {"chosen": {"trial": trial.number, "settings": trial.settings}}
            yield row | chosen


def trial_rows(study: Study, folder: Path) -> Iterator[dict[str, Any]]:
    """The whole search: a row a trial whose settings are known."""
    found = known(study, folder)
    for search, trials in found.trials.items():
        chosen, budget = found.chosen[search], search.budget
        for trial in trials:
            where = {"task": search.task, "method": search.method, "trial": trial.number, "settings": trial.settings}
            yield {
                **where, "measure": budget.measure, "sampler": budget.sampler, "trials": budget.trials,
                "steps": trial.jobs[0].asked["steps"], "seeds": list(budget.seeds),
                "scores": {str(seed): _finite(score) for seed, score in trial.scores.items()},
                "value": _finite(trial.value), "failed": list(trial.failed), "chosen": trial is chosen,
                "folders": [str(found.shelf.path(job).relative_to(folder)) for job in trial.jobs],
            }  # fmt: skip


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN."""
    return value if value is not None and math.isfinite(value) else None


def done_jobs(study: Study, folder: Path) -> Iterator[tuple[Job, dict[str, Any]]]:
    """The jobs that have a result, trials included, with that."""
    found = known(study, folder)
    for job in found.jobs:
        row = found.shelf.row(job)
        if row is not None:
            yield job, row


def write_results(study: Study, folder: Path) -> None:
    """`results.jsonl` and `results.csv` anew from the jobs' folders, and `search.jsonl` where there are searches.

    Raises:
        JostleError: they cannot be written.
    """
    rows = list(found_rows(study, folder))
    told = {(row["key"], row["measured"]) for row in rows}
    carried = [row for place, row in Shelf(folder).carried.items() if place not in told]
    try:
        if carried or (folder / CARRIED).exists():
            replace_file(folder / CARRIED, results.as_text(carried))
        replace_file(folder / results.FILE, results.as_text(rows))
        replace_file(folder / results.TABLE, results.as_csv(rows))
        if study.searches:
            replace_file(folder / results.SEARCH, results.as_text(list(trial_rows(study, folder))))
    except OSError as error:
        raise JostleError(
            f"cannot write the results in {folder} ({error.strerror}): make room, and run again."
        ) from error
