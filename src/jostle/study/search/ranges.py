"""What a setting may be while it is searched for, and a value of it by chance."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jostle.errors import ConfigError
from jostle.study.yaml_parts import keys

KINDS = ("uniform", "log_uniform", "integer", "choices")


@dataclass(frozen=True)
class Range:
    """Values of a setting.

    Attributes:
        kind: ``uniform``, ``log_uniform`` or ``integer`` between two ends, both included; or one of ``choices``.
        given: the two ends, or the choices.
    """

    kind: str
    given: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """What must be a possible setting for all of the range to be: the two ends, or every choice."""
        return self.given

    def at(self, u: float) -> Any:
        """The value at a share u ∈ [0, 1) of the range.

        Real numbers have four digits, so that every machine means the same ones.

        >>> Range("log_uniform", (1e-4, 1e-2)).at(0.5), Range("integer", (1, 3)).at(0.99)
        (0.001, 3)
        """
        if self.kind == "choices":
            return self.given[int(u * len(self.given))]
        low, high = self.given
        if self.kind == "integer":
            return int(low + math.floor(u * (high - low + 1)))
        return self.within(low * (high / low) ** u if self.kind == "log_uniform" else low + u * (high - low))

    def within(self, value: float) -> float:
        """A real number of the range, to four digits."""
        low, high = self.given
        return min(max(float(f"{value:.4g}"), float(low)), float(high))

    def as_dict(self) -> dict[str, Any]:
        """As a study's file has it."""
        return {self.kind: list(self.given)}


def read_ranges(data: Mapping[str, Any], where: str) -> dict[str, Range]:
    """Ranges by the names of their settings.

    Raises:
        ConfigError: what is given is no range.
    """
    return {name: _read(value, f"{name} in {where}") for name, value in data.items()}


def by_chance(ranges: Mapping[str, Range], seed: int, trial: int) -> dict[str, Any]:
    """The settings of a trial of random search.

    A setting's value depends on its name, the seed and the trial alone: more trials or more settings change no other
    value, and methods that share a range are tried at the same values.
    """
    return {
        name: each.at(np.random.default_rng([seed, trial, _number(name)]).random()) for name, each in ranges.items()
    }


def _read(value: Any, where: str) -> Range:
    found = keys(value, KINDS, where)
    shown = "{uniform: [0, 1]}, {log_uniform: [1e-4, 1e-2]}, {integer: [1, 8]} or {choices: [a, b]}"
    if len(found) != 1:
        raise ConfigError(f"{where} is no range: write {shown}.")
    ((kind, given),) = found.items()
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where} is no range ({given!r}): write {shown}.")
    if kind == "choices":
        return Range(kind, tuple(given))
    right = int if kind == "integer" else (int, float)
    good = len(given) == 2 and all(isinstance(end, right) and not isinstance(end, bool) for end in given)
    if not good or not -math.inf < given[0] < given[1] < math.inf or (kind == "log_uniform" and given[0] <= 0):
        what = {"integer": "whole numbers", "log_uniform": "numbers above 0"}.get(kind, "numbers")
        raise ConfigError(f"{where} is no range ({given!r}): give two {what}, the lower one first.")
    return Range(kind, tuple(given))


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
