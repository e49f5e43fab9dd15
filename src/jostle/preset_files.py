"""The files of the presets, read as plain data; `jostle.presets` is their public face."""

from pathlib import Path
from typing import Any

from jostle.errors import ConfigError, closest
from jostle.yaml_text import parse_yaml

_FOLDER = Path(__file__).parent / "presets"


def names() -> list[str]:
    """The names of all presets."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def text(name: str) -> str:
    """The YAML of a preset with its comments, which name the sources.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in names():
        raise ConfigError(f"there is no preset '{name}'; {closest(str(name), names())}")
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def describe(name: str) -> str:
    """What a preset is, in one line: the first comment of its file."""
    return text(name).splitlines()[0].removeprefix("#").strip()


def load(name: str) -> dict[str, Any]:
    """A preset as plain data: algorithm, env, num_envs, env_options, config, training.

    Raises:
        ConfigError: there is no such preset.
    """
    data: dict[str, Any] = parse_yaml(text(name))
    return data
