"""MountainCar: an engine too weak for the hill, with three actions (Moore 1990) or with any force.

Equations and constants are those of Gymnasium's `mountain_car.py` and `continuous_mountain_car.py`. The latter rounds
its state to float32 after every step and computes with it, and so does this one. Friction, nominally 0, is added.
"""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Bool, Float32, Float64, Int64

from jostle.domain import Quantity
from jostle.envs.diagnostics.classic.canvas import INK, RUST, SAND, SEA, SLATE, Canvas
from jostle.envs.diagnostics.classic.world import ClassicVectorEnv, Row
from jostle.envs.diagnostics.vector import Array
from jostle.envs.names import KNOWN

_LEFT, _RIGHT, _SPEED = -1.2, 0.6, 0.07
SUCCESS_STEPS = 110
"""Packer et al. 2018: there within 110 steps."""


def _quantities(force: float, goal: float) -> tuple[Quantity, ...]:
    return (
        Quantity("force", force, 0.0, 0.1, "per step²", "of the engine"),
        Quantity("gravity", 0.0025, 0.0, 0.1, "per step²", "Packer et al. call it mass"),
        Quantity("friction", 0.0, 0.0, 0.5, "per step", "share of the speed that is lost"),
        Quantity("hill.frequency", 3.0, 2.5, 3.5, "", "the hill is sin(this · position)"),
        Quantity("speed.limit", _SPEED, 0.01, _SPEED, "per step"),
        Quantity("wall.left", _LEFT, _LEFT, -0.8, "", "the wall that stops the car"),
        Quantity("wall.right", _RIGHT, 0.5, _RIGHT, "", "the end of the hill"),
        Quantity("goal.position", goal, 0.0, 0.5),
        Quantity("goal.speed", 0.0, 0.0, _SPEED, "per step", "the car is to be as quick there"),
        Quantity("start.low", -0.6, -0.8, -0.5, "", "first positions lie above"),
        Quantity("start.high", -0.4, -0.5, -0.2, "", "first positions lie below"),
    )


class MountainCarVectorEnv(ClassicVectorEnv):
    """N mountain cars with three actions.

    Observation: float32 [2], position and speed. Action: 0 backwards, 1 nothing, 2 forwards. Every step pays −1; the
    episode terminates at the goal. `is_success`: there within 110 steps.

    Args: as of `CartPoleVectorEnv`.
    """

    name: ClassVar[str] = "MountainCar"
    QUANTITIES: ClassVar[tuple[Quantity, ...]] = _quantities(0.001, 0.5)
    observation_names: ClassVar[tuple[str, ...]] = KNOWN["MountainCar-v0"]
    _SCALE: ClassVar[tuple[float, ...]] = (_RIGHT, _SPEED)
    _DIMENSIONS: ClassVar[int] = 2

    def __init__(
        self, num_envs: int = 1, *, max_episode_steps: int | None = 200, render_mode: str | None = None
    ) -> None:
        super().__init__(num_envs, _space(), Discrete(3), max_episode_steps, render_mode)

    def _derive(self) -> None:
        v = self._value
        self._force, self._gravity, self._pace = v("force"), v("gravity"), v("hill.frequency")
        self._rubs, self._friction = bool(v("friction").any()), v("friction")
        self._fastest, self._backwards = v("speed.limit"), -v("speed.limit")
        self._left, self._right = v("wall.left"), v("wall.right")
        self._goal, self._goal_speed = v("goal.position"), v("goal.speed")

    def _first(self, unit: Float64[np.ndarray, "S R"], rows: Int64[np.ndarray, "R"]) -> Float64[np.ndarray, "S R"]:
        low, high = self._value("start.low")[rows], self._value("start.high")[rows]
        return np.stack([low + (high - low) * unit[0], np.zeros(unit.shape[1])])

    def _control(self, action: Array) -> Row:
        return action - 1.0

    def _move(self, control: Row, action: Array) -> tuple[Row, Bool[np.ndarray, "N"]]:
        position, speed = self._state
        slope = np.cos(self._pace * position)
        moved = speed + (control * self._force + slope * -self._gravity)
        there = self._roll(position, moved - self._friction * speed if self._rubs else moved)
        return np.full(self.num_envs, -1.0), there

    def _roll(self, position: Row, speed: Row) -> Bool[np.ndarray, "N"]:
        """The rest of a step at this speed: limits and walls. Whether the car is there."""
        speed = np.minimum(np.maximum(speed, self._backwards), self._fastest)
        position = np.minimum(np.maximum(position + speed, self._left), self._right)
        stopped = position == self._left
        if np.count_nonzero(stopped):
            speed[stopped & (speed < 0)] = 0.0
        self._keep(position, speed)
        there: Bool[np.ndarray, N] = (position >= self._goal) & (speed >= self._goal_speed)
        return there

    def _keep(self, position: Row, speed: Row) -> None:
        self._state = np.empty(self._state.shape)
        self._state[0], self._state[1] = position, speed

    def _success(self, terminated: Bool[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
        quick: Bool[np.ndarray, N] = terminated & (self._steps <= SUCCESS_STEPS)
        return quick

    def _seen(self) -> Float64[np.ndarray, "N D"]:
        return self._state.T

    def _state_of(self, obs: Float64[np.ndarray, "R D"]) -> Float64[np.ndarray, "R S"]:
        return obs

    def _paint(self, rows: Int64[np.ndarray, "R"]) -> Canvas:
        v = self._value
        position = self._state[0, rows]
        pace = v("hill.frequency")[rows]
        canvas = Canvas(len(rows), 256, 384, centre=(-0.3, 0.62), width=1.9)
        canvas.below(lambda x: _height(x, pace[:, None]), SLATE)
        goal = v("goal.position")[rows]
        foot = _height(goal, pace)
        canvas.rod(goal, foot, goal, foot + 0.17, 0.006, INK)
        for drop in np.linspace(0.0, 0.05, 12):  # a pennant, row by row
            canvas.box(goal + 0.04 * (1 - drop / 0.05), foot + 0.165 - drop, 0.04 * (1 - drop / 0.05), 0.003, SEA)
        tilt = np.arctan(0.45 * pace * np.cos(pace * position))
        ground = _height(position, pace)
        across, along = np.stack([-np.sin(tilt), np.cos(tilt)]), np.stack([np.cos(tilt), np.sin(tilt)])
        for side in (-0.035, 0.035):
            wheel = along * side + across * 0.018
            canvas.disc(position + wheel[0], ground + wheel[1], 0.018, INK)
        body = along * 0.05
        x, y = position + across[0] * 0.045, ground + across[1] * 0.045
        canvas.rod(x - body[0], y - body[1], x + body[0], y + body[1], 0.02, RUST)
        roof_x, roof_y, half = x + across[0] * 0.026, y + across[1] * 0.026, 0.25 * body
        canvas.rod(roof_x - half[0], roof_y - half[1], roof_x + half[0], roof_y + half[1], 0.014, SAND)
        return canvas


class MountainCarContinuousVectorEnv(MountainCarVectorEnv):
    """N mountain cars with any force.

    Observation: as of `MountainCarVectorEnv`. Action: the force, one number within ±1. A step pays −0.1 force², and 100
    more at the goal, where the episode terminates. `is_success`: the goal was reached.

    Args: as of `CartPoleVectorEnv`.
    """

    name: ClassVar[str] = "MountainCarContinuous"
    QUANTITIES: ClassVar[tuple[Quantity, ...]] = (
        *_quantities(0.0015, 0.45),
        Quantity("force.limit", 1.0, 0.01, 1.0, "", "of what is asked for"),
    )

    def __init__(
        self, num_envs: int = 1, *, max_episode_steps: int | None = 999, render_mode: str | None = None
    ) -> None:
        action = Box(-1.0, 1.0, (1,), np.float32)
        self._rounded = np.empty((self._DIMENSIONS, num_envs), np.float32)
        super(MountainCarVectorEnv, self).__init__(num_envs, _space(), action, max_episode_steps, render_mode)

    def _derive(self) -> None:
        super()._derive()
        self._limit, self._force_32 = self._value("force.limit"), _float(self._force)

    def _control(self, action: Array) -> Row:
        asked: Row = np.minimum(np.maximum(action[:, 0], -self._limit), self._limit)
        return asked

    def _move(self, control: Row, action: Array) -> tuple[Row, Bool[np.ndarray, "N"]]:
        position, speed = self._state
        # Gymnasium's first state is in double precision, the later ones and what is computed from them in single.
        angle = self._pace * position
        if np.count_nonzero(self._steps) < self.num_envs:
            angle = np.where(self._steps == 0, angle, _single(angle))
        else:
            angle = _single(angle)
        before = _float(speed)
        moved = before + (_float(control) * self._force_32 - _float(self._gravity * np.cos(angle)))
        there = self._roll(position, moved - self._friction * speed if self._rubs else moved)
        reward = 0.0 - 0.1 * np.square(action[:, 0].astype(np.float64))
        if np.count_nonzero(there):
            reward += there * 100.0
        return reward, there

    def _keep(self, position: Row, speed: Row) -> None:
        self._rounded[0], self._rounded[1] = position, speed
        self._state = self._rounded.astype(np.float64)

    def _success(self, terminated: Bool[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
        return terminated.copy()


def _space() -> Box:
    low, high = np.array([_LEFT, -_SPEED], dtype=np.float32), np.array([_RIGHT, _SPEED], dtype=np.float32)
    return Box(low, high, dtype=np.float32)


def _float(x: Array) -> Float32[np.ndarray, "N"]:
    return x.astype(np.float32)


def _single(x: Array) -> Array:
    """Rounded to single precision."""
    return x.astype(np.float32).astype(np.float64)


def _height(x: Array, pace: Array) -> Array:
    """The hill, in pictures."""
    height: Array = 0.45 * np.sin(pace * x) + 0.55
    return height
