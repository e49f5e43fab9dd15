"""The soft nearest-neighbour loss against a double loop, at known places, and beside its nulls."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_activations import made
from scipy.spatial.distance import cdist

from jostle.errors import ConfigError
from jostle.explain.activations import entanglement, soft_nearest_neighbours
from jostle.explain.activations.neighbours import classes_of, least_over_temperature, permuted


def by_loops(x: np.ndarray[Any, Any], y: Any, t: float, episode: Any = None, eps: float = 0.0) -> float:
    """The formula, pair by pair."""
    losses = []
    for i in range(len(x)):
        above = below = 0.0
        for j in range(len(x)):
            if j == i or (episode is not None and episode[j] == episode[i]):
                continue
            e = math.exp(-sum((a - b) ** 2 for a, b in zip(x[i], x[j], strict=True)) / t)
            below += e
            above += e if y[j] == y[i] else 0.0
        if above:
            losses.append(-math.log(eps + above / below))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.3, 2.0, 50.0])
def test_against_a_double_loop(temperature: float) -> None:
    rng = np.random.default_rng(0)
    x, y, episode = rng.normal(size=(24, 3)), rng.integers(3, size=24), np.repeat(np.arange(8), 3)
    d, same = cdist(x, x, "sqeuclidean"), y[:, None] == y
    everyone = np.ones_like(same)
    assert soft_nearest_neighbours(d, same, everyone, temperature, 0.0) == pytest.approx(by_loops(x, y, temperature))
    apart = episode[:, None] != episode
    loops = by_loops(x, y, temperature, episode, 1e-5)
    assert soft_nearest_neighbours(d, same, apart, temperature) == pytest.approx(loops)


def test_by_hand() -> None:
    """Two points of one class at distance 1, one of another at distance 2 from the first and 1 from the second."""
    x, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 0, 1])
    d = cdist(x, x, "sqeuclidean")
    e1, e4 = math.exp(-1), math.exp(-4)
    by_hand = -(math.log(e1 / (e1 + e4)) + math.log(0.5)) / 2  # the third has no partner
    assert soft_nearest_neighbours(d, y[:, None] == y, np.ones((3, 3), bool), 1.0, 0.0) == pytest.approx(by_hand)
    far = soft_nearest_neighbours(d * 1e6, y[:, None] == y, np.ones((3, 3), bool), 1.0)
    assert np.isfinite(far), "no underflow"


def test_the_least_over_temperatures_knows_no_scale() -> None:
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 20)
    x = rng.normal(size=(40, 5)) + y[:, None]
    same, everyone = y[:, None] == y, np.ones((40, 40), bool)
    d = cdist(x, x, "sqeuclidean")
    both = np.stack([y, rng.permutation(y)])
    losses, t = least_over_temperature(d, both, everyone)
    again, other = least_over_temperature(100 * d, both, everyone)
    assert losses == pytest.approx(again)
    assert other == pytest.approx(100 * t)
    for label, loss, best in zip(both, losses, t, strict=True):
        alike = label[:, None] == label
        assert loss == pytest.approx(soft_nearest_neighbours(d, alike, everyone, float(best)))
        grid = np.geomspace(best / 30, best * 30, 400)
        assert loss == pytest.approx(min(soft_nearest_neighbours(d, alike, everyone, float(s)) for s in grid), rel=3e-3)
    # T = ∞: the share of one's own class among the others.
    assert soft_nearest_neighbours(d, same, everyone, 1e12, 0.0) == pytest.approx(np.log(39 / 19), rel=1e-6)


def planted(apart: float, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    episode = np.repeat(np.arange(16), 5)
    of_episode = rng.permutation(np.repeat([0, 1], 8))
    condition = np.where(of_episode[episode] == 1, "unseen", "seen")
    shift = rng.normal(size=(16, 6))[episode]  # steps of an episode are alike
    values = rng.normal(size=(80, 6)) + 2 * shift
    values[:, 0] += apart * of_episode[episode]
    return made(values, episode, condition=condition)


def test_separated_classes_are_found_and_mixed_ones_are_not(tmp_path: Path) -> None:
    found = entanglement(planted(12.0), permutations=50, untrained=[planted(0.0, 5)])
    assert found.ratio < 0.6
    assert found.p == pytest.approx(1 / 51)
    assert found.untrained[0] > 1.5 * found.loss
    assert found.chance == pytest.approx(np.log(79 / 39))
    found.save(tmp_path)
    p = [entanglement(planted(0.0, s), permutations=30, seed=s).p for s in range(8)]
    assert min(p) > 0.03
    assert np.mean(p) > 0.25, "steps of one episode, which are alike, make no class"
    with_them = planted(0.0)
    d = cdist(with_them.values, with_them.values, "sqeuclidean")
    label = (np.array(with_them.condition) == "seen").astype(np.int64)[None]
    together = float(least_over_temperature(d, label, np.ones(d.shape, bool))[0][0])
    assert together < 0.8 * entanglement(with_them, permutations=1).loss


def test_classes() -> None:
    assert classes_of(np.array(["b", "a", "b"]), 4).tolist() == [1, 0, 1]
    assert classes_of(np.array([1.0, np.nan, 3.0, 1.0]), 4).tolist() == [0, -1, 1, 0]
    assert classes_of(np.arange(8), 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert classes_of(np.array([5, 9, 5]), 4).tolist() == [0, 1, 0]


def test_labels_of_episodes_are_permuted_as_such() -> None:
    rng = np.random.default_rng(0)
    episode = np.repeat(np.arange(6), 4)
    label = np.array([0, 0, 0, 1, 1, 1])[episode]
    mixed = permuted(label, episode, rng)
    assert all(len(set(mixed[episode == e])) == 1 for e in range(6))
    assert sorted(mixed[::4].tolist()) == [0, 0, 0, 1, 1, 1]
    step = np.tile(np.arange(4), 6)
    assert sorted(permuted(step, episode, rng).tolist()) == sorted(step.tolist())


def test_bad_input() -> None:
    one = planted(1.0)
    for arguments, said in [
        ({"by": "conditon"}, "did you mean condition"),
        ({"by": "episode", "bins": 99}, "no two episodes share a class"),
        ({"metric": "manhattan"}, "is unknown"),
        ({"permutations": 0}, "at least 1"),
    ]:
        with pytest.raises(ConfigError, match=said):
            entanglement(one, **arguments)
    with pytest.raises(ConfigError, match="all steps are of one class"):
        entanglement(made(one.values, one.episode))
    assert entanglement(one, permutations=3, metric="cosine").steps == 80
