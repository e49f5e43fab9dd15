"""Suites of physics: what their conditions are, what is played under them, controls, the matrix and the worst case."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jostle.envs import make_env
from jostle.errors import ConfigError
from jostle.stress import stress_test
from jostle.stress.figures import plot_stress
from jostle.stress.physics import (
    PACKER,
    RULES,
    control_of,
    generalisation,
    generalisation_intervals,
    grid,
    levels,
    worst_case,
)
from jostle.stress.suites import make_suite
from jostle.stress.target import target_of
from jostle.view import as_view

CARTPOLE = "jostle/CartPole-v1"


def rule(env: str = CARTPOLE, **options: Any) -> Any:
    return as_view(control_of(env), env=env, env_options=options, name="fixed rule")


def share(result: Any, condition: str) -> float:
    (cell,) = result.select("fixed rule", "mean", condition)
    assert cell.successes is not None
    return float(cell.successes.mean())


def test_the_extreme_set_lies_outside_of_the_random_one_and_fills_the_rest() -> None:
    for ranges in PACKER.values():
        for r in ranges.values():
            values = np.array(r.extreme)
            assert ((values > r.least) & (values < r.most)).all()
            assert not ((values > r.low) & (values < r.high)).any()
            assert (values < r.low).mean() == pytest.approx(
                (r.low - r.least) / (r.low - r.least + r.most - r.high), abs=0.011
            )
    force = np.array(PACKER["CartPole"]["force"].extreme)
    assert [force[0], force[-1]] == pytest.approx([1 + 0.045, 20 - 0.045])


def test_the_fixed_rule_is_as_good_as_was_measured() -> None:
    """The reference's numbers, 300 episodes each: 100%, 100%, 98.3%; at random 0."""
    result = stress_test({"fixed rule": rule()}, "physics-sets", episodes=120, num_envs=60)
    assert share(result, "default") == share(result, "random") == 1.0
    assert share(result, "extreme") >= 0.93
    assert all(not cell.successes.any() for cell in result.chance)
    lengths = [e.length for cell in result.cells for e in cell.episodes]
    assert max(lengths) == 200


def test_a_policy_of_gymnasiums_is_tested_in_the_twin() -> None:
    for env, options in (("CartPole-v1", {"engine": "gymnasium"}), (CARTPOLE, {})):
        target = target_of(rule(env, **options))
        suite = make_suite("physics-sets", target)
        extreme = suite["extreme"]
        assert (extreme.env or target.env) == CARTPOLE
        assert extreme.options(target.options).keys() == {"domain", "max_episode_steps"}, "its own options are gone"
        made = make_env(extreme.env or target.source, 40, **extreme.options(target.options))
        values = made.reset(seed=0)[1]["domain"]
        for i, name in enumerate(made.domain.names):
            r = PACKER["CartPole"][name]
            assert not ((values[:, i] > r.low) & (values[:, i] < r.high)).any()
            assert len(np.unique(values[:, i])) > 10
        made.close()


def test_a_sweep_of_the_trainings_domain() -> None:
    domain = {"pole.mass": {"uniform": [0.5, 2], "operation": "scale"}, "force": [8, 12], "gravity": 9.0}
    target = target_of(rule(domain=domain))
    suite = make_suite("physics-sweep", target)
    assert suite.names[0] == suite.reference == "nominal"
    assert len(suite.conditions) == 11, "gravity has one value only"
    first = suite["pole.mass = 0.05"]
    assert first.options(target.options)["domain"] == {"parameters": {"pole.mass": {"constant": 0.05}}}
    assert dict(first.labels) == {"parameter": "pole.mass", "value": "0.05"}
    assert suite["nominal"].options(target.options).get("domain") is None
    made = make_env(target.source, 3, **first.options(target.options))
    made.reset(seed=0)
    assert made.world.quantity("pole.mass").tolist() == [0.05] * 3 if hasattr(made.world, "quantity") else True
    made.close()


def test_a_pair_makes_a_heat_map(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    domain = {"pole.half_length": [0.1, 0.9], "force": [2, 18]}
    suite = make_suite("physics-pair", target_of(rule(domain=domain)))
    assert len(suite.conditions) == 25
    assert suite.reference == "pole.half_length = 0.3, force = 6"
    file = tmp_path / "small.yaml"
    file.write_text("grid: {pole.half_length: [0.1, 0.5], force: [2, 10, 18]}\n")
    result = stress_test({"fixed rule": rule()}, file, episodes=2, baseline=False)
    figure = plot_stress(result)
    (panel,) = figure.axes
    assert len(panel.images) == 1
    assert panel.images[0].get_array().shape == (2, 3)


def test_levels() -> None:
    assert levels(0.05, 0.5) == pytest.approx([0.05 * 10 ** (k / 4) for k in range(5)])
    assert levels(-1.0, 1.0) == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_sweeps_and_grids_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "masses.yaml"
    file.write_text("sweep: {pole.mass: [0.05, 0.5], force: [5]}\n")
    suite = make_suite(file, target_of(rule()))
    assert suite.names == ["nominal", "pole.mass = 0.05", "pole.mass = 0.5", "force = 5"]
    file.write_text("grid: {pole.mass: [0.05, 0.5], force: [5, 10]}\nsuccess: return >= 100\n")
    suite = make_suite(file, target_of(rule()))
    assert len(suite.conditions) == 4
    assert str(suite.success) == "return >= 100"
    for text, said in (
        ("grid: {force: [5]}", "needs two parameters"),
        ("sweep: {force: five}", "needs a list of numbers"),
        ("sweep: {}", "names no parameter"),
        ("sweep: {force: [5]}\nreference: nominal", "leave out reference"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=said):
            make_suite(file, target_of(rule()))


def test_what_has_no_physics_to_vary() -> None:
    view = as_view(lambda obs: np.zeros(len(obs), np.int64), env="jostle/DeepSea-v0")
    for name in ("physics-sets", "physics-sweep", "physics-pair"):
        with pytest.raises(ConfigError, match="DeepSea"):
            make_suite(name, target_of(view))
    with pytest.raises(ConfigError, match="no fixed rule for jostle/DeepSea-v0"):
        control_of("jostle/DeepSea-v0")


@pytest.mark.parametrize("task", RULES)
def test_each_control_solves_its_nominal_task(task: str) -> None:
    env = {"MountainCar": "jostle/MountainCar-v0"}.get(task, f"jostle/{task}-v1")
    made = make_env(env, 80, seed=3)
    obs, _ = made.reset()
    ended, won = np.zeros(80, bool), np.zeros(80, bool)
    for _ in range(510):
        obs, _, terminated, truncated, info = made.step(RULES[task](obs))
        if "_is_success" in info:
            won |= info["is_success"] & info["_is_success"] & ~ended
        ended |= terminated | truncated
        if ended.all():
            break
    assert won.mean() >= {"MountainCar": 0.6, "Acrobot": 0.6}.get(task, 0.9)


def test_the_matrix_of_packer_et_al_by_hand() -> None:
    rates = {("D", "D"): 1.0, ("R", "R"): 0.8, ("D", "R"): 0.5, ("D", "E"): 0.25, ("R", "E"): 0.064}
    assert generalisation(rates) == (1.0, 0.8, pytest.approx(0.2))
    with pytest.raises(ConfigError, match="R on E is missing"):
        generalisation({k: v for k, v in rates.items() if k != ("R", "E")})
    with pytest.raises(ConfigError, match="no rate"):
        generalisation(rates | {("D", "D"): 98.0})


def test_the_worst_case_is_found_where_it_is_known_to_be() -> None:
    """Push-right alone falls sooner the stronger the push and the shorter the pole; gravity hardly matters."""
    view = as_view(lambda obs: np.ones(len(obs), np.int64), env=CARTPOLE, name="right")
    space = {"force": [2, 20], "pole.half_length": [0.2, 1.0], "gravity": [9.5, 10.0]}
    found = worst_case(view, space, rounds=3, draws=24, episodes=2, final=24)
    assert found.values["force"] > 15
    assert found.values["pole.half_length"] < 0.35
    assert found.score.high < found.nominal.low
    assert found.tried == 72
    assert found == worst_case(view, space, rounds=3, draws=24, episodes=2, final=24)
    with pytest.raises(ConfigError, match="draws=0"):
        worst_case(view, space, draws=0)


def test_later_rounds_look_where_it_was_worst() -> None:
    """A search that follows the best quarter instead ends at 7.0, for its first round alone finds anything."""
    view = as_view(lambda obs: np.ones(len(obs), np.int64), env=CARTPOLE, name="right")
    space = {"force": [2, 20], "pole.half_length": [0.2, 1.0], "timestep": [0.005, 0.02], "gravity": [9.5, 10.0]}
    found = [worst_case(view, space, rounds=5, draws=16, episodes=2, final=16, seed=s).score.point for s in (0, 1)]
    assert np.mean(found) < 6.3


def test_intervals_of_the_three_numbers() -> None:
    """Of runs by resampling them together, of one run by the posterior of its rates."""
    rng = np.random.default_rng(0)
    pairs = [("D", "D"), ("D", "R"), ("D", "E"), ("R", "R"), ("R", "E"), ("R", "D")]
    rates = dict(zip(pairs, (1.0, 0.8, 0.4, 0.9, 0.7, 0.9), strict=True))
    one = {pair: [(rng.random(400) < rate).astype(float)] for pair, rate in rates.items()}
    found = generalisation_intervals(one)
    assert found.default.point == 1.0
    assert 0.985 < found.default.low < 1.0, "100% of 400 episodes are not surely 100%"
    assert found.extrapolation.low < np.cbrt(0.8 * 0.4 * 0.7) < found.extrapolation.high
    assert found.extrapolation.high - found.extrapolation.low < 0.08
    wide = {pair: [np.full(10, rate), np.full(10, max(rate - 0.4, 0.0))] for pair, rate in rates.items()}
    several = generalisation_intervals(wide)
    assert several.interpolation.low < 0.5, "both runs may be the one of 0.5"
    assert several.interpolation.high > 0.9
    assert several.extrapolation.low < 0.1, "both runs of D may be the one that fails in E"
    never = generalisation_intervals({pair: [np.zeros(5), np.zeros(5)] for pair in pairs})
    assert never.default.low == never.default.point == 0.0
    assert 0.1 < never.default.high < 0.6, "0 of 5 is not never"
    with pytest.raises(ConfigError, match="R on R is missing"):
        generalisation_intervals({pair: runs for pair, runs in one.items() if pair != ("R", "R")})


def test_the_runs_of_a_method_are_resampled_together_in_all_tests() -> None:
    """Where each of two runs fails in the other's test, no resample of both wins everywhere: 0.5 · 0.5 is the most."""
    well, badly = np.ones(2000), np.zeros(2000)
    success = {("D", "D"): [well, well], ("R", "R"): [well, well], ("R", "E"): [well, well]}
    success |= {("D", "R"): [well, badly], ("D", "E"): [badly, well]}
    found = generalisation_intervals(success)
    assert found.extrapolation.point == pytest.approx(np.cbrt(0.25))
    assert found.extrapolation.high == pytest.approx(np.cbrt(0.25), abs=0.01)


def test_the_middle_of_a_grid_that_is_no_square() -> None:
    made = grid("map", {"force": [2.0, 10.0], "pole.half_length": [0.1, 0.5, 0.9, 1.3]}, target_of(rule()))
    assert made.reference == "force = 10, pole.half_length = 0.9"
