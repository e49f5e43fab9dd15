"""Distributions of one number: quantile function, cumulative probability, log density, support and entropy.

Sampling is the quantile of a uniform number, so that a draw is a function of its key (`counter_rng`) and a range can be
narrowed without drawing anew. Everything is vectorised over arrays of any shape; entropies are in nats. SciPy's special
functions are imported where they are used, because making an environment needs none of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from jostle.errors import ConfigError

Array = Float64[np.ndarray, "*shape"]
_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


@runtime_checkable
class Distribution(Protocol):
    """What a parameter is drawn from."""

    kind: ClassVar[str]
    """Its name in files."""
    continuous: ClassVar[bool]
    """It has a density and a range that can be narrowed and widened; else probabilities of single values."""

    @property
    def support(self) -> tuple[float, float]:
        """The least and the greatest value."""
        ...

    def quantile(self, u: Array) -> Array:
        """The value below which a share u of the draws lies, for u in (0, 1)."""
        ...

    def cdf(self, x: Array) -> Array:
        """The share of the draws that are x or less; 0 and 1 outside the support."""
        ...

    def log_density(self, x: Array) -> Array:
        """Natural logarithm of the density at x (of the probability, where values are single); −∞ outside."""
        ...

    def entropy(self) -> float:
        """Differential entropy in nats (entropy, where values are single)."""
        ...

    def position(self, x: Array) -> Array:
        """Where x lies in the range, as a number that suits a network: −1 at the low end, 1 at the high one."""
        ...

    def data(self) -> Any:
        """What stands behind `kind` in a file."""
        ...


@dataclass(frozen=True)
class Uniform:
    """All values from low to high alike."""

    low: float
    high: float
    kind: ClassVar[str] = "uniform"
    continuous: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _need_range(self.kind, self.low, self.high)

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def quantile(self, u: Array) -> Array:
        return self.low + u * (self.high - self.low)

    def cdf(self, x: Array) -> Array:
        return np.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)

    def log_density(self, x: Array) -> Array:
        return np.where(_within(x, self.low, self.high), -np.log(self.high - self.low), -np.inf)

    def entropy(self) -> float:
        return math.log(self.high - self.low)

    def position(self, x: Array) -> Array:
        return 2 * (x - self.low) / (self.high - self.low) - 1

    def data(self) -> Any:
        return [self.low, self.high]


@dataclass(frozen=True)
class LogUniform:
    """All orders of magnitude from low to high alike: the logarithm is uniform."""

    low: float
    high: float
    kind: ClassVar[str] = "log_uniform"
    continuous: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _need_range(self.kind, self.low, self.high)
        if self.low <= 0:
            raise ConfigError(f"log_uniform from {self.low:g} cannot be drawn from: its low end must be above 0.")

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def _width(self) -> Any:
        return np.log(self.high) - np.log(self.low)

    def quantile(self, u: Array) -> Array:
        return np.asarray(np.clip(np.exp(np.log(self.low) + u * self._width), self.low, self.high))

    def cdf(self, x: Array) -> Array:
        return np.asarray((np.log(np.clip(x, self.low, self.high)) - np.log(self.low)) / self._width)

    def log_density(self, x: Array) -> Array:
        inside = _within(x, self.low, self.high)
        return np.where(inside, -np.log(np.where(inside, x, 1.0)) - np.log(self._width), -np.inf)

    def entropy(self) -> float:
        return math.log(float(self._width)) + 0.5 * (math.log(self.low) + math.log(self.high))

    def position(self, x: Array) -> Array:
        return np.asarray(2 * (np.log(np.maximum(x, 1e-300)) - np.log(self.low)) / self._width - 1)

    def data(self) -> Any:
        return [self.low, self.high]


@dataclass(frozen=True)
class TruncatedNormal:
    """A normal distribution, cut off at low and high; ``mean`` and ``std`` are those before the cut."""

    mean: float
    std: float
    low: float = -math.inf
    high: float = math.inf
    kind: ClassVar[str] = "truncated_normal"
    continuous: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _need_finite(self.kind, mean=self.mean, std=self.std)
        if self.std <= 0:
            raise ConfigError(f"truncated_normal with std={self.std:g} cannot be drawn from: std must be above 0.")
        if not self.low < self.high:
            _need_range(self.kind, self.low, self.high)
        if self._log_mass < -600:
            raise ConfigError(
                f"truncated_normal with mean {self.mean:g} and std {self.std:g} has next to no mass between "
                f"{self.low:g} and {self.high:g}: move the mean, or widen std."
            )

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def _ends(self) -> tuple[float, float]:
        """The cuts in standard deviations from the mean."""
        return (self.low - self.mean) / self.std, (self.high - self.mean) / self.std

    @property
    def _log_mass(self) -> float:
        """log(Φ(b) − Φ(a)), from the tail that loses no digits."""
        from scipy.special import log_ndtr

        a, b = self._ends
        if a > 0:
            a, b = -b, -a
        upper, lower = float(log_ndtr(b)), float(log_ndtr(a))
        return upper + math.log1p(-math.exp(lower - upper)) if lower > -math.inf else upper

    def quantile(self, u: Array) -> Array:
        from scipy.special import ndtr, ndtri

        a, b = self._ends
        low, high, share = (a, b, u) if a <= 0 else (-b, -a, 1 - u)  # above the mean Φ loses digits: in the mirror
        z = np.asarray(ndtri(ndtr(low) + share * (ndtr(high) - ndtr(low))), np.float64)
        return np.clip(self.mean + self.std * (z if a <= 0 else -z), self.low, self.high)

    def cdf(self, x: Array) -> Array:
        from scipy.special import ndtr

        a, b = self._ends
        z = np.clip((x - self.mean) / self.std, a, b)
        part = ndtr(-a) - ndtr(-z) if a > 0 else ndtr(z) - ndtr(a)
        return np.clip(np.asarray(part / math.exp(self._log_mass), np.float64), 0.0, 1.0)

    def log_density(self, x: Array) -> Array:
        z = (x - self.mean) / self.std
        value = -0.5 * z**2 - _LOG_SQRT_2PI - math.log(self.std) - self._log_mass
        return np.where(_within(x, self.low, self.high), value, -np.inf)

    def entropy(self) -> float:
        a, b = self._ends

        def at(z: float) -> float:
            """z φ(z) / Z, which is 0 at both infinities."""
            return 0.0 if math.isinf(z) else z * math.exp(-0.5 * z * z - _LOG_SQRT_2PI - self._log_mass)

        return _LOG_SQRT_2PI + 0.5 + math.log(self.std) + self._log_mass + 0.5 * (at(a) - at(b))

    def position(self, x: Array) -> Array:
        return (x - self.mean) / self.std

    def data(self) -> Any:
        ends = {name: value for name, value in (("low", self.low), ("high", self.high)) if math.isfinite(value)}
        return {"mean": self.mean, "std": self.std} | ends


@dataclass(frozen=True)
class Beta:
    """A Beta distribution, stretched from [0, 1] to [low, high]."""

    a: float
    b: float
    low: float = 0.0
    high: float = 1.0
    kind: ClassVar[str] = "beta"
    continuous: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _need_finite(self.kind, a=self.a, b=self.b)
        if self.a <= 0 or self.b <= 0:
            raise ConfigError(f"beta with a={self.a:g} and b={self.b:g} cannot be drawn from: both must be above 0.")
        _need_range(self.kind, self.low, self.high)

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def quantile(self, u: Array) -> Array:
        from scipy.special import betaincinv

        return self.low + np.asarray(betaincinv(self.a, self.b, u), np.float64) * (self.high - self.low)

    def cdf(self, x: Array) -> Array:
        from scipy.special import betainc

        return np.asarray(betainc(self.a, self.b, np.clip(self._unit(x), 0.0, 1.0)), np.float64)

    def log_density(self, x: Array) -> Array:
        from scipy.special import betaln, xlog1py, xlogy

        y = self._unit(x)
        inside = _within(x, self.low, self.high)
        y = np.clip(np.where(inside, y, 0.5), 0.0, 1.0)
        value = xlogy(self.a - 1, y) + xlog1py(self.b - 1, -y) - betaln(self.a, self.b)
        return np.where(inside, np.asarray(value, np.float64) - math.log(self.high - self.low), -np.inf)

    def entropy(self) -> float:
        return beta_entropy(self.a, self.b) + math.log(self.high - self.low)

    def position(self, x: Array) -> Array:
        return 2 * self._unit(x) - 1

    def data(self) -> Any:
        return {"a": self.a, "b": self.b, "low": self.low, "high": self.high}

    def _unit(self, x: Array) -> Array:
        return (x - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Categorical:
    """One of several values: numbers, or names that the environment's quantity gives its choices.

    Args:
        values: at least one, each another.
        weights: their probabilities, up to a factor; None: all alike.
    """

    values: tuple[float | str, ...]
    weights: tuple[float, ...] | None = None
    kind: ClassVar[str] = "categorical"
    continuous: ClassVar[bool] = False
    _share: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        weights = (1.0,) * len(self.values) if self.weights is None else self.weights
        if not self.values or len(set(self.values)) != len(self.values):
            raise ConfigError(f"categorical {list(self.values)} cannot be drawn from: give values, each once.")
        _need_finite(self.kind, **{f"value {v}": v for v in self.values if not isinstance(v, str)})
        if len(weights) != len(self.values) or min(weights) <= 0 or not math.isfinite(sum(weights)):
            raise ConfigError(
                f"categorical with the weights {list(weights)} cannot be drawn from: give one above 0 for each of "
                f"{list(self.values)}."
            )
        object.__setattr__(self, "_share", tuple(w / sum(weights) for w in weights))

    @property
    def support(self) -> tuple[float, float]:
        numbers = self._numbers()
        return float(numbers.min()), float(numbers.max())

    @property
    def named(self) -> bool:
        """Some values are names, which only the environment's quantity turns into numbers."""
        return any(isinstance(v, str) for v in self.values)

    def quantile(self, u: Array) -> Array:
        steps = np.cumsum(self._share)[:-1]
        return self._numbers()[np.searchsorted(steps, u, side="right")]

    def cdf(self, x: Array) -> Array:
        below = self._numbers() <= np.asarray(x)[..., None]
        return np.asarray((below * np.array(self._share)).sum(-1))

    def log_density(self, x: Array) -> Array:
        same = self._numbers() == np.asarray(x)[..., None]
        with np.errstate(divide="ignore"):
            return np.asarray(np.log((same * np.array(self._share)).sum(-1)))

    def entropy(self) -> float:
        return -sum(p * math.log(p) for p in self._share)

    def position(self, x: Array) -> Array:
        low, high = self.support
        return np.zeros_like(x) if low == high else 2 * (x - low) / (high - low) - 1

    def data(self) -> Any:
        return list(self.values) if self.weights is None else dict(zip(self.values, self.weights, strict=True))

    def _numbers(self) -> Float64[np.ndarray, "K"]:
        if self.named:
            raise ConfigError(
                f"categorical {list(self.values)} holds names, which only an environment turns into numbers: bind the "
                "space to its quantities first."
            )
        return np.array(self.values, np.float64)


@dataclass(frozen=True)
class Integers:
    """All whole numbers from low to high alike, both included: levels, delays in steps."""

    low: float
    high: float
    kind: ClassVar[str] = "integers"
    continuous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _need_finite(self.kind, low=self.low, high=self.high)
        if self.low > self.high:
            raise ConfigError(f"integers from {self.low:g} to {self.high:g} have inverted bounds: the lower one first.")
        if self.low % 1 or self.high % 1:
            raise ConfigError(f"integers from {self.low:g} to {self.high:g} cannot be drawn from: give whole numbers.")

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.high - self.low) + 1

    def quantile(self, u: Array) -> Array:
        return np.asarray(np.minimum(self.low + np.floor(u * self.count), self.high))

    def cdf(self, x: Array) -> Array:
        return np.asarray(np.clip((np.floor(x) - self.low + 1) / self.count, 0.0, 1.0))

    def log_density(self, x: Array) -> Array:
        inside = _within(x, self.low, self.high) & (np.floor(x) == x)
        return np.where(inside, -math.log(self.count), -np.inf)

    def entropy(self) -> float:
        return math.log(self.count)

    def position(self, x: Array) -> Array:
        return np.zeros_like(x) if self.count == 1 else 2 * (x - self.low) / (self.high - self.low) - 1

    def data(self) -> Any:
        return [int(self.low), int(self.high)]


@dataclass(frozen=True)
class Constant:
    """Always the same value."""

    value: float
    kind: ClassVar[str] = "constant"
    continuous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _need_finite(self.kind, value=self.value)

    @property
    def support(self) -> tuple[float, float]:
        return self.value, self.value

    def quantile(self, u: Array) -> Array:
        return np.full(np.shape(u), float(self.value))

    def cdf(self, x: Array) -> Array:
        return (np.asarray(x) >= self.value).astype(np.float64)

    def log_density(self, x: Array) -> Array:
        return np.where(np.asarray(x) == self.value, 0.0, -np.inf)

    def entropy(self) -> float:
        return 0.0

    def position(self, x: Array) -> Array:
        return np.zeros(np.shape(x))

    def data(self) -> Any:
        return self.value


KINDS: dict[str, type[Any]] = {
    kind.kind: kind for kind in (Uniform, LogUniform, TruncatedNormal, Beta, Categorical, Integers, Constant)
}


def beta_entropy(a: float, b: float) -> float:
    """Differential entropy of Beta(a, b) on [0, 1]: ln B(a,b) − (a−1)ψ(a) − (b−1)ψ(b) + (a+b−2)ψ(a+b)."""
    from scipy.special import betaln, digamma

    value = betaln(a, b) - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (a + b - 2) * digamma(a + b)
    return float(value)


def stacked(laws: Sequence[Distribution]) -> Distribution | None:
    """Several uniform or several log-uniform distributions as one, over columns: x[..., k] is of the k-th.

    A call costs what one distribution's does. None: these have no such form.
    """
    kind = type(laws[0])
    if kind not in (Uniform, LogUniform) or any(type(law) is not kind for law in laws):
        return None
    made: Any = object.__new__(kind)
    ends = np.array([law.support for law in laws], np.float64).T
    object.__setattr__(made, "low", ends[0])
    object.__setattr__(made, "high", ends[1])
    found: Distribution = made
    return found


def from_data(kind: str, data: Any) -> Distribution:
    """A distribution by its name and what stands behind it in a file.

    Raises:
        ConfigError: no such kind, or numbers that it cannot have.
    """
    if kind == "categorical":
        if isinstance(data, Mapping):
            return Categorical(tuple(_value(v) for v in data), tuple(_number(kind, w) for w in data.values()))
        if isinstance(data, Sequence) and not isinstance(data, str):
            return Categorical(tuple(_value(v) for v in data))
        raise ConfigError(f"categorical takes a list of values, or a mapping of values to weights, not {data!r}.")
    names = [name for name in KINDS[kind].__dataclass_fields__ if not name.startswith("_")]
    names = [name for name in names if name not in ("kind", "continuous")]
    if isinstance(data, Mapping):
        given = {str(key): value for key, value in data.items()}
    else:
        listed = list(data) if isinstance(data, Sequence) and not isinstance(data, str) else [data]
        if len(listed) > len(names):
            raise ConfigError(f"{kind} takes {', '.join(names)}, not {data!r}.")
        given = dict(zip(names, listed, strict=False))
    needed = {"uniform": 2, "log_uniform": 2, "truncated_normal": 2, "beta": 2, "integers": 2, "constant": 1}[kind]
    if not set(names[:needed]) <= set(given) <= set(names):
        raise ConfigError(f"{kind} takes {', '.join(names)}, not {data!r}.")
    made: Distribution = KINDS[kind](**{name: _number(kind, value) for name, value in given.items()})
    return made


def _value(value: Any) -> float | str:
    return value if isinstance(value, str) else _number("categorical", value)


def _number(kind: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ConfigError(f"{kind} takes numbers, not {value!r}.")
    return float(value)


def _within(x: Array, low: float, high: float) -> Any:
    return (x >= low) & (x <= high)


def _need_finite(kind: str, **values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ConfigError(f"{kind} with {name}={value} cannot be drawn from: it must be a finite number.")


def _need_range(kind: str, low: float, high: float) -> None:
    _need_finite(kind, low=low, high=high)
    if low > high:
        raise ConfigError(f"{kind} from {low:g} to {high:g} has inverted bounds: give the lower one first.")
    if low == high:
        raise ConfigError(f"{kind} from {low:g} to {high:g} holds one value: use constant.")
