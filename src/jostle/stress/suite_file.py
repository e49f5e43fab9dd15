"""A suite of the user's own, from a YAML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jostle.errors import ConfigError
from jostle.stress.condition import Condition, Suite
from jostle.stress.perturbation import Perturbation
from jostle.stress.pictures import picture_layout
from jostle.stress.target import Target
from jostle.stress.yaml_file import known_keys, read_yaml
from jostle.view import Success

_TOP = ("name", "about", "reference", "success", "conditions")
_CONDITION = ("name", "env", "env_options", "perturbation", "seed_offset", "labels")
_RESERVED = ("seed", "num_envs", "render_mode", "id")


def read_suite(path: Path, target: Target) -> Suite:
    """A suite from a file such as

        reference: earth            # seen in training; the first condition unless given
        success: return >= 195      # or: info KEY
        conditions:
          - name: earth
          - name: moon
            env_options: {gravity: -1.6}
          - name: noisy
            perturbation: {kind: noise, strength: 3}

    Raises:
        ConfigError: it cannot be read, or does not fit the environment.
    """
    data = known_keys(read_yaml(path, "suite"), _TOP, f"the suite {path}")
    entries = data.get("conditions")
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"the suite {path} needs a list of conditions, each with a name.")
    conditions = tuple(
        _condition(entry, f"condition {number} of {path}", target) for number, entry in enumerate(entries, 1)
    )
    rule = data.get("success")
    return Suite(
        str(data.get("name", path.stem)),
        conditions,
        str(data.get("reference", conditions[0].name)),
        None if rule is None else Success.parse(str(rule)),
        str(data.get("about", "")),
        _levels(target),
    )


def _condition(entry: Any, where: str, target: Target) -> Condition:
    given = known_keys(entry, _CONDITION, where)
    if not isinstance(given.get("name"), str) or not given["name"]:
        raise ConfigError(f"{where} needs a name, such as name: moon.")
    options = _mapping(given.get("env_options"), f"env_options of {where}")
    for key in _RESERVED:
        if key in options:
            raise ConfigError(f"{key} cannot stand in env_options of {where}: the test sets it itself.")
    offset = given.get("seed_offset", 0)
    if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        raise ConfigError(f"seed_offset={offset!r} of {where} cannot be used: it must be a whole number of 0 or more.")
    if given.get("env") is not None and not isinstance(given["env"], str):
        raise ConfigError(f"env of {where} must be the id of an environment, not {given['env']!r}.")
    labels = {str(key): str(value) for key, value in _mapping(given.get("labels"), f"labels of {where}").items()}
    perturbation = _perturbation(given.get("perturbation"), where, target)
    return Condition(given["name"], dict(options), given.get("env"), perturbation, offset, labels)


def _perturbation(data: Any, where: str, target: Target) -> Perturbation | None:
    if data is None:
        return None
    given = known_keys(data, ("kind", "strength"), f"perturbation of {where}")
    picture_layout(target.observation_space, target.frame_stack, target.env)
    return Perturbation(str(given.get("kind")), given.get("strength", 3))


def _mapping(data: Any, where: str) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must be a mapping such as {{gravity: -1.6}}, not {data!r}.")
    return data


def _levels(target: Target) -> tuple[int, int] | None:
    """The levels of the training, where there are numbered ones."""
    count = int(target.options.get("num_levels", 0)) if target.is_procgen else 0
    return (int(target.options.get("start_level", 0)), count) if count else None
