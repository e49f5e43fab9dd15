"""Bonuses that users bring themselves: what is refused, what they see, and how they come back from a folder."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.bonus import E3B, RND
from jostle.envs import make_env
from jostle.errors import ConfigError, JostleError
from jostle.store import load_checkpoint

VECTOR = spaces.Box(-1.0, 1.0, (3,), np.float32)
SMALL: dict[str, Any] = {"num_steps": 8, "minibatches": 2, "hidden": (8,), "bonus_warmup": 2, "bonus_features": 4}


class Walk(gym.Env[Any, Any]):
    """Random observations of a space, episodes of seven steps."""

    def __init__(self, space: gym.Space[Any]) -> None:
        self.observation_space, self.action_space = space, spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self._step = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._step += 1
        return self.observation_space.sample(), float(action), self._step == 7, False, {}


def walk() -> Walk:
    return Walk(VECTOR)


def own(size: int = 4, num_envs: int = 3) -> E3B:
    return E3B(VECTOR, num_envs, action_space=spaces.Discrete(2), features=size)


@pytest.mark.parametrize("agent", [jostle.PPO, jostle.DQN])
@pytest.mark.parametrize("named", [(), ("e3b",)])
def test_two_streams_of_one_name_are_refused(agent: Any, named: tuple[str, ...]) -> None:
    """They would share a column of the replay, metrics and saved weights."""
    mine = [own()] if named else [own(), own(8)]
    with pytest.raises(ConfigError, match="two bonuses are called 'e3b'"):
        agent(walk, num_envs=3, bonus=named, bonuses=mine)


@pytest.mark.parametrize("agent", [jostle.PPO, jostle.DQN])
def test_a_bonus_is_not_called_as_the_extrinsic_stream(agent: Any) -> None:
    mine = own()
    mine.name = "ext"
    with pytest.raises(ConfigError, match="cannot be called 'ext'"):
        agent(walk, num_envs=3, bonuses=[mine])


@pytest.mark.parametrize("given", ["rnd", ["rnd"], [RND]])
@pytest.mark.parametrize("agent", [jostle.PPO, jostle.DQN])
def test_what_is_no_bonus_is_refused(agent: Any, given: Any) -> None:
    with pytest.raises(ConfigError, match=r"bonus=\('rnd',\)"):
        agent(walk, num_envs=3, bonuses=given)


def test_a_diverged_bonus_ends_the_training_and_is_not_saved(tmp_path: Path) -> None:
    """What was saved before can be resumed: no checkpoint holds the weights that diverged."""
    agent = jostle.PPO(walk, num_envs=3, **SMALL, bonus=("rnd",), bonus_learning_rate=1e20)
    with pytest.raises(JostleError, match=r"not finite.*bonus_learning_rate"):
        agent.learn(3000, run_dir=tmp_path / "run", checkpoint_every=10)
    for folder in sorted((tmp_path / "run" / "checkpoints").iterdir()):
        again = jostle.PPO(walk, num_envs=3, **SMALL, bonus=("rnd",), bonus_learning_rate=1e-3)
        again.load_state_dict(load_checkpoint(folder)[0])
        assert all(p.isfinite().all() for p in again.bonuses[0].parameters())


def test_a_diverged_bonus_of_dqn_is_not_saved(tmp_path: Path) -> None:
    agent = jostle.DQN(walk, num_envs=3, hidden=(8,), bonus=("rnd",), bonus_features=4, bonus_warmup=2)
    agent.learn(30)
    with torch.no_grad():
        next(agent.intrinsic.bonuses[0].predictor.parameters()).fill_(torch.nan)  # type: ignore[union-attr,operator]
    with pytest.raises(JostleError, match="NaN"):
        agent.save(tmp_path / "agent")


@pytest.mark.parametrize("stack", [1, 4])
def test_a_bonus_for_the_whole_stack_gets_it(stack: int) -> None:
    """RND of the user's own, made with the environment's space as its docstring says, or with the newest frame's."""
    env = make_env(lambda: Walk(spaces.Box(0, 255, (24, 24, 1), np.uint8)), num_envs=2, seed=0, frame_stack=4)
    shape = env.single_observation_space.shape
    assert shape is not None
    space = env.single_observation_space if stack == 4 else spaces.Box(0, 255, (shape[0] // 4, 24, 24), np.uint8)
    mine = RND(space, 2, frame_stack=stack, features=4)
    agent = jostle.PPO(env, bonuses=[mine], **SMALL | {"hidden": (8,), "encoder": "impala"})
    agent.learn(16)
    (part,) = mine.preprocess.parts
    assert part.shape[0] == 1


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_own_bonuses_come_back_from_a_folder(algorithm: str, tmp_path: Path) -> None:
    if algorithm == "ppo":
        agent: Any = jostle.PPO(walk, num_envs=3, **SMALL, bonuses=[own()])
    else:
        agent = jostle.DQN(walk, num_envs=3, hidden=(8,), bonuses=[own()], bonus_warmup=2)
    agent.learn(60)
    agent.save(tmp_path / "agent")
    with pytest.raises(ConfigError, match=r"ext, e3b, and this one from ext; give the same bonuses="):
        jostle.load(tmp_path / "agent", env=walk)
    mine = own()
    again = jostle.load(tmp_path / "agent", env=walk, bonuses=[mine])
    assert again.steps == agent.steps
    old = agent.bonuses[0] if algorithm == "ppo" else agent.intrinsic.bonuses[0]
    assert all(torch.equal(a, b) for a, b in zip(old.parameters(), mine.parameters(), strict=True))


def test_a_run_with_own_bonuses_is_resumed(tmp_path: Path) -> None:
    jostle.PPO(walk, num_envs=3, **SMALL, bonuses=[own()]).learn(48, run_dir=tmp_path / "run")
    resumed = jostle.resume(tmp_path / "run", steps=24, env=walk, bonuses=[own()])
    assert resumed.steps >= 72


def test_the_returns_of_both_streams_are_logged() -> None:
    """The targets of the values, averaged: with γ = λ = 0 they are the rewards."""
    agent = jostle.PPO(walk, num_envs=3, **SMALL, gamma=0.0, gamma_int=0.0, gae_lambda=0.0, bonus=("rnd",))
    agent.learn(24, log_every=1)
    rollout = agent.rollout
    expected = rollout.reward[rollout.valid].mean()
    assert agent.metrics["values/return_ext"] == pytest.approx(float(expected), abs=1e-5)
    assert agent.metrics["values/return_rnd"] == pytest.approx(agent.metrics["bonus/rnd/reward_mean"], abs=1e-5)
