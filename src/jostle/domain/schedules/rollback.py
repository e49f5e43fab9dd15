"""Rollback: a range is widened on trial, kept where the new part is mastered, and given up where the old one is lost.

After HORIZON (Bai et al., arXiv 2606.05143), a checkpointed curriculum that expands the domain only within what the
policy recovers from, with rollback and refinement of the boundary. Here the domain rolls back, not the weights: a
schedule knows no learner.
"""

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain.counter_rng import open_uniform, random_bits
from jostle.domain.schedules.adr import HIGH, LOW, check_thresholds
from jostle.domain.schedules.interface import Proposal, Results, Score, Silent, score_of
from jostle.domain.schedules.ranges import Ranges, rounded
from jostle.domain.space import Bound
from jostle.errors import ConfigError

_PURPOSE = 0x726F6C6C
CORE, FRONTIER = 0, 1


class Rollback(Silent):
    """One side of one parameter is on trial at a time, in turn.

    While it is, a share of the episodes (the frontier) draws that parameter from the strip between the good bound and
    the bound on trial, and everything else from the good bounds; the others (the core) draw all from the good bounds.
    Once ``episodes`` of both have ended:

    - the core's mean score is below ``low``: what was mastered is lost, and the trial ends. In its first window the
      last widening is to blame: the good bounds return to those of before it, and the step of its side is halved. Later
      the trial is: the step of its side is halved.
    - the frontier's mean score is at least ``high``: the trial's bound is good, and the next side is tried.
    - neither: another ``episodes`` of both, ``patience`` times in all; then the trial ends and the step is halved.

    Args:
        bound: the space over an environment's quantities.
        high, low: mean scores as above.
        delta: first step, as a share of the whole range (of the quantiles).
        least: a side whose step falls below this is at its boundary; after a round over all sides in which nothing was
            left to try, the steps begin anew.
        share: share of the episodes that are the frontier's.
        episodes: of core and frontier each, before they count.
        patience: windows that a trial may last.
        score: what is compared with the thresholds.
    """

    kind: ClassVar[str] = "rollback"
    watches = True

    def __init__(
        self,
        bound: Bound,
        *,
        high: float,
        low: float,
        delta: float = 0.1,
        least: float = 0.01,
        share: float = 0.5,
        episodes: int = 20,
        patience: int = 5,
        score: Score = "return",
    ) -> None:
        check_thresholds(self.kind, low, high, episodes, score)
        if not 0 < least <= delta <= 1:
            raise ConfigError(
                f"the schedule rollback with least={least:g} and delta={delta:g} cannot be: 0 < least ≤ delta ≤ 1."
            )
        if not 0 < share < 1:
            raise ConfigError(f"the schedule rollback with share={share:g} cannot be: it lies between 0 and 1.")
        if not patience >= 1 or patience % 1:
            raise ConfigError(
                f"the schedule rollback with patience={patience} cannot be: give a whole number, 1 or more."
            )
        self.bound, self.high, self.low, self.delta, self.least = bound, high, low, delta, least
        self.share, self.episodes, self.patience, self.score = share, int(episodes), int(patience), score
        self._ranges = Ranges(bound, self.kind)
        self.good = np.stack([self._ranges.start, self._ranges.start])
        """Quantiles of the good bounds, lower and upper [2, P]."""
        self.step = np.full((2, len(bound)), float(delta))
        self._history: list[np.ndarray[Any, Any]] = []
        """Good bounds of before each widening, the last one at the end."""
        self._turn = -1
        self._phase = 0
        self._windows = 0
        self._buffers: list[list[float]] = [[], []]
        self.rollbacks = 0
        self._next_side()

    @property
    def trial(self) -> tuple[int, int, float] | None:
        """Parameter, side and quantile on trial; None: the whole domain is good."""
        if self._turn < 0:
            return None
        i, side = int(self._ranges.movable[self._turn // 2]), self._turn % 2
        way = -1 if side == LOW else 1
        return i, side, float(rounded(self.good[side, i : i + 1] + way * self.step[side, i])[0])

    def propose(self, seed: int, envs: Int64[np.ndarray, "R"], episodes: Int64[np.ndarray, "R"]) -> Proposal:
        """See `Schedule.propose`. The tag is 2 × phase, and 1 more for the frontier."""
        low, high = self._ranges.limits(self.good[LOW], self.good[HIGH], len(envs))
        frontier = open_uniform(random_bits(seed, _PURPOSE, envs, episodes)) < self.share
        if (trial := self.trial) is None:
            frontier[:] = False
        else:
            i, side, q = trial
            ends = np.stack([self.good[side], self.good[side]])
            ends[1, i] = q
            inner, outer = self._ranges.at(ends)[:, i]
            low[frontier, i], high[frontier, i] = min(inner, outer), max(inner, outer)
        draw = self.bound.space.draw(seed, envs, episodes, low=low, high=high)
        return Proposal(draw.values, draw.log_density, 2 * self._phase + frontier.astype(np.int64))

    def observe(self, results: Results) -> None:
        """See `Schedule.observe`. Episodes of former phases are left out."""
        scores = score_of(results, self.score, self.kind)
        for tag, score in zip(results.tag, scores, strict=True):
            phase, part = divmod(int(tag), 2)
            if phase != self._phase:
                continue
            self._buffers[part].append(float(score))
            needed = (CORE, FRONTIER) if self.trial is not None else (CORE,)
            if all(len(self._buffers[p]) >= self.episodes for p in needed):
                self._judge(*[float(np.mean(b)) if b else 0.0 for b in self._buffers])

    def _judge(self, core: float, frontier: float) -> None:
        self._windows += 1
        trial = self.trial
        first = self._windows == 1
        self._buffers = [[], []]
        if core < self.low:
            self.rollbacks += 1
            if self._history and (first or trial is None):
                before = self._history.pop()
                self.step[before != self.good] /= 2
                self.good = before
            elif trial is not None:
                self.step[trial[1], trial[0]] /= 2
        elif trial is not None and frontier >= self.high:
            self._history.append(self.good.copy())
            self.good[trial[1], trial[0]] = trial[2]
        elif trial is not None and self._windows >= self.patience:
            self.step[trial[1], trial[0]] /= 2
        else:
            return
        self._next_side()

    def _next_side(self) -> None:
        """The next side that has somewhere to go, in a phase of its own."""
        self._phase += 1
        self._windows = 0
        self._buffers = [[], []]
        count = 2 * len(self._ranges.movable)
        for _ in range(2):
            for turn in range(self._turn + 1, self._turn + 1 + count):
                i, side = self._ranges.movable[turn % count // 2], turn % 2
                if self.good[side, i] != float(side) and self.step[side, i] >= self.least:
                    self._turn = turn % count
                    return
            # Every side is at its boundary or at the end: the boundaries may have moved since.
            self.step[:] = self.delta
        self._turn = -1

    def log(self) -> dict[str, float]:
        """See `Schedule.log`; also how often the domain rolled back."""
        return self._ranges.log(self.good[LOW], self.good[HIGH]) | {"domain/rollbacks": float(self.rollbacks)}

    def state_dict(self) -> dict[str, Any]:
        """See `Schedule.state_dict`."""
        shape: Float64[np.ndarray, "H 2 P"] = np.array(self._history, np.float64).reshape(-1, 2, len(self.bound))
        return {
            "good": self.good.copy(), "step": self.step.copy(), "history": shape, "turn": self._turn,
            "phase": self._phase, "windows": self._windows, "buffers": [list(b) for b in self._buffers],
            "rollbacks": self.rollbacks,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Schedule.load_state_dict`."""
        self.good, self.step = np.array(state["good"], np.float64), np.array(state["step"], np.float64)
        self._history = list(np.array(state["history"], np.float64).reshape(-1, 2, len(self.bound)))
        self._turn, self._phase, self._windows = int(state["turn"]), int(state["phase"]), int(state["windows"])
        self._buffers = [[float(v) for v in b] for b in state["buffers"]]
        self.rollbacks = int(state["rollbacks"])
