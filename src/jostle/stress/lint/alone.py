"""The truth that a set environment is compared with: a lone MjModel edited by MuJoCo's own names, or a class made anew.

`Randomise` and the engine write through a table of places in flat arrays. Here elements are found by `mj_name2id`, rows
are MuJoCo's, and `mj_setConst` runs on an MjData of its own, so that a mistake in that table does not vouch for itself.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from jostle.envs.engines.mujoco.inertia import SHAPE, reshaped
from jostle.envs.engines.mujoco.offered import offered
from jostle.envs.engines.mujoco.package import require_mujoco
from jostle.envs.randomise.models import has_model, needs_full_matrix
from jostle.envs.randomise.paths import is_plain
from jostle.envs.randomise.rebuilt import rebuilt
from jostle.stress.lint.constants import Constants, constants_of, model_constants


class Truth(NamedTuple):
    """What the constants should be, which of them were named themselves, and whether those that follow are seen."""

    constants: Constants
    named: set[str]
    whole: bool = True


_PLACES: dict[str, tuple[str, str, int | None]] = {
    "damping": ("joint", "dof_damping", None),
    "armature": ("joint", "dof_armature", None),
    "frictionloss": ("joint", "dof_frictionloss", None),
    "stiffness": ("joint", "jnt_stiffness", None),
    "friction.slide": ("geom", "geom_friction", 0),
    "friction.spin": ("geom", "geom_friction", 1),
    "friction.roll": ("geom", "geom_friction", 2),
    "gear": ("actuator", "actuator_gear", 0),
    "gain": ("actuator", "actuator_gainprm", 0),
    "specular": ("material", "mat_specular", None),
    "shininess": ("material", "mat_shininess", None),
    "reflectance": ("material", "mat_reflectance", None),
    "fovy": ("camera", "cam_fovy", None),
}
for _i, _part in enumerate("xyz"):
    _PLACES[f"com.{_part}"] = ("body", "body_ipos", _i)
    _PLACES[f"pos.{_part}"] = ("body light camera", "body_pos light_pos cam_pos", _i)
    _PLACES[f"dir.{_part}"] = ("light", "light_dir", _i)
for _i, _part in enumerate("rgba"):
    _PLACES[f"rgba.{_part}"] = ("geom material", "geom_rgba mat_rgba", _i)
    if _part != "a":
        for _what in ("diffuse", "ambient", "specular"):
            _PLACES[f"{_what}.{_part}"] = ("light", f"light_{_what}", _i)
_FACTORS = {
    "all.friction": "geom_friction",
    "all.damping": "dof_damping",
    "all.armature": "dof_armature",
    "all.frictionloss": "dof_frictionloss",
    "all.stiffness": "jnt_stiffness",
    "all.gear": "actuator_gear",
}


class Alone:
    """Makes the truth for an environment at its nominal values.

    Args:
        env: as it was made, before anything was set.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._env = env
        inner: Any = env.unwrapped
        self._model = copy.deepcopy(inner.model) if has_model(inner) else None
        self._held = constants_of(env) if self._model is None else {}

    def at(self, values: Mapping[str, float]) -> Truth | None:
        """The constants with these values and all others nominal; None where there is no way to tell."""
        return self._by_model(values) if self._model is not None else self._by_class(values)

    def simple(self, name: str) -> bool:
        """Whether it is something that a body has no room for: see `jostle.envs.randomise.models`."""
        if self._model is None:
            return False
        slot = offered(self._model).get(name)
        return slot is not None and needs_full_matrix(self._model, name, slot)

    def _by_model(self, values: Mapping[str, float]) -> Truth | None:
        if any(self.simple(name) for name in values):  # `mj_setConst` refuses it
            return None
        mujoco = require_mujoco()
        model = copy.deepcopy(self._model)
        before = model_constants(model)
        factors = {k: v for k, v in values.items() if k in _FACTORS or k == "all.mass"}
        for name, value in [*((k, v) for k, v in values.items() if k not in factors), *factors.items()]:
            if not _edit(mujoco, model, self._model, name, float(value)):
                return None
        middle = model_constants(model)
        named = {name for name in before if not np.array_equal(before[name], middle[name])}
        mujoco.mj_setConst(model, mujoco.MjData(model))
        return Truth(model_constants(model), named)

    def _by_class(self, values: Mapping[str, float]) -> Truth | None:
        inner: Any = self._env.unwrapped
        if hasattr(inner, "set_quantities"):  # it shows its quantities, and nothing of what follows from them
            return self._by_quantities(values) if hasattr(inner, "quantity") else None
        if not all(is_plain(name) and name in self._held for name in values):
            return None
        made = rebuilt(inner, values)
        return None if made is None else Truth(constants_of(made), set(values))

    def _by_quantities(self, values: Mapping[str, float]) -> Truth:
        changed = {name: np.full_like(self._held[name], value) for name, value in values.items()}
        return Truth({**self._held, **changed}, set(values), whole=False)


def _edit(mujoco: Any, model: Any, nominal: Any, name: str, value: float) -> bool:
    """Write one quantity; False: nobody here knows it."""
    if name in ("gravity.x", "gravity.y", "gravity.z", "wind.x", "wind.y", "wind.z"):
        getattr(model.opt, name[:-2])["xyz".index(name[-1])] = value
    elif name in ("viscosity", "density"):
        setattr(model.opt, name, value)
    elif name in _FACTORS:
        getattr(model, _FACTORS[name])[:] *= value
    elif name == "all.mass":
        model.body_mass[:] *= value
        model.body_inertia[:] *= value
    elif name.endswith(".mass"):
        body = _found(mujoco, model, "body", name.removesuffix(".mass"))
        model.body_inertia[body] *= value / model.body_mass[body]
        model.body_mass[body] = value
    elif ".inertia." in name:
        element, _, part = name.partition(".inertia.")
        body = _found(mujoco, model, "body", element)
        shape = np.zeros((1, 1, 6))
        shape[0, 0, list(SHAPE).index(part)] = value
        moments, axes = reshaped(nominal.body_inertia[[body]], nominal.body_iquat[[body]], shape)
        model.body_inertia[body] = moments[0, 0] * model.body_mass[body] / nominal.body_mass[body]
        model.body_iquat[body] = axes[0, 0]
    elif name.endswith((".kp", ".kv")):
        element, _, part = name.rpartition(".")
        _edit_servo(model, _found(mujoco, model, "actuator", element), part, value)
    elif name.endswith((".texture", ".material")):
        return _edit_choice(mujoco, model, nominal, name, value)
    elif ".turn." in name:
        camera = _found(mujoco, model, "camera", name.partition(".turn.")[0])
        turn, axis = np.zeros(4), np.zeros(3)
        axis["xyz".index(name[-1])] = 1.0
        mujoco.mju_axisAngle2Quat(turn, axis, value)
        mujoco.mju_mulQuat(model.cam_quat[camera], nominal.cam_quat[camera], turn)
    else:
        return _edit_place(mujoco, model, name, value)
    return True


def _edit_servo(model: Any, servo: int, part: str, value: float) -> None:
    """The force is kp·(control − place) − kv·velocity, or kv·(control − velocity): gains stand in two places."""
    gain, bias = model.actuator_gainprm[servo], model.actuator_biasprm[servo]
    holds_a_place = bias[1] != 0
    if part == "kp" or not holds_a_place:
        gain[0] = value
    bias[1 if part == "kp" else 2] = -value


def _edit_choice(mujoco: Any, model: Any, nominal: Any, name: str, value: float) -> bool:
    """A material of a geom, or a texture of a material: choices are called by their names."""
    slot = offered(nominal).get(name)
    element, _, kind = name.rpartition(".")
    owner = "geom" if kind == "material" else "material"
    at = _found(mujoco, model, owner, element.removeprefix(f"{owner}."))
    if slot is None or at < 0:
        return False
    chosen = _found(mujoco, model, kind, slot.quantity.choices[round(value)])
    if kind == "material":
        model.geom_matid[at] = chosen
    else:
        model.mat_texid[at, int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = chosen
    return True


def _edit_place(mujoco: Any, model: Any, name: str, value: float) -> bool:
    for path, (kinds, fields, column) in _PLACES.items():
        if not name.endswith(f".{path}"):
            continue
        element = name.removesuffix(f".{path}")
        for kind, field in zip(kinds.split(), fields.split(), strict=True):
            at = _found(mujoco, model, kind, element.removeprefix(f"{kind}."))
            if at < 0 or (field == "geom_rgba" and _hidden(model, at)):
                continue
            rows = [at]
            if field.startswith("dof_"):
                rows = [i for i in range(model.nv) if model.dof_jntid[i] == at]
            for row in rows:
                getattr(model, field)[(row,) if column is None else (row, column)] = value
            return True
    return False


def _hidden(model: Any, geom: int) -> bool:
    """Whether its own colour, MuJoCo's default, is not seen for its material's."""
    return bool(model.geom_matid[geom] >= 0 and np.array_equal(model.geom_rgba[geom], [0.5, 0.5, 0.5, 1.0]))


def _found(mujoco: Any, model: Any, kind: str, name: str) -> int:
    at = int(mujoco.mj_name2id(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}"), name))
    if at < 0 and kind == "actuator":  # called by its joint
        joint = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name)
        moved = [i for i in range(model.nu) if model.actuator_trnid[i, 0] == joint and joint >= 0]
        at = moved[0] if len(moved) == 1 else -1
    if at < 0 and name.startswith(kind) and name[len(kind) :].isdigit():
        at = int(name[len(kind) :])
    return at
