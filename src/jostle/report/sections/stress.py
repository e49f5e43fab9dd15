"""Seen against unseen: what policies are worth under conditions that they were not trained under."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material, Stressed
from jostle.report.section import Cell, Column, Section, details, table
from jostle.report.svg.dots import Row, dots
from jostle.report.svg.lines import swatch
from jostle.report.words import counted, number, span
from jostle.scores.intervals import Interval, decimals

if TYPE_CHECKING:
    from jostle.stress.report import Line, Overall
    from jostle.stress.result import StressResult

MODES = {"mean": "without noise", "fixed": "one draw held", "sampled": "a draw an action"}
_MOST_ROWS = 24


def stress(material: Material) -> Section | None:
    """For each test what is lost, a figure of conditions, and the whole table."""
    parts: list[Markup | None] = []
    for tested in material.stress:
        found = _tested(material, tested)
        if found is not None:
            parts.append(found)
    if not parts:
        return None
    return Section("Seen and unseen", join(parts), "stress")


def mode_name(noise: str) -> str:
    """An inference mode in words."""
    return f"{noise.removeprefix('mc:')} draws averaged" if noise.startswith("mc:") else MODES.get(noise, noise)


def _tested(material: Material, tested: Stressed) -> Markup | None:
    from jostle.stress.report import lines, overall
    from jostle.stress.tables import against_chance

    result = tested.result
    found = lines(result)
    if not found:
        return None
    title = (
        f"{tested.task}: {result.suite.name}" if len(material.stress) > 1 else f"{result.suite.name} on {tested.task}"
    )
    counts = sorted({len(runs) for runs in result.runs.values()})
    episodes = len(result.cells[0].episodes) if result.cells else 0
    over = (
        f"Intervals of 95% are over {counts[0] if len(counts) == 1 else f'{counts[0]} to {counts[-1]}'} training seeds"
        if counts[0] > 1
        else "Where a method has one run, its interval is over that run's episodes, and says nothing of other seeds"
    )
    told = (
        f"{counted(episodes, 'episode')} a condition and run, actions {result.actions}. {over}. "
        f"The reference, “{result.suite.reference}”, is what was seen in training."
    )
    chance = [f"{sentence}." for sentence in against_chance(result) if "no certain lead" in sentence]
    return join(
        tag("h3", title),
        tag("p", f"{result.suite.about}. " if result.suite.about else "", told, class_="quiet"),
        None if result.complete else tag("p", "The test was stopped: conditions that are missing were not measured.",
                                         class_="note"),
        _gaps(material, result, overall(result), found, tested.task),
        _figure(material, result, [line for line in found if line.method in result.runs], tested.task),
        tag("ul", [tag("li", sentence) for sentence in chance]) if chance else None,
        details("Every condition in numbers", _table(material, result, found, tested.task)),
    )  # fmt: skip


def _value(line: "Line") -> Interval:
    return line.mean if line.success is None else line.success


def _gaps(material: Material, result: "StressResult", found: "Sequence[Overall]", all_lines: "Sequence[Line]",
          task: str) -> Markup | None:  # fmt: skip
    """A row a method and mode: the reference, what is lost over all other conditions, the worst of them."""
    if not found:
        return None
    told = all(each.success_gap is not None for each in found)
    seen = {(line.method, line.noise): _value(line) for line in all_lines if line.condition == result.suite.reference}
    gaps = [each.success_gap if told else each.gap for each in found]
    digits, gap_digits = decimals(list(seen.values())), decimals(gaps)
    what = "success" if told else "return"
    columns = [
        Column("method"), Column("noise when tested"), Column("seeds", True), Column(f"{what}, seen", True),
        Column(f"{what}, unseen", True), Column("lost", True), Column("worst condition"), Column("return there", True),
    ]  # fmt: skip
    rows = []
    for each, gap in zip(found, gaps, strict=True):
        there = seen.get((each.method, each.noise))
        unseen = None if there is None or gap is None else there.point - gap.point
        runs = len(result.runs[each.method])
        rows.append([
            Cell(join(swatch(material.colour(each.method)), " ", each.method)),
            mode_name(each.noise), Cell(runs, runs),
            Cell(span(there, digits), None if there is None else there.point),
            Cell("–" if unseen is None else number(unseen, digits), unseen),
            Cell(span(gap, gap_digits), None if gap is None else gap.point),
            each.worst, Cell(number(each.worst_return, 2), each.worst_return),
        ])  # fmt: skip
    return table(columns, rows, f"seen and unseen, {result.suite.name} on {task}")


def _figure(material: Material, result: "StressResult", found: "Sequence[Line]", task: str) -> Markup | None:
    """A row a condition and method, in one mode each; single conditions of many are left to the table."""
    names = list(dict.fromkeys(line.condition for line in found))
    panels = []
    for method in result.methods:
        modes = result.modes(method)
        noise = "mean" if "mean" in modes else modes[0] if modes else "mean"
        rows = [
            Row(name, material.colour(method), _value(line),
                quiet="seen in training" if name == result.suite.reference else "")
            for name in names for line in found
            if (line.method, line.noise, line.condition) == (method, noise, name)
        ]  # fmt: skip
        if rows and len(rows) <= _MOST_ROWS:
            what = "success" if any(line.success is not None for line in found) else "return"
            head = tag(
                "h4", swatch(material.colour(method)), " ", method, tag("span", f" {mode_name(noise)}", class_="quiet")
            )
            limits = _limits(found)
            panels.append(tag("div", head, dots(rows, what, f"{what} of {method} under each condition on {task}.",
                                                limits=limits)))  # fmt: skip
    return tag("div", panels, class_="pair") if panels else None


def _limits(found: "Sequence[Line]") -> list[float]:
    """The same axis for every method."""
    return [x for line in found for x in (_value(line).point, _value(line).low, _value(line).high)]


def _table(material: Material, result: "StressResult", found: "Sequence[Line]", task: str) -> Markup:
    from jostle.stress.tables import columns as told

    parts = told(result, found)
    columns = [Column(title, title not in ("condition", "method", "noise")) for title, _ in parts]
    points = {"return": "mean", "IQM": "iqm", "CVaR 10%": "cvar", "success": "success"}
    rows = []
    for place, line in enumerate(found):
        row = []
        for title, cells in parts:
            value = getattr(line, points[title], None) if title in points else None
            shown = mode_name(cells[place]) if title == "noise" else cells[place].replace("-", "−") if title not in (
                "condition", "method") else cells[place]  # fmt: skip
            row.append(Cell(shown, value.point if isinstance(value, Interval) else None))
        rows.append(row)
    return table(columns, rows, f"every condition, {result.suite.name} on {task}")
