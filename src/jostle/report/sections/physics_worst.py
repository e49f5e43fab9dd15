"""The worst worlds that a search has found, measured anew, with the videos that lie beside them."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material, Stressed
from jostle.report.section import Cell, Column, Section, table
from jostle.report.sections.physics import (
    colour_of,
    over,
    shown_lines,
    tests,
    title_of,
    value_of,
)
from jostle.report.svg.lines import swatch
from jostle.report.words import span
from jostle.scores.intervals import decimals

if TYPE_CHECKING:
    from jostle.stress.report import Line
    from jostle.stress.result import StressResult

_LARGEST = 3_000_000
"""Bytes of all videos of a test together."""


def physics_worst(material: Material) -> Section | None:
    """A table a test, and its videos."""
    parts = [part for tested in tests(material, "physics-worst") for part in _tested(material, tested)]
    if not parts:
        return None
    told = (
        "A search over the domain has looked for the worlds in which a method fares worst. The lowest of many noisy "
        "scores is lower than what it measures, so these scores are of further episodes, by seeds that the search did "
        "not use. Other searches may find worse."
    )
    return Section("Worst cases in the domain", join(tag("p", told, class_="quiet"), parts), "worst", "Worst cases")


def _tested(material: Material, tested: Stressed) -> list[Markup]:
    from jostle.stress.report import lines

    result = tested.result
    shown = shown_lines(result, lines(result))
    if not shown:
        return []
    alone = [f"{name}, {runs[0]}" for name, runs in result.runs.items() if len(runs) == len(result.runs) == 1]
    parts = [
        title_of(material, tested),
        *([tag("h4", alone)] if alone else []),
        tag("p", f"{result.suite.about[:1].upper()}{result.suite.about[1:]}. {over(result)}", class_="quiet"),
        _table(material, result, shown, tested.task),
    ]
    films = _films(material, result, tested.folder) if tested.folder else []
    return [*parts, tag("div", films, class_="videos")] if films else parts


def _table(material: Material, result: "StressResult", shown: "dict[str, list[Line]]", task: str) -> Markup:
    worlds = {c.name: values_of(c.env_options.get("domain")) for c in result.suite.conditions}
    names = [*dict.fromkeys(name for values in worlds.values() for name in values)]
    told = any(line.success is not None for own in shown.values() for line in own)
    columns = [Column("world"), *(Column(name, True) for name in names), Column("method"), Column("return", True),
               *([Column("success", True)] if told else []), Column("lost", True)]  # fmt: skip
    every = [line for own in shown.values() for line in own]
    digits = [decimals([line.mean for line in every]), decimals([value_of(line) for line in every])]
    gaps = decimals([line.gap for line in every])
    rows = []
    for world, values in worlds.items():
        for method, own in shown.items():
            line = next((line for line in own if line.condition == world), None)
            if line is None:
                continue
            numbers = [Cell(f"{values[name]:.4g}".replace("-", "−") if name in values else "nominal", values.get(name))
                       for name in names]  # fmt: skip
            rate = line.success
            success = [] if rate is None else [Cell(span(rate, digits[1]), rate.point)]
            lost = Cell(span(line.gap, gaps), None if line.gap is None else line.gap.point)
            who = Cell(join(swatch(colour_of(material, method)), " ", method))
            rows.append([Cell(world), *numbers, who, Cell(span(line.mean, digits[0]), line.mean.point), *success, lost])
    return table(columns, rows, f"worst cases, {result.suite.name} on {task}")


def values_of(domain: object) -> dict[str, float]:
    """The values of a domain of constants."""
    parameters = domain.get("parameters") if isinstance(domain, dict) else None
    return {name: float(law["constant"]) for name, law in (parameters or {}).items() if "constant" in law}


def _films(material: Material, result: "StressResult", folder: Path) -> list[Markup]:
    """Videos that lie in the test's folder, each in its figure."""
    from jostle.stress.replays import video_name

    found: list[Markup] = []
    left = _LARGEST
    for condition in result.suite.names:
        path = folder / video_name(condition)
        try:
            film = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            material.notes.append(f"The video {path} cannot be read ({error.strerror}).")
            continue
        if len(film) > left:
            material.notes.append(f"The video {path.name} is left out: the page would be too large.")
            continue
        left -= len(film)
        if film:
            found.append(_figure(film, f"{condition}: its worst episode, played again"))
    return found


def _figure(film: bytes, caption: str) -> Markup:
    source = f"data:video/mp4;base64,{base64.b64encode(film).decode()}"
    shown = tag("video", controls=True, loop=True, muted=True, playsinline=True, preload="metadata", src=source,
                aria_label=caption)  # fmt: skip
    return tag("figure", shown, tag("figcaption", caption))


__all__ = ["physics_worst", "values_of"]
