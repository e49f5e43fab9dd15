"""Nominal classic control equals Gymnasium's, over whole episodes from the same states and under the same actions."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from jostle.envs.diagnostics.classic import TASKS, ClassicVectorEnv
from jostle.registration import CLASSIC

PAIRS = {env_id.removeprefix("jostle/"): TASKS[env_id[7:].rpartition("-")[0]] for env_id in CLASSIC}
ROWS = 3


def energetic(env: ClassicVectorEnv, rng: np.random.Generator) -> np.ndarray:
    """Actions that reach every ending: the mountain car rocks, the acrobot swings, the others act at random."""
    if env.name == "MountainCar":
        return np.where(env.state[:, 1] > 0, 2, 0)
    if env.name == "MountainCarContinuous":
        return (np.where(env.state[:, 1] > 0, 1, -1) * rng.uniform(0.5, 1, ROWS))[:, None].astype(np.float32)
    if env.name == "Acrobot":
        return np.where(env.state[:, 3] > 0, 2, 0)
    if env.name == "Pendulum":
        return rng.uniform(-2.5, 2.5, (ROWS, 1)).astype(np.float32)
    return rng.integers(0, 2, ROWS)


def put(reference: Any, env: ClassicVectorEnv, rows: np.ndarray) -> None:
    for i in np.flatnonzero(rows):
        reference.envs[i].unwrapped.state = env.state[i]


@pytest.mark.parametrize("name", PAIRS)
def test_whole_episodes_equal_gymnasiums(name: str) -> None:
    env = PAIRS[name](ROWS)
    reference = gym.make_vec(name, ROWS, vectorization_mode="sync")
    rng = np.random.default_rng(0)
    env.reset(seed=3)
    reference.reset(seed=0)
    put(reference, env, np.ones(ROWS, bool))
    ended, endings, fresh = np.zeros(ROWS, bool), {"terminated": 0, "truncated": 0}, np.zeros(ROWS, bool)
    for _ in range(1100):
        action = energetic(env, rng)
        obs, reward, terminated, truncated, _ = env.step(action)
        expected = reference.step(action)
        fresh, ended = ended, terminated | truncated
        put(reference, env, fresh)
        states = np.array([e.unwrapped.state for e in reference.envs])
        if name == "Acrobot-v1":  # its speeds are squared by the C library's pow, which rounds otherwise now and then
            np.testing.assert_allclose(obs[~fresh], expected[0][~fresh], atol=1e-4)
        else:
            np.testing.assert_array_equal(env.state, states)
            np.testing.assert_array_equal(obs[~fresh], expected[0][~fresh])
        np.testing.assert_allclose(reward, expected[1], atol=1e-9 if name == "Pendulum-v1" else 0)
        np.testing.assert_array_equal(terminated, expected[2])
        np.testing.assert_array_equal(truncated, expected[3])
        endings["terminated"] += terminated.sum()
        endings["truncated"] += truncated.sum()
    assert endings["truncated" if name == "Pendulum-v1" else "terminated"] > 5


def test_one_step_of_the_acrobot_equals_gymnasiums_to_the_last_digits() -> None:
    env, one = PAIRS["Acrobot-v1"](500), gym.make("Acrobot-v1").unwrapped
    rng = np.random.default_rng(1)
    env.reset(seed=0)
    env.set_state(rng.uniform(-1, 1, (500, 4)) * [np.pi, np.pi, 4 * np.pi, 9 * np.pi])
    states, action = env.state, rng.integers(0, 3, 500)
    env.step(action)
    for i in range(500):
        one.state = states[i]
        one.step(action[i])
        np.testing.assert_allclose(env.state[i], one.state, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_spaces_and_limits_are_gymnasiums(name: str) -> None:
    reference, ours, vector = gym.make(name), gym.make(f"jostle/{name}"), gym.make_vec(f"jostle/{name}", 2)
    assert ours.observation_space == vector.single_observation_space == reference.observation_space
    assert ours.action_space == vector.single_action_space == reference.action_space
    assert ours.spec is not None
    assert reference.spec is not None
    assert ours.spec.max_episode_steps == reference.spec.max_episode_steps == vector.unwrapped.max_episode_steps
    assert PAIRS[name](1).max_episode_steps == reference.spec.max_episode_steps


@pytest.mark.parametrize("name", PAIRS)
def test_first_states_fill_gymnasiums_range(name: str) -> None:
    ours, reference = PAIRS[name](2000), gym.make_vec(name, 2000, vectorization_mode="sync")
    ours.reset(seed=0)
    reference.reset(seed=0)
    theirs = np.array([e.unwrapped.state for e in reference.envs])
    width = theirs.max(0) - theirs.min(0)
    np.testing.assert_allclose(ours.state.min(0), theirs.min(0), atol=0.02 * width.max())
    np.testing.assert_allclose(ours.state.max(0), theirs.max(0), atol=0.02 * width.max())
    np.testing.assert_allclose(ours.state.mean(0), theirs.mean(0), atol=0.05 * width.max())
    correlation = np.atleast_2d(np.corrcoef(ours.state[:, width > 0].T))
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.1
