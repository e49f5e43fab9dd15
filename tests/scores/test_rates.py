"""Rates and their differences: against SciPy, by hand, in their order, and by how often they hold the truth."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from jostle.errors import ConfigError
from jostle.scores.rates import clopper_pearson, difference_interval, rate_interval

NOMINAL = 0.95


def episodes(*counts: tuple[int, float]) -> np.ndarray:
    """So many episodes of each number."""
    return np.concatenate([np.full(count, value) for count, value in counts])


def successes(count: int, of: int) -> np.ndarray:
    return episodes((count, 1.0), (of - count, 0.0))


# ---- one rate ----


@pytest.mark.parametrize("of", [1, 2, 7, 100])
def test_one_run_is_clopper_and_pearsons_at_every_count(of: int) -> None:
    for count in range(of + 1):
        found = rate_interval([successes(count, of)])
        exact = stats.binomtest(count, of).proportion_ci(NOMINAL, method="exact")
        assert (found.point, found.low, found.high) == pytest.approx((count / of, exact.low, exact.high), abs=1e-9)
    half = rate_interval([successes(1, 2)], confidence=0.5)
    assert (half.low, half.high) == pytest.approx((1 - 0.75**0.5, 0.75**0.5)), "1 − (1 − p)² = ¼ by hand"


@pytest.mark.parametrize("of", [2, 20, 100])
def test_more_successes_never_have_a_lower_interval(of: int) -> None:
    found = [rate_interval([successes(count, of)]) for count in range(of + 1)]
    assert (np.diff([each.low for each in found]) > 0).all()
    assert (np.diff([each.high for each in found]) > 0).all()


def test_the_interval_of_one_run_covers_what_it_says() -> None:
    for of in (2, 10, 40):
        ends = np.array([clopper_pearson(count / of, of) for count in range(of + 1)])
        for p in np.linspace(0.005, 0.995, 199):
            held = (ends[:, 0] <= p) & (p <= ends[:, 1])
            assert stats.binom.pmf(np.arange(of + 1), of, p)[held].sum() >= NOMINAL - 1e-9, (of, p)


def test_several_runs_are_worth_fewer_episodes() -> None:
    """Korn and Graubard's number by hand: rates 0.4, 0.5 and 0.6 of 50 episodes each."""
    runs = [successes(count, 50) for count in (20, 25, 30)]
    found = rate_interval(runs)
    n = 0.5 * 0.5 / (0.1**2 / 3) * (stats.t.ppf(0.975, 149) / stats.t.ppf(0.975, 2)) ** 2
    assert (found.low, found.high) == pytest.approx(
        (stats.beta.ppf(0.025, n / 2, n / 2 + 1), stats.beta.ppf(0.975, n / 2 + 1, n / 2)), rel=1e-9
    )
    # Where runs agree more than episodes would by chance they are worth no more than all their episodes.
    alike = rate_interval([successes(25, 50)] * 3)
    n = 150 * (stats.t.ppf(0.975, 149) / stats.t.ppf(0.975, 2)) ** 2
    assert alike.low == pytest.approx(stats.beta.ppf(0.025, n / 2, n / 2 + 1), rel=1e-9)
    certain = rate_interval([successes(50, 50)] * 3)
    assert certain.low == pytest.approx(0.025 ** (1 / n), rel=1e-9)
    assert certain.high == 1.0


def test_runs_that_differ_are_covered() -> None:
    """Runs' rates are drawn from a beta distribution, their episodes from these: 3 and 5 runs, often enough."""
    rng = np.random.default_rng(3)
    for runs, mean in itertools.product((3, 5), (0.5, 0.9)):
        rates = rng.beta(mean * 19, (1 - mean) * 19, size=(400, runs))
        counts = rng.binomial(40, rates)
        found = [rate_interval([successes(count, 40) for count in row]) for row in counts]
        share = np.mean([each.low <= mean <= each.high for each in found])
        assert share >= 0.94, (runs, mean)


# ---- differences ----


def test_a_difference_by_hand() -> None:
    """Of 10 episodes 3 are lost and 1 is won: 0.3 − 0.1."""
    seen, other = episodes((6, 1.0), (4, 0.0)), episodes((3, 1.0), (3, 0.0), (1, 1.0), (3, 0.0))
    found = difference_interval([seen], [[other]])
    up, down = (stats.binomtest(count, 10).proportion_ci(NOMINAL, method="exact") for count in (3, 1))
    p, q = 3.5 / 11, 1.5 / 11
    r = -np.sqrt(p * q / ((1 - p) * (1 - q)))
    below = np.hypot.reduce([0.3 - up.low, down.high - 0.1]) ** 2 - 2 * r * (0.3 - up.low) * (down.high - 0.1)
    above = np.hypot.reduce([up.high - 0.3, 0.1 - down.low]) ** 2 - 2 * r * (up.high - 0.3) * (0.1 - down.low)
    assert (found.point, found.low, found.high) == pytest.approx((0.2, 0.2 - below**0.5, 0.2 + above**0.5), rel=1e-9)


def test_what_is_alike_on_both_sides_cancels() -> None:
    half = successes(100, 200)
    same = difference_interval([half], [[half]])
    assert same.high - same.low < 0.08, "no episode differs"
    apart = difference_interval([half], [[half[::2].repeat(2)[::-1]]])
    assert apart.high - apart.low > 0.18, "every episode differs"
    runs = [successes(count, 40) for count in (4, 20, 36)]
    paired = difference_interval(runs, [[np.roll(run, 1) for run in runs]])
    assert paired.high - paired.low < 0.35, "what a run does to both sides cancels, though 3 runs differ by 0.8"


def test_no_difference_is_certain() -> None:
    always, never = np.ones(100), np.zeros(100)
    for x, y, point in ((always, always, 0.0), (always, never, 1.0), (never, always, -1.0)):
        found = difference_interval([x], [[y]])
        assert found.point == point
        assert found.high - found.low > 0.03
        assert -1 <= found.low <= found.point <= found.high <= 1


def test_differences_keep_the_order_of_counts() -> None:
    of = 20
    table = [[difference_interval([successes(j, of)], [[successes(k, of)]]) for k in range(of + 1)] for j in range(21)]
    for ends in (np.array([[getattr(each, end) for each in row] for row in table]) for end in ("low", "high")):
        assert (np.diff(ends, axis=0) >= -1e-12).all()
        assert (np.diff(ends, axis=1) <= 1e-12).all()


@pytest.mark.parametrize("of", [2, 5, 12])
def test_differences_of_pairs_cover_what_they_say(of: int) -> None:
    """All outcomes of so many pairs, under many probabilities that a pair is lost or won."""
    counts = [(lost, won) for lost in range(of + 1) for won in range(of + 1 - lost)]
    found = [
        difference_interval(
            [episodes((lost, 1.0), (of - lost, 0.0))], [[episodes((lost, 0.0), (won, 1.0), (of - lost - won, 0.0))]]
        )
        for lost, won in counts
    ]
    low, high = np.array([each.low for each in found]), np.array([each.high for each in found])
    lost, won = np.array(counts).T
    for p, q in itertools.product((1e-6, 0.02, 0.1, 0.25, 0.4, 0.6, 0.8), repeat=2):
        if p + q < 1:
            ways = gammaln(of + 1) - gammaln(lost + 1) - gammaln(won + 1) - gammaln(of - lost - won + 1)
            pmf = np.exp(ways + lost * np.log(p) + won * np.log(q) + (of - lost - won) * np.log(1 - p - q))
            assert pmf[(low <= p - q) & (p - q <= high)].sum() >= NOMINAL, (of, p, q)


def test_differences_from_a_mean_of_rates() -> None:
    rng = np.random.default_rng(0)
    seen, others = successes(60, 60), [(rng.random(60) < 0.5).astype(float) for _ in range(8)]
    found = difference_interval([seen], [[y] for y in others])
    assert found.point == pytest.approx(1 - np.mean(others))
    one = difference_interval([seen], [[others[0]]])
    assert found.high - found.low < 0.6 * (one.high - one.low), "eight conditions are more than one"
    # Of two conditions one always fails, the other never: nothing varies, and nothing is certain.
    found = difference_interval([seen], [[np.zeros(60)], [np.ones(60)]])
    assert found.point == 0.5
    assert found.low < 0.45
    assert found.high > 0.55


@pytest.mark.parametrize("runs", [[], [np.array([])], [np.array([0.0, 2.0])], [np.array([np.nan])]])
def test_what_is_no_rate(runs: list[np.ndarray]) -> None:
    with pytest.raises(ConfigError, match=r"a rate (needs at least one run|is of numbers within 0 and 1)"):
        rate_interval(runs)
    with pytest.raises(ConfigError, match="a difference of rates needs as many runs and episodes on both sides"):
        difference_interval([np.ones(3)], [[np.ones(4)]])


def test_the_committed_coverage() -> None:
    """Every row of the table: at least the nominal coverage less one point."""
    root = Path(__file__).parents[2]
    table = (root / "benchmarks/results/rate_coverage.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:rate|difference|runs).*$", table, flags=re.MULTILINE)
    page = (root / "docs/statistics.md").read_text(encoding="utf-8")
    least = {}
    for row in rows:
        assert row in page
        kind, size, share = (part.strip() for part in row.split("|")[1:4])
        least[kind, size] = float(share.rstrip("%")) / 100
    single = [share for (kind, _), share in least.items() if not kind.startswith("runs")]
    assert len(single) == 9
    assert min(single) >= NOMINAL - 0.01
    ends = np.array([clopper_pearson(count / 10, 10) for count in range(11)])
    cover = [
        stats.binom.pmf(np.arange(11), 10, p)[(ends[:, 0] <= p) & (p <= ends[:, 1])].sum()
        for p in np.linspace(0.001, 0.999, 999)
    ]
    assert least["rate", "10 episodes"] == pytest.approx(min(cover), abs=6e-4)
