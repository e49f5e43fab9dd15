"""What lies between the policy and the simulation: noise and delay of observations, noise and delay of controls."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jostle.domain import Quantity
from jostle.domain.counter_rng import normal, random_bits
from jostle.envs.engines.mujoco.model import names_of
from jostle.envs.engines.mujoco.offered import Slot, Target, actuators_of
from jostle.envs.engines.mujoco.physics import Physics

Array = np.ndarray[Any, Any]
NUMBERS, PICTURE = "proprioception", "picture"
"""What the two kinds of observations are called where there are both."""
LONGEST = 8
"""The largest delay of all observations, and of one group beside it, in control steps."""
_DEPTH = 2 * LONGEST + 1
_CONTROL, _GRAIN, _SENSOR = 101, 102, 103


def signal_slots(model: Any, groups: Mapping[str, slice], pictures: bool, history: int) -> dict[str, Slot]:
    """The quantities of this file.

    Args:
        groups: of the observation's numbers.
        pictures: whether there are pictures too.
        history: simulation steps by which controls can be delayed, all of them or one beside the others; actuators
            remember twice as many.
    """
    found = {}
    for group in groups:
        name = f"observation.{group}.noise"
        about = f"deviation of normal noise on what is observed of each {group}"
        found[name] = Slot(Quantity(name, 0.0, 0.0, 100.0, about=about))
    if pictures:
        name, about = "observation.picture.noise", "deviation of normal noise in every byte"
        found[name] = Slot(Quantity(name, 0.0, 0.0, 255.0, about=about))
    name, about = "observation.delay", "age of what is observed"
    found[name] = Slot(Quantity(name, 0.0, 0.0, LONGEST, "control steps", about))
    for part in (*groups, *((PICTURE,) if pictures else ())):
        name, about = f"observation.{part}.delay", f"age of each {part} beside observation.delay"
        found[name] = Slot(Quantity(name, 0.0, 0.0, LONGEST, "control steps", about))
    if model.nu:
        name, about = "control.noise", "deviation of normal noise on every control"
        found[name] = Slot(Quantity(name, 0.0, 0.0, 100.0, about=about))
        name, about = "control.delay", "time until a control acts"
        longest = history * float(model.opt.timestep)
        targets = tuple(Target("actuator_delay", i) for i in range(model.nu))
        found[name] = Slot(Quantity(name, 0.0, 0.0, longest, "s", about), targets, adds=True)
        for i, actuator in enumerate(actuators_of(model)):
            own, about = float(model.actuator_delay[i]), "time until its control acts, beside control.delay"
            name = f"{actuator}.delay"
            name = f"actuator.{name}" if name in found else name
            found[name] = Slot(Quantity(name, own, 0.0, max(longest, own), "s", about), targets[i : i + 1])
    for i, sensor in enumerate(names_of(model, "sensor", model.nsensor)):
        own, longest = float(model.sensor_delay[i]), history * float(model.opt.timestep)
        name = f"{sensor}.delay"
        name = f"sensor.{name}" if name in found else name
        slot = Slot(
            Quantity(name, own, 0.0, max(longest, own), "s", "age of its reading"), (Target("sensor_delay", i),)
        )
        found[name] = slot
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
        self._past: dict[str, Array] | None = None
        """The last observations, newest at `_at`, each part [_DEPTH, N, …]."""
        self._at = 0

    def controls(self, controls: Array, seed: Array, episode: Array, step: Array) -> Array:
        """The controls with their noise, [N, nu]."""
        deviation = self._physics.column("control.noise")
        if deviation is None or not deviation.any():
            return controls
        bits = _bits(seed, episode, step, _CONTROL, controls.shape[1])
        noisy: Array = controls + deviation[:, None] * normal(bits)
        return noisy

    def noisy(self, obs: Array, seed: Array, episode: Array, step: Array) -> Array:
        """The numbers [N, D] with the noise of their groups added."""
        for group, columns in self._groups.items():
            deviation = self._physics.column(f"observation.{group}.noise")
            if deviation is not None and deviation.any():
                first, end, _ = columns.indices(obs.shape[1])
                bits = _bits(seed, episode, step, _SENSOR + first, end - first)
                obs[:, columns] += deviation[:, None] * normal(bits)
        return obs

    def grainy(self, pictures: Array, seed: Array, episode: Array, step: Array) -> Array:
        """The pictures, uint8 [N, H, W, 3], with theirs: normal in every byte, cut off at black and white."""
        deviation = self._physics.column("observation.picture.noise")
        if deviation is not None:
            for row in np.flatnonzero(deviation):
                key = random_bits(seed[row], episode[row], _GRAIN, step[row])[0]
                grain = np.random.Generator(np.random.Philox(int(key))).standard_normal(pictures[row].shape, np.float32)
                pictures[row] = np.clip(np.rint(pictures[row] + deviation[row] * grain), 0, 255)
        return pictures

    def late(self, seen: dict[str, Array], fresh: Array | None) -> dict[str, Array]:
        """Observations as old as the delay says.

        Args:
            seen: what there is to see now, each part [N, …].
            fresh: rows that begin an episode, whose past is what they see now; None: no row does.
        """
        common, own = self._delays()
        if common is None:
            return seen
        if self._past is None:
            self._past = {key: np.repeat(part[None], _DEPTH, axis=0) for key, part in seen.items()}
        self._at = (self._at + 1) % _DEPTH
        found = {}
        for key, part in seen.items():
            past = self._past[key]
            if fresh is not None:
                past[:, fresh] = part[fresh]
            past[self._at] = part
            found[key] = self._aged(past, common)
            parts = {PICTURE: slice(None)} if key == PICTURE else self._groups
            for name, columns in parts.items():
                if name in own:
                    found[key][:, columns] = self._aged(past[:, :, columns], common + own[name])
        return found

    def _delays(self) -> tuple[Array | None, dict[str, Array]]:
        """The delay of all that is observed, and those of single groups beside it, as far as they were ever set; None
        where none was."""
        names = {name: f"observation.{name}.delay" for name in (*self._groups, PICTURE)}
        own = {name: column for name, full in names.items() if (column := self._physics.column(full)) is not None}
        common = self._physics.column("observation.delay")
        if common is None and own:
            common = np.zeros(self._physics.count)
        return common, own

    def _aged(self, past: Array, delay: Array) -> Array:
        """What was seen so many control steps ago, of the memory [_DEPTH, N, …]; in fresh memory."""
        age = np.rint(delay).astype(np.int64)
        aged: Array = past[(self._at - age) % _DEPTH, np.arange(len(age))]
        return aged

    def state_dict(self) -> dict[str, Any]:
        """The past observations."""
        if self._past is None:
            return {}
        return {"past": {key: past.copy() for key, past in self._past.items()}, "at": self._at}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to them."""
        self._past = {key: np.array(past) for key, past in state["past"].items()} if "past" in state else None
        self._at = int(state.get("at", 0))


def _bits(seed: Array, episode: Array, step: Array, purpose: int, size: int) -> Array:
    return random_bits(seed[:, None], episode[:, None], purpose, step[:, None], np.arange(size)[None])
