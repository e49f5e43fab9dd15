"""Summaries, comparisons, their table, learning curves and figures."""

import io
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from jostle import stress
from jostle.errors import ConfigError
from jostle.scores import bootstrap
from jostle.scores.curves import between
from jostle.scores.plots import _apart

RNG = np.random.default_rng(2)
TABLE = {"DQN": RNG.normal(0.4, 0.1, (10, 4)), "NoisyNet": RNG.normal(0.8, 0.1, (5, 4)), "one": np.full((1, 4), 0.5)}


def test_aggregate_is_interval_of_each_statistic() -> None:
    for method in ("percentile", "bca"):
        summary = stress.aggregate(TABLE["DQN"], method=method, gamma=0.7, resamples=500, seed=3, confidence=0.8)
        for name in ("mean", "median", "iqm", "optimality_gap"):
            alone = stress.interval(TABLE["DQN"], name, method=method, gamma=0.7, resamples=500, seed=3, confidence=0.8)
            assert getattr(summary, name) == alone
        assert (summary.runs, summary.tasks) == (10, 4)


def test_summary_as_text_and_as_json() -> None:
    scores = np.array([[0.0, 0.5], [1.0, 1.5], [1.0, 0.5]])
    summary = stress.aggregate(scores)
    assert str(summary) == f"IQM {summary.iqm} (3 seeds, 2 tasks)"
    assert str(stress.aggregate([2.0])) == "IQM 2.00 [no interval] (1 seed, 1 task)"
    found = json.loads(json.dumps(summary.as_dict(), allow_nan=False))
    assert found["iqm"] == {"point": 0.75, "low": summary.iqm.low, "high": summary.iqm.high}
    assert (found["confidence"], found["runs"], found["tasks"]) == (0.95, 3, 2)
    alone = json.loads(json.dumps(stress.aggregate([2.0]).as_dict(), allow_nan=False))
    assert alone["mean"] == {"point": 2.0, "low": None, "high": None}


def test_compare_against_a_baseline() -> None:
    found = stress.compare(TABLE, baseline="DQN", resamples=500)
    assert list(found) == list(TABLE)
    assert found["DQN"].improvement is None
    assert found["NoisyNet"].baseline == "DQN"
    expected = stress.improvement_interval(TABLE["NoisyNet"], TABLE["DQN"], resamples=500)
    assert found["NoisyNet"].improvement == expected
    assert expected.point > 0.95  # the method against the baseline, not the other way round
    assert found["NoisyNet"].as_dict()["improvement"]["point"] == expected.point
    assert found["NoisyNet"].iqm == stress.interval(TABLE["NoisyNet"], resamples=500)
    assert stress.compare(TABLE, resamples=50)["NoisyNet"].improvement is None


def test_markdown_table() -> None:
    found = stress.compare(TABLE | {"a|b": TABLE["DQN"]}, baseline="DQN", resamples=200, confidence=0.9)
    lines = stress.markdown(found, metrics=("iqm", "optimality_gap")).splitlines()
    assert lines[0] == "| Method | Seeds | Tasks | IQM [90%] | Optimality gap [90%] | P(better than DQN) |"
    assert lines[2] == f"| DQN | 10 | 4 | {found['DQN'].iqm} | {found['DQN'].optimality_gap} | baseline |"
    assert lines[3].endswith(f" | {found['NoisyNet'].improvement} |")
    assert "[no interval]" in lines[4]
    assert lines[5].startswith("| a\\|b | 10 ")
    assert {line.replace("\\|", "").count("|") for line in lines} == {7}
    plain = stress.markdown(stress.compare(TABLE, resamples=50))
    assert plain.splitlines()[0].endswith("Optimality gap [95%] |")


def test_bad_tables_are_named() -> None:
    with pytest.raises(ConfigError, match="no methods"):
        stress.compare({})
    with pytest.raises(ConfigError, match="unknown baseline 'dqn': did you mean DQN"):
        stress.compare(TABLE, baseline="dqn")
    with pytest.raises(ConfigError, match="short has 2 tasks and DQN has 4"):
        stress.compare(TABLE | {"short": TABLE["DQN"][:, :2]})
    with pytest.raises(ConfigError, match=r"bad holds nan"):
        stress.compare(TABLE | {"bad": np.full((3, 4), np.nan)})
    for function in (stress.markdown, stress.plot_intervals):
        with pytest.raises(ConfigError, match="unknown metric 'IQM': did you mean iqm"):
            function(stress.compare(TABLE, resamples=9), metrics=["IQM"])
        with pytest.raises(ConfigError, match="nothing to show"):
            function({})
    for function in (stress.plot_profiles, stress.plot_curves):
        with pytest.raises(ConfigError, match="nothing to show"):
            function({})


def test_values_lie_between_records_and_never_beyond() -> None:
    found = between([10, 20, 40], [1.0, 2.0, 4.0], np.array([9.0, 10, 19, 20, 39, 40, 41]))
    np.testing.assert_allclose(found, [np.nan, 1, 1.9, 2, 3.9, 4, np.nan])


def test_curve_by_hand() -> None:
    """Two runs that record at different steps: the curve lies where both have a value."""
    line = stress.curve([([0, 10, 20, 30], [0.0, 1.0, 2.0, 3.0]), ([5, 15, 25], [10.0, 11.0, 12.0])], "mean")
    np.testing.assert_array_equal(line.steps, [5, 10, 15, 20, 25])
    np.testing.assert_allclose(line.point, [5.25, 5.75, 6.25, 6.75, 7.25])
    np.testing.assert_allclose(line.low, [0.5, 1, 1.5, 2, 2.5])  # a quarter of the resamples is the lower run twice
    np.testing.assert_allclose(line.high, [10, 10.5, 11, 11.5, 12])
    assert line.runs == 2


def test_curve_is_the_interval_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "CHUNK", 200)
    values = RNG.normal(size=(6, 3))
    line = stress.curve([([1, 2, 3], row) for row in values], resamples=300, seed=8)
    for step in range(3):
        alone = stress.interval(values[:, step], "iqm", resamples=300, seed=8)
        found = (line.point[step], line.low[step], line.high[step])
        assert found == pytest.approx((alone.point, alone.low, alone.high), rel=1e-12)


def test_curves_of_one_run_and_of_many_points() -> None:
    alone = stress.curve([([0, 1], [1.0, 2.0])])
    np.testing.assert_array_equal(alone.point, [1.0, 2.0])
    assert np.isnan(alone.low).all()
    assert np.isnan(alone.high).all()
    long = stress.curve([(np.arange(1000), np.arange(1000.0))] * 3)
    assert len(long.steps) == 200
    assert (long.steps[0], long.steps[-1]) == (0, 999)
    np.testing.assert_allclose(long.point, long.steps)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "at least one run"),
        ([([0, 1], [1.0])], "run 0 has 2 steps and 1 values"),
        ([([0], [1.0]), ([1, 1], [0.0, 0.0])], "steps of run 1 must increase"),
        ([([0], [math.nan])], "values of run 0"),
        ([([0, 10], [0.0, 0.0]), ([11, 20], [0.0, 0.0])], "one begins at 11, another ends at 10"),
    ],
)
def test_bad_curves_are_named(runs: list[tuple[list[float], list[float]]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stress.curve(runs)


def test_figures_show_the_numbers() -> None:
    """Drawn for real (warnings are errors), and read back from the lines."""
    summaries = stress.compare(TABLE, resamples=100)
    figure = stress.plot_intervals(summaries, metrics=["iqm", "mean"])
    panel = figure.axes[0]
    order = ["NoisyNet (5 seeds)", "one (1 seed)", "DQN (10 seeds)"]
    assert [text.get_text() for text in panel.get_yticklabels()] == order, "the best first"
    band, point = panel.lines[0], panel.lines[1]
    assert list(band.get_xdata()) == [summaries["NoisyNet"].iqm.low, summaries["NoisyNet"].iqm.high]
    assert point.get_xdata()[0] == summaries["NoisyNet"].iqm.point
    profiles = stress.plot_profiles(TABLE, resamples=50)
    curves = {"a": [([0, 1000, 3000], [0.0, 1.0, 2.0])] * 3, "b": [([0, 2000], [1.0, 2.0])]}
    lines = stress.plot_curves(curves, resamples=50)
    assert list(lines.axes[0].lines[0].get_ydata()) == [0.0, 1.0, 2.0]
    many = stress.plot_curves({f"method {i}": curves["a"] for i in range(9)}, resamples=50)
    for drawn in (figure, profiles, lines, many):
        drawn.savefig(buffer := io.BytesIO(), dpi=30)
        assert buffer.getvalue().startswith(b"\x89PNG")
    assert [tick.get_text() for tick in lines.axes[0].get_xticklabels()][:2] == ["0", "500"]
    assert {text.get_text() for text in lines.axes[0].texts} == {"a (3 seeds)", "b (1 seed)"}
    assert many.axes[0].get_legend() is not None


def test_colours_and_names_belong_to_the_same_method() -> None:
    """Every figure of a table has one colour a method, and each name stands where its method's numbers are."""
    levels = {"low": 0.1, "high": 0.9, "middle": 0.5}
    table = {name: np.full((2, 1), level) for name, level in levels.items()}
    colours = {}
    summaries = stress.compare(table, resamples=20)
    found = stress.plot_intervals(summaries, metrics=["optimality_gap", "mean"], title="Env")
    for panel in found.axes:
        names = [text.get_text() for text in found.axes[0].get_yticklabels()]
        assert names == ["high (2 seeds)", "middle (2 seeds)", "low (2 seeds)"], "less gap is better"
        for row, line in enumerate(panel.lines[1::2]):
            name = names[row].split()[0]
            value = levels[name] if panel.get_title() == "Mean" else 1 - levels[name]
            assert line.get_xdata()[0] == pytest.approx(value)
            assert colours.setdefault(name, line.get_color()) == line.get_color()
    assert len(set(colours.values())) == 3
    assert found.get_suptitle() == "Env"

    panel = stress.plot_profiles(table, resamples=20, title="Env").axes[0]
    legend = panel.get_legend()
    assert [text.get_text().split()[0] for text in legend.get_texts()] == ["high", "middle", "low"]
    ends = {line.get_color(): line.get_xdata()[np.argmin(line.get_ydata() > 0)] for line in panel.lines}
    for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
        name = text.get_text().split()[0]
        assert handle.get_color() == colours[name]
        assert ends[handle.get_color()] == pytest.approx(levels[name])

    curves = {name: [([0.0, 10.0], [0.0, level])] * 2 for name, level in levels.items()}
    panel = stress.plot_curves(curves, resamples=20, title="Env").axes[0]
    assert panel.get_title(loc="left") == "Env\nIQM over seeds, 95% band"
    ends = {line.get_color(): line.get_ydata()[-1] for line in panel.lines}
    for text in panel.texts:
        name = text.get_text().split()[0]
        assert text.get_color() == colours[name]
        assert ends[text.get_color()] == levels[name] == pytest.approx(text.xy[1])
    many = {f"m{number}": [([0.0, 10.0], [0.0, float(number)])] for number in range(9)}
    legend = stress.plot_curves(many).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [f"m{number} (1 seed)" for number in range(8, -1, -1)]


def test_profile_figure_steps_at_the_scores() -> None:
    panel = stress.plot_profiles({"x": [0.0, 1.0, 2.0]}).axes[0]
    line = panel.lines[0]
    assert line.get_drawstyle() == "steps-post"
    np.testing.assert_allclose(line.get_ydata(), [1, 2 / 3, 1 / 3, 0, 0])
    levels = line.get_xdata()
    corners = {tuple(corner) for corner in panel.collections[0].get_paths()[0].vertices}
    low, high = stress.profile_band([0.0, 1.0, 2.0], levels)
    assert {*zip(levels[1:], low[:-1], strict=True), *zip(levels[1:], high[:-1], strict=True)} <= corners
    flat = stress.plot_profiles({"x": [1.0, 1.0]}).axes[0].lines[0]
    assert flat.get_xdata()[0] < 1.0 < flat.get_xdata()[-1]


def test_labels_keep_apart() -> None:
    found = _apart([(0.0, "a"), (0.1, "b"), (0.1, "c"), (9.9, "d"), (10.0, "e")], gap=1.0, bottom=-9.0, top=10.0)
    heights = list(found.values())
    assert list(found) == list("abcde")
    assert min(np.diff(heights)) >= 1.0 - 1e-9
    assert heights[-1] <= 10.0
    assert _apart([(3.0, "alone")], gap=1.0, bottom=0.0, top=10.0) == {"alone": 3.0}
    assert _apart([(0.0, "a"), (0.1, "b"), (0.2, "c")], gap=1.0, bottom=0.0, top=10.0) == {"a": 0.0, "b": 1.0, "c": 2.0}


def test_names_of_curves_that_end_nearly_together_keep_apart() -> None:
    curves = {name: [([0.0, 1e5, end], [0.0, 1.0, 5.0])] for name, end in (("a", 499_712.0), ("b", 5e5), ("c", 5e5))}
    figure = stress.plot_curves(curves | {"low": [([0.0, 5e5], [0.0, 0.0])]}, label="Return", statistic="mean")
    (panel,) = figure.axes
    heights = sorted(text.xy[1] for text in panel.texts if hasattr(text, "xy"))
    low, high = panel.get_ylim()
    assert len(heights) == 4
    assert min(np.diff(heights)) > 0.06 * (high - low)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r'pip install "jostle\[lab\]"'):
        stress.plot_profiles(TABLE)


def test_the_page_runs_and_tells_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs/statistics.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    for block in blocks:
        exec(block, {"__name__": "docs"})
    said = re.findall(r"# (IQM .*)", page)
    assert len(said) == 1
    assert said[0] in capsys.readouterr().out
    # The coverage table is the committed result.
    rows = re.findall(r"^\| (?:normal|skewed) .*$", page, flags=re.MULTILINE)
    result = (root / "benchmarks/results/interval_coverage.md").read_text(encoding="utf-8")
    assert len(rows) == 12
    assert [row.replace(" ", "") for row in rows] == [
        row.replace(" ", "") for row in re.findall(r"^\| (?:normal|skewed) .*$", result, flags=re.MULTILINE)
    ]
