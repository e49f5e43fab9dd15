"""Ids and options that a file names: making them must not import a module that nobody has vouched for.

What a user types or passes is his word, a plain text. What is read from a run's folder is `Claimed` until he says that
he trusts it; `make_env` makes it only where that imports nothing new.
"""

import importlib.util
import re
import sys
from typing import Any

from jostle.errors import ConfigError

PLUGINS = {"MiniGrid-": "minigrid", "BabyAI-": "minigrid", "ALE/": "ale_py"}
"""Packages that register their environments when they are imported, by the beginning of the id."""

_NAMED = re.compile(r"([^\W\d]\w*(?:\.\w+)*):[^\W\d][\w./-]*")  # module:Name-v0


class Claimed(str):
    """A text out of a file that may name a module."""

    __slots__ = ()


def claimed(value: Any, *, trust: bool = False) -> Any:
    """Plain data out of a file, with every text in it `Claimed`; as it is where the user trusts the file."""
    if trust or value is None:
        return value
    if isinstance(value, str):
        return Claimed(value)
    if isinstance(value, dict):
        return {key: claimed(part) for key, part in value.items()}
    return [claimed(part) for part in value] if isinstance(value, list) else value


def vouched_id(env_id: str) -> str:
    """The id as a plain text, if making it imports no module on the word of a file alone.

    Raises:
        ConfigError: it names a module that is neither imported nor a known package of environments.
    """
    if isinstance(env_id, Claimed) and ":" in env_id:
        module = env_id.partition(":")[0]
        if module not in sys.modules and module not in PLUGINS.values():
            raise _refusal(module, str(env_id))
    return str(env_id)


def vouched_options(value: Any) -> Any:
    """The same for an option's value: environments that make others take their ids as options.

    Raises:
        ConfigError: it names a module that could be imported, and is not.
    """
    if isinstance(value, dict):
        return {key: vouched_options(part) for key, part in value.items()}
    if isinstance(value, list):
        return [vouched_options(part) for part in value]
    if not isinstance(value, Claimed):
        return value
    named = _NAMED.fullmatch(value)
    if named and named[1] not in sys.modules and named[1] not in PLUGINS.values() and _there_is(named[1].split(".")[0]):
        raise _refusal(named[1], str(value))
    return str(value)


def _there_is(module: str) -> bool:
    """Whether the top-level module could be imported; nothing is imported to tell."""
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _refusal(module: str, name: str) -> ConfigError:
    return ConfigError(
        f"the folder names {name}, and to make it the module '{module}' would be imported and run: if you trust who "
        "wrote the folder, give --trust (trust=True), or import the module yourself."
    )
