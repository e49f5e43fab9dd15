"""Every measure of every task in tables."""

import numpy as np
from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material
from jostle.report.section import Cell, Column, Section, details, table
from jostle.report.svg.lines import swatch
from jostle.report.words import duration, number, span
from jostle.scores.intervals import decimals
from jostle.scores.summary import Summary, compare


def scores(material: Material) -> Section | None:
    """A table a task and measure; those of single conditions are folded away."""
    parts: list[Markup | None] = []
    for task in material.tasks:
        made = {measure: _table(material, task, measure) for measure in material.measures(task)}
        whole = {measure: told for measure, told in made.items() if told is not None}
        if not whole:
            continue
        parts.append(tag("h3", task) if len(material.tasks) > 1 else None)
        single: list[Markup] = []
        for measure, told in whole.items():
            (single if measure.startswith("stress/") else parts).extend([tag("h4", _capital(titled(measure))), told])
        if single:
            parts.append(details("Every condition of the stress tests, seed by seed", single))
    if not parts:
        return None
    about = (
        "IQM is the interquartile mean, the mean of the middle half of the seeds; intervals are of 95%, by bootstrap "
        "over seeds."
    )
    return Section("Scores", join(tag("p", about, class_="quiet"), parts), "scores")


def titled(measure: str) -> str:
    """A measure's name in words."""
    known = {
        "evaluate": "return of the trained agents",
        "training": "return over the last tenth of the training",
        "last": "return of the training's last episodes",
    }
    if not measure.startswith("stress/"):
        return known.get(measure, measure)
    _, suite, cell = measure.split("/", 2)
    condition, mode = cell.rsplit("|", 1)
    return f"{suite}: {condition}, noise {mode}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(material: Material, task: str, measure: str) -> Markup | None:
    found = material.scores(task, measure)
    if not found:
        return None
    baseline = material.baseline_of(task)
    baseline = baseline if baseline in found and len(found) > 1 else None
    several = any(len(scores) > 1 for scores in found.values())
    summaries = compare({name: list(each.values()) for name, each in found.items()}, baseline=baseline)
    digits = decimals([part for each in summaries.values() for part in (each.iqm, each.mean)])
    columns = [Column("method"), Column("seeds", True)]
    columns += [Column("IQM", True), Column("mean", True)] if several else [Column("score", True)]
    columns += [Column("least", True), Column("greatest", True)] if several else []
    columns += [Column(f"P(better than {baseline})", True)] if baseline and several else []
    timed = [material_run.seconds for material_run in material.of(task)]
    show_time = not measure.startswith("stress/") and np.isfinite(timed).any()
    columns += [Column("training took", True)] if show_time else []
    rows = []
    for method, each in found.items():
        values = list(each.values())
        summary: Summary = summaries[method]
        row = [Cell(join(swatch(material.colour(method)), " ", method)), Cell(len(values), len(values))]
        told = (summary.iqm, summary.mean) if several else (summary.mean,)
        row += [Cell(span(part, digits), part.point) for part in told]
        row += [Cell(number(end, digits), end) for end in (min(values), max(values))] if several else []
        if baseline and several:
            better = summary.improvement
            row.append(Cell("–" if better is None else span(better, 2), None if better is None else better.point))
        if show_time:
            took = [run.seconds for run in material.of(task, method)]
            mean = float(np.nanmean(took)) if np.isfinite(took).any() else float("nan")
            row.append(Cell(duration(mean), mean if mean == mean else None))
        rows.append(row)
    return table(columns, rows, f"{titled(measure)} on {task}")
