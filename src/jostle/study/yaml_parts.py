"""Parts of a study's file, each checked with a sentence that says where it stands."""

from collections.abc import Mapping, Sequence
from typing import Any

from jostle.errors import ConfigError, closest


def mapping(value: Any, name: str, where: str) -> dict[str, Any]:
    """A mapping, or nothing."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} of {where} must be a mapping, not {value!r}.")
    return {str(key): part for key, part in value.items()}


def keys(data: Any, known: Sequence[str], where: str) -> dict[str, Any]:
    """A mapping that has no other keys than these."""
    found = mapping(data, where, "the file")
    for key in found:
        if key not in known:
            raise ConfigError(f"{where} has no '{key}'; {closest(key, known)}")
    return found


def seed_list(given: Any, what: str = "seeds", first: int = 0) -> list[int]:
    """A count, which begins at `first`, or the seeds themselves."""
    whole = isinstance(given, int) and not isinstance(given, bool)
    seeds = list(range(first, first + given)) if whole else given
    good = isinstance(seeds, list) and seeds and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not good or len(set(seeds)) < len(seeds):
        raise ConfigError(f"{what}={given!r} cannot be used: give how many, or a list of different whole numbers.")
    return list(seeds)


def whole_number(value: Any, what: str) -> int:
    """A whole number of at least 1; 1e5 is one."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not value >= 1 or value != int(value):
        raise ConfigError(f"{what}={value!r} cannot be used: give a whole number of at least 1.")
    return int(value)


def file_name(name: object, what: str) -> None:
    """Names are those of folders."""
    text = name if isinstance(name, str) else ""
    if not text.strip(" .") or not text.isprintable() or set(text) & set('/\\:*?"<>|') or len(text) > 120:
        raise ConfigError(f"{what} cannot be called {name!r}: its folder would be; use letters, digits, - and _.")
