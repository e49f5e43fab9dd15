"""A suite of the user's own, from a YAML file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jostle.errors import ConfigError
from jostle.stress.condition import Condition, Suite
from jostle.stress.levels import levels_of
from jostle.stress.perturbation import Perturbation
from jostle.stress.physics.suites import grid, sweep
from jostle.stress.pictures import picture_layouts
from jostle.stress.procgen import training_levels
from jostle.stress.target import Target
from jostle.view import Success
from jostle.yaml_file import known_keys, read_yaml

_TOP = ("name", "about", "reference", "success", "conditions", "sweep", "grid")
_CONDITION = ("name", "env", "env_options", "perturbation", "seed_offset", "labels")


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

    or, of physics, one parameter at a time (``sweep``) or two against each other (``grid``):

        sweep: {pole.mass: [0.05, 0.1, 0.5], force: [5, 10, 20]}

    Raises:
        ConfigError: it cannot be read, or does not fit the environment.
    """
    data = known_keys(read_yaml(path, "suite"), _TOP, f"the suite {path}")
    made = [key for key in ("sweep", "grid") if key in data]
    if made:
        return _of_physics(data, made, path, target)
    entries = data.get("conditions")
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"the suite {path} needs a list of conditions, each with a name.")
    conditions = tuple(
        _condition(entry, f"condition {number} of {path}", target) for number, entry in enumerate(entries, 1)
    )
    rule = data.get("success")
    name = data.get("name")
    return Suite(
        path.stem if name is None else str(name),
        conditions,
        str(data.get("reference", conditions[0].name)),
        None if rule is None else Success.parse(str(rule)),
        str(data.get("about", "")),
        _levels(target, conditions, str(path)),
    )


def _of_physics(data: Mapping[str, Any], made: Sequence[str], path: Path, target: Target) -> Suite:
    """The conditions that ``sweep`` or ``grid`` stands for."""
    if len(made) > 1 or "conditions" in data or "reference" in data:
        raise ConfigError(f"{made[0]} of {path} makes the conditions itself: leave out {_besides(data, made[0])}.")
    values = _mapping(data[made[0]], f"{made[0]} of {path}")
    for name, several in values.items():
        if not isinstance(several, list) or not several or not all(type(v) in (int, float) for v in several):
            raise ConfigError(f"{name} in {made[0]} of {path} needs a list of numbers, such as [0.05, 0.1, 0.5].")
    if not values:
        raise ConfigError(f"{made[0]} of {path} names no parameter, such as {{pole.mass: [0.05, 0.1, 0.5]}}.")
    kind = {"sweep": sweep, "grid": grid}[made[0]]
    name = str(data.get("name") or path.stem)
    suite = kind(name, {str(k): [float(x) for x in v] for k, v in values.items()}, target)
    rule = data.get("success")
    return replace(
        suite,
        success=suite.success if rule is None else Success.parse(str(rule)),
        about=str(data.get("about", suite.about)),
    )


def _besides(data: Mapping[str, Any], kept: str) -> str:
    return ", ".join(key for key in ("sweep", "grid", "conditions", "reference") if key in data and key != kept)


def _condition(entry: Any, where: str, target: Target) -> Condition:
    given = known_keys(entry, _CONDITION, where)
    if not isinstance(given.get("name"), str) or not given["name"]:
        raise ConfigError(f"{where} needs a name, such as name: moon.")
    options = _mapping(given.get("env_options"), f"env_options of {where}")
    if given.get("env") is not None and not isinstance(given["env"], str):
        raise ConfigError(f"env of {where} must be the id of an environment, not {given['env']!r}.")
    labels = {str(key): str(value) for key, value in _mapping(given.get("labels"), f"labels of {where}").items()}
    perturbation = _perturbation(given.get("perturbation"), where, target)
    return Condition(given["name"], dict(options), given.get("env"), perturbation, given.get("seed_offset", 0), labels)


def _perturbation(data: Any, where: str, target: Target) -> Perturbation | None:
    if data is None:
        return None
    given = known_keys(data, ("kind", "strength"), f"perturbation of {where}")
    picture_layouts(target.observation_space, target.frame_stack, target.env)
    return Perturbation(str(given.get("kind")), given.get("strength", 3))


def _mapping(data: Any, where: str) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must be a mapping such as {{gravity: -1.6}}, not {data!r}.")
    return data


def _levels(target: Target, conditions: Sequence[Condition], suite: str) -> tuple[int, int] | None:
    """The levels of the training, where there are numbered ones.

    Raises:
        ConfigError: a condition is called unseen, and every level was trained on.
    """
    if not target.is_procgen:
        return None
    if any(condition.labels.get("layouts") == "unseen" for condition in conditions):
        return training_levels(target, suite)
    first, count = levels_of(target.options, "the training")
    return (first, count) if count else None
