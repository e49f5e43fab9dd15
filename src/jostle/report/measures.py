"""What the answer is about: in which ways the runs of each task were measured, one number a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from jostle.report.material import Material
from jostle.scores.intervals import Interval
from jostle.scores.rates import rate_interval
from jostle.scores.summary import aggregate


@dataclass(frozen=True)
class Measure:
    """One way in which the runs of a task were measured.

    Attributes:
        task: on which.
        title: what it is.
        short: the same in a few words, to stand behind "in".
        scores: method -> seed -> score.
        rates: method -> interval of its mean, where the scores are rates of success.
    """

    task: str
    title: str
    short: str
    scores: Mapping[str, Mapping[str, float]]
    rates: Mapping[str, Interval] = field(default_factory=dict)

    def mean(self, method: str) -> Interval:
        """A method's mean with its interval over seeds: bootstrap, of rates as `rate_interval`; NaN ends for one."""
        scores = list(self.scores[method].values())
        return self.rates[method] if method in self.rates and len(scores) > 1 else aggregate(scores).mean


def headlines(material: Material) -> list[Measure]:
    """The trained agents' return, and of stress tests what was not seen; without either the end of the training."""
    beyond = unseen(material)
    tested = {measure.task for measure in beyond if measure.scores}
    found = []
    for task in material.tasks:
        evaluated = material.scores(task, "evaluate")
        if evaluated:
            found.append(Measure(task, "return of the trained agents", "return", evaluated))
        elif task not in tested:
            training, last = (material.scores(task, measure) for measure in ("training", "last"))
            title = (
                "return over the last tenth of the training" if training else "return of the training's last episodes"
            )
            found.append(Measure(task, title, "return while training", training or last))
    return [measure for measure in [*found, *beyond] if measure.scores]


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
        title = f"{what} under conditions not seen in training ({result.suite.name})"
        found.append(Measure(tested.task, title, f"{what} under unseen conditions", scores, rates))
    return found
