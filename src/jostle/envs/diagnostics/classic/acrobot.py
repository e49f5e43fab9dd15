"""Acrobot: two links that hang, of which only the joint between them has a motor, are to be swung up.

Equations and constants are those of Gymnasium's `acrobot.py` (Sutton and Barto, "book"), integrated by one step of the
classical Runge–Kutta method. Gymnasium squares speeds by the C library's pow, which rounds otherwise once in a thousand
times: states differ in the last digits. Viscous damping of the joints, nominally 0, is added.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Bool, Float64, Int64

from jostle.domain import Quantity
from jostle.envs.diagnostics.classic.canvas import INK, RUST, SAND, SEA, SLATE, Canvas
from jostle.envs.diagnostics.classic.world import ClassicVectorEnv, Row
from jostle.envs.diagnostics.vector import Array
from jostle.envs.names import KNOWN

_SPEED_1, _SPEED_2 = 4 * math.pi, 9 * math.pi
SUCCESS_STEPS = 90
"""Packer et al. 2018: up within 90 steps."""


def _of_link(k: int, speed: float) -> tuple[Quantity, ...]:
    return (
        Quantity(f"link{k}.mass", 1.0, 0.01, 100.0, "kg"),
        Quantity(f"link{k}.length", 1.0, 0.05, 10.0, "m"),
        Quantity(f"link{k}.centre", 0.5, 0.0, 1.0, "", "of mass, as a share of the length"),
        Quantity(f"link{k}.inertia", 1.0, 0.001, 100.0, "kg·m²", "about the centre of mass"),
        Quantity(f"link{k}.damping", 0.0, 0.0, 10.0, "N·m·s", "of the joint above it, viscous"),
        Quantity(f"link{k}.speed.limit", speed, 0.5, speed, "rad/s"),
    )


class AcrobotVectorEnv(ClassicVectorEnv):
    """N acrobots.

    Observation: float32 [6], cosine and sine of the first link's angle (0 hangs), of the second's against the first,
    and the two angular velocities. Action: torque −1, 0 or 1 at the joint between the links, as 0, 1, 2. A step pays
    −1, the last one 0; the episode terminates when the tip is higher than `goal.height`, of links of length 1.
    `is_success`: up within 90 steps.

    Args: as of `CartPoleVectorEnv`.
    """

    name: ClassVar[str] = "Acrobot"
    QUANTITIES: ClassVar[tuple[Quantity, ...]] = (
        Quantity("gravity", 9.8, 0.0, 100.0, "m/s²"),
        *_of_link(1, _SPEED_1),
        *_of_link(2, _SPEED_2),
        Quantity("torque", 1.0, 0.0, 10.0, "N·m", "of the motor"),
        Quantity("goal.height", 1.0, -1.9, 1.9, "", "in lengths of a link; −cos θ₁ − cos(θ₁ + θ₂) is to exceed it"),
        Quantity("timestep", 0.2, 0.001, 0.3, "s"),
        Quantity("start.spread", 0.1, 0.0, 0.5, "", "first states lie within ± this"),
    )
    observation_names: ClassVar[tuple[str, ...]] = KNOWN["Acrobot-v1"]
    _SCALE: ClassVar[tuple[float, ...]] = (1.0, 1.0, 1.0, 1.0, _SPEED_1, _SPEED_2)
    _DIMENSIONS: ClassVar[int] = 4

    def __init__(
        self, num_envs: int = 1, *, max_episode_steps: int | None = 500, render_mode: str | None = None
    ) -> None:
        high = np.array([1.0, 1.0, 1.0, 1.0, _SPEED_1, _SPEED_2], dtype=np.float32)
        super().__init__(num_envs, Box(-high, high, dtype=np.float32), Discrete(3), max_episode_steps, render_mode)

    def _derive(self) -> None:
        v = self._value
        m1, m2, l1, l2 = v("link1.mass"), v("link2.mass"), v("link1.length"), v("link2.length")
        c1, c2 = l1 * v("link1.centre"), l2 * v("link2.centre")
        self._still = m1 * c1**2  # the parts of d₁ that no angle changes, added in Gymnasium's order
        self._squares, self._m2 = l1**2 + c2**2, m2
        self._cross2 = 2.0 * l1 * c2
        self._inertia1, self._inertia2 = v("link1.inertia"), v("link2.inertia")
        self._c2_squared, self._l1_c2 = c2**2, l1 * c2
        self._swing = m2 * l1 * c2
        self._weight2 = m2 * c2 * v("gravity")
        self._weight1 = (m1 * c1 + m2 * l1) * v("gravity")
        self._own2 = m2 * c2**2 + v("link2.inertia")
        self._rubs = bool(v("link1.damping").any() or v("link2.damping").any())
        self._fastest = np.stack([v("link1.speed.limit"), v("link2.speed.limit")])

    def _first(self, unit: Float64[np.ndarray, "S R"], rows: Int64[np.ndarray, "R"]) -> Float64[np.ndarray, "S R"]:
        spread = self._value("start.spread")[rows]
        first: Float64[np.ndarray, "S R"] = -spread + 2.0 * spread * unit
        return first

    def _control(self, action: Array) -> Row:
        return action - 1.0

    def _move(self, control: Row, action: Array) -> tuple[Row, Bool[np.ndarray, "N"]]:
        torque = control * self._value("torque")
        s = _runge_kutta(lambda y: self._slope(y, torque), self._state, self._value("timestep"))
        s[:2] = _wrapped(s[:2])
        s[2:] = np.clip(s[2:], -self._fastest, self._fastest)
        self._state = s
        up = -np.cos(s[0]) - np.cos(s[1] + s[0]) > self._value("goal.height")
        return np.where(up, 0.0, -1.0), up

    def _slope(self, s: Float64[np.ndarray, "4 N"], torque: Row) -> Float64[np.ndarray, "4 N"]:
        """Time derivatives of angles and speeds; d₁, d₂, φ₁ and φ₂ as in Sutton and Barto, "Acrobot"."""
        theta1, theta2, speed1, speed2 = s
        cos2, sin2 = np.cos(theta2), np.sin(theta2)
        d1 = self._still + self._m2 * (self._squares + self._cross2 * cos2) + self._inertia1 + self._inertia2
        d2 = self._m2 * (self._c2_squared + self._l1_c2 * cos2) + self._inertia2
        phi2 = self._weight2 * np.cos(theta1 + theta2 - math.pi / 2.0)
        phi1 = (
            -self._swing * np.square(speed2) * sin2
            - 2 * self._swing * speed2 * speed1 * sin2
            + self._weight1 * np.cos(theta1 - math.pi / 2)
            + phi2
        )
        if self._rubs:
            phi1 = phi1 + self._value("link1.damping") * speed1
            phi2 = phi2 + self._value("link2.damping") * speed2
        turned = torque + d2 / d1 * phi1 - self._swing * np.square(speed1) * sin2 - phi2
        acceleration2 = turned / (self._own2 - np.square(d2) / d1)
        acceleration1 = -(d2 * acceleration2 + phi1) / d1
        return np.stack([speed1, speed2, acceleration1, acceleration2])

    def _success(self, terminated: Bool[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
        quick: Bool[np.ndarray, N] = terminated & (self._steps <= SUCCESS_STEPS)
        return quick

    def _seen(self) -> Float64[np.ndarray, "N D"]:
        theta1, theta2, speed1, speed2 = self._state
        return np.stack([np.cos(theta1), np.sin(theta1), np.cos(theta2), np.sin(theta2), speed1, speed2], axis=1)

    def _state_of(self, obs: Float64[np.ndarray, "R D"]) -> Float64[np.ndarray, "R S"]:
        angles = np.arctan2(obs[:, 1:4:2], obs[:, 0:4:2])
        return np.concatenate([angles, obs[:, 4:]], axis=1)

    def _paint(self, rows: Int64[np.ndarray, "R"]) -> Canvas:
        theta1, theta2 = self._state[:2, rows]
        v = self._value
        l1, l2 = v("link1.length")[rows], v("link2.length")[rows]
        width = [0.09 * np.cbrt(v(f"link{k}.mass")[rows]) for k in (1, 2)]
        canvas = Canvas(len(rows), 256, 256, centre=(0.0, 0.0), width=2.2 * max(2.0, float((l1 + l2).max())))
        canvas.box(0.0, l1 * v("goal.height")[rows], 9.0, 0.012, SEA)
        x1, y1 = l1 * np.sin(theta1), -l1 * np.cos(theta1)
        x2, y2 = x1 + l2 * np.sin(theta1 + theta2), y1 - l2 * np.cos(theta1 + theta2)
        canvas.rod(0.0, 0.0, x1, y1, width[0], SLATE)
        canvas.rod(x1, y1, x2, y2, width[1], SAND)
        canvas.disc(x1, y1, 0.07, RUST)
        canvas.disc(0.0, 0.0, 0.07, INK)
        return canvas


def _runge_kutta(slope: Callable[[Array], Array], y: Float64[np.ndarray, "4 N"], dt: Row) -> Float64[np.ndarray, "4 N"]:
    """One step of the classical method of fourth order."""
    k1 = slope(y)
    k2 = slope(y + dt / 2.0 * k1)
    k3 = slope(y + dt / 2.0 * k2)
    k4 = slope(y + dt * k3)
    moved: Float64[np.ndarray, "4 N"] = y + dt / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
    return moved


def _wrapped(angle: Float64[np.ndarray, "2 N"]) -> Float64[np.ndarray, "2 N"]:
    """Angles within −π and π, by whole turns one after the other as Gymnasium takes them."""
    turn = 2.0 * math.pi
    while (angle > math.pi).any():
        angle = np.where(angle > math.pi, angle - turn, angle)
    while (angle < -math.pi).any():
        angle = np.where(angle < -math.pi, angle + turn, angle)
    return angle
