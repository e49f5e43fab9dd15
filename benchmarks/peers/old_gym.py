"""The few names of the old `gym` that peers' scripts import, over Gymnasium, and its interface over today's EnvPool.

EnvPool's `env_type="gym"` returns what Gymnasium's does since 1.2; the scripts expect four values from `step`.
"""

import sys
import types
from typing import Any

import envpool
import gymnasium
import numpy as np
from gymnasium.wrappers.utils import RunningMeanStd


class Wrapper:
    """gym.Wrapper, as far as it is used."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def reset(self, **kwargs: Any) -> Any:
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        return self.env.step(action)


class Pool:
    """A pool whose `reset` gives observations and whose `step` gives observations, rewards, dones, infos.

    Atari's infos hold the unclipped reward, true endings and lives; other pools get them here, so that a script's
    statistics of episodes work for both.
    """

    def __init__(self, task: str, env_type: str, num_envs: int, seed: int, **options: Any) -> None:
        self.pool = envpool.make(task, "gymnasium", num_envs=num_envs, seed=seed, **options)
        self.action_space, self.observation_space = self.pool.action_space, self.pool.observation_space
        self.none = np.zeros(num_envs, np.int32)

    def reset(self) -> Any:
        return self.pool.reset()[0]

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.pool.step(action)
        done = terminated | truncated
        if "lives" not in info:
            info |= {"reward": reward, "terminated": done, "lives": self.none}
        return obs, reward, done, info

    def close(self) -> None:
        self.pool.close()


def install() -> None:
    """`import gym` means this from now on, and `import wandb` a recorder of nothing."""
    gym = types.ModuleType("gym")
    wrappers, normalize = types.ModuleType("gym.wrappers"), types.ModuleType("gym.wrappers.normalize")
    vars(gym).update(Wrapper=Wrapper, spaces=gymnasium.spaces, wrappers=wrappers, pool=Pool)
    vars(normalize)["RunningMeanStd"] = RunningMeanStd
    vars(wrappers)["normalize"] = normalize
    wandb = types.ModuleType("wandb")
    vars(wandb).update(init=lambda **_: None, log=lambda *_, **__: None)
    modules = {"gym": gym, "gym.wrappers": wrappers, "gym.wrappers.normalize": normalize, "wandb": wandb}
    sys.modules.update(modules)
