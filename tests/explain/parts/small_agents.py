"""Small agents of every kind, and a small environment of pictures for those of others."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn


class Blob(gym.Env[Any, Any]):
    """A bright blob left or right in 40×40 pixels; going to its side is paid."""

    def __init__(self, length: int = 6) -> None:
        self.observation_space = spaces.Box(0, 255, (40, 40, 3), np.uint8)
        self.action_space = spaces.Discrete(2)
        self.length = length

    def _obs(self) -> Any:
        picture = self.np_random.integers(0, 60, (40, 40, 3)).astype(np.uint8)
        left = 4 if self.side == 0 else 26
        picture[16:24, left : left + 8] = 250
        return picture

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.side = 0, int(self.np_random.integers(2))
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        reward, self.at = float(action == self.side), self.at + 1
        self.side = int(self.np_random.integers(2))
        return self._obs(), reward, self.at == self.length, False, {}


class Functional(nn.Module):
    """A network that calls its activations as functions."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.one, self.two, self.out = nn.Linear(4, 12), nn.Linear(12, 10), nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.relu(self.two(F.relu(self.one(x.float())))))


class SmallConv(nn.Module):
    """Few weights for pictures [B, 32, 32, 3]: 4 channels, 16 features."""

    def __init__(self, _: Any = None) -> None:
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(3, 4, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.relu(self.conv(x.permute(0, 3, 1, 2).float() / 255))).flatten(1)
