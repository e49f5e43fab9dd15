"""Automatic Domain Randomization: each bound moves by how the agent does exactly there.

OpenAI et al., "Solving Rubik's Cube with a Robot Hand" (2019), algorithms 1 and 2.
"""

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int64

from jostle.domain.counter_rng import integers, open_uniform, random_bits
from jostle.domain.schedules.interface import Proposal, Results, Score, Silent, score_of
from jostle.domain.schedules.ranges import Ranges, rounded
from jostle.domain.space import Bound
from jostle.errors import ConfigError

_PURPOSE = 0x61647200
LOW, HIGH = 0, 1


class ADR(Silent):
    """Ranges start at the nominal values. A share of the episodes pins one parameter at one of its bounds; the mean
    score of ``episodes`` of these widens the bound, or narrows it, by ``delta``.

    Args:
        bound: the space over an environment's quantities.
        high: t_H: a mean score of at least this widens.
        low: t_L: a mean score of at most this narrows.
        delta: Δ, the step, as a share of the whole range (of the quantiles, see `ranges.py`).
        share: p_b, the share of the episodes that are pinned.
        episodes: m, scores in a buffer before it counts.
        score: what is compared with the thresholds.
    """

    kind: ClassVar[str] = "adr"
    watches = True

    def __init__(
        self,
        bound: Bound,
        *,
        high: float,
        low: float,
        delta: float = 0.02,
        share: float = 0.5,
        episodes: int = 20,
        score: Score = "return",
    ) -> None:
        check_thresholds(self.kind, low, high, episodes, score)
        for name, value in (("delta", delta), ("share", share)):
            if not 0 < value <= 1:
                raise ConfigError(f"the schedule adr with {name}={value:g} cannot be: it lies above 0, up to 1.")
        self.bound, self.high, self.low, self.delta, self.share = bound, high, low, delta, share
        self.episodes, self.score = int(episodes), score
        self._ranges = Ranges(bound, self.kind)
        self.q = np.stack([self._ranges.start, self._ranges.start])
        """Quantiles of the lower and the upper bounds [2, P]."""
        self._buffers: list[list[list[float]]] = [[[] for _ in range(len(bound))] for _ in (LOW, HIGH)]

    def propose(self, seed: int, envs: Int64[np.ndarray, "R"], episodes: Int64[np.ndarray, "R"]) -> Proposal:
        """See `Schedule.propose`. The tag of a pinned episode is 2 × parameter + side, of others −1."""
        low, high = self._ranges.limits(self.q[LOW], self.q[HIGH], len(envs))
        bits = [random_bits(seed, _PURPOSE, envs, episodes, k) for k in range(3)]
        pinned = open_uniform(bits[0]) < self.share
        which, side = self._ranges.movable[integers(bits[1], len(self._ranges.movable))], integers(bits[2], 2)
        rows = np.flatnonzero(pinned)
        at = np.where(side[rows] == LOW, low[rows, which[rows]], high[rows, which[rows]])
        low[rows, which[rows]] = high[rows, which[rows]] = at
        draw = self.bound.space.draw(seed, envs, episodes, low=low, high=high)
        return Proposal(draw.values, draw.log_density, np.where(pinned, 2 * which + side, -1))

    def observe(self, results: Results) -> None:
        """See `Schedule.observe`. What was pinned where the bound no longer is tells nothing of it and is left out."""
        scores = score_of(results, self.score, self.kind)
        for r in np.flatnonzero(results.tag >= 0):
            i, side = divmod(int(results.tag[r]), 2)
            if results.drawn[r, i] != self._ranges.at(self.q[side])[i]:
                continue
            buffer = self._buffers[side][i]
            buffer.append(float(scores[r]))
            if len(buffer) >= self.episodes:
                self._move(i, side, float(np.mean(buffer)))
                buffer.clear()

    def _move(self, i: int, side: int, mean: float) -> None:
        """Algorithm 1's last lines; never beyond the domain, nor across the nominal value."""
        wider = self.delta if mean >= self.high else -self.delta if mean <= self.low else 0.0
        start = self._ranges.start[i]
        if side == LOW:
            self.q[LOW, i] = min(float(rounded(self.q[LOW, i : i + 1] - wider)[0]), start)
        else:
            self.q[HIGH, i] = max(float(rounded(self.q[HIGH, i : i + 1] + wider)[0]), start)

    def log(self) -> dict[str, float]:
        """See `Schedule.log`."""
        return self._ranges.log(self.q[LOW], self.q[HIGH])

    def state_dict(self) -> dict[str, Any]:
        """See `Schedule.state_dict`."""
        return {"q": self.q.copy(), "buffers": [[list(b) for b in side] for side in self._buffers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Schedule.load_state_dict`."""
        self.q = np.array(state["q"], np.float64)
        self._buffers = [[[float(v) for v in b] for b in side] for side in state["buffers"]]


def check_thresholds(kind: str, low: float, high: float, episodes: int, score: str) -> None:
    """Refuse what no schedule with two thresholds can be."""
    if not low <= high:
        raise ConfigError(
            f"the schedule {kind} with low={low:g} above high={high:g} cannot be: give the lower one first."
        )
    if episodes < 1 or episodes % 1:
        raise ConfigError(f"the schedule {kind} with episodes={episodes!r} cannot be: give a whole number, 1 or more.")
    if score not in ("return", "success"):
        raise ConfigError(f"the schedule {kind} with score={score!r} cannot be: take return or success.")
