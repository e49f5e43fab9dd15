"""A chart of rows with two bars each, a solid one and a faint one, and their intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jostle.report.html import tag
from jostle.report.svg.lines import look
from jostle.report.svg.scale import Scale, extent, tick_digits, ticks
from jostle.report.words import number, span
from jostle.scores.intervals import Interval, decimals

WIDTH = 420
_ROW, _TOP, _BOTTOM, _SIDE, _BAR = 52, 4, 40, 16, 9


@dataclass(frozen=True)
class Bars:
    """One row: its name, and the numbers of the solid bar and of the faint one below it."""

    name: str
    solid: Interval
    faint: Interval


def bars(rows: Sequence[Bars], label: str, about: str, *, words: tuple[str, str], colour: int = 0) -> Markup:
    """A figure.

    Args:
        rows: from above.
        label: of the axis.
        about: what is shown, for who cannot see it.
        words: what the solid and the faint bar are.
        colour: number of the method's colour.
    """
    seen = [x for row in rows for each in (row.solid, row.faint) for x in (each.point, each.low, each.high)]
    low, high = extent([*seen, 0.0], 0.04)
    across = Scale(low, high, _SIDE, WIDTH - _SIDE)
    height = _TOP + len(rows) * _ROW + _BOTTOM
    digits = min(decimals([each for row in rows for each in (row.solid, row.faint)]), 2)
    parts: list[Markup] = []
    places = ticks(low, high, 5)
    for place in places:
        at = round(across(place), 1)
        parts.append(tag("line", x1=at, x2=at, y1=_TOP, y2=height - _BOTTOM, class_="grid"))
        shown = number(place, tick_digits(places))
        parts.append(tag("text", shown, x=at, y=height - _BOTTOM + 16, class_="tick centre"))
    zero = round(across(0.0), 1)
    for place, row in enumerate(rows):
        top = _TOP + place * _ROW
        parts.append(tag("line", x1=zero, x2=zero, y1=top + 20, y2=top + _ROW - 4, class_="axis"))
        values = f"{span(row.solid, digits)} {words[0]}, {span(row.faint, digits)} {words[1]}"
        inside = [
            tag("title", f"{row.name}: {values}"),
            tag("text", row.name, x=_SIDE - 8, y=top + 15, class_="row"),
            tag("text", f"{number(row.solid.point, digits)} {words[0]}, {number(row.faint.point, digits)} {words[1]}",
                x=WIDTH - _SIDE, y=top + 15, class_="value end"),
        ]  # fmt: skip
        for below, each, kind in ((0, row.solid, "mark"), (1, row.faint, "span")):
            inside += _bar(each, across, top + 24 + below * (_BAR + 3), f"{kind} {look(colour)}")
        parts.append(tag("g", inside, class_="dotrow"))
    parts.append(tag("text", label, x=WIDTH - _SIDE, y=height - 6, class_="label end"))
    told = " ".join(f"{row.name}: {span(row.solid, digits)} {words[0]}, {span(row.faint, digits)} {words[1]}."
                    for row in rows)  # fmt: skip
    drawing = tag(
        "svg", tag("title", about), parts, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=f"{about} {told}"
    )
    return tag("figure", drawing, class_="dots")


def _bar(value: Interval, across: Scale, top: float, kind: str) -> list[Markup]:
    """A bar from 0, and its interval as a line with ends."""
    if not math.isfinite(value.point):
        return []
    begin, end = sorted((across(0.0), across(value.point)))
    found = [tag("rect", x=round(begin, 1), y=top, width=max(round(end - begin, 1), 0.5), height=_BAR, class_=kind)]
    if math.isfinite(value.low) and math.isfinite(value.high):
        left, right, middle = round(across(value.low), 1), round(across(value.high), 1), top + _BAR / 2
        found.append(tag("line", x1=left, x2=right, y1=middle, y2=middle, class_="axis"))
        found += [tag("line", x1=x, x2=x, y1=middle - 3, y2=middle + 3, class_="axis") for x in (left, right)]
    return found
