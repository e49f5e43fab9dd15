"""Evaluation in environments whose returns can be counted by hand."""

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.envs import random_actions
from jostle.errors import ConfigError


class Count(gym.Env[Any, int]):
    """Environment i of a row lasts i + 2 steps, ten more in each later episode; every step pays 10^episode.

    Action 6 is worth one point more.
    """

    observation_space = spaces.Box(-1, 99, (1,), np.float32)
    action_space = spaces.Discrete(2, start=5)

    def __init__(self, ends: bool = True, apart: int = 1, growth: int = 10) -> None:
        self.ends, self.apart, self.growth, self.episode = ends, apart, growth, -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.number, self.episode = seed % 10, -1
        self.episode, self.t = self.episode + 1, 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action in (5, 6)
        self.t += 1
        over = self.ends and self.t >= self.apart * self.number + 2 + self.growth * self.episode
        reward = 10.0**self.episode + (action == 6)
        return np.full(1, self.t, np.float32), reward, over and self.number % 2 == 0, over and self.number % 2 == 1, {}


def agent_that_takes(action: int) -> jostle.DQN:
    agent = jostle.DQN(Count, num_envs=1, hidden=(), noisy="factorised")
    with torch.no_grad():
        for name, parameter in agent.network.named_parameters():
            parameter.zero_()
            if name.endswith("bias"):
                parameter[action - 5] = 1.0
    return agent


def test_returns_and_lengths_are_those_counted_by_hand() -> None:
    found = jostle.evaluate(agent_that_takes(5), 5, num_envs=2, seed=10)
    # Environment 0 plays three episodes of 2, 12 and 22 steps, environment 1 two of 3 and 13: a fixed share each,
    # although environment 0 would be done sooner. A reset's row counts for nothing.
    table = [(e.env, e.index, e.ret, e.length) for e in found.episodes]
    assert table == [(0, 0, 2, 2), (1, 0, 3, 3), (0, 1, 120, 12), (1, 1, 130, 13), (0, 2, 2200, 22)]
    assert found.mean == pytest.approx((2 + 3 + 120 + 130 + 2200) / 5)
    assert found.interval[0] < found.mean < found.interval[1]
    assert (found.env, found.noise, found.epsilon, found.seed) == ("Count", "mean", 0.0, 10)
    better = jostle.evaluate(agent_that_takes(6), 2, num_envs=2, seed=10)
    assert [e.ret for e in better.episodes] == [4, 6]


def test_the_interval_by_hand() -> None:
    """95% of the means of 2,000 resamples of the five returns."""
    found = jostle.evaluate(agent_that_takes(5), 5, num_envs=2, seed=10)
    drawn = np.random.default_rng(0).integers(5, size=(2000, 5))
    means = found.returns[drawn].mean(axis=1)
    assert found.interval == pytest.approx((np.quantile(means, 0.025), np.quantile(means, 0.975)), rel=1e-12)
    narrow = np.quantile(means, 0.16), np.quantile(means, 0.84)
    assert found.interval[0] < narrow[0] < narrow[1] < found.interval[1]
    assert found.as_dict()["interval95"] == list(found.interval)
    alone = jostle.evaluate(agent_that_takes(5), 1, num_envs=1, seed=10).interval
    assert np.isnan(alone).all()


def test_short_episodes_are_not_favoured() -> None:
    """Three environments, an episode each: the slowest is waited for, the quickest counts once."""
    told: list[int] = []
    found = jostle.evaluate(agent_that_takes(5), 3, num_envs=3, seed=7, notify=told.append)
    assert [e.length for e in found.episodes] == [9, 10, 11]
    assert told[-1] == 3
    assert found.as_dict()["episodes"][2] == {"env": 2, "index": 0, "ret": 11.0, "length": 11}
    # Lengths of 2, 12 and 22: the first environment could play eleven episodes while the last plays one.
    uneven = jostle.evaluate(agent_that_takes(5), 6, num_envs=3, seed=10, env=lambda: Count(apart=10, growth=0))
    assert [e.length for e in uneven.episodes] == [2, 12, 22, 2, 12, 22]
    more_envs = jostle.evaluate(agent_that_takes(5), 2, num_envs=4, seed=4)
    assert [(e.env, e.length) for e in more_envs.episodes] == [(0, 6), (1, 7)]


def test_an_environment_that_is_made_already_starts_from_the_seed() -> None:
    agent = agent_that_takes(5)
    env = jostle.make_env(Count, 2, seed=3)
    one, two = (jostle.evaluate(agent, 4, env=env, seed=10) for _ in range(2))
    assert one.episodes == two.episodes
    assert not env.closed
    env.close()


def test_evaluation_changes_nothing() -> None:
    quiet, asked = (jostle.DQN("CartPole-v1", num_envs=2, warmup=40, hidden=(8,), noisy="factorised") for _ in range(2))
    quiet.learn(150)
    asked.learn(100)
    for noise in ("mean", "sampled", "mc:3"):
        jostle.evaluate(asked, 2, noise=noise, epsilon=0.2)
    asked.learn(50)
    pairs = zip(quiet.network.parameters(), asked.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert list(quiet.returns) == list(asked.returns)


def test_epsilon_one_is_random() -> None:
    found = jostle.evaluate(agent_that_takes(5), 1, num_envs=1, seed=19, epsilon=1.0)
    assert 11 < found.mean < 22, "of 11 steps some take action 6"


class Luck(Count):
    """200 steps, each drawing as many numbers as ε-greedy acting does; pays for action 6 without luck."""

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        lucky = self.np_random.random(1)[0] < 0.5
        random_actions(self.action_space, 1, self.np_random)
        return np.zeros(1, np.float32), float(action == 6 and not lucky), self.t == 200, False, {}


def test_random_actions_are_not_drawn_from_the_stream_of_an_environment() -> None:
    """Gymnasium seeds an environment with the plain number. From the same stream, acting at random would be luck."""
    agent = agent_that_takes(5)
    found = jostle.evaluate(agent, 1, env=Luck, num_envs=1, seed=3, epsilon=0.5)
    assert 10 < found.mean < 40, "of 200 an eighth"


def test_what_cannot_be_evaluated_is_refused() -> None:
    agent = agent_that_takes(5)
    cases: dict[str, dict[str, Any]] = {
        "episodes=0": {"episodes": 0},
        "epsilon=2": {"epsilon": 2},
        "noise mode": {"noise": "median"},
        "other spaces": {"env": "CartPole-v1"},
        "num_envs=0 cannot be used": {"num_envs": 0},
        "seed=-1 cannot be used: it must be a whole number": {"seed": -1},
        "seed=9223372036854775808 cannot be used": {"seed": 2**63},
    }
    for message, arguments in cases.items():
        with pytest.raises(ConfigError, match=message):
            jostle.evaluate(agent, **arguments)


def test_episodes_that_never_end_are_counted_as_they_stand_and_said() -> None:
    with pytest.warns(UserWarning, match=r"3 of 3 episodes did not end within 50 steps .*max_episode_steps"):
        found = jostle.evaluate(agent_that_takes(5), 3, num_envs=2, env=lambda: Count(ends=False), max_steps=50)
    assert found.cut == 3
    assert [e.length for e in found.episodes] == [50] * 3
    told = found.as_dict()
    assert told["cut"] == 3
    assert all(e["cut"] for e in told["episodes"])
    assert "cut" not in jostle.evaluate(agent_that_takes(5), 2).as_dict()


def test_numbers_of_numpy_are_numbers() -> None:
    plain = jostle.evaluate(agent_that_takes(5), 3, num_envs=2, seed=7, epsilon=0.5)
    numpy: dict[str, Any] = {"num_envs": np.int16(2), "seed": np.uint8(7), "epsilon": np.float32(0.5)}
    found = jostle.evaluate(agent_that_takes(5), np.int64(3), max_steps=np.int32(90), **numpy)
    assert json.dumps(found.as_dict()) == json.dumps(plain.as_dict())
    for wrong in ({"episodes": 2.5}, {"episodes": True}, {"epsilon": "x"}, {"num_envs": 1.5}, {"max_steps": 0}):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))}=.* cannot be used"):
            jostle.evaluate(agent_that_takes(5), **wrong)  # type: ignore[arg-type]
