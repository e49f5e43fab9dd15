"""A chart of rows: point, interval and every seed of each, on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.svg.lines import look
from jostle.report.svg.scale import Scale, extent, tick_digits, ticks
from jostle.report.words import number, span
from jostle.scores.intervals import Interval, decimals

WIDTH = 420
_ROW, _TOP, _BOTTOM, _SIDE = 44, 4, 40, 16
MARKS = ("circle", "square", "diamond", "triangle")


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: what stands above it.
        colour: number of the method's colour; None: grey.
        value: point and interval.
        each: further points, named: every seed.
        mark: number of its mark.
        quiet: what stands behind the name, faint.
    """

    name: str
    colour: int | None
    value: Interval
    each: Sequence[tuple[str, float]] = ()
    mark: int = 0
    quiet: str = ""


def dots(rows: Sequence[Row], label: str, about: str, *, zero: bool = False,
         limits: Sequence[float] = ()) -> Markup:  # fmt: skip
    """A figure of rows, in their order.

    Args:
        rows: from top to bottom.
        label: of the axis.
        about: what is shown, in words.
        zero: a line where nothing is gained or lost.
        limits: numbers that the axis holds too, so that several figures have the same.
    """
    seen = [x for row in rows for x in (row.value.point, row.value.low, row.value.high, *(y for _, y in row.each))]
    low, high = extent([*seen, *([0.0] if zero else []), *limits], 0.04)
    across = Scale(low, high, _SIDE, WIDTH - _SIDE)
    height = _TOP + len(rows) * _ROW + _BOTTOM
    digits = decimals([row.value for row in rows])
    told = " ".join(f"{row.name}: {span(row.value, digits)}." for row in rows)
    parts: list[Markup] = []
    places = ticks(low, high, 5)
    for place in places:
        at = round(across(place), 1)
        parts.append(tag("line", x1=at, x2=at, y1=_TOP, y2=height - _BOTTOM, class_="grid"))
        shown = number(place, tick_digits(places))
        parts.append(tag("text", shown, x=at, y=height - _BOTTOM + 16, class_="tick centre"))
    if zero and low < 0 < high:
        at = round(across(0.0), 1)
        parts.append(tag("line", x1=at, x2=at, y1=_TOP, y2=height - _BOTTOM, class_="zero"))
    for number_of, row in enumerate(rows):
        parts.append(_row(row, across, _TOP + number_of * _ROW, digits))
    parts.append(tag("text", label, x=WIDTH - _SIDE, y=height - 6, class_="label end"))
    drawing = tag(
        "svg", tag("title", about), parts, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=f"{about} {told}"
    )
    return tag("figure", drawing, class_="dots")


def _row(row: Row, across: Scale, top: float, digits: int) -> Markup:
    middle = top + 31
    colour = "grey" if row.colour is None else look(row.colour)
    value = row.value
    parts = [
        tag("title", f"{row.name}: {span(value, digits)}"),
        tag("text", row.name, tag("tspan", f"  {row.quiet}", class_="quiet") if row.quiet else None,
            x=_SIDE - 8, y=top + 14, class_="row"),
        tag("text", span(value, digits), x=WIDTH - _SIDE, y=top + 14, class_="value end"),
    ]  # fmt: skip
    if value.low == value.low and value.high == value.high:
        left, right = round(across(value.low), 1), round(across(value.high), 1)
        parts.append(tag("rect", x=left, y=middle - 5, width=max(round(right - left, 1), 1), height=10, rx=2,
                         class_=f"span {colour}"))  # fmt: skip
    for name, score in row.each:
        at = round(across(score), 1)
        parts.append(tag("circle", tag("title", f"{name}: {number(score, digits)}"), cx=at, cy=middle, r=3.2,
                         class_=f"one {colour}"))  # fmt: skip
    parts.append(mark(row.mark, round(across(value.point), 1), middle, colour, bar=bool(row.each)))
    return tag("g", join(parts), class_="dotrow")


def mark(number_of: int, x: float, y: float, colour: str, bar: bool = False) -> Markup:
    """The mark of a point: a bar where single seeds lie around it, else the shape of an inference mode."""
    if bar:
        return tag("rect", x=x - 1.5, y=y - 9, width=3, height=18, class_=f"mark {colour}")
    shape = MARKS[number_of % len(MARKS)]
    if shape == "circle":
        return tag("circle", cx=x, cy=y, r=5, class_=f"mark {colour}")
    if shape == "square":
        return tag("rect", x=x - 4.5, y=y - 4.5, width=9, height=9, class_=f"mark {colour}")
    corners = {"diamond": [(0, -6), (6, 0), (0, 6), (-6, 0)], "triangle": [(0, -6), (6, 5), (-6, 5)]}[shape]
    points = " ".join(f"{x + a:g},{y + b:g}" for a, b in corners)
    return tag("polygon", points=points, class_=f"mark {colour}")
