"""A space from a YAML file or its data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jostle.domain.correlation import Correlated
from jostle.domain.distributions import KINDS, Constant, Distribution, Uniform, from_data
from jostle.domain.parameter import Parameter
from jostle.errors import ConfigError, closest
from jostle.yaml_file import known_keys, read_yaml
from jostle.yaml_text import plain

_MORE = ("operation", "when", "interval")


def read_space(given: str | Path | Mapping[str, Any]) -> tuple[list[Parameter], list[Correlated]]:
    """The parameters and groups of a space, from a file or from data.

    Raises:
        ConfigError: the file cannot be read, or says something that cannot be.
    """
    if isinstance(given, Mapping):
        where, data = "the domain", plain(dict(given))
    elif isinstance(given, str | Path):
        where, data = f"the domain {given}", read_yaml(Path(given), "domain")
    else:
        raise ConfigError(f"a domain is a Space, a YAML file or a mapping, not {given!r}.")
    if isinstance(data, Mapping) and "parameters" not in data and "correlated" not in data:
        data = {"parameters": data}  # the short form: parameters alone
    data = known_keys(data, ("parameters", "correlated"), where)
    parameters = data.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise ConfigError(f"parameters in {where} must be a mapping from names to what is drawn, not {parameters!r}.")
    groups = data.get("correlated") or []
    if not isinstance(groups, Sequence) or isinstance(groups, str):
        raise ConfigError(f"correlated in {where} must be a list of groups, not {groups!r}.")
    made = [_parameter(str(name), value, where) for name, value in parameters.items()]
    return made, [_group(group, where) for group in groups]


def _parameter(name: str, data: Any, where: str) -> Parameter:
    """``name: {uniform: [0.5, 2], operation: scale}``, ``name: [0.5, 2]`` or ``name: 1.5``."""
    here = f"{name} in {where}"
    try:
        if not isinstance(data, Mapping):
            return Parameter(name, _short(data))
        kinds = [key for key in data if key in KINDS]
        unknown = [str(key) for key in data if key not in KINDS and key not in _MORE]
        if unknown:
            raise ConfigError(f"there is no key '{unknown[0]}'; {closest(unknown[0], [*KINDS, *_MORE])}")
        if len(kinds) != 1:
            raise ConfigError(f"it needs one distribution ({', '.join(KINDS)}), and has {len(kinds)}")
        more = {key: data[key] for key in _MORE if key in data}
        return Parameter(name, from_data(kinds[0], data[kinds[0]]), **more)
    except ConfigError as error:
        raise ConfigError(f"{here}: {error}") from error


def _short(data: Any) -> Distribution:
    if isinstance(data, int | float) and not isinstance(data, bool):
        return Constant(float(data))
    if isinstance(data, list | tuple) and len(data) == 2:
        made = from_data("uniform", data)
        assert isinstance(made, Uniform)
        return made
    raise ConfigError(
        f"{data!r} says no distribution: give a mapping such as {{uniform: [0.5, 2]}}, two bounds, or one number."
    )


def _group(data: Any, where: str) -> Correlated:
    data = known_keys(data, ("names", "correlation"), f"correlated in {where}")
    names, correlation = data.get("names"), data.get("correlation")
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise ConfigError(f"names of correlated in {where} must be a list of parameters, not {names!r}.")
    if isinstance(correlation, bool):
        correlation = None
    try:
        if isinstance(correlation, int | float):
            return Correlated(tuple(names), float(correlation))
        if isinstance(correlation, list | tuple):
            return Correlated(tuple(names), tuple(tuple(float(v) for v in row) for row in correlation))
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
    raise ConfigError(f"correlation in {where} must be a number or a matrix of numbers, not {correlation!r}.")
