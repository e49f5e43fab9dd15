"""One update of DORAEMON: the widest Betas near the present ones under which the agent still succeeds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from jostle.domain.schedules.betas import Parameters, Valued, divergence, entropy, weighted_success

_SLACK = 1e-6


class Step(NamedTuple):
    """What came of an update."""

    parameters: Float64[np.ndarray, "2 M"]
    feasible: bool
    """The success that is asked for can be had; else success was maximised."""
    success: float
    """Estimated under the new parameters."""


def update(
    now: Parameters,
    y: Float64[np.ndarray, "R M"],
    success: Float64[np.ndarray, "R"],
    drawn_under: Float64[np.ndarray, "R"],
    *,
    alpha: float,
    epsilon: float,
    bounds: tuple[float, float],
) -> Step:
    """max_φ H(φ) subject to success(φ) ≥ α and KL(φ_now ‖ φ) ≤ ε (Tiboni et al. 2024, equation 3).

    Where no φ in the ball succeeds so often, the most successful one in the ball. Solved by SciPy's SLSQP in ln a and
    ln b, with the gradients of `betas.py`, from several starts; what it returns is taken only if it holds both
    constraints and is better than staying.

    Args:
        now: a and b of the present Betas.
        y, success, drawn_under: episodes, see `weighted_success`.
        bounds: of a and b.
    """

    def rate(p: Parameters) -> Valued:
        return weighted_success(p, y, success, drawn_under)

    def ball(p: Parameters) -> Valued:
        kl = divergence(now, p)
        return Valued(epsilon - kl.value, -kl.gradient)

    def enough(p: Parameters) -> Valued:
        found = rate(p)
        return Valued(found.value - alpha, found.gradient)

    start = now
    if enough(now).value < -_SLACK:
        start = _best(rate, [ball], _starts(now), bounds, now)
        if enough(start).value < -_SLACK:
            return Step(start, False, rate(start).value)
    starts = [start, *_starts(now)]
    found = _best(entropy, [ball, enough], starts, bounds, start)
    return Step(found, True, rate(found).value)


def _starts(now: Parameters) -> list[Float64[np.ndarray, "2 M"]]:
    """The present Betas, and a little wider, higher and lower ones: the success of a handful of episodes has hills."""
    up, down = np.array([[1.03], [0.97]]), np.array([[0.97], [1.03]])
    return [now, now * 0.97, now * up, now * down]


def _best(
    aim: Callable[[Parameters], Valued],
    constraints: list[Callable[[Parameters], Valued]],
    starts: list[Float64[np.ndarray, "2 M"]],
    bounds: tuple[float, float],
    fallback: Parameters,
) -> Float64[np.ndarray, "2 M"]:
    """The largest value of `aim` found where all constraints are ≥ 0, or `fallback` where none is larger than there."""
    from scipy.optimize import minimize

    shape = fallback.shape

    def value_of(f: Callable[[Parameters], Valued], sign: float) -> Callable[[np.ndarray], float]:
        return lambda x: sign * f(np.exp(x).reshape(shape)).value

    def gradient_of(f: Callable[[Parameters], Valued], sign: float) -> Callable[[np.ndarray], np.ndarray]:
        def gradient(x: np.ndarray) -> np.ndarray:
            p = np.exp(x).reshape(shape)
            return np.asarray(sign * (f(p).gradient * p).ravel())

        return gradient

    limits = [(float(np.log(bounds[0])), float(np.log(bounds[1])))] * fallback.size
    held = [{"type": "ineq", "fun": value_of(f, 1.0), "jac": gradient_of(f, 1.0)} for f in constraints]
    best, best_value = fallback, aim(fallback).value
    for start in starts:
        x = np.clip(np.log(start).ravel(), *limits[0])
        found = minimize(  # type: ignore[call-overload]  # the stubs know no such dictionaries
            value_of(aim, -1.0), x, jac=gradient_of(aim, -1.0), bounds=limits, constraints=held, method="SLSQP",
            options={"maxiter": 200, "ftol": 1e-10},
        )  # fmt: skip
        p = np.exp(np.clip(np.asarray(found.x, np.float64), *limits[0])).reshape(shape)
        if not np.isfinite(p).all() or min(f(p).value for f in constraints) < -_SLACK:
            continue
        if (value := aim(p).value) > best_value:
            best, best_value = p, value
    return best
