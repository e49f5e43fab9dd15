"""What the numbers of an observation are called, for figures and tables, where somebody tells.

Anybody's environment tells it by an attribute ``observation_names`` of its own or of a wrapper's: a name for each
number of the (flattened) observation, or, where that is a dictionary, names by its parts. The outermost one counts.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from gymnasium import spaces

Names = dict[str, tuple[str, ...]]
"""Names by the parts of an observation; the part of one without parts is the empty text."""

ATTRIBUTE = "observation_names"

_CART_POLE = ("position", "velocity", "angle", "angular velocity")
_CAR = ("position", "velocity")
_ACROBOT = ("cos θ₁", "sin θ₁", "cos θ₂", "sin θ₂", "angular velocity 1", "angular velocity 2")
_LANDER = ("x", "y", "velocity x", "velocity y", "angle", "angular velocity", "left leg", "right leg")
_LEG = ("hip angle", "hip speed", "knee angle", "knee speed", "contact")

KNOWN: dict[str, tuple[str, ...]] = {
    "CartPole-v0": _CART_POLE,
    "CartPole-v1": _CART_POLE,
    "MountainCar-v0": _CAR,
    "MountainCarContinuous-v0": _CAR,
    "Pendulum-v1": ("cos θ", "sin θ", "angular velocity"),
    "Acrobot-v1": _ACROBOT,
    "LunarLander-v2": _LANDER,
    "LunarLander-v3": _LANDER,
    "LunarLanderContinuous-v2": _LANDER,
    "LunarLanderContinuous-v3": _LANDER,
    "BipedalWalker-v3": (
        "hull angle", "hull angular velocity", "velocity x", "velocity y", *(f"{part} 1" for part in _LEG),
        *(f"{part} 2" for part in _LEG), *(f"lidar {ray}" for ray in range(10)),
    ),
}  # fmt: skip
"""Of environments that tell nothing themselves, from Gymnasium's documentation; on any engine."""


def told_by(env: Any) -> Any:
    """The attribute of the outermost of an environment and its wrappers that has it; None where none has."""
    while env is not None:
        told = getattr(env, ATTRIBUTE, None)
        if told is not None:
            return told
        env = getattr(env, "env", None)
    return None


def names_in(told: Any, space: spaces.Space[Any], env_id: str) -> Names:
    """What is told of observations of a space, or else known of an id.

    Names that are not one for each number are left out, with a warning.
    """
    if told is None:
        told = KNOWN.get(env_id)
        if told is None or _size(space) != len(told):  # an id may be made with other options
            return {}
    by_part: Mapping[str, Any] = told if isinstance(told, Mapping) else {"": told}
    parts = {str(k): s for k, s in space.spaces.items()} if isinstance(space, spaces.Dict) else {"": space}
    found: Names = {}
    for part, names in by_part.items():
        where = f" '{part}'" if part else ""
        if part not in parts:
            _warn(f"{env_id} names the numbers of an observation{where} that it does not have")
        elif isinstance(names, str) or not isinstance(names, Sequence) or len(names) != _size(parts[part]):
            count = len(names) if isinstance(names, Sequence) else 0
            _warn(f"{env_id} gives {count} names to the {_size(parts[part])} numbers of its observation{where}")
        else:
            found[part] = tuple(map(str, names))
    return found


def _size(space: spaces.Space[Any]) -> int:
    return math.prod(space.shape) if space.shape is not None else 0


def _warn(what: str) -> None:
    warnings.warn(f"{what}: they are left out; let {ATTRIBUTE} be a name for each.", UserWarning, stacklevel=4)
