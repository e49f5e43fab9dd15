"""Values of quantities, row by row, and what must be written and computed anew when some of them change."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from jostle.envs.engines.mujoco.offered import Slot
from jostle.envs.engines.mujoco.writing import Bodies, Fields, Turns
from jostle.errors import ConfigError, closest

Array = np.ndarray[Any, Any]


class _Plan(NamedTuple):
    """What a set of names comes to."""

    columns: Int64[np.ndarray, "P"]
    low: Float64[np.ndarray, "P"]
    high: Float64[np.ndarray, "P"]
    writers: list[Fields | Bodies | Turns]
    derived: bool


class Physics:
    """The quantities of N simulations, and the fields that follow them.

    A field becomes each simulation's own only when one of its quantities is first set: what nobody varies costs
    nothing. Whatever is set is written together with all that was set before it, from the nominal model.

    Args:
        batch: a `mujoco.batch.Batch`.
        slots: by name, what can be set.
        env: the environment's name, for messages.
    """

    def __init__(self, batch: Any, slots: dict[str, Slot], env: str) -> None:
        self._batch, self.slots, self._env = batch, slots, env
        self.count: int = batch.nsim
        self._columns: dict[str, int] = {}
        self._values = np.empty((self.count, 0))
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def set(self, values: Mapping[str, Array], rows: Int64[np.ndarray, "R"]) -> None:
        """Give some rows values; what they have not been given keeps its own.

        Raises:
            ConfigError: an unknown name, or a value outside the bounds of its quantity.
        """
        if not values or not len(rows):
            return
        names = tuple(values)
        plan = self._plans.get(names) or self._planned(names)
        given = np.empty((len(rows), len(names)))
        for i, value in enumerate(values.values()):
            given[:, i] = value
        inside = (given >= plan.low) & (given <= plan.high)
        if not inside.all():
            self._refuse(names, given, inside)
        self._values[rows[:, None], plan.columns] = given
        current = self._values[rows]
        for writer in plan.writers:
            writer.write(rows, current)
        if plan.derived:
            self._batch.set_const(None if len(rows) == self.count else np.sort(rows))

    def column(self, name: str) -> Float64[np.ndarray, "N"] | None:
        """The values of a quantity in all rows; None where nobody has ever set it."""
        at = self._columns.get(name)
        return None if at is None else self._values[:, at]

    def state_dict(self) -> dict[str, Array]:
        """All values that were ever set."""
        return {name: self._values[:, at].copy() for name, at in self._columns.items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Go back to those values, and to nominal ones elsewhere."""
        nominal = {
            name: np.full(self.count, self.slots[name].quantity.nominal) for name in self._columns if name not in state
        }
        self.set({**nominal, **state}, np.arange(self.count))

    def _planned(self, names: tuple[str, ...]) -> _Plan:
        for name in names:
            if name not in self.slots:
                raise ConfigError(f"{self._env} has no quantity {name}: {closest(name, self.slots)}")
        new = [name for name in names if name not in self._columns]
        if new:
            self._columns |= {name: len(self._columns) + i for i, name in enumerate(new)}
            nominal = np.array([self.slots[name].quantity.nominal for name in new])
            self._values = np.hstack([self._values, np.tile(nominal, (self.count, 1))])
            self._plans.clear()  # they write the new ones too
        slots = [self.slots[name] for name in names]
        fields = list(dict.fromkeys(field for slot in slots for field in slot.fields))
        cameras = list(dict.fromkeys(slot.camera for slot in slots if slot.camera is not None))
        writers: list[Fields | Bodies | Turns] = []
        if fields:
            writers.append(Fields(self._batch, fields, self.slots, self._columns))
        if any(slot.body is not None for slot in slots):
            writers.append(Bodies(self._batch, self.slots, self._columns))
        if cameras:
            writers.append(Turns(self._batch, cameras, self.slots, self._columns))
        low, high = (np.array([getattr(slot.quantity, side) for slot in slots]) for side in ("low", "high"))
        columns = np.array([self._columns[name] for name in names])
        plan = _Plan(columns, low, high, writers, any(slot.derived for slot in slots))
        self._plans[names] = plan
        return plan

    def _refuse(self, names: tuple[str, ...], given: Array, inside: Array) -> None:
        row, column = (int(i) for i in np.argwhere(~inside)[0])
        quantity = self.slots[names[column]].quantity
        raise ConfigError(
            f"{self._env} was given {quantity.name} = {given[row, column]:g} {quantity.unit}".rstrip()
            + f", which makes no sense outside {quantity.low:g} to {quantity.high:g}: give a value within."
        )
