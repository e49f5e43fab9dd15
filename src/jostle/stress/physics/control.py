"""Controls that learn nothing: where one of them exceeds 95% on the extreme set, no claim is made for learning."""

from collections.abc import Callable

import numpy as np

from jostle.errors import ConfigError
from jostle.stress.physics.ranges import family

SATURATED = 0.95
Rule = Callable[[np.ndarray], np.ndarray]
"""Actions for a batch of observations."""


def cart_pole_rule(obs: np.ndarray) -> np.ndarray:
    """Push to the right iff θ + 0.25 θ̇ + 0.02 x + 0.06 ẋ > 0."""
    x, x_dot, theta, theta_dot = np.asarray(obs).T
    leaning: np.ndarray = theta + 0.25 * theta_dot + 0.02 * x + 0.06 * x_dot > 0
    return leaning.astype(np.int64)


def pendulum_rule(obs: np.ndarray) -> np.ndarray:
    """Pump energy until the rod is near the top, then hold it there as a spring with damping (nominal constants)."""
    cos, sin, speed = np.asarray(obs, np.float64).T
    angle = np.arctan2(sin, cos)
    energy = speed**2 / 6.0 + 5.0 * (cos - 1.0)  # of a rod of 1 kg and 1 m; 0 is upright and still
    pump = np.where(speed == 0.0, 2.0, -2.0 * np.sign(energy * speed))
    hold = -(10.0 * angle + 2.0 * speed)
    torque = np.where(cos > 0.85, hold, pump)
    return np.asarray(np.clip(torque, -2.0, 2.0)[:, None], np.float32)


def mountain_car_rule(obs: np.ndarray) -> np.ndarray:
    """Forwards where the speed lies between two curves of the position, else backwards (Xiao 2019, closed form)."""
    x, speed = np.asarray(obs, np.float64).T
    low = np.minimum(-0.09 * (x + 0.25) ** 2 + 0.03, 0.3 * (x + 0.9) ** 4 - 0.008)
    return np.where((low < speed) & (speed < -0.07 * (x + 0.38) ** 2 + 0.07), 2, 0).astype(np.int64)


def acrobot_rule(obs: np.ndarray) -> np.ndarray:
    """Push the second link on where it turns quicker than the first, else back."""
    return np.where(np.asarray(obs)[:, 5] > np.asarray(obs)[:, 4], 2, 0).astype(np.int64)


RULES: dict[str, Rule] = {
    "CartPole": cart_pole_rule,
    "Pendulum": pendulum_rule,
    "MountainCar": mountain_car_rule,
    "Acrobot": acrobot_rule,
}


def control_of(env: str) -> Rule:
    """The rule for a task.

    Raises:
        ConfigError: there is none.
    """
    if family(env) not in RULES:
        raise ConfigError(f"there is no fixed rule for {env}: there are some for {', '.join(RULES)}.")
    return RULES[family(env)]
