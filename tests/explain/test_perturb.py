"""Perturbation saliency: against numbers by hand, Captum's and SciPy's, and networks with a planted patch."""

from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from gymnasium import spaces
from planted import PATCH, PICTURES, SIZE, Patch, mass_in_patch, patch_view, pictures
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

import jostle
from jostle.errors import ConfigError
from jostle.explain.asking import ask
from jostle.explain.perturb import (
    baseline_mask,
    blurred,
    feature_ablation,
    greydanus,
    mean_frames,
    occlusion,
    permutation,
    sarfa,
    sarfa_score,
)
from jostle.explain.perturb.masks import gaussian_masks, square_masks
from jostle.explain.tracing import trace
from jostle.view import as_view


def test_gaussian_masks_and_their_maps() -> None:
    masks = gaussian_masks((84, 84), stride=5, variance=25.0)
    assert len(masks) == 289
    every = masks.some(0, 289)
    y, x = np.mgrid[:84, :84]
    place = 3 * 17 + 4  # centred on (15, 20)
    wanted = np.exp(-((y - 15) ** 2 + (x - 20) ** 2) / 50)
    np.testing.assert_allclose(every[place], wanted, rtol=1e-4, atol=1e-7)
    assert every.amax((1, 2)).tolist() == [1.0] * 289
    scores = torch.rand(289)
    up = masks.spread(scores)
    torch.testing.assert_close(up[15, 20], scores[place])
    torch.testing.assert_close(up.max(), scores.max(), msg="the original maximum")
    torch.testing.assert_close(up[16, 20], 0.8 * scores[place] + 0.2 * scores[place + 17])
    torch.testing.assert_close(up[83, 83], scores[-1])


def test_square_masks_cover_the_border() -> None:
    masks = square_masks((7, 6), window=3, stride=2)
    every = masks.some(0, len(masks))
    assert len(masks) == 3 * 3
    assert every[0].sum() == 9
    assert every[-1].tolist() == (np.mgrid[:7, :6].min(0) >= 4).tolist()
    scores = torch.arange(9.0)
    up = masks.spread(scores)
    assert up[0, 0] == 0
    assert up[2, 2] == (0 + 1 + 3 + 4) / 4
    assert up[6, 5] == 8


def test_the_blur_is_scipys() -> None:
    planes = torch.rand(2, 3, 20, 16)
    for b in range(2):
        for c in range(3):
            np.testing.assert_allclose(blurred(planes)[b, c], gaussian_filter(planes[b, c].numpy(), 3), rtol=1e-5)


class Sum(nn.Module):
    """Logits (Σ of channel 1, Σ of the last channel) in [0, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        unit = x.float() / 255
        return torch.stack([unit[:, 1].sum((1, 2)), unit[:, -1].sum((1, 2))], 1)


def summing(shape: tuple[int, ...] = (4, 20, 20)) -> Any:
    space = spaces.Box(0, 255, shape, np.uint8)
    return as_view(Sum(), kind="logits", observation_space=space, action_space=spaces.Discrete(2))


def test_greydanus_by_hand() -> None:
    obs = np.random.default_rng(0).integers(0, 256, (2, 4, 20, 20), dtype=np.uint8)
    found = greydanus(summing(), obs, stride=5)
    y, x = np.mgrid[:20, :20]
    for b in range(2):
        newest = obs[b, 3] / 255
        blur = gaussian_filter(obs[b, 3].astype(np.float32), 3) / 255
        for i, j in [(0, 0), (5, 15), (10, 5)]:
            mask = np.exp(-((y - i) ** 2 + (x - j) ** 2) / 50)
            moved = newest * (1 - mask) + blur * mask
            wanted = 0.5 * (newest.sum() - moved.sum()) ** 2  # the older frames, and so the first logit, stay
            assert found.values[b, i, j] == pytest.approx(wanted, rel=2e-3, abs=1e-5)


def test_occlusion_is_captums() -> None:
    view, obs = patch_view(), pictures(3)
    subject = ask(view, obs, "logit:0")
    captum = Occlusion(subject).attribute(
        subject.x, sliding_window_shapes=(3, 5, 5), strides=(3, 4, 4), baselines=127.5,
        additional_forward_args=(torch.arange(3),),
    )  # fmt: skip
    found = occlusion(view, obs, "logit:0", window=5, stride=4)
    np.testing.assert_allclose(found.values, captum[:, 0].detach(), rtol=1e-3, atol=1e-5)


def test_results_do_not_depend_on_the_batch() -> None:
    view, obs = patch_view(), pictures(2)
    one, many = (occlusion(view, obs, "log_prob", stride=3, batch=b).values for b in (1, 1000))
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-6)
    together, alone = greydanus(view, obs).values[1], greydanus(view, obs[1:]).values[0]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-7)


class Writes(nn.Module):
    """Writes into what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        out = x.sum((1, 2, 3))
        x.mul_(0)
        return torch.stack([out, -out], 1)


def test_a_network_that_writes_into_its_input_harms_nobody() -> None:
    space = spaces.Box(0, 1, (4, 20, 20), np.float32)
    view = as_view(Writes(), kind="logits", observation_space=space, action_space=spaces.Discrete(2))
    obs = np.random.default_rng(0).random((2, 4, 20, 20), np.float32)
    kept = obs.copy()
    for frames, part in (("all", slice(0, 4)), ("newest", slice(3, 4))):
        found = occlusion(view, obs, "logit:0", window=10, batch=1, frames=frames)  # type: ignore[arg-type]
        for i, j in [(0, 0), (10, 10)]:
            window = np.s_[:, part, i : i + 10, j : j + 10]
            wanted = (kept[window] - 0.5).sum((1, 2, 3))
            np.testing.assert_allclose(found.values[:, i, j], wanted, rtol=1e-2, atol=1e-2)
    assert np.array_equal(obs, kept)


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 3), (2, 20, 20, 3), (4, 20, 20)])
def test_every_layout_of_pictures(shape: tuple[int, ...]) -> None:
    class Newest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            newest = {2: x, 3: x if shape[-1] == 3 else x[:, -1], 4: x[:, -1] if x.ndim == 5 else x}[len(shape)]
            area = newest[:, 3:8, 10:15].float().flatten(1).mean(1)
            return torch.stack([area, -area], 1)

    space = spaces.Box(0, 255, shape, np.uint8)
    view = as_view(Newest(), kind="logits", observation_space=space, action_space=spaces.Discrete(2))
    obs = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    for frames in ("newest", "all"):
        found = occlusion(view, obs, "logit:0", window=5, stride=1, frames=frames).values  # type: ignore[arg-type]
        assert found.shape == (2, 20, 20)
        outside = found.copy()
        outside[:, :12, 6:19] = 0
        assert np.abs(outside).max() < 1e-4
        assert np.abs(found[:, 3:8, 10:15]).max() > 1


def test_sarfa_by_hand() -> None:
    before, after = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.5]])
    p = np.exp([2, 1, 0]) / np.exp([2, 1, 0]).sum()
    q = np.exp([1, 1, 0.5]) / np.exp([1, 1, 0.5]).sum()
    gain = p[0] - q[0]
    old, new = np.exp([1, 0]) / np.exp([1, 0]).sum(), np.exp([1, 0.5]) / np.exp([1, 0.5]).sum()
    k = 1 / (1 + (old * np.log(old / new)).sum())
    found = sarfa_score(before, after, torch.tensor([0]))
    assert float(found) == pytest.approx(2 * k * gain / (k + gain), rel=1e-5)
    assert float(sarfa_score(after, before, torch.tensor([0]))) == 0, "what speaks against the action is none"
    huge = sarfa_score(1000 * before, 1000 * after, torch.tensor([0]))
    assert torch.isfinite(huge).all(), "no softmax overflows"
    two = sarfa_score(before[:, :2], after[:, :2], torch.tensor([0]))
    gain = 1 / (1 + np.exp(-1)) - 0.5
    assert float(two) == pytest.approx(2 * gain / (1 + gain), rel=1e-5)


def dark_outside(count: int = 4) -> np.ndarray[Any, Any]:
    """Random pictures whose patch is bright, so that it speaks for action 0."""
    obs = pictures(count)
    obs[:, :, *PATCH] = np.maximum(obs[:, :, *PATCH], 200)
    return obs


METHODS = {
    "occlusion": lambda view, obs: occlusion(view, obs, "logit:0", window=3, stride=1),
    "blur": lambda view, obs: greydanus(view, obs, stride=2, variance=2.0),
    "baseline image": lambda view, obs: baseline_mask(
        view, obs, "logit:0", fill=np.full((3, SIZE, SIZE), 60.0), stride=2, variance=2.0
    ),
    "SARFA": lambda view, obs: sarfa(view, obs, fill="black", stride=2, variance=2.0),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_patch_is_found_and_nothing_where_it_is_ignored(method: str) -> None:
    obs = dark_outside()
    chance = 25 / SIZE**2
    found = METHODS[method](patch_view(0.5), obs)
    assert found.method == method
    share = mass_in_patch(found.values)
    assert share.min() > 6 * chance, share
    peaks = [np.unravel_index(np.abs(v).argmax(), v.shape) for v in found.values]
    assert all(PATCH[0].start - 1 <= y <= PATCH[0].stop and PATCH[1].start - 1 <= x <= PATCH[1].stop for y, x in peaks)
    assert not METHODS[method](patch_view(0.0), obs).values.any()


def test_the_mean_frame_by_condition_and_pooled(tmp_path: Any) -> None:
    agent = jostle.PPO("jostle/ThemedCatch-v0", num_envs=2, num_steps=4, encoder="impala", hidden=(8,), seed=1)
    conditions = {"one": {"themes": [1]}, "two": {"themes": [2]}}
    recorded = trace(agent, tmp_path / "t", episodes=2, conditions=conditions)
    subject = ask(agent, recorded)
    layout = subject.layout()
    frames = mean_frames(subject, recorded, layout, pooled=False)
    obs = recorded.obs(recorded.rows(condition="two"))
    np.testing.assert_allclose(frames["two"], obs.mean(0).transpose(2, 0, 1), rtol=1e-5)
    pooled = mean_frames(subject, recorded, layout)[""]
    torch.testing.assert_close(pooled, (frames["one"] + frames["two"]) / 2)
    own = baseline_mask(agent, recorded.steps([0, 20]), pooled=False)
    one = baseline_mask(agent, recorded.steps([20]), fill=frames["two"])
    np.testing.assert_allclose(own.values[1], one.values[0], rtol=1e-4, atol=1e-7)
    with pytest.raises(ConfigError, match="no baseline picture for the condition 'two'"):
        baseline_mask(agent, recorded.steps([20]), fill={"one": frames["one"]})


def test_features_of_vectors() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(4, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, -2.0, 0.0, 0.5], [0.0] * 4]))
    view = as_view(linear, kind="logits", env="CartPole-v1")
    obs = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    found = feature_ablation(view, obs, "logit:0", fill=0.0)
    assert found.names == ["position", "velocity", "angle", "angular velocity"]
    np.testing.assert_allclose(found.values, obs * [1, -2, 0, 0.5], rtol=1e-4, atol=1e-6)
    mean = feature_ablation(view, obs, "logit:0")
    np.testing.assert_allclose(mean.values, (obs - obs.mean(0)) * [1, -2, 0, 0.5], rtol=1e-4, atol=1e-6)
    mixed = permutation(view, obs, "logit:0", repeats=400)
    # Of a random order the mean of ½ (x_i − x_j)² over all j, i itself among them.
    wanted = 0.5 * np.array([[((obs[i, f] - obs[:, f]) ** 2).mean() for f in range(4)] for i in range(6)])
    np.testing.assert_allclose(mixed.values, wanted * np.array([1, 4, 0, 0.25]), rtol=0.25, atol=1e-6)
    assert not mixed.values[:, 2].any(), "what has no weight has no importance"
    with pytest.raises(ConfigError, match="3 names were given for 4 features"):
        feature_ablation(view, obs, names=["a", "b", "c"])
    with pytest.raises(ConfigError, match="nothing to be exchanged with"):
        permutation(view, obs[:1])


def test_bad_input() -> None:
    view, obs = patch_view(), pictures(1)
    vectors = as_view(nn.Linear(4, 2), kind="logits", env="CartPole-v1")
    with pytest.raises(ConfigError, match=r"sees Box\[4\] of float32 and no pictures: use feature_ablation"):
        greydanus(vectors, np.zeros((1, 4), np.float32))
    grid = spaces.Box(0, 255, (7, 7, 3), np.uint8)
    small = as_view(nn.Flatten(), kind="logits", observation_space=grid, action_space=spaces.Discrete(147))
    with pytest.raises(ConfigError, match="no pictures of at least 16 pixels a side"):
        occlusion(small, np.zeros((1, 7, 7, 3), np.uint8))
    for call, said in [
        (lambda: occlusion(view, obs, window=99), "window=99 is no part of pictures of 24×24"),
        (lambda: occlusion(view, obs, stride=0), "stride=0"),
        (lambda: greydanus(view, obs, variance=0), "variance=0"),
        (lambda: occlusion(view, obs, fill="gray"), "did you mean grey"),
        (lambda: occlusion(view, obs, "policy"), "several numbers: give score='square'"),
        (lambda: occlusion(view, obs, batch=0), "batch=0"),
        (lambda: occlusion(view, obs, fill=np.zeros((2, 2))), r"a baseline picture of \[2, 2\] does not fit"),
        (lambda: baseline_mask(view, obs), "needs frames to be averaged"),
    ]:
        with pytest.raises(ConfigError, match=said):
            call()
    broken = Patch()
    nn.init.constant_(broken.out.bias, float("nan"))
    nan = as_view(broken, kind="logits", observation_space=PICTURES, action_space=spaces.Discrete(2))
    with pytest.raises(ConfigError, match="hold NaN or infinities"):
        occlusion(nan, obs)
    wide = spaces.Box(-np.inf, np.inf, (3, 24, 24), np.float32)
    unbounded = as_view(Patch(), kind="logits", observation_space=wide, action_space=spaces.Discrete(2))
    with pytest.raises(ConfigError, match="nobody knows what is grey"):
        occlusion(unbounded, obs.astype(np.float32))
    box = spaces.Box(-1, 1, (2,), np.float32)
    numbers = as_view(Patch(), kind="mean", observation_space=PICTURES, action_space=box)
    with pytest.raises(ConfigError, match="SARFA is for one choice of actions"):
        sarfa(numbers, obs)
