"""DORAEMON: domain randomisation by entropy maximisation (Tiboni et al., ICLR 2024, arXiv 2311.01885)."""

import math
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain.schedules.betas import entropy, log_density
from jostle.domain.schedules.doraemon_step import update
from jostle.domain.schedules.interface import Proposal, Results, Silent, movable_of, score_of
from jostle.domain.schedules.ranges import bounds_log
from jostle.domain.space import Bound
from jostle.errors import ConfigError

_LEAST = 0.8
_BAND = (0.05, 0.95)


class DORAEMON(Silent):
    """A Beta over the quantiles of each parameter that moves, which widens as far as the agent succeeds.

    With y the quantile of a draw, y ~ Beta(a, b); a = b = 1 is the domain as it was given. After every ``episodes``
    episodes: max H(φ) subject to success(φ) ≥ α and KL(φ_now ‖ φ) ≤ ε, with success estimated by importance weights
    from these episodes and the densities under which they were drawn.

    Args:
        bound: the space over an environment's quantities.
        threshold: a return of at least this is a success; None: the environment says (`is_success`, `success`).
        alpha: α, the success rate to hold.
        epsilon: ε, the trust region of one update.
        episodes: between two updates.
        concentration: a + b at the start. The paper's 200 around the middle of the range is here around the nominal
            value.
    """

    kind: ClassVar[str] = "doraemon"
    watches = True

    def __init__(
        self,
        bound: Bound,
        *,
        threshold: float | None = None,
        alpha: float = 0.5,
        epsilon: float = 0.05,
        episodes: int = 100,
        concentration: float = 200.0,
    ) -> None:
        if threshold is not None and not math.isfinite(threshold):
            raise ConfigError(f"the schedule doraemon with threshold={threshold} cannot be: give a finite return.")
        if not 0 < alpha < 1:
            raise ConfigError(f"the schedule doraemon with alpha={alpha:g} cannot be: it lies between 0 and 1.")
        for name, value in (("epsilon", epsilon), ("concentration", concentration - 2)):
            if not value > 0:
                raise ConfigError(
                    f"the schedule doraemon cannot be with {name} that small: epsilon > 0, concentration > 2."
                )
        if episodes < 2 or episodes % 1:
            raise ConfigError(f"the schedule doraemon with episodes={episodes!r} cannot be: a whole number, 2 or more.")
        if bound.space.correlated:
            raise ConfigError(
                "the schedule doraemon draws independent parameters: leave `correlated` out of the domain."
            )
        self.bound, self.threshold, self.alpha, self.epsilon = bound, threshold, alpha, epsilon
        self.episodes = int(episodes)
        self.movable = movable_of(bound, self.kind)
        place = {int(i): k for k, i in enumerate(self.movable)}
        columns = bound.space.columns(self.movable)
        self._columns = [(at, [place[i] for i in at], law) for at, law in columns]
        middle = self._quantiles(bound.neutral[None])[0]
        first = np.stack([concentration * middle, concentration * (1 - middle)])
        self._limits = _LEAST, float(first.max()) + 10
        self.parameters = np.clip(first, 1.0, None)
        """a and b of the Betas [2, M]."""
        self._kept: list[tuple[np.ndarray[Any, Any], float, float]] = []
        """Draws, densities and successes of the episodes since the last update."""
        self.updates, self.last_success, self.feasible = 0, float("nan"), True

    def propose(self, seed: int, envs: Int64[np.ndarray, "R"], episodes: Int64[np.ndarray, "R"]) -> Proposal:
        """See `Schedule.propose`."""
        drawn = self.bound.space.draw(seed, envs, episodes).values
        return Proposal(*self._moved(drawn), np.zeros(len(envs), np.int64))

    def observe(self, results: Results) -> None:
        """See `Schedule.observe`."""
        if self.threshold is not None:
            success = (results.returns >= self.threshold).astype(np.float64)
        else:
            success = score_of(results, "success", self.kind)
        for drawn, density, s in zip(results.drawn, results.log_density, success, strict=True):
            self._kept.append((drawn, float(density), float(s)))
            if len(self._kept) >= self.episodes:
                self._update()

    def _update(self) -> None:
        drawn = np.stack([d for d, _, _ in self._kept])
        # What the parameters that stay, and the domain's own densities, add to the density stands on both sides.
        own = self.bound.space.log_density(drawn)
        under = np.array([density for _, density, _ in self._kept]) - own
        success = np.array([s for _, _, s in self._kept])
        step = update(
            self.parameters, self._quantiles(drawn), success, under,
            alpha=self.alpha, epsilon=self.epsilon, bounds=self._limits,
        )  # fmt: skip
        self.parameters, self.feasible = step.parameters, step.feasible
        self.updates, self.last_success = self.updates + 1, float(success.mean())
        self._kept = []

    def log(self) -> dict[str, float]:
        """See `Schedule.log`: mean entropy of the Betas (0: the whole domain), and bounds that hold 90% of the draws;
        also the success among the last update's episodes, and whether α could be had."""
        from scipy.special import betaincinv

        out = {"domain/entropy": entropy(self.parameters).value / len(self.movable)}
        ends = []
        for share in _BAND:
            x = np.zeros(len(self.bound))
            for k, i in enumerate(self.movable):
                y = np.array([betaincinv(float(self.parameters[0, k]), float(self.parameters[1, k]), share)])
                x[i] = self.bound.space.parameters[i].distribution.quantile(y)[0]
            ends.append(x)
        out |= bounds_log(self.bound, self.movable, *ends)
        if self.updates:
            out |= {"domain/success": self.last_success, "domain/feasible": float(self.feasible)}
        return out

    def state_dict(self) -> dict[str, Any]:
        """See `Schedule.state_dict`."""
        kept = np.array([d for d, _, _ in self._kept], np.float64).reshape(-1, len(self.bound))
        return {
            "parameters": self.parameters.copy(), "drawn": kept,
            "density": np.array([d for _, d, _ in self._kept], np.float64),
            "success": np.array([s for _, _, s in self._kept], np.float64),
            "updates": self.updates, "last_success": self.last_success, "feasible": self.feasible,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Schedule.load_state_dict`."""
        self.parameters = np.array(state["parameters"], np.float64)
        parts = (np.array(state[name], np.float64) for name in ("drawn", "density", "success"))
        self._kept = [(d, float(p), float(s)) for d, p, s in zip(*parts, strict=True)]
        self.updates, self.feasible = int(state["updates"]), bool(state["feasible"])
        self.last_success = float(state["last_success"])

    def _moved(self, drawn: Float64[np.ndarray, "R P"]) -> tuple[Float64[np.ndarray, "R P"], Float64[np.ndarray, "R"]]:
        """The space's draws, brought by their quantiles under the Betas, and their density."""
        from scipy.special import betaincinv

        u = self._quantiles(drawn)
        y = np.asarray(betaincinv(self.parameters[0], self.parameters[1], u), np.float64)
        y = np.clip(y, 2.0**-52, 1 - 2.0**-52)
        out = drawn.copy()
        for at, places, law in self._columns:
            out[:, at] = law.quantile(y[:, places])
        return out, self.bound.space.log_density(out) + log_density(self.parameters, self._quantiles(out))

    def _quantiles(self, drawn: Float64[np.ndarray, "R P"]) -> Float64[np.ndarray, "R M"]:
        y = np.empty((len(drawn), len(self.movable)))
        for at, places, law in self._columns:
            y[:, places] = law.cdf(drawn[:, at])
        return np.asarray(np.clip(y, 2.0**-52, 1 - 2.0**-52))
