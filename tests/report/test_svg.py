"""Figures: where things are drawn, and what they say."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jostle.report.svg.dots import Row, dots
from jostle.report.svg.lines import BOTTOM, HEIGHT, SECONDS, STEPS, TOP, Line, chart, look
from jostle.report.svg.scale import Scale, extent, tick_digits, ticks
from jostle.scores.intervals import Interval


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.sampled_from([10.0, 60.0]))
def test_ticks_are_few_round_and_within(low: float, width: float, base: float) -> None:
    found = ticks(low, low + width, 5, base)
    assert len(found) <= 7
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in found)
    assert found == sorted(set(found))


def test_ticks_by_hand() -> None:
    assert ticks(0, 1) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0, 30_000) == [0.0, 10_000.0, 20_000.0, 30_000.0]
    assert ticks(0, 7200, base=60) == [0.0, 1800.0, 3600.0, 5400.0, 7200.0]
    assert tick_digits([0.0, 0.25, 0.5]) == 2
    assert tick_digits([0.0, 10.0]) == 0
    assert extent([]) == (0.0, 1.0)
    assert extent([3.0, 3.0]) == (2.85, 3.15)
    assert Scale(0, 10, 100, 200)(2.5) == 125


def line(name: str = "rnd", colour: int = 0) -> Line:
    x = np.array([0.0, 50.0, 100.0])
    seeds = {"1": np.array([0.0, 0.5, 1.0]), "2": np.array([0.0, 0.7, 0.6])}
    return Line(
        name, colour, x, np.array([0.0, 0.6, 0.8]), np.array([0.0, 0.5, 0.6]), np.array([0.0, 0.7, 1.0]), seeds, 2
    )


def parsed(text: str) -> ElementTree.Element:
    """Figures are well-formed."""
    return ElementTree.fromstring(re.sub(r" (hidden|muted)(?=[ >])", r' \1=""', text))


def test_a_curve_is_drawn_to_scale() -> None:
    figure = parsed(str(chart([line()], STEPS, "return", "About.")))
    path = next(each for each in figure.iter("path") if "line" in each.attrib["class"].split())
    places = [tuple(map(float, pair.split())) for pair in path.attrib["d"].removeprefix("M").split("L")]
    across = [x for x, _ in places]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1])
    ys = [y for _, y in places]
    assert (ys[0] - ys[1]) / (ys[0] - ys[2]) == pytest.approx(0.6 / 0.8, abs=0.01)
    seeds = [each for each in figure.iter("path") if "seed" in each.attrib["class"].split()]
    assert len(seeds) == 2
    box = [float(number) for each in figure.iter("path") for number in re.findall(r"[\d.]+", each.attrib["d"])]
    assert min(box) >= 0
    drawing = next(figure.iter("svg"))
    assert drawing.attrib["aria-label"] == "About. rnd: 0.80 [0.60, 1.00] at 100, 2 seeds."


def test_no_seed_leaves_the_picture() -> None:
    wide = line()
    wild = Line("a", 0, wide.x, wide.point, wide.low, wide.high, {"1": np.array([0.0, 5.0, -5.0]), "2": wide.point}, 2)
    figure = parsed(str(chart([wild], STEPS, "return", "About.")))
    seeds = [each for each in figure.iter("path") if "seed" in each.attrib["class"].split()]
    ys = [float(y) for each in seeds for _, y in re.findall(r"([\d.-]+) ([\d.-]+)", each.attrib["d"])]
    assert TOP <= min(ys) <= max(ys) <= HEIGHT - BOTTOM


def test_stairs_hold_their_value_until_the_next_place() -> None:
    figure = parsed(str(chart([line()], STEPS, "share", "About.", stairs=True, bounds=(0, 1))))
    path = next(each for each in figure.iter("path") if "line" in each.attrib["class"].split())
    places = [tuple(map(float, pair.split())) for pair in path.attrib["d"].removeprefix("M").split("L")]
    assert len(places) == 5
    assert places[0][1] == places[1][1]
    assert places[1][0] == places[2][0]


def test_colours_return_dashed() -> None:
    assert [look(number) for number in (0, 6, 7, 20)] == ["c0", "c6", "c0 d1", "c6 d2"]
    assert 'class="line c1 d1"' in str(chart([line(colour=8)], SECONDS, "return", "About."))


def test_rows_have_their_interval_seeds_and_words() -> None:
    rows = [Row("<a>", 0, Interval(0.5, 0.25, 0.75, 0.95), [("seed 1", 0.25), ("seed 2", 0.75)]),
            Row("alone", None, Interval(1.0, float("nan"), float("nan"), 0.95))]  # fmt: skip
    text = str(dots(rows, "return", "About.", zero=True, limits=[2.0]))
    assert "<a>" not in text
    figure = parsed(text)
    strips = [each for each in figure.iter("rect") if "span" in each.attrib["class"].split()]
    assert len(strips) == 1
    ones = [float(each.attrib["cx"]) for each in figure.iter("circle") if "one" in each.attrib["class"].split()]
    left, width = float(strips[0].attrib["x"]), float(strips[0].attrib["width"])
    assert ones == pytest.approx([left, left + width], abs=0.2)
    mark = next(each for each in figure.iter("rect") if "mark" in each.attrib["class"].split())
    assert float(mark.attrib["x"]) + 1.5 == pytest.approx(left + width / 2, abs=0.2)
    assert next(figure.iter("svg")).attrib["aria-label"] == "About. <a>: 0.50 [0.25, 0.75]. alone: 1.00."
