"""A second environment as its class would make it with other constants: the truth about what follows from them."""

import contextlib
import inspect
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jostle.envs.randomise.paths import is_number


def rebuilt(env: Any, constants: Mapping[str, float]) -> Any | None:
    """An object of the same class whose constructor finds these constants wherever it sets the attributes of the names.

    An attribute that is set first is given the constant instead of what the constructor says; one of the class is
    another one; an argument of that name is passed. Whatever the constructor computes from them is then right.

    Returns None where the class cannot be made anew from what is known of it.
    """
    kind: Any = type(env)
    given = dict(getattr(env.spec, "kwargs", None) or {}) if getattr(env, "spec", None) is not None else {}
    with contextlib.suppress(TypeError, ValueError):
        given |= {name: constants[name] for name in inspect.signature(kind).parameters if name in constants}
    seen: set[str] = set()

    def set_attribute(self: Any, name: str, value: Any) -> None:
        if name in constants and name not in seen:
            seen.add(name)
            value = constants[name]
        kind.__setattr__(self, name, value)

    body = {name: constants[name] for name in constants if hasattr(kind, name)}
    probe = type(kind.__name__, (kind,), {**body, "__setattr__": set_attribute})
    try:
        with _globals_kept():
            return probe(**given)
    except Exception:  # a constructor of somebody else's may want anything
        return None


def followers(env: Any, name: str, value: float) -> list[str] | None:
    """The attributes whose values follow from a constant; None where the class cannot be made anew."""
    first, second, other = (rebuilt(env, constants) for constants in ({}, {}, {name: value}))
    if first is None or second is None or other is None:
        return None
    before, again, after = (values_of(e) for e in (first, second, other))
    for e in (first, second, other):
        with contextlib.suppress(Exception):
            e.close()
    same = {key for key, v in before.items() if key in again and equal(v, again[key])}
    return sorted(key for key in same & after.keys() if key != name and not equal(before[key], after[key]))


def values_of(env: Any) -> dict[str, Any]:
    """The attributes of an object that are numbers or arrays of them."""
    return {
        name: value
        for name, value in vars(env).items()
        if is_number(value) or (isinstance(value, np.ndarray) and value.dtype.kind in "biuf")
    }


def equal(a: Any, b: Any) -> bool:
    """Numbers or arrays, up to the last digits."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-9, atol=0.0, equal_nan=True))


@contextlib.contextmanager
def _globals_kept() -> Iterator[None]:
    """Whatever a constructor draws from the global generators, they stand as before."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
