"""Environments whose physics and looks can be set, row by row: what domain randomisation acts on."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from jaxtyping import Float, Float64, Int64

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


@runtime_checkable
class Simulated(World, Protocol):
    """A world whose rows can be put into any state: what identification and planning with a model need."""

    single_action_space: gym.Space[Any]

    def step(self, actions: np.ndarray[Any, Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of every row: observations, rewards [N], terminated [N], truncated [N], info."""
        ...

    def read_states(self) -> Float64[np.ndarray, "N S"]:
        """All that the next step of a row depends on beside its quantities, as numbers."""
        ...

    def write_states(self, states: Float64[np.ndarray, "N S"]) -> None:
        """Put every row into a state, within an episode that has not ended."""
        ...

    def states_of(self, obs: Float[np.ndarray, "R D"]) -> Float64[np.ndarray, "R S"]:
        """States that look like these observations; what nobody sees and nothing depends on is 0.

        Raises:
            ConfigError: observations of this environment do not tell its state.
        """
        ...

    def observe_exactly(self) -> Float64[np.ndarray, "N D"]:
        """What there is to see in the present states: without noise, delay or rounding."""
        ...


def world_of(engine: object) -> World | None:
    """The world that an engine is, or runs; None: it offers no quantities."""
    for candidate in (engine, getattr(engine, "world", None)):
        if isinstance(candidate, World):
            return candidate
    return None
