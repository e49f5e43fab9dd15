"""Environments that draw from global generators and from their action space: reproducible on request."""

import random
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.envs import make_env
from jostle.errors import ConfigError


class Draws(gym.Env[Any, Any]):
    """Every number that it shows comes from somewhere else; the spaces stand in the class."""

    observation_space = spaces.Box(-1, 99, (4,), np.float32)
    action_space = spaces.Discrete(50)
    frame_skip = 4

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self._see(), 1.0, self.t >= 7, False, {}

    def _see(self) -> np.ndarray:
        return np.float32([
            np.random.rand(),  # noqa: NPY002
            random.random(),
            self.action_space.sample(),
            self.observation_space.sample()[0],
        ])  # fmt: skip


def seen(env: Any, steps: int = 9) -> np.ndarray:
    rows = [env.reset()[0]] + [env.step(np.zeros(env.num_envs, int))[0] for _ in range(steps)]
    env.close()
    return np.stack(rows)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_seed_gives_the_same(workers: int) -> None:
    one, two = (seen(make_env(Draws, 2, 3, workers=workers, seed_global=True)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (one[:, 0] != one[:, 1]).any(axis=0).all()  # rows do not repeat each other
    assert (one[1:] != one[:-1]).any(axis=(0, 1)).all()


def test_another_seed_gives_something_else() -> None:
    one, other = (seen(make_env(Draws, 2, seed, seed_global=True)) for seed in (3, 4))
    assert (one != other).any(axis=(0, 1)).all()


def test_what_else_the_environments_say_of_themselves_is_kept() -> None:
    assert make_env(Draws, seed_global=True).frame_skip == make_env(Draws).frame_skip == 4


def test_nothing_is_seeded_unless_asked_for() -> None:
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    one, two = (seen(make_env(Draws, 2, 3)) for _ in range(2))
    assert (one != two).any(axis=(0, 1)).all()


def test_the_generators_of_others_are_left_as_they_were() -> None:
    """Also the spaces of the class, and those of other environments under way."""

    def state() -> Any:
        return random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]  # noqa: NPY002

    Draws.action_space.seed(5)
    expected = [Draws.action_space.sample() for _ in range(5)]
    Draws.action_space.seed(5)
    before = state()
    alone = seen(make_env(Draws, 2, 3, seed_global=True))
    env = make_env(Draws, 2, 3, seed_global=True)
    rows = [env.reset()[0]]
    for _ in range(9):
        other = make_env(Draws, 1, 8, seed_global=True)
        seen(other, 2)
        rows.append(env.step(np.zeros(2, int))[0])
    np.testing.assert_array_equal(alone, np.stack(rows))
    assert state() == before
    assert [Draws.action_space.sample() for _ in range(5)] == expected


@pytest.mark.parametrize("kind", [jostle.PPO, jostle.DQN])
def test_the_same_seed_gives_the_same_weights_whoever_looks(kind: Any) -> None:
    def weights(looks: bool) -> torch.Tensor:
        more: dict[str, Any] = {"num_steps": 16} if kind is jostle.PPO else {"warmup": 40}
        agent = kind(Draws, num_envs=2, seed=3, env_options={"seed_global": True}, **more)
        agent.learn(100)
        if looks:
            jostle.evaluate(agent, 2)
        agent.learn(200)
        return torch.cat([p.detach().flatten() for p in agent.network.parameters()])

    first = weights(False)
    assert torch.equal(first, weights(False))
    assert torch.equal(first, weights(True))


def test_where_it_has_no_effect_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed_global=True is for environments that Gymnasium steps"):
        make_env("CartPole-v1", engine="envpool", seed_global=True)
    with pytest.raises(ConfigError, match="seed_global=True cannot be used with CartPole-v1, a ready vector"):
        make_env(gym.make_vec("CartPole-v1", 2), seed_global=True)
    with pytest.raises(ConfigError, match="seed_global=1 cannot be used"):
        make_env(Draws, seed_global=1)  # type: ignore[arg-type]
    assert make_env("CartPole-v1", engine="gymnasium", seed_global=True).made_with["seed_global"] is True
