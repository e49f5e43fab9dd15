"""Pushes: a force on one body, now and then, in a direction drawn for each push."""

from typing import Any

import numpy as np

from jostle.domain import Quantity
from jostle.domain.counter_rng import normal, random_bits
from jostle.envs.engines.mujoco.offered import Slot
from jostle.envs.engines.mujoco.physics import Physics

Array = np.ndarray[Any, Any]
_PUSH = 100


def push_slots(dt: float) -> dict[str, Slot]:
    """The quantities of this file; `dt` is a control step, in seconds."""
    parts = {
        "push.force": (0.0, 0.0, 10_000.0, "N", "size of a push"),
        "push.interval": (1.0, dt, 1_000.0, "s", "time from one push to the next; the first comes after one"),
        "push.duration": (max(0.1, dt), 0.0, 1_000.0, "s", "how long a push lasts"),
    }
    return {
        name: Slot(Quantity(name, nominal, low, high, unit, about))
        for name, (nominal, low, high, unit, about) in parts.items()
    }


class Pushes:
    """Forces `xfrc_applied` on one body. Costs nothing while "push.force" is not set.

    Args:
        body: which one.
        axes: of the world, along which it may be pushed.
    """

    def __init__(self, batch: Any, physics: Physics, body: int, axes: tuple[int, ...], dt: float) -> None:
        self._physics, self._dt, self._axes = physics, dt, list(axes)
        self._force: Array = batch.bind("xfrc_applied")[:, body, :3]

    def apply(self, seed: Array, episode: Array, step: Array) -> None:
        """Write the forces of the control step that begins; `step` [N] is how many of the episode are done."""
        size = self._physics.column("push.force")
        if size is None:
            return
        interval, duration = self._value("push.interval"), self._value("push.duration")
        # A hundredth of a step is for rounding: a push begins with the step that reaches its time.
        time = (step + 0.01) * self._dt
        number = np.floor(time / interval).astype(np.int64)
        active = (number >= 1) & (time - number * interval < duration)
        drawn = normal(random_bits(seed[:, None], episode[:, None], _PUSH, number[:, None], np.arange(len(self._axes))))
        direction = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        self._force[:, self._axes] = np.where(active, size, 0.0)[:, None] * direction

    def _value(self, name: str) -> Array:
        value = self._physics.column(name)
        if value is None:
            return np.asarray(self._physics.slots[name].quantity.nominal)
        return value
