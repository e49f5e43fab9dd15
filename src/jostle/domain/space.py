"""A space: the parameters of an environment's domain, and draws from them by key."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain.checks import resolved
from jostle.domain.correlation import Correlated
from jostle.domain.counter_rng import open_uniform, random_bits
from jostle.domain.distributions import Distribution, stacked
from jostle.domain.parameter import Parameter
from jostle.domain.quantity import Quantity
from jostle.domain.reading import read_space
from jostle.domain.table import text_table
from jostle.errors import ConfigError, closest

Bounds = Float64[np.ndarray, "R P"]
_PURPOSE = 0x646F6D61
"""Keeps these draws apart from an environment's own of the same seed."""


class Draw(NamedTuple):
    """What was drawn for R rows, one row an episode of an environment."""

    values: Float64[np.ndarray, "R P"]
    log_density: Float64[np.ndarray, "R"]
    """Of the numbers drawn, before the operation, under what they were drawn from; pinned numbers count as sure."""


class Space:
    """Parameters, some of them correlated, with draws keyed by (seed, environment, episode).

    A draw depends on its key and on the parameter's name alone: neither on the number or order of environments, nor on
    the other parameters.

    Args:
        parameters: each of another quantity.
        correlated: groups of them, each parameter in one at most.

    Raises:
        ConfigError: a parameter that stands twice, or a group that cannot be.
    """

    def __init__(self, parameters: Iterable[Parameter] = (), correlated: Iterable[Correlated] = ()) -> None:
        self.parameters, self.correlated = tuple(parameters), tuple(correlated)
        self.names = tuple(p.name for p in self.parameters)
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise ConfigError(
                f"the parameter {twice[0]} stands twice in the space, and only one of them could hold: leave one out."
            )
        self._check_groups()
        keys = [hashlib.blake2b(name.encode(), digest_size=7).digest() for name in self.names]
        self._keys = np.array([int.from_bytes(key, "little") for key in keys], np.int64)
        self.movable = np.array([p.movable for p in self.parameters], np.bool_)
        self._starts = np.array([p.when == "start" for p in self.parameters], np.bool_)
        self._within = [i for i, p in enumerate(self.parameters) if p.when in ("interval", "step")]
        support = [self._support(p) for p in self.parameters]
        self.low = np.array([s[0] for s in support], np.float64)
        self.high = np.array([s[1] for s in support], np.float64)

    @classmethod
    def load(cls, given: "str | Path | Mapping[str, Any] | Space") -> "Space":
        """A space from a YAML file, YAML's data, or a space itself; see `docs/domain-randomisation.md` for the form.

        Raises:
            ConfigError: the file cannot be read, or says something that cannot be.
        """
        return given if isinstance(given, Space) else cls(*read_space(given))

    def data(self) -> dict[str, Any]:
        """The space as plain data that `load` reads."""
        data: dict[str, Any] = {"parameters": {p.name: p.data() for p in self.parameters}}
        return data | ({"correlated": [group.data() for group in self.correlated]} if self.correlated else {})

    def bind(self, quantities: Mapping[str, Quantity], of: str = "the environment") -> "Bound":
        """The space over what an environment offers, checked.

        Raises:
            ConfigError: an unknown quantity, or values that it cannot have.
        """
        return Bound(self, quantities, of)

    def draw(
        self,
        seed: int,
        envs: Int64[np.ndarray, "R"],
        episodes: Int64[np.ndarray, "R"],
        steps: Int64[np.ndarray, "R"] | None = None,
        *,
        low: Bounds | None = None,
        high: Bounds | None = None,
    ) -> Draw:
        """Draws of R rows, before the operation on the nominal value.

        Args:
            seed: of the training.
            envs, episodes: which environment, and which of its episodes.
            steps: steps of the episode so far, for what is drawn within episodes; None: 0.
            low, high: draw from the distributions as they are between these, continuous ones alone; equal: that value.
        """
        u = self._uniform(seed, envs, episodes, np.zeros_like(episodes) if steps is None else steps)
        values = np.empty_like(u)
        for at, law in self._columns:
            if low is None or high is None or not law.continuous:
                values[:, at] = law.quantile(u[:, at])
                continue
            below, above = law.cdf(low[:, at]), law.cdf(high[:, at])
            inner = law.quantile(np.clip(below + u[:, at] * (above - below), 2.0**-54, 1 - 2.0**-53))
            values[:, at] = np.clip(inner, low[:, at], high[:, at])
        return Draw(values, self.log_density(values, low=low, high=high))

    def log_density(
        self, values: Float64[np.ndarray, "R P"], *, low: Bounds | None = None, high: Bounds | None = None
    ) -> Float64[np.ndarray, "R"]:
        """Log density of numbers (before the operation), within bounds as in `draw`."""
        total = np.zeros(len(values))
        u, free = np.zeros_like(values), np.zeros(values.shape, np.bool_)
        for at, law in self._columns:
            x = values[:, at]
            if not law.continuous or low is None or high is None:
                total += law.log_density(x).sum(1)
                free[:, at] = law.continuous
                if self.correlated:
                    u[:, at] = law.cdf(x)
                continue
            a, b = low[:, at], high[:, at]
            below, mass = law.cdf(a), law.cdf(b) - law.cdf(a)
            free[:, at] = (b > a) & (mass > 0)
            safe = np.where(free[:, at], mass, 1.0)
            inside = (x >= a) & (x <= b)
            term = np.where(inside, np.where(free[:, at], law.log_density(x) - np.log(safe), 0.0), -np.inf)
            total += term.sum(1)
            u[:, at] = (law.cdf(x) - below) / safe
        for members, group in self._groups:
            total += group.log_density(u[:, members], free[:, members])
        return total

    def entropy(self) -> float:
        """Entropy of a draw in nats, of continuous and single-valued parameters added up."""
        return sum(p.distribution.entropy() for p in self.parameters) + sum(g.entropy() for g in self.correlated)

    def position(self, values: Float64[np.ndarray, "R P"]) -> Float64[np.ndarray, "R P"]:
        """Where drawn numbers lie in their ranges, −1 to 1: what a network is told of a draw."""
        columns = [p.distribution.position(values[:, i]) for i, p in enumerate(self.parameters)]
        return np.stack(columns, 1) if columns else np.zeros((len(values), 0))

    def __len__(self) -> int:
        return len(self.parameters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and (self.parameters, self.correlated) == (other.parameters, other.correlated)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return text_table(self.parameters, self.correlated)

    def _uniform(
        self, seed: int, envs: Int64[np.ndarray, "R"], episodes: Int64[np.ndarray, "R"], steps: Int64[np.ndarray, "R"]
    ) -> Float64[np.ndarray, "R P"]:
        """Numbers in (0, 1) by (seed, environment, episode, draw of the episode, parameter)."""
        if not self.parameters:
            return np.zeros((len(envs), 0))
        episode = np.where(self._starts, 0, episodes[:, None])
        tick = np.zeros((len(envs), len(self.parameters)), np.int64)
        for i in self._within:
            tick[:, i] = self.parameters[i].ticks(steps)
        u = open_uniform(random_bits(seed, _PURPOSE, envs[:, None], episode, tick, self._keys))
        for members, group in self._groups:
            u[:, members] = group.join(u[:, members])
        return u

    @cached_property
    def _columns(self) -> list[tuple[list[int], Distribution]]:
        return self.columns(range(len(self.parameters)))

    def columns(self, which: Iterable[int]) -> list[tuple[list[int], Distribution]]:
        """The distributions of some parameters, each with its columns: all uniform ones together, and all log-uniform
        ones, so that many parameters cost little more than one."""
        found: list[tuple[list[int], Distribution]] = []
        laws = {int(i): self.parameters[int(i)].distribution for i in which}
        for kind in dict.fromkeys(type(law) for law in laws.values()):
            at = [i for i, law in laws.items() if type(law) is kind]
            together = stacked([laws[i] for i in at])
            found += [([i], laws[i]) for i in at] if together is None else [(at, together)]
        return found

    @cached_property
    def _groups(self) -> list[tuple[list[int], Correlated]]:
        return [([self.names.index(name) for name in group.names], group) for group in self.correlated]

    def _check_groups(self) -> None:
        for name in itertools.chain.from_iterable(group.names for group in self.correlated):
            if name not in self.names:
                raise ConfigError(f"{name} is correlated and no parameter of the space; {closest(name, self.names)}")
            if sum(name in group.names for group in self.correlated) > 1:
                raise ConfigError(f"the parameter {name} stands in two correlated groups: join them into one.")
        for members, group in self._groups:
            chosen: Sequence[Parameter] = [self.parameters[i] for i in members]
            for p in chosen:
                if not p.distribution.continuous:
                    raise ConfigError(f"{p.name} is {p.distribution.kind} and cannot be correlated: leave it out.")
            if len({(p.when, p.interval) for p in chosen}) > 1:
                raise ConfigError(f"{', '.join(group.names)} are correlated and must be drawn at the same times.")

    @staticmethod
    def _support(parameter: Parameter) -> tuple[float, float]:
        return parameter.distribution.support if parameter.distribution.continuous else (np.nan, np.nan)


class Bound:
    """A space bound to quantities.

    Args:
        space: what varies; names of choices become their numbers.
        quantities: what can vary, by name.
        of: the environment's name, for messages.

    Attributes:
        space: the space, with numbers only.
        nominal: the quantities' nominal values [P].
        neutral: the draws that leave them [P].

    Raises:
        ConfigError: an unknown quantity, or values that it cannot have.
    """

    def __init__(self, space: Space, quantities: Mapping[str, Quantity], of: str) -> None:
        bound = [resolved(p, quantities, of) for p in space.parameters]
        self.space, self.of = Space(bound, space.correlated), of
        self.quantities = tuple(quantities[p.name] for p in bound)
        self.names = self.space.names
        self.nominal = np.array([q.nominal for q in self.quantities], np.float64)
        self._least = np.array([q.low for q in self.quantities], np.float64)
        self._most = np.array([q.high for q in self.quantities], np.float64)
        scaled = np.array([p.operation == "scale" for p in bound], np.bool_)
        shifted = np.array([p.operation == "offset" for p in bound], np.bool_)
        self._factor = np.where(scaled, self.nominal, 1.0)
        self._shift = np.where(shifted, self.nominal, 0.0)
        pairs = zip(bound, self.quantities, strict=True)
        self.neutral = np.array([p.neutral(q.nominal) for p, q in pairs], np.float64)

    def draw(
        self,
        seed: int,
        envs: Int64[np.ndarray, "R"],
        episodes: Int64[np.ndarray, "R"],
        steps: Int64[np.ndarray, "R"] | None = None,
        *,
        low: Bounds | None = None,
        high: Bounds | None = None,
    ) -> Draw:
        """As `Space.draw`, with the operations applied: values in the quantities' units."""
        drawn = self.space.draw(seed, envs, episodes, steps, low=low, high=high)
        return Draw(self.values(drawn.values), drawn.log_density)

    def values(self, drawn: Float64[np.ndarray, "R P"]) -> Float64[np.ndarray, "R P"]:
        """What becomes of drawn numbers, in the quantities' units, never beyond their bounds by a rounding."""
        return np.asarray(np.clip(self._factor * drawn + self._shift, self._least, self._most))

    def drawn(self, values: Float64[np.ndarray, "R P"]) -> Float64[np.ndarray, "R P"]:
        """The draws that make values: the inverse of `values`."""
        return np.asarray((values - self._shift) / self._factor)

    def by_name(self, values: Float64[np.ndarray, "R P"]) -> dict[str, Float64[np.ndarray, "R"]]:
        """Values as `World.set_quantities` takes them."""
        return {name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(self.names)}

    def position(self, values: Float64[np.ndarray, "R P"]) -> Float64[np.ndarray, "R P"]:
        """Where values lie in their ranges, −1 to 1 (`Space.position`)."""
        return self.space.position(self.drawn(values))

    def __len__(self) -> int:
        return len(self.space)

    def __str__(self) -> str:
        return text_table(self.space.parameters, self.space.correlated, self.quantities)
