"""What an identification found: estimates with their covariance, what cannot be told apart, and a domain around it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float64

from jostle.domain import Constant, Correlated, Parameter, Quantity, Space, TruncatedNormal, Uniform
from jostle.domain.distributions import Distribution
from jostle.errors import ConfigError, closest

Spread = Literal["normal", "uniform", "none"]
FAINT = 1e-4
"""A direction that shows so little, beside the one that shows most, leaves no trace: finite differences end there."""
VAGUE = 0.25
"""A direction whose deviation is more than this share of the parameters' units cannot be told."""
_PART = 0.3
"""Parameters with less than this share of the largest part of a direction are not named."""


@dataclass(frozen=True)
class Blurred:
    """A direction of the parameters that the log does not tell.

    Attributes:
        parts: how far each parameter goes along it, in its units, the direction's length being 1.
        deviation: standard deviation along it, in the same units; infinite: the log shows nothing of it.
        steps: what changes together along it, such as "rod.mass by +0.1 kg"; parameters with a small part are left out.
    """

    parts: dict[str, float]
    deviation: float
    steps: tuple[str, ...]

    @classmethod
    def of(
        cls,
        direction: Float64[np.ndarray, "P"],
        deviation: float,
        quantities: Sequence[Quantity],
        unit: Float64[np.ndarray, "P"],
    ) -> "Blurred":
        """From a singular vector, the largest part of which is made positive."""
        largest = direction[np.abs(direction).argmax()]
        upright = direction / largest
        parts = dict(zip((q.name for q in quantities), (direction * np.sign(largest)).tolist(), strict=True))
        steps = [
            f"{q.name} by {0.1 * part * u:+.2g} {q.unit}".rstrip()
            for q, part, u in zip(quantities, upright, unit, strict=True)
            if abs(part) >= _PART
        ]
        return cls(parts, deviation, tuple(steps))

    def __str__(self) -> str:
        names = [step.partition(" by ")[0] for step in self.steps]
        if len(names) == 1:
            vague = "leaves no trace in this log" if math.isinf(self.deviation) else "can hardly be told from this log"
            return f"{names[0]} {vague}"
        much = "nothing" if math.isinf(self.deviation) else "next to nothing"
        return f"{' and '.join(names)} cannot be told apart: changing {', '.join(self.steps)} changes {much} here"


@dataclass(frozen=True)
class Fit:
    """Estimates of P parameters.

    Attributes:
        quantities: what was estimated.
        unit: the parameters' units: their nominal values' sizes, or a tenth of the range of what is nominally 0.
        values: the estimates.
        covariance: of the estimates. Along blurred directions it says ± 1 unit, which is no knowledge.
        blurred: directions that the log does not tell.
        at_bounds: parameters whose estimate lies at the end of what makes sense: the truth may lie beyond the model.
        env: whose simulator it is.
        transitions, horizon: what was predicted, and how far.
        nominal_error, fitted_error: of predictions, root mean square in shares of each component's changes in a step.
        converged: the search came to an end.
    """

    quantities: tuple[Quantity, ...]
    unit: Float64[np.ndarray, "P"]
    values: Float64[np.ndarray, "P"]
    covariance: Float64[np.ndarray, "P P"]
    blurred: tuple[Blurred, ...]
    at_bounds: tuple[str, ...]
    env: str
    transitions: int
    horizon: int
    nominal_error: float
    fitted_error: float
    converged: bool

    @classmethod
    def of(
        cls,
        quantities: Sequence[Quantity],
        unit: Float64[np.ndarray, "P"],
        x: Float64[np.ndarray, "P"],
        jacobian: Float64[np.ndarray, "R P"],
        residual: Float64[np.ndarray, "R"],
        *,
        robust: float | None = None,
        **told: Any,
    ) -> "Fit":
        """From the solution in units, x = value / unit.

        Args:
            jacobian: of the residuals by x.
            residual: in their deviations.
            robust: where Huber's loss grows more slowly; None: it was the squared loss.
            told: the other attributes.
        """
        variance = variance_of(residual, len(x), robust)
        covariance, blurred = covariance_of(jacobian, variance, quantities, unit)
        values = x * unit
        room = 1e-3 * unit
        ends = [
            q.name
            for q, v, r in zip(quantities, values, room, strict=True)
            if (v - q.low < r and q.low != q.nominal) or (q.high - v < r and q.high != q.nominal)
        ]
        return cls(
            tuple(quantities), unit, values, covariance * np.outer(unit, unit), tuple(blurred), tuple(ends), **told
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters."""
        return tuple(q.name for q in self.quantities)

    @property
    def std(self) -> Float64[np.ndarray, "P"]:
        """Standard deviations of the estimates."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> Float64[np.ndarray, "P P"]:
        """Of the estimates."""
        return self.covariance / np.outer(self.std, self.std)

    def interval(self, confidence: float = 0.95) -> tuple[Float64[np.ndarray, "P"], Float64[np.ndarray, "P"]]:
        """Ends of each parameter's own interval, by the normal distribution."""
        from scipy.special import ndtri

        half = float(ndtri(0.5 + confidence / 2)) * self.std
        return self.values - half, self.values + half

    def as_dict(self) -> dict[str, float]:
        """The estimates by name."""
        return dict(zip(self.names, self.values.tolist(), strict=True))

    def space(self, spread: Spread = "normal", *, width: float = 3.0, least: float = 0.01) -> Space:
        """A domain around the estimates.

        Args:
            spread: normal: the estimates' normal distribution, cut off after `width` deviations, correlated as they
                are; uniform: ± `width` deviations, each alone; none: the estimates themselves.
            width: in standard deviations.
            least: standard deviation of each parameter in its units, added to that of the estimate (as independent
                variances are): no simulator is true to more digits than that.

        Raises:
            ConfigError: a spread that is unknown, or not above 0.
        """
        if spread not in get_args(Spread):
            raise ConfigError(f"spread={spread!r} is unknown; {closest(str(spread), get_args(Spread))}")
        if not (width > 0 and least >= 0):
            raise ConfigError(f"width={width:g} and least={least:g} cannot be used: above 0, and 0 or more.")
        values = np.array([np.clip(v, q.low, q.high) for q, v in zip(self.quantities, self.values, strict=True)])
        if spread == "none":
            return Space([Parameter(n, Constant(_rounded(v))) for n, v in zip(self.names, values, strict=True)])
        whole = self.covariance + np.diag((least * self.unit) ** 2)
        std = np.sqrt(np.diag(whole))
        parameters = []
        for q, v, s in zip(self.quantities, values, std, strict=True):
            low, high = max(q.low, v - width * s), min(q.high, v + width * s)
            law: Distribution = Uniform(_rounded(low), _rounded(high))
            if spread == "normal":
                law = TruncatedNormal(_rounded(v), _rounded(s), _rounded(low), _rounded(high))
            parameters.append(Parameter(q.name, law))
        if spread == "uniform":
            return Space(parameters)
        return Space(parameters, _groups(self.names, whole / np.outer(std, std)))

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Columns and rows for people."""
        low, high = self.interval()
        rows: list[tuple[str, ...]] = [
            (q.name, q.unit, f"{q.nominal:g}", f"{v:.4g}", f"{a:.4g} to {b:.4g}", f"{100 * s / u:.2g}%")
            for q, v, a, b, s, u in zip(self.quantities, self.values, low, high, self.std, self.unit, strict=True)
        ]
        return ("name", "unit", "nominal", "estimate", "95% interval", "deviation"), rows


def covariance_of(
    jacobian: Float64[np.ndarray, "R P"],
    variance: float,
    quantities: Sequence[Quantity],
    unit: Float64[np.ndarray, "P"],
) -> tuple[Float64[np.ndarray, "P P"], list[Blurred]]:
    """s² (JᵀJ)⁻¹, by J's singular values: along v_k the deviation is s / s_k.

    Where that is more than `VAGUE`, or s_k less than `FAINT` of the largest, the log does not tell the direction: it is
    named, and the covariance says ± 1 unit along it.
    """
    _, size, directions = np.linalg.svd(jacobian, full_matrices=False)
    traceless = size <= FAINT * max(float(size[0]), 1e-300)
    with np.errstate(divide="ignore"):
        deviation = np.where(traceless, np.inf, math.sqrt(variance) / size)
    untold = deviation > VAGUE
    known = np.where(untold, 1.0, deviation)
    covariance = (directions.T * known**2) @ directions
    blurred = [
        Blurred.of(v, float(d), quantities, unit) for v, d in zip(directions[untold], deviation[untold], strict=True)
    ]
    return covariance, blurred


def variance_of(residual: Float64[np.ndarray, "R"], parameters: int, robust: float | None) -> float:
    """Of the residuals, as it enters the covariance.

    Least squares: Σ r² / (R − P). Huber's loss (Huber 1981, chapter 7): Σ ψ² / (R − P) / (share of the residuals
    within the margin)², which is what an estimate that cuts residuals off makes of them.
    """
    free = max(1, len(residual) - parameters)
    if robust is None:
        return float(np.square(residual).sum() / free)
    within = float((np.abs(residual) <= robust).mean())
    return float(np.square(np.clip(residual, -robust, robust)).sum() / free / max(within, 1e-3) ** 2)


def spread_of(errors: Float64[np.ndarray, "R D"], *, robust: bool) -> Float64[np.ndarray, "D"]:
    """Deviation of each component about 0; robust: by the median of sizes."""
    if robust:
        return np.asarray(1.4826 * np.median(np.abs(errors), axis=0))
    return np.asarray(np.sqrt(np.square(errors).mean(0)))


def _groups(names: Sequence[str], correlation: Float64[np.ndarray, "P P"]) -> list[Correlated]:
    """All parameters as one group, where any two are correlated by more than a tenth."""
    if len(names) < 2 or np.abs(correlation - np.eye(len(names))).max() < 0.1:
        return []
    shrunk = np.round(0.999 * correlation + 0.001 * np.eye(len(names)), 4)  # rounding leaves it positive definite
    np.fill_diagonal(shrunk, 1.0)
    return [Correlated(tuple(names), tuple(map(tuple, shrunk.tolist())))]


def _rounded(value: float) -> float:
    """To eight digits, for files that people read."""
    return float(f"{value:.8g}")
