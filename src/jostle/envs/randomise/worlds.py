"""What of an environment can vary, whatever it is made of."""

from collections.abc import Iterable
from typing import Any

import gymnasium as gym

from jostle.envs.randomise.attributes import Attributes
from jostle.envs.randomise.known import Derived
from jostle.envs.randomise.models import Model, has_model
from jostle.envs.world import World
from jostle.errors import ConfigError


def world_in(env: gym.Env[Any, Any], names: Iterable[str] = (), derived: Derived | None = None) -> World:
    """The world of one environment: its own, where it is one, else that of its MjModel, else its attributes.

    Args:
        env: with or without wrappers.
        names: what will vary, for environments whose quantities are attributes.
        derived: see `Randomise`.

    Raises:
        ConfigError: `derived` for an environment that needs none, or see `Attributes`.
    """
    inner, of = env.unwrapped, env_name(env)
    if isinstance(inner, World) or has_model(inner):
        if derived:
            raise ConfigError(f"{of} computes what follows from its constants itself: leave derived= out.")
        return inner if isinstance(inner, World) else Model(inner, tuple(names), of)
    return Attributes(inner, tuple(names), derived, of)


def env_name(env: gym.Env[Any, Any]) -> str:
    """An id, or the name of the class."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__
