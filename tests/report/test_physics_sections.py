"""Sections of stress tests of physics: what stands there is what was measured, and it can be read."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from test_page import Reader, words

from jostle.report import write_report
from jostle.report.gather import gather
from jostle.report.sections.physics_sets import groups, physics_sets, trained_on
from jostle.report.sections.physics_worst import physics_worst, values_of
from jostle.report.svg.bars import Bars, bars
from jostle.report.svg.heat import heat
from jostle.scores.intervals import Interval
from jostle.stress import read_result

ANCHORS = ["sets", "sweeps", "pairs", "sobol", "worst"]


def section(page: Path, anchor: str) -> str:
    found = re.search(rf'<section id="{anchor}".*?</section>', page.read_text(encoding="utf-8"), re.S)
    assert found is not None, anchor
    return found[0]


def test_each_suite_has_its_section_in_order(poles_page: Path) -> None:
    ids = [a["id"] for name, a in Reader(poles_page.read_text(encoding="utf-8")).tags if name == "section"]
    assert [anchor for anchor in ids if anchor in ANCHORS] == ANCHORS


def test_every_figure_says_its_numbers_in_words(poles_page: Path) -> None:
    for anchor in ANCHORS:
        drawings = [
            a
            for name, a in Reader(section(poles_page, anchor)).tags
            if name == "svg" and a.get("aria-hidden") != "true"
        ]
        assert len(drawings) >= (0 if anchor == "worst" else 1)
        for drawing in drawings:
            assert drawing["role"] == "img"
            assert len(re.findall(r"\d", drawing["aria-label"] or "")) > 4, anchor


def test_the_matrix_knows_where_each_method_was_trained(poles: Path, poles_page: Path) -> None:
    material = gather([poles])
    (tested,) = [each for each in material.stress if each.result.suite.name == "physics-sets"]
    trained = {name: trained_on(material, tested, name) for name in tested.result.methods}
    assert trained == {"nominal": "D", "random": "R"}
    assert groups(material, tested, trained) == [{"D": "nominal", "R": "random"}]
    said = section(poles_page, "sets")
    for text in ("nominal (D)", "random (R)", "random play", "fixed rule", "extrapolation"):
        assert text in said, text
    assert "this task is saturated" in said
    # The numbers are those of the episodes.
    successes = {
        (method, condition): np.mean(
            [cell.successes.mean() for cell in tested.result.select(method, "mean", condition)]
        )
        for method in tested.result.methods
        for condition in ("default", "random", "extreme")
    }
    rows = re.findall(r'data-v="([^"]+)"', said.split("summaries, physics-sets")[-1])
    assert float(rows[0]) == pytest.approx(successes["nominal", "default"])
    assert float(rows[1]) == pytest.approx(successes["random", "random"])
    three = [("nominal", "random"), ("nominal", "extreme"), ("random", "extreme")]
    whole = float(np.prod([successes[pair] for pair in three]))
    assert float(rows[2]) == pytest.approx(np.cbrt(whole), abs=1e-9)


def test_another_domain_is_no_random_set(poles: Path) -> None:
    material = gather([poles])
    (tested,) = [each for each in material.stress if each.result.suite.name == "physics-sets"]
    for run in material.runs:
        settings = run.row["settings"]
        if settings.get("env_options.domain"):
            settings["env_options.domain"] = {"force": [5, 14]}
    trained = {name: trained_on(material, tested, name) for name in tested.result.methods}
    assert trained == {"nominal": "D", "random": "another domain"}
    assert groups(material, tested, trained) == [{"D": "nominal"}]
    found = physics_sets(material)
    assert found is not None
    assert "extrapolation" not in found.html


def test_the_map_holds_each_world(poles: Path, poles_page: Path) -> None:
    said = section(poles_page, "pairs")
    material = gather([poles])
    (tested,) = [each for each in material.stress if each.result.suite.name == "physics-pair"]
    cells = re.findall(r"<title>([\d.]+), ([\d.]+): ([\d.−]+)", said)
    assert len(cells) == 25 * 3, "two methods and random play, one map each"
    means = [np.mean([cell.returns.mean() for cell in tested.result.select("random", "mean", condition)])
             for condition in tested.result.suite.names]  # fmt: skip
    assert [float(cell[2].replace("−", "-")) for cell in cells[25:50]] == pytest.approx(means, abs=0.51)


def test_sweeps_are_curves_with_intervals(poles_page: Path) -> None:
    text = section(poles_page, "sweeps")
    told = [json.loads(block) for block in re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)]
    assert [each["title"] for each in told] == ["force", "pole.half_length", "timestep"]
    for each in told:
        names = [line["name"] for line in each["lines"]]
        assert names == ["nominal", "random", "random play"]
        assert [len(line["x"]) for line in each["lines"]] == [5, 5, 5]
        assert all(low <= point <= high for line in each["lines"]
                   for low, point, high in zip(line["low"], line["point"], line["high"], strict=True)
                   if low is not None)  # fmt: skip
    assert told[0]["lines"][0]["x"] == [5, 7.5, 10, 12.5, 15]


def test_worst_worlds_with_their_video(poles: Path, poles_page: Path) -> None:
    text = section(poles_page, "worst")
    films = [a for name, a in Reader(text).tags if name == "video"]
    assert len(films) == 1
    assert (films[0]["src"] or "").startswith("data:video/mp4;base64,")
    assert "worst 1: its worst episode" in (films[0]["aria-label"] or "")
    material = gather([poles])
    tests = [each for each in material.stress if each.result.suite.name == "physics-worst"]
    assert len(tests) == 1
    assert "nominal, seed 0" in text
    values = values_of(tests[0].result.suite["worst 1"].env_options["domain"])
    assert f"{values['force']:.4g}" in text
    # They belong to each policy, and no answer is made of them.
    assert "physics-worst" not in section(poles_page, "answer")


def test_a_video_that_is_too_large_is_left_out(poles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jostle.report.sections import physics_worst as module

    monkeypatch.setattr(module, "_LARGEST", 10)
    material = gather([poles])
    found = physics_worst(material)
    assert found is not None
    assert "<video" not in found.html
    assert any("worst-1.mp4 is left out" in note for note in material.notes)


def test_the_luck_and_the_shares_are_those_of_the_test(poles: Path, poles_page: Path) -> None:
    text = section(poles_page, "sobol")
    folder = next(path for path in sorted(poles.glob("*/*/*/stress/physics-sobol")))
    one = read_result(folder).sobol[0].indices["return"]
    assert one.points == 16
    assert one.certain
    assert "share of the variance of the return" in text
    assert "16 × 2" in text
    assert "success of nominal" in text.split("nothing to share out")[1], "it never succeeds"


def test_a_report_of_a_lone_test(poles: Path, tmp_path: Path) -> None:
    folder = next(path for path in sorted(poles.glob("*/*/*/stress/physics-sets")))
    said = words(write_report(folder, tmp_path / "a.html"))
    assert "Default, random and extreme physics" in said
    assert "extrapolation" not in said, "nobody knows where it was trained"


def test_maps_and_bars_by_hand() -> None:
    cell = Interval(0.5, 0.4, 0.6, 0.95)
    cells = [[cell, None], [Interval(1.0, 0.9, 1.0, 0.95), Interval(0.0, 0.0, 0.1, 0.95)]]
    drawn = heat(["<a>", "b"], ["1", "2"], cells, "A map.", limits=(0.0, 1.0), framed=(1, 0))
    assert drawn.count("<rect") == 4, "three cells and a frame"
    assert "&lt;a&gt;, 1: 0.50 [0.40, 0.60]" in drawn
    strengths = [float(x) for x in re.findall(r'fill-opacity="([\d.]+)"', drawn)]
    assert strengths == pytest.approx([0.27, 0.5, 0.04])
    row = Bars("mass", Interval(0.25, 0.1, 0.4, 0.95), Interval(-0.05, np.nan, np.nan, 0.95))
    drawn = bars([row], "share", "Bars.", words=("alone", "in all"))
    assert drawn.count("<rect") == 2
    widths = [float(x) for x in re.findall(r'width="([\d.]+)"', drawn)]
    assert widths[0] == pytest.approx(5 * widths[1], rel=0.02)
    assert "mass: 0.25 [0.10, 0.40] alone, −0.05 in all." in drawn
    flat = heat(["a"], ["1"], [[cell]], "One cell.")
    assert 'fill-opacity="0.04"' in flat
