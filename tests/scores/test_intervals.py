"""Bootstrap intervals: against loops, against SciPy, and against bootstraps that are wrong."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from jostle import stress
from jostle.errors import ConfigError
from jostle.scores import bootstrap
from jostle.scores.intervals import decimals
from jostle.scores.statistics import STATISTICS, above, lookup

RNG = np.random.default_rng(12)
# Eighths, and powers of two of them, have exact means: SciPy's ties are ours.
ONE = RNG.integers(-20, 40, size=9) / 8
MANY = RNG.integers(-20, 40, size=(8, 4)) / 8
OTHER = RNG.integers(-20, 40, size=(8, 4)) / 8


def indices(shape: tuple[int, int], resamples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(shape[0], size=(resamples, *shape))


def resampled(scores: np.ndarray, index: np.ndarray) -> np.ndarray:
    """One resample by a loop over runs and tasks."""
    out = np.empty_like(scores)
    for r, m in itertools.product(*map(range, scores.shape)):
        out[r, m] = scores[index[r, m], m]
    return out


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few resamples, so that a test sees many of them."""
    monkeypatch.setattr(bootstrap, "CHUNK", 100)


@pytest.mark.parametrize("name", STATISTICS)
def test_interval_is_that_of_a_loop(name: str, small_chunks: None) -> None:
    index = indices(MANY.shape, 300, seed=5)
    values = [getattr(stress, name)(resampled(MANY, i)) for i in index]
    found = stress.interval(MANY, name, resamples=300, seed=5, confidence=0.9)
    np.testing.assert_allclose([found.low, found.high], np.percentile(values, [5, 95]), rtol=1e-12)
    assert found.point == getattr(stress, name)(MANY)
    assert found.confidence == 0.9


def test_paired_interval_is_that_of_a_loop(small_chunks: None) -> None:
    values = [
        stress.iqm(resampled(MANY, i)) - stress.iqm(resampled(OTHER, i)) for i in indices(MANY.shape, 300, seed=5)
    ]
    found = stress.paired_interval(MANY, OTHER, "iqm", resamples=300, seed=5)
    np.testing.assert_allclose([found.low, found.high], np.percentile(values, [2.5, 97.5]), rtol=1e-12)


def test_improvement_interval_is_that_of_a_loop(small_chunks: None) -> None:
    y = OTHER[:4]
    one, two = np.random.default_rng(5).spawn(2)
    index_x, index_y = one.integers(8, size=(300, 8, 4)), two.integers(4, size=(300, 4, 4))
    values = [
        stress.probability_of_improvement(resampled(MANY, i), resampled(y, j))
        for i, j in zip(index_x, index_y, strict=True)
    ]
    found = stress.improvement_interval(MANY, y, resamples=300, seed=5)
    np.testing.assert_allclose([found.low, found.high], np.percentile(values, [2.5, 97.5]), rtol=1e-12)


def test_profile_band_is_that_of_a_loop(small_chunks: None) -> None:
    thresholds = [-1.0, 0.0, 1.5, 2.0]
    values = [stress.performance_profile(resampled(MANY, i), thresholds) for i in indices(MANY.shape, 300, seed=5)]
    found = stress.profile_band(MANY, thresholds, resamples=300, seed=5)
    np.testing.assert_allclose(found, np.percentile(values, [2.5, 97.5], axis=0), rtol=1e-12)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("name", STATISTICS)
def test_one_task_equals_scipy(name: str, method: str) -> None:
    """With the same seed the resamples are the same, so are the intervals."""
    function = lookup(name)
    theirs = stats.bootstrap(
        (ONE,),
        lambda x, axis: function(np.moveaxis(x, axis, -1)[..., None]),
        method=method,
        n_resamples=999,
        rng=np.random.default_rng(4),
        vectorized=True,
    ).confidence_interval
    ours = stress.interval(ONE, name, method=method, resamples=999, seed=4)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


RAGGED = {
    "mean": lambda *tasks: np.mean([np.mean(t) for t in tasks]),
    "median": lambda *tasks: np.median([np.mean(t) for t in tasks]),
    "iqm": lambda *tasks: stats.trim_mean(np.concatenate(tasks), 0.25),
    "optimality_gap": lambda *tasks: np.mean([1 - np.minimum(t, 1).mean() for t in tasks]),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_bca_of_several_tasks_equals_scipys_of_several_samples(name: str) -> None:
    """SciPy reuses our bootstrap distribution; correction and acceleration are its own."""
    distribution = bootstrap.distributions(MANY, {name: lookup(name)}, 999, 4)[name]
    theirs = stats.bootstrap(
        tuple(MANY.T),
        RAGGED[name],
        method="BCa",
        n_resamples=0,
        vectorized=False,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=distribution),
    ).confidence_interval
    ours = stress.interval(MANY, name, method="bca", resamples=999, seed=4)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_several_tasks_equal_scipys_percentiles_but_for_the_draws() -> None:
    theirs = stats.bootstrap(
        tuple(MANY.T), RAGGED["mean"], method="percentile", n_resamples=4000, vectorized=False, rng=1
    ).confidence_interval
    ours = stress.interval(MANY, "mean", resamples=20_000)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.04)  # 5 standard errors


def test_paired_bca_equals_scipys_of_the_differences() -> None:
    difference = stress.interval(MANY - OTHER, "mean", method="bca", resamples=999, seed=4)
    found = stress.paired_interval(MANY, OTHER, "mean", method="bca", resamples=999, seed=4)
    assert (found.low, found.high) == pytest.approx((difference.low, difference.high), rel=1e-9)


def test_tasks_are_strata() -> None:
    """Tasks far apart, runs alike: resampling the tasks, or across them, would give a wide interval."""
    scores = np.array([[0.0, 100.0]] * 5)
    found = stress.interval(scores, "mean")
    assert (found.low, found.high) == (50.0, 50.0)


def test_tasks_are_resampled_independently() -> None:
    """Tasks that mirror each other: were whole rows resampled, the mean over tasks would be constant."""
    column = np.arange(6.0)
    found = stress.interval(np.stack([column, -column], axis=1), "mean", resamples=4000)
    sd = np.sqrt(2 * np.var(column) / 6) / 2  # of the mean of two independent task means
    assert found.high - found.low == pytest.approx(2 * 1.96 * sd, rel=0.1)


def test_pairs_stay_together() -> None:
    """A large effect of the seed on both methods alike cancels; unpaired resampling would not cancel it."""
    effect = np.array([[0.0], [50.0], [-30.0], [80.0], [10.0]])
    x, y = effect + 1.0, effect + np.array([[0.0], [0.1], [0.0], [0.2], [0.1]])
    found = stress.paired_interval(x, y, resamples=500)
    assert 0.8 <= found.low <= found.point <= found.high <= 1.0


@pytest.mark.parametrize("unit", [0.1, 1 / 3, 1e9 / 7])
def test_bca_does_not_depend_on_the_unit(unit: float) -> None:
    """Resamples equal to the scores up to their order must count as ties, however their sums are rounded."""
    scores = np.array([3.0, 1.0, 7.0, 2.0, 11.0])
    for name in ("mean", "iqm"):
        reference = stress.interval(scores, name, method="bca", confidence=0.8)
        found = stress.interval(scores * unit, name, method="bca", confidence=0.8)
        assert (found.low / unit, found.high / unit) == pytest.approx((reference.low, reference.high), rel=1e-9)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_the_target_of_the_gap_counts(method: str) -> None:
    """Doubled scores with a doubled target have twice the gap, at both ends."""
    once = stress.interval(MANY, "optimality_gap", method=method, resamples=500)
    twice = stress.interval(2 * MANY, "optimality_gap", method=method, resamples=500, gamma=2.0)
    assert (twice.low, twice.point, twice.high) == (2 * once.low, 2 * once.point, 2 * once.high)
    once = stress.paired_interval(MANY, OTHER, "optimality_gap", method=method, resamples=500)
    twice = stress.paired_interval(2 * MANY, 2 * OTHER, "optimality_gap", method=method, resamples=500, gamma=2.0)
    assert (twice.low, twice.point, twice.high) == (2 * once.low, 2 * once.point, 2 * once.high)


def test_exact_distribution_of_three_runs() -> None:
    """All 27 resamples of three runs: the interval's ends are the smallest and the largest run (each 1 in 27)."""
    found = stress.interval([1.0, 2.0, 4.0], "mean")
    assert (found.low, found.high) == (1.0, 4.0)
    narrower = stress.interval([1.0, 2.0, 4.0], "mean", confidence=0.9)
    assert (narrower.low, narrower.high) == pytest.approx((4 / 3, 10 / 3))  # (1 + 1 + 2) / 3 and (2 + 4 + 4) / 3


def test_same_seed_same_interval_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    first = stress.interval(MANY, "iqm", resamples=500)
    assert stress.interval(MANY, "iqm", resamples=500) == first
    assert stress.interval(MANY, "iqm", resamples=500, seed=1) != first
    monkeypatch.setattr(bootstrap, "CHUNK", 7)
    assert stress.interval(MANY, "iqm", resamples=500) == first


def test_constant_scores_have_an_interval_without_width() -> None:
    for method in ("percentile", "bca"):
        found = stress.interval(np.full((4, 2), 0.3), "mean", method=method)
        assert (found.low, found.high) == pytest.approx((0.3, 0.3))


def test_bca_needs_resamples_on_both_sides_of_the_point() -> None:
    found = stress.interval(ONE, "mean", method="bca", resamples=1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_one_run_has_no_interval() -> None:
    for method in ("percentile", "bca"):
        for found in (
            stress.interval([[1.0, 2.0]], method=method),
            stress.paired_interval([1.0], [0.0], method=method),
        ):
            assert math.isfinite(found.point)
            assert math.isnan(found.low)
            assert math.isnan(found.high)
    found = stress.improvement_interval([1.0], [0.0, 2.0])
    assert found.point == 0.5
    assert math.isnan(found.low)
    assert np.isnan(stress.profile_band([1.0], [0.0, 2.0])).all()
    assert "no interval" in str(stress.aggregate([1.0]))


def test_the_scores_are_left_alone() -> None:
    before = MANY.copy()
    stress.aggregate(MANY, method="bca", resamples=50)
    stress.profile_band(MANY, [0.0], resamples=50)
    np.testing.assert_array_equal(MANY, before)
    assert above(MANY, np.zeros(1)).dtype == np.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "bcaa"}, "did you mean bca"),
        ({"confidence": 95.0}, "confidence is 95"),
        ({"confidence": math.nan}, "confidence is nan"),
        ({"resamples": 0}, "resamples is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    for call in (
        lambda: stress.interval(ONE, **options),  # type: ignore[arg-type]
        lambda: stress.interval(ONE[:1], **options),  # type: ignore[arg-type]
        lambda: stress.paired_interval(ONE, ONE, **options),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError, match=message):
            call()


def test_pairs_of_different_shape_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"x has shape \[8, 4\] and y \[5, 4\]"):
        stress.paired_interval(MANY, OTHER[:5])


@pytest.mark.parametrize(
    ("point", "low", "high", "text"),
    [
        (0.82, 0.71, 0.9, "0.82 [0.71, 0.90]"),
        (466.4, 412.1, 497.0, "466 [412, 497]"),
        (12345.6, 12001.0, 13000.0, "12346 [12001, 13000]"),
        (0.0123, 0.0101, 0.0144, "0.0123 [0.0101, 0.0144]"),
        (-0.001, -0.2, 0.21, "0.00 [-0.20, 0.21]"),
        (1.0, 1.0, 1.0, "1.00 [1.00, 1.00]"),
        (500.0, 500.0, 500.0, "500 [500, 500]"),
        (0.0, 0.0, 0.0, "0.00 [0.00, 0.00]"),
        (0.3, math.nan, math.nan, "0.30 [no interval]"),
        (-0.800000004, -0.800000012, -0.799999997, "-0.80 [-0.80, -0.80]"),  # what float32 makes of -0.8
        (0.800004, 0.8, 0.800008, "0.8000040 [0.8000000, 0.8000080]"),
        (-0.0016667, -0.0016667, -0.0016667, "-0.0017 [-0.0017, -0.0017]"),
        (1e-17, -2e-17, 3e-17, "0.00 [0.00, 0.00]"),
        (0.0, -1e-17, 1e-17, "0.00 [0.00, 0.00]"),
    ],
)
def test_intervals_as_text(point: float, low: float, high: float, text: str) -> None:
    assert str(stress.Interval(point, low, high, 0.95)) == text


def test_a_column_has_one_number_of_decimals() -> None:
    column = [stress.Interval(*ends, 0.95) for ends in ((1.0, 0.964, 1.0), (0.5, 0.40, 0.60), (0.2, 0.2, 0.2))]
    assert [each.digits for each in column] == [3, 2, 2]
    digits = decimals([*column, None])
    assert [each.text(digits) for each in column] == [
        "1.000 [0.964, 1.000]", "0.500 [0.400, 0.600]", "0.200 [0.200, 0.200]"
    ]  # fmt: skip
    narrow = stress.Interval(466.4, 466.39, 466.41, 0.95)
    assert decimals([narrow, stress.Interval(20.0, 10.0, 30.0, 0.95)]) == 1, "four significant digits of the largest"
    assert decimals([None]) == 2
    assert stress.Interval(12345.0, np.nan, np.nan, 0.95).text(0) == "12345 [no interval]"


def test_a_difference_that_is_rounding_is_none() -> None:
    """0.1 + 0.2 − 0.3 is 5.6e-17: no loss, and nothing to print twelve zeros of."""
    x, y = [0.1 + 0.2, 0.4, 0.7], [0.3, 0.4, 0.1 + 0.6]
    found = stress.paired_interval(x, y)
    assert (found.point, found.low, found.high) == (0.0, 0.0, 0.0)
    assert stress.paired_interval([0.1 + 0.2], [0.3]).point == 0.0
    small = stress.paired_interval([1e-9, 3e-9], [0.0, 0.0])
    assert small.point == pytest.approx(2e-9), "small scores have small differences"
