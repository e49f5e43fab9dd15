"""Estimates, gaps, risk and checks against loops and numbers by hand."""

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from jostle import stress
from jostle.errors import ConfigError
from jostle.stress import Condition, StressResult, Suite
from jostle.stress.checks import read_checks, run_checks, write_junit
from jostle.stress.estimates import estimate, gap, improvement, paired, success_rate
from jostle.stress.figures import plot_stress
from jostle.stress.report import lines, overall
from jostle.stress.result import Cell
from jostle.stress.tables import columns, markdown_report, sentences
from jostle.view import Episode, Success

RNG = np.random.default_rng(8)


def cell(
    returns: np.ndarray, condition: str = "a", run: int = 0, noise: str = "mean", method: str = "m", level: int = 0
) -> Cell:
    episodes = tuple(
        Episode(i % 4, i // 4, float(x), 5, success=bool(x > 0), level_seed=level + i) for i, x in enumerate(returns)
    )
    return Cell(method, run, condition, noise, episodes)


def result_of(cells: list[Cell], reference: str = "a", runs: int = 1) -> StressResult:
    names = list(dict.fromkeys(c.condition for c in cells))
    suite = Suite("s", tuple(Condition(n) for n in names), reference, Success("info", key="x"))
    methods = dict.fromkeys(c.method for c in cells)
    return StressResult("env", suite, "greedy", 0, {m: [f"{r}" for r in range(runs)] for m in methods}, cells)


# ---- risk ----


@pytest.mark.parametrize(
    ("scores", "alpha", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0], 0.5, 1.5),
        ([4.0, 1.0, 3.0, 2.0], 0.25, 1.0),
        ([1.0, 2.0, 3.0, 4.0], 0.1, 1.0),  # less than one score: the worst
        ([1.0, 2.0, 3.0, 4.0], 0.4, (1.0 + 0.6 * 2.0) / 1.6),  # the second counts in part
        ([1.0, 2.0, 3.0, 4.0], 1.0, 2.5),
        ([7.0], 0.1, 7.0),
    ],
)
def test_cvar_by_hand(scores: list[float], alpha: float, expected: float) -> None:
    assert stress.cvar(scores, alpha) == pytest.approx(expected, rel=1e-12)


def test_cvar_is_the_mean_below_the_quantile() -> None:
    scores = RNG.normal(size=5000)
    worst = np.sort(scores)[:500]
    assert stress.cvar(scores, 0.1) == pytest.approx(worst.mean(), rel=1e-12)
    for alpha in (0.0, 1.1):
        with pytest.raises(ConfigError, match="give the share of the worst"):
            stress.cvar(scores, alpha)


# ---- estimates ----


def test_episodes_are_resampled_of_one_run_and_runs_of_several() -> None:
    returns = RNG.normal(size=30)
    alone = estimate([returns])
    expected = stress.interval(returns, "mean", resamples=2000)
    assert (alone.point, alone.low, alone.high) == pytest.approx((expected.point, expected.low, expected.high))
    runs = [RNG.normal(loc, size=30) for loc in (0.0, 5.0, 9.0)]
    several = estimate(runs)
    assert several.point == pytest.approx(np.mean([r.mean() for r in runs]))
    assert several.low == pytest.approx(runs[0].mean()), "3 runs: the worst of them is 4% of all resamples"
    assert estimate(runs, "cvar").point == pytest.approx(np.mean([stress.cvar(r) for r in runs]))
    assert estimate([returns], "cvar").point == pytest.approx(stress.cvar(returns))
    assert estimate([returns], "iqm").point == pytest.approx(stress.iqm(returns))
    assert np.isnan(estimate([returns[:1]]).low)


def test_a_rate_without_failures_is_not_certain() -> None:
    found = success_rate([np.ones(20)])
    exact = stats.binomtest(20, 20).proportion_ci(0.95, method="exact")
    assert (found.point, found.low, found.high) == pytest.approx((1.0, exact.low, 1.0))
    assert found.low == pytest.approx(0.025 ** (1 / 20))
    nothing = success_rate([np.zeros(20)])
    assert (nothing.point, nothing.low) == (0.0, 0.0)
    assert nothing.high == pytest.approx(1 - found.low)
    mixed = (RNG.random(50) < 0.5).astype(float)
    exact = stats.binomtest(int(mixed.sum()), 50).proportion_ci(0.95, method="exact")
    assert (success_rate([mixed]).low, success_rate([mixed]).high) == pytest.approx((exact.low, exact.high))


def outcomes(count: int, condition: str = "a", method: str = "m") -> Cell:
    """A hundred episodes, so many of them successes."""
    return cell(np.where(np.arange(100) < count, 1.0, -1.0), condition, method=method)


def test_success_and_its_loss_keep_the_order_of_counts() -> None:
    """99 of 100 must not promise more than 100 of 100: in a line, in its loss, and over all conditions."""
    found = [lines(result_of([outcomes(100), outcomes(count, "b")])) for count in range(90, 101)]
    rates = [line.success for _, line in found]
    gaps = [line.success_gap for _, line in found]
    assert all(each is not None for each in (*rates, *gaps))
    assert (np.diff([each.low for each in rates]) > 0).all()
    assert (np.diff([each.high for each in rates]) > 0).all()
    assert (np.diff([each.high for each in gaps]) < 0).all()
    assert (np.diff([each.low for each in gaps]) < 0).all()
    assert gaps[-1].low < 0 < gaps[-1].high, "no loss in a hundred episodes is not certainty"
    whole = overall(result_of([outcomes(100), outcomes(99, "b"), outcomes(97, "c")]))[0].success_gap
    assert whole is not None
    assert whole.point == pytest.approx(0.02)
    assert whole.low < 0.02 < whole.high < 0.08


def test_thresholds_are_of_the_same_intervals(tmp_path: Path) -> None:
    text = """
- {condition: seen, metric: success, min: 0.96}
- {condition: seen, metric: success, min: 0.97}
- {condition: test, metric: success_gap, max: 0.05}
- {condition: test, metric: success_gap, max: 0.03}
"""
    result = StressResult("env", SUITE, "greedy", 0, {"m": ["0"]}, [outcomes(100, "seen"), outcomes(100, "test")])
    verdicts = run_checks(result, checks_of(tmp_path, text))
    assert [v.failure is None for v in verdicts] == [True, False, True, False]


# ---- gaps ----


def test_equal_games_are_resampled_together() -> None:
    luck = RNG.normal(size=40) * 10
    seen, unseen = cell(luck), cell(luck - 1 + 0.01 * RNG.normal(size=40), "b")
    assert paired(seen, unseen)
    tight = gap([seen], [[unseen]])
    assert tight.point == pytest.approx(1.0, abs=0.02)
    assert tight.high - tight.low < 0.02
    apart = gap([seen], [[cell(unseen.returns, "b", level=900)]])
    assert apart.point == pytest.approx(tight.point)
    assert apart.high - apart.low > 5, "luck does not cancel between other games"


def test_equal_places_under_other_seeds_are_other_games() -> None:
    episodes = tuple(Episode(i, 0, float(i), 1) for i in range(5))
    one, same, other = (Cell("m", 0, name, "mean", episodes, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert paired(one, same)
    assert not paired(one, other)


def test_the_gap_against_a_loop_over_resamples() -> None:
    """Two blocks: the reference with b (equal games), and c with d (equal to each other)."""
    a, b, c, d = (RNG.normal(loc, 3, size=25) for loc in (5, 4, 2, 1))
    cells = [cell(a), cell(b, "b"), cell(c, "c", level=500), cell(c + 0.1 * d, "d", level=500)]
    found = gap([cells[0]], [[x] for x in cells[1:]], resamples=4000)
    assert found.point == pytest.approx(a.mean() - np.mean([x.returns.mean() for x in cells[1:]]))
    rng, drawn = np.random.default_rng(5), []
    for _ in range(4000):
        i, j = rng.integers(25, size=(2, 25))
        drawn.append(a[i].mean() - (b[i].mean() + c[j].mean() + cells[3].returns[j].mean()) / 3)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.12)
    # Were c and d resampled apart, the interval would be narrower.
    other = [cells[0], cells[1], cells[2], cell(cells[3].returns, "d", level=900)]
    assert (lambda g: g.high - g.low)(gap([other[0]], [[x] for x in other[1:]])) < 0.95 * (found.high - found.low)


def test_gaps_of_several_runs_pair_the_runs() -> None:
    base = [0.0, 10.0, 20.0, 30.0]
    seen = [cell(RNG.normal(b, 0.1, 8), run=r) for r, b in enumerate(base)]
    unseen = [cell(RNG.normal(b - 3, 0.1, 8), "b", run=r) for r, b in enumerate(base)]
    found = gap(seen, [unseen])
    assert found.point == pytest.approx(3.0, abs=0.2)
    assert found.high - found.low < 0.5, "what a run does to both sides cancels"
    rates = gap(seen, [unseen], success=True)
    assert rates.point == pytest.approx(
        np.mean([a.successes.mean() - b.successes.mean() for a, b in zip(seen, unseen, strict=True)])
    )


def test_no_sentence_tells_rounding() -> None:
    """Equal games whose returns differ in their last digits: no loss, and the worst of returns around nothing is 0."""
    base = np.array([0.1 + 0.2, 0.0, -0.3, 0.7] * 4)
    noise = np.array([1, -1, 2, -2] * 4) * 1e-17
    result = result_of([cell(base), cell(np.array([0.3, 0.0, -0.3, 0.7] * 4) + noise, "b"), cell(noise, "c")])
    text = markdown_report(result)
    assert "e-1" not in text
    assert "0000" not in text
    assert {x.condition: x.gap and (x.gap.point, x.gap.low) for x in lines(result)}["b"] == (0.0, 0.0)
    (sentence,) = sentences(result)
    assert "worst condition c (0.00); CVaR 10% of the conditions 0.00, of the episodes -0.30" in sentence
    rows = [row.split("|") for row in text.splitlines() if row.startswith("| ") and "---" not in row]
    for cells in list(zip(*rows, strict=True))[3:]:
        assert len({len(number.split(".")[1]) for cell in cells[1:] for number in re.findall(r"\d+\.\d+", cell)}) <= 1


def test_the_columns_hold_what_their_heads_say() -> None:
    """Of several runs the IQM is over runs, and not the mean, which one run in four moves."""
    runs = [cell(np.full(6, value), run=number) for number, value in enumerate((0.0, 1.0, 2.0, 9.0))]
    (line,) = lines(result_of(runs, runs=4))
    assert (line.mean.point, line.iqm.point) == (3.0, 1.5)
    expected = stress.interval([0.0, 1.0, 2.0, 9.0], "iqm", resamples=2000)
    assert (line.iqm.low, line.iqm.high) == (expected.low, expected.high)
    table = dict(columns(result_of(runs, runs=4), [line]))
    assert table["IQM"] == [line.iqm.text(line.iqm.digits)]
    alone = cell(np.array([0.0, 1.0, 2.0, 9.0]))
    assert lines(result_of([alone]))[0].iqm.point == 1.5


def test_the_signs_of_gap_and_worst() -> None:
    result = result_of([cell(np.full(8, 5.0)), cell(np.full(8, -1.0), "b"), cell(np.full(8, 3.0), "c")])
    (whole,) = overall(result)
    assert whole.gap is not None
    assert whole.gap.point == pytest.approx(4.0)
    assert whole.success_gap is not None
    assert whole.success_gap.point == pytest.approx(0.5)
    assert (whole.worst, whole.worst_return, whole.cvar_conditions) == ("b", -1.0, -1.0)
    assert whole.cvar_episodes == -1.0
    assert {x.condition: None if x.gap is None else x.gap.point for x in lines(result)} == {
        "a": None,
        "b": 6.0,
        "c": 2.0,
    }


def test_improvement_over_pairs_and_over_runs() -> None:
    x, y = cell(np.array([1.0, 2.0, 3.0, 0.0])), cell(np.array([0.0, 2.0, 1.0, 5.0]))
    assert improvement([x], [y]).point == pytest.approx((1 + 0.5 + 1 + 0) / 4)
    assert improvement([y], [x]).point == pytest.approx(1 - 0.625)
    with pytest.raises(ConfigError, match="not the same games"):
        improvement([x], [cell(y.returns, level=99)])
    runs = [[cell(np.full(3, v), run=r) for r, v in enumerate(side)] for side in ((1.0, 3.0, 5.0), (2.0, 2.0, 4.0))]
    assert improvement(*runs) == stress.improvement_interval([1, 3, 5], [2, 2, 4], resamples=2000)


# ---- checks ----

SUITE = Suite("s", (Condition("seen"), Condition("test")), "seen", Success("info", key="x"))


def checks_of(tmp_path: Path, text: str) -> list:
    file = tmp_path / "checks.yaml"
    file.write_text(text)
    return read_checks(file, SUITE, ["mean", "mc:10"], ["m"])


def test_an_interval_must_pass_and_not_an_estimate(tmp_path: Path) -> None:
    returns = RNG.normal(1.0, 2.0, 40)
    cells = [cell(returns, "seen", noise=n) for n in ("mean", "mc:10")]
    cells += [cell(returns - 0.5, "test", noise=n) for n in ("mean", "mc:10")]
    result = StressResult("env", SUITE, "greedy", 0, {"m": ["0"]}, cells)
    line = {x.condition: x for x in lines(result)}["seen"]
    low, point, high = line.mean.low, line.mean.point, line.mean.high
    text = f"""
- {{condition: seen, metric: return, min: {low - 1e-6}}}
- {{condition: seen, metric: return, min: {(low + point) / 2}}}
- {{condition: seen, metric: return, max: {high + 1e-6}, noise: "mc:10"}}
- {{condition: seen, metric: return, max: {(high + point) / 2}, noise: mean}}
- {{condition: test, metric: gap, max: 0.6, noise: mean, method: m}}
- {{condition: test, metric: gap, max: 0.4, noise: mean}}
- {{condition: seen, metric: success, min: 0.99, noise: mean}}
"""
    verdicts = run_checks(result, checks_of(tmp_path, text))
    passed = [v.failure is None for v in verdicts]
    assert passed == [True, True, False, False, True, False, True, False, False]  # the first two, in both modes
    assert [v.noise for v in verdicts[:4]] == ["mean", "mc:10"] * 2
    assert "begins below" in str(verdicts[2])
    assert "ends above" in str(verdicts[5])
    assert str(verdicts[0]).startswith("passed: return of seen >= ")
    write_junit(tmp_path / "junit.xml", verdicts, "s")
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuite", "9", "5")
    assert len(root.findall("testcase/failure")) == 5
    assert "begins below" in root.findall("testcase/failure")[0].get("message", "")


def test_what_was_not_measured_has_failed(tmp_path: Path) -> None:
    checks = checks_of(tmp_path, "- {condition: test, metric: return, min: -100}")
    (verdict,) = run_checks(StressResult("env", SUITE, "greedy", 0, {"m": ["0"]}, [cell(np.ones(4), "seen")]), checks)
    assert verdict.failure == "it was not measured"
    (nothing,) = run_checks(StressResult("env", SUITE, "greedy", 0, {"m": ["0"]}), checks)
    assert nothing.failure == "it was not measured"
    alone = StressResult("env", SUITE, "greedy", 0, {"m": ["0"]}, [cell(np.ones(1), "test")])
    (short,) = run_checks(alone, checks)
    assert "play more episodes" in str(short)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "needs a list of checks"),
        ("[]", "needs a list of checks"),
        ("[3]", "check 1 of .* must be a mapping"),
        ("[{condition: seen}]", "check 1 of .* has no metric"),
        ("[{condition: sene, metric: return, min: 0}]", "names the condition 'sene', .*; did you mean seen"),
        ("[{condition: seen, metric: retrun, min: 0}]", "names the metric 'retrun', .*; did you mean return"),
        ("[{condition: seen, metric: return, min: 0, noise: mc:1}]", "names the noise 'mc:1', .*; did you mean mc:10"),
        ("[{condition: seen, metric: return, min: 0, method: x}]", "names the method 'x', which will not be measured"),
        ("[{condition: seen, metric: return}]", "needs either min or max"),
        ("[{condition: seen, metric: return, min: 0, max: 1}]", "needs either min or max"),
        ("[{condition: seen, metric: return, min: much}]", "min='much' of check 1"),
        ("[{condition: seen, metric: return, mim: 0}]", "no key 'mim' in check 1 of .*; did you mean min"),
        ("[{condition: seen, metric: gap, max: 0}]", "gap of 'seen', the reference"),
        ("[", "is no YAML"),
    ],
)
def test_checks_that_cannot_be_read(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        checks_of(tmp_path, text)


def test_success_needs_a_rule(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("[{condition: a, metric: success, min: 0}]")
    with pytest.raises(ConfigError, match="has no rule of success"):
        read_checks(file, Suite("s", (Condition("a"),), "a"), ["mean"], ["m"])


# ---- figures ----


def labelled(levels: list[dict[str, str]]) -> StressResult:
    names = [" ".join(labels.values()) for labels in levels]
    suite = Suite("s", tuple(Condition(n, labels=x) for n, x in zip(names, levels, strict=True)), names[0])
    cells = [
        Cell("m", 0, n, noise, tuple(Episode(i, 0, float(x), 1) for i, x in enumerate(RNG.normal(size=9))))
        for n in names
        for noise in ("mean", "mc:2")
    ]
    return StressResult("env", suite, "greedy", 0, {"m": ["0"]}, cells)


def test_figures_show_the_numbers() -> None:
    """Which kind the labels ask for, read back from what was drawn."""
    dots = labelled([{"looks": "seen"}, {"looks": "unseen"}, {"looks": "far"}])
    panel = plot_stress(dots).axes[0]
    found = lines(dots)
    level = {n: np.mean([x.mean.point for x in found if x.condition == n]) for n in ("unseen", "far")}
    order = ["seen", *sorted(level, key=lambda name: -level[name])]
    assert [t.get_text() for t in panel.get_yticklabels()] == order, "the reference, then the best"
    drawn = {
        (order[round(float(line.get_ydata()[0]))], line.get_marker(), round(float(line.get_xdata()[0]), 9))
        for line in panel.lines
        if line.get_marker() != "None" and len(line.get_xdata())
    }
    assert drawn == {(x.condition, "os"[x.noise == "mc:2"], round(x.mean.point, 9)) for x in found}
    ends = {tuple(np.round(line.get_xdata(), 9)) for line in panel.lines if len(line.get_xdata()) == 2}
    assert {(round(x.mean.low, 9), round(x.mean.high, 9)) for x in found} <= ends
    assert panel.get_title(loc="left") == "s on env, m (1 seed)\n95% intervals over episodes"
    heights = [
        float(line.get_ydata()[0]) for line in panel.lines if line.get_marker() != "None" and len(line.get_xdata())
    ]
    assert len(set(heights)) == 6, "no point hides another"

    none = {"perturbation": "none", "strength": "0"}
    curves = labelled([none, *({"perturbation": k, "strength": f"{s}"} for k in ("blur", "hue") for s in range(1, 6))])
    panels = plot_stress(curves).axes
    assert {p.get_title(loc="left") for p in panels} == {"blur", "hue"}
    for panel in panels:
        kind = panel.get_title(loc="left")
        marked = {line.get_marker(): line for line in panel.lines if len(line.get_xdata()) == 6}
        for noise, mark in (("mean", "o"), ("mc:2", "s")):
            points = [
                x.mean.point
                for x in lines(curves)
                if x.noise == noise and (kind in x.condition or "none" in x.condition)
            ]
            np.testing.assert_allclose(marked[mark].get_ydata(), points)
            np.testing.assert_allclose(marked[mark].get_xdata(), range(6), atol=0.1)
        assert not set(marked["o"].get_xdata()) & set(marked["s"].get_xdata()), "no point hides another"
    for figure in (plot_stress(x) for x in (dots, curves)):
        figure.draw_without_rendering()


def test_a_grid_has_each_cell_in_its_place() -> None:
    """What stands at (row, column), as text and as shade, is the condition of these two labels."""
    grid = labelled([{"down": d, "right": r} for d in "ab" for r in "xyz"])
    figure = plot_stress(grid)
    figure.draw_without_rendering()
    assert len(figure.axes) == 2, "one a mode"
    found = {(x.condition, x.noise): x.mean for x in lines(grid)}
    modes = {"without noise": "mean", "2 draws averaged": "mc:2"}
    for panel in figure.axes:
        noise = modes[panel.get_title(loc="left")]
        down = [t.get_text() for t in panel.get_yticklabels()]
        right = [t.get_text() for t in figure.axes[-1].get_xticklabels()]
        assert (down, right) == (["a", "b"], ["x", "y", "z"])
        (image,) = panel.images
        said = {(round(t.get_position()[0]), round(t.get_position()[1])): t.get_text() for t in reversed(panel.texts)}
        for (x, r), (y, d) in itertools.product(enumerate(right), enumerate(down)):
            value = found[f"{d} {r}", noise]
            assert said[x, y] == f"{value.point:.2f}"
            assert image.get_array()[y, x] == pytest.approx(value.point)
            seen_at = panel.transData.transform((x, y))
            assert image.get_extent()[3] < image.get_extent()[2], "row 0 stands on top, where its text is"
            assert panel.bbox.contains(*seen_at)


def test_a_colour_is_one_method_and_a_legend_tells_the_truth() -> None:
    """Three methods far apart, one without noise: wherever a colour or a mark is drawn, it is the legend's."""
    levels = {"low": 0.0, "high": 20.0, "still": 10.0}
    modes = {"low": ["mean", "mc:2"], "high": ["mean", "mc:2"], "still": ["mean"]}
    none = {"perturbation": "none", "strength": "0"}
    strengths = [none, *({"perturbation": "blur", "strength": f"{s}"} for s in range(1, 6))]
    for labels in ([{"looks": "seen"}, {"looks": "unseen"}], strengths):
        names = [" ".join(each.values()) for each in labels]
        suite = Suite("s", tuple(Condition(n, labels=x) for n, x in zip(names, labels, strict=True)), names[0])
        cells = [
            Cell(method, run, n, mode, tuple(Episode(i, 0, level + 2 * (mode != "mean"), 1) for i in range(3)))
            for method, level in levels.items()
            for run in range(2 if method == "high" else 1)
            for n in names
            for mode in modes[method]
        ]
        runs = {"low": ["a"], "high": ["b", "c"], "still": ["d"]}
        figure = plot_stress(StressResult("env", suite, "greedy", 0, runs, cells, noiseless=["still"]))
        figure.draw_without_rendering()
        (legend,) = figure.legends
        told = {
            text.get_text(): (handle.get_color(), handle.get_marker())
            for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
        }
        assert list(told) == [
            "high (2 seeds), 2 draws averaged", "high (2 seeds), without noise", "still (1 seed), without noise",
            "low (1 seed), 2 draws averaged", "low (1 seed), without noise",
        ]  # fmt: skip
        expected = dict(zip(told, (22.0, 20.0, 10.0, 2.0, 0.0), strict=True))
        looks = {look: expected[name] for name, look in told.items()}
        assert len(looks) == 5
        assert len({colour for colour, _ in looks}) == 3
        drawn = set()
        for line in (line for panel in figure.axes for line in panel.lines if line.get_marker() in "osD"):
            values = line.get_xdata() if len(labels) == 2 else line.get_ydata()
            if len(values):
                look = line.get_color(), line.get_marker()
                assert set(np.round(values, 6)) == {looks[look]}
                drawn.add(look)
        assert drawn == set(looks)
        assert "over runs, of a single run over its episodes" in figure.get_suptitle() + figure.axes[0].get_title(
            "left"
        )
