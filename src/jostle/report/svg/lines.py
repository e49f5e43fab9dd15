"""A chart of lines with bands, one a method, over its seeds: learning curves, coverage, performance profiles."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from jostle.report.html import data, join, tag
from jostle.report.svg.scale import Scale, extent, tick_digits, ticks
from jostle.report.words import counted, duration, number, span, steps
from jostle.scores.intervals import Interval, decimals

WIDTH, HEIGHT = 420, 268
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 26, 40
_PER_SEED = 100  # points that are told of each seed; the line itself has all
_HALF_DIGIT = 4.5  # of ticks, on a phone, where letters are larger
_MOST_SEEDS = 40  # of a method that are drawn and told: more are no lines but a surface


@dataclass(frozen=True)
class Line:
    """A method's line.

    Attributes:
        name: of the method.
        colour: its number, see `Material.colour`.
        x, point, low, high: [T]; low and high are NaN where there is no band.
        seeds: the value of each training seed at each x.
    """

    name: str
    colour: int
    x: Float[np.ndarray, "T"]
    point: Float[np.ndarray, "T"]
    low: Float[np.ndarray, "T"]
    high: Float[np.ndarray, "T"]
    seeds: Mapping[str, Float[np.ndarray, "T"]] = field(default_factory=dict)
    runs: int = 1

    def at(self, index: int) -> Interval:
        """Value and interval at one place."""
        return Interval(float(self.point[index]), float(self.low[index]), float(self.high[index]), 0.95)


@dataclass(frozen=True)
class Axis:
    """What an axis shows: its title, how its numbers are written, what divides it, where it begins."""

    title: str
    write: Callable[[float], str]
    base: float = 10.0
    from_zero: bool = False


STEPS = Axis("environment steps", steps, from_zero=True)
SECONDS = Axis("wall-clock time of the training", duration, 60.0, from_zero=True)


def chart(lines: Sequence[Line], x: Axis, y: str, about: str, *, stairs: bool = False,
          bounds: tuple[float, float] | None = None) -> Markup:  # fmt: skip
    """A figure with its lines, what it shows in words, and its data for the crosshair.

    Args:
        lines: in the order of the legend.
        x: the horizontal axis.
        y: title of the vertical one.
        about: what is shown, for the caption of who cannot see it.
        stairs: a value holds until the next x.
        bounds: of the vertical axis; None: of the data.
    """
    across = Scale(*_ends(lines, x), LEFT, WIDTH - RIGHT)
    shown = [part for line in lines for part in (line.point, line.low, line.high, *line.seeds.values())]
    seen = [float(value) for part in shown for value in part]
    up = Scale(*(bounds or extent(seen)), HEIGHT - BOTTOM, TOP)
    digits = decimals([line.at(k) for line in lines for k in {0, len(line.x) // 2, len(line.x) - 1}])
    told = f"{about} {' '.join(_in_words(line, x, digits) for line in lines)}"
    drawing = tag(
        "svg",
        tag("title", about),
        _frame(across, up, x, y),
        [_band(line, across, up, stairs) for line in lines],
        [_seed_lines(line, across, up, stairs) for line in lines],
        [_line(line, across, up, stairs) for line in lines],
        tag("line", class_="cross", x1=0, x2=0, y1=TOP, y2=HEIGHT - BOTTOM, hidden=True),
        viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=told,
    )  # fmt: skip
    plain = {
        "x": [across.low, across.high], "y": [up.low, up.high], "box": [LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM],
        "size": [WIDTH, HEIGHT], "unit": "s" if x is SECONDS else "steps" if x is STEPS else "", "title": x.title,
        "digits": digits, "stairs": stairs, "lines": [_data(line, digits) for line in lines],
    }  # fmt: skip
    return tag(
        "figure",
        tag("div", drawing, tag("div", class_="tip", role="status", aria_live="polite", hidden=True), class_="plot",
            tabindex=0, aria_label=f"{about} Arrow keys move along the curves."),
        data(plain),
        class_="chart",
    )  # fmt: skip


def legend(lines: Sequence[Line], runs: bool = True) -> Markup:
    """Colours, names and seeds, for the charts below."""
    items = [
        tag("li", swatch(line.colour), tag("span", line.name, class_="name"),
            tag("span", f" {counted(line.runs, 'seed')}", class_="quiet") if runs else None)
        for line in lines
    ]  # fmt: skip
    return tag("ul", items, class_="legend")


def swatch(colour: int) -> Markup:
    """A piece of a method's line."""
    drawn = tag("line", x1=0, x2=26, y1=6, y2=6, class_=f"line {look(colour)}")
    return tag("svg", drawn, class_="swatch", viewBox="0 0 26 12", aria_hidden="true")


def look(colour: int) -> str:
    """The classes of a method's colour; a second round of colours is dashed, a third dotted.

    >>> look(1), look(8), look(22)
    ('c1', 'c1 d1', 'c1')
    """
    round_of = colour // 7 % 3
    return f"c{colour % 7}" + (f" d{round_of}" if round_of else "")


def _ends(lines: Sequence[Line], x: Axis) -> tuple[float, float]:
    low, high = min(float(line.x[0]) for line in lines), max(float(line.x[-1]) for line in lines)
    low = 0.0 if x.from_zero else low
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _frame(across: Scale, up: Scale, x: Axis, y: str) -> Markup:
    """Grid, ticks and titles."""
    rows, columns = ticks(up.low, up.high, 5), ticks(across.low, across.high, 5, x.base)
    digits = tick_digits(rows)
    found = []
    for value in rows:
        at = round(up(value), 1)
        found.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
        found.append(tag("text", number(value, digits), x=LEFT - 7, y=at, class_="tick end mid"))
    for value in columns:
        at = round(across(value), 1)
        found.append(tag("line", x1=at, x2=at, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 4, class_="axis"))
        shown = x.write(value)
        fits = at + _HALF_DIGIT * len(shown) <= WIDTH  # else it ends at its tick, for it must not leave the drawing
        found.append(tag("text", shown, x=at, y=HEIGHT - BOTTOM + 17, class_=f"tick {'centre' if fits else 'end'}"))
    found.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM, class_="axis"))
    found.append(tag("text", y, x=4, y=13, class_="label"))
    found.append(tag("text", x.title, x=WIDTH - RIGHT, y=HEIGHT - 6, class_="label end"))
    return join(found)


def _band(line: Line, across: Scale, up: Scale, stairs: bool) -> Markup | None:
    good = np.isfinite(line.low) & np.isfinite(line.high)
    if good.sum() < 2:
        return None
    x, low, high = line.x[good], line.low[good], line.high[good]
    there, back = _path(x, high, across, up, stairs), _path(x[::-1], low[::-1], across, up, stairs, back=True)
    return tag("path", d=f"M{there}L{back}Z", class_=f"band {look(line.colour)}")


def _seed_lines(line: Line, across: Scale, up: Scale, stairs: bool) -> list[Markup]:
    """Every seed for itself, faint, where there are several."""
    if len(line.seeds) < 2:
        return []
    return [
        tag("path", d=f"M{_path(line.x, values, across, up, stairs)}", class_=f"seed {look(line.colour)}")
        for values in list(line.seeds.values())[:_MOST_SEEDS]
    ]


def _line(line: Line, across: Scale, up: Scale, stairs: bool) -> Markup:
    path = _path(line.x, line.point, across, up, stairs)
    return tag("path", d=f"M{path}", class_=f"line {look(line.colour)}")


def _path(x: Float[np.ndarray, "T"], y: Float[np.ndarray, "T"], across: Scale, up: Scale, stairs: bool,
          back: bool = False) -> str:  # fmt: skip
    places = [(round(across(float(a)), 1), round(up(float(b)), 1)) for a, b in zip(x, y, strict=True)]
    if stairs:
        bent = [places[0]]
        for (x0, y0), (x1, y1) in itertools.pairwise(places):
            bent += [(x0, y1), (x1, y1)] if back else [(x1, y0), (x1, y1)]
        places = bent
    return "L".join(f"{a:g} {b:g}" for a, b in places)


def _in_words(line: Line, x: Axis, digits: int) -> str:
    """The end of a line in one sentence."""
    return f"{line.name}: {span(line.at(-1), digits)} at {x.write(float(line.x[-1]))}, {counted(line.runs, 'seed')}."


def _data(line: Line, digits: int) -> dict[str, object]:
    every = max(1, math.ceil(len(line.x) / _PER_SEED))

    def plain(values: Float[np.ndarray, "T"]) -> list[float | None]:
        kept = [*values[:-1:every], values[-1]]
        return [round(float(value), digits + 1) if math.isfinite(value) else None for value in kept]

    return {
        "name": line.name, "look": look(line.colour), "runs": line.runs,
        "x": [float(f"{value:.6g}") for value in [*line.x[:-1:every], line.x[-1]]],
        "point": plain(line.point), "low": plain(line.low), "high": plain(line.high),
        "seeds": {seed: plain(values) for seed, values in list(line.seeds.items())[:_MOST_SEEDS]},
    }  # fmt: skip
