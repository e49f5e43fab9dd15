"""Environments whose physics and looks can be set, row by row: what domain randomisation acts on."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain import Quantity


@runtime_checkable
class World(Protocol):
    """N environments, stepped together, that offer quantities.

    `set_quantities` is called for the rows that the next `reset` or step starts anew, before it does (or before any
    step, for what varies within episodes), so that first states are made with the new values.
    """

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can vary, by name."""
        ...

    def set_quantities(self, values: Mapping[str, Float64[np.ndarray, "R"]], rows: Int64[np.ndarray, "R"]) -> None:
        """Give the chosen rows these values, absolute and in their units; what is not named keeps its own.

        Everything derived from them (inertias, cached products, MuJoCo's constants) is made fresh.
        """
        ...


def world_of(engine: object) -> World | None:
    """The world that an engine is, or runs; None: it offers no quantities."""
    for candidate in (engine, getattr(engine, "world", None)):
        if isinstance(candidate, World):
            return candidate
    return None
