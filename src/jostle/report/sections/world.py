"""What was randomised in the world: the range of each parameter along the training."""

import numpy as np
from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material
from jostle.report.section import Section
from jostle.report.svg.lines import STEPS, Line, chart, legend
from jostle.scores.curves import between

_BEGIN, _LOW, _HIGH = "domain/", "/low", "/high"
_POINTS = 100


def world(material: Material) -> Section | None:
    """A chart a task and parameter, a band a method."""
    parts: list[Markup | None] = []
    for task in material.tasks:
        names = {name for run in material.of(task) if run.record for row in run.record.rows[-3:] for name in row}
        parameters = sorted(name[len(_BEGIN) : -len(_LOW)] for name in names
                            if name.startswith(_BEGIN) and name.endswith(_LOW))  # fmt: skip
        drawn = []
        for parameter in parameters:
            found = [_range(material, task, method, parameter) for method in material.methods_of(task)]
            lines = [line for line in found if line is not None]
            if lines:
                about = f"Range of {parameter} while training on {task}."
                drawn.append(tag("div", legend(lines), chart(lines, STEPS, parameter, about)))
        if drawn:
            parts += [tag("h3", task) if len(material.tasks) > 1 else None, tag("div", drawn, class_="pair")]
    if not parts:
        return None
    told = (
        "From where to where each parameter of the domain was drawn, in its own unit: the band reaches from the mean "
        "of the seeds' lower ends to that of their upper ends, the line is its middle. It is no interval of confidence."
    )
    return Section("What was randomised", join(tag("p", told, class_="quiet"), parts), "world", "Randomised")


def _range(material: Material, task: str, method: str, parameter: str) -> Line | None:
    """The mean range over the seeds that tell it, where all of them do."""
    told = []
    for run in material.of(task, method):
        low, high = (run.series(f"{_BEGIN}{parameter}{end}") for end in (_LOW, _HIGH))
        if low is not None and high is not None:
            told.append((low, high))
    if not told:
        return None
    first, last = max(low[0][0] for low, _ in told), min(low[0][-1] for low, _ in told)
    if not last > first:
        return None
    grid = np.linspace(first, last, _POINTS)
    low, high = (np.mean([between(*each[side], grid) for each in told], axis=0) for side in (0, 1))
    return Line(method, material.colour(method), grid, (low + high) / 2, low, high, runs=len(told))
