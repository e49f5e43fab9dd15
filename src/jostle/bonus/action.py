"""Actions as inputs and targets of dynamics models."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from jostle.errors import ConfigError


class ActionCode(nn.Module):
    """Actions as vectors [B, width], and the loss of a prediction of them.

    Categories (Discrete, MultiDiscrete, MultiBinary; they count from 0, whatever the space's start) become indicators
    and are predicted by logits. Boxes are clipped to their bounds, which are mapped to [−1, 1]; components without
    bounds stay as they are.

    Raises:
        ConfigError: another kind of space.
    """

    low: Tensor
    high: Tensor
    bounded: Tensor
    offset: Tensor

    def __init__(self, space: gym.Space[Any], owner: str) -> None:
        super().__init__()
        self.counts: list[int] | None
        if isinstance(space, spaces.Discrete):
            self.counts = [int(space.n)]
        elif isinstance(space, spaces.MultiDiscrete):
            self.counts = [int(n) for n in space.nvec.ravel()]
        elif isinstance(space, spaces.MultiBinary):
            self.counts = [2] * int(np.prod(space.shape))
        elif isinstance(space, spaces.Box):
            self.counts = None
            bounded = np.isfinite(space.low) & np.isfinite(space.high) & (space.low < space.high)
            low, high = np.where(bounded, space.low, -1).ravel(), np.where(bounded, space.high, 1).ravel()
            self.register_buffer("low", torch.as_tensor(low, dtype=torch.float32), persistent=False)
            self.register_buffer("high", torch.as_tensor(high, dtype=torch.float32), persistent=False)
            self.register_buffer("bounded", torch.as_tensor(bounded.ravel()), persistent=False)
            self.width = len(self.low)
        else:
            raise ConfigError(
                f"{owner} cannot predict actions of the kind {space}; give an action_space that is Discrete, "
                "MultiDiscrete, MultiBinary or Box."
            )
        if self.counts is not None:
            self.width = sum(self.counts)
            offset = np.cumsum([0, *self.counts[:-1]])
            self.register_buffer("offset", torch.as_tensor(offset), persistent=False)

    def forward(self, action: Tensor) -> Float[Tensor, "B width"]:
        """Actions [B, …] as vectors."""
        if self.counts is None:
            return self._scaled(action)
        index = action.reshape(len(action), len(self.counts)).long() + self.offset
        return torch.zeros(len(action), self.width, device=action.device).scatter_(1, index, 1.0)

    def error(self, prediction: Float[Tensor, "B width"], action: Tensor) -> Float[Tensor, "B"]:
        """Cross entropy, summed over the components; half the squared distance for boxes."""
        if self.counts is None:
            return 0.5 * (prediction - self._scaled(action)).square().sum(1)
        index = action.reshape(len(action), len(self.counts)).long()
        parts = prediction.split(self.counts, 1)  # type: ignore[no-untyped-call]
        return torch.stack(
            [F.cross_entropy(logits, index[:, i], reduction="none") for i, logits in enumerate(parts)]
        ).sum(0)

    def _scaled(self, action: Tensor) -> Float[Tensor, "B width"]:
        flat = action.reshape(len(action), self.width).float()
        inside = torch.minimum(torch.maximum(flat, self.low), self.high)
        return torch.where(self.bounded, 2 * (inside - self.low) / (self.high - self.low) - 1, flat)
