"""Ranges that widen linearly with the steps of finished episodes, from the nominal values to the whole domain."""

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain.schedules.interface import Proposal, Results, Silent
from jostle.domain.schedules.ranges import Ranges
from jostle.domain.space import Bound
from jostle.errors import ConfigError


class LinearSchedule(Silent):
    """Widening by a plan, whatever the agent can do.

    Args:
        bound: the space over an environment's quantities.
        steps: environment steps after which the whole domain is drawn from.
    """

    kind: ClassVar[str] = "linear"
    watches = True

    def __init__(self, bound: Bound, *, steps: float) -> None:
        if not steps >= 1:
            raise ConfigError(f"the schedule linear with steps={steps:g} cannot be: give the steps of the widening.")
        self.bound, self.steps = bound, float(steps)
        self._ranges = Ranges(bound, self.kind)
        self._seen = 0

    @property
    def share(self) -> float:
        """How far the ranges are open, 0 to 1."""
        return min(1.0, self._seen / self.steps)

    def propose(self, seed: int, envs: Int64[np.ndarray, "R"], episodes: Int64[np.ndarray, "R"]) -> Proposal:
        """See `Schedule.propose`."""
        low, high = self._ranges.limits(*self._quantiles(), len(envs))
        draw = self.bound.space.draw(seed, envs, episodes, low=low, high=high)
        return Proposal(draw.values, draw.log_density, np.zeros(len(envs), np.int64))

    def observe(self, results: Results) -> None:
        """See `Schedule.observe`."""
        self._seen += int(results.lengths.sum())

    def log(self) -> dict[str, float]:
        """See `Schedule.log`; also the share."""
        return self._ranges.log(*self._quantiles()) | {"domain/share": self.share}

    def state_dict(self) -> dict[str, Any]:
        """See `Schedule.state_dict`."""
        return {"seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Schedule.load_state_dict`."""
        self._seen = int(state["seen"])

    def _quantiles(self) -> tuple[Float64[np.ndarray, "P"], Float64[np.ndarray, "P"]]:
        start = self._ranges.start
        return start * (1 - self.share), start + (1 - start) * self.share
