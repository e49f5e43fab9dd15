"""Sanity checks: what shows the picture alone fails them, what shows the policy passes, and nobody's weights move."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from planted import PATCH, SIZE, patch_view, pictures
from torch import Tensor, nn

import jostle
from jostle.errors import ConfigError
from jostle.explain.asking import Subject, ask
from jostle.explain.perturb import occlusion
from jostle.explain.results import Maps
from jostle.explain.results.distinctness import distinctness
from jostle.explain.results.maps import maps_of
from jostle.explain.results.similarity import alike_in_gradients, hog, spearman, ssim
from jostle.explain.saliency import gradient
from jostle.explain.sanity import check, fidelity, permuted_actions, randomisation
from jostle.explain.sanity.layers import layers_used
from jostle.explain.sanity.permuted import students
from jostle.explain.tracing import fingerprint, trace
from jostle.explain.weights.fresh import refresh
from jostle.view import as_view


def picture_alone(subject: Subject) -> Maps:
    """A technique that looks at no policy."""
    layout = subject.layout()
    values = torch.from_numpy(distinctness(layout.rgb(subject.x)))
    return maps_of(subject, layout, "picture", values, signed=False)


def by_gradient(subject: Subject) -> Maps:
    found = gradient(subject, None)
    assert isinstance(found, Maps)
    return found


def test_rank_correlation_and_structural_similarity() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((9, 8)), rng.random((9, 8)).round(1)
    from scipy.stats import spearmanr

    assert spearman(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert spearman(a, -a) == pytest.approx(-1)
    assert ssim(a, a) == pytest.approx(1)
    unit = [(m - m.min()) / np.ptp(m) for m in (a, b)]
    each = []
    for i in range(3):
        for j in range(2):
            x, y = (m[i : i + 7, j : j + 7].ravel() for m in unit)
            cov = np.cov(x, y)
            up = (2 * x.mean() * y.mean() + 1e-4) * (2 * cov[0, 1] + 9e-4)
            each.append(up / ((x.mean() ** 2 + y.mean() ** 2 + 1e-4) * (cov[0, 0] + cov[1, 1] + 9e-4)))
    assert ssim(a, b) == pytest.approx(np.mean(each))
    with pytest.raises(ConfigError, match="cannot be compared"):
        spearman(a, b[1:])


def by_loops(a: np.ndarray[Any, Any], cell: int = 8, block: int = 3) -> np.ndarray[Any, Any]:
    """Oriented gradients, pixel by pixel, as scikit-image's documentation and source describe them."""
    rows, columns = a.shape[0] // cell, a.shape[1] // cell
    cells = np.zeros((rows, columns, 9))
    for y in range(rows * cell):
        for x in range(columns * cell):
            down = a[y + 1, x] - a[y - 1, x] if 0 < y < a.shape[0] - 1 else 0.0
            right = a[y, x + 1] - a[y, x - 1] if 0 < x < a.shape[1] - 1 else 0.0
            angle = np.degrees(np.arctan2(down, right)) % 180
            for o in range(9):
                if 20 * o <= angle < 20 * (o + 1):
                    cells[y // cell, x // cell, o] += np.sqrt(down**2 + right**2) / cell**2
    found = []
    for y in range(rows - block + 1):
        for x in range(columns - block + 1):
            part = cells[y : y + block, x : x + block].ravel()
            part = np.minimum(part / np.sqrt((part**2).sum() + 1e-10), 0.2)
            found.append(part / np.sqrt((part**2).sum() + 1e-10))
    return np.concatenate(found)


def test_oriented_gradients_by_hand_and_by_loops() -> None:
    ramp = np.tile(np.arange(8.0), (8, 1))  # rises to the right: 2 at all but the outer columns, at 0 degrees
    assert hog(ramp) == pytest.approx([1, *[0] * 8], abs=1e-6), "cut off at 0.2, and brought back to 1"
    assert hog(ramp.T)[4] == pytest.approx(1, abs=1e-6), "90 degrees are the fifth bin, 80 to 100"
    two = np.where(np.arange(8) < 4, ramp, 3 * ramp.T)  # 24 pixels of 2 at 0 degrees, and steeper ones at 90
    assert set(np.flatnonzero(hog(two) > 1e-3)) >= {0, 4}
    a = np.random.default_rng(0).random((33, 26))
    np.testing.assert_allclose(hog(a), by_loops(a), atol=1e-9)
    assert len(hog(a)) == 2 * 1 * 81
    assert alike_in_gradients(a, 3 * a - 1) == pytest.approx(1)
    assert abs(alike_in_gradients(a, np.random.default_rng(1).random(a.shape))) < 0.5
    turned = np.rot90(ramp)
    assert alike_in_gradients(ramp, turned) < 0
    assert np.isnan(alike_in_gradients(a, np.ones_like(a)))
    with pytest.raises(ConfigError, match="cannot be compared"):
        alike_in_gradients(a, a[1:])
    feature = pytest.importorskip("skimage.feature", exc_type=ImportError)
    np.testing.assert_allclose(hog(a), feature.hog(a, visualize=False), atol=1e-6)


def test_layers_from_the_output_down_and_only_those_that_matter() -> None:
    assert layers_used(ask(patch_view(), pictures(1), "logit:0")) == ["out", "conv"]
    agent = jostle.PPO(
        "CartPole-v1", num_envs=2, num_steps=8, hidden=(8, 8), shared=True, recurrent="gru", recurrent_size=4,
        noisy="factorised", minibatch_by="envs", minibatches=1, seed=3,
    )  # fmt: skip
    obs = np.zeros((1, 4), np.float32) + 0.1
    assert layers_used(ask(agent, obs, "log_prob")) == ["policy", "core", "actor.2", "actor.0"]
    assert layers_used(ask(agent, obs, "value")) == ["value", "core", "actor.2", "actor.0"]


def test_fresh_weights_are_drawn_beside_the_global_generator() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
    before, kept = torch.get_rng_state(), net[1].weight.clone()
    refresh(net, "0", seed=1)
    once = net[0].weight.clone()
    refresh(net, "0", seed=1)
    assert torch.equal(net[0].weight, once)
    refresh(net, "0", seed=2)
    assert not torch.equal(net[0].weight, once)
    assert torch.equal(net[1].weight, kept)
    assert torch.equal(torch.get_rng_state(), before)

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.linspace(1, 3, 4000))

    own = nn.Sequential(Own())
    refresh(own, "0", seed=1)
    w = own[0].w.detach()
    assert not torch.equal(w, torch.linspace(1, 3, 4000))
    assert float(w.mean()) == pytest.approx(2, abs=0.05)
    assert float(w.std()) == pytest.approx(0.5774, abs=0.03)


@pytest.mark.parametrize("mode", ["cascade", "independent"])
def test_what_looks_at_no_policy_fails_and_gradients_pass(mode: Any) -> None:
    subject = ask(patch_view(), pictures(3), "logit:0")
    passed = randomisation(by_gradient, subject, mode=mode)
    assert passed.layers == ["out", "conv"]
    assert passed.failed is None
    assert passed.absolute.shape == (2, 3)
    assert passed.absolute[0].max() < 0.3, "a fresh last layer looks everywhere"
    alone = randomisation(picture_alone, subject, mode=mode)
    np.testing.assert_allclose(alone.absolute, 1)
    np.testing.assert_allclose(alone.structure, 1)
    np.testing.assert_allclose(alone.oriented, 1)
    assert (alone.failed is None) == (mode == "independent")
    if mode == "cascade":
        assert alone.failed == "maps of random weights are alike (ρ = 1.00)"
    else:
        assert passed.absolute[1].min() > 0.9, "a fresh convolution alone still reaches from the patch alone"


class Sum(nn.Module):
    """Logit 0: a weighted sum of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        total = (x.float() * self.w).sum((1, 2, 3)) / 1000
        return torch.stack([total, 0 * total], 1)


def test_curves_by_hand() -> None:
    space = spaces.Box(0, 255, (1, SIZE, SIZE), np.uint8)
    net = Sum()
    view = as_view(net, kind="logits", observation_space=space, action_space=spaces.Discrete(2))
    obs = np.random.default_rng(0).integers(0, 256, (2, 1, SIZE, SIZE), dtype=np.uint8)
    subject = ask(view, obs, "logit:0")
    maps = occlusion(view, obs, "logit:0", window=1, fill="black")
    worth = obs[:, 0] * net.w.detach().numpy() / 1000
    np.testing.assert_allclose(maps.values, worth, rtol=1e-2, atol=1e-4)
    one, many = (fidelity(maps, subject, fill="black", batch=b) for b in (7, 500))
    ordered = -np.sort(-worth.reshape(2, -1), 1)
    for place, share in enumerate(one.shares):
        count = round(share * SIZE**2)
        np.testing.assert_allclose(one.deletion[:, place], ordered[:, :count].sum(1), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(one.insertion[:, place], ordered[:, count:].sum(1), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(one.null_deletion, many.null_deletion, rtol=1e-3, atol=1e-3)
    whole = worth.reshape(2, -1).sum(1)
    assert np.all(np.abs(one.null_deletion[:, 7] / whole - 0.5) < 0.05), "half of the pixels elsewhere are half of it"
    assert np.all(one.gain > 0.1)


def test_maps_of_another_place_are_unfaithful() -> None:
    obs = pictures(4)
    subject = ask(patch_view(), obs, "logit:0")
    good = occlusion(patch_view(), obs, "logit:0", window=3, stride=1)
    assert fidelity(good, subject).failed is None
    wrong = np.roll(good.values, (12, -10), (1, 2))
    moved = Maps(good.method, good.target, good.policy, wrong, good.pictures, good.labels, True)
    assert str(fidelity(moved, subject).failed).startswith("no more faithful than elsewhere (gain -")
    with pytest.raises(ConfigError, match="4 maps do not fit 2 steps"):
        fidelity(good, ask(patch_view(), obs[:2]))


@pytest.fixture(scope="module")
def agent() -> jostle.PPO:
    return jostle.PPO(
        "jostle/ThemedCatch-v0", num_envs=8, num_steps=16, encoder="impala", hidden=(32,), shared=True, seed=1,
        noisy="factorised", env_options={"num_themes": 1},
    )  # fmt: skip


def test_permuted_actions_make_other_maps(agent: jostle.PPO, tmp_path: Path) -> None:
    recorded = trace(agent, tmp_path / "t", episodes=16, actions="sampled", noise="fixed")
    view = recorded.prepared(as_view(agent))
    taught = students(view, recorded, updates=30, batch=32)
    assert taught.agreement[0] > 0.4
    assert fingerprint(taught.true) != fingerprint(taught.permuted)
    assert not any(p.requires_grad for p in taught.true.module.parameters())
    subject = ask(agent, recorded.steps([3, 9]))
    assert permuted_actions(picture_alone, subject, taught).failed == "maps of permuted actions are alike (ρ = 1.00)"
    assert permuted_actions(by_gradient, subject, taught).alike.max() < 0.99
    with pytest.raises(ConfigError, match="is the trace of another policy"):
        students(as_view(lambda o: o[:, 0, 0, 0] * 0, env="jostle/ThemedCatch-v0"), recorded)


def test_students_begin_alike_and_are_taught_other_actions(tmp_path: Path) -> None:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1)
    recorded = trace(agent, tmp_path / "t", episodes=4, actions="sampled")
    view = recorded.prepared(as_view(agent))
    taught = students(view, recorded, updates=0, seed=5)
    assert fingerprint(taught.true) == fingerprint(taught.permuted) != fingerprint(view)
    logits = taught.true.forward(recorded.obs()).logits
    assert logits is not None
    does, labels = logits.argmax(1).numpy(), recorded.column("action")
    order = np.random.default_rng(5).permutation(len(labels))
    assert 0 < does.mean() < 1
    wanted = (does == labels).mean(), (does == labels[order]).mean()
    assert wanted[0] != wanted[1]
    np.testing.assert_allclose(taught.agreement, wanted, rtol=1e-6)


def test_the_checks_together_mark_the_title_and_change_nobody(agent: jostle.PPO, tmp_path: Path) -> None:
    recorded = trace(agent, tmp_path / "t", episodes=4, noise="sampled")
    view = as_view(agent)
    view.redraw(2, seed=4)
    prepared = recorded.prepared(view)

    def state() -> str:
        assert view.noise is not None
        assert prepared.noise is not None
        own = [layer.noise.clone() for layer in agent.noise.layers.values()]
        flags = [(m.training, len(m._forward_hooks), len(m._backward_hooks)) for m in agent.network.modules()]
        draws = [v.noise.state_dict() for v in (view, prepared)]  # type: ignore[union-attr]
        mine = [(m.training, len(m._forward_hooks)) for m in prepared.module.modules()]
        prints = [fingerprint(v) for v in (view, as_view(agent), prepared)]
        return str([prints, own, flags, draws, mine, torch.get_rng_state().sum()])

    before = state()
    taught = students(prepared, recorded, updates=2)
    subject = Subject(prepared, recorded.steps([0, 11]))
    maps, sanity = check(picture_alone, subject, taught=taught)
    assert sanity.cascade is not None
    assert sanity.independent is not None
    assert sanity.left_out == {}
    assert "FAILED: maps of random weights are alike (ρ = 1.00); maps of permuted actions are alike" in maps.title
    good, passed = check(by_gradient, subject)
    assert passed.left_out == {"permuted actions": "there were no students."}
    assert good.failed == passed.failed
    assert state() == before
    files = sanity.save(tmp_path / "s", "picture")
    assert [f.name for f in files] == [
        "picture.json", "picture_cascade.png", "picture_independent.png", "picture_curves.png"
    ]  # fmt: skip
    assert all(f.stat().st_size > 0 for f in files)


def test_what_has_no_weights_is_checked_by_its_curves() -> None:
    net = patch_view().module
    space = spaces.Box(0, 255, (3, SIZE, SIZE), np.uint8)
    view = as_view(lambda x: net(x), kind="logits", observation_space=space, action_space=spaces.Discrete(2))
    subject = ask(view, pictures(2), "logit:0")
    maps, sanity = check(lambda s: occlusion(s, None, window=3, stride=1), subject)
    assert "has no weights that 'logit:0' depends on" in sanity.left_out["randomisation"]
    assert sanity.failed is None
    assert maps.title == "occlusion, logit:0"
    assert (np.abs(maps.values).argmax() % SIZE**2) // SIZE in range(PATCH[0].start, PATCH[0].stop)
