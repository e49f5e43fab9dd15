"""Which environments there are, and what each takes; nothing is built for a list."""

from dataclasses import dataclass

import gymnasium as gym

from jostle.envs.envpool_engine import envpool_ids


@dataclass(frozen=True)
class EnvInfo:
    """One line of the list: an id, the engine that "auto" takes for it, its family, and whether that engine is fast."""

    id: str
    engine: str
    family: str
    fast: bool


def list_envs(filter: str = "") -> list[EnvInfo]:
    """All environments whose id or family contains `filter` (upper and lower case are the same), by id."""
    pools = envpool_ids()
    found = []
    for env_id in known_ids():
        engine = "jostle" if env_id.startswith("jostle/") else "envpool" if env_id in pools else "gymnasium"
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
