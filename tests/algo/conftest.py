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


class Memory(gym.Env[int, int]):
    """A symbol is shown at the start, 1 to n; name it `delay` blank (0) steps later. Nothing else is rewarded."""

    def __init__(self, n: int = 2, delay: int = 3) -> None:
        self.observation_space, self.action_space = spaces.Discrete(n + 1), spaces.Discrete(n)
        self.n, self.delay = n, delay

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.symbol = 0, int(self.np_random.integers(self.n))
        return self.symbol + 1, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        last = self.t == self.delay
        self.t += 1
        return 0, float(last and action == self.symbol), last, False, {}


class Constant(gym.Env[Any, int]):
    """Always the same observation and the reward 1; `length` steps (0: without end), then `end`."""

    def __init__(self, length: int = 5, end: str = "truncated") -> None:
        self.observation_space, self.action_space = spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(2)
        self.length, self.end = length, end

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.ones(2, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        over = self.t == self.length
        return np.ones(2, np.float32), 1.0, over and self.end == "terminated", over and self.end == "truncated", {}


ACTIONS = {
    "discrete": spaces.Discrete(3, start=1),
    "multi": spaces.MultiDiscrete([3, 2]),
    "box": spaces.Box(-1, 1, (2,), np.float32),
}


class Match(gym.Env[int, Any]):
    """The identity task with other actions: two choices to be right, or a point to come near to."""

    def __init__(self, actions: str) -> None:
        self.observation_space, self.action_space = spaces.Discrete(3), ACTIONS[actions]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.symbol = int(self.np_random.integers(3))
        return self.symbol, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        if isinstance(self.action_space, spaces.Box):
            reward = -float(np.square(action - (self.symbol - 1) * 0.5).sum())
        else:
            reward = float(action[0] == self.symbol) + float(action[1] == (self.symbol > 0))
        self.symbol = int(self.np_random.integers(3))
        return self.symbol, reward, True, False, {}


class Lively(gym.Env[Any, Any]):
    """Random observations and rewards; episodes of random length end by termination or truncation, or both at once."""

    def __init__(self, actions: str = "discrete", observations: str = "vector", end: float = 0.2) -> None:
        self.action_space, self.end = ACTIONS[actions], end
        vector = spaces.Box(-np.inf, np.inf, (4,), np.float32)
        grid = spaces.Box(0, 255, (7, 7, 3), np.uint8)
        parts = {"grid": grid, "privileged": spaces.Box(-9, 9, (2,), np.float32), "speed": vector}
        picture = spaces.Box(0, 255, (40, 40, 1), np.uint8)
        self.observation_space = {"vector": vector, "dict": spaces.Dict(parts), "picture": picture}[observations]

    def _observation(self) -> Any:
        def draw(space: spaces.Space[Any]) -> Any:
            assert space.shape is not None
            if space.dtype == np.uint8:
                return self.np_random.integers(4 if space.shape[0] == 7 else 256, size=space.shape, dtype=np.uint8)
            return self.np_random.standard_normal(space.shape).astype(np.float32)

        space = self.observation_space
        return {k: draw(s) for k, s in space.spaces.items()} if isinstance(space, spaces.Dict) else draw(space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        kind, end = self.np_random.random(), self.end
        reward = float(self.np_random.standard_normal()) + float(np.sum(action))
        return self._observation(), reward, bool(kind < 0.6 * end), bool(0.5 * end < kind < end), {}


@pytest.fixture
def memory() -> type[Memory]:
    return Memory


@pytest.fixture
def constant() -> type[Constant]:
    return Constant


@pytest.fixture
def match() -> type[Match]:
    return Match


@pytest.fixture
def lively() -> type[Lively]:
    return Lively


@pytest.fixture
def identity() -> type[Identity]:
    return Identity


@pytest.fixture
def pixels() -> type[Pixels]:
    return Pixels
