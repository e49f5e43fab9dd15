"""Policies in which it is known what matters, and small environments for them."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.nn.actor_critic import ActorCritic
from jostle.view import as_view
from jostle.view.interface import PolicyView

VECTOR = spaces.Box(-10, 10, (4,), np.float32)


class Units(nn.Module):
    """Eight hidden units; only some of them reach the two logits."""

    def __init__(self, weights: dict[int, float], seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.hidden = nn.Linear(4, 8)
        self.relu = nn.ReLU()
        self.out = nn.Linear(8, 2)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.randn(8, 4, generator=generator))
            self.hidden.bias.zero_()
            self.out.weight.zero_()
            self.out.bias.zero_()
            for unit, weight in weights.items():
                self.out.weight[0, unit] = weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.relu(self.hidden(x.float())))


def view_of(module: nn.Module, kind: str = "logits", **more: Any) -> PolicyView:
    space = {"observation_space": VECTOR, "action_space": spaces.Discrete(2), **more}
    return as_view(module, kind=kind, **space)


def rows(count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


class Recall(gym.Env[Any, Any]):
    """The first observation says which action is paid at every step; the later ones say nothing."""

    def __init__(self, length: int = 6, cue_again: bool = False) -> None:
        self.observation_space = spaces.Box(-2, 2, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.length, self.cue_again = length, cue_again

    def _obs(self) -> Any:
        shown = self.at == 0 or self.cue_again
        return np.array([2 * self.cue - 1 if shown else 0, 1 if shown else 0], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.cue = 0, int(self.np_random.integers(2))
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        reward = float(action == self.cue)
        self.at += 1
        return self._obs(), reward, self.at == self.length, False, {}


def remembering(*, reads: bool = True, size: int = 4, seed: int = 0) -> ActorCritic:
    """A GRU whose first unit keeps the cue; its policy acts by it, or (``reads`` false) by the observation alone.

    The observation is [cue, shown]. m = σ(·) keeps h: bias large, less so where the cue is shown.
    """
    space = spaces.Box(-2, 2, (2,), np.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ActorCritic(space, spaces.Discrete(2), hidden=(), shared=True, recurrent="gru", recurrent_size=size)
    core: Any = net.core
    with torch.no_grad():
        for p in (core.weight_x, core.weight_gates, core.weight_candidate, core.bias):
            p.zero_()
        if reads:
            core.bias[0] = 10.0  # unit 0 keeps what it has …
            core.weight_x[0, 1] = -40.0  # … but where a cue is shown (observations reach it halved: their bounds are 2)
            core.weight_x[2 * size, 0] = 10.0  # h̃ = the cue
        else:
            core.bias[0] = -20.0  # m = 0: nothing is kept
            core.weight_x[2 * size, 0] = 10.0
        policy: Any = net.policy
        policy.weight.zero_()
        policy.bias.zero_()
        policy.weight[1, 0], policy.weight[0, 0] = 3.0, -3.0
    return net


def recall_view(*, reads: bool = True, cue_again: bool = False) -> PolicyView:
    return as_view(remembering(reads=reads), env=lambda: Recall(cue_again=cue_again))
