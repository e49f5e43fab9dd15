"""The sets of physics of Packer et al. ("Assessing Generalization in Deep Reinforcement Learning", 2018), table 1.

D is the default world; R draws each parameter from a range around it; E draws each from outside that range, within a
wider one. CartPole, MountainCar, Pendulum and Acrobot are theirs. HalfCheetah and Hopper were Roboschool's: MuJoCo's
have the same *ratios* to the default (power as gear, density as mass), so that only losses between sets compare.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jostle.domain import Quantity
from jostle.envs.engines.mujoco.catalogue import runs_here
from jostle.registration import CLASSIC

_CELLS = 50
"""Values that stand for each of the two parts of an extreme range."""


class Ranges(NamedTuple):
    """Of one parameter: R, and the wider range within which E lies outside of R."""

    low: float
    high: float
    least: float
    most: float

    @property
    def extreme(self) -> list[float]:
        """Values at equal distances that fill [least, low) and (high, most] with one density."""
        length = (self.low - self.least) + (self.most - self.high)
        at = (np.arange(2 * _CELLS) + 0.5) / (2 * _CELLS) * length
        below = self.low - self.least
        return [float(self.least + x if x < below else self.high + (x - below)) for x in at]


def _all(*names: str, ranges: Ranges) -> dict[str, Ranges]:
    return dict.fromkeys(names, ranges)


_AROUND_ONE = Ranges(0.75, 1.25, 0.5, 1.5)
PACKER: dict[str, dict[str, Ranges]] = {
    "CartPole": {
        "force": Ranges(5.0, 15.0, 1.0, 20.0),
        "pole.half_length": Ranges(0.25, 0.75, 0.05, 1.0),
        "pole.mass": Ranges(0.05, 0.5, 0.01, 1.0),
    },
    "MountainCar": {
        "force": Ranges(0.0005, 0.005, 0.0001, 0.01),
        "gravity": Ranges(0.001, 0.005, 0.0005, 0.01),
    },
    "Acrobot": _all(*(f"link{k}.{what}" for what in ("length", "mass", "inertia") for k in (1, 2)), ranges=_AROUND_ONE),
    "Pendulum": _all("rod.length", "rod.mass", ranges=_AROUND_ONE),
    "HalfCheetah": {
        "all.gear": Ranges(0.7 / 0.9, 1.1 / 0.9, 0.5 / 0.9, 1.3 / 0.9),
        "all.mass": _AROUND_ONE,
        "all.friction": Ranges(0.5 / 0.8, 1.1 / 0.8, 0.2 / 0.8, 1.4 / 0.8),
    },
    "Hopper": {
        "all.gear": Ranges(0.8, 1.2, 0.4 / 0.75, 1.1 / 0.75),
        "all.mass": _AROUND_ONE,
        "all.friction": Ranges(0.5 / 0.8, 1.1 / 0.8, 0.2 / 0.8, 1.4 / 0.8),
    },
}
"""By task, in the names of jostle's quantities. The links of the acrobot are drawn one by one, theirs together."""

LIMITS = {"CartPole": 200}
"""Steps of an episode, where theirs are not those of the id."""


def family(env: str) -> str:
    """The name of a task without namespace and version.

    >>> family("jostle/CartPole-v1")
    'CartPole'
    """
    return env.rpartition("/")[2].rpartition("-v")[0]


def twin(env: str) -> str | None:
    """The environment of jostle that is the same task and whose physics can be set; None: there is none."""
    own = f"jostle/{env.removeprefix('jostle/')}"
    return own if own in CLASSIC or runs_here(own) else None


def random_set(ranges: Mapping[str, Ranges]) -> dict[str, Any]:
    """R as a domain."""
    return {"parameters": {name: {"uniform": [r.low, r.high]} for name, r in ranges.items()}}


def extreme_set(ranges: Mapping[str, Ranges]) -> dict[str, Any]:
    """E as a domain: every parameter outside its range."""
    return {"parameters": {name: {"categorical": r.extreme} for name, r in ranges.items()}}


def widened(low: float, high: float, quantity: Quantity) -> Ranges | None:
    """A range with half its width more on either side, as far as the quantity's bounds allow; by ratios where the ends
    differ fivefold. None where they leave no room.

    >>> widened(1.0, 3.0, Quantity("mass", nominal=2.0, low=0.5))
    Ranges(low=1.0, high=3.0, least=0.5, most=4.0)
    """
    if low > 0 and high / low >= 5:
        ratio = float(np.sqrt(high / low))
        least, most = low / ratio, high * ratio
    else:
        least, most = low - (high - low) / 2, high + (high - low) / 2
    least, most = max(least, quantity.low), min(most, quantity.high)
    return Ranges(low, high, least, most) if least < low or most > high else None
