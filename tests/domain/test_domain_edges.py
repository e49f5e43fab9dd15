"""Corners of spaces and schedules in which a fault would stay unseen: rounding at bounds, negative nominal values, and
states that hold more than what comes next."""

import math

import numpy as np
import pytest

from jostle.domain import (
    Constant,
    Correlated,
    Integers,
    LogUniform,
    Parameter,
    Quantity,
    Space,
    TruncatedNormal,
    Uniform,
)
from jostle.domain.schedules import PLR, Results, make_schedule
from jostle.errors import ConfigError

QUANTITIES = {
    q.name: q
    for q in (
        Quantity("mass", 0.1, 0.0, 0.3, "kg"),
        Quantity("gravity.z", -9.81, -20.0, 0.0, "m/s²"),
        Quantity("length", 1.0, 0.01, 20.0, "m"),
        Quantity("level", 0.0, 0.0, 1e6),
    )
}
DOWN = Parameter("gravity.z", Uniform(0.5, 1.5), "scale")
LENGTH = Parameter("length", LogUniform(0.1, 10.0))


def bound(*parameters: Parameter, correlated: tuple[Correlated, ...] = ()) -> object:
    return Space(parameters, correlated).bind(QUANTITIES)


def keys(n: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(n, np.int64), np.arange(first, first + n)


def test_a_rounding_does_not_leave_the_bounds_and_nothing_more_is_let_through() -> None:
    assert 0.1 * 3.0 > 0.3
    draw = bound(Parameter("mass", Constant(3.0), "scale")).draw(0, *keys(2))
    assert (draw.values == 0.3).all()
    with pytest.raises(ConfigError, match=r"would reach 0\.301 kg"):
        bound(Parameter("mass", Constant(0.301)))
    with pytest.raises(ConfigError, match=r"would reach -0\.001 kg"):
        bound(Parameter("mass", Uniform(-0.001, 0.1)))


def test_ranges_of_a_negative_nominal_value_are_told_from_low_to_high() -> None:
    """Scaled by 0.5 to 1.5 it reaches from −14.715 to −4.905."""
    space = bound(DOWN)
    assert str(space).splitlines()[1].split()[-2:] == ["-14.715", "-4.905"]
    for kind in (
        "uniform",
        "linear(steps=1)",
        "adr(high=1, low=0)",
        "rollback(high=1, low=0)",
        "doraemon(threshold=0)",
    ):
        log = make_schedule(kind, space).log()
        assert -14.8 < log["domain/gravity.z/low"] <= log["domain/gravity.z/high"] < -4.8, kind
    assert make_schedule("uniform", space).log()["domain/gravity.z/low"] == pytest.approx(-14.715)


def test_bands_of_doraemon_are_in_the_quantitys_unit() -> None:
    """Around the nominal 1 m, which is the middle of the orders of magnitude: 90% of Beta(100, 100) of them."""
    import scipy.stats as st

    log = make_schedule("doraemon(threshold=0)", bound(LENGTH)).log()
    ends = [10 ** (2 * y - 1) for y in st.beta(100, 100).ppf([0.05, 0.95])]
    assert [log["domain/length/low"], log["domain/length/high"]] == pytest.approx(ends, rel=1e-6)


@pytest.mark.parametrize("mean", [-12.0, 12.0])
def test_a_normal_cut_far_from_its_mean_is_symmetric(mean: float) -> None:
    """Twelve deviations away Φ is 1 to all digits; the law is the mirror image of the one below."""
    law = TruncatedNormal(mean, 1.0, *sorted((0.0, -np.sign(mean))))
    u = np.array([0.01, 0.3, 0.5, 0.9])
    x = law.quantile(u)
    assert len(np.unique(x)) == 4
    np.testing.assert_allclose(law.cdf(x), u, rtol=1e-6)


@pytest.mark.parametrize("level", [0.1, 3.0])
def test_a_log_uniform_has_all_or_nothing_beyond_its_ends(level: float) -> None:
    law = LogUniform(level, 2 * level)
    np.testing.assert_array_equal(law.cdf(np.array([-1.0, 0.0, level / 2, 5 * level])), [0, 0, 0, 1])


def test_the_copulas_density_within_narrower_bounds_is_that_of_the_conditioned_members() -> None:
    """u is the quantile *within* the bounds, so that the joint density integrates to 1 over them."""
    a, b = Parameter("mass", Uniform(0.0, 0.3)), Parameter("length", Uniform(1.0, 3.0))
    space = Space([a, b], [Correlated(("mass", "length"), 0.7)])
    x, y = (np.linspace(lo, hi, 201)[:-1] + (hi - lo) / 400 for lo, hi in ((0.1, 0.2), (1.5, 2.0)))
    grid = np.stack([g.ravel() for g in np.meshgrid(x, y)], 1)
    low, high = np.tile([[0.1, 1.5]], (len(grid), 1)), np.tile([[0.2, 2.0]], (len(grid), 1))
    density = np.exp(space.log_density(grid, low=low, high=high))
    assert density.mean() * 0.1 * 0.5 == pytest.approx(1.0, rel=0.02)


def results(proposal: object, score: np.ndarray, n: int) -> Results:
    return Results(*keys(n), *proposal, score, np.full(n, 10), np.full(n, np.nan))


@pytest.mark.parametrize(
    "kind",
    [
        "linear(steps=3000)",
        "adr(high=5, low=1, episodes=3)",
        "rollback(high=5, low=4, episodes=3, patience=3)",
        "doraemon(threshold=99, episodes=25)",
    ],
)
def test_a_state_that_is_loaded_is_the_whole_state(kind: str) -> None:
    space = bound(DOWN, LENGTH)
    one, rng = make_schedule(kind, space), np.random.default_rng(1)
    for t in range(30):
        proposal = one.propose(0, *keys(10, 10 * t))
        # Good for a while, so that ranges widen, then bad.
        one.observe(results(proposal, rng.uniform(4, 9, 10) if t < 20 else rng.uniform(0, 9, 10), 10))
        two = make_schedule(kind, space)
        two.load_state_dict(one.state_dict())
        np.testing.assert_equal(two.state_dict(), one.state_dict())
        np.testing.assert_equal(two.log(), one.log())
    if kind.startswith("rollback"):
        assert len(one.state_dict()["history"]), "there must be something to lose"
    if kind.startswith("doraemon"):
        assert not one.feasible


LEVELS = Space([Parameter("level", Integers(10, 14))])


@pytest.mark.parametrize("seen", [0, 1, 3, 5])
def test_the_chances_of_all_levels_add_up_to_one(seen: int) -> None:
    schedule = PLR(LEVELS.bind(QUANTITIES), replay=0.3)
    schedule.proposed_at[:seen] = np.arange(seen)
    schedule._count = seen
    p, unseen = schedule.probabilities(), np.flatnonzero(schedule.proposed_at < 0)
    assert sum(schedule._chance(k, p, unseen) for k in range(5)) == pytest.approx(1.0)


def test_a_level_keeps_its_share_of_the_old_score() -> None:
    schedule = PLR(LEVELS.bind(QUANTITIES), keep=0.75)
    schedule.score[2] = 8.0
    schedule.feedback(np.full((2, 1), 12.0), np.array([2.0, 5.0]), np.array([1, 2]))
    assert schedule.score[2] == pytest.approx(0.75 * 8 + 0.25 * (2 + 2 * 5) / 3)
    assert math.isclose(schedule.score.sum(), schedule.score[2])
