"""Point estimates: hand-computed numbers, SciPy as oracle, invariances, bad input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from jostle import stress
from jostle.errors import ConfigError
from jostle.scores.statistics import STATISTICS, wins

#                    task 0  1    2
HAND = np.array([[0.0, 10.0, 2.0], [2.0, 20.0, 4.0]])  # task means 1, 15, 3

matrices = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.floats(-100, 100))
FAST = settings(max_examples=60, deadline=None, derandomize=True)


def test_hand_computed() -> None:
    assert stress.mean(HAND) == pytest.approx(19 / 3)
    assert stress.median(HAND) == 3.0  # of the task means; the median of all six scores is 3 too, but see below
    assert stress.iqm(HAND) == pytest.approx((2 + 2 + 4 + 10) / 4)  # floor(6 / 4) = 1 cut at either end
    assert stress.optimality_gap(HAND, gamma=4.0) == pytest.approx((4 + 0 + 2 + 2 + 0 + 0) / 6)
    assert stress.optimality_gap([0.25, 0.5, 3.0]) == pytest.approx((0.75 + 0.5) / 3)
    assert stress.std(HAND) == pytest.approx(math.sqrt((2 + 50 + 2) / 3))
    assert math.isnan(stress.std([1.0]))


def test_median_is_of_task_means() -> None:
    """One lucky run of ten in the middle task: the median over runs would not see it."""
    scores = np.array([[0.0, 1.0, 2.0]] * 9 + [[0.0, 11.0, 12.0]])
    assert stress.median(scores) == 2.0
    assert np.median(scores) == 1.0


@pytest.mark.parametrize("size", range(1, 14))
def test_iqm_is_scipys_trimmed_mean_for_every_size(size: int) -> None:
    scores = np.random.default_rng(size).normal(size=size)
    assert stress.iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25), rel=1e-12)
    matrix = np.random.default_rng(size).normal(size=(size, 5))
    assert stress.iqm(matrix) == pytest.approx(stats.trim_mean(matrix, 0.25, axis=None), rel=1e-12)


def test_batches_equal_single_calls() -> None:
    batch = np.random.default_rng(0).normal(size=(3, 2, 5, 4))
    for name, function in STATISTICS.items():
        single = [[getattr(stress, name)(matrix) for matrix in row] for row in batch]
        np.testing.assert_allclose(function(batch), single, rtol=1e-12)
    other = np.random.default_rng(1).normal(size=(3, 2, 6, 4))
    found = wins(batch, other)
    assert found[2, 1] == pytest.approx(stress.probability_of_improvement(batch[2, 1], other[2, 1]))


def test_performance_profile_counts_strictly_above() -> None:
    np.testing.assert_allclose(stress.performance_profile(HAND, [-1.0, 2.0, 3.9, 20.0]), [1.0, 3 / 6, 3 / 6, 0.0])


def test_probability_of_improvement_by_hand() -> None:
    # 4 pairs: 1 > 0, 1 < 2, 2 > 0, 2 = 2.
    assert stress.probability_of_improvement([1.0, 2.0], [0.0, 2.0]) == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert stress.probability_of_improvement(HAND, HAND) == 0.5


def test_probability_of_improvement_is_mann_whitneys() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 6, size=(7, 3)), rng.integers(0, 6, size=(4, 3))  # many ties
    u = [stats.mannwhitneyu(x[:, m], y[:, m]).statistic / 28 for m in range(3)]
    assert stress.probability_of_improvement(x, y) == pytest.approx(np.mean(u), rel=1e-12)


@FAST
@given(matrices, st.randoms(use_true_random=False))
def test_order_of_runs_and_tasks_does_not_matter(scores: np.ndarray, random: object) -> None:
    rng = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    shuffled = rng.permuted(scores, axis=0)[:, rng.permutation(scores.shape[1])]  # runs shuffled within each task
    for name in STATISTICS:
        assert getattr(stress, name)(shuffled) == pytest.approx(getattr(stress, name)(scores), abs=1e-9)
    np.testing.assert_array_equal(
        stress.performance_profile(shuffled, [0.0, 1.0]), stress.performance_profile(scores, [0.0, 1.0])
    )


@FAST
@given(matrices, st.floats(0.1, 10), st.floats(-50, 50))
def test_scale_and_shift(scores: np.ndarray, scale: float, shift: float) -> None:
    for name in ("mean", "median", "iqm"):
        function = getattr(stress, name)
        assert function(scale * scores + shift) == pytest.approx(scale * function(scores) + shift, abs=1e-8)
        assert function(-scores) == pytest.approx(-function(scores), abs=1e-9)
    gap = stress.optimality_gap(scores, gamma=1.0)
    assert stress.optimality_gap(scale * scores + shift, gamma=scale + shift) == pytest.approx(scale * gap, abs=1e-8)


@FAST
@given(matrices, st.floats(-50, 50))
def test_improvement_is_antisymmetric(scores: np.ndarray, shift: float) -> None:
    other = scores[::-1] + shift
    there, back = (
        stress.probability_of_improvement(scores, other),
        stress.probability_of_improvement(other, scores),
    )
    assert there + back == pytest.approx(1.0)


@FAST
@given(matrices)
def test_iqm_ignores_one_outlier_of_many(scores: np.ndarray) -> None:
    spoilt = np.sort(scores, axis=None)
    if spoilt.size >= 4:
        spoilt[-1] = 1e12
        assert stress.iqm(spoilt) == pytest.approx(stress.iqm(scores), abs=1e-9)


def test_lists_integers_and_booleans_are_scores() -> None:
    assert stress.mean([[1, 2], [3, 4]]) == 2.5
    assert stress.mean([True, False]) == 0.5


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "empty"),
        (np.zeros((3, 0)), "empty"),
        (np.zeros((2, 2, 2)), r"shape \[2, 2, 2\]"),
        (1.0, r"shape \[\]"),
        ([[1.0, 2.0], [np.nan, 0.0]], r"nan \(run 1, task 0\)"),
        ([np.inf], r"inf \(run 0, task 0\)"),
        ([[1.0, 2.0], [3.0]], "equally many runs"),
        (["a"], "numbers"),
        ([1 + 2j], "numbers"),
    ],
)
def test_bad_scores_are_named(scores: object, message: str) -> None:
    for function in (stress.mean, stress.iqm, stress.std, stress.interval, stress.aggregate):
        with pytest.raises(ConfigError, match=message) as caught:
            function(scores)  # type: ignore[operator]
        assert str(caught.value).count(". ") == 0, "one sentence"


def test_other_bad_input_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean median"):
        stress.interval(HAND, "medain")
    with pytest.raises(ConfigError, match=r"gamma is nan"):
        stress.optimality_gap(HAND, gamma=math.nan)
    with pytest.raises(ConfigError, match="x has 3 tasks and y has 2"):
        stress.probability_of_improvement(HAND, HAND[:, :2])
    for thresholds in ([], [[0.0]], [math.nan], ["a"]):
        with pytest.raises(ConfigError, match="thresholds"):
            stress.performance_profile(HAND, thresholds)
