"""Random play beside every policy: what is played, the lead over it, and how much of the lead is kept."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scene import STEPS, luck, watchful
from scene import SUITE as THREE

import jostle
from jostle.cli import main
from jostle.errors import ConfigError
from jostle.scores import bootstrap
from jostle.stress import Cell, StressResult, report
from jostle.stress.chance import kept, lead
from jostle.stress.checks import read_checks, run_checks
from jostle.stress.figures import plot_stress
from jostle.stress.result import CHANCE, read_result
from jostle.stress.tables import against_chance, markdown_report
from jostle.view import Episode, PolicyView, as_view

SUITE = dataclasses.replace(THREE, success=None)


def always(action: int) -> PolicyView:
    return as_view(lambda obs: np.full(len(obs), action), env="tests/Scene-v0", name=f"always {action}")


def cell(returns: Any, condition: str = "a", run: int = 0, method: str = "m", level: int = 0) -> Cell:
    episodes = tuple(Episode(i, 0, float(x), 5, level_seed=level + i) for i, x in enumerate(returns))
    return Cell(method, run, condition, "mean", episodes)


def test_random_play_is_measured_on_the_same_games() -> None:
    result = jostle.stress_test(always(1), SUITE, episodes=60, seed=1)
    assert [c.condition for c in result.chance] == ["clean", "poorer", "bright"]
    for ours, chance in zip(result.cells, result.chance, strict=True):
        assert chance.method == CHANCE
        assert [e.level_seed for e in chance.episodes] == [e.level_seed for e in ours.episodes]
        loss = 2.0 if chance.condition == "poorer" else 0.0
        taken = np.array([e.ret + loss - luck(e.level_seed or 0) for e in chance.episodes])
        np.testing.assert_allclose(taken, taken.round(), atol=1e-5)
        assert taken.mean() == pytest.approx(STEPS / 2, abs=0.56)  # five standard errors
    found = {line.condition: line for line in report.lines(result) if line.method != CHANCE}
    # It takes action 1 thrice where random play takes it 1.5 times: the luck of the games cancels.
    for line in found.values():
        assert line.lead is not None
        assert line.lead.point == pytest.approx(STEPS / 2, abs=0.56)
        assert 1.0 < line.lead.low < line.lead.high < 2.0, "the pairs are resampled together"
    chance = {line.condition: line for line in report.lines(result) if line.method == CHANCE}
    assert chance["clean"].lead is None
    assert chance["poorer"].gap is not None
    assert chance["poorer"].gap.point == pytest.approx(2.0, abs=1e-5), "a loss that no policy could have avoided"


def test_a_policy_that_is_no_better_is_said_to_be() -> None:
    result = jostle.stress_test({"one": always(1), "none": always(0), "some": watchful()}, SUITE, episodes=30)
    assert against_chance(result) == [
        "one, noise mean: ahead of random play everywhere",
        "none, noise mean: no certain lead over random play in clean, poorer, bright",
        "some, noise mean: no certain lead over random play in clean, poorer",
    ]
    text = markdown_report(result)
    assert all(f"- {said}\n" in text for said in against_chance(result))
    assert f"| clean | {CHANCE} | mean |" in text
    kept_by = {(x.method, x.condition): x.kept for x in report.lines(result)}
    assert kept_by["none", "bright"] is None, "there is no lead to share"
    assert kept_by["one", "clean"] is None, "of the reference itself nothing is said"
    held = kept_by["one", "poorer"]
    assert held is not None
    assert held.low < 1.0 < held.high


def test_kept_by_hand_and_against_a_loop() -> None:
    rng = np.random.default_rng(4)
    luck, shift = rng.normal(size=40), rng.normal(size=40)
    seen, chance_seen = cell(5 + luck + shift), cell(1 + luck, method=CHANCE)
    there, chance = cell(3 + luck + shift, "b"), cell(1 + luck, "b", method=CHANCE)
    found = kept([there], chance, [seen], chance_seen)
    assert found is not None
    x, r, x0, r0 = (c.returns for c in (there, chance, seen, chance_seen))
    assert found.point == pytest.approx((x.mean() - r.mean()) / (x0.mean() - r0.mean()))
    draws = rng.integers(40, size=(4000, 40))
    drawn = [(x[i].mean() - r[i].mean()) / (x0[i].mean() - r0[i].mean()) for i in draws]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.02)
    # Other games under the condition: both sides of a condition stay together, the conditions do not.
    far, far_chance = cell(there.returns, "b", level=900), cell(chance.returns, "b", method=CHANCE, level=900)
    apart = kept([far], far_chance, [seen], chance_seen)
    assert apart is not None
    assert apart.point == pytest.approx(found.point)
    assert apart.high - apart.low > 1.3 * (found.high - found.low), "what moves both leads no longer cancels"
    other = rng.integers(40, size=(4000, 40))
    drawn = [(x[i].mean() - r[i].mean()) / (x0[j].mean() - r0[j].mean()) for i, j in zip(draws, other, strict=True)]
    assert (apart.low, apart.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.02)
    assert kept([there], chance, [chance_seen], seen) is None
    assert kept([cell([3.0], "b")], cell([1.0], "b"), [cell([5.0])], cell([1.0])) is None, "one episode"


def test_of_several_runs_the_runs_are_resampled() -> None:
    rng = np.random.default_rng(5)
    level = np.array([4.0, 5.0, 6.0, 9.0])
    seen = [cell(x + rng.normal(0, 0.1, 20), run=n) for n, x in enumerate(level)]
    there = [cell(x / 2 + rng.normal(0, 0.1, 20), "b", run=n) for n, x in enumerate(level)]
    chance_seen, chance = cell(rng.normal(1, 0.1, 20), method=CHANCE), cell(rng.normal(0, 0.1, 20), "b", method=CHANCE)
    means, others = (np.array([c.returns.mean() for c in side]) for side in (seen, there))
    ahead = lead(seen, chance_seen)
    assert ahead.point == pytest.approx(means.mean() - chance_seen.returns.mean())
    assert ahead.high - ahead.low > 2, "as wide as the runs differ"
    found = kept(there, chance, seen, chance_seen)
    assert found is not None
    r, r0 = chance.returns.mean(), chance_seen.returns.mean()
    assert found.point == pytest.approx((others.mean() - r) / (means.mean() - r0))
    index = rng.integers(4, size=(4000, 4))
    drawn = (others[index].mean(1) - r) / (means[index].mean(1) - r0)
    assert (found.low, found.high) == pytest.approx(bootstrap.percentile(drawn, 0.95), abs=0.01)


def test_it_can_be_left_out_and_is_counted_where_it_is_not() -> None:
    told: list[tuple[int, int]] = []
    result = jostle.stress_test(always(1), SUITE, episodes=4, notify=lambda *how: told.append(how))
    assert told[-1] == (24, 24)
    assert {total for _, total in told} == {24}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    alone = jostle.stress_test(always(1), SUITE, episodes=4, baseline=False)
    assert alone.chance == []
    assert alone.cells == result.cells, "the policy's own numbers do not change"
    assert against_chance(alone) == []
    assert CHANCE not in markdown_report(alone)
    assert {line.lead for line in report.lines(alone)} == {None}
    with pytest.raises(ConfigError, match="no method can be called 'random play', which the baseline is"):
        jostle.stress_test({CHANCE: always(1)}, SUITE, episodes=2)


def test_a_stop_during_random_play_keeps_what_is_whole() -> None:
    calls: list[int] = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 5

    result = jostle.stress_test(always(1), SUITE, episodes=4, stop=stop)
    assert not result.complete
    assert (len(result.cells), len(result.chance)) == (1, 0)
    assert [line.method for line in report.lines(result)] == ["always 1"]


def test_it_comes_back_from_its_folder(tmp_path: Path) -> None:
    result = jostle.stress_test({"a": always(1), "b": always(0)}, SUITE, episodes=6)
    result.write_rows(tmp_path / "episodes.jsonl")
    (tmp_path / "summary.json").write_text(json.dumps(report.as_dict(result)))
    again: StressResult = read_result(tmp_path)
    assert again == result
    assert len(again.chance) == 3


def test_checks_of_the_lead(tmp_path: Path) -> None:
    file = tmp_path / "checks.yaml"
    file.write_text("- {condition: bright, metric: lead, min: 0.5}\n- {condition: poorer, metric: kept, min: 0.6}\n")
    for policy, passed in ((always(1), [True, True]), (watchful(), [True, False])):
        result = jostle.stress_test(policy, SUITE, episodes=40)
        checks = read_checks(file, SUITE, ["mean"], result.methods)
        assert [v.failure is None for v in run_checks(result, checks)] == passed
    file.write_text("- {condition: clean, metric: kept, min: 0.6}\n")
    with pytest.raises(ConfigError, match="asks for kept of 'clean', the reference that it is measured from"):
        read_checks(file, SUITE, ["mean"], ["a"])


def test_figures_show_it() -> None:
    result = jostle.stress_test(always(1), SUITE, episodes=6)
    figure = plot_stress(result)
    assert CHANCE in {text.get_text() for text in figure.legends[0].get_texts()}
    figure.draw_without_rendering()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = jostle.DQN("CartPole-v1", num_envs=2, hidden=(8,), warmup=20).learn(20).save(tmp_path / "pole")
    suite, checks = tmp_path / "gravity.yaml", tmp_path / "checks.yaml"
    suite.write_text("conditions: [{name: full}, {name: short, env_options: {max_episode_steps: 8}}]\n")
    checks.write_text("- {condition: full, metric: lead, min: 400}\n")
    run = ["stress", str(folder), "--suite", str(suite), "--episodes", "6"]
    assert main([*run, "--out", str(tmp_path / "a"), "--assert", str(checks)]) == 1
    assert "random play" in capsys.readouterr().out
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert [line["method"] for line in summary["lines"]] == ["pole", "pole", CHANCE, CHANCE]
    assert main([*run, "--out", str(tmp_path / "b"), "--no-baseline"]) == 0
    assert "random play" not in capsys.readouterr().out
    assert main([*run, "--out", str(tmp_path / "c"), "--no-baseline", "--assert", str(checks)]) == 2
    assert "against random play: leave --no-baseline out" in capsys.readouterr().err
