"""Which environments there are, and what each takes; nothing is built for a list."""

import difflib
import re
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
from gymnasium import spaces

from jostle.envs.engines.envpool import INSTALL, envpool_ids, has_envpool, pool_options, pool_spaces, pool_spec
from jostle.envs.engines.gymnasium import (
    defaults_of,
    missing_plugin,
    native,
    one_env,
    only_as_vector,
    options_of,
    register_plugins,
    require_env,
)
from jostle.envs.engines.mujoco.catalogue import is_model, make_engine, mujoco_ids, options_of_task, runs_here
from jostle.errors import ConfigError, EnvError, JostleError


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


def list_envs(filter: str = "", *, plugins: bool = False) -> list[EnvInfo]:
    """All environments whose id or family contains `filter` (upper and lower case are the same), by id.

    Where there is none, `plugins` imports the package that is known to register such ids.
    """
    pools = envpool_ids()
    found = []
    for env_id in known_ids():
        engine = engine_of(env_id)
        family = pools[env_id] if engine == "envpool" else engine
        if filter.lower() in f"{env_id} {family}".lower():
            found.append(EnvInfo(env_id, engine, family, engine != "gymnasium"))
    if plugins and not found:
        register_plugins(filter)
        return list_envs(filter)
    return found


def known_ids() -> list[str]:
    """The ids of every engine, sorted."""
    return sorted({*gym.registry, *envpool_ids(), *mujoco_ids()})


def nearest_ids(wanted: str, count: int = 3) -> str:
    """A clause that offers the ids nearest to an unknown one, whatever its version, namespace or Atari variant.

    >>> nearest_ids("ALE/CartPole-v7", count=1)
    'did you mean CartPole-v1?'
    """
    cores: dict[str, list[str]] = {}
    for env_id in known_ids():
        cores.setdefault(_core(env_id), []).append(env_id)
    core = _core(wanted)
    near = [core, *difflib.get_close_matches(core, cores, n=count, cutoff=0.7)]
    if len(core) >= 4:
        near += [known for known in cores if core in known or (len(known) >= 4 and core.startswith(known))]
    found = [env_id for known in dict.fromkeys(near) for env_id in sorted(cores.get(known, []), key=_rank)]
    return f"did you mean {', '.join(found[:count])}?" if found else "jostle envs lists those that there are."


def unknown(env_id: str, engine: str = "") -> JostleError:
    """The error for an id that no engine, or not the one asked for, can make: what to install, or the nearest ids."""
    missing = missing_plugin(env_id)
    if missing:
        return EnvError(missing)
    where = f" on {engine}" if engine not in ("", "gymnasium") else ""
    return ConfigError(f"There is no environment {env_id}{where}{to_install('')}: {nearest_ids(env_id)}")


def to_install(env_id: str) -> str:
    """In brackets, the packages that are not installed and may have an id; nothing where all are."""
    missing = missing_plugin(env_id)
    if missing:
        return f" ({missing.rstrip('.')})"
    return "" if has_envpool() else f" (EnvPool's are not installed: {INSTALL})"


def _core(env_id: str) -> str:
    """The name without namespace, version and what older versions of Atari added to it, in small letters."""
    name = re.sub(r"-v\d+$", "", env_id.rpartition("/")[2].rpartition(":")[2])
    return re.sub(r"(NoFrameskip|Deterministic|-ram)+$", "", name).lower()


def _rank(env_id: str) -> tuple[bool, int, str]:
    """Ids without a namespace first, then the newest version."""
    version = re.search(r"-v(\d+)$", env_id)
    return "/" in env_id and not env_id.startswith("jostle/"), -int(version[1]) if version else 0, env_id


def registered(env_id: str) -> bool:
    """Whether Gymnasium can make the id. An id that names its module is believed until it is made."""
    return ":" in env_id or env_id in gym.registry


def engine_of(env_id: str) -> Literal["envpool", "gymnasium", "jostle", "mujoco"]:
    """The engine that "auto" takes for a known id."""
    if is_model(env_id) or (env_id.startswith("jostle/") and runs_here(env_id)):
        return "mujoco"
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
    if env_id not in known_ids() and not registered(env_id) and not runs_here(env_id):
        raise unknown(env_id)
    engine = engine_of(env_id)
    if engine == "envpool":
        return EnvDescription(env_id, engine, *pool_spaces(pool_spec(env_id), env_id), pool_options(env_id))
    if engine == "mujoco":
        runs = make_engine(env_id, 1, {})
        spaces_of = runs.single_observation_space, runs.single_action_space
        return EnvDescription(env_id, engine, *spaces_of, options_of_task(env_id))
    if engine == "jostle" or only_as_vector(env_id):
        vector = native(env_id, 1, None, {})
        vector.close()
        options = defaults_of(type(vector.unwrapped))
        return EnvDescription(env_id, engine, vector.single_observation_space, vector.single_action_space, options)
    env = one_env(env_id, None, {})
    require_env(env, env_id, 0)
    env.close()
    return EnvDescription(env_id, engine, env.observation_space, env.action_space, options_of(env_id))
