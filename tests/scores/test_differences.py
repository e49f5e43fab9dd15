"""Differences of two sides: against SciPy, exact error rates, and simulations."""

import numpy as np
import pytest
from scipy import stats

from jostle.errors import ConfigError
from jostle.scores import differences as d


def pairs(n: int, won: int, lost: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of n pairs: y alone succeeds in ``won``, x alone in ``lost``."""
    x, y = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    y[:won] = x[won : won + lost] = True
    x[won + lost : won + lost + both] = y[won + lost : won + lost + both] = True
    return x, y


def test_mcnemar_by_hand() -> None:
    # 9 pairs differ, 8 of them for y: 2 (C(9,8) + C(9,9)) / 2^9 = 20 / 512
    x, y = pairs(50, 8, 1, 20)
    assert d.mcnemar(x, y) == pytest.approx(20 / 512)
    assert d.mcnemar(y, x) == pytest.approx(20 / 512)
    assert d.mcnemar(x, x) == 1.0


def test_paired_successes_by_hand() -> None:
    x, y = pairs(50, 8, 1, 20)
    found = d.paired_successes(x, y)
    assert (found.x, found.y, found.units) == (0.42, 0.56, 50)
    up, down = 9 / 52, 2 / 52
    half = 1.959964 * np.sqrt((up + down - (up - down) ** 2) / 52)
    assert found.interval.point == pytest.approx(0.14)
    assert [found.interval.low, found.interval.high] == pytest.approx([7 / 52 - half, 7 / 52 + half], rel=1e-5)
    opposite = d.paired_successes(y, x).interval
    assert (opposite.low, opposite.high) == pytest.approx((-found.interval.high, -found.interval.low))


@pytest.mark.parametrize("n", [20, 100, 400])
@pytest.mark.parametrize("differing", [0.02, 0.2, 0.6])
def test_equal_policies_are_called_different_as_often_as_stated_at_most(n: int, differing: float) -> None:
    """The exact size of McNemar's test: over how many pairs differ, and which side wins them."""
    size = 0.0
    for m, chance in enumerate(stats.binom.pmf(np.arange(n + 1), n, differing)):
        if chance > 1e-9:
            won = np.arange(m + 1)
            p = np.minimum(1, 2 * np.minimum(stats.binom.cdf(won, m, 0.5), stats.binom.sf(won - 1, m, 0.5)))
            size += chance * float(stats.binom.pmf(won, m, 0.5)[p <= 0.05].sum())
            if m and m <= 40:  # this p is the function's
                x, y = pairs(n, int(won[m // 3]), m - int(won[m // 3]), 0)
                assert d.mcnemar(x, y) == pytest.approx(p[m // 3])
    assert size <= 0.05


@pytest.mark.parametrize(("n", "differing"), [(100, 0.2), (400, 0.2), (400, 0.05)])
def test_what_is_called_the_smallest_difference_is_seen_four_times_in_five(n: int, differing: float) -> None:
    least = d.smallest_paired_rate(n, differing)
    rng = np.random.default_rng(0)
    up, down = (differing + least) / 2, (differing - least) / 2
    won, lost, _ = rng.multinomial(n, [up, down, 1 - up - down], size=2_000).T
    found = zip(won.tolist(), lost.tolist(), strict=True)
    called = [w + s > 0 and stats.binomtest(w, w + s).pvalue <= 0.05 for w, s in found]
    assert 0.7 < np.mean(called) < 0.9


def test_few_pairs_can_see_no_small_difference() -> None:
    assert d.smallest_paired_rate(20, 0.0) == 6 / 20  # six for one side have p = 2 / 64
    assert d.smallest_paired_rate(4, 0.5) == 1.0


def test_intervals_of_paired_rates_cover() -> None:
    rng = np.random.default_rng(1)
    for n, (up, down) in [(20, (0.3, 0.1)), (100, (0.05, 0.05)), (400, (0.1, 0.02))]:
        draws = rng.multinomial(n, [up, down, 1 - up - down], size=400)
        hits = [
            (low := d.paired_successes(*pairs(n, won, lost, 0)).interval).low <= up - down <= low.high
            for won, lost, _ in draws.tolist()
        ]
        assert np.mean(hits) > 0.92


def test_paired_returns_are_exact_for_few_pairs() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([2.0, 4.0, 3.5, 7.0, 5.0])
    found = d.paired_returns(x, y)
    # Four pairs differ, all for y: 2 of 2^4 patterns are as extreme.
    assert found.p == 2 / 16
    scipy = stats.permutation_test((y - x,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert found.p == pytest.approx(scipy.pvalue)
    paired = stats.ttest_rel(y, x).confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((paired.low, paired.high))
    assert d.paired_returns(x, x).p == 1.0
    assert (d.paired_returns(x, x).interval.low, d.paired_returns(x, x).smallest) == (0.0, 0.0)


@pytest.mark.parametrize("n", [20, 100])
def test_signs_are_flipped_for_skewed_returns(n: int) -> None:
    """Equal sides whose differences are far from normal: 1 − (−1) = 2 for episodes of all or nothing."""
    rng = np.random.default_rng(2)
    called = sum(
        d.paired_returns(*(rng.pareto(2.0, (2, n)) * rng.integers(2, size=(2, n)))).p <= 0.05 for _ in range(200)
    )
    assert called <= 200 * 0.05 + 3 * np.sqrt(200 * 0.05 * 0.95)
    better = d.paired_returns(rng.normal(0, 1, n), rng.normal(1.5, 1, n))
    assert better.p < 0.01 < better.interval.low


def test_unpaired_successes_are_fishers() -> None:
    x, y = np.repeat([1, 0], [5, 15]), np.repeat([1, 0], [14, 6])
    found = d.unpaired_successes(x, y)
    assert found.p == pytest.approx(stats.fisher_exact([[5, 15], [14, 6]]).pvalue)
    a, b = 6 / 22, 15 / 22
    half = 1.959964 * np.sqrt(a * (1 - a) / 22 + b * (1 - b) / 22)
    assert (found.interval.low, found.interval.high) == pytest.approx((b - a - half, b - a + half))


def test_a_contrast_of_two_is_welchs_test() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(0, 1, 5), rng.normal(1, 3, 9)
    found, scipy = d.contrast([x, y], [-1, 1]), stats.ttest_ind(y, x, equal_var=False)
    assert found.p == pytest.approx(scipy.pvalue)
    ends = scipy.confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((ends.low, ends.high))
    assert (found.x, found.y, found.units) == (pytest.approx(x.mean()), pytest.approx(y.mean()), 5)


def test_runs_that_agree_by_luck_have_the_spread_of_their_episodes() -> None:
    alike = d.contrast([[0.8, 0.8], [0.9, 0.9]], [-1, 1])
    assert alike.p == 0.0  # no spread at all
    episodes = d.contrast([[0.8, 0.8], [0.9, 0.9]], [-1, 1], variances=[0.16 / 20, 0.09 / 20])
    assert episodes.p > 0.2


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(d.holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])


@pytest.mark.parametrize(("x", "y", "match"), [
    ([1, 0], [1], "no pairs"),
    ([], [], "finite"),
    ([np.nan], [0.0], "finite"),
])  # fmt: skip
def test_what_cannot_be_compared(x: list[float], y: list[float], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        d.paired_returns(x, y)


def test_a_group_of_one_has_no_spread() -> None:
    with pytest.raises(ConfigError, match="two numbers"):
        d.contrast([[1.0], [1.0, 2.0]], [-1, 1])
