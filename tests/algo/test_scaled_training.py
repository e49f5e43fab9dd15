"""Scaling from environment to network and back, in whole agents: training, evaluation, views, and former runs."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.errors import JostleError
from jostle.loading import rebuild
from jostle.nn.distributions import make_distribution, policy_space
from jostle.nn.encoders import Flat


def symbols(dtype: Any, high: float = 1, size: int = 4) -> type[gym.Env[Any, Any]]:
    """Name the symbol that is shown: one of four, as an indicator of a type."""

    class Symbols(gym.Env[Any, Any]):
        observation_space = spaces.Box(0, high, (size,), dtype)
        action_space = spaces.Discrete(size)

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self.t = 0
            return self.show(), {}

        def show(self) -> Any:
            self.symbol = int(self.np_random.integers(size))
            return (np.arange(size) == self.symbol).astype(dtype)

        def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            paid, self.t = float(action == self.symbol), self.t + 1
            return self.show(), paid, False, self.t >= 10, {}

    return Symbols


def driven(low: Any, high: Any, dtype: Any = np.float32) -> type[gym.Env[Any, Any]]:
    """Keeps its actions; pays for those that are near three quarters of the way from low to high."""

    class Driven(gym.Env[Any, Any]):
        observation_space = spaces.Box(-1, 1, (1,), np.float32)
        action_space = spaces.Box(np.asarray(low, dtype), np.asarray(high, dtype), dtype=dtype)

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self.t = 0
            return np.zeros(1, np.float32), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.t += 1
            space = self.action_space
            share = (float(action[0]) - float(space.low[0])) / (float(space.high[0]) - float(space.low[0]))
            return np.zeros(1, np.float32), 1 - abs(share - 0.75), False, self.t >= 10, {}

    return Driven


def learned(kind: str, env: Any, steps: int = 300, **how: Any) -> Any:
    quick = {"num_steps": 32} if kind == "ppo" else {"warmup": 100, "epsilon_steps": 300}
    made = {"ppo": jostle.PPO, "dqn": jostle.DQN}[kind]
    return made(env, num_envs=4, seed=0, **(quick | how)).learn(steps)


def weights(agent: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


@pytest.mark.parametrize("kind", ["ppo", "dqn"])
def test_the_same_numbers_train_the_same_network_whatever_their_type(kind: str) -> None:
    plain = weights(learned(kind, symbols(np.float32)))
    for dtype in (np.int8, np.uint8, np.bool_):
        assert torch.equal(weights(learned(kind, symbols(dtype))), plain), dtype
    assert torch.equal(weights(learned(kind, symbols(np.uint8, 255))), plain), "a byte's range declares nothing"
    assert not torch.equal(weights(learned(kind, symbols(np.uint8), obs_scaling="bytes")), plain)


def test_indicators_of_bytes_are_learned() -> None:
    agent = learned("ppo", symbols(np.uint8), 2_500, learning_rate=1e-2)
    assert jostle.evaluate(agent, 5).mean > 7, "of 10, and 2.5 by chance"


@pytest.mark.parametrize(
    ("low", "high", "own", "env"),
    [
        ([-1, -1], [1, 1], [[-7, 0.25]], [[-1, 0.25]]),
        ([0, -2], [1000, 2], [[-1, -1]], [[0, -2]]),
        ([0, -2], [1000, 2], [[0, 0.5]], [[500, 1]]),
        ([0, -2], [1000, 2], [[7, -7]], [[1000, -2]]),
        ([3, 0], [3, np.inf], [[0.5, -4]], [[3, 0]]),  # nothing to choose; one bound alone clips
        ([-np.inf, -np.inf], [np.inf, 5], [[70, 70]], [[70, 5]]),
        ([-np.finfo(np.float32).max] * 2, [np.finfo(np.float32).max] * 2, [[70, -70]], [[70, -70]]),
    ],
)
def test_actions_fill_the_bounds(low: Any, high: Any, own: Any, env: Any) -> None:
    space = spaces.Box(np.float32(low), np.float32(high))
    made = make_distribution(space).to_env(np.float32(own))
    assert made.tolist() == env
    assert made.dtype == np.float32
    clipped = np.clip(np.float32(own), space.low, space.high)
    assert make_distribution(space, "none").to_env(np.float32(own)).tolist() == clipped.tolist()


def test_scaled_actions_never_leave_their_bounds() -> None:
    low, high = np.float32([0.1, -3e30, 1e6]), np.float32([0.7, 1e30, 1e6 + 1])
    space = spaces.Box(low, high)
    own = np.random.default_rng(0).normal(0, 2, (500, 3)).astype(np.float32)
    assert all(space.contains(action) for action in make_distribution(space).to_env(own))
    inner = policy_space(space)
    assert inner.low.tolist() == [-1, -1, -1]
    assert inner.high.tolist() == [1, 1, 1]
    assert policy_space(space, "none").low.tolist() == low.tolist()


def test_large_actions_are_learned_and_the_same_everywhere() -> None:
    agent = learned("ppo", driven([0], [1000]), 2_000, learning_rate=3e-3)
    (action,) = agent.predict(np.zeros(1, np.float32))[0]
    assert 550 < action < 950, "clipped from a unit range it would stay near 0"
    view = jostle.as_view(agent)
    mean = view.distribution(np.zeros((1, 1), np.float32)).mean.item()
    assert action == pytest.approx(500 + 500 * mean, rel=1e-4), "views show the policy's own units"
    network = jostle.as_view(agent.network, env=agent.env_source)
    assert network.actor().act(np.zeros((1, 1), np.float32)) == pytest.approx(action)
    assert jostle.evaluate(agent, 3).mean > 7
    assert "bounds" in agent.storage()["actions"]
    assert "actions" not in learned("ppo", driven([-1], [1]), 1).storage()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_numbers_are_no_bounds(dtype: Any) -> None:
    most = np.finfo(dtype).max
    agent = learned("ppo", driven([0, -most], [4, most], dtype), 100)
    assert np.isfinite(jostle.evaluate(agent, 2).mean)


def test_bonuses_see_the_policys_actions() -> None:
    agent = learned("ppo", driven([0], [1000]), 1, bonus=("icm",))
    code = agent.bonuses[0].model.action
    own = torch.tensor([[-1.0], [0.5], [9.0]])
    assert code(own).tolist() == [[-1], [0.5], [1]]
    former = learned("ppo", driven([0], [1000]), 1, bonus=("icm",), action_scaling="none").bonuses[0].model.action
    assert former(torch.tensor([[500.0]])).tolist() == [[0]]


@pytest.mark.parametrize("kind", ["ppo", "dqn"])
def test_former_runs_keep_what_they_did(kind: str) -> None:
    """Their settings know no scaling."""
    env = symbols(np.uint8)
    scalings = {"obs_scaling": "bytes"} | ({"action_scaling": "none"} if kind == "ppo" else {})
    agent = learned(kind, env, 200, **scalings)
    meta, state = agent.meta(), copy.deepcopy(agent.state_dict())
    former = meta | {"config": {k: v for k, v in meta["config"].items() if k not in scalings}}
    back, _ = rebuild(state, former, env=env)
    assert {name: getattr(back.config, name) for name in scalings} == scalings
    assert [m.scale.unit for m in back.network.modules() if isinstance(m, Flat)] == [1 / 255]
    obs = np.eye(4, dtype=np.uint8)
    shown, seen = jostle.as_view(back).forward(obs), jostle.as_view(agent).forward(obs)
    assert torch.equal(shown.value, seen.value)
    now, _ = rebuild(state, meta | {"config": meta["config"] | {"obs_scaling": "bounds"}}, env=env)
    assert [m.scale.unit for m in now.network.modules() if isinstance(m, Flat)] == [1]


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8])
def test_normalisers_serve_integers(dtype: Any) -> None:
    agent = learned("ppo", symbols(dtype, 100), 200, normalise_obs=True)
    assert agent.network.encoder.normaliser.mean.min() > 0
    assert agent.storage()["observed"] == "vectors by running statistics"
    if dtype != np.float32:
        plain = learned("ppo", symbols(np.float32, 100), 200, normalise_obs=True)
        assert torch.equal(weights(agent), weights(plain))


def test_a_normaliser_without_a_vector_is_said() -> None:
    with pytest.warns(UserWarning, match="normalise_obs=True has no effect"):
        jostle.PPO("jostle/ThemedCatch-v0", num_envs=2, num_steps=8, normalise_obs=True).env.close()


def test_a_scaling_that_is_unknown_is_refused() -> None:
    for wrong in ({"obs_scaling": "byte"}, {"action_scaling": "bound"}):
        with pytest.raises(JostleError, match=next(iter(wrong))):
            jostle.PPO(symbols(np.uint8), **wrong)
    assert "by the bounds" in learned("dqn", symbols(np.int8, 9), 1).storage()["observed"]
