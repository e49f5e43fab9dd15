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

FILE, TABLE, SEARCH = "results.jsonl", "results.csv", "search.jsonl"


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
        """What `scores` knows of a task: ``evaluate``; ``last``, the training's own last episodes, a hundred at most;
        ``stress/SUITE/CONDITION|MODE`` of each condition; ``training``; and ``metric/NAME``, which are not listed."""
        found: dict[str, None] = {}
        for row in self.rows:
            if row["task"] == task:
                found |= {name: None for name in ("evaluate", "last") if name in row["scores"]}
                for suite, cells in (row["scores"].get("stress") or {}).items():
                    found |= {f"stress/{suite}/{cell}": None for cell in cells}
        return [*found, "training"]

    def scores(self, task: str, measure: str = "evaluate") -> dict[str, Float[np.ndarray, "R"]]:
        """Each method's scores, one a run; of stress tests the success where it is told, else the return.

        ``training`` is the mean return over the last tenth of the training.

        Raises:
            ConfigError: there is no such task or measure.
        """
        if task not in self.tasks:
            raise ConfigError(f"there is no task '{task}'; {closest(task, self.tasks)}")
        if not measure.startswith("metric/") and measure not in self.measures(task):
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
    if measure in ("evaluate", "last"):
        told = row["scores"].get(measure, {}).get("return")
        return math.nan if told is None else float(told)
    if measure.startswith("metric/"):
        told = (row.get("metrics") or {}).get(measure.removeprefix("metric/"))
        return math.nan if told is None else float(told)
    _, suite, cell = measure.split("/", 2)
    found = (row["scores"].get("stress") or {}).get(suite, {}).get(cell, {})
    value = found.get("success") if found.get("success") is not None else found.get("return")
    return math.nan if value is None else float(value)
