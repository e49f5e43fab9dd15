"""The arrays of all simulations, as a task sees them."""

from typing import Any

import numpy as np
from jaxtyping import Float64

Array = np.ndarray[Any, Any]


class Simulations:
    """N simulations of one model. The arrays are live: a step changes what they hold.

    Args:
        batch: a `mujoco.batch.Batch`.
        frame_skip: simulation steps per control step.

    Attributes:
        model: the nominal MjModel.
        count: N.
        qpos, qvel, ctrl: [N, nq], [N, nv], [N, nu].
        dt: seconds of a control step.
        contact_force: [N, bodies, 6], the external forces on each body (`cfrc_ext`: torque, then force), where the
            task asks for them.
    """

    def __init__(self, batch: Any, frame_skip: int) -> None:
        self._batch = batch
        self.model = batch.model
        self.count: int = batch.nsim
        self.qpos: Float64[np.ndarray, "N nq"] = batch.bind("qpos")
        self.qvel: Float64[np.ndarray, "N nv"] = batch.bind("qvel")
        self.ctrl: Float64[np.ndarray, "N nu"] = batch.bind("ctrl")
        self.dt: float = batch.model.opt.timestep * frame_skip
        self.contact_force: Float64[np.ndarray, "N B 6"] = np.zeros((self.count, batch.model.nbody, 6))

    def read(self, field: str) -> Array:
        """A live array [N, …] of an MjData field, such as "xpos".

        As after `mj_step`, what is computed describes the state before the last simulation step, and is read-only.
        """
        view: Array = self._batch.bind(field)
        return view

    def parameter(self, field: str) -> Array:
        """The values [N, …] of an MjModel field in every simulation, such as "body_mass"; do not write to them."""
        values = self._batch.expanded(field)
        if values is None:
            nominal = getattr(self.model, field)
            values = np.broadcast_to(nominal, (self.count, *nominal.shape))
        own: Array = values
        return own

    def body(self, name: str) -> int:
        """The number of a body."""
        return int(self.model.body(name).id)
