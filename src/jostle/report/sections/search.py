"""Settings that a study has searched for: how, by which seeds, and what was chosen."""

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material
from jostle.report.section import Cell, Column, Section, table
from jostle.report.svg.lines import swatch
from jostle.report.words import listed, number, setting
from jostle.study.records import shown
from jostle.study.search.tune import Budget
from jostle.study.shown.tables import search_told


def search(material: Material) -> Section | None:
    """A row a method and task, and the sentence about the seeds and the budget that all had."""
    parts: list[Markup] = []
    columns = [Column("method"), Column("task"), Column("chosen"), Column("mean of the trial", True),
               Column("trials", True), Column("failed", True), Column("steps of each", True)]  # fmt: skip
    for name, trials in material.searches.items():
        try:
            first = trials[0]
            seeds = tuple(first["seeds"])
            budget = Budget(first["trials"], seeds, None, first["sampler"], 0, first["measure"])
            places = list(dict.fromkeys((row["task"], row["method"]) for row in trials))
            rows = []
            for task, method in places:
                here = [row for row in trials if (row["task"], row["method"]) == (task, method)]
                best = next((row for row in here if row["chosen"]), None)
                told = [f"{setting(key)} {shown(each)}" for key, each in (best["settings"] if best else {}).items()]
                value = None if best is None else best["value"]
                rows.append([
                    Cell(join(swatch(material.colour(method)), " ", method)), task, listed(told),
                    Cell("–" if value is None else number(value), value), Cell(len(here), len(here)),
                    sum(bool(row["failed"]) for row in here), f"{here[0]['steps']:,}",
                ])  # fmt: skip
            parts += [
                tag("p", search_told(budget, [method for _, method in places])),
                table(columns, rows, "chosen settings"),
            ]
        except (LookupError, TypeError, ValueError):
            material.notes.append(f"The search for settings in {name} cannot be read, and is left out.")
    return Section("Settings that were searched for", join(parts), "search", "Search") if parts else None
