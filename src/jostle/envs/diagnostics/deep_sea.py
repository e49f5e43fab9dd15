"""DeepSea: an exploration chain in which all but one of 2^N action sequences miss the reward.

The rules are those of bsuite (Osband et al., "Behaviour Suite for Reinforcement Learning", 2020), `deep_sea.py`: a
block falls through an N x N grid from the top left, one row a step, and moves left or right. Which of the two actions
means right is drawn once for every cell. Moving right costs 0.01 / N; moving right in the bottom right cell pays 1.
"""

from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from jostle.domain.counter_rng import normal, random_bits, uniform
from jostle.envs.diagnostics.vector import Array, DiagnosticEnv, DiagnosticVectorEnv
from jostle.errors import ConfigError

_WIND, _NOISE = 0, 1
_PICTURE = 256


class DeepSeaVectorEnv(DiagnosticVectorEnv):
    """N DeepSeas with one action mapping.

    Observation: float32 [size, size], one-hot in the block's cell; all zeros after the last step, as in bsuite.
    Action: 0 or 1. An episode has `size` steps and terminates below the bottom row.
    `info` of an ending row: `reached` (the reward of 1 was paid) and `bad_episode` (the agent went left on the
    diagonal, bsuite's account of regret), with the masks `_reached` and `_bad_episode`.

    Args:
        size: N, the rows and columns of the grid.
        mapping_seed: seed of the action mapping; equal seeds give bsuite's own mapping.
        randomise_actions: False makes action 1 mean right in every cell (bsuite calls this its debug mode).
        move_cost: what N right moves cost together.
        deterministic: False is the "windy" variant: right fails with probability 1/N, and the rewards in the two
            corners of the bottom row carry standard normal noise.
        render_mode: None or "rgb_array".
    """

    name: ClassVar[str] = "DeepSea"
    _STATE: ClassVar[tuple[str, ...]] = ("row", "column", "bad")

    def __init__(
        self,
        num_envs: int = 1,
        *,
        size: int = 10,
        mapping_seed: int = 42,
        randomise_actions: bool = True,
        move_cost: float = 0.01,
        deterministic: bool = True,
        render_mode: str | None = None,
    ) -> None:
        if size < 1:
            raise ConfigError(f"DeepSea needs a size of at least 1, not {size}.")
        if not 0 <= mapping_seed < 2**32:
            raise ConfigError(f"DeepSea takes a mapping_seed from 0 to 2^32 - 1, not {mapping_seed}.")
        if not np.isfinite(move_cost):
            raise ConfigError(f"DeepSea needs a finite move_cost, not {move_cost}.")
        observations = Box(0.0, 1.0, (size, size), np.float32)
        super().__init__(num_envs, observations, Discrete(2), render_mode)
        self.size = size
        self.deterministic = deterministic
        self.move_cost = move_cost
        self.mapping = action_mapping(size, mapping_seed if randomise_actions else None)
        self._row = np.zeros(num_envs, dtype=np.int64)
        self._column = np.zeros(num_envs, dtype=np.int64)
        self._bad = np.zeros(num_envs, dtype=bool)

    @property
    def optimal_return(self) -> float:
        """Expected return of going right all the way: 1 - move_cost; in the windy variant
        (1 - 1/N)^(N - 1) - move_cost."""
        reaches = 1.0 if self.deterministic else (1.0 - 1.0 / self.size) ** (self.size - 1)
        return reaches - self.move_cost

    def _begin(self, where: Bool[np.ndarray, "N"]) -> None:
        self._row = np.where(where, 0, self._row)
        self._column = np.where(where, 0, self._column)
        self._bad = self._bad & ~where

    def _advance(
        self, action: Int64[np.ndarray, "N"]
    ) -> tuple[Float64[np.ndarray, "N"], Bool[np.ndarray, "N"], dict[str, Array]]:
        row, column, last = self._row, self._column, self.size - 1
        right = action == self.mapping[np.minimum(row, last), column]
        reached = right & (column == last)
        reward = reached.astype(np.float64)
        carried = right
        if not self.deterministic:
            corner = (row == last) & ((column == 0) | (column == last))
            reward += np.where(corner, reward_noise(self._seed, self._episode), 0.0)
            carried = right & ~blown_off(self._seed, self._episode, row, self.size)
        reward -= np.where(right, self.move_cost / self.size, 0.0)
        self._bad = self._bad | (~right & (row == column))
        self._column = np.clip(column + carried - ~right, 0, last)
        self._row = row + 1
        return reward, self._row == self.size, {"reached": reached, "bad_episode": self._bad}

    def _observe(self) -> Float32[np.ndarray, "N size size"]:
        observation = np.zeros((self.num_envs, self.size, self.size), dtype=np.float32)
        afloat = np.flatnonzero(self._row < self.size)
        observation[afloat, self._row[afloat], self._column[afloat]] = 1.0
        return observation

    def _frames(self) -> UInt8[np.ndarray, "N H W 3"]:
        depth = np.linspace(1.0, 0.25, self.size)[:, None, None]
        sea = np.broadcast_to(depth * np.array([70.0, 150.0, 215.0]), (self.size, self.size, 3)).copy()
        sea[np.triu_indices(self.size, 1)] *= 0.55  # cells that no episode can reach
        sea[-1, -1] = (235.0, 185.0, 60.0)
        frames = np.repeat(sea[None].round().astype(np.uint8), self.num_envs, axis=0)
        afloat = np.flatnonzero(self._row < self.size)
        frames[afloat, self._row[afloat], self._column[afloat]] = (255, 255, 255)
        scale = max(1, _PICTURE // self.size)
        return frames.repeat(scale, axis=1).repeat(scale, axis=2)

    def _settings(self) -> dict[str, Array | int]:
        return {
            "size": self.size,
            "mapping": self.mapping.copy(),
            "move_cost": np.array(self.move_cost),
            "deterministic": int(self.deterministic),
        }


class DeepSeaEnv(DiagnosticEnv):
    """One DeepSea; options as of `DeepSeaVectorEnv`."""

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        super().__init__(DeepSeaVectorEnv(1, render_mode=render_mode, **options))


def action_mapping(size: int, mapping_seed: int | None) -> Int64[np.ndarray, "size size"]:
    """The action that means right, cell by cell; 1 everywhere without a seed."""
    if mapping_seed is None:
        return np.ones((size, size), dtype=np.int64)
    # bsuite draws from the legacy generator, whose stream NumPy has frozen: equal seeds give equal seas.
    draws = np.random.RandomState(mapping_seed).binomial(1, 0.5, [size, size])
    return draws.astype(np.int64)


def blown_off(
    seed: Int64[np.ndarray, "N"], episode: Int64[np.ndarray, "N"], row: Int64[np.ndarray, "N"], size: int
) -> Bool[np.ndarray, "N"]:
    """Whether the wind stops a right move in this row; probability 1/size."""
    return uniform(random_bits(seed, episode, _WIND, row)) <= 1.0 / size


def reward_noise(seed: Int64[np.ndarray, "N"], episode: Int64[np.ndarray, "N"]) -> Float64[np.ndarray, "N"]:
    """Standard normal noise of the reward in the bottom corners."""
    return normal(random_bits(seed, episode, _NOISE))
