"""InvertedPendulum, Reacher and Pusher as in Gymnasium 1.x, version 5: machines that stand in their place."""

from typing import Any, ClassVar

import numpy as np

from jostle.envs.engines.mujoco.draws import Draws
from jostle.envs.engines.mujoco.names import positions, vector, velocities
from jostle.envs.engines.mujoco.simulations import Simulations
from jostle.envs.engines.mujoco.task import Array, Outcome, Task

POSITION, VELOCITY, PLACE = 0, 1, 2


class InvertedPendulum(Task):
    """A pole on a cart; 1 per step until it leans by more than 0.2 rad."""

    frame_skip, size, pushed, push_axes = 2, 4, "pole", (0,)
    camera: ClassVar[dict[str, Any]] = {"distance": 2.04}

    def bind(self, sims: Simulations) -> None:
        super().bind(sims)
        self.groups = {"position": slice(0, 2), "velocity": slice(2, 4)}

    def names(self) -> list[str]:
        return positions(self.sims.model) + velocities(self.sims.model)

    def start(self, draws: Draws) -> tuple[Array, Array]:
        qpos = self.sims.model.qpos0 + draws.uniform(POSITION, 2, -0.01, 0.01)
        return qpos, draws.uniform(VELOCITY, 2, -0.01, 0.01)

    def observe(self, out: Array) -> None:
        out[:, :2], out[:, 2:] = self.sims.qpos, self.sims.qvel

    def state_of(self, obs: Array) -> tuple[Array, Array]:
        return obs[:, :2], obs[:, 2:]

    def outcome(self, actions: Array, before: Array, after: Array) -> Outcome:
        finite = np.isfinite(self.sims.qpos).all(1) & np.isfinite(self.sims.qvel).all(1)
        upright = finite & (np.abs(self.sims.qpos[:, 1]) <= 0.2)
        return Outcome(upright.astype(np.float64), ~upright)


class Reacher(Task):
    """Two links in a plane; reward = −distance of the fingertip to the target − squared controls.

    Success, of which Gymnasium knows nothing, is a fingertip within 2 cm.
    """

    frame_skip, max_steps, size = 2, 50, 10
    pushed = "body0"
    camera: ClassVar[dict[str, Any]] = {"distance": 1.0, "elevation": -60.0}

    def bind(self, sims: Simulations) -> None:
        super().bind(sims)
        self.groups = {"position": slice(0, 6), "velocity": slice(6, 8)}
        places = sims.read("xpos")
        self._tip, self._goal = places[:, sims.body("fingertip")], places[:, sims.body("target")]

    def names(self) -> list[str]:
        angles, speeds = positions(self.sims.model)[:2], velocities(self.sims.model)[:2]
        turned = [f"{part} {angle}" for part in ("cos", "sin") for angle in angles]
        return [*turned, "target x", "target y", *speeds, "fingertip from target x", "fingertip from target y"]

    def start(self, draws: Draws) -> tuple[Array, Array]:
        qpos = self.sims.model.qpos0 + draws.uniform(POSITION, 4, -0.1, 0.1)
        qvel = draws.uniform(VELOCITY, 4, -0.005, 0.005)
        qpos[:, 2:], qvel[:, 2:] = in_disc(draws, PLACE, 0.2), 0.0
        return qpos, qvel

    def observe(self, out: Array) -> None:
        qpos, angles = self.sims.qpos, self.sims.qpos[:, :2]
        out[:, :2], out[:, 2:4], out[:, 4:6] = np.cos(angles), np.sin(angles), qpos[:, 2:]
        out[:, 6:8] = self.sims.qvel[:, :2]
        out[:, 8:] = (self._tip - self._goal)[:, :2]

    def outcome(self, actions: Array, before: Array, after: Array) -> Outcome:
        distance = lengths(self._tip - self._goal)
        reward = -distance - np.square(actions).sum(1)
        return Outcome(reward, np.zeros(self.sims.count, np.bool_), distance < 0.02)


class Pusher(Task):
    """An arm of seven joints that shall push a cylinder onto a place.

    reward = −distance of cylinder and place − half that of hand and cylinder − a tenth of the squared controls.
    Success, of which Gymnasium knows nothing, is a cylinder within 5 cm.
    """

    frame_skip, max_steps, size = 5, 100, 23
    pushed = "object"
    camera: ClassVar[dict[str, Any]] = {"distance": 4.0}

    def bind(self, sims: Simulations) -> None:
        super().bind(sims)
        self.groups = {"position": slice(0, 7), "velocity": slice(7, 14), "place": slice(14, 23)}
        places = sims.read("xpos")
        self._hand, self._object, self._goal = (places[:, sims.body(name)] for name in ("tips_arm", "object", "goal"))

    def names(self) -> list[str]:
        places = [name for body in ("hand", "object", "goal") for name in vector(body)]
        return positions(self.sims.model)[:7] + velocities(self.sims.model)[:7] + places

    def start(self, draws: Draws) -> tuple[Array, Array]:
        model = self.sims.model
        qpos, qvel = np.tile(model.qpos0, (draws.count, 1)), draws.uniform(VELOCITY, model.nv, -0.005, 0.005)
        qpos[:, -4:-2], qpos[:, -2:], qvel[:, -4:] = away_from_goal(draws, PLACE), 0.0, 0.0
        return qpos, qvel

    def observe(self, out: Array) -> None:
        out[:, :7], out[:, 7:14] = self.sims.qpos[:, :7], self.sims.qvel[:, :7]
        out[:, 14:17], out[:, 17:20], out[:, 20:] = self._hand, self._object, self._goal

    def outcome(self, actions: Array, before: Array, after: Array) -> Outcome:
        near, distance = lengths(self._object - self._hand), lengths(self._object - self._goal)
        reward = -distance + -np.square(actions).sum(1) * 0.1 + -near * 0.5
        return Outcome(reward, np.zeros(self.sims.count, np.bool_), distance < 0.05)


def lengths(vectors: Array) -> Array:
    """Euclidean, [N]."""
    found: Array = np.sqrt(np.einsum("nj,nj->n", vectors, vectors))
    return found


def in_disc(draws: Draws, purpose: int, radius: float) -> Array:
    """Places uniform in a disc, [R, 2]."""
    drawn = draws.uniform(purpose, 2)
    angle = 2 * np.pi * drawn[:, 1]
    place: Array = radius * np.sqrt(drawn[:, :1]) * np.stack([np.cos(angle), np.sin(angle)], 1)
    return place


def away_from_goal(draws: Draws, purpose: int) -> Array:
    """The cylinder's offset, uniform in [−0.3, 0] × [−0.2, 0.2] but not within 0.17 of the goal, [R, 2]."""
    tries = 16  # at a third each, all fail in two of 10⁸ episodes; those take a place of their own
    drawn = draws.uniform(purpose, 2 * tries).reshape(draws.count, tries, 2) * (0.3, 0.4) - (0.3, 0.2)
    fits = np.linalg.norm(drawn, axis=2) > 0.17
    place: Array = drawn[np.arange(draws.count), fits.argmax(1)]
    place[~fits.any(1)] = (-0.25, 0.0)
    return place
