"""What lies between the policy and the simulation: noise and delay of observations, noise and delay of controls."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int64

from jostle.domain import Quantity
from jostle.domain.counter_rng import normal, random_bits
from jostle.envs.engines.mujoco.offered import Slot, Target
from jostle.envs.engines.mujoco.physics import Physics
from jostle.errors import CheckpointError

Array = np.ndarray[Any, Any]
LONGEST = 8
"""The largest delay of an observation, in control steps."""
_CONTROL, _SENSOR = 101, 102


def signal_slots(model: Any, groups: Mapping[str, slice], history: int) -> dict[str, Slot]:
    """The quantities of this file.

    Args:
        history: controls that the model's actuators remember, in simulation steps.
    """
    found = {}
    for group in groups:
        name = f"observation.{group}.noise"
        about = f"deviation of normal noise on what is observed of each {group}"
        found[name] = Slot(Quantity(name, 0.0, 0.0, 100.0, about=about))
    if groups:
        name, about = "observation.delay", "age of what is observed"
        found[name] = Slot(Quantity(name, 0.0, 0.0, LONGEST, "control steps", about))
    if model.nu:
        name, about = "control.noise", "deviation of normal noise on every control"
        found[name] = Slot(Quantity(name, 0.0, 0.0, 100.0, about=about))
        name, about = "control.delay", "time until a control acts"
        longest = history * float(model.opt.timestep)
        targets = tuple(Target("actuator_delay", i) for i in range(model.nu))
        found[name] = Slot(Quantity(name, float(model.actuator_delay[0]), 0.0, longest, "s", about), targets)
    return found


class Signals:
    """Noise, keyed by (seed, episode, step), and the memory that a delay needs. Costs nothing while nothing is set.

    Controls are delayed by MuJoCo itself, to the simulation step; observations here, to the control step.

    Args:
        physics: holds the values.
        groups: which columns of an observation are which group.
    """

    def __init__(self, physics: Physics, groups: Mapping[str, slice]) -> None:
        self._physics, self._groups = physics, groups
        self._past: Array | None = None
        """The last observations, newest at `_at`, float32 [LONGEST + 1, N, D]."""
        self._at = 0

    def controls(self, controls: Array, seed: Array, episode: Array, step: Array) -> Array:
        """The controls with their noise, [N, nu]."""
        deviation = self._physics.column("control.noise")
        if deviation is None or not deviation.any():
            return controls
        bits = _bits(seed, episode, step, _CONTROL, controls.shape[1])
        noisy: Array = controls + deviation[:, None] * normal(bits)
        return noisy

    def observations(
        self, obs: Array, seed: Array, episode: Array, step: Int64[np.ndarray, "N"], fresh: Array | None
    ) -> Array:
        """What is observed of `obs`, float [N, D]: noisy, and as old as the delay says.

        Args:
            fresh: rows that begin an episode, whose past is what they see now; None: no row does.
        """
        for group, columns in self._groups.items():
            deviation = self._physics.column(f"observation.{group}.noise")
            if deviation is not None and deviation.any():
                width = len(range(*columns.indices(obs.shape[1])))
                bits = _bits(seed, episode, step, _SENSOR + columns.indices(obs.shape[1])[0], width)
                obs[:, columns] += deviation[:, None] * normal(bits)
        delay = self._physics.column("observation.delay")
        if delay is None:
            return obs
        if self._past is None:
            self._past = np.repeat(obs[None], LONGEST + 1, axis=0)
        elif fresh is not None:
            self._past[:, fresh] = obs[fresh]
        self._at = (self._at + 1) % (LONGEST + 1)
        self._past[self._at] = obs
        age = np.rint(delay).astype(np.int64)
        seen: Array = self._past[(self._at - age) % (LONGEST + 1), np.arange(len(obs))]
        return seen

    def state_dict(self) -> dict[str, Any]:
        """The past observations."""
        return {} if self._past is None else {"past": self._past.copy(), "at": self._at}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to them."""
        self._past = np.array(state["past"]) if "past" in state else None
        self._at = int(state.get("at", 0))
        if self._past is not None and not 0 <= self._at < len(self._past):
            raise CheckpointError("The saved past observations have no such place: the checkpoint is damaged.")


def _bits(seed: Array, episode: Array, step: Array, purpose: int, size: int) -> Array:
    return random_bits(seed[:, None], episode[:, None], purpose, step[:, None], np.arange(size)[None])
