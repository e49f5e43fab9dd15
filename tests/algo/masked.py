"""Environments that tell which actions are legal, and count those taken that are not."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from jostle.envs.diagnostics.vector import DiagnosticVectorEnv
from jostle.envs.engines.gymnasium import GymnasiumEngine
from jostle.envs.vector import JostleEnv

SPACES = {
    "discrete": spaces.Discrete(4, start=3),
    "multi": spaces.MultiDiscrete([3, 2]),
}


class Rules(gym.Env[Any, Any]):
    """Random observations; in every state a random part of the actions is legal, on one that pays 1 (the first legal).

    Episodes of random length end by termination, without a legal action left, or by truncation. `taken` counts legal
    actions and illegal ones, over all environments, since it was set to zero.
    """

    taken = np.zeros(2, np.int64)

    def __init__(self, actions: str = "discrete", observations: str = "vector", tell: bool = True) -> None:
        self.action_space, self.tell, self.pictures = SPACES[actions], tell, observations == "picture"
        shape = (40, 40, 1) if self.pictures else (4,)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8) if self.pictures else spaces.Box(-9, 9, shape)
        self.counts = [4] if actions == "discrete" else [3, 2]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._answer(False)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        chosen = np.ravel(action - getattr(self.action_space, "start", 0))
        parts = np.split(self.mask, np.cumsum(self.counts)[:-1])
        Rules.taken[int(not all(part[c] for part, c in zip(parts, chosen, strict=True)))] += 1
        reward = float(np.mean([c == part.argmax() for part, c in zip(parts, chosen, strict=True)]))
        draw = self.np_random.random()
        obs, info = self._answer(bool(draw < 0.1))
        return obs, reward, bool(draw < 0.1), bool(0.1 <= draw < 0.2), info

    def _answer(self, over: bool) -> tuple[Any, dict[str, Any]]:
        self.mask = self.np_random.random(sum(self.counts)) < 0.5
        at = 0
        for count in self.counts:
            self.mask[at + int(self.np_random.integers(count))] = True
            at += count
        obs = self.np_random.standard_normal(4).astype(np.float32)
        if self.pictures:
            obs = self.np_random.integers(256, size=(40, 40, 1), dtype=np.uint8)
        return obs, {"action_mask": (self.mask & (not over)).astype(np.int8)} if self.tell else {}


class DoorsVector(DiagnosticVectorEnv):
    """Four doors, of which some are open; the open one that is shown pays 1. Its state can be saved.

    The observation is the shown door (one-hot) and the step. Where an episode has ended no door is open.
    """

    name = "Doors"
    _STATE = ("t",)

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs, spaces.Box(0, 9, (5,), np.float32), spaces.Discrete(4), None)
        self._t = np.zeros(num_envs, np.int64)
        self.illegal = 0

    def _byte(self) -> np.ndarray:
        bits = self._bits(np.ones(self.num_envs, np.bool_), 7)
        return (bits >> (8 * self._t).astype(np.uint64)).astype(np.int64) & 255

    def _open(self) -> np.ndarray:
        """bool [N, 4]."""
        doors = (self._byte()[:, None] >> np.arange(2, 6)) & 1
        doors[np.arange(self.num_envs), self._byte() & 3] = 1
        return doors.astype(np.bool_)

    def _begin(self, where: Any) -> None:
        self._t[where] = 0

    def _advance(self, action: Any) -> tuple[Any, Any, dict[str, Any]]:
        rows = np.arange(self.num_envs)
        self.illegal += int((~self._open()[rows, action] & ~self._ended).sum())
        reward = (action == (self._byte() & 3)).astype(np.float64)
        self._t = self._t + 1
        return reward, (self._t == 6) | (self._byte() >= 208), {}

    def _observe(self) -> Any:
        shown = np.eye(4)[self._byte() & 3]
        return np.concatenate([shown, self._t[:, None]], 1).astype(np.float32)

    def _describe(self) -> dict[str, Any]:
        return {"action_mask": (self._open() & ~self._ended[:, None]).astype(np.int8)}

    def _frames(self) -> Any:
        return np.zeros((self.num_envs, 8, 8, 3), np.uint8)


def doors(num_envs: int = 3, seed: int = 0) -> tuple[JostleEnv, DoorsVector]:
    """The contract around `DoorsVector`, and what is inside."""
    vector = DoorsVector(num_envs)
    return JostleEnv(GymnasiumEngine(vector, "Doors", "jostle"), "Doors", num_envs, seed), vector
