"""Prioritised level replay against probabilities worked out by hand."""

import math

import numpy as np
import pytest
import scipy.stats as st

from jostle.domain import Integers, Parameter, Quantity, Space, Uniform
from jostle.domain.schedules import PLR
from jostle.errors import ConfigError

QUANTITIES = {q.name: q for q in (Quantity("level", 0.0, 0.0, 1e6), Quantity("wind", 0.0))}
SPACE = Space([Parameter("wind", Uniform(0.0, 1.0)), Parameter("level", Integers(10, 14))])


def plr(**settings: object) -> PLR:
    return PLR(SPACE.bind(QUANTITIES), **settings)


def at(n: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(n, np.int64), np.arange(first, first + n)


def told(levels: list[float]) -> np.ndarray:
    return np.stack([np.zeros(len(levels)), np.array(levels)], 1)


def test_every_level_is_seen_before_replay_alone() -> None:
    proposal = plr(replay=0.0).propose(0, *at(5))
    assert sorted(proposal.drawn[:, 1]) == [10, 11, 12, 13, 14]
    # One of five, one of four, … and the uniform wind adds nothing.
    np.testing.assert_allclose(proposal.log_density, [-math.log(n) for n in (5, 4, 3, 2, 1)], atol=1e-12)
    np.testing.assert_array_equal(proposal.drawn[:, 0], SPACE.draw(0, *at(5)).values[:, 0])


def test_probabilities_by_hand() -> None:
    schedule = plr(beta=0.5, staleness=0.3)
    schedule.proposed_at = np.array([4, 1, -1, 2, 3])
    schedule._count = 5
    schedule.score = np.array([0.1, 0.7, 9.0, 0.7, 0.3])
    # Ranks 4, 1, –, 2, 3; (1/rank)^2 = 1/16, 1, –, 1/4, 1/9. Ages 1, 4, –, 3, 2.
    by_score = np.array([1 / 16, 1, 0, 1 / 4, 1 / 9])
    wanted = 0.7 * by_score / by_score.sum() + 0.3 * np.array([1, 4, 0, 3, 2]) / 10
    np.testing.assert_allclose(schedule.probabilities(), wanted)


def test_draws_follow_the_probabilities() -> None:
    counts, expected = np.zeros(5), np.zeros(5)
    for seed in range(500):
        schedule = plr(beta=1.0, staleness=0.2, replay=0.6)
        schedule.proposed_at = np.array([4, 1, -1, -1, 3])
        schedule._count, schedule.score = 5, np.array([0.1, 0.7, 0.0, 0.0, 0.3])
        p = schedule.probabilities()
        proposal = schedule.propose(seed, *at(1))
        level = int(proposal.drawn[0, 1]) - 10
        counts[level] += 1
        expected = 500 * (0.6 * p + np.array([0, 0, 0.2, 0.2, 0]))
        assert proposal.log_density[0] == pytest.approx(math.log(expected[level] / 500))
    assert st.chisquare(counts, expected).pvalue > 0.01


def test_scores_are_the_newest_means_by_steps() -> None:
    schedule = plr()
    schedule.propose(0, *at(5))
    schedule.feedback(told([11, 13, 11]), np.array([1.0, 5.0, 4.0]), np.array([10, 3, 20]))
    np.testing.assert_allclose(schedule.score, [0, 3, 0, 5, 0])
    schedule.feedback(told([13]), np.array([1.0]), np.array([7]))
    np.testing.assert_allclose(schedule.score, [0, 3, 0, 1, 0])
    kept = plr(keep=0.75)
    kept.feedback(told([13]), np.array([4.0]), np.array([7]))
    kept.feedback(told([13]), np.array([2.0]), np.array([7]))
    assert kept.score[3] == pytest.approx(0.75 * 1 + 0.25 * 2)


def test_what_is_learned_from_comes_again_most() -> None:
    schedule = plr(staleness=0.05)
    schedule.propose(0, *at(60))
    schedule.feedback(told([10, 11, 12, 13, 14]), np.array([0.1, 0.2, 9.0, 0.3, 0.1]), np.full(5, 10))
    drawn = schedule.propose(0, *at(200, 60)).drawn[:, 1]
    assert (drawn == 12).mean() > 0.9
    assert set(drawn) == {10, 11, 12, 13, 14}  # by staleness
    log = schedule.log()
    assert log["domain/levels_seen"] == 5
    assert log["domain/level_score"] == pytest.approx(9.7 / 5)
    assert -math.log(5) < log["domain/entropy"] < -0.5


def test_a_state_goes_on_as_if_it_had_never_stopped() -> None:
    one = plr()
    one.propose(0, *at(7))
    one.feedback(told([10, 12]), np.array([1.0, 2.0]), np.array([3, 4]))
    two = plr()
    two.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(one.propose(0, *at(50, 7)).drawn, two.propose(0, *at(50, 7)).drawn)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"parameter": "levle"}, "levle is none; did you mean level"),
        ({"parameter": "wind"}, "wind is none"),
        ({"beta": 0.0}, "above 0"),
        ({"replay": 2.0}, "between 0 and 1"),
    ],
)
def test_bad_input(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plr(**settings)
