"""What a report is made of: runs by task and method, their scores, stress tests, comparisons, and what went wrong."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jaxtyping import Float

from jostle.study.records import RETURN, Record
from jostle.study.results import Results, score, title

if TYPE_CHECKING:
    from jostle.explain.summary import Summary
    from jostle.stress.result import StressResult

Series = tuple[Float[np.ndarray, "T"], Float[np.ndarray, "T"]]
"""Where and what: steps or seconds, and the values there."""
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        row: as a line of a study's results; of a lone run the same, made of its folder.
        record: what its folder says; None where only the line is left.
        finished: the training came to its planned end.
        folder: where it lies, also where it is no run's, as of play by chance; None where only the line is left.
    """

    row: Mapping[str, Any]
    record: Record | None = None
    finished: bool = True
    folder: Path | None = None

    @property
    def task(self) -> str:
        """What it was trained on."""
        return str(self.row["task"])

    @property
    def method(self) -> str:
        """What it was trained by."""
        return str(self.row["method"])

    @property
    def seed(self) -> str:
        """Of the training, as text."""
        return "?" if self.row.get("seed") is None else str(self.row["seed"])

    @property
    def info(self) -> Mapping[str, Any]:
        """What run.json says."""
        return {} if self.record is None else self.record.info

    @property
    def versions(self) -> Mapping[str, Any]:
        """Of the packages; nothing where nobody has noted them."""
        found = self.row.get("versions") or self.info.get("versions")
        return found if isinstance(found, Mapping) else {}

    def series(self, metric: str = RETURN, by: str = "step") -> Series | None:
        """A metric by ``step``, or by ``time``: seconds of training, without the pauses between its stretches.

        None where it is told at fewer than two places.
        """
        if self.record is None:
            return self._noted() if (metric, by) == (RETURN, "step") else None
        told = [row for row in self.record.rows if math.isfinite(row.get(metric, math.nan))]
        if by == "time":
            told = [row for row in told if math.isfinite(row.get("time", math.nan))]
            at = self._seconds(np.array([row["time"] for row in told])) if told else np.zeros(0)
        else:
            at = np.array([row["step"] for row in told], np.float64)
        values = np.array([row[metric] for row in told], np.float64)
        rising = np.r_[True, np.diff(np.maximum.accumulate(at)) > 0] if len(at) else np.zeros(0, bool)
        return (at[rising], values[rising]) if rising.sum() > 1 else None

    def _noted(self) -> Series | None:
        """The learning curve that the line holds."""
        noted = self.row.get("curve") or {}
        at, values = (np.array(noted.get(name) or [], np.float64) for name in ("steps", "return"))
        return (at, values) if len(at) > 1 and len(at) == len(values) else None

    def _seconds(self, times: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T"]:
        """Seconds since the training began, less the pauses between stretches."""
        noted = self.info.get("stretches")
        stretches = [each for each in noted if isinstance(each, Mapping)] if isinstance(noted, list) else []
        begun = [_moment(each.get("started")) for each in stretches]
        if not begun or begun[0] is None:
            return np.asarray(times - times[0])
        elapsed = np.asarray(times - min(begun[0], float(times[0])))
        for start in begun[1:]:
            if start is not None and (times < start).any() and (times >= start).any():
                last = float(times[times < start].max())
                elapsed = np.where(times >= start, elapsed - (start - last), elapsed)
        return np.asarray(elapsed)

    @cached_property
    def seconds(self) -> float:
        """How long the training took; NaN where nobody has noted it."""
        noted = self.row.get("seconds")
        if isinstance(noted, Mapping) and "train" in noted:
            return float(noted["train"])
        found = self.series("charts/SPS", "time")
        return math.nan if found is None else float(found[0][-1])


@dataclass(frozen=True)
class Stressed:
    """A stress test, of the runs of a task or of whatever was tested together; its folder, where it lies in one."""

    task: str
    result: "StressResult"
    folder: Path | None = None


@dataclass(frozen=True)
class Group:
    """Methods of a task that stand together, under the names of the page: a part of what a study shows.

    Attributes:
        task: whose runs they are.
        name: of the part; empty where it is the task's.
        methods: in this order; None: all of the task.
        baseline: what the others are compared with; None: the first.
        pairs: methods that are compared besides.
        curves: methods of the learning curves; None: all.
    """

    task: str
    name: str = ""
    methods: Sequence[str] | None = None
    baseline: str | None = None
    pairs: Sequence[tuple[str, str]] = ()
    curves: Sequence[str] | None = None

    def of(self, scores: Mapping[str, T]) -> dict[str, T]:
        """Those of its methods."""
        order = scores if self.methods is None else self.methods
        return {method: scores[method] for method in order if method in scores}


@dataclass(frozen=True)
class Explained:
    """An agent that was looked into, with the seed of its training, or none where nobody knows it."""

    task: str
    method: str
    seed: str
    summary: "Summary"


@dataclass
class Material:
    """Everything a report shows.

    Attributes:
        title: of the page.
        runs: in order.
        stress: tests of them.
        comparisons: what `jostle compare --json` has written, by the file's name.
        searches: a row a trial of each study that has searched for settings.
        studies: name and text of the studies' files, where they lie in their folders.
        groups: parts of what the studies show; a task without one is a part.
        wanted: measures that a task is shown by, where its study says which.
        measured: what studies call measures, of those that have a name of their own.
        words: of the studies, about their tables.
        names: methods as the page calls them, by what their study calls them, where that is something else.
        notes: sentences about what is missing, damaged or doubtful.
        baseline: the method that others are compared with; None: the first of each task.
        videos: how many of the worst episodes are recorded.
        trust: the modules that runs may name may be imported, to play in their environments.
        folders: what the report was asked for.
        explained: agents that were looked into.
        notify: is told of what takes long.
    """

    title: str
    runs: Sequence[Run] = ()
    stress: Sequence[Stressed] = ()
    comparisons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    searches: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    studies: Mapping[str, str] = field(default_factory=dict)
    groups: Sequence[Group] = ()
    wanted: Mapping[str, Sequence[str]] = field(default_factory=dict)
    measured: Mapping[str, str] = field(default_factory=dict)
    words: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    baseline: str | None = None
    videos: int = 0
    trust: bool = False
    folders: Sequence[Path] = ()
    explained: Sequence[Explained] = ()
    notify: Callable[[str], None] = lambda _: None

    @cached_property
    def tasks(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys([run.task for run in self.runs]))

    @cached_property
    def methods(self) -> list[str]:
        """Of all tasks, and of tests and explanations of nothing else, in order."""
        tested = [name for each in self.stress for name in each.result.methods]
        looked_into = [each.method for each in self.explained]
        return list(dict.fromkeys([*(run.method for run in self.runs), *tested, *looked_into]))

    def of(self, task: str, method: str | None = None) -> list[Run]:
        """The runs of a task, or of a method on it."""
        return [run for run in self.runs if run.task == task and method in (None, run.method)]

    def methods_of(self, task: str) -> list[str]:
        """In order."""
        return list(dict.fromkeys(run.method for run in self.of(task)))

    def colour(self, method: str) -> int:
        """The number of a method's colour, the same all over the page."""
        return self.methods.index(method) if method in self.methods else len(self.methods)

    def groups_of(self, task: str) -> list[Group]:
        """The parts of a task, which may be itself."""
        return [group for group in self.groups if group.task == task] or [Group(task)]

    def baseline_of(self, group: Group) -> str | None:
        """What the other methods of a part are compared with; None where there are none."""
        names = list(group.of(dict.fromkeys(self.methods_of(group.task))))
        if len(names) < 2:
            return None
        return next((name for name in (self.baseline, group.baseline) if name in names), names[0])

    def measures(self, task: str) -> list[str]:
        """As `Results.measures`: how the runs of a task were measured; what its study shows comes first."""
        known = Results([run.row for run in self.of(task)]).measures(task)
        return list(dict.fromkeys([*self.wanted.get(task, ()), *known]))

    def titled(self, measure: str) -> str:
        """A measure in words."""
        return self.measured.get(measure, title(measure))

    def scores(self, task: str, measure: str) -> dict[str, dict[str, float]]:
        """Method -> seed -> score."""
        found: dict[str, dict[str, float]] = {}
        for run in self.of(task):
            value = score(run.row, measure)
            if math.isfinite(value):
                found.setdefault(run.method, {})[run.seed] = value
        return found


def _moment(text: object) -> float | None:
    """Seconds since 1970 of a time as run.json writes it."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
