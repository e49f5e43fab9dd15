"""The constants of an environment as data, and the differences between two of them by name."""

from collections.abc import Hashable
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np

from jostle.envs.engines.mujoco.model import names_of
from jostle.envs.randomise.models import has_model
from jostle.envs.randomise.paths import numbers_of
from jostle.envs.randomise.rebuilt import values_of

Constants = dict[str, np.ndarray]
"""Arrays by name: fields of an MjModel, or attributes."""

_KINDS = {"body": "body", "geom": "geom", "jnt": "joint", "dof": "joint", "actuator": "actuator", "mat": "material"}
_KINDS |= {"cam": "camera", "light": "light"}
_COUNTS = {"body": "nbody", "geom": "ngeom", "joint": "njnt", "actuator": "nu", "material": "nmat", "camera": "ncam"}
_COUNTS |= {"light": "nlight"}
_SHORTCUTS = ("body_simple", "dof_simplenum", "body_sameframe", "geom_sameframe", "site_sameframe")
"""What the compiler has found to be simple: settings of algorithms, and no constants of the world."""
ROUNDING = 1e-9


def constants_of(env: gym.Env[Any, Any]) -> Constants:
    """A copy of every number that the environment holds as a constant, or as a state: see `steady`."""
    inner: Any = env.unwrapped
    if has_model(inner):
        return model_constants(inner.model)
    if hasattr(inner, "quantities") and hasattr(inner, "quantity"):
        return {name: np.array(inner.quantity(name), np.float64) for name in inner.quantities}
    held = {**numbers_of(inner), **values_of(inner)}
    return {name: np.array(value, np.float64) for name, value in held.items()}


def model_constants(model: Any) -> Constants:
    """Every numeric field of an MjModel, its options and its statistics."""
    found = _fields(model, "")
    found |= _fields(model.opt, "opt.") | _fields(model.stat, "stat.")
    return {name: value for name, value in found.items() if name not in _SHORTCUTS}


def _fields(holder: Any, prefix: str) -> Constants:
    found = {}
    kind: Any = type(holder)
    for name in _numeric(kind):
        value = getattr(holder, name, None)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.size:
            found[prefix + name] = np.array(value, np.float64)
        elif prefix and isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + name] = np.array(float(value))
    return found


@cache
def _numeric(kind: Hashable) -> tuple[str, ...]:
    """The names of a structure's fields that may be numbers of the world; of what is large and never varies none."""
    large = ("_", "name", "text", "buffer", "path", "tex_data", "mesh_", "hfield_data", "skin_", "bvh_", "oct_")
    return tuple(n for n in dir(kind) if not n.startswith(large) and not callable(getattr(kind, n)))


def steady(first: Constants, *later: Constants) -> set[str]:
    """The names whose values nobody has changed meanwhile: constants, not states."""
    return {
        name
        for name, value in first.items()
        if all(name in other and np.array_equal(value, other[name], equal_nan=True) for other in later)
    }


def differing(a: Constants, b: Constants, names: set[str]) -> dict[str, np.ndarray]:
    """By name, where two differ by more than rounding; of other shapes: everywhere."""
    found = {}
    for name in sorted(names):
        if name not in a or name not in b or a[name].shape != b[name].shape:
            found[name] = np.ones(a[name].shape if name in a else (), np.bool_)
            continue
        wrong = apart(a[name], b[name])
        if np.any(wrong):
            found[name] = wrong
    return found


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays differ by more than rounding; everywhere, where their shapes do."""
    if a.shape != b.shape:
        return np.ones(a.shape, np.bool_)
    near = np.abs(a - b) <= ROUNDING * np.maximum(np.abs(a), np.abs(b))
    return np.asarray(~(near | (np.isnan(a) & np.isnan(b)) | (a == b)))


def described(env: gym.Env[Any, Any], found: dict[str, np.ndarray], most: int = 4) -> str:
    """The differences in words: fields of a model with the names of their elements."""
    words = [_in_words(env, name, wrong) for name, wrong in found.items()]
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _in_words(env: gym.Env[Any, Any], name: str, wrong: np.ndarray) -> str:
    inner: Any = env.unwrapped
    kind = _KINDS.get(name.partition("_")[0])
    if not has_model(inner) or kind is None or wrong.ndim == 0:
        return name
    model = inner.model
    rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(1))
    if name.startswith("dof_"):
        rows = np.unique(model.dof_jntid[rows]) if len(wrong) == model.nv else rows
    elements = names_of(model, kind, int(getattr(model, _COUNTS[kind])))
    return f"{name} of {', '.join(elements[i] for i in rows if i < len(elements))}"
