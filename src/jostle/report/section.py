"""A part of the page. Whoever adds one writes a function of the material and puts it into `jostle.report.SECTIONS`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from jostle.report.html import tag
from jostle.report.material import Material


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading, and its name in the contents.
        html: what stands below the heading; made with `jostle.report.html.tag`, all text in it is escaped.
        anchor: what links to it end in.
        short: its name in the contents, where the title is long.
    """

    title: str
    html: Markup
    anchor: str
    short: str = ""


SectionOf = Callable[[Material], Section | None]
"""Makes a section of the material; None where it has nothing to show."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, and whether it holds numbers, which stand to the right."""

    title: Any
    numbers: bool = False


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the number that it is sorted by."""

    shown: Any
    value: float | None = None


def table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], caption: str, *, sort: bool = True) -> Markup:
    """A table that sorts by its columns, by click and by key, and scrolls within itself where it is too wide.

    Args:
        columns: from left to right; the first one names the row.
        rows: cells or what they show.
        caption: what it holds, for who cannot see where it stands.
        sort: leave the headings plain where the order means something.
    """
    heads = []
    sortable = sort and len(rows) > 1
    for column in columns:
        shown = tag("button", column.title, type="button") if sortable else column.title
        heads.append(tag("th", shown, scope="col", class_="n" if column.numbers else None))
    body = []
    for row in rows:
        cells = []
        for place, (column, given) in enumerate(zip(columns, row, strict=True)):
            cell = given if isinstance(given, Cell) else Cell(given)
            kind = "n" if column.numbers else None
            name = "th" if place == 0 else "td"
            cells.append(
                tag(name, cell.shown, scope="row" if place == 0 else None, class_=kind, data_v=cell.value)
            )  # fmt: skip
        body.append(tag("tr", cells))
    whole = tag(
        "table",
        tag("caption", caption, class_="hidden"),
        tag("thead", tag("tr", heads)),
        tag("tbody", body),
        class_="sortable" if sortable else None,
    )
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=f"Table: {caption}")


def details(summary: str, *inside: Any) -> Markup:
    """What is shown when it is asked for, and in print."""
    return tag("details", tag("summary", summary), *inside)


def code(text: str) -> Markup:
    """Commands or a file, with a button that copies them."""
    return tag("div", tag("button", "Copy", type="button", class_="copy", hidden=True), tag("pre", tag("code", text)),
               class_="code")  # fmt: skip
