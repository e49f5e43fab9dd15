"""Default, random and extreme physics: what methods trained in one of them are worth in the others."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from jostle.errors import ConfigError
from jostle.report.html import join, tag
from jostle.report.material import Material, Stressed
from jostle.report.section import Cell, Column, Section, table
from jostle.report.sections.physics import (
    measured,
    over,
    shown_lines,
    tests,
    title_of,
    value_of,
)
from jostle.report.svg.heat import heat
from jostle.report.words import listed, span
from jostle.scores.intervals import decimals
from jostle.study.jobs import RANDOM

if TYPE_CHECKING:
    from jostle.stress.report import Line
    from jostle.stress.result import StressResult

_SETS = {"default": "D", "random": "R", "extreme": "E"}
_DOMAIN = ("env_options.domain", "domain")
"""What a run was trained in stands under one of these."""


def physics_sets(material: Material) -> Section | None:
    """The matrix of each test, the three numbers of Packer et al. where there is success, and the controls."""
    parts = [part for tested in tests(material, "physics-sets") for part in _tested(material, tested)]
    if not parts:
        return None
    told = (
        "D is the default world, R draws each parameter from a range around it, E draws every parameter from outside "
        "of that range: one draw an episode. Rows are methods, with where they were trained; the last rows have "
        "learned nothing, and are what a claim must exceed."
    )
    return Section(
        "Default, random and extreme physics", join(tag("p", told, class_="quiet"), parts), "sets", "Physics sets"
    )


def _tested(material: Material, tested: Stressed) -> list[Markup]:
    from jostle.stress.report import lines

    result = tested.result
    found = lines(result)
    if not found:
        return []
    what, shown = measured(found), shown_lines(result, found)
    columns = [name for name in result.suite.names if any(line.condition == name for line in found)]
    trained = {name: trained_on(material, tested, name) for name in result.methods}
    cells = [[_at(own, column) for column in columns] for own in shown.values()]
    names = [f"{name} ({trained[name]})" if trained.get(name) else name for name in shown]
    about = f"{what[:1].upper()}{what[1:]} of each method under default, random and extreme physics on {tested.task}."
    drawn = heat(names, [f"{_SETS.get(c, '')} {c}".strip() for c in columns], cells, about, right="tested in",
                 limits=(0.0, 1.0) if what != "return" else None)  # fmt: skip
    parts = [title_of(material, tested), tag("p", f"The {what}. {over(result)}", class_="quiet"), drawn]
    return [*parts, *_numbers(result, groups(material, tested, trained)), *_saturated(result, shown)]


def _at(own: "Sequence[Line]", condition: str) -> Any:
    return next((value_of(line) for line in own if line.condition == condition), None)


def trained_on(material: Material, tested: Stressed, method: str) -> str:
    """D, R, E, or words for another domain; nothing where nobody knows."""
    settings = _settings(material, tested, method)
    if settings is None or settings.get("algorithm") == RANDOM:
        return ""
    given = next((settings[key] for key in _DOMAIN if settings.get(key)), None)
    if not given:
        return "D"
    for name in ("random", "extreme"):
        if _same(given, tested.result.suite[name].env_options.get("domain")):
            return _SETS[name]
    return "another domain"


def groups(material: Material, tested: Stressed, trained: Mapping[str, str]) -> list[dict[str, str]]:
    """Methods that were asked for the same but for their domain: where they were trained -> method."""
    found: dict[str, dict[str, str]] = {}
    for method, place in trained.items():
        settings = _settings(material, tested, method) or {}
        rest = {key: value for key, value in settings.items() if not key.startswith(_DOMAIN)}
        if place in _SETS.values():
            found.setdefault(json.dumps(rest, sort_keys=True, default=str), {}).setdefault(place, method)
    return list(found.values())


def _settings(material: Material, tested: Stressed, method: str) -> Mapping[str, Any] | None:
    for run in material.runs:
        if run.method == method and tested.task in (run.task, run.row["task"]) and run.row.get("settings"):
            settings: Mapping[str, Any] = run.row["settings"]
            return settings
    return None


def _same(one: Any, other: Any) -> bool:
    """Two domains, however they are written."""
    from jostle.domain import Space

    try:
        return other is not None and Space.load(one) == Space.load(other)
    except ConfigError:
        return False


def _numbers(result: "StressResult", found: Sequence[Mapping[str, str]]) -> list[Markup]:
    """Default, interpolation and extrapolation of each group that was trained in D and in R."""
    from jostle.stress.physics.matrix import generalisation_intervals

    rows = []
    for group in found:
        success = {
            (place, letter): _successes(result, method, name)
            for place, method in group.items()
            for name, letter in _SETS.items()
        }
        if {"D", "R"} <= group.keys() and all(success.values()):
            three = generalisation_intervals({pair: runs for pair, runs in success.items() if runs})
            rows.append((listed([f"{method} ({place})" for place, method in group.items()]), three))
    if not rows:
        return []
    digits = min(decimals([each for _, three in rows for each in three]), 2)
    body = [[Cell(name), *(Cell(span(each, digits), each.point) for each in three)] for name, three in rows]
    columns = [Column("methods, trained in"), Column("default", True), Column("interpolation", True),
               Column("extrapolation", True)]  # fmt: skip
    told = (
        "The three numbers of Packer et al. 2018: default = D tested in D, interpolation = R in R, extrapolation = the "
        "geometric mean of D in R, D in E and R in E."
    )
    return [table(columns, body, f"summaries, {result.suite.name}"), tag("p", told, class_="quiet")]


def _successes(result: "StressResult", method: str, condition: str) -> list[np.ndarray]:
    from jostle.report.sections.physics import first_mode

    cells = result.select(method, first_mode(result, method), condition)
    return [cell.successes for cell in cells if cell.successes is not None]


def _saturated(result: "StressResult", shown: "Mapping[str, Sequence[Line]]") -> list[Markup]:
    """Where a control that learns nothing is as good as can be, no claim is made for learning."""
    from jostle.stress.physics.control import SATURATED

    told = []
    for name, own in shown.items():
        there = _at(own, "extreme")
        told_success = any(line.success is not None for line in own)
        if name not in result.runs and told_success and there is not None and there.point > SATURATED:
            told.append(f"{name} ({span(there, 2)})")
    if not told:
        return []
    said = (
        f"{listed(told)} succeeds in the extreme set without having learned anything: this task is saturated, and "
        "success there proves nothing for learning."
    )
    return [tag("p", said, class_="note")]


__all__ = ["groups", "physics_sets", "trained_on"]
