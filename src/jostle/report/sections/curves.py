"""Learning curves with their intervals, by steps and by wall clock."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from jostle.errors import ConfigError
from jostle.report.html import join, tag
from jostle.report.material import Material, Run
from jostle.report.section import Section
from jostle.report.svg.lines import SECONDS, STEPS, Axis, Line, chart, legend
from jostle.scores.curves import Curve, between, curve
from jostle.study.records import RETURN


def curves(material: Material) -> Section | None:
    """A pair of charts a part."""
    parts: list[Markup | None] = []
    for task in material.tasks:
        drawn = []
        for group in material.groups_of(task):
            shown = group.methods if group.curves is None else group.curves
            place = f"{task}, {group.name}" if group.name else task
            found = pair(material, task, RETURN, "return", f"Return while training on {place}.", shown)
            if found is not None:
                drawn += [tag("h4", group.name) if group.name else None, found]
        parts += [tag("h3", task) if len(material.tasks) > 1 and drawn else None, *drawn]
    if not any(parts):
        return None
    several = any(len(material.of(task, method)) > 1 for task in material.tasks for method in material.methods_of(task))
    told = (
        "Mean return of the episodes that ended while training, exploration included. A line is the interquartile mean "
        "over seeds, a band its 95% interval (bootstrap over seeds, at each place for itself), a faint line one seed. "
        "A line ends where the first of its seeds ends."
        if several
        else "Mean return of the episodes that ended while training, exploration included. With one seed there is no "
        "interval: another seed may do something else."
    )
    return Section("Learning curves", join(tag("p", told, class_="quiet"), parts), "curves", "Curves")


def pair(
    material: Material, task: str, metric: str, label: str, about: str, methods: Sequence[str] | None = None
) -> Markup | None:
    """A metric's curves by steps, and by wall clock where that is noted; of these methods, or of all."""
    by_steps = lines(material, task, metric, "step", methods)
    if not by_steps:
        return None
    by_time = lines(material, task, metric, "time", methods)
    charts = [chart(by_steps, STEPS, label, f"{about} By environment steps.")]
    if by_time:
        charts.append(chart(by_time, SECONDS, label, f"{about} By wall clock."))
    return join(legend(by_steps), tag("div", charts, class_="pair"))


def lines(material: Material, task: str, metric: str, by: str, methods: Sequence[str] | None = None) -> list[Line]:
    """A line a method, over the runs that tell the metric."""
    found = []
    for method in material.methods_of(task) if methods is None else methods:
        told = [(run, series) for run in material.of(task, method) if (series := run.series(metric, by)) is not None]
        line = _line(material, method, told)
        if line is not None:
            found.append(line)
    return found


def _line(material: Material, method: str, told: Sequence[tuple[Run, tuple[np.ndarray, np.ndarray]]]) -> Line | None:
    if not told:
        return None
    try:
        whole: Curve = curve([series for _, series in told])
    except ConfigError:  # no place is common to all seeds
        return None
    if len(whole.steps) < 2:
        return None
    seeds = {run.seed: between(*series, whole.steps) for run, series in told}
    return Line(
        method, material.colour(method), whole.steps, whole.point, whole.low, whole.high, seeds, runs=whole.runs
    )  # fmt: skip


__all__ = ["Axis", "curves", "lines", "pair"]
