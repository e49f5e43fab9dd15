"""Planes and trajectories: PCA is scikit-learn's, other conditions are put into it, aligned trajectories are told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_activations import made

import jostle
from jostle.errors import ConfigError
from jostle.explain.activations import embed, fit_pca, gather, trajectories
from jostle.explain.tracing import Trace, trace
from jostle.explain.weights import untrained
from jostle.view import as_view


def test_pca_is_scikit_learns() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = np.random.default_rng(0).normal(size=(30, 6)) @ np.diag([5, 3, 1, 1, 0.5, 0.1])
    new = np.random.default_rng(1).normal(size=(4, 6))
    ours, theirs = fit_pca(x, 3), decomposition.PCA(3).fit(x)
    signs = np.sign((ours.axes * theirs.components_).sum(1))
    np.testing.assert_allclose(ours.axes, theirs.components_ * signs[:, None], atol=1e-10)
    np.testing.assert_allclose(ours.variance, theirs.explained_variance_)
    np.testing.assert_allclose(ours.share, theirs.explained_variance_ratio_)
    np.testing.assert_allclose(ours.project(new), theirs.transform(new) * signs, atol=1e-10)
    assert (ours.axes[np.arange(3), np.abs(ours.axes).argmax(1)] > 0).all()


def test_residuals_by_hand() -> None:
    x = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 0.5, 0], [0, -0.5, 0]])
    plane = fit_pca(x, 2)
    assert plane.residual(x) == pytest.approx(0, abs=1e-12)
    assert plane.residual(np.array([[7.0, 3, 2]])) == pytest.approx(4 / ((2 + 0.5) / 3))
    with pytest.raises(ConfigError, match="cannot show 2"):
        plane.project(np.ones((1, 2)))
    with pytest.raises(ConfigError, match="9 components cannot be had"):
        fit_pca(x, 9)


def test_what_lies_beyond_by_hand() -> None:
    x = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 0.5, 0], [0, -0.5, 0]])
    one, both = fit_pca(x, 1), fit_pca(x, 2)
    assert one.beyond(x) == pytest.approx(0.75), "1 but for the divisor: three quarters along the axis and off it"
    assert both.beyond(x) == pytest.approx(0.75), "nothing is off this plane"
    assert one.beyond(np.array([[2.0, 0, 0]])) == pytest.approx(4 / (2 / 3) / 2), "along the axis alone"
    assert one.beyond(np.array([[0.0, 0, 2]])) == pytest.approx(4 / (2.5 / 3) / 0.2 / 2), "off it alone"


def test_a_condition_elsewhere_within_the_plane_is_told() -> None:
    acts = in_a_plane(0.0)
    acts.values[acts.episode >= 10, 0] += 12
    assert embed(acts, fit_on="seen").outside("unseen").interval.low > 0


def in_a_plane(away: float) -> Any:
    rng = np.random.default_rng(2)
    episode = np.repeat(np.arange(20), 6)
    values = rng.normal(size=(120, 8)) * np.array([4, 3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2])
    condition = np.where(episode < 10, "seen", "unseen")
    values[episode >= 10, 5] += away
    return made(values, episode, condition=condition)


def test_conditions_outside_the_plane_are_told(tmp_path: Path) -> None:
    far, near = (embed(in_a_plane(a), fit_on="seen") for a in (5.0, 0.0))
    assert far.outside("unseen").interval.low > 0.5
    assert near.outside("unseen").p > 0.05
    assert len(far.distances["seen"]) == len(far.distances["unseen"]) == 10
    assert far.fitted.sum() == 60
    assert far.points[:60] == pytest.approx(fit_pca(in_a_plane(0).values[:60], 2).project(in_a_plane(0).values[:60]))
    for colour in ("condition", "step", "action", "value", "episode"):
        far.plot(colour)
    assert [p.suffix for p in far.save(tmp_path)] == [".json", ".png", ".npz"]
    with pytest.raises(ConfigError, match="did you mean unseen"):
        embed(in_a_plane(0), fit_on="unsen")
    with pytest.raises(ConfigError, match="cannot be told apart by 'colour'"):
        far.plot("colour")
    with pytest.raises(ConfigError, match="nothing is known"):
        embed(in_a_plane(0)).outside("unseen")


def test_tsne_puts_new_points_in() -> None:
    pytest.importorskip("openTSNE")
    rng = np.random.default_rng(0)
    episode = np.repeat(np.arange(8), 10)
    group = np.arange(80) % 2
    values = rng.normal(size=(80, 5)) + 12 * group[:, None]
    acts = made(values, episode, condition=np.where(episode < 5, "seen", "unseen"))
    found = embed(acts, "tsne", fit_on="seen", perplexity=10)
    assert found.numbers["neighbours kept"] > 2 * found.numbers["neighbours kept (chance)"]
    middles = [found.points[found.fitted & (group == g)].mean(0) for g in (0, 1)]
    new = found.points[~found.fitted]
    near = np.linalg.norm(new[:, None] - np.array(middles)[None], axis=-1).argmin(1)
    assert (near == group[~found.fitted]).all()
    again = embed(acts, "tsne", fit_on="seen", perplexity=10)
    assert np.array_equal(found.points, again.points)
    found.plot("step")


def test_aligned_trajectories(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = rng.normal(size=(6, 8, 4)).cumsum(1)
    episode = np.repeat(np.arange(12), 8)
    condition = np.where(episode < 6, "seen", "unseen")
    aligned = np.concatenate([paths, paths + 0.01]).reshape(96, 4)
    other = np.concatenate([paths, rng.normal(size=(6, 8, 4)).cumsum(1)]).reshape(96, 4)
    acts = made(aligned, episode, condition=condition)
    found = trajectories(acts, "seen", "unseen", nulls={"untrained": made(other, episode, condition=condition)})
    assert found.consistency.tolist() == [1.0] * 6
    assert found.pairs.tolist() == [[i, i + 6] for i in range(6)]
    assert found.beyond["mismatched"].interval.low > 0
    assert found.beyond["untrained"].interval.low > 0
    assert found.distance.relative < 0.05
    found.save(tmp_path)
    mixed = trajectories(made(other, episode, condition=condition), "seen", "unseen")
    assert mixed.beyond["mismatched"].interval.low < 0.15
    with pytest.raises(ConfigError, match="0 pairs"):
        trajectories(acts, "seen", "seen")
    with pytest.raises(ConfigError, match="of other steps"):
        trajectories(acts, "seen", "unseen", nulls={"x": acts.only(np.arange(95))})


@pytest.fixture(scope="module")
def agent() -> jostle.PPO:
    return jostle.PPO(
        "jostle/ThemedCatch-v0", num_envs=2, num_steps=4, hidden=(8,), shared=True, recurrent="gru", recurrent_size=4,
        minibatch_by="envs", minibatches=1, seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def recorded(agent: jostle.PPO, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    conditions = {"seen": {"split": "train"}, "unseen": {"split": "test"}}
    return trace(agent, tmp_path_factory.mktemp("acts") / "t", episodes=4, conditions=conditions, layers=["core"])


def test_activations_of_a_trace(agent: jostle.PPO, recorded: Trace) -> None:
    core = gather(recorded, "core")
    assert core.values.shape == (56, 4)
    assert core.draws.keys() >= {"theme"}
    assert set(core.condition) == {"seen", "unseen"}
    again = gather(recorded, "actor", agent)
    assert again.values.shape == (56, 8)
    passed = gather(recorded, "core", untrained(as_view(agent), 1))
    assert passed.values.shape == (56, 4)
    assert not np.allclose(passed.values, core.values, atol=0.01)
    state = gather(recorded, "state")
    np.testing.assert_allclose(state.values[1:7], core.values[0:6], atol=1e-6), "a GRU puts out its state"
    # An untrained policy's states are its own: what its core puts out is the state before its next step.
    null = untrained(as_view(agent), 1)
    states = gather(recorded, "state", null)
    np.testing.assert_allclose(states.values[1:7], passed.values[0:6], atol=1e-5)
    assert not states.values[0].any()
    pixels = gather(recorded, "observation", rows=[3, 5])
    assert pixels.values.shape == (2, 32 * 32 * 3)
    same = trajectories(core, "seen", "unseen", nulls={"observation": gather(recorded, "observation")})
    assert len(same.consistency) == 4
    pooled = gather(recorded, "encoder", agent, pool="mean")
    assert pooled.values.shape[0] == 56
    with pytest.raises(ConfigError, match="record it with layers="):
        gather(recorded, "actor")
    with pytest.raises(ConfigError, match="did you mean"):
        gather(recorded, "cor", agent)
