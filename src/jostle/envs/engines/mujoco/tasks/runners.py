"""HalfCheetah, Hopper, Walker2d and Swimmer as in Gymnasium 1.x, version 5 (`gymnasium/envs/mujoco/*_v5.py`).

reward = forward velocity + 1 per step while healthy (Hopper, Walker2d) − control cost.
"""

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool

from jostle.envs.engines.mujoco.draws import Draws
from jostle.envs.engines.mujoco.names import positions, velocities
from jostle.envs.engines.mujoco.simulations import Simulations
from jostle.envs.engines.mujoco.task import Array, Outcome, Task

POSITION, VELOCITY = 0, 1


class Runner(Task):
    """A body that shall move along x.

    Attributes:
        hidden: how many of the first positions the observation leaves out.
        noise: half the width of what is added to the first positions, uniform.
        normal_speed: whether the first velocities are normal with that deviation, or uniform like the positions.
        control_cost: weight of the squared controls.
        clip: the largest velocity that the observation shows.
    """

    hidden: int = 1
    noise: float = 5e-3
    normal_speed: bool = False
    control_cost: float = 1e-3
    clip: float = np.inf
    push_axes: tuple[int, ...] = (0,)

    def bind(self, sims: Simulations) -> None:
        super().bind(sims)
        nq, nv = sims.model.nq, sims.model.nv
        self.size, self._nq = nq - self.hidden + nv, nq - self.hidden
        self.groups = {"position": slice(0, self._nq), "velocity": slice(self._nq, self.size)}
        self._shown, self._x = sims.qpos[:, self.hidden :], sims.qpos[:, 0]
        self.first = sims.model.qpos0

    def names(self) -> list[str]:
        model = self.sims.model
        return positions(model)[self.hidden :] + velocities(model)

    def start(self, draws: Draws) -> tuple[Array, Array]:
        nv = self.sims.model.nv
        qpos = self.first + draws.uniform(POSITION, self.first.size, -self.noise, self.noise)
        if self.normal_speed:
            return qpos, self.noise * draws.normal(VELOCITY, nv)
        return qpos, draws.uniform(VELOCITY, nv, -self.noise, self.noise)

    def progress(self) -> Array:
        return self._x.copy()

    def observe(self, out: Array) -> None:
        out[:, : self._nq] = self._shown
        if self.clip == np.inf:
            out[:, self._nq :] = self.sims.qvel
        else:
            out[:, self._nq :] = np.clip(self.sims.qvel, -self.clip, self.clip)

    def state_of(self, obs: Array) -> tuple[Array, Array]:
        """The places along x (and y of the Swimmer), which are not seen, do not matter to the ground."""
        hidden = np.zeros((len(obs), self.hidden))
        return np.concatenate([hidden, obs[:, : self._nq]], axis=1), obs[:, self._nq :]

    def outcome(self, actions: Array, before: Array, after: Array) -> Outcome:
        reward = after - before
        reward /= self.sims.dt
        healthy = self.healthy()
        if healthy is not None:
            reward += healthy
        reward -= self.control_cost * np.add.reduce(np.square(actions), 1)
        return Outcome(reward, np.zeros(len(reward), np.bool_) if healthy is None else ~healthy)

    def healthy(self) -> Bool[np.ndarray, "N"] | None:
        """Where the episode may go on; None: everywhere, and nothing is paid for it."""
        return None


class HalfCheetah(Runner):
    """Six joints, a plane, no way to fall out of the episode."""

    frame_skip = 5
    noise, normal_speed, control_cost = 0.1, True, 0.1
    camera: ClassVar[dict[str, Any]] = {"fixed": "track"}


class Hopper(Runner):
    """One leg; healthy while all but x lies within ±100, the torso above 0.7 m and within ±0.2 rad."""

    frame_skip, clip = 4, 10.0
    camera: ClassVar[dict[str, Any]] = {"fixed": "track"}

    def healthy(self) -> Bool[np.ndarray, "N"]:
        qpos, qvel = self.sims.qpos, self.sims.qvel
        inside = np.maximum.reduce(np.abs(qpos[:, 2:]), 1) < 100.0
        inside &= np.maximum.reduce(np.abs(qvel), 1) < 100.0
        inside &= qpos[:, 1] > 0.7
        inside &= np.abs(qpos[:, 2]) < 0.2
        healthy: Bool[np.ndarray, N] = inside
        return healthy


class Walker2d(Runner):
    """Two legs; healthy while the torso is between 0.8 and 2 m and within ±1 rad."""

    frame_skip, clip = 4, 10.0
    camera: ClassVar[dict[str, Any]] = {"fixed": "track"}

    def healthy(self) -> Bool[np.ndarray, "N"]:
        height, angle = self.sims.qpos[:, 1], self.sims.qpos[:, 2]
        healthy: Bool[np.ndarray, N] = (height > 0.8) & (height < 2.0) & (np.abs(angle) < 1.0)
        return healthy


class Swimmer(Runner):
    """Three links in a fluid."""

    frame_skip, hidden = 4, 2
    noise, control_cost = 0.1, 1e-4
    push_axes = (0, 1)
    camera: ClassVar[dict[str, Any]] = {"fixed": "track"}
