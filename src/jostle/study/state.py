"""What a study's folder holds: which jobs there are, what they have found, and what that makes of the searches."""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jostle.errors import JostleError
from jostle.store.files import replace_file
from jostle.study import results
from jostle.study.job import RESULT
from jostle.study.jobs import Job
from jostle.study.spec import Study
from jostle.study.tune import Found, Search, Trial

FAILED = "failed.json"
"""In the folder of a job that failed when it was last tried: its exit code and the end of its log."""


@dataclass(frozen=True)
class Known:
    """What there is to run, by what was found so far.

    Attributes:
        trials: of each search.
        chosen: of each search; None before it has ended, or where every trial failed.
        reports: the jobs that report, whose settings are known.
    """

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
    there = _folders(folder)
    if failed is None:
        failed = {path.name.rpartition("-")[2] for path in there.values() if (path / FAILED).exists()}

    def score(job: Job, measure: str) -> float | None:
        row = result_of(there.get(job.folder.name, folder / job.folder), job)
        return None if row is None else results.score(row, measure)

    found = Found(folder, score, frozenset(failed))
    trials = {search: search.trials(found) for search in study.searches}
    chosen = {search: search.chosen(each) for search, each in trials.items()}
    jobs = [*study.jobs, *(job for search, trial in chosen.items() if trial for job in search.reports(trial.settings))]
    seeds, places = list(dict.fromkeys(job.seed for job in jobs)), list(study.plan)
    if study.searches:
        jobs.sort(key=lambda job: (seeds.index(job.seed), places.index((job.task, job.method))))
    return Known(trials, chosen, jobs)


def places(jobs: Iterable[Job], folder: Path) -> dict[Job, Path]:
    """The folder of each job: the one that it has, whatever task and method were called then, or a new one."""
    there = _folders(folder)
    return {job: there.get(job.folder.name, folder / job.folder) for job in jobs}


def _folders(folder: Path) -> dict[str, Path]:
    """The jobs' folders that are there, by their names."""
    return {path.name: path for path in sorted(folder.glob("*/*/s*-*")) if (path / "job.json").exists()}


def result_of(path: Path, job: Job) -> dict[str, Any] | None:
    """What a job has found; None where it is not done, or something else was measured."""
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
    for job, path in places(found.reports, folder).items():
        row = result_of(path, job)
        if row is not None:
            trial = tuned.get((job.task, job.method))
            chosen = {} if trial is None else {"chosen": {"trial": trial.number, "settings": trial.settings}}
            yield {**row, "folder": str(path.relative_to(folder)), **chosen}


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
                "folders": [str(path.relative_to(folder)) for path in places(trial.jobs, folder).values()],
            }  # fmt: skip


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN."""
    return value if value is not None and math.isfinite(value) else None


def done_jobs(study: Study, folder: Path) -> Iterator[tuple[Job, dict[str, Any]]]:
    """The jobs that have a result, trials included, with that."""
    for job, path in places(known(study, folder).jobs, folder).items():
        row = result_of(path, job)
        if row is not None:
            yield job, row


def write_results(study: Study, folder: Path) -> None:
    """`results.jsonl` and `results.csv` anew from the jobs' folders, and `search.jsonl` where there are searches.

    Raises:
        JostleError: they cannot be written.
    """
    rows = list(found_rows(study, folder))
    try:
        replace_file(folder / results.FILE, results.as_text(rows))
        replace_file(folder / results.TABLE, results.as_csv(rows))
        if study.searches:
            replace_file(folder / results.SEARCH, results.as_text(list(trial_rows(study, folder))))
    except OSError as error:
        raise JostleError(
            f"cannot write the results in {folder} ({error.strerror}): make room, and run again."
        ) from error
