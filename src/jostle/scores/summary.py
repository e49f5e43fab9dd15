"""All statistics of a method at once, methods side by side, and the table of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from jostle.errors import ConfigError, closest
from jostle.scores.intervals import Interval, improvement_interval, intervals
from jostle.scores.statistics import STATISTICS, as_scores, same_tasks

TITLES = {"iqm": "IQM", "mean": "Mean", "median": "Median", "optimality_gap": "Optimality gap"}


@dataclass(frozen=True, slots=True)
class Summary:
    """The statistics of one method's scores with their intervals.

    Attributes:
        mean, median, iqm, optimality_gap: see `jostle.scores.statistics`; only of the last is lower better.
        runs, tasks: the size of the score matrix.
        improvement: how likely a run beats one of `baseline`, where `compare` was asked.
    """

    mean: Interval
    median: Interval
    iqm: Interval
    optimality_gap: Interval
    runs: int
    tasks: int
    baseline: str | None = None
    improvement: Interval | None = None

    def __str__(self) -> str:
        """``IQM 0.82 [0.71, 0.90] (10 seeds, 4 tasks)``."""
        return f"IQM {self.iqm} ({_count(self.runs, 'seed')}, {_count(self.tasks, 'task')})"

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and dicts for JSON; the ends of an interval that does not exist are None."""
        found: dict[str, Any] = {name: getattr(self, name).as_dict() for name in STATISTICS}
        found |= {"confidence": self.iqm.confidence, "runs": self.runs, "tasks": self.tasks}
        if self.improvement is not None:
            found |= {"baseline": self.baseline, "improvement": self.improvement.as_dict()}
        return found


def aggregate(
    scores: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    method: str = "percentile",
    gamma: float = 1.0,
) -> Summary:
    """Every statistic of scores [R, M] or [R] with its interval, from the same resamples; options as in `interval`."""
    matrix = as_scores(scores)
    found = intervals(matrix, list(STATISTICS), confidence, resamples, seed, method, gamma)
    return Summary(
        mean=found["mean"],
        median=found["median"],
        iqm=found["iqm"],
        optimality_gap=found["optimality_gap"],
        runs=matrix.shape[0],
        tasks=matrix.shape[1],
    )


def compare(
    table: Mapping[str, ArrayLike],
    *,
    baseline: str | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    method: str = "percentile",
    gamma: float = 1.0,
) -> dict[str, Summary]:
    """A `Summary` of each method, and how likely a run of it beats one of the baseline on the same task.

    Args:
        table: method -> scores [R, M] or [R]; the number of runs may differ between methods, that of tasks may not.
        baseline: a method of the table; None leaves the comparison out.
        confidence, resamples, seed, method, gamma: as in `interval`; the probability's interval is a percentile one.

    Raises:
        ConfigError: an empty table, an unknown baseline, different numbers of tasks, or bad scores.
    """
    if not table:
        raise ConfigError("the table has no methods: give at least one, as {name: scores}.")
    if baseline is not None and baseline not in table:
        raise ConfigError(f"unknown baseline {baseline!r}: {closest(baseline, table)}")
    first = baseline if baseline is not None else next(iter(table))
    found = {}
    for name, scores in table.items():
        matrix, reference = same_tasks(as_scores(scores, name), as_scores(table[first], first), (name, first))
        found[name] = aggregate(
            matrix, confidence=confidence, resamples=resamples, seed=seed, method=method, gamma=gamma
        )
        if baseline is not None and name != baseline:
            improvement = improvement_interval(matrix, reference, confidence=confidence, resamples=resamples, seed=seed)
            found[name] = replace(found[name], baseline=baseline, improvement=improvement)
    return found


def markdown(
    summaries: Mapping[str, Summary], *, metrics: Sequence[str] = ("iqm", "mean", "median", "optimality_gap")
) -> str:
    """The result of `compare` as a Markdown table, one row a method, without a line break at its end.

    Args:
        summaries: method -> summary.
        metrics: the statistics to show, in this order.
    """
    check_metrics(summaries, metrics)
    baseline = next((s.baseline for s in summaries.values() if s.baseline is not None), None)
    level = next(iter(summaries.values())).iqm.confidence
    titles = [f"{TITLES[name]} [{100 * level:.4g}%]" for name in metrics]
    head = ["Method", "Seeds", "Tasks", *titles] + ([f"P(better than {_cell(baseline)})"] if baseline else [])
    rows = [head, ["---", "---:", "---:"] + ["---"] * (len(head) - 3)]
    for name, summary in summaries.items():
        row = [_cell(name), str(summary.runs), str(summary.tasks), *(str(getattr(summary, m)) for m in metrics)]
        if baseline:
            row.append("baseline" if name == baseline else "" if not summary.improvement else str(summary.improvement))
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def check_metrics(summaries: Mapping[str, Summary], metrics: Sequence[str]) -> None:
    """Refuse an empty table and unknown statistics."""
    if not summaries or not metrics:
        raise ConfigError("there is nothing to show: give at least one method and one metric.")
    for name in metrics:
        if name not in STATISTICS:
            raise ConfigError(f"unknown metric {name!r}: {closest(name, STATISTICS)}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _cell(text: str) -> str:
    """A name that cannot end its cell or its row."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
