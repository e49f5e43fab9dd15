"""The stress test on an environment whose returns can be counted."""

import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from scene import GREY, STEPS, SUITE, Watchful, luck, watchful

import jostle
from jostle.errors import ConfigError, EnvError
from jostle.stress import Condition, Perturbation, Suite, report
from jostle.stress.checks import Check, run_checks
from jostle.stress.result import read_result, read_rows
from jostle.stress.run import check_levels, modes_of
from jostle.stress.tables import markdown_report
from jostle.view import Episode, PolicyView, Success, as_view

stress_test = partial(jostle.stress_test, baseline=False)


def test_every_episode_is_kept_with_its_circumstances(tmp_path: Path) -> None:
    result = stress_test(watchful(), SUITE, episodes=8, num_envs=4, seed=7)
    assert result.complete
    assert [(c.condition, c.noise, len(c.episodes)) for c in result.cells] == [
        (name, "mean", 8) for name in SUITE.names
    ]
    clean, poorer, bright = result.cells
    for cell, expected in ((clean, 0.0), (poorer, -2.0), (bright, STEPS)):
        for e in cell.episodes:
            assert e.level_seed is not None
            assert e.ret == pytest.approx(luck(e.level_seed) + expected, abs=1e-5)
            assert e.length == STEPS
            assert e.success == (luck(e.level_seed) > 0)
    # Equal seeds play equal games, and the order of the episodes is theirs.
    levels = [[e.level_seed for e in cell.episodes] for cell in result.cells]
    assert levels[0] == levels[1] == levels[2]
    assert len(set(levels[0])) > 4
    assert [(e.index, e.env) for e in clean.episodes] == list(itertools.product(range(2), range(4)))

    result.write_rows(tmp_path / "episodes.jsonl")
    rows = read_rows(tmp_path / "episodes.jsonl")
    assert len(rows) == 24
    assert rows[0].keys() == {
        "method", "run", "condition", "noise", "env", "index", "return", "length", "success", "level_seed",
    }  # fmt: skip
    assert [row["return"] for row in rows] == [e.ret for cell in result.cells for e in cell.episodes]
    with pytest.raises(ConfigError, match="cannot be read"):
        read_rows(tmp_path / "nothing.jsonl")


def test_a_result_comes_back_from_its_folder(tmp_path: Path) -> None:
    conditions = (
        *SUITE.conditions,
        Condition("other", {"start_level": 5000}, seed_offset=9, labels={"layouts": "all"}),
    )
    suite = Suite("four", conditions, "clean", Success.parse("return > 1"), "about", (0, 1000))
    result = stress_test({"a": [watchful("x"), watchful("y")], "b": watchful("z")}, suite, episodes=6)
    with pytest.raises(ConfigError, match=r"cannot be read"):
        read_result(tmp_path)
    result.write_rows(tmp_path / "episodes.jsonl")
    with pytest.raises(ConfigError, match=r"holds no whole result of a stress test"):
        read_result(tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps(report.as_dict(result)))
    again = read_result(tmp_path)
    assert again == result
    assert report.as_dict(again) == report.as_dict(result)


def test_the_reference_is_never_perturbed() -> None:
    """The policy takes action 1 where it sees another picture than the environment's, whatever came before."""
    conditions = (SUITE["bright"], SUITE["clean"], Condition("dull", perturbation=Perturbation("contrast", 5)))
    result = stress_test(watchful(), Suite("order", conditions, "clean"), episodes=4)
    taken = {c.condition: {round(e.ret - luck(e.level_seed or 0), 4) for e in c.episodes} for c in result.cells}
    assert taken == {"bright": {STEPS}, "clean": {0}, "dull": {0}}  # an even picture has no contrast to lose


def test_the_loss_is_seen_minus_unseen_on_equal_games() -> None:
    result = stress_test(watchful(), SUITE, episodes=40, seed=1)
    found = {line.condition: line for line in report.lines(result)}
    assert found["clean"].gap is None
    # Luck cancels, since both sides are the same games: the loss is exactly 2, without an interval's width.
    poorer = found["poorer"].gap
    assert poorer is not None
    assert (poorer.point, poorer.low, poorer.high) == pytest.approx((2.0, 2.0, 2.0), abs=1e-5)
    bright = found["bright"].gap
    assert bright is not None
    assert bright.point == pytest.approx(-STEPS, abs=1e-5)
    assert found["poorer"].paired
    (whole,) = report.overall(result)
    assert whole.gap is not None
    assert whole.gap.point == pytest.approx((2.0 - STEPS) / 2, abs=1e-5)
    assert (whole.worst, whole.worst_return) == ("poorer", pytest.approx(found["poorer"].mean.point))
    assert whole.cvar_conditions == pytest.approx(whole.worst_return)
    assert whole.success_gap is not None
    assert whole.success_gap.point == 0


def test_it_is_told_how_many_pairs_are_the_same_game() -> None:
    result = stress_test(watchful(), SUITE, episodes=8, num_envs=4)
    assert [line.same_games for line in report.lines(result)] == [None, 8, 8], "the levels are told"
    assert "under equal seeds and levels: the same games" in markdown_report(result)
    # CartPole tells no level, and what it draws for a later episode depends on how many were played before.
    suite = Suite("two", (Condition("long"), Condition("short", {"max_episode_steps": 9})), "long")
    result = stress_test(watchless(), suite, episodes=8, num_envs=3)
    assert [line.same_games for line in report.lines(result)] == [None, 3]
    assert report.as_dict(result)["lines"][1]["same_games"] == 3
    assert "Of 3 pairs in 8 it is known that both sides were the same game" in markdown_report(result)
    apart = Suite("apart", (Condition("a"), Condition("b", seed_offset=5)), "a")
    assert report.lines(stress_test(watchless(), apart, episodes=2))[1].same_games is None


def test_other_seeds_are_other_games_and_are_not_paired() -> None:
    conditions = (Condition("clean"), Condition("poorer", {"loss": 2.0}, seed_offset=500))
    result = stress_test(watchful(), Suite("apart", conditions, "clean"), episodes=40, seed=1)
    (_, poorer) = report.lines(result)
    assert not poorer.paired
    assert poorer.gap is not None
    assert poorer.gap.low < 2.0 < poorer.gap.high
    assert poorer.gap.high - poorer.gap.low > 0.3, "luck does not cancel"


def test_policies_are_paired_by_equal_seeds() -> None:
    methods = {"a": watchful(), "b": watchful()}
    result = stress_test(methods, SUITE, episodes=12)
    for condition in SUITE.names:
        (a,), (b,) = (result.select(method, "mean", condition) for method in methods)
        assert a.episodes == b.episodes
    found = report.improvements(result)["b"]["mean"]["clean"]
    assert found.point == 0.5, "every pair is a tie"
    assert 0.2 < found.low < 0.5 < found.high < 0.8, "of twelve pairs"
    text = markdown_report(result)
    assert "How likely b beats a" in text
    assert "| clean | b | mean |" in text


def test_several_runs_are_the_unit_of_the_intervals() -> None:
    runs = [watchful(f"s{i}") for i in range(3)]
    result = stress_test({"m": runs}, SUITE, episodes=6)
    assert result.runs == {"m": ["s0", "s1", "s2"]}
    line = report.lines(result)[0]
    assert (line.unit, line.runs, line.episodes) == ("runs", 3, 6)
    assert line.mean.low == line.mean.high, "the runs are the same policy, so runs do not differ"
    (alone,) = (x for x in report.lines(stress_test(runs[0], SUITE, episodes=6)) if x.condition == "clean")
    assert alone.mean.low < alone.mean.high
    assert alone.mean.point == pytest.approx(line.mean.point)


def test_copies_of_a_run_are_no_runs() -> None:
    def module() -> torch.nn.Module:
        return torch.nn.Linear(4, 2)

    def view(network: torch.nn.Module, name: str = "x") -> PolicyView:
        return as_view(network, kind="q", env="CartPole-v1", name=name)

    suite, network = Suite("one", (Condition("seen"),), "seen"), module()
    stress_test([view(network), view(module())], suite, episodes=1)
    stress_test({"a": view(network), "b": view(network)}, suite, episodes=1)  # methods may be what they like
    again = module()
    again.load_state_dict(network.state_dict())
    with pytest.raises(ConfigError, match="one and two of the method 'm' have the same weights, so they are no indep"):
        stress_test({"m": [view(network, "one"), view(module(), "z"), view(again, "two")]}, suite, episodes=1)
    same = view(network)
    with pytest.raises(ConfigError, match="two runs called x of the method 'x' have the same weights"):
        stress_test([same, same], suite, episodes=1)
    agents = [jostle.DQN("CartPole-v1", num_envs=1, hidden=(4,), seed=seed) for seed in (1, 2, 1)]
    agents[2].learn(10)
    with torch.no_grad():
        next(agents[2].network.parameters()).add_(1.0)
    stress_test(agents[:2], suite, episodes=1)
    with pytest.raises(ConfigError, match="of the method 'dqn' were both trained with the seed 1, so they are no"):
        stress_test(agents, suite, episodes=1)


def test_methods_without_noise_are_played_once() -> None:
    noisy = jostle.DQN("CartPole-v1", num_envs=1, hidden=(4,), noisy="factorised", sigma0=2.0)
    suite = Suite("two", (Condition("seen"), Condition("short", {"max_episode_steps": 9})), "seen")
    told: list[tuple[int, int]] = []
    methods = {"plain": watchless(), "noisy": noisy}
    result = stress_test(methods, suite, episodes=3, noise=["sampled", "mc:2"], notify=lambda *at: told.append(at))
    assert told[-1] == (18, 18), "three episodes of three plays in two conditions"
    first = [(c.method, c.noise) for c in result.cells[:3]]
    assert first == [("plain", "mean"), ("noisy", "sampled"), ("noisy", "mc:2")]
    assert (result.modes("plain"), result.modes("noisy")) == (["mean"], ["sampled", "mc:2"])
    assert len(report.lines(result)) == 6
    assert len(report.overall(result)) == 3
    # It is compared with every mode of the other one, in either order.
    better = report.improvements(result)["noisy"]
    assert {mode: [*found] for mode, found in better.items()} == dict.fromkeys(("sampled", "mc:2"), suite.names)
    turned = stress_test(dict(reversed(methods.items())), suite, episodes=3, noise=["sampled", "mc:2"])
    for mode, found in report.improvements(turned)["plain"].items():
        assert found["seen"].point == pytest.approx(1 - better[mode]["seen"].point)
    both = [Check("seen", "return", low=0.0, noise="mc:2"), Check("seen", "return", low=0.0)]
    told_of = [(v.method, v.noise, v.failure) for v in run_checks(result, both)]
    assert told_of == [
        ("plain", "mean", None), ("noisy", "mc:2", None),
        ("plain", "mean", None), ("noisy", "sampled", None), ("noisy", "mc:2", None),
    ]  # fmt: skip


def test_who_beats_whom() -> None:
    """`bright` earns a point a step more in every game: it beats the other, and not the other way round."""
    suite = Suite("one", (Condition("bright", perturbation=Perturbation("brightness", 2)),), "bright")
    blind = as_view(torch.nn.Identity(), kind="q", env="tests/Scene-v0", name="blind")
    blind.actor = lambda *_, rows=1, **__: Still(rows)  # type: ignore[method-assign,assignment]
    result = stress_test({"blind": blind, "watchful": watchful()}, suite, episodes=12)
    assert report.improvements(result)["watchful"]["mean"]["bright"].point == 1.0
    assert "How likely watchful beats blind, P(X > Y) + ½ P(X = Y), of the same episode" in markdown_report(result)
    turned = stress_test({"watchful": watchful(), "blind": blind}, suite, episodes=12)
    assert report.improvements(turned)["blind"]["mean"]["bright"].point == 0.0
    several = {"blind": blind, "watchful": [watchful("a"), watchful("b")]}
    assert report.improvements(stress_test(several, suite, episodes=2))["watchful"]["mean"]["bright"].point == 1.0


class Still:
    """Takes action 0."""

    disagreement = None

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def act(self, obs: Any, start: Any = None, among: Any = None) -> np.ndarray:
        return np.zeros(self.rows, np.int64)


def test_a_seed_offset_is_another_seed_of_everything() -> None:
    """Games and perturbations of an offset are those of a test with that seed, and no others."""
    noise = Perturbation("noise", 1)
    conditions = (Condition("own", perturbation=noise), Condition("moved", perturbation=noise, seed_offset=7))

    def pictures(seed: int) -> list[list[bytes]]:
        log: list[bytes] = []
        view = watchful()
        view.actor = lambda *_, rows=1, **__: Seeing(rows, log)  # type: ignore[method-assign,assignment]
        result = stress_test(view, Suite("two", conditions, "own"), episodes=4, num_envs=2, seed=seed)
        levels = [[e.level_seed for e in cell.episodes] for cell in result.cells]
        return [[repr(each).encode() for each in levels], log[: len(log) // 2], log[len(log) // 2 :]]

    levels, own, moved = pictures(20)
    later, shifted, _ = pictures(27)
    assert levels[1] == later[0], "the games of the other seed"
    assert moved == shifted, "the pictures of the other seed"
    assert levels[0] != levels[1]
    assert not set(own) & set(moved)


class Seeing(Still):
    """Takes action 0 and keeps what it saw."""

    def __init__(self, rows: int, log: list[bytes]) -> None:
        super().__init__(rows)
        self.log = log

    def act(self, obs: Any, start: Any = None, among: Any = None) -> np.ndarray:
        self.log.append(np.asarray(obs).tobytes())
        return super().act(obs)


def test_as_many_environments_as_episodes_and_the_same_episodes_as_an_evaluation() -> None:
    view = watchless()
    suite = Suite("one", (Condition("seen"),), "seen")
    (line,), (cell,) = report.lines(result := stress_test(view, suite, episodes=20)), result.cells
    assert [(e.env, e.index) for e in cell.episodes] == [(i, 0) for i in range(20)]
    found = jostle.evaluate(view, 20)
    assert found.episodes == list(cell.episodes)
    assert (found.mean, *found.interval) == (line.mean.point, line.mean.low, line.mean.high)
    many = stress_test(view, suite, episodes=70).cells[0].episodes
    assert max(e.env for e in many) == 63
    assert jostle.evaluate(view, 70).episodes == list(many)


def test_a_stop_keeps_whole_cells_only() -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2 * (STEPS + 1)  # in the middle of the second condition

    result = stress_test(watchful(), SUITE, episodes=8, num_envs=4, stop=stop)
    assert not result.complete
    assert [c.condition for c in result.cells] == ["clean"]
    assert [line.condition for line in report.lines(result)] == ["clean"]
    assert report.overall(result) == []
    assert "was stopped" in markdown_report(result)
    assert json.dumps(report.as_dict(result))


def test_progress_is_told_in_episodes_of_all() -> None:
    told: list[tuple[int, int]] = []
    stress_test(watchful(), SUITE, episodes=5, num_envs=5, notify=lambda done, total: told.append((done, total)))
    assert told[-1] == (15, 15)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_levels_prove_what_is_unseen() -> None:
    def suite(lie: int, layouts: str = "unseen") -> Suite:
        away = Condition("away", {"start_level": 1000, "lie": lie}, labels={"layouts": layouts})
        return Suite("levels", (Condition("home", labels={"layouts": "seen"}), away), "home", training_levels=(0, 1000))

    result = stress_test(watchful(), suite(0), episodes=6)
    levels = [line.levels for line in report.lines(result)]
    assert levels[0] is not None
    assert levels[1] is not None
    assert levels[0]["of_training"] == levels[0]["distinct"]
    assert levels[1]["of_training"] == 0
    assert levels[1]["least"] >= 1000
    with pytest.raises(
        EnvError, match=r"'away' has unseen layouts, but level \d+ was played and the training had 0 to"
    ):
        stress_test(watchful(), suite(-100), episodes=64)
    with pytest.raises(EnvError, match="'away' has seen layouts, but level"):
        stress_test(watchful(), suite(0, "seen"), episodes=4)


def test_levels_that_nobody_tells_prove_nothing() -> None:
    conditions = (Condition("home"), Condition("away", labels={"layouts": "unseen"}, env_options={"start_level": 10}))
    suite = Suite("levels", conditions, "home", training_levels=(0, 10))
    episode = Episode(0, 0, 1.0, 3, level_seed=12)
    check_levels(suite, suite["away"], [episode], "env")
    with pytest.raises(EnvError, match=r"'away' has unseen layouts, but env does not tell which levels it played"):
        check_levels(suite, suite["away"], [episode, Episode(1, 0, 1.0, 3)], "env")
    check_levels(suite, suite["home"], [Episode(0, 0, 1.0, 3)], "env")


def test_overlapping_levels_are_refused_before_anything_is_played() -> None:
    def unseen(**options: Any) -> Suite:
        conditions = (Condition("home"), Condition("away", options, labels={"layouts": "unseen"}))
        return Suite("levels", conditions, "home", training_levels=(100, 500))

    unseen(start_level=600, num_levels=10)
    unseen(start_level=0, num_levels=100)
    for options in ({"start_level": 599, "num_levels": 10}, {"start_level": 0, "num_levels": 101}, {}):
        with pytest.raises(ConfigError, match="overlap the levels 100 to 599 of the training: start at 600"):
            unseen(**options)
    for options in ({"start_level": 600, "num_levels": 0}, {"start_level": 600, "num_levels": None}):
        with pytest.raises(ConfigError, match=r"num_levels=0, which means every level and .* give start_level=600"):
            unseen(**options)
    # What is taken away is the environment's default, level 0 on, and not the training's.
    unseen(start_level=None, num_levels=100)
    with pytest.raises(ConfigError, match="its levels 0 to 100 overlap"):
        unseen(start_level=None, num_levels=101)
    for key, value in (("start_level", "many"), ("num_levels", -5), ("num_levels", 2.5), ("start_level", True)):
        with pytest.raises(ConfigError, match=rf"{key}={value!r} of the condition 'away' cannot be used: .* whole"):
            unseen(**{"start_level": 600, "num_levels": 10} | {key: value})


def test_modes_are_those_that_the_policy_calls_for() -> None:
    plain = {"a": [watchful()]}
    assert [str(m) for m in modes_of(None, plain)] == ["mean"]
    noisy = as_view(jostle.DQN("CartPole-v1", num_envs=1, hidden=(4,), noisy="factorised"))
    assert [str(m) for m in modes_of(None, {"a": [noisy]})] == ["mean", "sampled", "mc:10"]
    assert [str(m) for m in modes_of(["mc:3", "fixed"], plain)] == ["mc:3", "fixed"]
    for wrong, said in (([], "at least one"), (["mean", "mean"], "none twice"), ("median", "is unknown")):
        with pytest.raises(ConfigError, match=said):
            modes_of(wrong, plain)


def test_a_draw_that_holds_for_an_episode_is_named(tmp_path: Path) -> None:
    agent = jostle.DQN("CartPole-v1", num_envs=1, hidden=(4,), noisy="factorised", sigma0=2.0)
    suite = Suite("one", (Condition("seen"), Condition("other", seed_offset=3)), "seen")
    result = stress_test({"a": agent, "b": watchless()}, suite, episodes=2, seed=6, noise=["mean", "fixed", "mc:2"])
    rows = list(result.rows())
    assert {row["draw"] for row in rows if (row["method"], row["noise"]) == ("a", "fixed")} == {"6:0"}
    assert not any("draw" in row for row in rows if (row["method"], row["noise"]) != ("a", "fixed"))
    # The name is enough to act again: slot 0 of the draws of that seed.
    again = jostle.evaluate(agent, 2, noise="fixed", seed=6)
    assert [e.ret for e in again.episodes] == [e.ret for e in result.select("a", "fixed", "seen")[0].episodes]
    result.write_rows(tmp_path / "episodes.jsonl")
    (tmp_path / "summary.json").write_text(json.dumps(report.as_dict(result)))
    assert read_result(tmp_path) == result


def watchless() -> PolicyView:
    """A policy for CartPole that has no noise."""
    return as_view(torch.nn.Linear(4, 2), kind="q", env="CartPole-v1")


def test_each_mode_is_reported_apart() -> None:
    agent = jostle.DQN("CartPole-v1", num_envs=1, hidden=(8,), noisy="factorised", sigma0=2.0, seed=3)
    suite = Suite("one", (Condition("seen"), Condition("short", {"max_episode_steps": 50})), "seen")
    result = stress_test(agent, suite, episodes=4, noise=["mean", "mc:4"])
    lines = {(x.condition, x.noise): x for x in report.lines(result)}
    assert len(lines) == 4
    assert lines["seen", "mean"].disagreement is None
    doubt = lines["seen", "mc:4"].disagreement
    assert doubt is not None
    assert doubt > 0
    for mode in ("mean", "mc:4"):
        alone = jostle.evaluate(agent, 4, noise=mode)
        assert [e.ret for e in alone.episodes] == [e.ret for e in result.select("dqn", mode, "seen")[0].episodes]


@pytest.mark.parametrize(
    ("conditions", "reference", "said"),
    [
        ((), "a", "has no conditions"),
        ((Condition("a"), Condition("a")), "a", "has the condition 'a' twice"),
        ((Condition("clean"),), "claen", "no condition 'claen' to be its reference; did you mean clean"),
    ],
)
def test_suites_that_cannot_be(conditions: tuple[Condition, ...], reference: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Suite("s", conditions, reference)


@pytest.mark.parametrize("name", ["../../evil", "a/b", "a\\b", "..", ".", "", " ", "two\nlines", "/tmp/x"])
def test_names_stay_in_their_place(name: str) -> None:
    with pytest.raises(ConfigError, match=r"a suite cannot be called .* name of one line without / and"):
        Suite(name, (Condition("a"),), "a")
    with pytest.raises(ConfigError, match=r"a condition cannot be called"):
        Condition(name)


def test_what_the_test_sets_itself_is_no_option_of_a_condition() -> None:
    for key in ("seed", "num_envs", "render_mode", "id"):
        with pytest.raises(ConfigError, match=f"{key} cannot stand in env_options of the condition 'c'"):
            Condition("c", {key: 3})
    with pytest.raises(ConfigError, match="seed_offset=-1 of the condition 'c' cannot be used"):
        Condition("c", seed_offset=-1)


def test_what_cannot_be_tested_is_refused() -> None:
    other = watchful("other", loss=1.0)
    for policy, more, said in (
        (watchful(), {"episodes": 0}, "episodes=0"),
        (watchful(), {"seed": -1}, "seed=-1 cannot be used: it must be a whole number from 0 to"),
        (watchful(), {"seed": 2**32}, "seed=4294967296 cannot be used"),
        (watchful(), {"seed": "3"}, "seed='3' cannot be used"),
        (watchful(), {"seed": 1.5}, "seed=1.5 cannot be used"),
        (watchful(), {"actions": "gready"}, "did you mean greedy"),
        ([], {}, "there is no policy"),
        ({"a": watchful(), "b": other}, {}, "so that what was seen differs: test them one by one"),
        (jostle.DQN("CartPole-v1", num_envs=1, hidden=(4,)), {"env": "tests/Scene-v0"}, "other spaces"),
    ):
        with pytest.raises(ConfigError, match=said):
            stress_test(policy, SUITE, **{"episodes": 2} | more)  # type: ignore[arg-type]
    wrong = Suite("s", (Condition("a"), Condition("b", {"los": 1})), "a")
    told: list[tuple[int, int]] = []
    with pytest.raises(ConfigError, match="condition 'b' cannot be made: "):
        stress_test(watchful(), wrong, episodes=2, notify=lambda *done: told.append(done))
    wrong = Suite("s", (Condition("a"), Condition("b", {"frame_stack": 2})), "a")
    said = r"'b' cannot be played: .* other spaces than tests/Scene-v0 .*: observations Box\[6, 32, 32\] of uint8 "
    with pytest.raises(ConfigError, match=said + r"instead of Box\[32, 32, 3\] of uint8; .* such as frame_stack"):
        stress_test(watchful(), wrong, episodes=2, notify=lambda *done: told.append(done))
    wrong = Suite("s", (Condition("a"), Condition("b", perturbation=Perturbation("blur", 1))), "a")
    with pytest.raises(ConfigError, match="'b' cannot be played: pictures can be perturbed, and CartPole-v1"):
        stress_test(watchless(), wrong, episodes=2, notify=lambda *done: told.append(done))
    assert not told, "before anything was played"
    wrong = Suite("s", (Condition("a"), Condition("b", {"broken": True})), "a")
    with pytest.raises(EnvError, match="condition 'b' cannot be made: "):
        stress_test(watchful(), wrong, episodes=2)
    for suite in (None, 3):
        with pytest.raises(ConfigError, match=f"suite={suite} is none: give one of themes, pictures"):
            stress_test(watchful(), suite, episodes=2)  # type: ignore[arg-type]
    made = as_view(Watchful(), kind="q", env=lambda: gym.make("tests/Scene-v0"))
    with pytest.raises(ConfigError, match=r"'poorer' sets loss, but .* is made by a function, which takes no options"):
        stress_test(made, SUITE, episodes=2)
    rule = Suite("s", (Condition("a"),), "a", Success("info", key="caught"))
    with pytest.raises(ConfigError, match="tells no 'caught' where an episode ends"):
        stress_test(watchful(), rule, episodes=2)


def test_the_picture_of_the_scene_is_what_the_policy_compares_with() -> None:
    view = watchful()
    grey = np.full((2, 32, 32, 3), GREY, np.uint8)
    other = grey.copy()
    other[1, 5, 5, 0] += 1
    assert view.actor(rows=2).act(grey).tolist() == [0, 0]
    assert view.actor(rows=2).act(other).tolist() == [0, 1]
