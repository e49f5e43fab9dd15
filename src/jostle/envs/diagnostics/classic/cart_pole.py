"""CartPole: a pole on a cart that is pushed to the left or to the right.

Equations and constants are those of Gymnasium's `cartpole.py` (Barto, Sutton and Anderson 1983, as corrected by Florian
2007), operation by operation, so that states are equal bit by bit at nominal values. Viscous friction, nominally 0, is
added: of the cart on its track, and of the joint.
"""

import math
from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Bool, Float64, Int64

from jostle.domain import Quantity
from jostle.envs.diagnostics.classic.canvas import INK, RUST, SAND, SEA, SLATE, Canvas
from jostle.envs.diagnostics.classic.world import ClassicVectorEnv, Row
from jostle.envs.diagnostics.vector import Array
from jostle.envs.names import KNOWN

_ANGLE = 12 * 2 * math.pi / 360
_POSITION = 2.4
SUCCESS_STEPS = 195
"""Packer et al. 2018: 195 of 200 steps."""


class CartPoleVectorEnv(ClassicVectorEnv):
    """N cart-poles.

    Observation: float32 [4], position (m), velocity, angle (rad, 0 is upright), angular velocity. Action: 0 pushes to
    the left, 1 to the right. Every step pays 1; an episode terminates beyond the limits of position or angle.
    `is_success`: the episode had 195 steps or more.

    Args:
        num_envs: N.
        max_episode_steps: truncate episodes there; None: never.
        render_mode: None or "rgb_array".
    """

    name: ClassVar[str] = "CartPole"
    QUANTITIES: ClassVar[tuple[Quantity, ...]] = (
        Quantity("gravity", 9.8, 0.0, 100.0, "m/s²"),
        Quantity("cart.mass", 1.0, 0.01, 100.0, "kg"),
        Quantity("pole.mass", 0.1, 0.001, 10.0, "kg"),
        Quantity("pole.half_length", 0.5, 0.01, 5.0, "m", "half the pole's length"),
        Quantity("force", 10.0, 0.0, 100.0, "N", "of a push"),
        Quantity("cart.friction", 0.0, 0.0, 10.0, "N·s/m", "of the cart on its track, viscous"),
        Quantity("pole.friction", 0.0, 0.0, 0.1, "N·m·s", "of the joint, viscous"),
        Quantity("timestep", 0.02, 0.001, 0.05, "s"),
        Quantity("position.limit", _POSITION, 0.5, 4.5, "m", "beyond it the episode ends"),
        Quantity("angle.limit", _ANGLE, 0.05, 0.4, "rad", "beyond it the episode ends"),
        Quantity("start.spread", 0.05, 0.0, 0.2, "", "first states lie within ± this"),
    )
    observation_names: ClassVar[tuple[str, ...]] = KNOWN["CartPole-v1"]
    _SCALE: ClassVar[tuple[float, ...]] = (_POSITION, 2.0, _ANGLE, 2.0)
    _DIMENSIONS: ClassVar[int] = 4

    def __init__(
        self, num_envs: int = 1, *, max_episode_steps: int | None = 500, render_mode: str | None = None
    ) -> None:
        high = np.array([2 * _POSITION, np.inf, 2 * _ANGLE, np.inf], dtype=np.float32)
        super().__init__(num_envs, Box(-high, high, dtype=np.float32), Discrete(2), max_episode_steps, render_mode)

    def _derive(self) -> None:
        v = self._value
        self._gravity, self._force, self._timestep = v("gravity"), v("force"), v("timestep")
        self._pole_mass, self._half_length = v("pole.mass"), v("pole.half_length")
        self._mass = v("pole.mass") + v("cart.mass")
        self._moment = v("pole.mass") * v("pole.half_length")
        self._limits = np.stack([v("position.limit"), v("angle.limit")])
        self._rubs = bool(v("cart.friction").any() or v("pole.friction").any())

    def _first(self, unit: Float64[np.ndarray, "S R"], rows: Int64[np.ndarray, "R"]) -> Float64[np.ndarray, "S R"]:
        spread = self._value("start.spread")[rows]
        first: Float64[np.ndarray, "S R"] = -spread + 2.0 * spread * unit
        return first

    def _control(self, action: Array) -> Row:
        return 2.0 * action - 1.0

    def _move(self, control: Row, action: Array) -> tuple[Row, Bool[np.ndarray, "N"]]:
        _, x_dot, theta, theta_dot = self._state
        cos, sin = np.cos(theta), np.sin(theta)
        force = control * self._force
        if self._rubs:
            force = force - self._value("cart.friction") * x_dot
        push = (force + self._moment * np.square(theta_dot) * sin) / self._mass
        turn = self._gravity * sin - cos * push
        if self._rubs:
            turn = turn - self._value("pole.friction") * theta_dot / self._moment
        theta_acc = turn / (self._half_length * (4.0 / 3.0 - self._pole_mass * np.square(cos) / self._mass))
        rate = np.empty_like(self._state)
        rate[0], rate[1] = x_dot, push - self._moment * theta_acc * cos / self._mass
        rate[2], rate[3] = theta_dot, theta_acc
        self._state = self._state + self._timestep * rate
        beyond = np.abs(self._state[::2]) > self._limits
        return np.ones(self.num_envs), beyond[0] | beyond[1]

    def _success(self, terminated: Bool[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
        held: Bool[np.ndarray, N] = self._steps >= SUCCESS_STEPS
        return held

    def _seen(self) -> Float64[np.ndarray, "N D"]:
        return self._state.T.copy()

    def _state_of(self, obs: Float64[np.ndarray, "R D"]) -> Float64[np.ndarray, "R S"]:
        return obs

    def _paint(self, rows: Int64[np.ndarray, "R"]) -> Canvas:
        x, _, theta, _ = self._state[:, rows]
        length = 2.0 * self._value("pole.half_length")[rows]
        limit = self._value("position.limit")[rows]
        canvas = Canvas(len(rows), 256, 384, centre=(0.0, 0.55), width=5.4)
        canvas.box(0.0, -0.31, 3.0, 0.015, INK)
        for side in (-1.0, 1.0):
            canvas.box(side * limit, -0.25, 0.02, 0.09, RUST)
        size = np.cbrt(self._value("cart.mass")[rows])
        for side in (-1.0, 1.0):
            canvas.disc(x + side * 0.2 * size, -0.24, 0.06, INK)
        canvas.box(x, -0.09, 0.34 * size, 0.11, SLATE, rounded=0.04)
        width = 0.045 * np.cbrt(self._value("pole.mass")[rows] / 0.1)
        canvas.rod(x, 0.0, x + length * np.sin(theta), length * np.cos(theta), width, SAND)
        canvas.disc(x, 0.0, 0.04, SEA)
        return canvas
