"""Prioritised level replay: levels from which the agent learns most come again (Jiang, Grefenstette, Rocktäschel 2021).

P = (1 − ρ) P_S + ρ P_C over the levels seen so far, with P_S ∝ (1 / rank of the score)^(1/β) and P_C ∝ the episodes
since a level was last proposed. A level's score is what the learner last knew of it: mean |R − V|.
"""

import math
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain.counter_rng import open_uniform, random_bits
from jostle.domain.distributions import Categorical, Integers
from jostle.domain.schedules.interface import Proposal, Silent
from jostle.domain.space import Bound
from jostle.errors import ConfigError, closest

_PURPOSE = 0x706C7200


class PLR(Silent):
    """Replay of the levels of one parameter; the others are drawn as the domain says.

    Args:
        bound: the space over an environment's quantities.
        parameter: whose values are the levels, `integers` or `categorical`; None: the only such one.
        replay: share of the episodes that replay a level, while unseen ones are left; the others take an unseen one.
        beta: β, the temperature of the ranks.
        staleness: ρ, the share of the staleness in the weights.
        keep: share of the old score that stays when a new one comes in.
    """

    kind: ClassVar[str] = "plr"
    listens = True

    def __init__(
        self,
        bound: Bound,
        *,
        parameter: str | None = None,
        replay: float = 0.5,
        beta: float = 0.1,
        staleness: float = 0.1,
        keep: float = 0.0,
    ) -> None:
        for name, value, least in (("replay", replay, 0.0), ("staleness", staleness, 0.0), ("keep", keep, 0.0)):
            if not least <= value <= 1:
                raise ConfigError(f"the schedule plr with {name}={value:g} cannot be: it lies between 0 and 1.")
        if not beta > 0:
            raise ConfigError(f"the schedule plr with beta={beta:g} cannot be: it lies above 0.")
        self.bound, self.replay, self.beta, self.staleness, self.keep = bound, replay, beta, staleness, keep
        self._at = _levels_of(bound, parameter)
        law = bound.space.parameters[self._at].distribution
        low, high = law.support
        self.levels = (
            np.arange(low, high + 1) if isinstance(law, Integers) else np.array(sorted(set(law.values)), np.float64)  # type: ignore[attr-defined]
        )
        self.score = np.zeros(len(self.levels))
        self.proposed_at = np.full(len(self.levels), -1, np.int64)
        """The episode, counted over all environments, at which a level was last proposed; −1: never."""
        self._count = 0

    def propose(self, seed: int, envs: Int64[np.ndarray, "R"], episodes: Int64[np.ndarray, "R"]) -> Proposal:
        """See `Schedule.propose`. Rows that begin together count one after the other."""
        draw = self.bound.space.draw(seed, envs, episodes)
        out, density = draw.values.copy(), draw.log_density
        own = self.bound.space.parameters[self._at].distribution.log_density(out[:, self._at])
        u = np.stack([open_uniform(random_bits(seed, _PURPOSE, envs, episodes, k)) for k in range(2)])
        log_p = np.empty(len(envs))
        for r in range(len(envs)):
            p = self.probabilities()
            k = min(int(np.searchsorted(np.cumsum(p), u[1, r] * p.sum(), side="right")), len(p) - 1)
            if (unseen := np.flatnonzero(self.proposed_at < 0)).size and (
                u[0, r] >= self.replay or unseen.size == len(p)
            ):
                k = int(unseen[int(u[1, r] * unseen.size)])
            log_p[r] = math.log(self._chance(k, p, unseen))
            out[r, self._at] = self.levels[k]
            self.proposed_at[k] = self._count
            self._count += 1
        return Proposal(out, density - own + log_p, np.zeros(len(envs), np.int64))

    def _chance(self, k: int, p: Float64[np.ndarray, "L"], unseen: Int64[np.ndarray, "U"]) -> float:
        """Probability with which level k was proposed."""
        if not unseen.size:
            return float(p[k])
        fresh = 1.0 if unseen.size == len(p) else 1 - self.replay
        return fresh / unseen.size if k in unseen else self.replay * float(p[k])

    def probabilities(self) -> Float64[np.ndarray, "L"]:
        """P over all levels, 0 for unseen ones."""
        seen = np.flatnonzero(self.proposed_at >= 0)
        out = np.zeros(len(self.levels))
        if not seen.size:
            return out
        # Rank 1 is the highest score; of equal ones the lower level comes first.
        rank = np.empty(seen.size)
        rank[np.argsort(-self.score[seen], kind="stable")] = np.arange(1, seen.size + 1)
        by_score = rank ** (-1 / self.beta)
        age = (self._count - self.proposed_at[seen]).astype(np.float64)
        out[seen] = (1 - self.staleness) * by_score / by_score.sum() + self.staleness * age / age.sum()
        return out

    def feedback(
        self, drawn: Float64[np.ndarray, "K P"], score: Float64[np.ndarray, "K"], steps: Int64[np.ndarray, "K"]
    ) -> None:
        """See `Schedule.feedback`. Stretches of the same level count by their steps."""
        index = np.searchsorted(self.levels, drawn[:, self._at])
        weight = np.bincount(index, steps, len(self.levels))
        total = np.bincount(index, steps * score, len(self.levels))
        told = weight > 0
        mean = total[told] / weight[told]
        self.score[told] = self.keep * self.score[told] + (1 - self.keep) * mean

    def log(self) -> dict[str, float]:
        """See `Schedule.log`: the entropy of P as a share of that of all levels alike (less 1, so that 0 is the whole
        domain), the levels seen and the mean score."""
        p = self.probabilities()
        used = p[p > 0]
        full = math.log(len(p)) if len(p) > 1 else 1.0
        seen = self.proposed_at >= 0
        return {
            "domain/entropy": float(-(used * np.log(used)).sum()) - full,
            "domain/levels_seen": float(seen.sum()),
            "domain/level_score": float(self.score[seen].mean()) if seen.any() else 0.0,
        }

    def state_dict(self) -> dict[str, Any]:
        """See `Schedule.state_dict`."""
        return {"score": self.score.copy(), "proposed_at": self.proposed_at.copy(), "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Schedule.load_state_dict`."""
        self.score = np.array(state["score"], np.float64)
        self.proposed_at = np.array(state["proposed_at"], np.int64)
        self._count = int(state["count"])


def _levels_of(bound: Bound, name: str | None) -> int:
    """The position of the parameter whose values are levels."""
    ok = [
        p.name
        for p in bound.space.parameters
        if isinstance(p.distribution, Integers | Categorical) and p.when == "reset"
    ]
    if name is None and len(ok) == 1:
        name = ok[0]
    if name not in ok:
        offered = f"; {closest(str(name), ok)}" if ok and name is not None else ""
        raise ConfigError(
            "the schedule plr replays the values of one parameter that is drawn at each reset from integers or "
            f"categorical: {'give parameter=NAME' if name is None else f'{name} is none'}{offered}"
        )
    return bound.names.index(name)
