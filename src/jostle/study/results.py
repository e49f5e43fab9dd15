"""What a study has found: a line a run in `results.jsonl`, and the same as arrays."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jostle.errors import CheckpointError, ConfigError, closest
from jostle.study.jobs import EVALUATE

FILE, TABLE, SEARCH = "results.jsonl", "results.csv", "search.jsonl"
OF_METRICS = ("metric/", "early/", "late/", "left/")
"""Measures of a metric NAME: its last value; its mean over the first tenth of the training and over the last one, of
those whose course is kept; and the last tenth's share of the first's."""
INSIDE = "inside/"
"""Of what was found inside of the agents: ``inside/PART/NUMBER``."""
UNLISTED = (*OF_METRICS, INSIDE)
_TITLES = {
    "training": "return over the last tenth of the training",
    "last": "return of the training's last episodes",
}


@dataclass(frozen=True)
class Results:
    """Runs of a study, in the order of its jobs.

    Attributes:
        rows: plain dictionaries, as the file holds them.
        search: a row a trial of the search for settings, where there was one.
    """

    rows: Sequence[Mapping[str, Any]]
    search: Sequence[Mapping[str, Any]] = ()

    @property
    def tasks(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys(row["task"] for row in self.rows))

    def methods(self, task: str) -> list[str]:
        """Of a task, in order."""
        return list(dict.fromkeys(row["method"] for row in self.rows if row["task"] == task))

    def measures(self, task: str) -> list[str]:
        """What `scores` knows of a task: ``evaluate``, and ``evaluate/NAME`` of further evaluations; ``last``, the
        training's own last episodes, a hundred at most; ``stress/SUITE/CONDITION|MODE`` of each condition;
        ``metric/NAME`` of metrics whose course is kept; and ``training``.

        Not listed are ``metric/NAME`` of others, `OF_METRICS`, and `INSIDE`.
        """
        found: dict[str, None] = {}
        for row in self.rows:
            if row["task"] == task:
                found |= {name: None for name in row["scores"] if name == "last" or name.startswith(EVALUATE)}
                for suite, cells in (row["scores"].get("stress") or {}).items():
                    found |= {f"stress/{suite}/{cell}": None for cell in cells}
                found |= {f"metric/{name}": None for name in row.get("courses") or {}}
        return [*sorted(found, key=_place), "training"]

    def scores(self, task: str, measure: str = "evaluate") -> dict[str, Float[np.ndarray, "R"]]:
        """Each method's scores, one a run; of stress tests the success where it is told, else the return.

        ``training`` is the mean return over the last tenth of the training.

        Raises:
            ConfigError: there is no such task or measure.
        """
        if task not in self.tasks:
            raise ConfigError(f"there is no task '{task}'; {closest(task, self.tasks)}")
        if not measure.startswith(UNLISTED) and measure not in self.measures(task):
            raise ConfigError(f"nothing measured '{measure}' on '{task}'; {closest(measure, self.measures(task))}")
        found = {}
        for method in self.methods(task):
            rows = [row for row in self.rows if (row["task"], row["method"]) == (task, method)]
            values = [value for row in rows if math.isfinite(value := score(row, measure))]
            if values:
                found[method] = np.array(values)
        return found

    def curves(self, task: str) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
        """Each method's learning curves: steps and returns of each run that has two points."""
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for row in self.rows:
            if row["task"] == task and len(row["curve"]["steps"]) > 1:
                curve = np.array(row["curve"]["steps"], np.float64), np.array(row["curve"]["return"], np.float64)
                found.setdefault(row["method"], []).append(curve)
        return found


def read(folder: Path | str) -> Results:
    """The results in a study's folder.

    Raises:
        CheckpointError: there are none, or they are damaged.
    """
    path, rows = Path(folder) / FILE, list[Any]()
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            _ = row["task"], row["method"], row["seed"], row["scores"], row["curve"]["steps"], row["curve"]["return"]
        searched = path.with_name(SEARCH)
        search = [json.loads(line) for line in searched.read_text().splitlines()] if searched.exists() else []
        for row in search:
            _ = row["task"], row["method"], row["trial"], row["settings"], row["value"], row["chosen"]
    except OSError as error:
        raise CheckpointError(f"there are no results {path} ({error.strerror}): give a study's folder") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: run the study again, which makes it anew from its runs") from error
    return Results(rows, search)


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lines of JSON."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line a run: its place, steps, seconds, memory, scores."""
    found = Results(rows)
    measures = list(dict.fromkeys(measure for task in found.tasks for measure in found.measures(task)))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["task", "method", "seed", "key", "steps", "seconds", "megabytes", *measures])
    for row in rows:
        scores = [score(row, measure) for measure in measures]
        place = [row[name] for name in ("task", "method", "seed", "key", "steps")]
        writer.writerow(
            [
                *place,
                f"{sum(row['seconds'].values()):.3f}",
                "" if row["memory"] is None else f"{row['memory'] / 2**20:.0f}",
                *("" if math.isnan(x) else repr(x) for x in scores),
            ]
        )
    return out.getvalue()


def score(row: Mapping[str, Any], measure: str) -> float:
    """A row's score by a measure (`Results.measures`); NaN where the run has it not."""
    if measure == "training":
        steps, values = (np.array(row["curve"][name], np.float64) for name in ("steps", "return"))
        return float(values[steps >= 0.9 * steps[-1]].mean()) if len(steps) else math.nan
    kind, _, rest = measure.partition("/")
    if kind in (EVALUATE, "last"):
        return _number(row["scores"].get(measure, {}).get("return"))
    if kind == "metric":
        return _number((row.get("metrics") or {}).get(rest))
    if kind in ("early", "late", "left"):
        early, late = _ends(row, rest)
        return early if kind == "early" else late if kind == "late" else late / early if early else math.nan
    if kind == INSIDE[:-1]:
        part, _, name = rest.partition("/")
        told = (row.get("explained") or {}).get("numbers") or ()
        return _number(next((n["value"] for n in told if (n["part"], n["number"]) == (part, name)), None))
    suite, _, cell = rest.partition("/")
    found = (row["scores"].get("stress") or {}).get(suite, {}).get(cell, {})
    return _number(found.get("success") if found.get("success") is not None else found.get("return"))


def title(measure: str) -> str:
    """A measure's name in words."""
    kind, _, rest = measure.partition("/")
    if kind == EVALUATE:
        return "return of the trained agents" + (f", {rest}" if rest else "")
    if kind == "stress":
        suite, _, cell = rest.partition("/")
        condition, _, mode = cell.rpartition("|")
        return f"{suite}: {condition}, noise {mode}"
    if kind == INSIDE[:-1]:
        return rest.partition("/")[2]
    ends = {"metric": "at the end", "early": "in the first tenth", "late": "in the last tenth", "left": "what is left"}
    return f"{rest}, {ends[kind]}" if kind in ends else _TITLES.get(measure, measure)


def _number(told: float | None) -> float:
    return math.nan if told is None else float(told)


def _place(measure: str) -> int:
    """Where measures stand: evaluations, last episodes, stress tests, metrics."""
    return next(n for n, kind in enumerate((EVALUATE, "last", "stress/", "metric/")) if measure.startswith(kind))


def _ends(row: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Means of a metric over the first and the last tenth of a training.

    A line of metrics tells what has been since the line before it, and belongs to a tenth in which the whole of that
    lies; of a training that was logged more seldom the first line and the last one count. Steps may be unknown (None).
    """
    course = (row.get("courses") or {}).get(name)
    if not course or not course["values"]:
        return math.nan, math.nan
    steps, values = (np.array(course[key], np.float64) for key in ("steps", "values"))
    begun = np.r_[0.0, steps[:-1]]
    early, late = values[steps <= 0.1 * row["steps"]], values[begun >= 0.9 * row["steps"]]
    return float((early if len(early) else values[:1]).mean()), float((late if len(late) else values[-1:]).mean())
