"""System identification: the physics under which a model predicts a log best.

    θ̂ = argmin_θ Σ_w Σ_k Σ_d ρ(((f_k(x_w, a_w; θ) − y_wk)_d / σ_d)²),   low ≤ θ ≤ high

over windows w of `horizon` transitions, with f_k the observations that the simulator predicts after k actions from the
window's first state (prediction errors, Ljung, "System Identification", 1999, chapter 7). The trust-region
Gauss–Newton method is SciPy's (`least_squares`, Branch, Coleman and Li 1999); its Jacobian is one batch of simulations,
a pair for each parameter and window.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from gymnasium import spaces
from jaxtyping import Float64, Int64

from jostle.domain import Quantity
from jostle.errors import ConfigError, closest
from jostle.reality.estimate import Fit, spread_of
from jostle.reality.log import Log
from jostle.reality.model import Model, predictions

Loss = Literal["linear", "huber"]
LEAST = 5
"""Numbers predicted for each parameter, at least."""
_STEP = 1e-3
"""Half the distance of a finite difference, in units of a parameter."""
_ROWS = 2048
"""Simulations that are run together."""
_PASSES = 6
"""Times that the components' deviations are estimated anew, at most."""
_WHOLE = ("steps", "control steps")
"""Units of what goes in steps."""
_MARGIN = 1.345
"""Deviations beyond which a robust loss grows more slowly: 95% efficient for normal errors (Huber 1981)."""


def fit(
    log: Log,
    parameters: Iterable[str],
    env: str | None = None,
    *,
    horizon: int = 1,
    loss: Loss = "linear",
    start: Mapping[str, float] | None = None,
    env_options: Mapping[str, Any] | None = None,
) -> Fit:
    """Estimate quantities of an environment from a log of a system like it.

    Args:
        log: of the system.
        parameters: names of quantities; the others keep their nominal values.
        env: whose simulator is fitted; None: the log's.
        horizon: transitions predicted from each state. More see slow effects through noisy observations; chaos limits
            them.
        loss: huber minds outliers less.
        start: where the search begins; nominal values where it says nothing.
        env_options: of the environment.

    Raises:
        ConfigError: a log of another environment, too few transitions, or parameters that cannot be estimated.
    """
    names = _names(parameters)
    if loss not in get_args(Loss):
        raise ConfigError(f"loss={loss!r} is unknown; {closest(str(loss), get_args(Loss))}")
    if type(horizon) is not int or horizon < 1:
        raise ConfigError(f"horizon={horizon!r} cannot be used: it must be a whole number of at least 1.")
    source = require_same(log, env)
    windows = log.windows(horizon)
    _require_enough(log, windows, names)
    model = Model(source, min(_ROWS, len(windows)), env_options)
    try:
        problem = Problem(model, log, windows, [_continuous(model.quantity(name), model.id) for name in names])
        return _solved(problem, loss, dict(start or {}))
    finally:
        model.close()


class Problem:
    """Predictions of a log's windows as a function of parameters in their units, x = value / unit.

    Args:
        model: of the log's environment.
        log: what is to be predicted.
        windows: rows of the log [W, H].
        quantities: what is estimated.

    Raises:
        ConfigError: the log's observations, actions or states are not the model's.
    """

    def __init__(self, model: Model, log: Log, windows: Int64[np.ndarray, "W H"], quantities: list[Quantity]) -> None:
        self.model, self.log, self.windows, self.quantities = model, log, windows, quantities
        self.names = tuple(q.name for q in quantities)
        self.unit = np.array([unit_of(q) for q in quantities])
        self.nominal = np.array([q.nominal for q in quantities])
        self.low, self.high = np.array([q.low for q in quantities]), np.array([q.high for q in quantities])
        size = model.observation_space.shape
        if log.obs.shape[1:] != size:
            raise ConfigError(
                f"the log has observations of {log.obs.shape[1]} numbers, and {model.id} of {size[0]}: it is of "
                "another environment, or of other options."
            )
        self._actions = _fitting_actions(model, log.action)[windows]
        first = windows[:, 0]
        if log.state is None:
            self._states = model.states_of(log.obs[first])
        else:
            self._states = log.state[first]
        self.seen = log.next_obs[windows]

    @property
    def changes(self) -> Float64[np.ndarray, "D"]:
        """Deviation of each component's change in a step."""
        changes = self.log.next_obs - self.log.obs
        return np.asarray(np.sqrt(np.square(changes).mean(0)))

    def errors(self, values: Float64[np.ndarray, "K P"]) -> Float64[np.ndarray, "K W H D"]:
        """Predicted minus seen, under each of K sets of values."""
        found = predictions(self.model, self.names, values, self._states, self._actions)
        return np.asarray(found - self.seen)

    def slopes(self, values: Float64[np.ndarray, "P"]) -> Float64[np.ndarray, "W H D P"]:
        """Derivatives of the predictions by x, central differences within the bounds, in one batch."""
        pairs = np.repeat(values[None], 2 * len(values), axis=0)
        at = np.arange(len(values))
        pairs[2 * at, at] = np.maximum(values - _STEP * self.unit, self.low)
        pairs[2 * at + 1, at] = np.minimum(values + _STEP * self.unit, self.high)
        found = self.errors(pairs)
        width = (pairs[2 * at + 1, at] - pairs[2 * at, at]) / self.unit
        return np.asarray(np.moveaxis(found[1::2] - found[::2], 0, -1) / width)


def _solved(problem: Problem, loss: Loss, start: Mapping[str, float]) -> Fit:
    from scipy.optimize import least_squares

    low, high = problem.low / problem.unit, problem.high / problem.unit
    x = _start(problem, start)
    nominal = problem.errors(np.clip(problem.nominal, problem.low, problem.high)[None])[0]
    moving = problem.changes > 1e-9
    if not moving.any():
        raise ConfigError("nothing moves in the log: record one in which something does.")
    sigma = problem.changes[moving]
    found: Any = None
    for _ in range(_PASSES):

        def residual(at: Float64[np.ndarray, "P"], sigma: Float64[np.ndarray, "D"] = sigma) -> Float64[np.ndarray, "R"]:
            return np.asarray((problem.errors(at[None] * problem.unit)[0][..., moving] / sigma).ravel())

        def slope(at: Float64[np.ndarray, "P"], sigma: Float64[np.ndarray, "D"] = sigma) -> Float64[np.ndarray, "R P"]:
            by_x = problem.slopes(at * problem.unit)[..., moving, :] / sigma[:, None]
            return np.asarray(by_x.reshape(-1, len(at)))

        if not np.isfinite(residual(x)).all():
            raise ConfigError(
                f"{problem.model.id} breaks down under {_shown(problem, x)}: start the search elsewhere (start=…)."
            )
        found = least_squares(residual, x, jac=slope, bounds=(low, high), loss=loss, f_scale=_MARGIN, x_scale=1.0)
        x = found.x
        errors = problem.errors(x[None] * problem.unit)[0][..., moving]
        before, sigma = sigma, spread_of(errors.reshape(-1, errors.shape[-1]), robust=loss != "linear")
        sigma = np.maximum(sigma, 1e-9 * problem.changes[moving])
        if np.allclose(before, sigma, rtol=0.005):
            break
    jacobian = (problem.slopes(x * problem.unit)[..., moving, :] / sigma[:, None]).reshape(-1, len(x))
    return Fit.of(
        problem.quantities,
        problem.unit,
        x,
        jacobian,
        (errors / sigma).ravel(),
        robust=None if loss == "linear" else _MARGIN,
        env=problem.model.id,
        transitions=problem.windows.size,
        horizon=problem.windows.shape[1],
        nominal_error=_relative(nominal, problem),
        fitted_error=_relative(problem.errors(x[None] * problem.unit)[0], problem),
        converged=bool(found.success),
    )


def sensitivities(
    log: Log, env: str | None = None, *, env_options: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """How much each quantity changes one-step predictions of a log, at nominal values, the most telling first.

    ‖∂ predictions / ∂ (value / unit)‖, root mean square in units of the components' changes; 0: it leaves no trace.

    Raises:
        ConfigError: a log of another environment.
    """
    source, windows = require_same(log, env), log.windows(1)
    _require_enough(log, windows, ())
    model = Model(source, min(_ROWS, len(windows)), env_options)
    try:
        told = [q for q in model.quantities.values() if not q.choices and q.low < q.high]
        found = {}
        for quantity in told:
            problem = Problem(model, log, windows, [quantity])
            at = np.clip(problem.nominal, problem.low, problem.high)
            scale = np.where(problem.changes > 1e-9, problem.changes, np.inf)
            found[quantity.name] = float(np.sqrt(np.square(problem.slopes(at)[..., 0] / scale).mean()))
            model.set({quantity.name: quantity.nominal})
    finally:
        model.close()
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def unit_of(quantity: Quantity) -> float:
    """What a parameter is measured in: its nominal value's size; of what is nominally 0, a tenth of its range."""
    if quantity.nominal:
        return abs(quantity.nominal)
    width = quantity.high - quantity.low
    return width / 10 if np.isfinite(width) else 1.0


def require_same(log: Log, env: str | None) -> str:
    """The environment whose simulator is fitted.

    Raises:
        ConfigError: nobody says, or the log is another's.
    """
    if env is None and not log.env:
        raise ConfigError("the log does not say of which environment it is: name one.")
    if env is not None and log.env and env.removeprefix("jostle/") != log.env.removeprefix("jostle/"):
        raise ConfigError(f"the log is of {log.env}, and not of {env}: name that one, or record another log.")
    return log.env if env is None else env


def _names(parameters: Iterable[str]) -> tuple[str, ...]:
    names = (parameters,) if isinstance(parameters, str) else tuple(parameters)
    if not names:
        raise ConfigError("no parameter is named: say which quantities shall be estimated.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"the parameter {twice[0]} is named twice: leave one out.")
    return names


def _continuous(quantity: Quantity, env: str) -> Quantity:
    if quantity.choices or quantity.unit in _WHOLE:
        raise ConfigError(f"{quantity.name} of {env} goes in steps, and least squares need slopes: leave it out.")
    return quantity


def _require_enough(log: Log, windows: Int64[np.ndarray, "W H"], names: tuple[str, ...]) -> None:
    wanted = max(2, LEAST * len(names))
    if windows.size < wanted:
        raise ConfigError(
            f"the log has {windows.size} transitions in windows of {windows.shape[1]}, and {len(names)} parameters "
            f"need {wanted} at least: record a longer one, or name fewer parameters."
        )


def _fitting_actions(model: Model, actions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The log's actions as the model takes them; boxes in double precision, so that nothing is rounded.

    Raises:
        ConfigError: they are another environment's.
    """
    space = model.action_space
    wanted = space.shape or ()
    if isinstance(space, spaces.Box):
        given = actions[:, None] if wanted == (1,) and actions.ndim == 1 else actions
        if given.shape[1:] == wanted:
            return given.astype(np.float64)
    elif (
        actions.shape[1:] == wanted
        and actions.dtype.kind in "iu"
        and all(map(space.contains, np.unique(actions, axis=0)))
    ):
        return actions.astype(np.int64)
    raise ConfigError(
        f"the log has actions of shape {actions.shape[1:]} and type {actions.dtype}, and {model.id} takes {space}: it "
        "is of another environment, or of other options."
    )


def _start(problem: Problem, start: Mapping[str, float]) -> Float64[np.ndarray, "P"]:
    """Where the search begins, a little within the bounds: at a bound a trust region can hardly move."""
    for name in start:
        if name not in problem.names:
            raise ConfigError(f"start names {name}, which is not estimated; {closest(name, problem.names)}")
    values = np.array([start.get(q.name, q.nominal) for q in problem.quantities])
    room = np.minimum(0.05 * problem.unit, 0.05 * (problem.high - problem.low))
    return np.asarray(np.clip(values, problem.low + room, problem.high - room) / problem.unit)


def _relative(errors: Float64[np.ndarray, "W H D"], problem: Problem) -> float:
    """Root mean square of prediction errors, in shares of the components' changes in a step."""
    scale = np.where(problem.changes > 1e-9, problem.changes, np.inf)
    return float(np.sqrt(np.square(errors / scale)[..., np.isfinite(scale)].mean()))


def _shown(problem: Problem, x: Float64[np.ndarray, "P"]) -> str:
    return ", ".join(f"{name} = {v:g}" for name, v in zip(problem.names, x * problem.unit, strict=True))
