"""Tiny environments for the algorithms' tests."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces


class Identity(gym.Env[int, int]):
    """Observe one of n symbols, name it: reward 1 if right. Episodes of `length` steps, ended by a truncation."""

    def __init__(self, n: int = 3, length: int = 5) -> None:
        self.observation_space, self.action_space = spaces.Discrete(n), spaces.Discrete(n)
        self.n, self.length = n, length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        self.symbol = int(self.np_random.integers(self.n))
        return self.symbol, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        reward = float(action == self.symbol)
        self.t += 1
        self.symbol = int(self.np_random.integers(self.n))
        return self.symbol, reward, False, self.t >= self.length, {}


class Pixels(gym.Env[Any, int]):
    """The identity task on 40×40 pictures: which half is bright."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 255, (40, 40, 1), np.uint8)
        self.action_space = spaces.Discrete(2)

    def _picture(self) -> np.ndarray[Any, Any]:
        self.symbol = int(self.np_random.integers(2))
        picture = np.zeros((40, 40, 1), np.uint8)
        picture[:, 20 * self.symbol : 20 * self.symbol + 20] = 255
        return picture

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._picture(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == self.symbol)
        self.t += 1
        return self._picture(), reward, self.t >= 4, False, {}


@pytest.fixture
def identity() -> type[Identity]:
    return Identity


@pytest.fixture
def pixels() -> type[Pixels]:
    return Pixels
