"""Small networks whose weights are known."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from jostle.view import as_view
from jostle.view.interface import PolicyView

PICTURE = spaces.Box(0, 255, (3, 16, 16), np.uint8)


class Small(nn.Module):
    """A convolution and a linear layer; logits of two actions."""

    def __init__(self, seed: int = 0, channels: int = 6) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(3, channels, 5, stride=2)
            self.relu = nn.ReLU()
            self.out = nn.Linear(channels * 36, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.relu(self.conv(x.float() / 255)).flatten(1))


def view_of(module: nn.Module, **more: Any) -> PolicyView:
    return as_view(module, kind="logits", observation_space=PICTURE, action_space=spaces.Discrete(2), **more)
