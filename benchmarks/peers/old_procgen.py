"""The package `procgen` and the wrappers of gym 0.23 that CleanRL puts around it, over EnvPool's Procgen.

The package has no wheel for today's Pythons. The games are the same; EnvPool resets in a step of its own.
"""

import sys
import types
from collections.abc import Callable
from typing import Any

import envpool
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers.utils import RunningMeanStd
from old_gym import Wrapper

from jostle.envs.engines.procgen_qt import load_procgen


class ProcgenEnv:
    """Games of one kind; observations are {"rgb": uint8 [N, 64, 64, 3]}, infos a dict for each game."""

    def __init__(self, num_envs: int, env_name: str, num_levels: int, start_level: int, distribution_mode: str) -> None:
        load_procgen()
        self.pool = envpool.make(
            f"{env_name.capitalize()}{distribution_mode.capitalize()}-v0",
            "gymnasium",
            num_envs=num_envs,
            num_levels=num_levels,
            start_level=start_level,
            channel_first=False,
        )
        self.num_envs, self.action_space = num_envs, self.pool.action_space
        self.observation_space = spaces.Dict({"rgb": self.pool.observation_space})

    def reset(self) -> dict[str, np.ndarray]:
        return {"rgb": self.pool.reset()[0]}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        obs, reward, terminated, truncated, _ = self.pool.step(action.astype(np.int32))
        return {"rgb": obs}, reward, terminated | truncated, [{} for _ in range(self.num_envs)]

    def close(self) -> None:
        self.pool.close()


class TransformObservation(Wrapper):
    def __init__(self, env: Any, f: Callable[[Any], Any]) -> None:
        super().__init__(env)
        self.f = f

    def reset(self, **kwargs: Any) -> Any:
        return self.f(self.env.reset(**kwargs))

    def step(self, action: Any) -> Any:
        obs, reward, done, info = self.env.step(action)
        return self.f(obs), reward, done, info


class TransformReward(Wrapper):
    def __init__(self, env: Any, f: Callable[[Any], Any]) -> None:
        super().__init__(env)
        self.f = f

    def step(self, action: Any) -> Any:
        obs, reward, done, info = self.env.step(action)
        return obs, self.f(reward), done, info


class RecordEpisodeStatistics(Wrapper):
    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.returns, self.lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64)

    def step(self, action: Any) -> Any:
        obs, reward, done, info = self.env.step(action)
        self.returns += reward
        self.lengths += 1
        for i in np.flatnonzero(done):
            info[i]["episode"] = {"r": self.returns[i], "l": self.lengths[i]}
        self.returns[done], self.lengths[done] = 0.0, 0
        return obs, reward, done, info


class NormalizeReward(Wrapper):
    def __init__(self, env: Any, gamma: float, epsilon: float = 1e-8) -> None:
        super().__init__(env)
        self.gamma, self.epsilon = gamma, epsilon
        self.statistics, self.returns = RunningMeanStd(shape=()), np.zeros(env.num_envs)

    def step(self, action: Any) -> Any:
        obs, reward, done, info = self.env.step(action)
        self.returns = self.returns * self.gamma + reward
        self.statistics.update(self.returns)
        self.returns[done] = 0.0
        return obs, reward / np.sqrt(self.statistics.var + self.epsilon), done, info


def install() -> None:
    """`import procgen` means this from now on. Call it behind `old_gym.install`."""
    procgen = types.ModuleType("procgen")
    vars(procgen)["ProcgenEnv"] = ProcgenEnv
    sys.modules["procgen"] = procgen
    for wrapper in (TransformObservation, TransformReward, RecordEpisodeStatistics, NormalizeReward):
        setattr(sys.modules["gym.wrappers"], wrapper.__name__, wrapper)
