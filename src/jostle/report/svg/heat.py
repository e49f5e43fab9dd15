"""A map of cells: the stronger its colour, the higher its number, which stands in it."""

from collections.abc import Sequence

from markupsafe import Markup

from jostle.report.html import tag
from jostle.report.svg.lines import look
from jostle.report.svg.scale import Scale
from jostle.report.words import number, span
from jostle.scores.intervals import Interval, decimals

WIDTH = 420
_ROW, _TOP, _BOTTOM, _GAP = 38, 6, 40, 2
_FAINT, _STRONG = 0.04, 0.5
"""Of the colour, at the lowest and the highest number: weak enough that the numbers can be read in both schemes."""


def heat(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[Interval | None]],
    about: str,
    *,
    down: str = "",
    right: str = "",
    colour: int = 0,
    limits: tuple[float, float] | None = None,
    framed: tuple[int, int] | None = None,
    digits: int | None = None,
) -> Markup:
    """A figure.

    Args:
        rows, columns: their names, rows from above.
        cells: of each row, one a column; None: nothing was measured.
        about: what is shown, for who cannot see it.
        down, right: what rows and columns are.
        colour: number of the method's colour.
        limits: the numbers of the weakest and the strongest colour; None: the least and the greatest cell.
        framed: row and column of a cell with a frame.
        digits: decimals of the numbers; None: as many as these cells ask for.
    """
    told = [cell for row in cells for cell in row if cell is not None]
    low, high = limits or (min(cell.point for cell in told), max(cell.point for cell in told))
    strength = Scale(low, high if high > low else low + 1.0, _FAINT, _STRONG)
    digits = min(decimals(told), 2) if digits is None else digits
    left = min(16 + 7.4 * max(len(name) for name in rows), 190)
    wide = (WIDTH - left) / len(columns)
    height = _TOP + _ROW * len(rows) + _BOTTOM
    parts: list[Markup] = []
    for r, (name, row) in enumerate(zip(rows, cells, strict=True)):
        top = _TOP + r * _ROW
        parts.append(tag("text", name, x=round(left - 8, 1), y=top + _ROW / 2, class_="tick end mid"))
        for c, cell in enumerate(row):
            if cell is not None:
                x, shade = left + c * wide, round(min(max(strength(cell.point), _FAINT), _STRONG), 3)
                title = tag("title", f"{name}, {columns[c]}: {span(cell, max(digits, cell.digits))}")
                box = tag("rect", x=round(x, 1), y=top, width=round(wide - _GAP, 1), height=_ROW - _GAP, rx=2,
                          fill_opacity=shade, class_=f"mark {look(colour)}")  # fmt: skip
                value = tag("text", number(cell.point, digits), x=round(x + wide / 2, 1), y=top + _ROW / 2 - 1,
                            class_="centre mid")  # fmt: skip
                frame = None
                if (r, c) == framed:
                    frame = tag(
                        "rect", x=round(x + 1.5, 1), y=top + 1.5, width=round(wide - 5, 1), height=_ROW - 5,
                        fill="none", class_="zero",
                    )  # fmt: skip
                parts.append(tag("g", title, box, value, frame))
    for c, name in enumerate(columns):
        at = round(left + (c + 0.5) * wide, 1)
        parts.append(tag("text", name, x=at, y=height - _BOTTOM + 15, class_="tick centre"))
    parts.append(tag("text", right, x=WIDTH - 4, y=height - 5, class_="label end"))
    parts.append(tag("text", down, x=4, y=height - 5, class_="label"))
    words = " ".join(
        f"{row}, {column}: {span(cell, max(digits, cell.digits))}."
        for row, line in zip(rows, cells, strict=True)
        for column, cell in zip(columns, line, strict=True)
        if cell is not None
    )
    drawing = tag(
        "svg", tag("title", about), parts, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=f"{about} {words}"
    )
    return tag("figure", drawing, class_="dots")
