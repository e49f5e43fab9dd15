"""What of a MuJoCo model can vary, as data: kind of element → its numbers → fields touched → what must be recomputed.

Each line names one number of every element of a kind. Limits are of the *nominal* value n where they depend on it.
Physics after MuJoCo's documentation ("XML reference", attributes of the same name); which fields make `mj_setConst`
necessary is `MjModel._setconst_inputs`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["option", "body", "joint", "geom", "actuator", "material", "light", "camera"]
Limits = tuple[float, float] | Callable[[float], tuple[float, float]]


def positive(nominal: float) -> tuple[float, float]:
    """From a hundredth to a hundred times the nominal value."""
    return nominal / 100, nominal * 100


def grown(nominal: float) -> tuple[float, float]:
    """From nothing to a hundred times the nominal value, or to 100 where that is nothing."""
    return 0.0, nominal * 100 if nominal > 0 else 100.0


def around(width: float) -> Callable[[float], tuple[float, float]]:
    """Within that distance of the nominal value."""
    return lambda nominal: (nominal - width, nominal + width)


UNIT = (0.0, 1.0)
COLOUR_TEXTURE = 1
"""The column of `mat_texid` that colours a surface (`mjTEXROLE_RGB`)."""


@dataclass(frozen=True)
class Number:
    """One number of each element of a kind.

    Args:
        kind: of elements.
        path: what follows the element's name.
        field: of MjModel, "opt.…" for options.
        column: in the element's row of the field; None where the row is one number.
        limits: low and high.
        unit, about: for tables.
        derived: `mj_setConst` must run after a change.
        only: whether an element has it, by model and number; None: all have.
        choices: "material" or "texture": the value is the number of one of these.
    """

    kind: Kind
    path: str
    field: str
    column: int | None
    limits: Limits
    unit: str
    about: str
    derived: bool = False
    only: Callable[[Any, int], bool] | None = None
    choices: Literal["", "material", "texture"] = ""


def _touches(model: Any, geom: int) -> bool:
    return bool(model.geom_contype[geom] or model.geom_conaffinity[geom])


def _condim(least: int) -> Callable[[Any, int], bool]:
    """Contacts have the larger dimension of their two geoms: what turns or rolls counts from 4 or 6 on."""

    def offered(model: Any, geom: int) -> bool:
        touching = [g for g in range(model.ngeom) if _touches(model, g)]
        return _touches(model, geom) and max(int(model.geom_condim[g]) for g in touching) >= least

    return offered


def _has_mass(model: Any, body: int) -> bool:
    return body > 0 and bool(model.body_mass[body] > 0)


def _own_colour(model: Any, geom: int) -> bool:
    """MuJoCo draws a geom that has a material in the material's colour, unless its own is no longer the default."""
    return not _has_material(model, geom) or model.geom_rgba[geom].tolist() != [0.5, 0.5, 0.5, 1.0]


def _has_material(model: Any, geom: int) -> bool:
    return int(model.geom_matid[geom]) >= 0


def _has_texture(model: Any, material: int) -> bool:
    return int(model.mat_texid[material, COLOUR_TEXTURE]) >= 0


def _inside(model: Any, body: int) -> bool:
    """No part of the world, and not free: where it hangs on its parent is a number of the model."""
    first = int(model.body_jntadr[body])
    return body > 0 and not (first >= 0 and int(model.jnt_type[first]) == 0)


def _of_a_slide_or_hinge(model: Any, joint: int) -> bool:
    return int(model.jnt_type[joint]) >= 2


def _vector(
    kind: Kind, path: str, field: str, limits: Limits, unit: str, about: str, parts: str = "xyz", **more: Any
) -> list[Number]:
    return [
        Number(kind, f"{path}.{part}", field, i, limits, unit, f"{about}, {part}", **more)
        for i, part in enumerate(parts)
    ]


NUMBERS: list[Number] = [
    *_vector("option", "gravity", "opt.gravity", around(20.0), "m/s²", "gravity"),
    *_vector("option", "wind", "opt.wind", around(50.0), "m/s", "wind"),
    Number("option", "viscosity", "opt.viscosity", None, grown, "Pa·s", "viscosity of the medium"),
    Number("option", "density", "opt.density", None, (0.0, 20_000.0), "kg/m³", "density of the medium"),
    *_vector("body", "com", "body_ipos", around(0.5), "m", "centre of mass", derived=True, only=_has_mass),
    *_vector("body", "pos", "body_pos", around(1.0), "m", "place on its parent", derived=True, only=_inside),
    Number("joint", "damping", "dof_damping", None, grown, "N·s/m, N·m·s", "damping"),
    Number("joint", "armature", "dof_armature", None, grown, "kg, kg·m²", "inertia of the rotor", derived=True),
    Number("joint", "frictionloss", "dof_frictionloss", None, grown, "N, N·m", "dry friction"),
    Number(
        "joint", "stiffness", "jnt_stiffness", None, grown, "N/m, N·m", "spring", only=_of_a_slide_or_hinge
    ),
    Number("geom", "friction.slide", "geom_friction", 0, (0.0, 10.0), "", "sliding friction", only=_condim(3)),
    Number("geom", "friction.spin", "geom_friction", 1, (0.0, 10.0), "m", "torsional friction", only=_condim(4)),
    Number("geom", "friction.roll", "geom_friction", 2, (0.0, 10.0), "m", "rolling friction", only=_condim(6)),
    *_vector("geom", "rgba", "geom_rgba", UNIT, "", "colour", "rgba", only=_own_colour),
    Number("geom", "material", "geom_matid", None, UNIT, "", "material", only=_has_material, choices="material"),
    Number("actuator", "gear", "actuator_gear", 0, positive, "", "gear", derived=True),
    *_vector("material", "rgba", "mat_rgba", UNIT, "", "colour", "rgba"),
    Number("material", "specular", "mat_specular", None, UNIT, "", "specularity"),
    Number("material", "shininess", "mat_shininess", None, UNIT, "", "shininess"),
    Number("material", "reflectance", "mat_reflectance", None, UNIT, "", "reflectance"),
    Number(
        "material", "texture", "mat_texid", COLOUR_TEXTURE, UNIT, "", "texture", only=_has_texture, choices="texture"
    ),
    *_vector("light", "pos", "light_pos", around(10.0), "m", "place", derived=True),
    *_vector("light", "dir", "light_dir", (-1.0, 1.0), "", "direction", derived=True),
    *_vector("light", "diffuse", "light_diffuse", UNIT, "", "colour", "rgb"),
    *_vector("light", "ambient", "light_ambient", UNIT, "", "ambient colour", "rgb"),
    *_vector("light", "specular", "light_specular", UNIT, "", "colour of highlights", "rgb"),
    *_vector("camera", "pos", "cam_pos", around(10.0), "m", "place", derived=True),
    Number("camera", "fovy", "cam_fovy", None, (1.0, 170.0), "°", "field of view"),
]  # fmt: skip

FACTORS: dict[str, tuple[str, str]] = {
    "all.friction": ("geom_friction", "friction of all geoms, times this"),
    "all.damping": ("dof_damping", "damping of all joints, times this"),
    "all.armature": ("dof_armature", "rotor inertia of all joints, times this"),
    "all.frictionloss": ("dof_frictionloss", "dry friction of all joints, times this"),
    "all.stiffness": ("jnt_stiffness", "springs of all joints, times this"),
    "all.gear": ("actuator_gear", "gear of all actuators, times this"),
}
"""Factors (nominally 1) of whole fields, beside the values of single elements; `all.mass` is beside those of bodies."""

FACTOR_LIMITS = (0.0, 100.0)
