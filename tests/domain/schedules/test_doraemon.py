"""DORAEMON: its formulas against SciPy and numbers, its optimum against a dense grid and another optimiser."""

import numpy as np
import pytest
import scipy.stats as st
from scipy.integrate import quad
from scipy.optimize import differential_evolution
from scipy.special import betaln, psi
from spaces import LENGTH, MASS, bound, keys, results

from jostle.domain import Correlated, Parameter, Space, Uniform
from jostle.domain.schedules import DORAEMON
from jostle.domain.schedules.betas import Valued, divergence, entropy, log_density, weighted_success
from jostle.domain.schedules.doraemon_step import _best, update
from jostle.errors import ConfigError

P, Q = np.array([[2.0, 100.0], [5.0, 90.0]]), np.array([[2.5, 95.0], [4.0, 101.0]])


def numeric(f: object, x: np.ndarray) -> np.ndarray:
    """The gradient by central differences."""
    out = np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += 1e-5
        down[i] -= 1e-5
        out[i] = (f(up) - f(down)) / 2e-5
    return out


def test_entropy() -> None:
    assert entropy(P).value == pytest.approx(sum(st.beta(*P[:, i]).entropy() for i in range(2)))
    np.testing.assert_allclose(entropy(P).gradient, numeric(lambda p: entropy(p).value, P), rtol=1e-5, atol=1e-8)
    assert entropy(np.ones((2, 3))).value == pytest.approx(0.0, abs=1e-12)


def test_divergence() -> None:
    def one(i: int) -> float:
        p, q = st.beta(*P[:, i]), st.beta(*Q[:, i])
        return quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), 1e-9, 1 - 1e-9, limit=200, points=[p.mean()])[0]

    assert divergence(P, Q).value == pytest.approx(one(0) + one(1), rel=1e-6)
    np.testing.assert_allclose(
        divergence(P, Q).gradient, numeric(lambda q: divergence(P, q).value, Q), rtol=1e-4, atol=1e-8
    )
    # Tiny, and still positive: in float32 it would be noise of −4e-5.
    assert divergence(np.array([[100.0], [100.0]]), np.array([[99.994], [99.994]])).value == pytest.approx(
        9.0e-10, rel=0.05
    )


def test_weighted_success() -> None:
    y = st.beta(3, 3).rvs(size=(4000, 1), random_state=0)
    success = (y[:, 0] > 0.4).astype(float)
    under = st.beta(3, 3).logpdf(y[:, 0])
    new = np.array([[4.0], [2.5]])
    found = weighted_success(new, y, success, under)
    assert found.value == pytest.approx(st.beta(4, 2.5).sf(0.4), abs=0.02)
    by_hand = np.mean(success * st.beta(4, 2.5).pdf(y[:, 0]) / st.beta(3, 3).pdf(y[:, 0]))
    assert found.value == pytest.approx(by_hand)
    np.testing.assert_allclose(
        found.gradient, numeric(lambda p: weighted_success(p, y, success, under).value, new), rtol=1e-5
    )
    assert weighted_success(np.array([[3.0], [3.0]]), y, success, under).value == pytest.approx(success.mean())


BOUNDS = (0.8, 110.0)


def case(now: np.ndarray, threshold: float, seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Episodes drawn under the present Betas that succeed below a threshold on the first parameter, mostly."""
    rng = np.random.default_rng(seed)
    y = np.stack([st.beta(*now[:, i]).rvs(size=n, random_state=rng) for i in range(now.shape[1])], 1)
    success = ((y[:, 0] < threshold) ^ (rng.uniform(size=n) < 0.05)).astype(float)
    return y, success, log_density(now, y)


def dense_grid(
    now: np.ndarray, y: np.ndarray, success: np.ndarray, under: np.ndarray, alpha: float, epsilon: float
) -> tuple[float, float]:
    """The largest entropy under both constraints (−∞: none) and the largest success in the ball, by trying all."""
    grid = np.exp(np.linspace(-1.5, 0.6, 400))
    a, b = np.clip(now * np.stack(np.meshgrid(grid, grid)).reshape(2, -1), *BOUNDS)
    (c,), (d,) = now
    kl = betaln(a, b) - betaln(c, d) + (c - a) * psi(c) + (d - b) * psi(d) + (a - c + b - d) * psi(c + d)
    a, b = a[kl <= epsilon], b[kl <= epsilon]
    y, under, n = y[success > 0], under[success > 0], len(y)
    density = np.log(y) * (a - 1) + np.log1p(-y) * (b - 1) - betaln(a, b) - under[:, None]
    rate = np.exp(density, out=density).sum(0) / n
    wide = betaln(a, b) - (a - 1) * psi(a) - (b - 1) * psi(b) + (a + b - 2) * psi(a + b)
    return float(np.where(rate >= alpha, wide, -np.inf).max()), float(rate.max())


@pytest.mark.parametrize(
    ("a", "b", "threshold", "alpha", "epsilon", "feasible"),
    [
        (100, 100, 0.9, 0.5, 0.05, True),
        (20, 20, 0.55, 0.6, 0.1, True),
        (5, 5, 0.5, 0.45, 0.3, True),
        (3, 6, 0.3, 0.45, 0.2, True),
        (1.5, 2, 0.9, 0.5, 0.1, True),
        (20, 20, 0.4, 0.8, 0.05, False),
    ],
)
def test_the_optimum_is_a_dense_grids(
    a: float, b: float, threshold: float, alpha: float, epsilon: float, feasible: bool
) -> None:
    now = np.array([[float(a)], [float(b)]])
    y, success, under = case(now, threshold, 1)
    step = update(now, y, success, under, alpha=alpha, epsilon=epsilon, bounds=BOUNDS)
    best, best_success = dense_grid(now, y, success, under, alpha, epsilon)
    assert divergence(now, step.parameters).value <= epsilon + 1e-5
    assert step.feasible == feasible == (best > -np.inf)
    if step.feasible:
        assert step.success >= alpha - 1e-5
        assert entropy(step.parameters).value >= best - 1e-3
        assert entropy(step.parameters).value <= best + 5e-3
    else:
        assert step.success == pytest.approx(best_success, abs=2e-3)


@pytest.mark.parametrize(("threshold", "alpha", "feasible"), [(0.55, 0.55, True), (0.3, 0.5, False)])
def test_the_optimum_of_two_parameters_is_another_optimisers(threshold: float, alpha: float, feasible: bool) -> None:
    now = np.array([[12.0, 8.0], [12.0, 9.0]])
    y, success, under = case(now, threshold, 2, 200)
    step = update(now, y, success, under, alpha=alpha, epsilon=0.08, bounds=BOUNDS)
    assert step.feasible is feasible

    def cost(x: np.ndarray) -> float:
        p = now * np.exp(x).reshape(2, 2)
        rate = weighted_success(p, y, success, under).value
        outside = max(0.0, divergence(now, p).value - 0.08)
        return 1e3 * outside + (1e3 * max(0.0, alpha - rate) - entropy(p).value if feasible else -rate)

    other = differential_evolution(cost, [(-0.8, 0.8)] * 4, seed=0, maxiter=70, popsize=10, tol=1e-8)
    mine = cost(np.log(step.parameters / now).ravel())
    assert mine <= other.fun + 2e-3


def test_a_walk_to_the_uniform_where_everything_succeeds() -> None:
    schedule = DORAEMON(bound(), threshold=0.0, episodes=50, epsilon=0.5)
    entropies = []
    for t in range(40):
        schedule.observe(results(schedule.propose(0, *keys(50, 50 * t)), 1.0))
        entropies.append(schedule.log()["domain/entropy"])
    assert (np.diff(entropies) >= -1e-9).all()
    assert entropies[-1] == pytest.approx(0.0, abs=0.02)
    drawn = schedule.propose(1, *keys(2000)).drawn
    assert st.kstest(drawn[:, 0], st.uniform(0.5, 1).cdf).pvalue > 0.001
    assert schedule.updates == 40


def test_draws_and_their_density_are_the_betas() -> None:
    schedule = DORAEMON(bound(), threshold=0.0)
    np.testing.assert_allclose(schedule.parameters, np.full((2, 2), 100.0))
    schedule.parameters = np.array([[2.0, 6.0], [5.0, 3.0]])
    proposal = schedule.propose(0, *keys(3000))
    assert st.kstest(proposal.drawn[:, 0], st.beta(2, 5, 0.5, 1).cdf).pvalue > 0.01
    assert st.kstest(np.log10(proposal.drawn[:, 1]), st.beta(6, 3, -1, 2).cdf).pvalue > 0.01
    x = proposal.drawn
    log_length = st.beta(6, 3, -1, 2).logpdf(np.log10(x[:, 1])) - np.log(x[:, 1] * np.log(10))
    np.testing.assert_allclose(
        proposal.log_density, st.beta(2, 5, 0.5, 1).logpdf(x[:, 0]) + log_length, rtol=1e-7, atol=1e-7
    )
    log = schedule.log()
    assert log["domain/mass/low"] == pytest.approx(2 * st.beta(2, 5, 0.5, 1).ppf(0.05))
    assert log["domain/length/high"] == pytest.approx(10 ** st.beta(6, 3, -1, 2).ppf(0.95))
    assert log["domain/entropy"] == pytest.approx((st.beta(2, 5).entropy() + st.beta(6, 3).entropy()) / 2)


def test_the_start_is_around_the_nominal_value() -> None:
    schedule = DORAEMON(bound(Parameter("mass", Uniform(1.0, 5.0)), LENGTH), threshold=0.0)
    np.testing.assert_allclose(schedule.parameters, [[50.0, 100.0], [150.0, 100.0]])


def test_the_start_around_the_end_of_the_range_falls_from_there() -> None:
    schedule = DORAEMON(bound(Parameter("mass", Uniform(3.0, 5.0)), Parameter("length", Uniform(0.0, 1.0))))
    np.testing.assert_allclose(schedule.parameters, [[1.0, 200.0], [200.0, 1.0]])


def test_a_start_that_is_narrower_than_the_papers_widens_too() -> None:
    schedule = DORAEMON(bound(MASS), threshold=0.0, episodes=40, concentration=2000.0)
    before = schedule.log()["domain/entropy"]
    schedule.observe(results(schedule.propose(0, *keys(40)), 1.0))
    assert schedule.log()["domain/entropy"] > before + 0.1
    assert divergence(np.full((2, 1), 1000.0), schedule.parameters).value == pytest.approx(0.05, abs=1e-4)


def test_a_return_of_the_threshold_is_a_success() -> None:
    schedule = DORAEMON(bound(MASS), threshold=500.0, episodes=4)
    schedule.observe(results(schedule.propose(0, *keys(4)), np.array([500.0, 499.0, 500.0, 501.0])))
    assert schedule.log()["domain/success"] == 0.75


def test_an_optimum_that_breaks_a_constraint_is_not_taken() -> None:
    now = np.array([[20.0], [20.0]])

    def never(p: np.ndarray) -> Valued:
        return Valued(-1.0, np.zeros_like(p))

    assert _best(entropy, [never], [now * 0.97], BOUNDS, now) is now


def test_the_domains_own_densities_count_for_nothing() -> None:
    """Of what is log-uniform, and of what does not move at all."""
    wind = Parameter("wind", Uniform(0.0, 8.0), when="interval", interval=5)
    schedule = DORAEMON(bound(LENGTH, wind), threshold=0.5, episodes=60, epsilon=0.2)
    proposal, before = schedule.propose(0, *keys(60)), schedule.parameters
    y = (np.log10(proposal.drawn[:, :1]) + 1) / 2
    success = (y[:, 0] < 0.5).astype(float)
    schedule.observe(results(proposal, success))
    under = st.beta(100, 100).logpdf(y[:, 0])
    wanted = update(before, y, success, under, alpha=0.5, epsilon=0.2, bounds=BOUNDS)
    np.testing.assert_allclose(schedule.parameters, wanted.parameters, rtol=1e-5)


def test_densities_at_draw_time_are_used() -> None:
    """Episodes that were drawn before the last update come with their own density."""
    schedule = DORAEMON(bound(MASS), threshold=0.5, episodes=40, alpha=0.5, epsilon=0.2)
    old = schedule.propose(0, *keys(80))
    returns = (old.drawn[:, 0] < 1.02).astype(float)
    before = schedule.parameters.copy()
    schedule.observe(results(type(old)(*[p[:40] for p in old]), returns[:40]))
    middle = schedule.parameters.copy()
    assert (middle != before).any()
    schedule.observe(results(type(old)(*[p[40:] for p in old]), returns[40:]))
    wanted = update(
        middle,
        old.drawn[40:] - 0.5,
        returns[40:],
        log_density(before, old.drawn[40:] - 0.5),
        alpha=0.5,
        epsilon=0.2,
        bounds=BOUNDS,
    )
    np.testing.assert_allclose(schedule.parameters, wanted.parameters, rtol=1e-6)


def test_bad_input() -> None:
    space = Space([MASS, LENGTH], [Correlated(("mass", "length"), 0.5)])
    with pytest.raises(ConfigError, match="leave `correlated` out"):
        DORAEMON(space.bind(bound().space and {q.name: q for q in bound().quantities}))
    schedule = DORAEMON(bound())
    with pytest.raises(ConfigError, match="doraemon counts successes, and the environment tells none"):
        schedule.observe(results(schedule.propose(0, *keys(3)), 1.0))
