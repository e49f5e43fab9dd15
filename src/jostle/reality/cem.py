"""Sequences of actions by the cross-entropy method: sample, keep the best, move the distribution to them, again.

Rubinstein and Kroese, "The Cross-Entropy Method" (2004); for control, Chua et al., "Deep Reinforcement Learning in a
Handful of Trials" (2018), section 5. Samples are correlated in time (an AR(1) process), as Pinneri et al., "Sample-
efficient Cross-Entropy Method for Real-time Planning" (2020) found good: independent ones push to and fro, and go
nowhere.
"""

from typing import Protocol

import numpy as np
from gymnasium import spaces
from jaxtyping import Float64, Int64

from jostle.domain.counter_rng import random_bits
from jostle.errors import ConfigError

_PURPOSE = 0x63656D
"""Keeps these draws apart from an environment's own of the same seed."""


class Proposal(Protocol):
    """A distribution over sequences of H actions for each of B rows, as arrays [B, H, W] that a plan is made of."""

    width: int
    """W, numbers of a step of the plan."""
    channels: int
    """Normal numbers that make one action."""

    def first(self, rows: int, horizon: int) -> Float64[np.ndarray, "B H W"]:
        """The plan of who knows nothing."""
        ...

    def actions(self, plan: Float64[np.ndarray, "B H W"], z: Float64[np.ndarray, "B K H C"]) -> np.ndarray:
        """K sequences of actions [B, K, H, …] of standard normal numbers; the first of them is the likeliest one."""
        ...

    def moved(
        self, plan: Float64[np.ndarray, "B H W"], elites: np.ndarray, share: float
    ) -> Float64[np.ndarray, "B H W"]:
        """The plan moved by a share towards the best sequences [B, E, H, …]."""
        ...

    def shifted(self, plan: Float64[np.ndarray, "B H W"]) -> Float64[np.ndarray, "B H W"]:
        """The plan a step later, as wide as it was at first."""
        ...


class Gaussian:
    """Continuous actions: independent normal variables, cut off at the bounds. A plan holds means, then deviations."""

    def __init__(self, space: spaces.Box) -> None:
        if len(space.shape) != 1 or not space.is_bounded():
            raise ConfigError(f"actions of {space} cannot be planned: they must be vectors with bounds.")
        self.low, self.high = space.low.astype(np.float64), space.high.astype(np.float64)
        self.channels = self.low.size
        self.width = 2 * self.channels
        self._middle, self._wide = (self.low + self.high) / 2, (self.high - self.low) / 2

    def first(self, rows: int, horizon: int) -> Float64[np.ndarray, "B H W"]:
        return np.tile(np.concatenate([self._middle, self._wide]), (rows, horizon, 1))

    def actions(self, plan: Float64[np.ndarray, "B H W"], z: Float64[np.ndarray, "B K H C"]) -> np.ndarray:
        mean, std = self._parts(plan)
        found = mean[:, None] + std[:, None] * z
        found[:, 0] = mean
        return np.asarray(np.clip(found, self.low, self.high))

    def moved(
        self, plan: Float64[np.ndarray, "B H W"], elites: np.ndarray, share: float
    ) -> Float64[np.ndarray, "B H W"]:
        best = np.concatenate([elites.mean(1), elites.std(1)], axis=2)
        return np.asarray(plan + share * (best - plan))

    def shifted(self, plan: Float64[np.ndarray, "B H W"]) -> Float64[np.ndarray, "B H W"]:
        later = self.first(*plan.shape[:2])
        later[:, :-1, : self.channels] = plan[:, 1:, : self.channels]
        return later

    def _parts(self, plan: Float64[np.ndarray, "B H W"]) -> tuple[np.ndarray, np.ndarray]:
        return plan[..., : self.channels], plan[..., self.channels :]


class Categorical:
    """Discrete actions: a probability for each. The normal numbers choose by their quantile, so that choices are
    correlated in time as these are."""

    channels = 1

    def __init__(self, space: spaces.Discrete) -> None:
        self.start, self.width = int(space.start), int(space.n)

    def first(self, rows: int, horizon: int) -> Float64[np.ndarray, "B H W"]:
        return np.full((rows, horizon, self.width), 1 / self.width)

    def actions(self, plan: Float64[np.ndarray, "B H W"], z: Float64[np.ndarray, "B K H C"]) -> np.ndarray:
        from scipy.special import ndtr

        steps = np.cumsum(plan, axis=2)[:, None, :, :-1]
        found: np.ndarray = (np.asarray(ndtr(z)) > steps).sum(3)
        found[:, 0] = plan.argmax(2)
        return np.asarray(found + self.start)

    def moved(
        self, plan: Float64[np.ndarray, "B H W"], elites: np.ndarray, share: float
    ) -> Float64[np.ndarray, "B H W"]:
        best = (elites[..., None] - self.start == np.arange(self.width)).mean(1)
        return np.asarray(plan + share * (best - plan))

    def shifted(self, plan: Float64[np.ndarray, "B H W"]) -> Float64[np.ndarray, "B H W"]:
        later = self.first(*plan.shape[:2])
        later[:, :-1] = 0.5 * later[:, :-1] + 0.5 * plan[:, 1:]
        return later


def proposal_of(space: spaces.Space[object], env: str) -> Proposal:
    """The distribution for an action space.

    Raises:
        ConfigError: it is neither Discrete nor a box with bounds.
    """
    if isinstance(space, spaces.Discrete):
        return Categorical(space)
    if isinstance(space, spaces.Box):
        return Gaussian(space)
    raise ConfigError(f"{env} takes {space}, and sequences are planned of Discrete actions or boxes with bounds.")


def noise(
    seed: int,
    rows: Int64[np.ndarray, "B"],
    tick: Int64[np.ndarray, "B"],
    iteration: int,
    shape: tuple[int, int, int],
    correlation: float,
) -> Float64[np.ndarray, "B K H C"]:
    """Standard normal numbers z_h = ρ z_{h−1} + √(1 − ρ²) ε_h, by (seed, row, its time, iteration) alone."""
    keys = random_bits(seed, _PURPOSE, rows, tick, iteration)
    z = np.stack([np.random.Generator(np.random.SFC64(int(key))).standard_normal(shape) for key in keys])
    for step in range(1, shape[1]):
        z[:, :, step] = correlation * z[:, :, step - 1] + np.sqrt(1 - correlation**2) * z[:, :, step]
    return z


def best_of(actions: np.ndarray, returns: Float64[np.ndarray, "B K"], count: int) -> np.ndarray:
    """The sequences with the highest returns, the best one first, [B, count, H, …]."""
    order = np.argsort(-returns, axis=1, kind="stable")[:, :count]
    best: np.ndarray = actions[np.arange(len(actions))[:, None], order]
    return best
