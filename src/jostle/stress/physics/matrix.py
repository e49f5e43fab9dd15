"""The matrix of Packer et al.: methods trained on D, R or E against the physics that they are tested in."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jostle.errors import ConfigError


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
