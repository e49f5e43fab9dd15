"""Environments of Gymnasium whose constants are known: which are positive, and what is computed from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Derived = Mapping[str, Callable[[Any], Any]]
"""Attributes that are computed from others, each with its formula, in the order in which they are made."""


@dataclass(frozen=True)
class Known:
    """What is known of a class.

    Args:
        positive: constants that make sense above zero only.
        derived: as of `Randomise`.
    """

    positive: tuple[str, ...]
    derived: Derived = field(default_factory=dict)


def _low(env: Any) -> Any:
    return np.array([env.min_position, -env.max_speed], dtype=np.float32)


def _high(env: Any) -> Any:
    return np.array([env.max_position, env.max_speed], dtype=np.float32)


KNOWN: dict[str, Known] = {
    "gymnasium.envs.classic_control.cartpole.CartPoleEnv": Known(
        ("masscart", "masspole", "length", "tau", "theta_threshold_radians", "x_threshold"),
        {
            "total_mass": lambda env: env.masspole + env.masscart,
            "polemass_length": lambda env: env.masspole * env.length,
        },
    ),
    "gymnasium.envs.classic_control.pendulum.PendulumEnv": Known(("m", "l", "dt", "max_speed", "max_torque")),
    "gymnasium.envs.classic_control.acrobot.AcrobotEnv": Known(
        ("LINK_LENGTH_1", "LINK_LENGTH_2", "LINK_MASS_1", "LINK_MASS_2", "LINK_MOI", "MAX_VEL_1", "MAX_VEL_2", "dt")
    ),
    "gymnasium.envs.classic_control.mountain_car.MountainCarEnv": Known(("max_speed",), {"low": _low, "high": _high}),
    "gymnasium.envs.classic_control.continuous_mountain_car.Continuous_MountainCarEnv": Known(
        ("max_speed",), {"low_state": _low, "high_state": _high}
    ),
}


def known(env: Any) -> Known | None:
    """What is known of the class of an environment, or of the class that it is derived from without changing a step."""
    for kind in type(env).__mro__:
        found = KNOWN.get(f"{kind.__module__}.{kind.__qualname__}")
        if found is not None:
            return found
    return None
