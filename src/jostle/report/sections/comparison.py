"""What `jostle compare --json` has found: regressed, improved, or no difference seen."""

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material
from jostle.report.section import Cell, Column, Section, table
from jostle.report.svg.dots import Row, dots
from jostle.report.words import counted, listed, number, span
from jostle.scores.intervals import Interval, decimals


def comparison(material: Material) -> Section | None:
    """A verdict, a figure and a table a file."""
    parts = []
    for name, found in material.comparisons.items():
        try:
            parts.append(_compared(name, found))
        except (KeyError, TypeError, ValueError, AttributeError):
            material.notes.append(f"{name}.json is no whole comparison, and is left out.")
    return Section("Comparisons", join(parts), "comparison") if parts else None


def _compared(name: str, found: Mapping[str, Any]) -> Markup:
    before, after = listed(found["before"], 3), listed(found["after"], 3)
    level = 100 * float(found["confidence"])
    runs = found["units"] == "runs"
    what = "training runs" if runs else "these two agents, not other training seeds"
    told = (
        f"{after} beside {before}: {found['metric']} in {found['suite']} on {found['env']}, noise {found['noise']}, "
        f"actions {found['actions']}, {counted(int(found['episodes']), 'episode')} a run and condition. What is found "
        f"holds for {what}. Verdicts hold together at {level:g}% (Holm)."
    )
    conditions = found["conditions"]
    gaps = [_interval(each["difference"]) for each in conditions]
    rows = [Row(str(each["condition"]), None, gap, quiet=str(each["verdict"]).lower())
            for each, gap in zip(conditions, gaps, strict=True)]  # fmt: skip
    digits = decimals(gaps)
    columns = [
        Column("condition"), Column("before", True), Column("after", True), Column("difference", True),
        Column("beyond clean", True), Column("p", True), Column("could have seen", True), Column("verdict"),
    ]  # fmt: skip
    body = []
    for each, gap in zip(conditions, gaps, strict=True):
        clean = None if each.get("beyond_clean") is None else _interval(each["beyond_clean"])
        could = math.nan if each.get("smallest_seen") is None else float(each["smallest_seen"])
        smallest = Cell(number(could, digits), could if math.isfinite(could) else None)
        body.append([
            str(each["condition"]), Cell(number(each["before"], digits), each["before"]),
            Cell(number(each["after"], digits), each["after"]), Cell(span(gap, digits), gap.point),
            Cell(span(clean, digits), None if clean is None else clean.point),
            Cell(f"{each['p_adjusted']:.3g}", each["p_adjusted"]), smallest, str(each["verdict"]).lower(),
        ])  # fmt: skip
    worst = [f"{each['condition']}, seed {each['seed']} ({each['before']:.4g} before, {each['after']:.4g} after)"
             for each in found.get("worst", [])[:5]]  # fmt: skip
    axis, about = f"difference of {found['metric']}, after − before", f"{name}: difference under each condition."
    figure = dots(rows, axis, about, zero=True)
    return join(
        tag("h3", name, tag("span", f" {str(found['verdict']).lower()}", class_="quiet")),
        tag("p", told, class_="quiet"),
        figure if len(rows) <= 24 else None,
        table(columns, body, f"comparison {name}"),
        tag("p", f"Worst episodes of the second side: {'; '.join(worst)}.", class_="quiet") if worst else None,
    )  # fmt: skip


def _interval(told: Mapping[str, Any]) -> Interval:
    low, high = (math.nan if told[end] is None else float(told[end]) for end in ("low", "high"))
    return Interval(float(told["point"]), low, high, 0.95)
