"""Suites of physics for environments that draw by themselves, in comparisons and in studies."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import jostle
from jostle.domain import Quantity
from jostle.envs import Randomise, make_env
from jostle.errors import ConfigError, EnvError
from jostle.stress import compare_policies, stress_test
from jostle.stress.physics import control_of
from jostle.stress.physics.ranges import widened
from jostle.stress.suites import make_suite
from jostle.stress.target import target_of
from jostle.view import as_view

SUITES = ("physics-sets", "physics-sweep", "physics-pair", "physics-sobol", "physics-worst")
DAMPING, MASS = "thigh_joint.damping", "torso.mass"


def hopper() -> gym.Env[Any, Any]:
    """Gymnasium's own, wrapped by somebody; short, for it is stepped one by one."""
    space = {MASS: {"uniform": [0.5, 2], "operation": "scale"}, DAMPING: [0.2, 5.0]}
    return Randomise(gym.make("Hopper-v5", max_episode_steps=10), space)


def pole() -> gym.Env[Any, Any]:
    """Constants that are attributes, with what follows from them."""
    return Randomise(gym.make("CartPole-v1"), {"masspole": [0.05, 2.0], "force_mag": [2.0, 30.0]})


def hopping(name: str = "hopping", gain: float = 0.3) -> Any:
    return as_view(lambda obs: np.clip(-gain * obs[:, 5:8], -1, 1).astype(np.float32), env=hopper, name=name)


@pytest.mark.parametrize("suite", SUITES)
def test_a_foreign_mujoco_environment_through_each_suite(suite: str) -> None:
    result = stress_test(hopping(), suite, episodes=3, points=4, baseline=False)
    assert result.complete
    if suite not in ("physics-sets", "physics-pair"):
        assert result.suite.reference == "nominal"
    count = {"physics-sets": 3, "physics-sweep": 11, "physics-pair": 25, "physics-sobol": 2, "physics-worst": 4}[suite]
    assert len(result.cells) == count
    means = [tuple(cell.returns) for cell in result.cells]
    assert len(set(means)) > 0.7 * count, "worlds differ"
    if suite == "physics-sobol":
        assert result.sobol[0].indices["return"].names == (MASS, DAMPING)


def test_what_is_not_named_is_nominal_in_environments_that_draw_by_themselves() -> None:
    target = target_of(hopping())
    suite = make_suite("physics-sweep", target)
    for condition in (suite["nominal"], suite.conditions[3]):
        made = make_env(target.source, 2, seed=4, **condition.options(target.options))
        made.reset()
        rows = made._engine._vector.unwrapped.envs
        wanted = {name: law["constant"] for name, law in condition.env_options["domain"]["parameters"].items()}
        assert wanted.keys() == {MASS, DAMPING}
        for _ in range(15):  # into a second episode
            made.step(np.zeros((2, 3), np.float32))
            for row in rows:
                assert row.unwrapped.model.body("torso").mass[0] == pytest.approx(wanted[MASS])
                assert row.unwrapped.model.joint("thigh_joint").damping[0] == pytest.approx(wanted[DAMPING])
        made.close()
    nominal = suite["nominal"].env_options["domain"]["parameters"]
    lone = gym.make("Hopper-v5").unwrapped.model
    assert nominal[MASS]["constant"] == pytest.approx(lone.body("torso").mass[0])
    assert nominal[DAMPING]["constant"] == pytest.approx(lone.joint("thigh_joint").damping[0])


def test_the_nominal_world_of_a_foreign_environment_is_the_bare_environment() -> None:
    view = hopping()
    result = stress_test(view, "physics-sweep", episodes=2, num_envs=2, seed=3, baseline=False)
    bare = as_view(view.call, env=lambda: gym.make("Hopper-v5", max_episode_steps=10))
    played = jostle.evaluate(bare, 2, seed=3, num_envs=2)
    (cell,) = result.select("hopping", "mean", "nominal")
    assert cell.returns == pytest.approx([episode.ret for episode in played.episodes], abs=1e-9)


def test_attributes_and_what_follows_from_them() -> None:
    view = as_view(lambda obs: np.ones(len(obs), np.int64), env=pole, name="right")
    result = stress_test(view, "physics-sets", episodes=8, baseline=False)
    assert [c.name for c in result.suite.conditions] == ["default", "random", "extreme"]
    target = target_of(view)
    made = make_env(target.source, 6, seed=0, **result.suite["extreme"].options({}))
    made.reset()
    for row in made._engine._vector.unwrapped.envs:
        assert row.unwrapped.total_mass == pytest.approx(row.unwrapped.masspole + row.unwrapped.masscart)
        assert not 2.0 <= row.unwrapped.force_mag <= 30.0
    made.close()


def test_held_values_are_those_of_every_episode() -> None:
    env = pole()
    env.reset(seed=0)
    env.hold({"masspole": 0.7})
    assert env.unwrapped.masspole == 0.7
    for seed in (1, None, None):
        _, info = env.reset(seed=seed)
        assert info["domain"] == {"masspole": 0.7, "force_mag": 10.0}
    env.hold({"force_mag": 3.0})
    assert env.reset()[1]["domain"] == {"masspole": 0.7, "force_mag": 3.0}
    assert env.reset(options={"domain": "nominal"})[1]["domain"] == {"masspole": 0.1, "force_mag": 10.0}
    with pytest.raises(ConfigError, match="has no masspol;"):
        env.hold({"masspol": 1.0})
    with pytest.raises(ConfigError, match="makes no sense"):
        env.hold({"masspole": -1.0})


def test_seeds_for_each_row() -> None:
    """Row i is seeded with its own: classic control, MuJoCo, Gymnasium in this process and in workers."""
    seeds = [7, 7, 3]
    for name, how in (
        ("jostle/CartPole-v1", {}),
        ("jostle/Hopper-v5", {}),
        ("CartPole-v1", {"engine": "gymnasium"}),
        ("CartPole-v1", {"engine": "gymnasium", "seed_global": True}),
        ("CartPole-v1", {"engine": "gymnasium", "workers": 2}),
    ):
        made = make_env(name, 3, **how)
        obs, _ = made.reset(seed=seeds)
        alone = make_env(name, 1, **{k: v for k, v in how.items() if k != "workers"})
        assert np.array_equal(obs[0], obs[1])
        for row, seed in enumerate(seeds):
            assert np.array_equal(obs[row], alone.reset(seed=seed)[0][0]), (name, how)
        made.close()
        alone.close()
    made = make_env("jostle/CartPole-v1", 3)
    with pytest.raises(ConfigError, match="2 seeds for 3"):
        made.reset(seed=[1, 2])
    made.close()
    made = make_env("jostle/CartPole-v1", 2, domain={"force": [5, 10]})
    with pytest.raises(ConfigError, match="by one seed"):
        made.reset(seed=[1, 2])
    made.close()
    pytest.importorskip("envpool")
    made = make_env("CartPole-v1", 2, engine="envpool")
    with pytest.raises((ConfigError, EnvError), match="give one seed"):
        made.reset(seed=[1, 2])
    made.close()


@pytest.mark.parametrize(
    "suite", [pytest.param(name, marks=pytest.mark.slow) if name == "physics-pair" else name for name in SUITES]
)  # whose 25 worlds and more take as long as all others
def test_every_suite_compares_in_pairs_with_its_clean_arm(suite: str) -> None:
    env, options = "jostle/CartPole-v1", {"domain": {"force": [5, 15], "pole.half_length": [0.2, 0.8]}}
    good = as_view(control_of(env), env=env, env_options=options, name="good")
    bad = as_view(lambda obs: (obs[:, 2] > 0).astype(int), env=env, env_options=options, name="bad")
    found = compare_policies(good, bad, suite, episodes=12)
    assert found.complete
    assert all(one.paired for one in found.conditions)
    clean = [one for one in found.conditions if one.beyond_clean is None]
    assert [one.condition for one in clean] == [found.suite.reference]
    assert clean[0].verdict == "REGRESSED"
    assert compare_policies(good, good, suite, episodes=6).verdict == "NO DIFFERENCE SEEN"


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_in_a_study(suite: str, tmp_path: Path) -> None:
    from jostle.report import write_report
    from jostle.study import job, make_study
    from jostle.study.run import prepare
    from jostle.study.state import write_results

    domain = {"force": [5, 15], "pole.half_length": [0.2, 0.8]}
    spec = make_study(
        {
            "name": "poles", "seeds": 1, "steps": 64,
            "tasks": {"pole": {"env": "jostle/CartPole-v1", "num_envs": 4, "env_options": {"domain": domain}}},
            "methods": {"ppo": {"algorithm": "ppo", "config": {"num_steps": 8, "hidden": [8]}}},
            "stress": {"suite": suite, "episodes": 4, "points": 8},
        }
    )  # fmt: skip
    folder = tmp_path / "poles"
    for one in spec.jobs:
        prepare(folder / one.folder, one)
        job.work(folder / one.folder)
    write_results(spec, folder)
    row = json.loads((folder / "results.jsonl").read_text().splitlines()[0])
    cells = row["scores"]["stress"][suite]
    reference = {"physics-sets": "default|mean", "physics-pair": "force = 10, pole.half_length = 0.5|mean"}
    assert reference.get(suite, "nominal|mean") in cells
    where = folder / spec.jobs[0].folder / "stress" / suite
    assert (where / "sobol.csv").exists() == (suite == "physics-sobol")
    anchors = {"physics-sets": "sets", "physics-sweep": "sweeps", "physics-pair": "pairs", "physics-sobol": "sobol",
               "physics-worst": "worst"}  # fmt: skip
    text = write_report(folder).read_text()
    assert f'<section id="{anchors[suite]}"' in text
    assert sum(f'<section id="{anchor}"' in text for anchor in anchors.values()) == 1


def test_the_fixed_rule_stands_beside_random_play() -> None:
    result = stress_test(as_view(lambda obs: np.zeros(len(obs), int), env="CartPole-v1", name="left"), "physics-sets",
                         episodes=10)  # fmt: skip
    assert {cell.method for cell in result.chance} == {"random play", "fixed rule"}
    (rule,) = result.control_in("fixed rule", "default")
    assert rule.successes is not None
    assert rule.successes.all()
    (chance,) = result.chance_in("default")
    assert chance.method == "random play"
    without = stress_test(as_view(lambda obs: np.zeros(len(obs), int), env="CartPole-v1"), "physics-sets", episodes=2,
                          baseline=False)  # fmt: skip
    assert without.chance == []


def test_a_range_is_widened_within_what_makes_sense() -> None:
    free: Callable[..., Quantity] = lambda **bounds: Quantity("x", nominal=1.0, **bounds)  # noqa: E731
    assert widened(1.0, 3.0, free()) == (1.0, 3.0, 0.0, 4.0)
    assert widened(1.0, 9.0, free()) == pytest.approx((1.0, 9.0, 1 / 3, 27.0)), "by ratios"
    assert widened(0.5, 1.5, free(low=0.5, high=1.6)) == (0.5, 1.5, 0.5, 1.6)
    assert widened(0.0, 1.0, free(low=0.0, high=1.0)) is None
    found = widened(1.0, 3.0, free(low=1.0))
    assert found is not None
    assert min(found.extreme) > 3.0
