"""Policies that look where they were told to, and environments for them."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.view import as_view
from jostle.view.interface import PolicyView

SIZE = 24
PICTURES = spaces.Box(0, 255, (3, SIZE, SIZE), np.uint8)
PATCH = (slice(6, 11), slice(12, 17))
"""Where `Patch` looks."""


class Patch(nn.Module):
    """Two logits: the mean over a patch of the picture, weighed, and 0. All else is ignored, or by weight 0 everything.

    A convolution, a ReLU and a linear layer, so that gradients and layers are there as in other networks.
    """

    def __init__(self, weight: float = 4.0, *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.out = nn.Linear(4 * SIZE * SIZE, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.rand(4, 3, 3, 3, generator=generator))
            self.conv.bias.zero_()
            self.out.weight.zero_()
            self.out.bias.zero_()
            area = torch.zeros(4, SIZE, SIZE)
            rows, columns = (slice(part.start + 1, part.stop - 1) for part in PATCH)  # the convolution reaches one on
            area[:, rows, columns] = weight / 9
            self.out.weight[0] = area.flatten()

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.relu(self.conv(x.float() / 255))
        return self.out(hidden.flatten(1))


def pictures(count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, SIZE, SIZE), dtype=np.uint8)


def patch_view(weight: float = 4.0) -> PolicyView:
    return as_view(Patch(weight), kind="logits", observation_space=PICTURES, action_space=spaces.Discrete(2))


def mass_in_patch(maps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The share of each map's absolute numbers that lies in the patch."""
    sizes = np.abs(maps)
    return np.asarray(sizes[:, *PATCH].sum((1, 2)) / np.maximum(sizes.sum((1, 2)), 1e-12))


class Rows(gym.Env[Any, Any]):
    """Observations that count: step t of an episode shows t. Episodes last ``length`` steps."""

    def __init__(self, length: int = 5) -> None:
        self.observation_space = spaces.Box(-1e6, 1e6, (3,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.length, self.at = length, 0

    def _obs(self) -> Any:
        return np.array([self.at, self.at**2, 1], np.float32) / 10

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at = 0
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        self.at += 1
        return self._obs(), float(action), self.at == self.length, False, {}
