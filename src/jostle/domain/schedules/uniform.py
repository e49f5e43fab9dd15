"""The domain as it was given, throughout: uniform (or whatever its distributions are) domain randomisation."""

from typing import ClassVar

import numpy as np
from jaxtyping import Int64

from jostle.domain.distributions import Integers
from jostle.domain.schedules.interface import Proposal, Silent
from jostle.domain.schedules.ranges import bounds_log
from jostle.domain.space import Bound


class UniformSchedule(Silent):
    """Draws from the space itself."""

    kind: ClassVar[str] = "uniform"

    def __init__(self, bound: Bound) -> None:
        self.bound = bound

    def propose(self, seed: int, envs: Int64[np.ndarray, "R"], episodes: Int64[np.ndarray, "R"]) -> Proposal:
        """See `Schedule.propose`."""
        draw = self.bound.space.draw(seed, envs, episodes)
        return Proposal(draw.values, draw.log_density, np.zeros(len(envs), np.int64))

    def log(self) -> dict[str, float]:
        """An entropy of 0, which is the whole domain's, and the bounds, which stay: of whole numbers, too."""
        space = self.bound.space
        low, high = space.low.copy(), space.high.copy()
        ranged = space.movable & np.isfinite(low) & np.isfinite(high)
        for i, parameter in enumerate(space.parameters):
            if isinstance(parameter.distribution, Integers):
                low[i], high[i] = parameter.distribution.support
                ranged[i] = True
        return {"domain/entropy": 0.0} | bounds_log(self.bound, np.flatnonzero(ranged), low, high)
