"""Planning: the method alone, and policies that plan, against value iteration and by their seed."""

from pathlib import Path

import numpy as np
import pendulums
import pytest
from gymnasium import spaces

import jostle
from jostle.envs import make_env
from jostle.errors import ConfigError
from jostle.reality import Planner
from jostle.reality.cem import Categorical, Gaussian, best_of, noise, proposal_of
from jostle.reality.model import Told
from jostle.stress import stress_test

PENDULUM = "jostle/Pendulum-v1"


def test_the_method_finds_the_maximum_of_a_function() -> None:
    """Of −Σ (a − target)², whose maximum lies within the bounds, for two rows at once; and of one beyond them."""
    space = spaces.Box(-1.0, 1.0, (2,), np.float64)
    proposal, horizon = Gaussian(space), 3
    target = np.random.default_rng(0).uniform(-0.9, 0.9, (2, horizon, 2))
    target[1, 2] = 3.0
    plan, rows = proposal.first(2, horizon), np.arange(2)
    for iteration in range(30):
        z = noise(0, rows, np.zeros(2, np.int64), iteration, (200, horizon, 2), 0.3)
        actions = proposal.actions(plan, z)
        assert np.abs(actions).max() <= 1
        returns = -np.square(actions - target[:, None]).sum((2, 3))
        plan = proposal.moved(plan, best_of(actions, returns, 20), 0.9)
    np.testing.assert_allclose(plan[..., :2], np.clip(target, -1, 1), atol=0.01)


def test_the_method_finds_the_best_of_several_choices() -> None:
    proposal, horizon = Categorical(spaces.Discrete(4, start=2)), 6
    best = np.array([[2, 5, 3, 3, 2, 4]])
    plan = proposal.first(1, horizon)
    for iteration in range(20):
        z = noise(1, np.arange(1), np.zeros(1, np.int64), iteration, (100, horizon, 1), 0.5)
        actions = proposal.actions(plan, z)
        returns = (actions == best[:, None]).sum(2).astype(float)
        plan = proposal.moved(plan, best_of(actions, returns, 10), 0.9)
    assert (plan.argmax(2) + 2).tolist() == best.tolist()
    np.testing.assert_allclose(plan.sum(2), 1.0)
    later = proposal.shifted(plan)
    assert (later[:, :-1].argmax(2) == plan[:, 1:].argmax(2)).all()
    np.testing.assert_allclose(later[:, -1], 0.25)


def test_a_plan_moves_by_its_share_and_shifts_by_a_step() -> None:
    proposal = Gaussian(spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 4.0]), dtype=np.float64))
    plan = proposal.first(1, 3)
    np.testing.assert_array_equal(plan[0], [[0, 2, 1, 2]] * 3)
    elites = np.array([[[[0.5, 1.0]] * 3, [[0.1, 3.0]] * 3]])
    moved = proposal.moved(plan, elites, 0.75)  # their means are 0.3 and 2, their deviations 0.2 and 1
    np.testing.assert_allclose(moved[0], [[0.75 * 0.3, 2.0, 0.25 + 0.75 * 0.2, 0.5 + 0.75 * 1]] * 3)
    moved[0, :, :2] = [[0.1, 1.0], [0.2, 2.0], [0.3, 3.0]]
    np.testing.assert_array_equal(proposal.shifted(moved)[0], [[0.2, 2, 1, 2], [0.3, 3, 1, 2], [0, 2, 1, 2]])
    z = np.random.default_rng(0).normal(size=(1, 5, 3, 2))
    actions = proposal.actions(moved, z)
    np.testing.assert_array_equal(actions[0, 0], moved[0, :, :2])
    assert (actions[0, 1:] != moved[0, :, :2]).any((1, 2)).all()


def test_samples_are_others_at_every_step_and_iteration() -> None:
    rows, shape = np.zeros(3, np.int64), (4, 2, 1)
    first, again = (noise(0, rows, np.arange(3), iteration, shape, 0.5) for iteration in (0, 1))
    assert len(np.unique([first, again])) == 2 * 3 * 4 * 2


def test_samples_are_normal_and_correlated_in_time() -> None:
    z = noise(3, np.arange(4), np.arange(4), 0, (5000, 6, 2), 0.7)
    assert z.std() == pytest.approx(1.0, abs=0.01)
    assert (z[:, :, 1:] * z[:, :, :-1]).mean() == pytest.approx(0.7, abs=0.02)
    assert (z[:, :, 2:] * z[:, :, :-2]).mean() == pytest.approx(0.49, abs=0.02)
    assert abs((z[..., 0] * z[..., 1]).mean()) < 0.02
    assert abs((z[0] * z[1]).mean()) < 0.02
    alone = noise(3, np.arange(1), np.arange(1), 0, (5000, 6, 2), 0.7)
    np.testing.assert_array_equal(alone[0], z[0])


def test_the_choice_is_distributed_as_the_plan_says() -> None:
    proposal = Categorical(spaces.Discrete(3))
    plan = np.tile([0.2, 0.5, 0.3], (1, 2, 1))
    z = noise(0, np.arange(1), np.zeros(1, np.int64), 0, (20000, 2, 1), 0.7)
    shares = np.bincount(proposal.actions(plan, z)[0, 1:, 1], minlength=3) / 19999
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=0.015)


OTHER = {"mass": 0.8, "length": 1.2, "damping": 0.1}


@pytest.mark.parametrize(
    "physics", [pytest.param({}, id="nominal"), pytest.param(OTHER, id="other", marks=pytest.mark.slow)]
)
def test_on_the_pendulum_it_is_within_five_per_cent_of_value_iteration(physics: dict[str, float]) -> None:
    names = {"mass": "rod.mass", "length": "rod.length", "damping": "rod.damping"}
    values = {names[key]: value for key, value in physics.items()}
    env = make_env(PENDULUM, 8, seed=0, domain=values)
    env.reset(seed=0)
    theta, speed = env.world.state.T
    env.close()
    optimal = pendulums.ValueIteration(**physics).returns(theta, speed).mean()
    more = {"samples": 500, "iterations": 4} if physics else {"samples": 100, "iterations": 2}
    planner = Planner(PENDULUM, quantities=values, horizon=40, **more)
    reached = jostle.evaluate(planner, 8, env=PENDULUM, domain=values, seed=0)
    assert [e.length for e in reached.episodes] == [200] * 8
    assert reached.mean > optimal - 0.05 * abs(optimal), (reached.mean, optimal)
    planner.close()


def test_the_model_matters() -> None:
    """A planner that takes a heavy pendulum for a light one is worse than one that knows."""
    heavy = {"rod.mass": 1.8, "rod.length": 1.1}
    how = {"horizon": 25, "samples": 60, "iterations": 2}
    mean = {
        name: jostle.evaluate(Planner(PENDULUM, quantities=values, **how), 6, env=PENDULUM, domain=heavy, seed=1).mean
        for name, values in {"true": heavy, "nominal": {}}.items()
    }
    assert mean["true"] > mean["nominal"] + 50, mean


def test_discrete_actions_hold_the_pole() -> None:
    planner = Planner("jostle/CartPole-v1", horizon=30, samples=50, iterations=2)
    found = jostle.evaluate(planner, 3, env="jostle/CartPole-v1", env_options={"max_episode_steps": 120})
    assert found.returns.tolist() == [120.0] * 3
    short = Planner("jostle/CartPole-v1", horizon=1, samples=40, iterations=1)
    assert jostle.evaluate(short, 3, env="jostle/CartPole-v1").mean < 100  # one step ahead every action pays the same


def test_what_it_does_is_a_function_of_its_seed_and_each_rows_observations() -> None:
    angle = np.array([0.05, -0.1, 0.2])  # near the top, where the best torque is not one of the ends
    obs = np.stack([np.cos(angle), np.sin(angle), 0.0 * angle], axis=1).astype(np.float32)

    def actions(seed: int, rows: list[int]) -> np.ndarray:
        planner, state, found = Planner(PENDULUM, horizon=8, samples=20, seed=seed), None, []
        for k in range(3):
            action, state = planner.predict(obs[rows] * (1 - 0.1 * k), state, np.array([k == 2] * len(rows)))
            found.append(action)
        return np.stack(found)

    first = actions(0, [0, 1, 2])
    np.testing.assert_array_equal(first, actions(0, [0, 1, 2]))
    np.testing.assert_array_equal(first[:, :2], actions(0, [0, 1]))
    assert (first != actions(1, [0, 1, 2])).any()
    np.testing.assert_array_equal(first[2, 0], Planner(PENDULUM, horizon=8, samples=20).predict(obs[:1] * 0.8)[0][0])


def test_a_plan_is_taken_up_at_the_next_step() -> None:
    """With one iteration of few samples, plans that go on are better than plans that begin anew."""

    class Forgetful(Planner):
        def predict(self, obs, state=None, episode_start=None):
            return super().predict(obs)[0], None

    how = {"horizon": 25, "samples": 24, "iterations": 1, "seed": 3}
    means = [jostle.evaluate(kind(PENDULUM, **how), 8, env=PENDULUM, seed=5).mean for kind in (Planner, Forgetful)]
    assert means[0] > means[1] + 30, means


class Falling(Planner):
    """Of its samples the earlier ones pay more, and all of an iteration more than those of the next one."""

    asked = 0

    def returns(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        self.asked += 1
        return np.tile(-100.0 * self.asked - np.arange(actions.shape[1]), (len(actions), 1))


def test_the_plan_moves_to_all_elites_and_the_best_of_all_iterations_is_played() -> None:
    once = Falling(PENDULUM, horizon=4, samples=10, iterations=1, elites=0.3, share=0.5)
    obs = np.array([[1.0, 0.0, 0.0]], np.float32)
    _, (plan, _) = once.predict(obs)
    samples = once._proposal.actions(
        once._proposal.first(1, 4), noise(0, np.zeros(1, np.int64), np.zeros(1, np.int64), 0, (10, 4, 1), 0.7)
    )[0, :3, :, 0]
    np.testing.assert_allclose(plan[0], np.stack([samples.mean(0) / 2, 1 + samples.std(0) / 2], 1))
    action, (plan, _) = Falling(PENDULUM, horizon=4, samples=10, iterations=3, elites=0.3).predict(obs)
    assert action[0, 0] == 0.0, "the middle of the first plan"
    assert abs(plan[0, 0, 0]) > 0.01, "which has moved since"


def test_sequences_in_which_the_model_breaks_down_are_the_worst() -> None:
    planner = Planner("jostle/CartPole-v1", horizon=3, samples=2)
    model = planner._of_rows(1)
    model.step = lambda actions: Told(np.array([1.0, np.nan if actions[1] else 1.0]), np.zeros(2, bool))  # type: ignore[method-assign]
    actions = np.array([[[0, 0, 0], [0, 1, 0]]])
    assert planner.returns(model.states_of(np.zeros((1, 4), np.float32)), actions).tolist() == [[3.0, -np.inf]]


def test_returns_end_with_the_episode() -> None:
    """CartPole pays 1 a step until it falls: the return of a sequence is how long the pole stands."""
    planner = Planner("jostle/CartPole-v1", horizon=30, samples=2, gamma=0.9)
    model = planner._of_rows(1)
    pushes = np.stack([np.zeros(30, np.int64), np.arange(30) % 2])[None]
    returns = planner.returns(model.states_of(np.zeros((1, 4), np.float32)), pushes)
    env = make_env("jostle/CartPole-v1", 1)
    env.reset()
    env.world.set_state(np.zeros((1, 4)))
    steps = 0
    for _ in range(30):
        steps += 1
        if env.step(np.zeros(1, np.int64))[2][0]:
            break
    assert 5 < steps < 15
    np.testing.assert_allclose(returns[0], [(1 - 0.9**steps) / 0.1, (1 - 0.9**30) / 0.1])
    env.close()


def test_a_stress_test_plays_it(tmp_path: Path) -> None:
    planner = Planner(PENDULUM, horizon=5, samples=8, iterations=1)
    view = jostle.as_view(planner, env=PENDULUM, name="plans")
    suite = tmp_path / "rods.yaml"
    suite.write_text("conditions:\n  - {name: light, env_options: {domain: {rod.mass: 0.5}}}\n")
    found = stress_test({"plans": view}, suite, episodes=2, seed=1)
    assert found.cells[0].method == "plans"
    assert len(found.cells[0].episodes) == 2


def test_mujoco() -> None:
    """A few steps: the planner's first action is better than none for the cheetah's next steps."""
    pytest.importorskip("mujoco")
    planner = Planner("jostle/HalfCheetah-v5", horizon=8, samples=24, iterations=2, env_options={"threads": 1})
    env = make_env("jostle/HalfCheetah-v5", 1, seed=0, threads=1)
    obs, _ = env.reset()
    state, total = None, 0.0
    for _ in range(15):
        action, state = planner.predict(obs, state)
        obs, reward, *_ = env.step(action)
        total += float(reward[0])
    idle = make_env("jostle/HalfCheetah-v5", 1, seed=0, threads=1)
    idle.reset()
    still = sum(float(idle.step(np.zeros((1, 6), np.float32))[1][0]) for _ in range(15))
    assert total > still + 5
    for one in (env, idle):
        one.close()
    planner.close()


def test_what_cannot_be_planned_is_said() -> None:
    for words, call in {
        "horizon=0 cannot be used": lambda: Planner(PENDULUM, horizon=0),
        "samples=1 cannot be used": lambda: Planner(PENDULUM, samples=1),
        "elites=0 cannot be used": lambda: Planner(PENDULUM, elites=0),
        "correlation=1 cannot be used": lambda: Planner(PENDULUM, correlation=1),
        "gamma=1.5 cannot be used": lambda: Planner(PENDULUM, gamma=1.5),
        r"no quantity rod\.mas .*did you mean": lambda: Planner(PENDULUM, quantities={"rod.mas": 1.0}),
        "cannot be put into states": lambda: Planner("jostle/DeepSea-v0"),
        "sequences are planned of Discrete actions or boxes": lambda: proposal_of(spaces.MultiBinary(2), "x"),
        "must be vectors with bounds": lambda: proposal_of(spaces.Box(-np.inf, np.inf, (1,)), "x"),
    }.items():
        with pytest.raises(ConfigError, match=words):
            call()
