"""`Randomise` in other people's loops: Stable-Baselines3, CleanRL's vectors of thunks, jostle's workers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from jostle.envs import Randomise, make_env

SPACE = {"masspole": [0.05, 0.5], "length": [0.3, 0.9]}


def make() -> gym.Env[Any, Any]:
    return Randomise(gym.make("CartPole-v1"), SPACE)


def test_stable_baselines_learns_in_it() -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.env_util import make_vec_env

    env = make_vec_env(make, n_envs=3, seed=5)
    model = sb3.PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, device="cpu", seed=0)
    model.learn(400)
    domains = [info["domain"] for info in env.reset_infos]
    assert len({tuple(d.values()) for d in domains}) == 3
    masses = set()
    env.reset()
    for _ in range(60):
        infos = env.step(np.ones(3, np.int64))[3]
        masses |= {info["domain"]["masspole"] for info in infos}
    assert len(masses) > 10, "every episode has a draw of its own"


def cleanrl(index: int) -> Callable[[], gym.Env[Any, Any]]:
    """As in CleanRL's ppo.py: a thunk for each row."""

    def thunk() -> gym.Env[Any, Any]:
        return gym.wrappers.RecordEpisodeStatistics(make())

    return thunk


@pytest.mark.parametrize("kind", [gym.vector.SyncVectorEnv, gym.vector.AsyncVectorEnv])
def test_gymnasiums_vectors_of_thunks(kind: Any) -> None:
    envs = kind([cleanrl(i) for i in range(2)])
    _, info = envs.reset(seed=1)
    assert info["domain"]["masspole"].shape == (2,)
    single = make()
    for i in range(2):
        assert single.reset(seed=1 + i)[1]["domain"]["masspole"] == info["domain"]["masspole"][i]
    seen = {tuple(info["domain"]["length"])}
    for _ in range(40):
        info = envs.step(np.ones(2, np.int64))[4]
        seen.add(tuple(info["domain"]["length"]))
    assert len(seen) >= 6
    envs.close()


def test_jostles_environments_and_workers() -> None:
    here = make_env(make, num_envs=2, seed=3)
    there = make_env(partial(make), num_envs=2, seed=3, workers=2)
    try:
        (a, told), (b, also) = here.reset(), there.reset()
        np.testing.assert_array_equal(a, b)
        for _ in range(30):
            a, _, _, _, told = here.step(np.ones(2, np.int64))
            b, _, _, _, also = there.step(np.ones(2, np.int64))
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(told["domain_log_density"], also["domain_log_density"])
    finally:
        there.close()


def test_a_ready_one_is_made_again_by_its_record() -> None:
    env = make_env(Randomise(gym.make("CartPole-v1"), SPACE), num_envs=2)
    info = env.reset()[1]
    assert len(set(info["domain_log_density"])) == 1
    assert info["valid"].all()
