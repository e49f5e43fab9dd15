"""YAML files that a user writes, with every key known."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from jostle.errors import ConfigError, closest


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes 5e-4 for a text; people don't."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path, what: str) -> Any:
    """Plain data from a file.

    Raises:
        ConfigError: it cannot be read, or is no YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"the {what} {path} cannot be read ({why}): give the path of a YAML file.") from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"the {what} {path} is no YAML ({' '.join(str(error).split())}): correct it there."
        ) from error


def known_keys(data: Any, keys: Iterable[str], where: str) -> Mapping[str, Any]:
    """The data as a mapping with no other keys than these.

    Raises:
        ConfigError: it is no mapping, or has another key.
    """
    keys = list(keys)
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must be a mapping with the keys {', '.join(keys)}, not {data!r}.")
    for key in data:
        if key not in keys:
            raise ConfigError(f"there is no key '{key}' in {where}; {closest(str(key), keys)}")
    return data
