"""Identification: hidden parameters within their own intervals, least squares by another hand, what cannot be told."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pendulums
import pytest
from scipy.optimize import least_squares

from jostle.domain import Quantity, Space
from jostle.envs import make_env
from jostle.errors import ConfigError
from jostle.reality import Fit, Log, Model, fit, record, sensitivities
from jostle.reality.estimate import spread_of, variance_of
from jostle.reality.fitting import _relative, _start

HIDDEN = {"rod.mass": 1.4, "rod.length": 1.2, "rod.damping": 0.15}


def pendulum_log(seed: int = 0, noise: float = 0.0, steps: int = 400, states: bool = False) -> Log:
    """Of a pendulum with the hidden physics."""
    options = {"domain": HIDDEN | {"observation.noise": noise}}
    return record("jostle/Pendulum-v1", steps, seed=seed, hold=5, states=states, env_options=options)


def cart_log(seed: int, noise: float, steps: int = 1500) -> Log:
    options = {"domain": {"cart.mass": 1.3, "pole.half_length": 0.7, "observation.noise": noise}}
    return record("jostle/CartPole-v1", steps, seed=seed, num_envs=4, states=True, env_options=options)


def test_without_noise_the_truth_is_found() -> None:
    found = fit(pendulum_log(), HIDDEN)
    assert found.converged
    for name, truth in HIDDEN.items():
        assert found.as_dict()[name] == pytest.approx(truth, abs=2e-5)
    assert found.nominal_error > 0.1
    assert found.fitted_error < 1e-5
    assert not found.blurred


def test_it_is_the_least_squares_of_another_hand() -> None:
    """SciPy with its own differences over the equations of `pendulums`, weighted by the deviations that were found."""
    log = pendulum_log(seed=3, noise=0.02)
    found = fit(log, HIDDEN)
    theta, speed = np.arctan2(log.obs[:, 1], log.obs[:, 0]), log.obs[:, 2]

    def errors(x: np.ndarray) -> np.ndarray:
        after, fast = pendulums.step(theta, speed, log.action[:, 0].astype(float), *x)
        return np.stack([np.cos(after), np.sin(after), fast], 1) - log.next_obs

    sigma = np.sqrt(np.square(errors(found.values)).mean(0))
    other = least_squares(lambda x: (errors(x) / sigma).ravel(), [1.0, 1.0, 0.05], jac="3-point")
    np.testing.assert_allclose(found.values, other.x, rtol=1e-4)
    inverse = np.linalg.inv(other.jac.T @ other.jac)
    variance = 2 * other.cost / (other.fun.size - 3)
    np.testing.assert_allclose(found.covariance, variance * inverse, rtol=1e-3)


@pytest.mark.parametrize(
    ("make", "truth"),
    [
        (lambda seed: pendulum_log(seed, 0.02, 200, states=True), HIDDEN),
        (lambda seed: cart_log(seed, 0.01, 400), {"cart.mass": 1.3, "pole.half_length": 0.7}),
    ],
    ids=["pendulum", "cart-pole"],
)
def test_intervals_hold_the_truth_as_often_as_they_say(make, truth) -> None:
    """Over 24 logs: 95% intervals hold fewer than 19 of 24 once in a thousand times; half as wide, they hold 16."""
    inside, apart = [], []
    for seed in range(24):
        log = make(1000 * seed)
        found = fit(log, truth)
        low, high = found.interval(0.95)
        values = np.array(list(truth.values()))
        inside.append((low <= values) & (values <= high))
        apart.append((found.values - values) / found.std)
    covered, off = np.sum(inside, axis=0), np.array(apart)
    assert covered.min() >= 19, covered
    assert np.abs(off.mean(0)).max() < 0.8, off.mean(0)  # four deviations of a mean of 24
    assert off.std(0).min() > 0.55
    assert off.std(0).max() < 1.5


def test_noise_in_the_states_too_leaves_the_estimates_where_they_are() -> None:
    found = [fit(pendulum_log(1000 * seed, noise=0.01), HIDDEN) for seed in range(8)]
    apart = np.mean([(f.values - list(HIDDEN.values())) / f.values for f in found], axis=0)
    assert np.abs(apart[:2]).max() < 0.02


def test_what_cannot_be_told_apart_is_said() -> None:
    """The pendulum knows torque.gain / (mass · length²) and damping / (mass · length²) alone."""
    log = record(
        "jostle/Pendulum-v1", 300, hold=5, env_options={"domain": {"rod.mass": 1.4, "observation.noise": 0.01}}
    )
    found = fit(log, ["rod.mass", "torque.gain", "rod.length"])
    assert len(found.blurred) == 1
    blurred = found.blurred[0]
    assert {step.split()[0] for step in blurred.steps} == {"rod.mass", "torque.gain"}
    assert blurred.parts["rod.mass"] * blurred.parts["torque.gain"] > 0
    assert "rod.mass and torque.gain cannot be told apart: changing rod.mass by +" in str(blurred)
    ratio = found.as_dict()["torque.gain"] / found.as_dict()["rod.mass"]
    assert ratio == pytest.approx(1 / 1.4, rel=0.03)
    assert found.std[0] > 0.5
    assert fit(log, ["rod.mass", "rod.length"]).std[0] < 0.1


def test_what_leaves_no_trace_is_said() -> None:
    found = fit(pendulum_log(), ["rod.mass", "start.angle"])
    assert [str(b) for b in found.blurred] == ["start.angle leaves no trace in this log"]
    up, none = np.tile([1.0, 0.0, 0.0], (20, 1)), np.zeros((20, 1))
    still = Log(up, none, up, np.zeros(20, np.int64), env="jostle/Pendulum-v1")
    with pytest.raises(ConfigError, match="nothing moves in the log"):
        fit(still, ["rod.mass"])


def test_several_steps_ahead() -> None:
    log = pendulum_log(seed=1, noise=0.01)
    one, five = fit(log, HIDDEN), fit(log, HIDDEN, horizon=5)
    assert five.transitions == 400
    assert five.horizon == 5
    np.testing.assert_allclose(five.values, list(HIDDEN.values()), rtol=0.05)
    assert five.std[2] < one.std[2]  # damping shows over time


def test_estimates_stay_within_what_makes_sense() -> None:
    """A pendulum that gains speed by itself, as no damping of 0 or more explains."""
    log = record("jostle/Pendulum-v1", 300, hold=5)
    pushed = log.next_obs + np.array([0.0, 0.0, 0.02]) * np.sign(log.obs[:, 2:])
    found = fit(Log(log.obs, log.action, pushed, log.episode, env=log.env), ["rod.damping", "rod.mass"])
    assert found.as_dict()["rod.damping"] >= 0
    assert found.as_dict()["rod.damping"] < 0.01
    assert not found.at_bounds  # where it is nominally
    weak = Log(
        log.obs, log.action / 20, log.next_obs, log.episode, env=log.env
    )  # as if the motor were 20 times as strong
    found = fit(weak, ["torque.gain"])
    assert found.as_dict()["torque.gain"] == pytest.approx(10.0, abs=1e-3)
    assert found.at_bounds == ("torque.gain",)


def test_outliers_cost_huber_little() -> None:
    log = pendulum_log(seed=2, noise=0.01)
    rng, broken = np.random.default_rng(0), log.next_obs.copy()
    broken[rng.choice(400, 20, replace=False), 2] += rng.uniform(2, 6, 20)
    spoilt = Log(log.obs, log.action, broken, log.episode, env=log.env)
    truth = np.array(list(HIDDEN.values()))
    plain, robust = fit(spoilt, HIDDEN), fit(spoilt, HIDDEN, loss="huber")
    assert np.abs(robust.values - truth)[1] < 0.25 * np.abs(plain.values - truth)[1]
    np.testing.assert_array_less(np.abs(robust.values - truth), 4 * robust.std)


@pytest.mark.parametrize("states", [True, False])
@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("jostle/HalfCheetah-v5", {"torso.mass": 9.0, "all.damping": 1.3}),
        ("jostle/Hopper-v5", {"torso.mass": 5.0, "all.gear": 0.8}),
    ],
)
def test_mujoco(name: str, truth: dict[str, float], states: bool) -> None:
    pytest.importorskip("mujoco")
    options = {"threads": 1}
    log = record(name, 300, num_envs=2, states=states, env_options=options | {"domain": truth})
    found = fit(log, truth, env_options=options)
    np.testing.assert_allclose(found.values, list(truth.values()), rtol=2e-3)
    assert found.fitted_error < 0.01 * found.nominal_error


def test_a_domain_around_the_estimates(tmp_path: Path) -> None:
    found = fit(pendulum_log(noise=0.02), HIDDEN)
    space = Space.load(found.space().data())
    env = make_env("jostle/Pendulum-v1", 500, domain=space)
    env.reset(seed=1)
    _, _, _, _, info = env.step(np.zeros((500, 1), np.float32))
    values = info["domain"]
    whole = found.covariance + np.diag((0.01 * found.unit) ** 2)
    np.testing.assert_allclose(values.mean(0), found.values, atol=4 * np.sqrt(np.diag(whole) / 500).max())
    np.testing.assert_allclose(np.cov(values.T), whole, atol=0.25 * np.diag(whole).max())
    env.close()
    uniform = found.space("uniform", width=2.0, least=0.0)
    for parameter, value, std in zip(uniform.parameters, found.values, found.std, strict=True):
        np.testing.assert_allclose(parameter.distribution.support, [value - 2 * std, value + 2 * std], rtol=1e-6)
    assert not uniform.correlated
    alone = found.space("none")
    assert alone.data()["parameters"]["rod.mass"] == {"constant": pytest.approx(found.values[0], rel=1e-7)}
    with pytest.raises(ConfigError, match="spread='norml' is unknown; did you mean normal"):
        found.space("norml")  # type: ignore[arg-type]


def test_a_domain_around_what_cannot_be_told_is_wide() -> None:
    found = fit(pendulum_log(), ["rod.mass", "torque.gain"])
    low, high = found.space("normal").parameters[0].distribution.support
    assert low < 0.5
    assert high > 2.5


A, B = Quantity("a", 1.0, 0.2, 9.0, "kg"), Quantity("b", 2.0, 0.0, 4.0)


def made_up(values: tuple[float, float], jacobian: np.ndarray, residual: np.ndarray) -> Fit:
    """Of a and b, in units of 1 and 2."""
    unit = np.array([1.0, 2.0])
    told = {"env": "x", "transitions": 9, "horizon": 1, "nominal_error": 1.0, "fitted_error": 0.1, "converged": True}
    return Fit.of([A, B], unit, np.array(values) / unit, jacobian, residual, **told)


def test_covariances_by_hand() -> None:
    """Four residuals of 1 with two parameters: a variance of 2, and what shows by 2 deviates by more than a quarter."""
    found = made_up((1.5, 3.0), np.array([[20.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]), np.ones(4))
    np.testing.assert_allclose(found.covariance, [[2 / 400, 0], [0, 4]])
    assert [(b.parts, b.deviation) for b in found.blurred] == [({"a": 0.0, "b": 1.0}, pytest.approx(np.sqrt(2) / 2))]
    residual = np.array([0.5, -0.5, 10.0])
    assert variance_of(residual, 1, None) == pytest.approx(100.5 / 2)
    assert variance_of(residual, 1, 1.0) == pytest.approx(1.5 / 2 / (2 / 3) ** 2)
    errors = np.array([[1.0, -4.0], [-2.0, 0.0], [30.0, 3.0]])
    np.testing.assert_allclose(spread_of(errors, robust=True), [1.4826 * 2, 1.4826 * 3])
    np.testing.assert_allclose(spread_of(errors, robust=False), np.sqrt([905 / 3, 25 / 3]))


@pytest.mark.parametrize(
    ("values", "ends"), [((0.2, 2.0), ("a",)), ((9.0, 0.0), ("a", "b")), ((1.0, 4.0), ("b",)), ((1.0, 2.0), ())]
)
def test_estimates_at_either_end_are_named_and_their_domain_ends_there(
    values: tuple[float, float], ends: tuple[str, ...]
) -> None:
    found = made_up(values, np.diag([10.0, 10.0, 1.0])[:, :2], np.ones(3))
    assert found.at_bounds == ends
    for spread in ("normal", "uniform"):
        for law, q, value in zip((p.distribution for p in found.space(spread).parameters), (A, B), values, strict=True):
            low, high = law.support
            assert q.low <= low < high <= q.high
            assert (value == q.low) == (low == q.low)
            assert (value == q.high) == (high == q.high)


def test_what_is_added_to_the_deviations_is_not_correlated() -> None:
    tied = np.linalg.inv(np.linalg.cholesky(np.array([[1.0, 0.9], [0.9, 1.0]])))
    found = made_up((1.5, 3.0), np.concatenate([100 * tied, np.zeros((1, 2))]), np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(found.correlation, [[1, 0.9], [0.9, 1]])
    (group,) = found.space(least=0.01).correlated
    assert group.matrix[0, 1] == pytest.approx(0.45, abs=1e-3)
    assert not found.space(least=0.1).correlated


def test_the_search_begins_where_it_is_told_to_a_little_within_the_bounds() -> None:
    bounds = {"low": np.array([A.low, B.low]), "high": np.array([A.high, B.high]), "unit": np.array([1.0, 2.0])}
    problem: Any = SimpleNamespace(names=("a", "b"), quantities=[A, B], **bounds)
    np.testing.assert_allclose(_start(problem, {"b": 3.0}), [1.0, 1.5])
    np.testing.assert_allclose(_start(problem, {"a": 0.0, "b": 5.0}), [0.25, 1.95])


def test_errors_are_told_of_what_moves() -> None:
    problem: Any = SimpleNamespace(changes=np.array([2.0, 0.0]))
    assert _relative(np.array([[[[3.0, 7.0]]], [[[1.0, 5.0]]]])[0], problem) == 1.5


def test_the_slopes_are_those_of_the_equations_at_nominal_values() -> None:
    log = pendulum_log(steps=60)
    told = sensitivities(log)
    theta, speed = np.arctan2(log.obs[:, 1], log.obs[:, 0]), log.obs[:, 2]
    change = np.sqrt(np.square(log.next_obs - log.obs).mean(0))
    for name, (argument, nominal) in {
        "gravity": ("gravity", 10.0), "rod.mass": ("mass", 1.0), "rod.length": ("length", 1.0),
        "torque.gain": ("gain", 1.0),
    }.items():  # fmt: skip
        after = []
        for side in (1 - 1e-3, 1 + 1e-3):
            angle, fast = pendulums.step(theta, speed, log.action[:, 0].astype(float), **{argument: side * nominal})
            after.append(np.stack([np.cos(angle), np.sin(angle), fast], 1) / change)
        slope = np.sqrt(np.square((after[1] - after[0]) / 2e-3).mean())
        assert told[name] == pytest.approx(slope, rel=1e-6), name


def test_predictions_pass_over_endings() -> None:
    """A cart that leaves the track rolls on: its place is still the Euler step of its speed."""
    model = Model("jostle/CartPole-v1", 2)
    states = model.states_of(np.array([[2.39, 2.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]))
    seen = model.roll(states, np.ones((2, 6), np.int64))
    model.close()
    assert seen[0, 1, 0] > 2.4
    np.testing.assert_allclose(seen[:, 1:, 0], seen[:, :-1, 0] + 0.02 * seen[:, :-1, 1], rtol=1e-12)
    np.testing.assert_allclose(seen[0, :, 1], seen[1, :, 1], rtol=1e-12)


def test_what_the_log_tells_of_each_quantity() -> None:
    told = sensitivities(pendulum_log())
    assert next(iter(told)) in ("gravity", "rod.length", "timestep")
    assert told["rod.mass"] > 0
    for name in ("start.angle", "start.speed", "observation.noise"):
        assert told[name] == 0
    assert told["rod.mass"] == pytest.approx(told["torque.gain"], rel=1e-3)  # gain / mass; no damping at nominal values


def test_errors_are_sentences() -> None:
    log = pendulum_log(steps=60)
    for words, call in {
        r"the log is of jostle/Pendulum-v1, and not of jostle/CartPole-v1": lambda: fit(
            log, ["force"], "jostle/CartPole-v1"
        ),
        r"no quantity rod\.mas .*did you mean rod\.mass": lambda: fit(log, ["rod.mas"]),
        r"rod\.mass is named twice": lambda: fit(log, ["rod.mass", "rod.mass"]),
        r"no parameter is named": lambda: fit(log, []),
        r"action\.delay of jostle/Pendulum-v1 goes in steps": lambda: fit(log, ["action.delay"]),
        r"loss='hubre' is unknown; did you mean huber": lambda: fit(log, ["rod.mass"], loss="hubre"),  # type: ignore[arg-type]
        r"horizon=0 cannot be used": lambda: fit(log, ["rod.mass"], horizon=0),
        r"start names rod\.length, which is not estimated": lambda: fit(log, ["rod.mass"], start={"rod.length": 1.0}),
        r"has 0 transitions in windows of 100, and 1 parameters need 5": lambda: fit(log, ["rod.mass"], horizon=100),
    }.items():
        with pytest.raises(ConfigError, match=words):
            call()
    few = Log(log.obs[:4], log.action[:4], log.next_obs[:4], log.episode[:4], env=log.env)
    with pytest.raises(
        ConfigError, match="the log has 4 transitions in windows of 1, and 1 parameters need 5 at least"
    ):
        fit(few, ["rod.mass"])
    unnamed = Log(log.obs, log.action, log.next_obs, log.episode)
    with pytest.raises(ConfigError, match="does not say of which environment"):
        fit(unnamed, ["rod.mass"])
    with pytest.raises(ConfigError, match="observations of 3 numbers, and jostle/CartPole-v1 of 4"):
        fit(unnamed, ["force"], "jostle/CartPole-v1")
    with pytest.raises(ConfigError, match="actions of shape"):
        fit(Log(log.obs, np.zeros((60, 2)), log.next_obs, log.episode), ["rod.mass"], "jostle/Pendulum-v1")
    assert isinstance(fit(unnamed, ["rod.mass"], "jostle/Pendulum-v1"), Fit)
