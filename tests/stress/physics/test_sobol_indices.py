"""Sobol indices: functions whose indices are known, with and without luck, and SALib's estimators transcribed."""

import numpy as np
import pytest

from jostle.errors import ConfigError
from jostle.stress.physics import saltelli_points, sobol_indices
from jostle.stress.physics.indices import indices_from, mixed

NAMES = ("x1", "x2", "x3")


def ishigami(x: np.ndarray) -> np.ndarray:
    """sin x₁ + 7 sin² x₂ + 0.1 x₃⁴ sin x₁ for x in [−π, π]³ (Ishigami and Homma 1990)."""
    return np.sin(x[..., 0]) + 7 * np.sin(x[..., 1]) ** 2 + 0.1 * x[..., 2] ** 4 * np.sin(x[..., 0])


def truth() -> tuple[list[float], list[float], float]:
    """First-order and total indices and the variance, in closed form with a = 7 and b = 0.1."""
    a, b = 7.0, 0.1
    v1 = 0.5 * (1 + b * np.pi**4 / 5) ** 2
    v2 = a**2 / 8
    v13 = b**2 * np.pi**8 * (1 / 18 - 1 / 50)
    v = v1 + v2 + v13
    return [v1 / v, v2 / v, 0.0], [(v1 + v13) / v, v2 / v, v13 / v], v


def scores(count: int, episodes: int, luck: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores at A, B and A_B with normal luck, of which no two are the same."""
    a, b = saltelli_points(count, 3, seed)
    rng = np.random.default_rng([seed, 1])
    points = np.concatenate([a[None], b[None], mixed(a, b)])
    clean = ishigami(np.pi * (2 * points - 1))
    noisy = clean[..., None] + luck * rng.standard_normal((*clean.shape, episodes))
    return noisy[0], noisy[1], noisy[2:]


def test_ishigami_without_luck() -> None:
    first, total, variance = truth()
    assert first == pytest.approx([0.3139, 0.4424, 0.0], abs=1e-4)
    assert total == pytest.approx([0.5576, 0.4424, 0.2437], abs=1e-4)
    found = sobol_indices(NAMES, *scores(4096, 1, 0.0))
    assert [each.point for each in found.first] == pytest.approx(first, abs=0.012)
    assert [each.point for each in found.total] == pytest.approx(total, abs=0.012)
    assert found.variance.point == pytest.approx(variance, rel=0.01)
    assert found.luck == 0.0
    assert found.together == pytest.approx(1 - sum(first), abs=0.025)
    for wanted, each in zip((*first, *total), (*found.first, *found.total), strict=True):
        assert each.low <= wanted <= each.high


def test_luck_is_taken_off() -> None:
    """Three times the variance in single episodes, and the indices stay where they were."""
    first, total, variance = truth()
    luck = np.sqrt(2 * variance)
    found = sobol_indices(NAMES, *scores(8192, 2, luck))
    assert found.luck == pytest.approx(luck**2, rel=0.03)
    assert found.share_of_luck == pytest.approx(2 / 3, abs=0.015)
    assert found.variance.point == pytest.approx(variance, rel=0.05)
    assert [each.point for each in found.first] == pytest.approx(first, abs=0.05)
    assert [each.point for each in found.total] == pytest.approx(total, abs=0.06)
    # Taken for signal, the luck makes everything seem to matter and nothing to explain much.
    a, b, ab = (x.mean(-1, keepdims=True) for x in scores(8192, 2, luck))
    naive = sobol_indices(NAMES, a, b, ab)
    assert [each.point for each in naive.first] == pytest.approx([s / 2 for s in first], abs=0.05)
    assert naive.total[2].point == pytest.approx((total[2] + 1) / 2, abs=0.06)


def test_corrected_estimates_are_right_on_average() -> None:
    """Over many small designs: what one design has by chance goes, what the estimator has by itself stays."""
    _, total, variance = truth()
    v, t3 = [], []
    for seed in range(300):
        found = sobol_indices(NAMES, *scores(32, 2, 4.0, seed), resamples=2)
        v.append(found.variance.point)
        t3.append(found.total[2].point * found.variance.point)
    error = np.std(v) / np.sqrt(len(v))
    assert np.mean(v) == pytest.approx(variance, abs=4 * error + variance / 32)
    assert np.mean(t3) == pytest.approx(total[2] * variance, abs=4 * np.std(t3) / np.sqrt(len(t3)))


def salib(a: np.ndarray, b: np.ndarray, ab: np.ndarray) -> tuple[list[float], list[float]]:
    """SALib 1.5's first_order and total_order, after its normalisation of all outputs together."""
    y = np.concatenate([a, b, ab.ravel()])
    a, b, ab = ((x - y.mean()) / y.std() for x in (a, b, ab))
    spread = np.var(np.r_[a, b])
    first = [float(np.mean(b * (each - a)) / spread) for each in ab]
    return first, [float(0.5 * np.mean((a - each) ** 2) / spread) for each in ab]


def test_without_luck_the_estimators_are_salibs() -> None:
    a, b, ab = scores(64, 1, 0.0, seed=3)
    found = sobol_indices(NAMES, a, b, ab)
    first, total = salib(a[:, 0], b[:, 0], ab[..., 0])
    assert [each.point for each in found.first] == pytest.approx(first, rel=1e-12)
    assert [each.point for each in found.total] == pytest.approx(total, rel=1e-12)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """95% intervals of 200 designs; resampled points of a Sobol sequence make them a little too wide."""
    first, total, _ = truth()
    held = np.zeros(4)
    for seed in range(200):
        found = sobol_indices(NAMES, *scores(128, 2, 2.0, seed), resamples=400)
        pairs = zip((first[0], first[1], total[0], total[2]),
                    (found.first[0], found.first[1], found.total[0], found.total[2]), strict=True)  # fmt: skip
        held += [each.low <= wanted <= each.high for wanted, each in pairs]
    assert (held / 200 >= 0.88).all(), held / 200


def test_nothing_is_shared_out_where_nothing_depends_on_the_domain() -> None:
    rng = np.random.default_rng(0)
    found = sobol_indices(("mass",), *(rng.standard_normal((64, 2)) for _ in range(2)), rng.standard_normal((1, 64, 2)))
    assert not found.certain
    assert np.isnan(found.first[0].low)
    constant = sobol_indices(("mass",), np.ones((8, 2)), np.ones((8, 2)), np.ones((1, 8, 2)))
    assert not constant.certain
    assert np.isnan(constant.total[0].point)
    assert constant.share_of_luck == 0.0
    again = indices_from(constant.as_dict())
    assert np.isnan(again.total[0].point)
    assert again.names == ("mass",)


def test_by_hand() -> None:
    """Two points, two episodes, one parameter."""
    a, b = np.array([[1.0, 3.0], [4.0, 6.0]]), np.array([[0.0, 0.0], [8.0, 10.0]])
    ab = np.array([[[2.0, 4.0], [8.0, 8.0]]])
    found = sobol_indices(("mass",), a, b, ab, resamples=10)
    # means: A 2, 5; B 0, 9; AB 3, 8; s²: A 2, 2; B 0, 2; AB 2, 0; E = 2
    variance = np.var([2, 5, 0, 9]) - np.mean([1, 1, 0, 1])
    centre = np.mean([2, 5, 0, 9, 3, 8])
    first = np.mean([(0 - centre) * (3 - 2), (9 - centre) * (8 - 5)])
    total = 0.5 * np.mean([1, 9]) - 0.5 * (np.mean([1, 1]) + np.mean([1, 0]))
    assert found.variance.point == pytest.approx(variance)
    assert found.first[0].point == pytest.approx(first / variance)
    assert found.total[0].point == pytest.approx(total / variance)
    assert found.luck == pytest.approx(np.mean([2, 2, 0, 2]))
    assert found.mean == pytest.approx(4.0)


def test_resampled_shares_are_of_the_resampled_variance() -> None:
    """Each point's part of both is in one proportion, so that the shares are certain, however few points there are."""
    c = np.array([1.0, -1.0, 3.0, -3.0, 5.0, -5.0, 7.0, -7.0])[:, None]
    found = sobol_indices(("mass",), -c, c, c[None])
    assert found.variance.high > 1.3 * found.variance.low
    for each in (*found.first, *found.total):
        assert [each.low, each.point, each.high] == pytest.approx([2.0] * 3)


def test_points_are_balanced_and_columns_change_alone() -> None:
    a, b = saltelli_points(64, 3, seed=5)
    for column in (*a.T, *b.T):
        assert np.bincount((column * 64).astype(int), minlength=64).max() == 1, "one in each of 64 cells"
    assert not np.array_equal(a, saltelli_points(64, 3, seed=6)[0])
    ab = mixed(a, b)
    for i in range(3):
        assert np.array_equal(ab[i][:, i], b[:, i])
        assert np.array_equal(np.delete(ab[i], i, 1), np.delete(a, i, 1))


def test_bad_input() -> None:
    for count in (0, 1, 100):
        with pytest.raises(ConfigError, match="powers of two"):
            saltelli_points(count, 2)
    with pytest.raises(ConfigError, match="P, N, E"):
        sobol_indices(("a", "b"), np.zeros((4, 2)), np.zeros((4, 2)), np.zeros((1, 4, 2)))
