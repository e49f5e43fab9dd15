"""The diagnostic environments' names: `jostle/DeepSea-v0` and `jostle/ThemedCatch-v0`, single and vectorised."""

import inspect
from typing import Any

from jostle.envs.diagnostics.deep_sea import DeepSeaEnv, DeepSeaVectorEnv
from jostle.envs.diagnostics.themed.game import ThemedCatchEnv, ThemedCatchVectorEnv
from jostle.errors import ConfigError, closest
from jostle.registration import DEEP_SEA, THEMED_CATCH

__all__ = [
    "DEEP_SEA",
    "THEMED_CATCH",
    "make_deep_sea",
    "make_deep_sea_vector",
    "make_themed_catch",
    "make_themed_catch_vector",
]


def make_deep_sea(**options: Any) -> DeepSeaEnv:
    """One DeepSea; unknown options are refused by name."""
    _refuse_unknown(DEEP_SEA, DeepSeaVectorEnv, options)
    return DeepSeaEnv(**options)


def make_deep_sea_vector(num_envs: int = 1, **options: Any) -> DeepSeaVectorEnv:
    """`num_envs` DeepSeas; unknown options are refused by name."""
    _refuse_unknown(DEEP_SEA, DeepSeaVectorEnv, options)
    return DeepSeaVectorEnv(num_envs, **options)


def make_themed_catch(**options: Any) -> ThemedCatchEnv:
    """One themed catching game; unknown options are refused by name."""
    _refuse_unknown(THEMED_CATCH, ThemedCatchVectorEnv, options)
    return ThemedCatchEnv(**options)


def make_themed_catch_vector(num_envs: int = 1, **options: Any) -> ThemedCatchVectorEnv:
    """`num_envs` themed catching games; unknown options are refused by name."""
    _refuse_unknown(THEMED_CATCH, ThemedCatchVectorEnv, options)
    return ThemedCatchVectorEnv(num_envs, **options)


def _refuse_unknown(env_id: str, vector: type[Any], options: dict[str, Any]) -> None:
    known = [name for name in inspect.signature(vector).parameters if name != "num_envs"]
    for name in options:
        if name not in known:
            raise ConfigError(f"{env_id} has no option {name!r}; {closest(name, known)}")
