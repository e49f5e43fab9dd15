"""What is said of scores: by hand, and never more than they can carry."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup
from scipy import stats

from jostle.report.answer import details, summary, verdicts
from jostle.report.gather import gather
from jostle.report.html import data, join, tag
from jostle.report.material import Material, Run
from jostle.report.measures import Measure, headlines
from jostle.report.sections.answer import answer
from jostle.report.sections.coverage import coverage
from jostle.report.words import duration, number
from jostle.scores.differences import relabelled
from jostle.study.records import Record


def rows(scores: dict[str, list[float]], task: str = "sea") -> list[Run]:
    """Runs with these evaluations, seeds 0, 1, …"""
    return [
        Run({"task": task, "method": method, "seed": seed, "steps": 10, "scores": {"evaluate": {"return": value}},
             "curve": {"steps": [], "return": []}})
        for method, values in scores.items() for seed, value in enumerate(values)
    ]  # fmt: skip


def told(scores: dict[str, list[float]], **more: Any) -> Any:
    material = Material("x", rows(scores), **more)
    (found,) = verdicts(material, headlines(material))
    return found


def test_relabelling_by_hand_and_against_scipy() -> None:
    assert relabelled([0, 0, 0], [1, 1, 1]) == pytest.approx(2 / math.comb(6, 3))
    assert relabelled([0, 0, 0, 0], [1, 1]) == pytest.approx(1 / math.comb(6, 2))
    assert relabelled([1, 2], [1, 2]) == 1.0
    rng = np.random.default_rng(0)
    for n, m in ((3, 4), (5, 5), (2, 6)):
        x, y = rng.normal(size=n), rng.normal(0.8, 1, size=m)
        means = [
            abs(np.delete(pool, list(side)).mean() - pool[list(side)].mean())
            for pool in [np.r_[x, y]]
            for side in itertools.combinations(range(n + m), n)
        ]
        assert relabelled(x, y) == pytest.approx(np.mean([mean >= abs(y.mean() - x.mean()) - 1e-12 for mean in means]))
    x, y = rng.normal(size=30), rng.normal(0.5, 1, size=30)  # too many ways: drawn
    oracle = stats.permutation_test((x, y), lambda a, b: a.mean() - b.mean(), n_resamples=20_000, rng=1).pvalue
    assert relabelled(x, y) == pytest.approx(oracle, abs=0.01)
    assert relabelled(x, y, seed=1) == relabelled(x, y, seed=1) != relabelled(x, y, seed=2)


def test_equal_methods_are_seldom_told_apart() -> None:
    """Also where runs find the treasure or do not, of which a t-test is far too sure."""
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(300):
        scores = {name: list((rng.random(5) < 0.5).astype(float) + rng.normal(0, 1e-3, 5)) for name in "ab"}
        false += told(scores).sure == "certain"
    assert stats.binomtest(false, 300, 0.05, alternative="greater").pvalue > 0.01


def test_five_seeds_that_never_touch_are_certain() -> None:
    found = told({"none": [0.0, 0.1, 0.0, 0.1, 0.0], "rnd": [0.9, 1.0, 1.0, 0.9, 1.0]})
    assert (found.sure, found.p) == ("certain", pytest.approx(2 / 252))
    assert summary(found) == "rnd beat none"
    welch = stats.ttest_ind([0.9, 1.0, 1.0, 0.9, 1.0], [0.0, 0.1, 0.0, 0.1, 0.0], equal_var=False)
    low, high = welch.confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high))
    numbers = f"0.96 against 0.04, a difference of 0.92 [{low:.2f}, {high:.2f}], over 5 seeds each"
    assert details(found) == f"{numbers}. Of 25 pairs of runs it won 25 (p = 0.0079)."
    worse = told({"rnd": [0.9, 1.0, 1.0, 0.9, 1.0], "none": [0.0, 0.1, 0.0, 0.1, 0.0]})
    assert summary(worse) == "none did worse than rnd"


def test_three_seeds_that_never_touch_are_likely() -> None:
    found = told({"none": [0.0, 0.1, 0.05], "rnd": [0.9, 1.0, 0.95]})
    assert (found.sure, found.p) == ("likely", pytest.approx(0.1))
    assert summary(found) == "rnd was probably better than none"
    assert "so few runs could be split like this by luck with a chance of 0.1 at best" in details(found)


def test_scores_without_any_spread() -> None:
    found = told({"none": [0.0] * 3, "rnd": [1.0] * 3})
    assert found.sure == "likely"
    assert math.isnan(found.difference.low)
    assert told({"none": [0.0] * 5, "rnd": [1.0] * 5}).sure == "certain"
    same = told({"none": [1.0] * 5, "rnd": [1.0] * 5})
    assert (same.sure, same.p) == ("alike", 1.0)


def test_one_seed_says_nothing() -> None:
    found = told({"none": [0.0], "rnd": [1.0] * 9})
    assert found.sure == "one seed"
    assert math.isnan(found.p)
    assert "One seed says nothing about other seeds" in details(found)
    assert "more than none, and nothing is certain" in summary(found)


def test_overlap_is_no_certain_difference() -> None:
    found = told({"none": [0.0, 1.0, 0.5, 0.2], "rnd": [0.1, 1.0, 0.6, 0.4]})
    assert found.sure == "open"
    assert "no difference included" in details(found)


def test_more_comparisons_ask_for_more() -> None:
    """Holm: the same scores on four tasks more, with nothing to see there."""
    clear = {"none": [0.0, 0.1, 0.0, 0.1], "rnd": [0.9, 1.0, 1.0, 0.9]}
    alone = Material("x", rows(clear))
    assert [each.sure for each in verdicts(alone, headlines(alone))] == ["certain"]
    flat = {"none": [0.0, 1.0, 0.5, 0.2], "rnd": [0.1, 1.0, 0.6, 0.4]}
    many = Material("x", rows(clear) + [run for k in range(4) for run in rows(flat, f"task {k}")])
    first, *others = verdicts(many, headlines(many))
    assert (first.sure, first.p) == ("likely", pytest.approx(5 * 2 / 70))
    assert "not certain once everything that is compared here is counted" in details(first)
    assert {each.sure for each in others} == {"open"}


def test_the_lead_sentence() -> None:
    def lead(scores: dict[str, list[float]]) -> str:
        section = answer(Material("x", rows(scores)))
        assert section is not None
        return str(section.html).split("</p>")[0].split(">")[1]

    clear = {"none": [0.0, 0.1, 0.0, 0.1, 0.0], "rnd": [0.9, 1.0, 1.0, 0.9, 1.0]}
    assert lead(clear) == "rnd beat none on sea."
    assert lead({**clear, "flat": clear["none"]}) == "rnd beat none on sea. One other comparison is not certain."
    few = {name: values[:3] for name, values in clear.items()}
    assert lead(few) == "rnd was probably better than none on sea; nothing is certain."
    assert lead({"none": [0.0, 1.0], "rnd": [1.0, 0.0]}) == "No difference between the methods is certain."
    assert lead({"none": [0.0], "rnd": [1.0]}).startswith("Nothing is certain: one seed")
    assert lead({"none": [0.0, 1.0]}).startswith("There is one method")


def test_another_baseline_and_unfinished_methods() -> None:
    scores = {"none": [0.0, 0.1], "rnd": [1.0, 0.9], "icm (unfinished)": [0.5, 0.5]}
    material = Material("x", rows(scores), baseline="rnd")
    found = verdicts(material, headlines(material))
    assert [(each.method, each.baseline) for each in found] == [("none", "rnd")]


def test_rates_have_the_interval_of_rates(study: Path) -> None:
    """Success over the unseen conditions: no narrower than the runs' spread and their few episodes allow."""
    (measure,) = [each for each in headlines(gather([study])) if each.rates]
    assert measure.title == "success under conditions not seen in training (themes)"
    for method, scores in measure.scores.items():
        found = measure.mean(method)
        assert found.point == pytest.approx(np.mean(list(scores.values())))
        assert 0 <= found.low < found.point < found.high <= 1
        assert found.high - found.low > 0.2


def test_the_tests_of_a_methods_runs_stand_together(study: Path) -> None:
    (tested,) = gather([study]).stress
    assert tested.result.runs == {"plain": ["seed 0", "seed 1"], "noisy": ["seed 0", "seed 1"]}
    assert tested.result.noiseless == ["plain"]
    assert tested.result.modes("noisy") == ["mean", "sampled"]
    assert len(tested.result.select("noisy", "mean", "seen")) == 2
    assert len(tested.result.chance_in("seen")) == 1
    assert {cell.run for cell in tested.result.cells} == {0, 1}


def test_wall_clock_leaves_pauses_out() -> None:
    """Two stretches with an hour between them; the first line of the second comes 5 s after it began."""
    stretches = [{"started": "2026-01-01T00:00:00+00:00"}, {"started": "2026-01-01T01:00:20+00:00"}]
    begin = 1_767_225_600.0  # 2026-01-01
    lines = [(10, 10.0), (20, 20.0), (30, 3625.0), (40, 3635.0)]
    record = Record(
        Path("x"), {}, {"stretches": stretches},
        [{"step": step, "time": begin + at, "charts/episodic_return": 1.0} for step, at in lines],
    )  # fmt: skip
    found = Run({"task": "a", "method": "b", "curve": {}}, record).series(by="time")
    assert found is not None
    assert found[0].tolist() == [10.0, 20.0, 25.0, 35.0]


def test_coverage_that_never_grew_has_no_chart() -> None:
    def run(method: str, *cells: float) -> Run:
        lines = [{"step": 10.0 * n, "time": 10.0 * n, "coverage/cells": value} for n, value in enumerate(cells)]
        return Run({"task": "catch", "method": method, "curve": {}}, Record(Path("x"), {}, {}, lines))

    still = Material("x", [run("a", 64, 64), run("b", 64, 64)])
    assert coverage(still) is None
    assert coverage(Material("x", [run("a", 64, 64), run("b", 60, 64)])) is not None


def test_what_a_line_of_results_says_is_a_curve_by_steps_alone() -> None:
    run = Run({"task": "a", "method": "b", "curve": {"steps": [1, 2], "return": [3.0, 4.0]}})
    found = run.series()
    assert found is not None
    assert [part.tolist() for part in found] == [[1.0, 2.0], [3.0, 4.0]]
    assert run.series(by="time") is None
    assert run.series("coverage/cells") is None


def test_elements_escape_contents_attributes_and_data() -> None:
    assert str(tag("p", "<b>", Markup("<i>"), None, ["&"], title='">')) == '<p title="&#34;&gt;">&lt;b&gt;<i>&amp;</p>'
    assert str(tag("input", disabled=True, hidden=False, value=None)) == "<input disabled>"
    assert str(join("a", ["<", [1]])) == "a&lt;1"
    text = str(data({"a": "</script><!--&\u2028"}))
    assert text.count("<") == 2
    assert "\\u003c/script\\u003e\\u003c!--\\u0026\\u2028" in text


def test_numbers() -> None:
    assert [number(x, 2) for x in (-0.001, 1234.5, -1.0)] == ["0.00", "1,234.50", "−1.00"]
    assert [duration(x) for x in (5.0, 99.6, 600.0, 7200.0, math.nan)] == ["5 s", "99.6 s", "10 min", "2 h", "–"]


def test_measures_of_a_name_without_scores_are_left_out() -> None:
    assert headlines(Material("x")) == []
    measure = Measure("a", "b", "c", {"m": {"0": 1.0}})
    assert math.isnan(measure.mean("m").low)
