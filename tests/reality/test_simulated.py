"""Simulations that are put into states: they go on as the ones that were read, and observations give states back."""

import numpy as np
import pytest

from jostle.envs import make_env, random_actions
from jostle.envs.world import Simulated
from jostle.errors import ConfigError
from jostle.reality import Model
from jostle.registration import CLASSIC

MUJOCO = ["jostle/HalfCheetah-v5", "jostle/Hopper-v5", "jostle/InvertedPendulum-v5"]
OTHERS = ["jostle/Ant-v5", "jostle/Reacher-v5", "jostle/Reach-v0"]


def made(name: str, rows: int, seed: int = 0):
    threads = {"threads": 1} if name not in CLASSIC else {}
    env = make_env(name, rows, seed=seed, **threads)
    env.reset()
    return env, env.world


@pytest.mark.parametrize("name", [*CLASSIC, *MUJOCO, *OTHERS])
def test_a_row_goes_on_as_the_one_whose_state_it_was_given(name: str) -> None:
    if name not in CLASSIC:
        pytest.importorskip("mujoco")
    (env, world), (other, twin) = made(name, 3), made(name, 3, seed=50)
    assert isinstance(world, Simulated)
    assert isinstance(twin, Simulated)
    if name in CLASSIC:
        for one in (world, twin):
            one.set_quantities({"action.delay": np.array([0.0, 2.0, 5.0])}, np.arange(3))
    rng = np.random.default_rng(0)
    for _ in range(12 if name in CLASSIC else 2):  # short enough that no episode ends
        env.step(random_actions(env.single_action_space, 3, rng))
        other.step(random_actions(env.single_action_space, 3, rng))
    order = [0, 1, 2] if name in CLASSIC else [2, 1, 0]  # classic rows keep their delays
    twin.write_states(world.read_states()[order])
    for _ in range(4 if name in CLASSIC else 1):
        action = random_actions(env.single_action_space, 3, rng)
        one, reward, *_ = world.step(action)
        two, again, *_ = twin.step(action[order])
        np.testing.assert_array_equal(two, one[order])
        np.testing.assert_array_equal(again, reward[order])
        np.testing.assert_array_equal(twin.observe_exactly(), world.observe_exactly()[order])
    env.close()
    other.close()


@pytest.mark.parametrize("name", [*CLASSIC, *MUJOCO])
def test_observations_give_the_state_back(name: str) -> None:
    """What the next step reads of it: the observation after one step under the same action."""
    if name not in CLASSIC:
        pytest.importorskip("mujoco")
    (env, world), (other, twin) = made(name, 4), made(name, 4, seed=9)
    assert isinstance(world, Simulated)
    assert isinstance(twin, Simulated)
    rng = np.random.default_rng(1)
    for _ in range(6 if name in CLASSIC else 2):
        env.step(random_actions(env.single_action_space, 4, rng))
    twin.write_states(twin.states_of(world.observe_exactly()))
    np.testing.assert_allclose(twin.observe_exactly(), world.observe_exactly(), atol=1e-12)
    action = random_actions(env.single_action_space, 4, rng)
    one, two = world.step(action), twin.step(action)
    np.testing.assert_allclose(two[0], one[0], atol=2e-5)
    np.testing.assert_allclose(two[1], one[1], atol=2e-4)
    env.close()
    other.close()


def test_a_row_that_had_ended_is_within_an_episode_again() -> None:
    env, world = made("jostle/CartPole-v1", 2)
    assert isinstance(world, Simulated)
    before = world.read_states()
    tilted = before.copy()
    tilted[0, 2] = 0.5  # beyond the limit
    world.write_states(tilted)
    assert world.step(np.array([0, 0]))[2].tolist() == [True, False]
    world.write_states(before)
    _, reward, *_ = world.step(np.array([1, 1]))
    assert reward.tolist() == [1.0, 1.0]  # a reset would pay 0
    env.close()


def test_exact_observations_have_no_noise() -> None:
    env, world = made("jostle/Pendulum-v1", 2)
    assert isinstance(world, Simulated)
    world.set_quantities({"observation.noise": np.full(2, 0.5)}, np.arange(2))
    noisy, *_ = world.step(np.zeros((2, 1)))
    theta, speed = world.read_states()[:, :2].T
    np.testing.assert_array_equal(world.observe_exactly(), np.stack([np.cos(theta), np.sin(theta), speed], 1))
    assert np.abs(noisy - world.observe_exactly()).max() > 0.05
    env.close()


def test_what_cannot_be_put_into_states_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"jostle/DeepSea-v0 on jostle cannot be put into states.*jostle/Pendulum-v1"):
        Model("jostle/DeepSea-v0", 2)
    model = Model("jostle/Pendulum-v1", 2)
    with pytest.raises(ConfigError, match=r"no quantity rod\.mas .*did you mean rod\.mass"):
        model.set({"rod.mas": 1.0})
    with pytest.raises(ConfigError, match=r"takes states of shape \(2, 11\), finite numbers"):
        model.put(np.zeros((2, 3)))
    with pytest.raises(ConfigError, match=r"observations of \(3,\) finite numbers"):
        model.states_of(np.zeros((2, 4)))
    model.close()


def test_observations_that_do_not_tell_the_state_are_refused() -> None:
    pytest.importorskip("mujoco")
    model = Model("jostle/Reacher-v5", 1, {"threads": 1})
    with pytest.raises(ConfigError, match="Reacher do not tell its state: record logs with states"):
        model.states_of(np.zeros((1, 10)))
    model.close()
