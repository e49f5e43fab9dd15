"""Environments that are stepped one by one and let their physics be set, as one world."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain import Bound, Quantity
from jostle.envs.world import World

Setter = Callable[[Mapping[str, float]], None]
"""Gives an environment values by name."""

_ROW = np.zeros(1, np.int64)


class RowWorlds:
    """N environments of this process, each a world of its own, or one that draws by itself and can be held.

    Attributes:
        own: what the environments draw by themselves while nobody sets anything, as `jostle.envs.Randomise` does; None:
            nothing.
    """

    def __init__(
        self,
        setters: list[Callable[[Mapping[str, float]], None]],
        quantities: Mapping[str, Quantity],
        own: Bound | None,
    ) -> None:
        self._setters, self._quantities, self.own = setters, dict(quantities), own

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can vary, by name."""
        return self._quantities

    def set_quantities(self, values: Mapping[str, Float64[np.ndarray, "R"]], rows: Int64[np.ndarray, "R"]) -> None:
        """Give the chosen rows these values; of rows that draw by themselves, in place of every further draw."""
        for place, row in enumerate(np.asarray(rows).tolist()):
            self._setters[row]({name: float(value[place]) for name, value in values.items()})


def row_worlds(envs: Iterable[gym.Env[Any, Any]]) -> RowWorlds | None:
    """The world of single environments, by each one's outermost wrapper that can be set; None where one has none."""
    found = [_settable(env) for env in envs]
    first = found[0] if found else None
    if first is None or any(each is None for each in found):
        return None
    own = first.bound if _holds(first) else None
    quantities = first.quantities if own is None else dict(zip(own.names, own.quantities, strict=True))
    return RowWorlds([_setter(each) for each in found], quantities, own)


def _settable(env: gym.Env[Any, Any]) -> Any:
    """What of an environment and its wrappers can be set: one that draws by itself, or a `World`."""
    while True:
        if _holds(env) or isinstance(env, World):
            return env
        if not isinstance(env, gym.Wrapper):
            return None
        env = env.env


def _setter(holder: Any) -> Setter:
    if _holds(holder):
        hold: Setter = holder.hold
        return hold

    def give(values: Mapping[str, float]) -> None:
        holder.set_quantities({name: np.array([value]) for name, value in values.items()}, _ROW)

    return give


def _holds(env: Any) -> bool:
    """It draws by itself, and stops when it is told what holds: `jostle.envs.Randomise`."""
    return hasattr(type(env), "hold") and isinstance(getattr(env, "bound", None), Bound)
