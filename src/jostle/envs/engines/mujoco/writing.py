"""How values get into MuJoCo's fields: for some rows at a time, always from the nominal model, never in place."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from jostle.envs.engines.mujoco.inertia import SHAPE, product, reshaped
from jostle.envs.engines.mujoco.offered import Slot, nominal_of

Array = np.ndarray[Any, Any]
Columns = Mapping[str, int]
"""The column of each quantity in the matrix of values."""


class Fields:
    """Writes whole rows of some fields: what is varied in them, and the nominal rest.

    Args:
        batch: a `mujoco.batch.Batch`; the fields become each simulation's own.
        fields: which.
        slots, columns: of all quantities that vary.
    """

    def __init__(self, batch: Any, fields: list[str], slots: Mapping[str, Slot], columns: Columns) -> None:
        own = {field: batch.expand(field) for field in fields}
        nominal = [np.ravel(nominal_of(batch.model, field)).astype(np.float64) for field in fields]
        ends = np.cumsum([0, *(values.size for values in nominal)])
        first = dict(zip(fields, ends[:-1], strict=True))
        self._nominal = np.concatenate(nominal) if nominal else np.empty(0)
        # All fields stand side by side in one matrix, which takes a few large operations where fields would take many.
        self._spans = [
            (values.reshape(batch.nsim, -1), slice(ends[i], ends[i + 1])) for i, values in enumerate(own.values())
        ]
        every = [(name, t) for name in columns for t in slots[name].targets if t.field in first]
        targets = [(name, t) for name, t in every if not slots[name].adds]
        self._added = [(columns[name], first[t.field] + t.place) for name, t in every if slots[name].adds]
        self._columns = np.array([columns[name] for name, _ in targets], np.int64)
        self._places = np.array([first[t.field] + t.place for _, t in targets], np.int64)
        signs = np.array([t.sign for _, t in targets])
        self._signs = signs if (signs < 0).any() else None
        self._codes = [(i, np.array(slots[name].codes)) for i, (name, _) in enumerate(targets) if slots[name].codes]
        scaled = {slots[name].scales: column for name, column in columns.items() if slots[name].scales in first}
        self._factors = [(span, scaled[f]) for (_, span), f in zip(self._spans, fields, strict=True) if f in scaled]

    def write(self, rows: Int64[np.ndarray, "R"], current: Float64[np.ndarray, "R C"]) -> None:
        """Write what the values `current` of these rows say."""
        new = np.empty((len(rows), self._nominal.size))
        new[:] = self._nominal
        if self._columns.size:
            values = current[:, self._columns]
            if self._signs is not None:
                values *= self._signs
            for at, codes in self._codes:
                values[:, at] = codes[np.rint(values[:, at]).astype(np.int64)]
            new[:, self._places] = values
        for column, place in self._added:
            new[:, place] += current[:, column]
        for span, column in self._factors:
            new[:, span] *= current[:, column, None]
        for own, span in self._spans:
            own[rows] = new[:, span]


class Bodies:
    """Writes masses, inertias in proportion, and of bodies that are also reshaped principal moments and axes."""

    def __init__(self, batch: Any, slots: Mapping[str, Slot], columns: Columns) -> None:
        self._model = model = batch.model
        self._mass, self._inertia = batch.expand("body_mass"), batch.expand("body_inertia")
        weighed = {name: slots[name].body for name in columns if slots[name].body and name.endswith(".mass")}
        shapes = {name: slots[name].body for name in columns if slots[name].body and name not in weighed}
        self._weighed, self._mass_columns = _pairs(weighed, columns)
        self._all = columns.get("all.mass", -1)
        self._shaped = np.array(sorted({body for body in shapes.values() if body}), np.int64)
        self._axes = batch.expand("body_iquat") if self._shaped.size else None
        bodies, self._shape_columns = _pairs(shapes, columns)
        parts = [list(SHAPE).index(name.rpartition(".")[2]) for name in shapes]
        self._at = np.searchsorted(self._shaped, bodies), np.array(parts, np.int64)
        self._massive = np.flatnonzero(model.body_mass > 0)

    def write(self, rows: Int64[np.ndarray, "R"], current: Float64[np.ndarray, "R C"]) -> None:
        """Write what the values `current` of these rows say."""
        model, massive = self._model, self._massive
        mass = np.tile(model.body_mass, (len(rows), 1))
        mass[:, self._weighed] = current[:, self._mass_columns]
        if self._all >= 0:
            mass *= current[:, self._all, None]
        inertia = np.tile(model.body_inertia, (len(rows), 1, 1))
        if self._axes is not None:
            shape = np.zeros((len(rows), self._shaped.size, 6))
            shape[:, self._at[0], self._at[1]] = current[:, self._shape_columns]
            nominal = model.body_inertia[self._shaped], model.body_iquat[self._shaped]
            inertia[:, self._shaped], axes = reshaped(*nominal, shape)
            self._axes[rows[:, None], self._shaped] = axes
        inertia[:, massive] *= (mass[:, massive] / model.body_mass[massive])[..., None]
        self._mass[rows], self._inertia[rows] = mass, inertia


class Turns:
    """Writes cameras' orientations: the nominal one, then a rotation by a vector in the camera's own frame."""

    def __init__(self, batch: Any, cameras: list[int], slots: Mapping[str, Slot], columns: Columns) -> None:
        self._nominal, self._own = batch.model.cam_quat, batch.expand("cam_quat")
        self._columns = {
            camera: {"xyz".index(name[-1]): columns[name] for name in columns if slots[name].camera == camera}
            for camera in cameras
        }

    def write(self, rows: Int64[np.ndarray, "R"], current: Float64[np.ndarray, "R C"]) -> None:
        """Write what the values `current` of these rows say."""
        for camera, axes in self._columns.items():
            vector = np.zeros((len(rows), 3))
            vector[:, list(axes)] = current[:, list(axes.values())]
            self._own[rows, camera] = turned(self._nominal[camera], vector)


def turned(quat: Float64[np.ndarray, "4"], vector: Float64[np.ndarray, "R 3"]) -> Float64[np.ndarray, "R 4"]:
    """The orientation `quat` (w, x, y, z) after a rotation about its own axes; a vector of zeros changes no bit."""
    angle = np.linalg.norm(vector, axis=1, keepdims=True)
    axis = vector / np.where(angle == 0, 1.0, angle)
    turn = np.hstack([np.cos(angle / 2), axis * np.sin(angle / 2)])
    return product(np.broadcast_to(quat, turn.shape), turn)


def _pairs(bodies: Mapping[str, int | None], columns: Columns) -> tuple[Int64[np.ndarray, "k"], Int64[np.ndarray, "k"]]:
    """Bodies and the columns of their values, by name."""
    return np.array(list(bodies.values()), np.int64), np.array([columns[name] for name in bodies], np.int64)
