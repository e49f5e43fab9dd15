"""What a schedule of the domain is: it proposes draws for episodes that begin, and learns from those that ended."""

from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain.space import Bound
from jostle.errors import ConfigError

Score = Literal["return", "success"]


class Proposal(NamedTuple):
    """Draws of R episodes that begin, before the operations on the nominal values."""

    drawn: Float64[np.ndarray, "R P"]
    log_density: Float64[np.ndarray, "R"]
    tag: Int64[np.ndarray, "R"]
    """The schedule's own note on each episode, which comes back with its result."""


class Results(NamedTuple):
    """R episodes that ended, in the order in which they began, with what was proposed for them."""

    envs: Int64[np.ndarray, "R"]
    episodes: Int64[np.ndarray, "R"]
    drawn: Float64[np.ndarray, "R P"]
    log_density: Float64[np.ndarray, "R"]
    tag: Int64[np.ndarray, "R"]
    returns: Float64[np.ndarray, "R"]
    lengths: Int64[np.ndarray, "R"]
    success: Float64[np.ndarray, "R"]
    """1 or 0; NaN where the environment tells none."""


class Schedule(Protocol):
    """How the distribution of the domain moves during a training.

    Schedules move the parameters that are drawn anew at each reset from a continuous distribution
    (`Parameter.movable`); the others keep their distributions.

    Episodes must come to `observe` in the order in which they began: in the order in which they end, those that fail
    early come first, and a few windows later the curriculum believes a policy worse than it is.
    """

    kind: ClassVar[str]
    watches: bool
    """It learns from `observe`."""
    listens: bool
    """It needs `feedback`."""

    def propose(self, seed: int, envs: Int64[np.ndarray, "R"], episodes: Int64[np.ndarray, "R"]) -> Proposal:
        """Draws for episodes that begin, keyed by (seed, environment, episode)."""
        ...

    def observe(self, results: Results) -> None:
        """Learn from episodes that ended, in the order in which they began."""
        ...

    def feedback(
        self, drawn: Float64[np.ndarray, "K P"], score: Float64[np.ndarray, "K"], steps: Int64[np.ndarray, "K"]
    ) -> None:
        """What the learner knows of stretches of episodes: mean |R − V| over so many steps of each."""
        ...

    def log(self) -> dict[str, float]:
        """Its state in numbers: the entropy, each bound in the quantity's unit, and its own."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that later proposals depend on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of `state_dict`."""
        ...


class Silent:
    """A schedule's parts that many don't need."""

    watches = False
    listens = False

    def observe(self, results: Results) -> None:
        """Nothing is learned."""

    def feedback(
        self, drawn: Float64[np.ndarray, "K P"], score: Float64[np.ndarray, "K"], steps: Int64[np.ndarray, "K"]
    ) -> None:
        """Nothing is learned."""

    def state_dict(self) -> dict[str, Any]:
        """No state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """No state."""


def score_of(results: Results, score: Score, kind: str) -> Float64[np.ndarray, "R"]:
    """Returns, or successes.

    Raises:
        ConfigError: successes are asked for, and the environment tells none.
    """
    if score == "return":
        return results.returns
    if np.isnan(results.success).any():
        raise ConfigError(
            f"the schedule {kind} counts successes, and the environment tells none (`is_success` or `success` in its "
            "infos): give a threshold on the return instead."
        )
    return results.success


def movable_of(bound: Bound, kind: str, *, bounded: bool = False) -> Int64[np.ndarray, "M"]:
    """Positions of the parameters that the schedule moves.

    Raises:
        ConfigError: there is none; or with `bounded`, one of them has no end.
    """
    found = np.flatnonzero(bound.space.movable)
    if not len(found):
        raise ConfigError(
            f"the schedule {kind} moves what is drawn at each reset from a continuous distribution, and the domain has "
            "no such parameter: use the schedule uniform."
        )
    ends = np.isfinite(bound.space.low[found]) & np.isfinite(bound.space.high[found])
    if bounded and not ends.all():
        name = bound.names[found[~ends][0]]
        raise ConfigError(
            f"the schedule {kind} needs an end to the range of {name}: give its distribution low and high."
        )
    return found
