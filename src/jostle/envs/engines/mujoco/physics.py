"""Values of quantities, row by row, written into MuJoCo's fields: always from the nominal model, never in place."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from jostle.envs.engines.mujoco.inertia import SHAPE, reshaped
from jostle.envs.engines.mujoco.offered import Slot, nominal_of
from jostle.errors import ConfigError, closest

Array = np.ndarray[Any, Any]


class _Written(NamedTuple):
    """What goes into one field: columns of values, the places they go to, their signs, the numbers that choices stand
    for (with where in `columns` each choice is), and the factor's column."""

    columns: Int64[np.ndarray, "k"]
    places: Int64[np.ndarray, "k"]
    signs: Float64[np.ndarray, "k"]
    codes: tuple[tuple[Int64[np.ndarray, "c"], Int64[np.ndarray, "m"]], ...]
    factor: int


class _Plan(NamedTuple):
    """What a set of names comes to."""

    columns: Int64[np.ndarray, "P"]
    low: Float64[np.ndarray, "P"]
    high: Float64[np.ndarray, "P"]
    fields: list[str]
    cameras: list[int]
    bodies: bool
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
        self._count: int = batch.nsim
        self._columns: dict[str, int] = {}
        self._values = np.empty((self._count, 0))
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._fields: dict[str, _Written] = {}
        self._nominal: dict[str, Array] = {}
        self._own: dict[str, Array] = {}

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
        for field in plan.fields:
            self._write(field, rows, current)
        if plan.bodies:
            self._write_bodies(rows, current)
        for camera in plan.cameras:
            self._write_turn(camera, rows, current)
        if plan.derived:
            self._batch.set_const(None if len(rows) == self._count else np.sort(rows))

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
            name: np.full(self._count, self.slots[name].quantity.nominal) for name in self._columns if name not in state
        }
        self.set({**nominal, **state}, np.arange(self._count))

    def _planned(self, names: tuple[str, ...]) -> _Plan:
        for name in names:
            if name not in self.slots:
                raise ConfigError(f"{self._env} has no quantity {name}: {closest(name, self.slots)}")
        new = [name for name in names if name not in self._columns]
        self._columns |= {name: len(self._columns) + i for i, name in enumerate(new)}
        nominal = [np.full((self._count, 1), self.slots[name].quantity.nominal) for name in new]
        self._values = np.concatenate([self._values, *nominal], axis=1)
        slots = [self.slots[name] for name in names]
        fields = list(dict.fromkeys(field for slot in slots for field in slot.fields))
        for field in fields:
            self._fields[field] = self._written(field)
            self._expand(field)
        cameras = list(dict.fromkeys(slot.camera for slot in slots if slot.camera is not None))
        bodies = any(slot.body is not None for slot in slots)
        if bodies:
            self._expand("body_mass")
            self._expand("body_inertia")
        plan = _Plan(
            np.array([self._columns[name] for name in names]),
            np.array([slot.quantity.low for slot in slots]),
            np.array([slot.quantity.high for slot in slots]),
            fields,
            cameras,
            bodies,
            any(slot.derived for slot in slots),
        )
        self._plans[names] = plan
        return plan

    def _written(self, field: str) -> _Written:
        columns: list[int] = []
        places: list[int] = []
        signs: list[float] = []
        codes: list[tuple[Array, Array]] = []
        factor = -1
        for name, column in self._columns.items():
            slot = self.slots[name]
            if slot.scales == field:
                factor = column
            for target in slot.targets:
                if target.field == field:
                    if slot.codes:
                        codes.append((np.array([len(columns)]), np.array(slot.codes, np.int64)))
                    columns.append(column)
                    places.append(target.place)
                    signs.append(target.sign)
        return _Written(
            np.array(columns, np.int64), np.array(places, np.int64), np.array(signs, np.float64), tuple(codes), factor
        )

    def _expand(self, field: str) -> None:
        if field not in self._own:
            own = self._batch.expand(field)
            self._own[field] = own.reshape(self._count, -1)
            self._nominal[field] = np.array(nominal_of(self._batch.model, field), own.dtype).reshape(-1)
            assert np.shares_memory(own, self._own[field])

    def _write(self, field: str, rows: Array, current: Array) -> None:
        what, nominal = self._fields[field], self._nominal[field]
        new = np.tile(nominal.astype(np.float64), (len(rows), 1))
        if what.columns.size:
            values = current[:, what.columns] * what.signs
            for chosen, codes in what.codes:
                values[:, chosen] = codes[np.rint(values[:, chosen]).astype(np.int64)]
            new[:, what.places] = values
        if what.factor >= 0:
            new *= current[:, what.factor, None]
        self._own[field][rows] = new

    def _write_bodies(self, rows: Array, current: Array) -> None:
        """Masses, and inertias in proportion; of bodies that are also reshaped, principal moments and axes."""
        model = self._batch.model
        mass = np.tile(model.body_mass, (len(rows), 1))
        shapes: dict[int, Array] = {}
        for name, column in self._columns.items():
            body, part = self.slots[name].body, name.rpartition(".")[2]
            if body and part in SHAPE:
                shapes.setdefault(body, np.zeros((len(rows), 6)))[:, list(SHAPE).index(part)] = current[:, column]
            elif body:
                mass[:, body] = current[:, column]
        if "all.mass" in self._columns:
            mass *= current[:, self._columns["all.mass"], None]
        inertia = np.tile(model.body_inertia, (len(rows), 1, 1))
        for body, shape in shapes.items():
            moments, axes = reshaped(model.body_inertia[body], model.body_iquat[body], shape)
            inertia[:, body] = moments
            self._batch.expand("body_iquat")[rows, body] = axes
        has = model.body_mass > 0
        inertia[:, has] *= (mass[:, has] / model.body_mass[has])[..., None]
        self._own["body_mass"][rows] = mass
        self._own["body_inertia"][rows] = inertia.reshape(len(rows), -1)

    def _write_turn(self, camera: int, rows: Array, current: Array) -> None:
        """A camera's orientation: the nominal one, then a rotation by a vector in its own frame."""
        vector = np.zeros((len(rows), 3))
        for name, column in self._columns.items():
            if self.slots[name].camera == camera:
                vector[:, "xyz".index(name[-1])] = current[:, column]
        self._batch.expand("cam_quat")[rows, camera] = turned(self._batch.model.cam_quat[camera], vector)

    def _refuse(self, names: tuple[str, ...], given: Array, inside: Array) -> None:
        row, column = (int(i) for i in np.argwhere(~inside)[0])
        quantity = self.slots[names[column]].quantity
        raise ConfigError(
            f"{self._env} was given {quantity.name} = {given[row, column]:g} {quantity.unit}".rstrip()
            + f", which makes no sense outside {quantity.low:g} to {quantity.high:g}: give a value within."
        )


def turned(quat: Float64[np.ndarray, "4"], vector: Float64[np.ndarray, "R 3"]) -> Float64[np.ndarray, "R 4"]:
    """The orientation `quat` (w, x, y, z) after a rotation about its own axes; a vector of zeros changes no bit."""
    angle = np.linalg.norm(vector, axis=1, keepdims=True)
    axis = vector / np.where(angle == 0, 1.0, angle)
    w, x, y, z = np.hstack([np.cos(angle / 2), axis * np.sin(angle / 2)]).T
    a, b, c, d = quat
    return np.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        axis=1,
    )
