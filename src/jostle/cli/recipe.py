"""What to train, from three places: a preset, a configuration file, and flags, each of which overrides the one before.

A configuration file has the shape of a run folder's config.yaml, so that a run's own file trains that run again.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from jostle import presets
from jostle.errors import ConfigError, closest
from jostle.plain import as_count
from jostle.yaml_text import parse_yaml

TOP = ("jostle", "algorithm", "env", "num_envs", "env_options", "seed", "config", "training")
TRAINING = (
    "total", "log_every", "checkpoint_every", "save_replay", "keep", "schedules_from",
    "eval_every", "eval_episodes", "eval_noise", "eval_env", "eval_env_options",
    "eval_domain",
)  # fmt: skip
_SECTIONS = ("env_options", "config", "training")
_ELSEWHERE = {
    "id": "say which environment with --env, or env in a file",
    "num_envs": "give --num-envs, or num_envs in a file",
    "seed": "give --seed, or seed in a file",
    "render_mode": "nothing is drawn in training, and `jostle watch` draws by itself",
}
"""Arguments of `make_env` that are no options, each with where they belong."""
_TYPES: dict[str, tuple[Any, str]] = {
    "env": (str, "a text"),
    "num_envs": (int, "a whole number"),
    "seed": (int, "a whole number"),
    "total": (int, "a whole number"),
    "log_every": (int, "a whole number"),
    "checkpoint_every": (int, "a whole number"),
    "save_replay": (bool, "true or false"),
    "keep": (int, "a whole number"),
    "schedules_from": (int, "a whole number"),
    "eval_every": (int, "a whole number"),
    "eval_episodes": (int, "a whole number"),
    "eval_noise": (str, "a text"),
    "eval_env": (str, "a text"),
    "eval_env_options": (dict, "a mapping"),
    "eval_domain": ((str, dict), "train, nominal, a file or a domain"),
}


def read_config(path: Path, algorithm: str = "dqn") -> dict[str, Any]:
    """A configuration file, checked.

    Raises:
        ConfigError: it cannot be read, is no YAML, holds an unknown key or a value of the wrong type.
    """
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"the configuration {path} cannot be read ({why}): give the path of a YAML file") from error
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise ConfigError(f"the configuration {path} is no YAML ({why}): correct it there") from error
    return checked(data, str(path), algorithm)


def checked(data: Any, source: str, algorithm: str = "dqn") -> dict[str, Any]:
    """The data of a configuration, with every key known and every value outside ``config`` of the right type.

    Raises:
        ConfigError: it is not so; ``source`` says where.
    """
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"the configuration {source} must be a mapping with keys such as env and config.")
    _known(data, TOP, source, "")
    for section in _SECTIONS:
        inner = data.get(section)
        if inner is None:
            continue
        if not isinstance(inner, dict):
            raise ConfigError(f"'{section}' in {source} must be a mapping, not {inner!r}.")
    _known(data.get("training") or {}, TRAINING, source, "training")
    for key in data.get("env_options") or {}:
        _check_option(key, f"'env_options' of {source}")
    found = _counted(data)
    if found.get("training"):
        found["training"] = _counted(found["training"])
    for key, value in [*found.items(), *(found.get("training") or {}).items()]:
        kind, name = _TYPES.get(key, (object, ""))
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise ConfigError(f"{key}={value!r} in {source} cannot be used: it must be {name}.")
    if found.get("algorithm", algorithm) != algorithm:
        raise ConfigError(f"{source} is for the algorithm '{found['algorithm']}', not {algorithm}: train that one.")
    _check_settings(found.get("config") or {}, source, algorithm)
    return found


def _counted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Whole numbers that were written 1e5 as such."""
    return {key: as_count(value) if _TYPES.get(key, (object,))[0] is int else value for key, value in values.items()}


def _known(data: Mapping[Any, Any], keys: Iterable[str], source: str, section: str) -> None:
    keys = list(keys)
    for key in data:
        if key not in keys:
            where = f"'{section}' of {source}" if section else source
            raise ConfigError(f"there is no key '{key}' in {where}; {closest(str(key), keys)}")


def _check_option(key: Any, source: str) -> None:
    if not isinstance(key, str):
        raise ConfigError(f"the option {key!r} in {source} is no name: write key: value, such as size: 10.")
    if key in _ELSEWHERE:
        raise ConfigError(f"{key} cannot stand in {source}: {_ELSEWHERE[key]}.")


def _check_settings(values: Mapping[str, Any], source: str, algorithm: str) -> None:
    from jostle.algo import AGENTS
    from jostle.algo.settings import merged

    try:
        merged(AGENTS[algorithm].settings(), values)
    except ConfigError as error:
        raise ConfigError(f"{error} (in {source})") from error


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the keys of ``over`` in front; the sections are merged key by key, and None says nothing."""
    out = {**base, **{key: value for key, value in over.items() if value is not None and key not in _SECTIONS}}
    for section in _SECTIONS:
        out[section] = {**(base.get(section) or {}), **(over.get(section) or {})}
    return out


def starting_point(preset: str | None, config: Path | None, algorithm: str = "dqn") -> dict[str, Any]:
    """What the flags start from: the configuration file over the preset.

    Raises:
        ConfigError: an unknown preset, or a file that cannot be used.
    """
    base = overlay({}, presets.load(preset) if preset is not None else {})
    if base.get("algorithm", algorithm) != algorithm:
        raise ConfigError(
            f"the preset '{preset}' is for {base['algorithm']}: jostle train {base['algorithm']} --preset {preset}"
        )
    return overlay(base, read_config(config, algorithm)) if config is not None else base


def parse_options(pairs: Iterable[str], flag: str = "--env-options") -> dict[str, Any]:
    """Options of an environment from ``key=value`` words; values are read as YAML (3, 0.5, true, text, [1, 2]).

    >>> parse_options(["size=10", "deterministic=false"])
    {'size': 10, 'deterministic': False}

    Raises:
        ConfigError: a word without "=", or a value that is no YAML.
    """
    out = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.isidentifier():
            raise ConfigError(f"'{pair}' is no option of an environment: write key=value, such as size=10.")
        _check_option(key, flag)
        try:
            out[key] = parse_yaml(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"the value of '{pair}' cannot be read: quote it, as in '{key}=\"{value}\"'.") from error
    return out
