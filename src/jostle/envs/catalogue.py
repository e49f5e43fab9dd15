"""Which environments there are, and what each takes; nothing is built for a list."""

from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
from gymnasium import spaces

from jostle.envs.envpool_engine import envpool_ids, pool_options, pool_spaces, pool_spec
from jostle.envs.gymnasium_engine import defaults_of, native, one_env, options_of, register_plugins
from jostle.errors import ConfigError, closest


@dataclass(frozen=True)
class EnvInfo:
    """One line of the list: an id, the engine that "auto" takes for it, its family, and whether that engine is fast."""

    id: str
    engine: str
    family: str
    fast: bool


@dataclass(frozen=True)
class EnvDescription:
    """One environment: its engine, the spaces of one row, and its options with their defaults."""

    id: str
    engine: str
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    options: dict[str, Any]


def list_envs(filter: str = "") -> list[EnvInfo]:
    """All environments whose id or family contains `filter` (upper and lower case are the same), by id."""
    pools = envpool_ids()
    found = []
    for env_id in known_ids():
        engine = engine_of(env_id)
        family = pools[env_id] if engine == "envpool" else engine
        if filter.lower() in f"{env_id} {family}".lower():
            found.append(EnvInfo(env_id, engine, family, engine != "gymnasium"))
    return found


def known_ids() -> list[str]:
    """The ids of every engine, sorted."""
    return sorted({*gym.registry, *envpool_ids()})


def registered(env_id: str) -> bool:
    """Whether Gymnasium can make the id. An id that names its module is believed until it is made."""
    return ":" in env_id or env_id in gym.registry


def engine_of(env_id: str) -> Literal["envpool", "gymnasium", "jostle"]:
    """The engine that "auto" takes for a known id."""
    if env_id.startswith("jostle/") and env_id in gym.registry:
        return "jostle"
    return "envpool" if env_id in envpool_ids() else "gymnasium"


def describe(env_id: str) -> EnvDescription:
    """Spaces and options of one environment on the engine that "auto" takes. Only on Gymnasium one is built.

    Raises:
        ConfigError: an unknown id.
        EnvError: the environment cannot be loaded.
    """
    register_plugins(env_id)
    if env_id not in known_ids() and not registered(env_id):
        raise ConfigError(f"There is no environment {env_id}: {closest(env_id, known_ids())}")
    engine = engine_of(env_id)
    if engine == "envpool":
        return EnvDescription(env_id, engine, *pool_spaces(pool_spec(env_id), env_id), pool_options(env_id))
    if engine == "jostle":
        vector = native(env_id, 1, None, {})
        vector.close()
        options = defaults_of(type(vector.unwrapped))
        return EnvDescription(env_id, engine, vector.single_observation_space, vector.single_action_space, options)
    env = one_env(env_id, None, {})
    env.close()
    return EnvDescription(env_id, engine, env.observation_space, env.action_space, options_of(env_id))
