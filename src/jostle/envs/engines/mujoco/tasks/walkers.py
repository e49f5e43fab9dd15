"""Ant and Humanoid as in Gymnasium 1.x, version 5: bodies in space that feel what they touch.

reward = forward velocity + a sum per step while healthy − control cost − contact cost.
"""

from typing import Any, ClassVar

import numpy as np

from jostle.envs.engines.mujoco.draws import Draws
from jostle.envs.engines.mujoco.names import INERTIA, TWIST, WRENCH, of_bodies, positions, velocities
from jostle.envs.engines.mujoco.simulations import Simulations
from jostle.envs.engines.mujoco.task import Array, Outcome, Task

POSITION, VELOCITY = 0, 1


class Ant(Task):
    """Four legs; healthy while the torso is between 0.2 and 1 m, and everything is a number."""

    frame_skip, contact_forces = 5, True
    camera: ClassVar[dict[str, Any]] = {"fixed": "track"}

    def bind(self, sims: Simulations) -> None:
        super().bind(sims)
        self._nq, nv = sims.model.nq - 2, sims.model.nv
        self._felt = self._nq + nv
        self.size = self._felt + 6 * (sims.model.nbody - 1)
        self.groups = {"position": slice(0, self._nq), "velocity": slice(self._nq, self._felt)}
        self._place = sims.read("xpos")[:, 1, :2]

    def names(self) -> list[str]:
        model = self.sims.model
        return positions(model)[2:] + velocities(model) + of_bodies(model, WRENCH)

    def start(self, draws: Draws) -> tuple[Array, Array]:
        model = self.sims.model
        return model.qpos0 + draws.uniform(POSITION, model.nq, -0.1, 0.1), 0.1 * draws.normal(VELOCITY, model.nv)

    def progress(self) -> Array:
        return self._place.copy()

    def observe(self, out: Array) -> None:
        out[:, : self._nq] = self.sims.qpos[:, 2:]
        out[:, self._nq : self._felt] = self.sims.qvel
        out[:, self._felt :] = self._clipped()[:, 1:].reshape(self.sims.count, -1)

    def outcome(self, actions: Array, before: Array, after: Array) -> Outcome:
        velocity = (after[:, 0] - before[:, 0]) / self.sims.dt
        qpos, qvel = self.sims.qpos, self.sims.qvel
        healthy = np.isfinite(qpos).all(1) & np.isfinite(qvel).all(1) & (qpos[:, 2] >= 0.2) & (qpos[:, 2] <= 1.0)
        contact = 5e-4 * np.square(self._clipped()).reshape(self.sims.count, -1).sum(1)
        costs = 0.5 * np.square(actions).sum(1) + contact
        return Outcome(velocity + healthy - costs, ~healthy)

    def _clipped(self) -> Array:
        clipped: Array = np.clip(self.sims.contact_force, -1.0, 1.0)
        return clipped


class Humanoid(Task):
    """Two legs, two arms; healthy while the torso is between 1 and 2 m. Forward is what the centre of mass does."""

    frame_skip, contact_forces = 5, True
    camera: ClassVar[dict[str, Any]] = {"fixed": "track"}

    def bind(self, sims: Simulations) -> None:
        super().bind(sims)
        self._nq, self._nv = sims.model.nq - 2, sims.model.nv
        end = self._nq + self._nv
        self.groups = {"position": slice(0, self._nq), "velocity": slice(self._nq, end)}
        bodies = sims.model.nbody - 1
        self.size = end + (10 + 6) * bodies + self._nv - 6 + 6 * bodies
        self._centres = sims.read("xipos")
        rows = sims.count
        # The world is left out, and so are the six degrees of freedom that no actuator moves.
        self._parts = [
            (sims.qpos[:, 2:], self._nq),
            (sims.qvel, self._nv),
            (sims.read("cinert").reshape(rows, -1)[:, 10:], 10 * bodies),
            (sims.read("cvel").reshape(rows, -1)[:, 6:], 6 * bodies),
            (sims.read("qfrc_actuator")[:, 6:], self._nv - 6),
            (sims.contact_force.reshape(rows, -1)[:, 6:], 6 * bodies),
        ]

    def names(self) -> list[str]:
        model = self.sims.model
        forces = [f"force on {name.removesuffix(' velocity')}" for name in velocities(model)[6:]]
        felt = of_bodies(model, WRENCH)
        moved = of_bodies(model, INERTIA) + of_bodies(model, TWIST)
        return positions(model)[2:] + velocities(model) + moved + forces + felt

    def start(self, draws: Draws) -> tuple[Array, Array]:
        model = self.sims.model
        qpos = model.qpos0 + draws.uniform(POSITION, model.nq, -0.01, 0.01)
        return qpos, draws.uniform(VELOCITY, model.nv, -0.01, 0.01)

    def progress(self) -> Array:
        mass = self.sims.parameter("body_mass")
        centre: Array = np.einsum("nb,nbj->nj", mass, self._centres)[:, :2] / mass.sum(1)[:, None]
        return centre

    def observe(self, out: Array) -> None:
        at = 0
        for part, width in self._parts:
            out[:, at : at + width] = part
            at += width

    def outcome(self, actions: Array, before: Array, after: Array) -> Outcome:
        velocity = (after[:, 0] - before[:, 0]) / self.sims.dt
        height = self.sims.qpos[:, 2]
        healthy = (height > 1.0) & (height < 2.0)
        contact = 5e-7 * np.square(self.sims.contact_force).reshape(self.sims.count, -1).sum(1)
        costs = 0.1 * np.square(self.sims.ctrl).sum(1) + np.minimum(contact, 10.0)
        return Outcome(1.25 * velocity + 5.0 * healthy - costs, ~healthy)
