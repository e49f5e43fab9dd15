"""What tables show of results: numbers worked out by hand, and the formulas of `jostle.scores` beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jostle.errors import ConfigError
from jostle.scores import improvement_interval, interval, paired_interval
from jostle.study.results import Results, as_csv, score
from jostle.study.shown.conditions import Conditions, conditions_text
from jostle.study.shown.figures import figures
from jostle.study.shown.show import Part, Show, read_show
from jostle.study.shown.tables import report, together_scores


def row(task: str, method: str, seed: int, **given: Any) -> dict[str, Any]:
    return {
        "task": task, "method": method, "seed": seed, "key": f"{task}{method}{seed}", "measured": "m", "steps": 100,
        "settings": {"algorithm": "random" if method == "random" else "ppo"}, "versions": {"jostle": "1"},
        "processor": "x", "curve": {"steps": [10, 50, 100], "return": [0.0, 0.5, given.get("end", 1.0)]},
        "scores": given.get("scores", {}), "metrics": given.get("metrics", {}), "memory": None,
        "seconds": {"train": 1.0, "measure": 0.0}, **{k: given[k] for k in ("versions", "processor") if k in given},
    }  # fmt: skip


def cells(**told: Any) -> dict[str, Any]:
    """``seen_mean=0.5`` is the success under ``seen`` in the mode ``mean``."""
    named = {name.replace("__", ", ").replace("_", "|").replace("10", ":10"): value for name, value in told.items()}
    return {"stress": {"looks": {name: {"return": 10 * value, "success": value} for name, value in named.items()}}}


def example() -> Results:
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(5):
        plain, noisy = rng.uniform(0.5, 0.9, 2)
        rows += [
            row("game", "plain", seed, scores=cells(seen_mean=plain, unseen_mean=plain - 0.3)),
            row("game", "noisy", seed, scores=cells(
                seen_mean=noisy, seen_mc10=noisy + 0.05, unseen_mean=noisy - 0.1, unseen_mc10=noisy)),
        ]  # fmt: skip
        if seed < 3:
            rows.append(row("game", "random", seed, scores=cells(seen_mean=0.1 * seed, unseen_mean=0.5)))
    return Results(rows)


def line(text: list[str], start: str) -> list[str]:
    (found,) = (one for one in text if one.startswith(start))
    return [cell.strip() for cell in found.strip().strip("|").split("|")]


def test_the_table_of_conditions() -> None:
    found = example()
    of = Conditions(found, Part("game", "game"), "looks")
    assert (of.names, of.score, of.baseline) == (["seen", "unseen"], "success", "plain")
    assert (of.modes("noisy"), of.modes("plain")) == (["mean", "mc:10"], ["mean"])
    text = conditions_text(of)
    noisy = [row["scores"]["stress"]["looks"] for row in found.rows if row["method"] == "noisy"]
    seen = np.array([each["seen|mc:10"]["success"] for each in noisy])
    shown = line(text, "| noisy | mc:10 | 5 |")
    assert float(shown[3].split()[0]) == pytest.approx(interval(seen, "iqm").point, abs=5e-3)
    assert float(shown[5].split()[0]) == pytest.approx(0.05, abs=1e-3)  # seen − unseen
    assert float(line(text, "| plain | mean | 5 |")[5].split()[0]) == pytest.approx(0.3, abs=1e-3)
    assert float(line(text, "| noisy: mc:10 − mean | 5 |")[2].split()[0]) == pytest.approx(0.05, abs=1e-3)
    assert float(line(text, "| noisy: mc:10 − mean | 5 |")[3].split()[0]) == pytest.approx(0.1, abs=1e-3)
    x, y = (of.scores(m, "unseen", of.modes(m)[-1]) for m in ("noisy", "plain"))
    told = line(text, "| noisy, mc:10 − plain, mean | 5 |")
    assert float(told[3].split()[0]) == pytest.approx(paired_interval(x, y).point, abs=5e-3)
    assert not any(one.startswith("| random, ") for one in text)
    order = [one.split("|")[1].strip() for one in text if one.startswith(("| plain |", "| noisy |", "| random |"))]
    assert order == ["noisy", "noisy", "random", "plain"]  # by what is reached unseen


def test_what_is_near_chance_is_marked_and_chance_has_no_mode() -> None:
    text = conditions_text(Conditions(example(), Part("game", "game", ["plain", "random"]), "looks"))
    assert line(text, "| random |")[:3] == ["random", "–", "3"]
    plain = line(text, "| plain |")
    assert "°" not in plain[3]
    assert plain[4].endswith("°")  # its interval reaches down to 0.5
    alone = conditions_text(Conditions(example(), Part("game", "game", ["plain"]), "looks"))
    assert line(alone, "| plain |")[4].endswith("°")  # chance need not be shown for that


def test_panels_pairs_and_returns() -> None:
    panels = {"first": {"seen looks": "seen"}, "second": {"unseen looks": "unseen"}}
    part = Part("game", "game", ["noisy", "plain"], "noisy", [("plain", "noisy")], panels, score="return")
    text = conditions_text(Conditions(example(), part, "looks"))
    assert "**First**" in text
    assert "| method | inference | seeds | unseen looks | mean gap from seen to unseen looks |" in text
    assert any("mean return" in one for one in text)
    of = Conditions(example(), part, "looks")
    x, y = (of.scores(m, "unseen", of.modes(m)[-1]) for m in ("plain", "noisy"))
    probability = [one for one in text if one.startswith("| P(plain > noisy) | 5 × 5 |")][1]
    assert float(probability.split("|")[3].split()[0]) == pytest.approx(improvement_interval(x, y).point, abs=0.01)


def test_the_summary() -> None:
    scores = {"ppo": [0.0, 0.2, 0.4, 0.6], "rnd": [0.7, 0.8, 0.9, 1.0]}
    rows = [
        row("sea", method, seed, scores={"last": {"return": value}}, metrics={"coverage/cells": 100 + seed}, end=value)
        for method, values in scores.items() for seed, value in enumerate(values)
    ]  # fmt: skip
    show = Show(measures=["last"], solved={"sea": 0.75}, extra={"places": "metric/coverage/cells"})
    text = report("x", Results(rows), show).splitlines()
    assert "## sea, return of the training's last episodes" in text
    head = line(text, "| method |")
    assert head == ["method", "seeds", "IQM", "mean", "P(better than ppo)", "seeds ≥ 0.75", "after steps", "places"]
    ppo, rnd = line(text, "| ppo |"), line(text, "| rnd |")
    assert [ppo[i].split()[0] for i in (1, 2, 3, 4, 5, 6, 7)] == ["4", "0.30", "0.30", "–", "0", "–", "102"]
    assert [rnd[i].split()[0] for i in (1, 2, 3, 4, 5, 6, 7)] == ["4", "0.85", "0.85", "1.00", "3", "100", "102"]
    turned = Show(measures=["last"], parts=[Part("sea", "sea", baseline="rnd")])
    assert line(report("x", Results(rows), turned).splitlines(), "| ppo |")[4].split()[0] == "0.00"
    assert score(rows[0], "metric/coverage/cells") == 100
    assert "ppo,0," in as_csv(rows)


def test_what_runs_were_made_with_is_said_where_it_differs() -> None:
    same = [row("a", "m", seed, scores={"evaluate": {"return": 1.0}}) for seed in range(2)]
    assert "Runs of different" not in report("x", Results(same))
    other = [*same, row("a", "m", 2, scores={"evaluate": {"return": 1.0}}, versions={"jostle": "2"}, processor="y")]
    text = report("x", Results(other))
    assert "Runs of different versions: jostle 1 (2); jostle 2 (1)." in text
    assert "Runs of different processors: x (2); y (1)." in text


def pooled() -> tuple[Results, Show]:
    rows = []
    for task, low in (("a", 0.0), ("b", 100.0), ("c", 0.0)):
        for method, value in (("ppo", 0.25), ("tuned-ppo", 0.5), ("rnd", 0.75)):
            count = 4 if (task, method) == ("c", "rnd") else 6
            rows += [
                row(task, method, seed, scores={"last": {"return": low + value * (1 + low)}}) for seed in range(count)
            ]
    parts = [Part("a", "a", baseline="tuned-ppo"), Part("b", "b", baseline="ppo"), Part("c", "c")]
    ranges = {"a": (0.0, 1.0), "b": (100.0, 201.0), "c": (0.0, 1.0)}
    return Results(rows), Show(measures=["last"], parts=parts, ranges=ranges, together=["ppo", "rnd", "tuned"])


def test_tasks_are_put_together_on_one_scale() -> None:
    found, show = pooled()
    scores, seeds, tasks = together_scores(found, show)
    assert (seeds, tasks) == (6, ["a", "b"])  # too few runs of rnd on c
    np.testing.assert_allclose(scores["ppo"], np.full((6, 2), 0.25))
    np.testing.assert_allclose(scores["rnd"], np.full((6, 2), 0.75))
    np.testing.assert_allclose(scores["tuned"], np.tile([0.5, 0.25], (6, 1)))  # of each task its baseline
    assert line(report("x", found, show).splitlines(), "| rnd | 0.75")[5].split()[0] == "1.00"


def test_figures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra lab is not installed")
    drawn = {path.name for path in figures(example(), tmp_path)}
    assert drawn == {"curves-game.png", "looks-game.png"}
    found, show = pooled()
    wanted = {f"curves-{task}.png" for task in "abc"} | {"together.png"}
    assert {path.name for path in figures(found, tmp_path, show)} == wanted
    one = read_show(
        {
            "figures": [], "parts": [{"task": "game", "intervals": {"plain": "PPO"}}], "hidden": ["seen"],
            "measures": ["training"], "across": [{"name": "n", "label": "N", "tasks": {1: "game"}}],
        }, ["game"], ["plain", "noisy", "random"],
    )  # fmt: skip
    assert {path.name for path in figures(example(), tmp_path, Show(**{**vars(one), "hidden": []}))} == {
        "intervals-game.png", "across-n.png",
    }  # fmt: skip


@pytest.mark.parametrize(("given", "match"), [
    ({"label": {}}, "did you mean labels"),
    ({"labels": {"pp": "PPO"}}, "names a method 'pp'; did you mean ppo"),
    ({"titles": {"a": "A"}}, "names a task 'a'"),
    ({"figures": ["curve"]}, "did you mean curves"),
    ({"parts": {"task": "sea"}}, "parts of show must be a list"),
    ({"parts": [{"task": "see"}]}, "names a task 'see'; did you mean sea"),
    ({"parts": [{"task": "sea", "methods": ["rmd"]}]}, "did you mean rnd"),
    ({"parts": [{"task": "sea", "baseline": "rmd"}]}, "did you mean rnd"),
    ({"parts": [{"task": "sea", "pairs": [["ppo"]]}]}, "of two methods each"),
    ({"parts": [{"task": "sea", "score": "wins"}]}, "names a score 'wins'"),
    ({"ranges": {"sea": [1, 0]}}, "the lower one first"),
    ({"across": [{"name": "n", "tasks": ["sea"]}]}, "numbers to their tasks"),
    ({"measures": "last"}, "must be a list of names"),
    ({"together": ["pbo", "tuned"]}, "did you mean ppo"),
])  # fmt: skip
def test_what_cannot_be_shown(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_show(given, ["sea"], ["ppo", "rnd"])


def coverage(method: str, seed: int, cells: float, course: list[list[float | None]]) -> dict[str, Any]:
    steps, values = course
    told = {"steps": 1000, "courses": {"bonus/left": {"steps": steps, "values": values}}}
    return {**row("sea", method, seed, metrics={"coverage/cells": cells, "bonus/left": values[-1]}), **told}


def test_measures_of_a_metrics_course_by_hand() -> None:
    often = coverage("rnd", 0, 5, [[50, 100, 110, 900, 940, 1000], [4.0, 2.0, 9.0, 9.0, 1.0, 3.0]])
    assert score(often, "metric/bonus/left") == 3.0
    assert score(often, "early/bonus/left") == 3.0  # of 4 and 2
    assert score(often, "late/bonus/left") == 2.0  # of 1 and 3: what was between 110 and 900 began before
    assert score(often, "left/bonus/left") == pytest.approx(2 / 3)
    seldom = coverage("rnd", 0, 5, [[102, 203, 998], [4.0, 2.0, 1.0]])
    assert [score(seldom, f"{end}/bonus/left") for end in ("early", "late", "left")] == [4.0, 1.0, 0.25]
    unknown = coverage("rnd", 0, 5, [[None, None, 1000], [4.0, 2.0, 1.0]])
    assert [score(unknown, f"{end}/bonus/left") for end in ("early", "late", "left")] == [4.0, 1.0, 0.25]
    assert np.isnan(score(often, "early/losses/value"))
    found = Results([often])
    assert found.measures("sea") == ["metric/bonus/left", "training"]
    assert found.scores("sea", "late/bonus/left")["rnd"].tolist() == [2.0]
    assert as_csv(found.rows).splitlines()[0].endswith(",metric/bonus/left,training")


def test_a_table_of_a_metric_with_every_seed() -> None:
    rows = [
        coverage(method, seed, 1000 * n + seed, [[100, 1000], [2.0, 1.0 + n]])
        for n, method in enumerate(("frozen", "rnd"), 1) for seed in (1, 0)
    ]  # fmt: skip
    for each in rows:
        each["curve"] = {"steps": [], "return": []}
    show = read_show(
        {
            "measures": {"metric/coverage/cells": "places seen"}, "each": True, "solved": {"sea": 1500},
            "extra": {"left": "left/bonus/left"},
        }, ["sea"], ["frozen", "rnd"],
    )  # fmt: skip
    text = report("x", Results(rows), show).splitlines()
    assert "## sea, places seen" in text
    head = line(text, "| method |")
    assert head == ["method", "seeds", "IQM", "mean", "P(better than frozen)", "seeds ≥ 1500", "left", "seed by seed"]
    assert line(text, "| rnd |")[5:] == ["2", "1.5", "2,000; 2,001"]
    assert line(text, "| frozen |")[5:] == ["0", "1", "1,000; 1,001"]


def test_one_method_by_two_measures() -> None:
    def played(method: str, seed: int, mean: float, drawn: float | None) -> dict[str, Any]:
        scores = {"evaluate": {"return": mean}} | ({} if drawn is None else {"evaluate/drawn": {"return": drawn}})
        return row("pole", method, seed, scores=scores)

    found = Results([played("noisy", seed, 10.0 * seed, 10.0 * seed + 1 + seed) for seed in range(3)]
                    + [played("plain", seed, 5.0 * seed, None) for seed in range(4)])  # fmt: skip
    assert found.measures("pole") == ["evaluate", "evaluate/drawn", "training"]
    shown = {
        "measures": {"evaluate": "mean weights", "evaluate/drawn": "a draw"},
        "parts": [{"task": "pole", "contrasts": [
            [["noisy", "evaluate/drawn"], ["noisy", "evaluate"]], [["noisy", "evaluate/drawn"], ["plain", "evaluate"]],
            [["plain", "evaluate/drawn"], ["plain", "evaluate"]],
        ]}],
    }  # fmt: skip
    text = report("x", found, read_show(shown, ["pole"], ["noisy", "plain"])).splitlines()
    assert [one for one in text if one.startswith("## ")] == [
        "## pole, mean weights", "## pole, a draw", "## pole, measures beside each other",
    ]  # fmt: skip
    same = line(text, "| noisy, a draw − noisy, mean weights |")
    assert (same[1], float(same[2].split()[0])) == ("3", 2.0)  # 1, 2 and 3 more
    other = line(text, "| noisy, a draw − plain, mean weights |")
    assert (other[1], float(other[2].split()[0])) == ("3", 7.0)  # 1, 7 and 13 more; a fourth seed has no pair
    assert not any(one.startswith("| plain, a draw") for one in text)


@pytest.mark.parametrize(("given", "match"), [
    ({"each": "yes"}, "each='yes' of show"),
    ({"parts": [{"task": "sea", "contrasts": [["ppo", "rnd"]]}]}, r"of two \[METHOD, MEASURE\] each"),
    ({"parts": [{"task": "sea", "contrasts": [[["pbo", "evaluate"], ["rnd", "evaluate"]]]}]}, "did you mean ppo"),
])  # fmt: skip
def test_measures_that_cannot_be_shown(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_show(given, ["sea"], ["ppo", "rnd"])
