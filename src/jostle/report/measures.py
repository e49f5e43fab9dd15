"""What the answer is about: in which ways the runs of each task were measured, one number a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from jostle.report.material import Group, Material
from jostle.scores.intervals import Interval
from jostle.scores.rates import rate_interval
from jostle.scores.summary import aggregate

Scores = Mapping[str, Mapping[str, float]]
"""Method -> seed -> score."""


@dataclass(frozen=True)
class Measure:
    """One way in which the runs of a task, or of a part of it, were measured.

    Attributes:
        task: on which.
        title: what it is.
        short: the same in a few words, to stand behind "in".
        scores: method -> seed -> score.
        rates: method -> interval of its mean, where the scores are rates of success.
        part: the part's name; empty where it is the task's.
        baseline: what the other methods are compared with; None: the first.
        pairs: methods that are compared besides.
    """

    task: str
    title: str
    short: str
    scores: Scores
    rates: Mapping[str, Interval] = field(default_factory=dict)
    part: str = ""
    baseline: str | None = None
    pairs: Sequence[tuple[str, str]] = ()

    @property
    def place(self) -> str:
        """The task, and the part of it."""
        return f"{self.task}, {self.part}" if self.part else self.task

    def mean(self, method: str) -> Interval:
        """A method's mean with its interval over seeds: bootstrap, of rates as `rate_interval`; NaN ends for one."""
        scores = list(self.scores[method].values())
        return self.rates[method] if method in self.rates and len(scores) > 1 else aggregate(scores).mean


def headlines(material: Material) -> list[Measure]:
    """What a study shows of its tasks; else the trained agents' return, and of stress tests what was not seen; without
    either the end of the training."""
    beyond = unseen(material)
    tested = {measure.task for measure in beyond if measure.scores}
    found = [
        Measure(task, title, short, group.of(scores), {}, group.name, group.baseline, group.pairs)
        for task in material.tasks
        for group in material.groups_of(task)
        for title, short, scores in _told(material, task, task in tested)
    ]
    return [measure for measure in [*found, *beyond] if measure.scores]


def _told(material: Material, task: str, tested: bool) -> Iterator[tuple[str, str, Scores]]:
    """Title, short title and scores of what a task is judged by, besides its stress tests."""
    wanted = {measure: material.scores(task, measure) for measure in material.wanted.get(task, ())}
    for measure, scores in wanted.items():
        if scores:
            yield material.titled(measure), material.titled(measure), scores
    if any(wanted.values()):
        return
    evaluated = material.scores(task, "evaluate")
    if evaluated:
        yield material.titled("evaluate"), "return", evaluated
    elif not tested:
        training, last = (material.scores(task, measure) for measure in ("training", "last"))
        yield material.titled("training" if training else "last"), "return while training", training or last


def unseen(material: Material) -> list[Measure]:
    """Of each stress test the mean over the conditions that are not its reference, without noise where there is that
    mode; a number a run."""
    found = []
    for tested in material.stress:
        result = tested.result
        if result.suite.name == "physics-worst":  # worlds of each policy's own, by which none compare
            continue
        others = [name for name in result.suite.names if name != result.suite.reference]
        told = all(cell.successes is not None for cell in result.cells)
        scores: dict[str, dict[str, float]] = {}
        episodes: dict[str, list[np.ndarray]] = {}
        for method in result.methods:
            modes = result.modes(method)
            noise = "mean" if "mean" in modes or not modes else modes[0]
            for number, seed in enumerate(result.runs[method]):
                cells = [cell for name in others for cell in result.select(method, noise, name) if cell.run == number]
                if len(cells) == len(others) > 0:
                    each = np.array([cell.successes if told else cell.returns for cell in cells], np.float64)
                    scores.setdefault(method, {})[seed] = float(each.mean())
                    episodes.setdefault(method, []).append(each.mean(0))
        what = "success" if told else "return"
        rates = {name: rate_interval(runs, pooled=len(others)) for name, runs in episodes.items()} if told else {}
        title, short = (
            f"{what} under conditions not seen in training ({result.suite.name})",
            f"{what} under unseen conditions",
        )
        groups = material.groups_of(tested.task) if tested.task in material.tasks else [Group(tested.task)]
        found += [
            Measure(tested.task, title, short, group.of(scores), rates, group.name, group.baseline, group.pairs)
            for group in groups
        ]
    return found
