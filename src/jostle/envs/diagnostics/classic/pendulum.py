"""Pendulum: a rod that is to be swung up and held by a weak motor.

Equations, constants and their order are those of Gymnasium's `pendulum.py`; as there, the torque's share is computed in
the precision of the action, float32. Viscous damping and the motor's gain, nominally 0 and 1, are added.
"""

import math
from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Bool, Float64, Int64

from jostle.domain import Quantity
from jostle.envs.diagnostics.classic.canvas import INK, RUST, SAND, SEA, SLATE, Canvas
from jostle.envs.diagnostics.classic.world import ClassicVectorEnv, Row
from jostle.envs.diagnostics.vector import Array
from jostle.envs.names import KNOWN

_SPEED, _TORQUE = 8.0, 2.0
SUCCESS_STEPS, SUCCESS_ANGLE = 100, math.pi / 3
"""Packer et al. 2018: within 60 degrees of upright in the last 100 of 200 steps."""


class PendulumVectorEnv(ClassicVectorEnv):
    """N pendulums.

    Observation: float32 [3], cosine and sine of the angle (0 is upright) and angular velocity. Action: the torque, one
    number within ±2 (N·m). A step pays −(θ² + 0.1 θ̇² + 0.001 u²) and no episode terminates.
    `is_success`: |θ| ≤ π/3 after each of the last 100 steps.

    Args: as of `CartPoleVectorEnv`.
    """

    name: ClassVar[str] = "Pendulum"
    QUANTITIES: ClassVar[tuple[Quantity, ...]] = (
        Quantity("gravity", 10.0, 0.0, 100.0, "m/s²"),
        Quantity("rod.mass", 1.0, 0.01, 100.0, "kg"),
        Quantity("rod.length", 1.0, 0.05, 10.0, "m"),
        Quantity("rod.damping", 0.0, 0.0, 10.0, "N·m·s", "of the joint, viscous"),
        Quantity("torque.gain", 1.0, 0.0, 10.0, "", "what acts of a torque that is asked for"),
        Quantity("torque.limit", _TORQUE, 0.01, _TORQUE, "N·m", "of what is asked for"),
        Quantity("speed.limit", _SPEED, 0.5, _SPEED, "rad/s"),
        Quantity("timestep", 0.05, 0.001, 0.1, "s"),
        Quantity("start.angle", math.pi, 0.0, math.pi, "rad", "first angles lie within ± this"),
        Quantity("start.speed", 1.0, 0.0, _SPEED, "rad/s", "first speeds lie within ± this"),
    )
    observation_names: ClassVar[tuple[str, ...]] = KNOWN["Pendulum-v1"]
    _SCALE: ClassVar[tuple[float, ...]] = (1.0, 1.0, _SPEED)
    _DIMENSIONS: ClassVar[int] = 2
    _STATE: ClassVar[tuple[str, ...]] = (*ClassicVectorEnv._STATE, "held")

    def __init__(
        self, num_envs: int = 1, *, max_episode_steps: int | None = 200, render_mode: str | None = None
    ) -> None:
        self._held = np.zeros(num_envs, dtype=np.int64)
        high = np.array([1.0, 1.0, _SPEED], dtype=np.float32)
        action = Box(-_TORQUE, _TORQUE, (1,), np.float32)
        super().__init__(num_envs, Box(-high, high, dtype=np.float32), action, max_episode_steps, render_mode)

    def _derive(self) -> None:
        v = self._value
        self._fall = 3.0 * v("gravity") / (2.0 * v("rod.length"))
        inertia = v("rod.mass") * v("rod.length") ** 2
        self._turn = 3.0 / inertia * v("torque.gain")
        self._brake = 3.0 / inertia * v("rod.damping")

    def _first(self, unit: Float64[np.ndarray, "S R"], rows: Int64[np.ndarray, "R"]) -> Float64[np.ndarray, "S R"]:
        spread = np.stack([self._value("start.angle")[rows], self._value("start.speed")[rows]])
        first: Float64[np.ndarray, "S R"] = -spread + 2.0 * spread * unit
        return first

    def _begin(self, where: Bool[np.ndarray, "N"]) -> None:
        super()._begin(where)
        self._held[where] = 0

    def _control(self, action: Array) -> Row:
        limit = self._value("torque.limit")
        asked: Row = np.minimum(np.maximum(action[:, 0], -limit), limit)
        return asked

    def _move(self, control: Row, action: Array) -> tuple[Row, Bool[np.ndarray, "N"]]:
        theta, speed = self._state
        limit, dt = self._value("speed.limit"), self._value("timestep")
        torque = control.astype(action.dtype)
        effort = (0.001 * self._control(action).astype(action.dtype) ** 2).astype(np.float64)
        reward = -(_from_upright(theta) ** 2 + 0.1 * speed**2 + effort)
        turn = self._turn.astype(action.dtype) * torque
        speed = speed + (self._fall * np.sin(theta) + turn - self._brake * speed) * dt
        speed = np.minimum(np.maximum(speed, -limit), limit)
        self._state = np.stack([theta + speed * dt, speed])
        upright = np.abs(_from_upright(self._state[0])) <= SUCCESS_ANGLE
        self._held = np.where(upright, self._held + 1, 0)
        return reward, np.zeros(self.num_envs, dtype=bool)

    def _success(self, terminated: Bool[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
        held: Bool[np.ndarray, N] = self._held >= SUCCESS_STEPS
        return held

    def _seen(self) -> Float64[np.ndarray, "N D"]:
        theta, speed = self._state
        return np.stack([np.cos(theta), np.sin(theta), speed], axis=1)

    def _state_of(self, obs: Float64[np.ndarray, "R D"]) -> Float64[np.ndarray, "R S"]:
        return np.stack([np.arctan2(obs[:, 1], obs[:, 0]), obs[:, 2]], axis=1)

    def _paint(self, rows: Int64[np.ndarray, "R"]) -> Canvas:
        theta = self._state[0, rows]
        length = self._value("rod.length")[rows]
        width = 0.09 * np.cbrt(self._value("rod.mass")[rows])
        past = self._controls[(int(self._tick[0]) - 1) % len(self._controls), rows] / _TORQUE
        canvas = Canvas(len(rows), 256, 256, centre=(0.0, 0.0), width=2.6 * max(1.0, float(length.max())))
        canvas.ring(0.0, 0.0, 0.32, 0.012, SLATE * 0.35 + 0.62)
        for share in np.linspace(0.05, 1.0, 16):  # an arc as long as the last torque is strong, from below
            angle = np.where(np.abs(past) >= share, past * share / np.maximum(np.abs(past), 1e-9), 0.0) * 0.9 * math.pi
            canvas.disc(0.32 * np.sin(-angle), -0.32 * np.cos(angle), np.where(angle == 0.0, 0.0, 0.03), SEA)
        canvas.rod(0.0, 0.0, -length * np.sin(theta), length * np.cos(theta), width, RUST)
        canvas.disc(-length * np.sin(theta), length * np.cos(theta), 0.45 * width, SAND)
        canvas.disc(0.0, 0.0, 0.05, INK)
        return canvas


def _from_upright(angle: Row) -> Row:
    """The angle within −π and π."""
    turned: Row = ((angle + np.pi) % (2.0 * np.pi)) - np.pi
    return turned
