"""YAML files that a user writes, with every key known."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from jostle.errors import ConfigError, closest
from jostle.yaml_text import parse_yaml


def read_yaml(path: Path, what: str) -> Any:
    """Plain data from a file.

    Raises:
        ConfigError: it cannot be read, or is no YAML.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
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
