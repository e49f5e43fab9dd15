"""One parameter of the physics at a time, as curves with their intervals."""

import numpy as np
from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material, Stressed
from jostle.report.section import Section
from jostle.report.sections.physics import (
    colour_of,
    over,
    shown_lines,
    telling,
    tests,
    title_of,
)
from jostle.report.svg.lines import Axis, Line, chart, legend
from jostle.report.words import listed, span


def physics_sweep(material: Material) -> Section | None:
    """A chart a parameter, a line a method."""
    parts = [part for tested in tests(material, "physics-sweep") for part in _tested(material, tested)]
    if not parts:
        return None
    told = (
        "One parameter is changed at a time, the others stay nominal. Bands are 95% intervals at each place for itself."
    )
    return Section("One parameter at a time", join(tag("p", told, class_="quiet"), parts), "sweeps", "Sweeps")


def _tested(material: Material, tested: Stressed) -> list[Markup]:
    from jostle.stress.report import lines

    result = tested.result
    found = lines(result)
    if not found:
        return []
    what, value_of = telling([line for line in found if line.method in result.runs])
    shown = shown_lines(result, found)
    labels = {c.name: c.labels for c in result.suite.conditions}
    parameters = [*dict.fromkeys(each["parameter"] for each in labels.values() if each["parameter"] != "none")]
    values = [x for line in found for x in (value_of(line).point, value_of(line).low, value_of(line).high) if x == x]
    bounds = (-0.02, 1.02) if what != "return" else _bounds(values)
    charts = []
    drawn: list[Line] = []
    for parameter in parameters:
        drawn = []
        for name, own in shown.items():
            at = {float(labels[line.condition]["value"]): value_of(line) for line in own
                  if labels[line.condition]["parameter"] == parameter}  # fmt: skip
            if len(at) > 1:
                x = np.array(sorted(at))
                point, low, high = (np.array([getattr(at[v], end) for v in x]) for end in ("point", "low", "high"))
                runs = len(result.runs.get(name, [""]))
                drawn.append(Line(name, colour_of(material, name), x, point, low, high, runs=runs))
        if drawn:
            about = f"{what[:1].upper()}{what[1:]} by {parameter} on {tested.task}."
            charts.append(chart(drawn, Axis(parameter, _short), what, about, bounds=bounds))
    if not charts:
        return []
    nominal = [f"{name} {span(value_of(line))}" for name, own in shown.items() for line in own
               if line.condition == result.suite.reference]  # fmt: skip
    told = f"In the nominal world: {listed(nominal)}. {over(result)}" if nominal else over(result)
    return [
        title_of(material, tested), tag("p", told, class_="quiet"), legend(drawn, runs=False),
        tag("div", charts, class_="pair"),
    ]  # fmt: skip


def _bounds(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
