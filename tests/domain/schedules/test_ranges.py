"""Uniform, linear, ADR and rollback against updates worked out by hand."""

import math

import numpy as np
import pytest
import scipy.stats as st
from spaces import LENGTH, MASS, QUANTITIES, bound, keys, results, rows

from jostle.domain import Categorical, Integers, Parameter, Space, TruncatedNormal, Uniform
from jostle.domain.schedules import ADR, LinearSchedule, Proposal, Rollback, UniformSchedule, make_schedule
from jostle.errors import ConfigError


def test_uniform_is_the_space_itself() -> None:
    schedule = UniformSchedule(bound())
    proposal, draw = schedule.propose(3, *keys(50)), bound().space.draw(3, *keys(50))
    np.testing.assert_array_equal(proposal.drawn, draw.values)
    np.testing.assert_array_equal(proposal.log_density, draw.log_density)
    assert schedule.log() == {
        "domain/entropy": 0.0,
        "domain/mass/low": 1.0,
        "domain/mass/high": 3.0,
        "domain/length/low": 0.1,
        "domain/length/high": 10.0,
    }


def test_whole_numbers_that_stay_have_a_range_and_names_have_none() -> None:
    space = bound(Parameter("mass", Integers(1, 3)), Parameter("length", Categorical((0.5, 2.0))))
    assert UniformSchedule(space).log() == {"domain/entropy": 0.0, "domain/mass/low": 1.0, "domain/mass/high": 3.0}


def test_linear_widens_with_the_steps_of_episodes() -> None:
    schedule = LinearSchedule(bound(), steps=1000)
    first = schedule.propose(0, *keys(20))
    np.testing.assert_array_equal(first.drawn, np.ones((20, 2)))  # the nominal values, exactly
    np.testing.assert_array_equal(first.log_density, np.zeros(20))
    schedule.observe(results(first, 0.0))  # 20 episodes of 10 steps: a fifth of the way
    log = schedule.log()
    assert (log["domain/mass/low"], log["domain/mass/high"]) == pytest.approx((2 * 0.9, 2 * 1.1))
    assert (log["domain/length/low"], log["domain/length/high"]) == pytest.approx((10**-0.2, 10**0.2))
    assert log["domain/entropy"] == pytest.approx(math.log(0.2))
    assert log["domain/share"] == pytest.approx(0.2)
    drawn = schedule.propose(0, *keys(2000)).drawn
    assert st.kstest(drawn[:, 0], st.uniform(0.9, 0.2).cdf).pvalue > 0.01
    assert st.kstest(drawn[:, 1], st.loguniform(10**-0.2, 10**0.2).cdf).pvalue > 0.01
    for _ in range(9):
        schedule.observe(results(first, 0.0))
    np.testing.assert_array_equal(schedule.propose(0, *keys(50)).drawn, bound().space.draw(0, *keys(50)).values)
    wanted = UniformSchedule(bound()).log() | {"domain/share": 1.0}  # twice the steps are no more
    assert schedule.log() == pytest.approx(wanted, rel=1e-12)


def adr(**settings: object) -> ADR:
    return ADR(bound(), **({"high": 100.0, "low": 40.0, "delta": 0.1, "episodes": 4} | settings))


def pinned(schedule: ADR, parameter: int, side: int, n: int, first: int = 0) -> Proposal:
    """n episodes that are pinned at one bound."""
    proposal = schedule.propose(0, *keys(400, first))
    where = np.flatnonzero(proposal.tag == 2 * parameter + side)[:n]
    assert len(where) == n
    return rows(proposal, where)


def test_adr_by_hand() -> None:
    schedule = adr()
    for _ in range(2):  # twice four good episodes at mass's upper bound: 0.5 → 0.7
        schedule.observe(results(pinned(schedule, 0, 1, 4), 100.0))
    np.testing.assert_allclose(schedule.q, [[0.5, 0.5], [0.7, 0.5]])
    schedule.observe(results(pinned(schedule, 0, 0, 3), 500.0))  # three of four: nothing yet
    np.testing.assert_allclose(schedule.q[0], [0.5, 0.5])
    schedule.observe(results(pinned(schedule, 0, 0, 1), -1099.0))  # the mean is 100.25: just wide enough
    np.testing.assert_allclose(schedule.q, [[0.4, 0.5], [0.7, 0.5]])
    schedule.observe(results(pinned(schedule, 0, 1, 4), 70.0))  # between the thresholds: stays
    np.testing.assert_allclose(schedule.q, [[0.4, 0.5], [0.7, 0.5]])
    schedule.observe(results(pinned(schedule, 0, 1, 4), 40.0))  # as bad as t_L: back
    np.testing.assert_allclose(schedule.q, [[0.4, 0.5], [0.6, 0.5]])
    schedule.observe(results(pinned(schedule, 1, 1, 4), 100.0))
    log = schedule.log()
    assert (log["domain/mass/low"], log["domain/mass/high"]) == pytest.approx((2 * 0.9, 2 * 1.1))
    assert (log["domain/length/low"], log["domain/length/high"]) == pytest.approx((1.0, 10**0.2))
    assert log["domain/entropy"] == pytest.approx((math.log(0.2) + math.log(0.1)) / 2)


def test_adr_stays_within_the_domain_and_around_the_nominal_value() -> None:
    schedule = adr(delta=0.3)
    for _ in range(3):
        schedule.observe(results(pinned(schedule, 1, 1, 4), 100.0))
        schedule.observe(results(pinned(schedule, 1, 0, 4), 0.0))
    np.testing.assert_array_equal(schedule.q, [[0.5, 0.5], [0.5, 1.0]])


def test_adr_narrows_neither_bound_across_the_nominal_value() -> None:
    schedule = adr(delta=0.3)
    for side in (0, 1):
        schedule.observe(results(pinned(schedule, 1, side, 4), 100.0))
    np.testing.assert_allclose(schedule.q[:, 1], [0.2, 0.8])
    for _ in range(2):
        schedule.observe(results(pinned(schedule, 1, 1, 4), 0.0))
    np.testing.assert_allclose(schedule.q[:, 1], [0.2, 0.5])
    for _ in range(2):
        schedule.observe(results(pinned(schedule, 1, 0, 4), 0.0))
    np.testing.assert_allclose(schedule.q[:, 1], [0.5, 0.5])


def test_adr_pins_a_share_of_the_episodes_at_bounds() -> None:
    schedule = adr(share=0.4)
    schedule.q = np.array([[0.2, 0.3], [0.9, 0.6]])
    proposal = schedule.propose(1, *keys(4000))
    assert (proposal.tag >= 0).mean() == pytest.approx(0.4, abs=0.03)
    assert [np.mean(proposal.tag == k) for k in range(4)] == pytest.approx([0.1] * 4, abs=0.02)
    np.testing.assert_allclose(proposal.drawn[proposal.tag == 0, 0], 0.7)
    np.testing.assert_allclose(proposal.drawn[proposal.tag == 1, 0], 1.4)
    np.testing.assert_allclose(proposal.drawn[proposal.tag == 2, 1], 10**-0.4)
    np.testing.assert_allclose(proposal.drawn[proposal.tag == 3, 1], 10**0.2)
    free = proposal.tag == -1
    mass, length = st.uniform(0.7, 0.7), st.loguniform(10**-0.4, 10**0.2)
    assert st.kstest(proposal.drawn[free, 0], mass.cdf).pvalue > 0.01
    assert st.kstest(proposal.drawn[proposal.tag == 1, 1], length.cdf).pvalue > 0.01
    np.testing.assert_allclose(
        proposal.log_density[free], (mass.logpdf(proposal.drawn[:, 0]) + length.logpdf(proposal.drawn[:, 1]))[free]
    )
    np.testing.assert_allclose(
        proposal.log_density[proposal.tag == 1], length.logpdf(proposal.drawn[proposal.tag == 1, 1])
    )


def test_adr_leaves_out_what_was_pinned_at_a_former_bound() -> None:
    schedule = adr()
    stale = pinned(schedule, 0, 1, 8)
    schedule.observe(results(stale, 100.0))  # the first four move the bound, and the others were not pinned there
    np.testing.assert_allclose(schedule.q[1, 0], 0.6)
    schedule.observe(results(pinned(schedule, 0, 1, 3), 100.0))
    np.testing.assert_allclose(schedule.q[1, 0], 0.6)


def test_adr_counts_successes() -> None:
    schedule = adr(high=0.75, low=0.5, score="success")
    schedule.observe(results(pinned(schedule, 0, 1, 4), -1e9, np.array([1.0, 1, 1, 0])))
    assert schedule.q[1, 0] == pytest.approx(0.6)
    with pytest.raises(ConfigError, match="adr counts successes, and the environment tells none"):
        schedule.observe(results(pinned(schedule, 0, 1, 4), 1.0))


def test_the_entropy_is_of_the_ranges_that_move() -> None:
    wind = Parameter("wind", Uniform(0.0, 1.0), when="step")
    schedule = ADR(bound(wind, MASS), high=100.0, low=40.0)
    schedule.q = np.array([[0.5, 0.2], [0.5, 0.9]])
    assert schedule.log() == pytest.approx(
        {"domain/entropy": math.log(0.7), "domain/mass/low": 2 * 0.7, "domain/mass/high": 2 * 1.4}
    )


def rollback(**settings: object) -> Rollback:
    return Rollback(bound(), **({"high": 100.0, "low": 40.0, "delta": 0.2, "least": 0.04, "episodes": 3} | settings))


def window(schedule: Rollback, core: float, frontier: float) -> None:
    """As many episodes as count, all cores alike and all frontiers alike."""
    proposal = schedule.propose(0, *keys(60))
    of = proposal.tag % 2
    where = np.sort(np.concatenate([np.flatnonzero(of == part)[:3] for part in (0, 1)]))
    some = rows(proposal, where)
    schedule.observe(results(some, np.where(some.tag % 2 == 1, frontier, core)))


def test_rollback_draws_the_core_from_what_is_good_and_the_frontier_from_the_strip() -> None:
    schedule = rollback()
    schedule.good = np.array([[0.4, 0.3], [0.6, 0.8]])
    assert schedule.trial == (0, 0, pytest.approx(0.2))
    proposal = schedule.propose(0, *keys(3000))
    frontier = proposal.tag % 2 == 1
    assert frontier.mean() == pytest.approx(0.5, abs=0.03)
    assert st.kstest(proposal.drawn[frontier, 0], st.uniform(0.7, 0.2).cdf).pvalue > 0.01
    assert st.kstest(proposal.drawn[~frontier, 0], st.uniform(0.9, 0.2).cdf).pvalue > 0.01
    for part in (frontier, ~frontier):
        assert st.kstest(proposal.drawn[part, 1], st.loguniform(10**-0.4, 10**0.6).cdf).pvalue > 0.01
    np.testing.assert_allclose(
        proposal.log_density[frontier],
        math.log(1 / 0.2) + st.loguniform(10**-0.4, 10**0.6).logpdf(proposal.drawn[frontier, 1]),
    )


def test_rollback_by_hand() -> None:
    schedule = rollback()
    assert schedule.trial == (0, 0, pytest.approx(0.3))
    window(schedule, 200.0, 100.0)  # mastered: mass goes down to 0.3, and its upper side is next
    np.testing.assert_allclose(schedule.good, [[0.3, 0.5], [0.5, 0.5]])
    assert schedule.trial == (0, 1, pytest.approx(0.7))
    window(schedule, 200.0, 99.0)  # not yet mastered: another window of the same
    assert schedule.trial == (0, 1, pytest.approx(0.7))
    window(schedule, 39.0, 500.0)  # the old part is lost in the second window: this trial ends, its step is halved
    np.testing.assert_allclose(schedule.good, [[0.3, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(schedule.step, [[0.2, 0.2], [0.1, 0.2]])
    assert schedule.trial == (1, 0, pytest.approx(0.3))
    window(schedule, 39.0, 500.0)  # lost in the first window: the last widening is taken back, and its step halved
    np.testing.assert_allclose(schedule.good, [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(schedule.step, [[0.1, 0.2], [0.1, 0.2]])
    assert schedule.rollbacks == 2
    assert schedule.trial == (1, 1, pytest.approx(0.7))
    window(schedule, 40.0, 100.0)  # both exactly at their thresholds: mastered
    np.testing.assert_allclose(schedule.good, [[0.5, 0.5], [0.5, 0.7]])
    assert schedule.trial == (0, 0, pytest.approx(0.4))  # round again, by the smaller step
    log = schedule.log()
    assert (log["domain/length/low"], log["domain/length/high"]) == pytest.approx((1.0, 10**0.4))
    assert log["domain/rollbacks"] == 2


def test_rollback_gives_a_trial_up_after_its_patience() -> None:
    schedule = rollback(patience=2)
    window(schedule, 200.0, 50.0)
    assert schedule.trial == (0, 0, pytest.approx(0.3))
    window(schedule, 200.0, 50.0)
    assert schedule.trial == (0, 1, pytest.approx(0.7))
    np.testing.assert_allclose(schedule.step, [[0.1, 0.2], [0.2, 0.2]])
    assert schedule.rollbacks == 0


def test_rollback_comes_to_the_whole_domain_and_back() -> None:
    schedule = rollback(delta=0.5)
    for _ in range(4):
        window(schedule, 200.0, 200.0)
    np.testing.assert_array_equal(schedule.good, [[0.0, 0.0], [1.0, 1.0]])
    assert schedule.trial is None
    proposal = schedule.propose(0, *keys(30))
    assert (proposal.tag % 2 == 0).all()
    np.testing.assert_allclose(proposal.drawn, bound().space.draw(0, *keys(30)).values)
    schedule.observe(results(rows(proposal, np.arange(3)), 200.0))
    assert schedule.trial is None
    schedule.observe(results(rows(proposal, np.arange(3, 6)), 0.0))
    np.testing.assert_allclose(schedule.good, [[0.0, 0.0], [1.0, 0.5]])
    assert schedule.trial == (1, 1, pytest.approx(0.75))


def test_rollback_begins_its_steps_anew_when_all_are_at_their_boundary() -> None:
    schedule = rollback(patience=1, least=0.11)
    for _ in range(4):
        window(schedule, 200.0, 50.0)
    assert schedule.trial == (0, 0, pytest.approx(0.3))
    np.testing.assert_allclose(schedule.step, np.full((2, 2), 0.2))


def test_rollback_leaves_out_episodes_of_former_trials() -> None:
    schedule = rollback()
    old = schedule.propose(0, *keys(60))
    window(schedule, 200.0, 200.0)
    good = schedule.good.copy()
    schedule.observe(results(old, 200.0))
    np.testing.assert_array_equal(schedule.good, good)


@pytest.mark.parametrize(
    "kind",
    [
        "linear(steps=3000)",
        "adr(high=5, low=1, episodes=2)",
        "rollback(high=5, low=1, episodes=2)",
        "doraemon(threshold=3, episodes=25)",
    ],
)
def test_a_state_goes_on_as_if_it_had_never_stopped(kind: str) -> None:
    one = make_schedule(kind, bound())
    score = np.random.default_rng(0).uniform(0, 10, 400)
    for t in range(20):
        one.observe(results(one.propose(0, *keys(10, 10 * t)), score[10 * t : 10 * t + 10]))
    two = make_schedule(kind, bound())
    two.load_state_dict(one.state_dict())
    before = one.log()
    for t in range(20, 40):
        for schedule in (one, two):
            schedule.observe(results(schedule.propose(0, *keys(10, 10 * t)), score[10 * t : 10 * t + 10]))
        assert one.log() == two.log()
        np.testing.assert_array_equal(one.propose(0, *keys(10)).drawn, two.propose(0, *keys(10)).drawn)
    assert one.log() != before


@pytest.mark.parametrize(
    "kind", ["linear(steps=30)", "adr(high=5, low=1)", "rollback(high=5, low=1)", "doraemon(threshold=3)"]
)
def test_what_does_not_move_keeps_its_distribution(kind: str) -> None:
    law = Uniform(-1.0, 1.0)
    still = [Parameter("wind", law, when="interval", interval=5), Parameter("length", Categorical((1.0, 2.0)))]
    schedule = make_schedule(kind, bound(MASS, *still))
    drawn = schedule.propose(0, *keys(50)).drawn
    np.testing.assert_array_equal(drawn[:, 1:], Space(still).draw(0, *keys(50)).values)
    assert len(np.unique(drawn[:, 1])) == 50
    assert abs(drawn[:, 0] - 1).max() < 0.2


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_schedule("adr", bound()), "adr needs high and low: write it as adr"),
        (lambda: make_schedule("ard(high=1)", bound()), "'ard' is unknown; did you mean adr"),
        (lambda: make_schedule("adr(hihg=1, low=0)", bound()), "no setting 'hihg'; did you mean high"),
        (lambda: make_schedule("uniform(a=1)", bound()), "no setting 'a'; it has none"),
        (lambda: make_schedule("adr(high=x, low=0)", bound()), "high='x' of the domain schedule adr must be a number"),
        (lambda: make_schedule("adr(high=1, low=0, score=3)", bound()), "score=3 .* must be a text"),
        (lambda: make_schedule("adr(1, 2)", bound()), "write it as adr"),
        (lambda: make_schedule("adr high", bound()), "is no schedule"),
        (lambda: make_schedule({"adr": {}, "linear": {}}, bound()), "give one of"),
        (lambda: make_schedule({"adr": [1]}, bound()), "must be a mapping"),
        (lambda: make_schedule("adr(high=0, low=1)", bound()), "give the lower one first"),
        (lambda: make_schedule("adr(high=1, low=0, delta=0)", bound()), "delta=0 cannot be"),
        (lambda: make_schedule("adr(high=1, low=0, episodes=0)", bound()), "1 or more"),
        (lambda: make_schedule("adr(high=1, low=0, score=retrun)", bound()), "take return or success"),
        (lambda: make_schedule("linear(steps=0)", bound()), "steps of the widening"),
        (lambda: make_schedule("rollback(high=1, low=0, least=0.5)", bound()), "0 < least"),
        (lambda: make_schedule("rollback(high=1, low=0, share=1)", bound()), "between 0 and 1"),
        (lambda: make_schedule("doraemon(alpha=1)", bound()), "between 0 and 1"),
        (lambda: make_schedule("doraemon(epsilon=0)", bound()), "epsilon > 0"),
        (
            lambda: make_schedule("adr(high=1, low=0)", bound(Parameter("wind", Uniform(0.0, 1.0), when="step"))),
            "no such parameter: use the schedule uniform",
        ),
        (
            lambda: make_schedule("adr(high=1, low=0)", bound(Parameter("wind", TruncatedNormal(0.0, 1.0)))),
            "an end to the range of wind",
        ),
        (lambda: make_schedule("plr", bound()), "give parameter=NAME"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(make: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_a_nominal_value_outside_the_range_starts_at_its_near_end() -> None:
    schedule = ADR(bound(Parameter("mass", Uniform(3.0, 5.0)), LENGTH), high=1.0, low=0.0, episodes=1, share=1.0)
    drawn = schedule.propose(0, *keys(10)).drawn
    np.testing.assert_array_equal(drawn[:, 0], np.full(10, 3.0))
    assert QUANTITIES["mass"].nominal == 2.0
