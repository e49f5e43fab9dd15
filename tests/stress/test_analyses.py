"""Cycle-consistency, feature distances and averages of draws, against brute force."""

import numpy as np
import pytest

from jostle.errors import ConfigError
from jostle.stress import average_of_draws, cycle_consistency, cycle_consistency_3way, feature_distance

RNG = np.random.default_rng(6)


def nearest_by_hand(x: np.ndarray, there: np.ndarray) -> int:
    best, least = 0, np.inf
    for j, y in enumerate(there):
        distance = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
        if distance < least:
            best, least = j, distance
    return best


def cycle_by_hand(v: np.ndarray, *others: np.ndarray) -> list[bool]:
    home = []
    for i, x in enumerate(v):
        for there in others:
            x = there[nearest_by_hand(x, there)]
        home.append(abs(nearest_by_hand(x, v) - i) <= 1)
    return home


@pytest.mark.parametrize(("t", "s", "r"), [(9, 9, 9), (12, 5, 20), (1, 3, 2), (7, 1, 1)])
def test_cycles_against_loops(t: int, s: int, r: int) -> None:
    v, u, w = (RNG.normal(size=(n, 3)) for n in (t, s, r))
    assert cycle_consistency(v, u) == np.mean(cycle_by_hand(v, u))
    both = [a and b for a, b in zip(cycle_by_hand(v, u, w), cycle_by_hand(v, w, u), strict=True)]
    assert cycle_consistency_3way(v, u, w) == np.mean(both)


def test_cycles_in_the_limits() -> None:
    line = np.arange(20.0)[:, None]
    assert cycle_consistency(line, line) == cycle_consistency_3way(line, line, line) == 1
    assert cycle_consistency(line, line + 0.3) == 1
    # All steps of the other trajectory are one: everybody comes home to the step nearest to it, 10.
    assert cycle_consistency(line, np.full((4, 1), 10.0)) == 3 / 20
    assert cycle_consistency(line, np.full((4, 1), 10.0), tolerance=0) == 1 / 20
    assert cycle_consistency_3way(line, line, np.full((4, 1), 10.0)) == 3 / 20
    # Played backwards the way home is still found; it is a matter of states, not of their order.
    assert cycle_consistency(line, line[::-1]) == 1


@pytest.mark.parametrize(
    "wrong", [np.zeros((0, 2)), np.zeros((3, 3)), np.full((3, 2), np.nan)], ids=["empty", "size", "nan"]
)
def test_trajectories_that_cannot_be_compared(wrong: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="trajectories"):
        cycle_consistency(np.zeros((3, 2)), wrong)
    with pytest.raises(ConfigError, match="trajectories"):
        cycle_consistency_3way(np.zeros((3, 2)), np.zeros((3, 2)), wrong)


def test_feature_distance_against_loops() -> None:
    clean, moved = RNG.normal(size=(7, 5)), RNG.normal(size=(3, 7, 5))
    found = feature_distance(clean, moved)
    norms = [np.linalg.norm(clean[b] - moved[m, b]) for m in range(3) for b in range(7)]
    apart = [np.linalg.norm(clean[a] - clean[b]) for a in range(7) for b in range(7) if a != b]
    cosines = [
        clean[b] @ moved[m, b] / np.linalg.norm(clean[b]) / np.linalg.norm(moved[m, b])
        for m in range(3)
        for b in range(7)
    ]
    assert found.absolute == pytest.approx(np.mean(norms))
    assert found.relative == pytest.approx(np.mean(norms) / np.mean(apart))
    assert found.cosine == pytest.approx(np.mean(cosines))


def test_feature_distance_in_the_limits() -> None:
    clean = RNG.normal(size=(6, 4)).astype(np.float32)
    same = feature_distance(clean, clean)
    assert (same.absolute, same.relative) == (0, 0)
    assert same.cosine == pytest.approx(1)
    shuffled = feature_distance(clean, np.roll(clean, 1, axis=0))
    assert shuffled.relative == pytest.approx(1, abs=0.5), "as far as another observation"
    assert feature_distance(3 * clean, 3 * np.roll(clean, 1, axis=0)).relative == pytest.approx(shuffled.relative)
    dead = feature_distance(np.zeros((6, 4)), clean)
    assert np.isnan(dead.relative)
    assert np.isnan(dead.cosine)
    with pytest.raises(ConfigError, match=r"not \[6, 4\] and \[5, 4\]"):
        feature_distance(clean, clean[:5])


def test_averages_of_draws_against_loops() -> None:
    outputs = RNG.normal(size=(11, 4, 3))
    means, variances = average_of_draws(outputs, [1, 2, 3, 5])
    for k, size in enumerate([1, 2, 3, 5]):
        groups = [outputs[g * size : (g + 1) * size].mean(0) for g in range(11 // size)]
        assert means[k] == pytest.approx(np.mean(groups))
        assert variances[k] == pytest.approx(np.mean(np.var(groups, axis=0, ddof=1)))


def test_variance_falls_with_the_number_of_draws() -> None:
    outputs = RNG.normal(2.0, 3.0, size=(4000, 50))
    means, variances = average_of_draws(outputs, [1, 10, 100])
    np.testing.assert_allclose(means, 2.0, atol=0.05)
    np.testing.assert_allclose(variances, [9.0, 0.9, 0.09], rtol=0.1)
    with pytest.raises(ConfigError, match="an average of 3 draws has no variance with 5 draws: draw at least 6"):
        average_of_draws(outputs[:5], [1, 3])
