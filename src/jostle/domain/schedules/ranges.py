"""Ranges that widen: what linear, ADR and rollback share. All in quantiles of the domain's own distributions.

A parameter's range is [q_low, q_high] within [0, 1]: its distribution conditioned on lying between those quantiles. So
a step of a hundredth is a hundredth of a uniform range, and of the orders of magnitude of a log-uniform one; 0 to 1
is the domain as it was given.
"""

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain.schedules.interface import movable_of
from jostle.domain.space import Bound

_POINT = 1e-6
"""What a single point counts as, in the entropy, which would be −∞."""


class Ranges:
    """Where the ranges of a bound space start, and what quantiles of them are.

    Args:
        bound: the space over an environment's quantities.
        kind: the schedule's name, for messages.

    Attributes:
        movable: positions of the parameters whose range moves [M].
        start: the quantile of the nominal value, or the nearest end of the range [P]; of others than movable ones 0.5.
    """

    def __init__(self, bound: Bound, kind: str) -> None:
        self.bound = bound
        self.movable = movable_of(bound, kind, bounded=True)
        self._columns = bound.space.columns(self.movable)
        self.start = np.full(len(bound), 0.5)
        self._point = bound.neutral.copy()
        for i in self.movable:
            law = bound.space.parameters[i].distribution
            self._point[i] = np.clip(bound.neutral[i], *law.support)
            self.start[i] = rounded(law.cdf(self._point[i : i + 1]))[0]

    def at(self, q: Float64[np.ndarray, "*R P"]) -> Float64[np.ndarray, "*R P"]:
        """The draws at quantiles; of parameters that don't move, undefined."""
        out = np.empty_like(q)
        for at, law in self._columns:
            out[..., at] = np.where(q[..., at] == self.start[at], self._point[at], law.quantile(q[..., at]))
        return out

    def limits(
        self, low: Float64[np.ndarray, "*R P"], high: Float64[np.ndarray, "*R P"], rows: int
    ) -> tuple[Float64[np.ndarray, "{rows} P"], Float64[np.ndarray, "{rows} P"]]:
        """The bounds between which `Space.draw` draws, for quantiles of all rows or of each."""
        shape = (rows, len(self.bound))
        below, above = np.broadcast_to(self.bound.space.low, shape), np.broadcast_to(self.bound.space.high, shape)
        below, above = below.copy(), above.copy()
        below[:, self.movable] = np.broadcast_to(self.at(low), shape)[:, self.movable]
        above[:, self.movable] = np.broadcast_to(self.at(high), shape)[:, self.movable]
        return below, above

    def log(self, low: Float64[np.ndarray, "P"], high: Float64[np.ndarray, "P"]) -> dict[str, float]:
        """The entropy, as the mean of ln(q_high − q_low) over the parameters that move (OpenAI's (1/d) Σ ln(hi − lo)
        up to a constant, where all are uniform), and each range in its unit."""
        width = np.maximum(high - low, _POINT)[self.movable]
        return {"domain/entropy": float(np.log(width).mean())} | bounds_log(
            self.bound, self.movable, self.at(low), self.at(high)
        )


def rounded(q: Float64[np.ndarray, "*R"]) -> Float64[np.ndarray, "*R"]:
    """Quantiles without the dust of additions, so that ten steps of a tenth end exactly at the end."""
    return np.asarray(np.clip(np.round(q, 12), 0.0, 1.0))


def bounds_log(
    bound: Bound,
    which: Int64[np.ndarray, "M"],
    low: Float64[np.ndarray, "P"],
    high: Float64[np.ndarray, "P"],
) -> dict[str, float]:
    """``domain/NAME/low`` and ``…/high`` of drawn numbers, in the quantities' units."""
    out: dict[str, float] = {}
    for i in which:
        parameter, nominal = bound.space.parameters[i], float(bound.nominal[i])
        ends = sorted(float(v) for v in parameter.value(np.array([low[i], high[i]]), nominal))
        out |= {f"domain/{parameter.name}/low": ends[0], f"domain/{parameter.name}/high": ends[1]}
    return out
