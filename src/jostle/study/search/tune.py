"""The search for settings: by other seeds than those that report, with the same budget for every method.

tune:
  settings: {learning_rate: {log_uniform: [1e-4, 1e-2]}}   # of every method; a method's own `tune` has more of them
  trials: 16
  seeds: 2
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jostle.errors import ConfigError, closest
from jostle.study.jobs import Job, digest
from jostle.study.search.ranges import Range, by_chance, read_ranges
from jostle.study.yaml_parts import keys, mapping, seed_list, whole_number

KEYS = ("settings", "trials", "seeds", "steps", "sampler", "seed", "measure")
SAMPLERS = ("random", "tpe")
_FIRST = 1000  # the seed that a number of seeds begins at: those that report begin at 0


@dataclass(frozen=True)
class Budget:
    """What every method's search has.

    Attributes:
        trials: how many settings are tried.
        seeds: of each trial.
        steps: of each training; None: as many as a training that reports.
        sampler: ``random``, or ``tpe`` of Optuna.
        seed: of the sampler.
        measure: what is to be high, in the mean over the seeds.
    """

    trials: int
    seeds: tuple[int, ...]
    steps: int | None
    sampler: str
    seed: int
    measure: str


@dataclass(frozen=True)
class Trial:
    """Settings that are tried, as far as it has come.

    Attributes:
        number: in its search.
        settings: that are tried.
        jobs: a training a seed.
        scores: of the jobs that have one, by seed.
        failed: seeds whose job failed.
    """

    number: int
    settings: Mapping[str, Any]
    jobs: Sequence[Job]
    scores: Mapping[int, float]
    failed: Sequence[int] = ()

    @property
    def ended(self) -> bool:
        """Every job has a score or failed."""
        return len(self.scores) + len(self.failed) == len(self.jobs)

    @property
    def value(self) -> float | None:
        """The mean over the seeds; None where one has no score."""
        return float(np.mean(list(self.scores.values()))) if len(self.scores) == len(self.jobs) else None


@dataclass(frozen=True, eq=False)
class Search:
    """The search for one method's settings on one task.

    Attributes:
        task, method: its place in the study.
        ranges: of the settings.
        budget: of the study.
        job: makes a job of settings, a seed and the number of a trial, or None for one that reports.
        seeds: that report.
    """

    task: str
    method: str
    ranges: Mapping[str, Range]
    budget: Budget
    job: Callable[[Mapping[str, Any], int, int | None], Job]
    seeds: Sequence[int]

    def trial(self, number: int, settings: Mapping[str, Any], found: "Found") -> Trial:
        """A trial, with what was found of it."""
        jobs = [self.job(settings, seed, number) for seed in self.budget.seeds]
        scores = {job.seed: score for job in jobs if (score := found.score(job, self.budget.measure)) is not None}
        failed = [job.seed for job in jobs if job.seed not in scores and job.key in found.failed]
        return Trial(number, settings, jobs, scores, failed)

    def trials(self, found: "Found") -> list[Trial]:
        """Those whose settings are known: all of them where they are drawn by chance, else one more than have ended."""
        if self.budget.sampler == "random":
            drawn = (by_chance(self.ranges, self.budget.seed, number) for number in range(self.budget.trials))
            return [self.trial(number, settings, found) for number, settings in enumerate(drawn)]
        return list(self._asked(found))

    def chosen(self, trials: Sequence[Trial]) -> Trial | None:
        """The trial of the highest value, the earlier of equal ones; None before all have ended, or if all failed."""
        if len(trials) < self.budget.trials or not all(trial.ended for trial in trials):
            return None
        good = [trial for trial in trials if trial.value is not None and np.isfinite(trial.value)]
        return max(good, key=lambda trial: trial.value or 0.0) if good else None

    def reports(self, settings: Mapping[str, Any]) -> list[Job]:
        """The jobs of the chosen settings."""
        return [self.job(settings, seed, None) for seed in self.seeds]

    def _asked(self, found: "Found") -> Iterator[Trial]:
        """Trials in turn, each proposed from those before it, as it is written down or else now."""
        from jostle.study.search.sampler import propose  # late, for it needs Optuna

        path = self._proposals(found.folder)
        known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        before: list[Trial] = []
        for number in range(self.budget.trials):
            if number == len(known):
                if not all(trial.ended for trial in before):
                    return
                known.append(propose(self.ranges, self.budget.seed, [(t.settings, t.value) for t in before]))
            before.append(self.trial(number, known[number], found))
            yield before[-1]

    def keep(self, trials: Sequence[Trial], folder: Path) -> None:
        """Write down what was proposed, so that the search goes on with it, whatever another version would propose."""
        if self.budget.sampler != "random":
            from jostle.store.files import replace_file  # late, for it needs torch, and reading studies does not

            path = self._proposals(folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, "".join(json.dumps(dict(trial.settings)) + "\n" for trial in trials))

    def _proposals(self, folder: Path) -> Path:
        """Named by all that decides them."""
        same = {"ranges": {name: each.as_dict() for name, each in self.ranges.items()}, "seed": self.budget.seed}
        asked = [self.job({}, seed, 0).asked for seed in self.budget.seeds]
        name = digest({**same, "asked": asked, "measure": self.budget.measure, "sampler": self.budget.sampler})
        return folder / self.task / self.method / f"proposed-{name}.jsonl"


@dataclass(frozen=True)
class Found:
    """What a study knows of its jobs.

    Attributes:
        folder: of the study.
        score: of a job by a measure; None where it has none.
        failed: keys of jobs that failed as often as they may.
    """

    folder: Path
    score: Callable[[Job, str], float | None]
    failed: frozenset[str] = frozenset()


def read_budget(data: Any, measured: Sequence[str]) -> tuple[Budget, dict[str, Range]]:
    """The ``tune:`` block: the budget, and the ranges that all methods have.

    Args:
        data: as the file has it.
        measured: what the study measures besides the training: ``evaluate``, and ``stress/SUITE/`` of its suites.

    Raises:
        ConfigError: what cannot be used.
    """
    given = keys(data, KEYS, "tune")
    found = Budget(
        trials=whole_number(given.get("trials", 16), "trials of tune"),
        seeds=tuple(seed_list(given.get("seeds", 2), "seeds of tune", _FIRST)),
        steps=None if given.get("steps") is None else whole_number(given["steps"], "steps of tune"),
        sampler=given.get("sampler", "random"),
        seed=given.get("seed", 0),
        measure=str(given.get("measure", "evaluate" if "evaluate" in measured else "training")),
    )
    if found.sampler not in SAMPLERS:
        raise ConfigError(f"tune has sampler={found.sampler!r}; {closest(str(found.sampler), SAMPLERS)}")
    if type(found.seed) is not int or found.seed < 0:
        raise ConfigError(f"seed={found.seed!r} of tune cannot be used: give a whole number of at least 0.")
    known = ["training", *(name + "CONDITION|MODE" * name.endswith("/") for name in measured)]
    of_suite = "|" in found.measure and any(found.measure.startswith(name) for name in measured if name.endswith("/"))
    if found.measure not in known and not of_suite:
        raise ConfigError(f"tune has measure={found.measure!r}, which is not measured; give {', '.join(known)}.")
    return found, read_ranges(mapping(given.get("settings"), "settings", "tune"), "tune")
