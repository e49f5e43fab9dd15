"""What an agent starts from: environment and settings as they are given, or those of a preset."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from jostle import preset_files
from jostle.algo.settings import SAVED, Settings, merged, settings_of
from jostle.envs.domain import DOMAIN_OPTIONS
from jostle.envs.sources import EnvSource
from jostle.errors import ConfigError

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Start(Generic[S]):
    """An environment, how many of it, its options, and settings, all decided."""

    env: EnvSource
    num_envs: int | None
    """None: nobody says."""
    env_options: dict[str, Any] | None
    config: S


def starting(
    kind: type[S],
    env: EnvSource | None,
    config: S | Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    *,
    algorithm: str,
    preset: str | None,
    num_envs: int | None,
    env_options: Mapping[str, Any] | None,
    own: Sequence[str] = (),
) -> Start[S]:
    """What a constructor's arguments come to.

    A ``preset`` gives whatever is not given, its options of the environment key by key. Settings that come from a
    preset give the number of environments and their options where the environment is the preset's own.

    Args:
        own: settings that have an effect whatever the others say.

        settings: the algorithm's, and the options of the domain, which are the environment's.

    What is known to go wrong with settings that nobody has trained with yet is said in a warning.

    Raises:
        ConfigError: there is no environment or no such preset, the preset is another algorithm's, or a setting cannot
            be used or does nothing.
    """
    of_domain = {name: settings[name] for name in DOMAIN_OPTIONS if settings.get(name) is not None}
    settings = {name: value for name, value in settings.items() if name not in DOMAIN_OPTIONS}
    if preset is not None:
        if isinstance(config, Settings):
            raise ConfigError(f"preset='{preset}' and a whole config are two sets of settings: give one of them.")
        base = _settings_of_preset(kind, preset, algorithm)
        final = settings_of(kind, base, {**(config or {}), **settings})
    else:
        final = settings_of(kind, config, settings)
        base = config if isinstance(config, kind) else kind()
    final.refuse_idle(base if base.origin is not None else None, allowed=own)
    if final.origin != SAVED:
        for doubt in final.doubts():
            warnings.warn(doubt, stacklevel=3)
    known = preset_files.load(base.origin) if base.origin not in (None, SAVED) else {}
    env = known.get("env") if env is None else env
    if env is None:
        raise ConfigError("env=None is no environment: give a function that makes one, its id, or a preset.")
    if isinstance(env, str) and (preset is not None or env == known.get("env")):
        num_envs = known.get("num_envs") if num_envs is None else num_envs
        if preset is not None:
            env_options = {**(known.get("env_options") or {}), **(env_options or {})}
        elif env_options is None:
            env_options = known.get("env_options")
    options = None if env_options is None and not of_domain else {**(env_options or {}), **of_domain}
    return Start(env, num_envs, options, final)


def _settings_of_preset(kind: type[S], preset: str, algorithm: str) -> S:
    data = preset_files.load(preset)
    if data["algorithm"] != algorithm:
        name = data["algorithm"].upper()
        raise ConfigError(f"the preset '{preset}' is for {name}: use jostle.{name}(preset='{preset}') or jostle.train.")
    return merged(kind(), data["config"], origin=preset)
