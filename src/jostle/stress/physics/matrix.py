"""The matrix of Packer et al.: methods trained on D, R or E against the physics that they are tested in."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jostle.errors import ConfigError
from jostle.scores import bootstrap
from jostle.scores.intervals import RESAMPLES, Interval


class Generalisation(NamedTuple):
    """Their three numbers, of success rates in [0, 1].

    Attributes:
        default: DD, trained and tested on the default world.
        interpolation: RR.
        extrapolation: the geometric mean of DR, DE and RE.
    """

    default: float
    interpolation: float
    extrapolation: float


def generalisation(success: Mapping[tuple[str, str], float]) -> Generalisation:
    """Of success rates by (trained on, tested on), each of "D", "R", "E".

    >>> generalisation({("D", "D"): 1.0, ("R", "R"): 0.9, ("D", "R"): 0.8, ("D", "E"): 0.4, ("R", "E"): 0.2})
    Generalisation(default=1.0, interpolation=0.9, extrapolation=0.4)

    Raises:
        ConfigError: one that is needed is missing, or no rate.
    """
    needed = [("D", "D"), ("R", "R"), ("D", "R"), ("D", "E"), ("R", "E")]
    for pair in needed:
        if pair not in success:
            raise ConfigError(f"the success of {pair[0]} on {pair[1]} is missing: five of the nine are needed.")
        if not 0 <= success[pair] <= 1:
            raise ConfigError(f"the success of {pair[0]} on {pair[1]} is {success[pair]}, and no rate from 0 to 1.")
    dd, rr, dr, de, re = (success[pair] for pair in needed)
    return Generalisation(dd, rr, round(float(np.cbrt(dr * de * re)), 12))


class GeneralisationIntervals(NamedTuple):
    """`Generalisation` with intervals of 95%."""

    default: Interval
    interpolation: Interval
    extrapolation: Interval


def generalisation_intervals(
    success: Mapping[tuple[str, str], Sequence[Float[np.ndarray, "E"]]], *, resamples: int = RESAMPLES, seed: int = 0
) -> GeneralisationIntervals:
    """The three numbers and their percentile intervals.

    Args:
        success: by (trained on, tested on), of each run 1 where an episode was a success [E].
        resamples, seed: of the bootstrap. Runs are resampled, those of a method together in all tests, and each run's
            rates drawn from their posteriors under Jeffreys' prior, so that 0 of 5 is not taken for never.

    Raises:
        ConfigError: one that is needed is missing.
    """
    points = generalisation({pair: float(np.mean([run.mean() for run in runs])) for pair, runs in success.items()})
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[str, str], np.ndarray] = {}
    for trained in dict.fromkeys(pair[0] for pair in success):
        tests = [pair for pair in success if pair[0] == trained]
        count = len(success[tests[0]])
        weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples) / count
        for pair in tests:
            won, played = (np.array([size(run) for run in success[pair]], np.float64) for size in (np.sum, len))
            drawn[pair] = (weights * rng.beta(won + 0.5, played - won + 0.5, size=(resamples, count))).sum(1)
    whole = drawn["D", "R"] * drawn["D", "E"] * drawn["R", "E"]
    each = (drawn["D", "D"], drawn["R", "R"], np.cbrt(np.maximum(whole, 0.0)))
    ends = (bootstrap.percentile(values, 0.95) for values in each)
    found = (
        Interval(p, min(p, float(low)), max(p, float(high)), 0.95) for p, (low, high) in zip(points, ends, strict=True)
    )
    return GeneralisationIntervals(*found)
