"""What the entries of MuJoCo's vectors are called: joint by joint, body by body."""

from typing import Any

from jostle.envs.engines.mujoco.model import names_of

FREE, BALL, SLIDE = 0, 1, 2
_TURN = ("qw", "qx", "qy", "qz")
XYZ = ("x", "y", "z")


def positions(model: Any) -> list[str]:
    """Of ``qpos``: angles of hinges, positions of slides, places and quaternions of what is free."""
    found: list[str] = []
    for joint, name in enumerate(names_of(model, "joint", model.njnt)):
        kind = int(model.jnt_type[joint])
        if kind == FREE:
            found += [f"{name} {part}" for part in (*XYZ, *_TURN)]
        elif kind == BALL:
            found += [f"{name} {part}" for part in _TURN]
        else:
            found.append(f"{name} position" if kind == SLIDE else f"{name} angle")
    return found


def velocities(model: Any) -> list[str]:
    """Of ``qvel``."""
    found: list[str] = []
    for joint, name in enumerate(names_of(model, "joint", model.njnt)):
        kind = int(model.jnt_type[joint])
        if kind == FREE:
            found += vector(f"{name} velocity")
        if kind in (FREE, BALL):
            found += vector(f"{name} rotation")
        else:
            found.append(f"{name} velocity")
    return found


def of_bodies(model: Any, what: tuple[str, ...]) -> list[str]:
    """Several numbers of every body but the world."""
    bodies = names_of(model, "body", model.nbody)[1:]
    return [f"{body} {part}" for body in bodies for part in what]


def vector(name: str) -> list[str]:
    """Three numbers."""
    return [f"{name} {axis}" for axis in XYZ]


WRENCH = ("torque x", "torque y", "torque z", "force x", "force y", "force z")
"""Of ``cfrc_ext``."""
TWIST = ("rotation x", "rotation y", "rotation z", "velocity x", "velocity y", "velocity z")
"""Of ``cvel``."""
INERTIA = (
    "inertia xx", "inertia yy", "inertia zz", "inertia xy", "inertia xz", "inertia yz", "mass × x", "mass × y",
    "mass × z", "mass",
)  # fmt: skip
"""Of ``cinert``."""
