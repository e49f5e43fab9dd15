"""Every measure of every task in tables."""

import numpy as np
from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Group, Material
from jostle.report.section import Cell, Column, Section, details, table
from jostle.report.svg.lines import swatch
from jostle.report.words import duration, number, span
from jostle.scores.intervals import decimals
from jostle.scores.summary import Summary, compare


def scores(material: Material) -> Section | None:
    """A table a part and measure; those of single conditions are folded away."""
    parts: list[Markup | None] = []
    for task in material.tasks:
        measures = material.measures(task)
        groups = material.groups_of(task)
        made = {(group.name, each): _table(material, group, each) for group in groups for each in measures}
        whole = {place: told for place, told in made.items() if told is not None}
        if not whole:
            continue
        parts.append(tag("h3", task) if len(material.tasks) > 1 else None)
        single: list[Markup] = []
        for (part, measure), told in whole.items():
            heading = tag("h4", ": ".join(filter(None, (part, _capital(material.titled(measure))))))
            (single if measure.startswith("stress/") else parts).extend([heading, told])
        if single:
            parts.append(details("Every condition of the stress tests, seed by seed", single))
    if not parts:
        return None
    about = (
        "IQM is the interquartile mean, the mean of the middle half of the seeds; intervals are of 95%, by bootstrap "
        "over seeds."
    )
    head = [tag("p", words, class_="quiet") for words in (*material.words, about)]
    return Section("Scores", join(head, parts), "scores")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(material: Material, group: Group, measure: str) -> Markup | None:
    found = group.of(material.scores(group.task, measure))
    if not found:
        return None
    baseline = material.baseline_of(group)
    baseline = baseline if baseline in found and len(found) > 1 else None
    several = any(len(scores) > 1 for scores in found.values())
    summaries = compare({name: list(each.values()) for name, each in found.items()}, baseline=baseline)
    digits = decimals([part for each in summaries.values() for part in (each.iqm, each.mean)])
    columns = [Column("method"), Column("seeds", True)]
    columns += [Column("IQM", True), Column("mean", True)] if several else [Column("score", True)]
    columns += [Column("least", True), Column("greatest", True)] if several else []
    columns += [Column(f"P(better than {baseline})", True)] if baseline and several else []
    timed = [material_run.seconds for material_run in material.of(group.task)]
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
            took = [run.seconds for run in material.of(group.task, method)]
            mean = float(np.nanmean(took)) if np.isfinite(took).any() else float("nan")
            row.append(Cell(duration(mean), mean if mean == mean else None))
        rows.append(row)
    where = f"{group.task}, {group.name}" if group.name else group.task
    return table(columns, rows, f"{material.titled(measure)} on {where}")
