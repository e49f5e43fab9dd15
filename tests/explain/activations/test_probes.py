"""Probes: a planted factor is read in new episodes, and nothing where there is none; ridge against scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_activations import made

from jostle.errors import ConfigError
from jostle.explain.activations import probe, probe_layers
from jostle.explain.activations.ridge import PENALTIES, _predicted, folds_of, out_of_fold


def planted(strength: float, seed: int = 0, layer: str = "layer") -> Any:
    rng = np.random.default_rng(seed)
    episode = np.repeat(np.arange(24), 5)
    mass, theme = rng.uniform(1, 3, 24)[episode], rng.integers(3, size=24)[episode]
    values = rng.normal(size=(120, 10)) + 0.5 * rng.normal(size=(24, 10))[episode]
    direction = rng.normal(size=10)
    values += strength * (mass - 2)[:, None] * direction
    values[:, 1] += 3 * strength * (theme == 1)
    values[:, 2] += 3 * strength * (theme == 2)
    return made(values, episode, mass=mass, theme=theme, layer=layer)


def test_ridge_is_scikit_learns() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x, y, new = rng.normal(size=(30, 8)) * 3 + 1, rng.normal(size=(30, 2)), rng.normal(size=(5, 8))
    found = _predicted(x, y, new)
    z, centre, spread = (x - x.mean(0)) / x.std(0), x.mean(0), x.std(0)
    for place, penalty in enumerate(PENALTIES):
        model = linear_model.Ridge(alpha=penalty * 30).fit(z, y)
        np.testing.assert_allclose(found[place], model.predict((new - centre) / spread), rtol=1e-8, atol=1e-10)


def test_no_episode_is_on_both_sides() -> None:
    episode = np.repeat(np.arange(7), 3)
    fold = folds_of(episode, 5, np.random.default_rng(0))
    assert all(len(set(fold[episode == e])) == 1 for e in range(7))
    assert set(fold) == set(range(5))
    # What is only true within an episode cannot be read in another one.
    x = np.eye(7)[episode]
    y = np.random.default_rng(1).normal(size=7)[episode][:, None]
    predicted, mean = out_of_fold(x, y, episode)
    assert ((y - predicted) ** 2).sum() >= 0.8 * ((y - mean) ** 2).sum()


def test_the_factor_is_read_and_its_absence_seen(tmp_path: Path) -> None:
    found = probe(planted(2.0), "mass", permutations=50, untrained=[planted(0.0)])
    assert found.kind == "R²"
    assert found.score.low > 0.5
    assert found.p == pytest.approx(1 / 51)
    assert found.untrained[0] < 0.2
    assert np.quantile(found.null, 0.95) < 0.3
    nothing = [probe(planted(0.0, s), "mass", permutations=20, seed=s).p for s in range(10)]
    assert sum(p < 0.06 for p in nothing) <= 2
    theme = probe(planted(2.0), "theme", permutations=50)
    assert theme.kind == "balanced accuracy"
    assert theme.chance == pytest.approx(1 / 3)
    assert theme.score.low > 0.6
    assert abs(float(theme.null.mean()) - 1 / 3) < 0.1
    layers = probe_layers([planted(0.0, 1, "early"), planted(2.0, 1, "late")], "mass", permutations=20)
    assert layers["late"].score.point > 0.5 > layers["early"].score.point
    layers.save(tmp_path)
    found.save(tmp_path)


def test_scores_by_hand() -> None:
    """One feature that is the label itself: everything is read, and permuting the rest changes nothing."""
    episode = np.repeat(np.arange(10), 3)
    mass = np.arange(10.0)[episode]
    found = probe(made(np.stack([mass, -mass], 1), episode, mass=mass), "mass", permutations=5)
    assert found.score.point == pytest.approx(1, abs=1e-3)
    told = probe(made(np.stack([mass % 2, mass * 0], 1), episode, kind=mass % 2), "kind", classes=True, permutations=3)
    assert told.score.point == 1
    assert told.chance == 0.5


def test_bad_input() -> None:
    one = planted(1.0)
    with pytest.raises(ConfigError, match="did you mean mass"):
        probe(one, "mas")
    with pytest.raises(ConfigError, match="of 3 episodes proves nothing"):
        probe(one.only(np.arange(15)), "mass")
    with pytest.raises(ConfigError, match="is the same at all steps"):
        probe(one, "condition")
