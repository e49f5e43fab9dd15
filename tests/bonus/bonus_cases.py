"""Observations, transitions and literal NumPy transcriptions that the tests of the bonuses share."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from jostle.bonus import Transitions


def pixels(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def vector(size: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


def grid() -> spaces.Box:
    return pixels(7, 7, 3)


def observations(space: gym.Space, steps: int, num_envs: int, seed: int = 0) -> Tensor | dict[str, Tensor]:
    """Samples [steps, num_envs, …] of a space; the codes of small grids stay below 4."""
    space.seed(seed)

    def stack(key: str | None) -> Tensor:
        part = space if key is None else space[key]
        values = np.stack([np.stack([part.sample() for _ in range(num_envs)]) for _ in range(steps)])
        return torch.as_tensor(values % 4 if part.shape == (7, 7, 3) else values)

    if isinstance(space, spaces.Dict):
        return {key: stack(key) for key in space.spaces}
    return stack(None)


def rollout(obs: Tensor | dict[str, Tensor], valid: Tensor | None = None, action: Tensor | None = None) -> Transitions:
    """The transitions between successive observations [T + 1, N, …]; an invalid row is one after an ending."""
    first = next(iter(obs.values())) if isinstance(obs, dict) else obs
    shape = (first.shape[0] - 1, first.shape[1])
    valid = torch.ones(shape, dtype=torch.bool) if valid is None else valid
    start = torch.zeros(shape, dtype=torch.bool)
    start[0] = True
    start[1:] = ~valid[:-1]
    done = torch.zeros(shape, dtype=torch.bool)
    done[:-1] = ~valid[1:]
    action = torch.zeros(shape, dtype=torch.int64) if action is None else action

    def cut(one: slice) -> Tensor | dict[str, Tensor]:
        return {k: x[one] for k, x in obs.items()} if isinstance(obs, dict) else obs[one]

    return Transitions(cut(slice(None, -1)), cut(slice(1, None)), action, valid, start & valid, done)


class RunningMeanStd:
    """The moments of the official code, written out."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.mean, self.var, self.count = np.zeros(shape), np.ones(shape), 1e-4

    def update(self, x: np.ndarray) -> None:
        mean, var, count = x.mean(0), x.var(0), x.shape[0]
        delta, total = mean - self.mean, self.count + count
        m2 = self.var * self.count + var * count + delta**2 * self.count * count / total
        self.mean, self.var, self.count = self.mean + delta * count / total, m2 / total, total


class RewardForwardFilter:
    """The filter of the official code, for one environment."""

    def __init__(self, gamma: float) -> None:
        self.rewems, self.gamma = None, gamma

    def update(self, reward: float) -> float:
        self.rewems = reward if self.rewems is None else self.rewems * self.gamma + reward
        return self.rewems


def layers(network: torch.nn.Module) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases of the linear layers, in order, in float64."""
    return [
        (m.weight.detach().double().numpy(), m.bias.detach().double().numpy())
        for m in network.modules()
        if isinstance(m, torch.nn.Linear)
    ]


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def chain(x: np.ndarray, network: torch.nn.Module, *activations: object) -> np.ndarray:
    """The linear layers of a network with an activation behind each but the last."""
    weights = layers(network)
    assert len(activations) == len(weights) - 1
    for (weight, bias), activation in zip(weights, [*activations, lambda y: y], strict=True):
        x = activation(x @ weight.T + bias)
    return x
