"""What a task draws at the start of an episode, by counter: a function of (seed, episode, purpose), nothing else."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain.counter_rng import normal, random_bits, uniform


@dataclass(frozen=True)
class Draws:
    """The randomness of the R episodes that begin. What is drawn for different purposes is independent.

    Args:
        rows: [R], which they are.
        seed: [R], of each row's environment.
        episode: [R], which of its episodes begins.
    """

    rows: Int64[np.ndarray, "R"]
    seed: Int64[np.ndarray, "R"]
    episode: Int64[np.ndarray, "R"]

    @property
    def count(self) -> int:
        """R."""
        return int(self.seed.size)

    def uniform(self, purpose: int, size: int, low: float = 0.0, high: float = 1.0) -> Float64[np.ndarray, "R size"]:
        """Uniform in [low, high)."""
        values: Float64[np.ndarray, "R size"] = low + (high - low) * uniform(self._bits(purpose, size))
        return values

    def normal(self, purpose: int, size: int) -> Float64[np.ndarray, "R size"]:
        """Standard normal."""
        return normal(self._bits(purpose, size))

    def _bits(self, purpose: int, size: int) -> np.ndarray[Any, Any]:
        return random_bits(self.seed[:, None], self.episode[:, None], purpose, np.arange(size)[None])
