"""The quantities of one model, each with the places of its numbers in MuJoCo's fields."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jostle.domain import Quantity
from jostle.envs.engines.mujoco.elements import (
    FACTOR_LIMITS,
    FACTORS,
    NUMBERS,
    Kind,
    Number,
    positive,
)
from jostle.envs.engines.mujoco.inertia import SHAPE
from jostle.envs.engines.mujoco.model import names_of


class Target(NamedTuple):
    """A number of MuJoCo's that a value is written to: its field, where in it (flattened), and with which sign."""

    field: str
    place: int
    sign: float = 1.0


@dataclass(frozen=True)
class Slot:
    """One quantity and what its value is written to.

    Args:
        quantity: as the world offers it.
        targets: numbers of the model that take the value as it is.
        scales: the field that the value multiplies as a whole.
        derived: `mj_setConst` must run after a change.
        adds: the targets take the value in addition to what stands there already, of their own or nominally.
        codes: of a choice, the number in the model that stands for each of its values.
        camera: which one it turns; None: none.
        body: whose mass or shape of inertia it is; 0, the world, for the mass of all bodies; None: no such thing.
    """

    quantity: Quantity
    targets: tuple[Target, ...] = ()
    scales: str = ""
    derived: bool = False
    adds: bool = False
    codes: tuple[int, ...] = ()
    camera: int | None = None
    body: int | None = None

    @property
    def fields(self) -> list[str]:
        """The fields that are written to."""
        return [self.scales] if self.scales else list(dict.fromkeys(target.field for target in self.targets))


def offered(model: Any) -> dict[str, Slot]:
    """Every quantity of a model's physics and looks, by name.

    An element's quantities are called by its name and what they are: "torso.mass". Where elements of two kinds share
    a name and have a quantity of the same name, the second kind stands before it: "material.floor.rgba.r".
    """
    found: dict[str, Slot] = {}
    _add_bodies(found, model)
    for kind in dict.fromkeys(number.kind for number in NUMBERS):
        for element, name in enumerate(_elements(model, kind)):
            for number in NUMBERS:
                if number.kind != kind or (number.only is not None and not number.only(model, element)):
                    continue
                path = f"{name}.{number.path}" if name else number.path
                path = f"{kind}.{path}" if path in found else path
                slot = _slot(model, number, element, path)
                if slot is not None:
                    found[path] = slot
    _add_servos(found, model)
    for camera, name in enumerate(_elements(model, "camera")):
        for axis in "xyz":
            full = f"{name}.turn.{axis}"
            about = f"turned about its own axis {axis}"
            found[full] = Slot(Quantity(full, 0.0, -np.pi, np.pi, "rad", about), derived=True, camera=camera)
    for name, (field, about) in FACTORS.items():
        if np.any(getattr(model, field)):
            derived = any(number.derived for number in NUMBERS if number.field == field)
            found[name] = Slot(Quantity(name, 1.0, *FACTOR_LIMITS, about=about), scales=field, derived=derived)
    return found


def nominal_of(model: Any, field: str) -> Any:
    """A field of the model, or of its options."""
    return getattr(model.opt, field[4:]) if field.startswith("opt.") else getattr(model, field)


def _elements(model: Any, kind: Kind) -> list[str]:
    """The names of all elements of a kind; one without a name for what the model has once."""
    if kind == "option":
        return [""]
    counts = {"joint": model.njnt, "material": model.nmat, "light": model.nlight, "camera": model.ncam}
    counts |= {"body": model.nbody, "geom": model.ngeom, "actuator": model.nu}
    names = names_of(model, kind, counts[kind])
    return _by_joint(model, names) if kind == "actuator" else names


def actuators_of(model: Any) -> list[str]:
    """The names of the actuators, those without one by their joints."""
    return _elements(model, "actuator")


def _by_joint(model: Any, names: list[str]) -> list[str]:
    """Actuators without a name are called by the joint that they move, where no other one moves it."""
    joints = names_of(model, "joint", model.njnt)
    moved = [joints[model.actuator_trnid[i, 0]] if model.actuator_trntype[i] == 0 else "" for i in range(len(names))]
    return [
        moved[i] if name == f"actuator{i}" and moved[i] and moved.count(moved[i]) == 1 else name
        for i, name in enumerate(names)
    ]


def _slot(model: Any, number: Number, element: int, name: str) -> Slot | None:
    values = np.atleast_1d(np.asarray(nominal_of(model, number.field)))
    width = 0 if number.kind == "option" else values.size // len(values)
    rows = _dofs(model, element) if number.field.startswith("dof_") else [element]
    targets = tuple(Target(number.field, row * width + (number.column or 0)) for row in rows)
    nominal = float(values.reshape(-1)[targets[0].place])
    if number.choices:
        return _choice(model, number, int(nominal), targets, name)
    low, high = number.limits(nominal) if callable(number.limits) else number.limits
    low, high = min(low, nominal), max(high, nominal)
    return Slot(Quantity(name, nominal, low, high, number.unit, number.about), targets, derived=number.derived)


def _choice(model: Any, number: Number, nominal: int, targets: tuple[Target, ...], name: str) -> Slot | None:
    """Materials, or textures of the nominal one's type (a flat picture cannot stand for six sides); two at least."""
    if number.choices == "material":
        codes = list(range(model.nmat))
    else:
        codes = [i for i in range(model.ntex) if model.tex_type[i] == model.tex_type[nominal]]
    if len(codes) < 2:
        return None
    count = model.nmat if number.choices == "material" else model.ntex
    names = names_of(model, number.choices, count)
    choices = tuple(names[i] for i in codes)
    quantity = Quantity(name, codes.index(nominal), 0, len(codes) - 1, about=number.about, choices=choices)
    return Slot(quantity, targets, codes=tuple(codes))


def _dofs(model: Any, joint: int) -> list[int]:
    """The degrees of freedom of a joint."""
    first = int(model.jnt_dofadr[joint])
    return list(range(first, first + {0: 6, 1: 3}.get(int(model.jnt_type[joint]), 1)))


def _add_bodies(found: dict[str, Slot], model: Any) -> None:
    for body, name in enumerate(names_of(model, "body", model.nbody)):
        mass = float(model.body_mass[body])
        if body == 0 or mass <= 0:
            continue
        about = "mass, and inertia in proportion"
        found[f"{name}.mass"] = Slot(
            Quantity(f"{name}.mass", mass, *positive(mass), "kg", about), body=body, derived=True
        )
        for part, (limit, text) in SHAPE.items():
            full = f"{name}.inertia.{part}"
            found[full] = Slot(Quantity(full, 0.0, -limit, limit, about=text), body=body, derived=True)
    about = "masses of all bodies, and inertias, times this"
    found["all.mass"] = Slot(Quantity("all.mass", 1.0, *positive(1.0), about=about), body=0, derived=True)


def _add_servos(found: dict[str, Slot], model: Any) -> None:
    """Gains. Those of servos stand in two places: the force is kp·(control − place) − kv·velocity of one that holds a
    place, kv·(control − velocity) of one that holds a velocity.
    """
    gains, biases = model.actuator_gainprm, model.actuator_biasprm
    wide, broad = gains.shape[1], biases.shape[1]
    for i, name in enumerate(_elements(model, "actuator")):
        gain = float(gains[i, 0])
        if model.actuator_gaintype[i] != 0 or gain <= 0:
            continue
        at = Target("actuator_gainprm", i * wide)
        numbers: dict[str, tuple[float, tuple[Target, ...], str]] = {}
        if model.actuator_biastype[i] == 1 and biases[i, 1] == -gain:
            numbers["kp"] = gain, (at, Target("actuator_biasprm", i * broad + 1, -1.0)), "gain of the servo"
        elif model.actuator_biastype[i] == 1 and biases[i, 1] == 0 and biases[i, 2] == -gain:
            numbers["kv"] = gain, (at, Target("actuator_biasprm", i * broad + 2, -1.0)), "gain of the servo"
        elif model.actuator_biastype[i] == 0:
            numbers["gain"] = gain, (at,), "force per control"
        if "kp" in numbers and biases[i, 2] < 0:
            slowed = Target("actuator_biasprm", i * broad + 2, -1.0)
            numbers["kv"] = -float(biases[i, 2]), (slowed,), "damping of the servo"
        for path, (nominal, targets, about) in numbers.items():
            found[f"{name}.{path}"] = Slot(
                Quantity(f"{name}.{path}", nominal, *positive(nominal), about=about), targets
            )
