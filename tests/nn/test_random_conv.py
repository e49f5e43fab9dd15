"""RandomConv2d: φ, its slots and clean flags, what it makes of pictures, and what flows back through it."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from jostle.errors import CheckpointError, ConfigError
from jostle.nn.noise import CLEAN, Noise, family
from jostle.nn.noisy import NoisyLinear
from jostle.nn.random_conv import RandomConv2d


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def made(channels: int = 3, frames: int = 1, *, slots: int = 8, seed: int = 0, **options: object) -> tuple:
    layer = RandomConv2d(channels, frames, **options)
    return layer, Noise(layer, seed=seed, role="test", slots=slots)


def phi_of(layer: RandomConv2d, slot: int) -> torch.Tensor:
    """[depth, C, C, k, k]"""
    c, k = layer.channels, layer.kernel_size
    return layer.noise[slot, :-1].view(layer.depth, c, c, k, k)


def by_hand(layer: RandomConv2d, x: torch.Tensor, draw: list[int]) -> torch.Tensor:
    """Row by row and frame by frame, without any output map."""
    rows = []
    for row, slot in zip(x, draw, strict=True):
        frames = row.view(layer.frames, layer.channels, *row.shape[1:])
        for phi in phi_of(layer, slot) if slot != CLEAN else []:
            frames = F.conv2d(frames, phi, padding=layer.kernel_size // 2)
        rows.append(frames.flatten(0, 1))
    return torch.stack(rows)


@pytest.mark.parametrize(("channels", "kernel", "std"), [(3, 3, 0.19245), (1, 3, 1 / 3), (3, 5, math.sqrt(1 / 75))])
@pytest.mark.parametrize("init", ["xavier", "xavier-truncated"])
def test_phi_has_xaviers_deviation(channels: int, kernel: int, std: float, init: str) -> None:
    layer, _ = made(channels, kernel_size=kernel, init=init, slots=40_000 // channels**2)
    phi = layer.noise[:, :-1].double()
    assert phi.std().item() == pytest.approx(std, rel=0.01)  # over 6 standard errors: at least 360,000 weights
    assert phi.mean().item() == pytest.approx(0, abs=0.01 * std)
    # A truncated normal ends at 2 / 0.8796 of its own deviations; the other has 2.3 % of its weights beyond that.
    beyond = (phi.abs() > 2 / 0.87962566 * std * 1.0001).double().mean().item()
    assert beyond == 0 if init == "xavier-truncated" else beyond == pytest.approx(0.0230, abs=0.002)


def test_squares_keep_their_mean_away_from_the_edges() -> None:
    layer, noise = made(slots=4000)
    x = pictures(1, 3, 5, 5).expand(4000, -1, -1, -1)
    with noise.using(torch.arange(4000)):
        y = layer(x)
    window = x[0, :, 1:4, 1:4].square().mean()
    assert y[:, :, 2, 2].square().mean().item() == pytest.approx(window.item(), rel=0.08)  # about 6 standard errors


def test_nothing_learns_and_nothing_is_saved() -> None:
    layer, noise = made()
    assert list(layer.parameters()) == []
    assert layer.state_dict() == {}
    assert not layer.noise.requires_grad
    layer.train()
    with noise.using(1):
        trained = layer(pictures(2, 3, 8, 8))
        assert torch.equal(layer.eval()(pictures(2, 3, 8, 8)), trained)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("channels", "frames", "options"),
    [(3, 1, {}), (1, 4, {}), (3, 4, {}), (3, 1, {"kernel_size": 5}), (3, 2, {"depth": 3}), (3, 1, {"kernel_size": 1})],
)
@pytest.mark.parametrize(
    "draw",
    [
        [3] * 20,  # one slot
        [0] * 9 + [5] * 8 + [2] * 3,  # runs
        [i * 7 % 8 for i in range(20)],  # a slot per row, in two pieces
        [CLEAN if i % 3 == 0 else i % 8 for i in range(20)],
    ],
)
def test_every_row_is_convolved_with_its_own_phi(
    channels: int, frames: int, options: dict, draw: list[int], memory: torch.memory_format
) -> None:
    layer, noise = made(channels, frames, **options)
    x = pictures(20, channels * frames, 7, 9).contiguous(memory_format=memory).requires_grad_()
    same = x.detach().clone().requires_grad_()
    weight = pictures(*x.shape, seed=1)
    with noise.using(torch.tensor(draw)):
        y = layer(x)
    assert y.shape == x.shape
    expected = by_hand(layer, same, draw)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(x.grad, same.grad, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(y[b], x[b]) for b, slot in enumerate(draw) if slot == CLEAN)


def test_one_slot_for_all_equals_that_slot_for_each() -> None:
    layer, noise = made(slots=3)
    x = pictures(4, 3, 6, 6)
    with noise.using(2):
        shared = layer(x)
    torch.testing.assert_close(shared, by_hand(layer, x, [2] * 4), atol=1e-6, rtol=1e-5)
    with noise.using(torch.tensor([2] * 4)):
        assert torch.equal(layer(x), shared)


def test_frames_of_a_row_share_phi() -> None:
    layer, noise = made(3, 4)
    frame = pictures(10, 3, 8, 8)
    for draw in (torch.tensor(1), torch.arange(10) % 8):
        with noise.using(draw):
            y = layer(frame.repeat(1, 4, 1, 1)).unflatten(1, (4, 3))
        for k in range(1, 4):
            torch.testing.assert_close(y[:, k], y[:, 0])
    assert not torch.allclose(y[0], y[1])


def test_slots_differ_and_draws_change_them() -> None:
    layer, noise = made(slots=3)
    before = layer.noise[:, :-1].clone()
    assert torch.corrcoef(before).triu(1).abs().max() < 0.6
    noise.draw([1])
    assert (layer.noise[:, :-1] != before).any(1).tolist() == [False, True, False]


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.7, 1.0])
def test_alpha_is_the_probability_of_a_clean_slot(alpha: float) -> None:
    layer, noise = made(clean=alpha, slots=5000)
    assert layer.clean.double().mean().item() == pytest.approx(alpha, abs=5 * math.sqrt(alpha * (1 - alpha) / 5000))
    x = pictures(1, 3, 4, 4).expand(5000, -1, -1, -1)
    with noise.using(torch.arange(5000)):
        same = (layer(x) == x).flatten(1).all(1)
    assert torch.equal(same, layer.clean)


def test_flags_and_phi_do_not_hang_together() -> None:
    layer, _ = made(clean=0.5, slots=4000)
    columns = torch.cat((layer.noise[:, :-1], layer.clean[:, None].float()), 1).T
    assert torch.corrcoef(columns)[-1, :-1].abs().max() < 0.08  # 5 standard errors


@pytest.mark.parametrize("mixing", ["bypass", "identity"])
@pytest.mark.parametrize("output", ["none", "clip", "sigmoid", "moments"])
def test_what_a_clean_slot_does(mixing: str, output: str) -> None:
    """Bypass leaves the whole layer out; the identity kernel is followed by the output map."""
    layer, noise = made(clean=1.0, mixing=mixing, output=output, depth=2, slots=4)
    x = pictures(4, 3, 6, 6)
    expected = x.sigmoid() if (mixing, output) == ("identity", "sigmoid") else x
    for draw in (torch.tensor(2), torch.arange(4)):
        with noise.using(draw):
            torch.testing.assert_close(layer(x), expected)
        with noise.using(draw, "randomised"):  # the φ of a bypassed slot can still be had; the identity is what φ is
            changed = not torch.allclose(layer(x), expected, atol=1e-3)
        assert changed == (mixing == "bypass")


def test_mode_mean_and_the_clean_slot_return_the_very_input() -> None:
    layer, noise = made(clean=0.5)
    x = pictures(4, 3, 6, 6)
    clean = torch.full((4,), CLEAN)
    plain, without_flags = made()
    with without_flags.using(CLEAN):
        assert plain(x) is x
    assert layer.clean.any()
    marked = int(layer.clean.nonzero()[0])
    for selection in ({"draw": CLEAN}, {"draw": clean}, {"mode": "mean"}, {"draw": clean, "mode": "randomised"}):
        with noise.using(**selection):
            assert layer(x) is x
    for draw in (marked, torch.tensor([marked, CLEAN, marked, CLEAN])):
        with noise.using(draw):
            assert layer(x) is x  # nothing is computed, nothing is copied
        with noise.using(draw, "randomised"):
            assert layer(x) is not x


def test_folding_has_nothing_to_do() -> None:
    net = nn.Sequential(RandomConv2d(), nn.Flatten(), NoisyLinear(48, 2))
    noise = Noise(net, seed=0, role="test", slots=2)
    noise.fold(1)
    x = pictures(5, 3, 4, 4)
    with torch.no_grad():
        with noise.using(mode="folded"):
            folded = net(x)
        with noise.using(1):
            torch.testing.assert_close(folded, net(x))


@pytest.mark.parametrize("output", ["none", "clip", "sigmoid", "moments"])
@pytest.mark.parametrize("draw", [torch.tensor(1), torch.tensor([0, 1, CLEAN, 1])])
def test_the_kept_region_is_exact(output: str, draw: torch.Tensor) -> None:
    top, left, height, width = keep = (1, 2, 3, 4)
    layer, noise = made(3, 2, output=output, keep=keep)
    x = pictures(4, 6, 9, 8).requires_grad_()
    with noise.using(draw):
        y = layer(x)
    inside = torch.zeros(9, 8, dtype=torch.bool)
    inside[top : top + height, left : left + width] = True
    assert torch.equal(y[..., inside], x[..., inside])
    moved = y[draw != CLEAN] if draw.ndim else y
    original = x[draw != CLEAN] if draw.ndim else x
    assert (moved != original)[..., ~inside].float().mean() > 0.9
    # What the region holds reaches nothing outside it, and only itself inside.
    with torch.no_grad(), noise.using(draw):
        other = x.clone()
        other[..., inside] = 0.5
        z = layer(other)
    assert torch.equal(z[..., ~inside], y[..., ~inside])
    y.sum().backward()
    assert torch.equal(x.grad[..., inside], torch.ones_like(x.grad[..., inside]))


def test_the_region_is_black_to_the_convolution() -> None:
    layer, noise = made(1, keep=(0, 0, 2, 2), kernel_size=3)
    x = torch.ones(1, 1, 4, 4)
    black = x.clone()
    black[..., :2, :2] = 0
    with noise.using(0):
        y = layer(x)
    expected = F.conv2d(black, phi_of(layer, 0)[0], padding=1)
    expected[..., :2, :2] = 1
    torch.testing.assert_close(y, expected)


def test_coinruns_box() -> None:
    layer, noise = made(keep=(0, 0, 12, 24))
    x = pictures(2, 3, 64, 64)
    with noise.using(0):
        same = (layer(x) == x).all(1).all(0)
    assert same[:12, :24].all()
    assert not same[12, :24].any()
    assert not same[:12, 24].any()


def test_output_maps() -> None:
    x = pictures(6, 3, 8, 8)
    draw = torch.arange(6)
    raw = by_hand(made()[0], x, draw.tolist())
    assert raw.min() < 0
    results = {}
    for output in ("none", "clip", "sigmoid", "moments"):
        layer, noise = made(output=output)
        with noise.using(draw):
            results[output] = layer(x)
    torch.testing.assert_close(results["none"], raw, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(results["clip"], raw.clamp(0, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(results["sigmoid"], 1 / (1 + (-raw).exp()), atol=1e-5, rtol=1e-5)
    rows, matched, wanted = (z.flatten(1).double().numpy() for z in (raw, results["moments"], x))
    by_numpy = (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
    by_numpy = by_numpy * wanted.std(1, keepdims=True) + wanted.mean(1, keepdims=True)
    np.testing.assert_allclose(matched, by_numpy, atol=1e-5)
    channels = results["moments"].mean((2, 3)) - x.mean((2, 3))
    assert channels.abs().max() > 0.01  # over all channels together: the change of colour remains


def test_moments_leave_the_region_aside() -> None:
    layer, noise = made(output="moments", keep=(0, 0, 4, 8))
    x = pictures(3, 3, 8, 8)
    x[:, :, :4] = 7.0  # would drag mean and deviation far away
    with noise.using(torch.arange(3)):
        y = layer(x)
    outside, wanted = (z[:, :, 4:].flatten(1) for z in (y, x))
    torch.testing.assert_close(outside.mean(1), wanted.mean(1))
    torch.testing.assert_close(outside.std(1), wanted.std(1))


def test_a_black_picture_stays_finite_with_matched_moments() -> None:
    layer, noise = made(output="moments")
    x = torch.zeros(2, 3, 5, 5, requires_grad=True)
    with noise.using(torch.tensor([0, 1])):
        y = layer(x)
    assert torch.equal(y, torch.zeros_like(y))
    y.sum().backward()
    assert x.grad.isfinite().all()


def test_a_redraw_cannot_touch_a_forward_pass_already_made() -> None:
    layer, noise = made(slots=2)
    x = pictures(3, 3, 5, 5).requires_grad_()
    for draw in (torch.tensor(0), torch.tensor([0, 1, 0])):
        with noise.using(draw):
            expected = torch.autograd.grad(layer(x).square().sum(), x)[0]
            y = layer(x)
        state = noise.state_dict()
        noise.draw()
        assert torch.equal(torch.autograd.grad(y.square().sum(), x)[0], expected)
        noise.load_state_dict(state)


def test_state_restores_phi_flags_and_the_draws_to_come() -> None:
    layer, noise = made(clean=0.5, slots=6)
    state, phi, flags = noise.state_dict(), layer.noise.clone(), layer.clean.clone()
    assert 0 < int(flags.sum()) < 6
    noise.draw()
    following = layer.noise.clone()
    assert not torch.equal(following[:, -1], phi[:, -1])
    other, resumed = made(clean=0.5, slots=6, seed=9)
    resumed.load_state_dict(state)
    assert torch.equal(other.clean, flags)
    assert torch.equal(other.noise, phi)
    resumed.draw()
    assert torch.equal(other.noise, following)
    with pytest.raises(CheckpointError, match="noise"):
        made(clean=0.5, slots=6, kernel_size=5)[1].load_state_dict(state)


def test_a_deep_copy_has_draws_of_its_own() -> None:
    layer, noise = made()
    other = copy.deepcopy(layer)
    x = pictures(2, 3, 5, 5)
    with pytest.raises(ConfigError, match="no noise yet"):
        other(x)
    target = Noise(other, seed=0, role="target", slots=8)
    with noise.using(0), target.using(0):
        assert not torch.allclose(layer(x), other(x), atol=1e-3)
    noise.draw()
    assert not torch.isin(other.noise[:, :-1], layer.noise[:, :-1]).any()


def test_bfloat16_autocast_keeps_dtype_region_and_clean_rows() -> None:
    layer, noise = made(keep=(0, 0, 2, 2))
    x = pictures(20, 3, 8, 8)
    draw = torch.tensor([CLEAN, *(i % 8 for i in range(19))])
    with noise.using(draw):
        exact = layer(x)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
    assert y.dtype == torch.float32
    assert torch.equal(y[0], x[0])
    assert torch.equal(y[..., :2, :2], x[..., :2, :2])
    torch.testing.assert_close(y, exact, atol=0.03, rtol=0.02)
    assert not torch.equal(y, exact)
    plain, noise = made()
    for slot in (torch.tensor(0), torch.arange(20) % 8):
        with noise.using(slot), torch.autocast("cpu", torch.bfloat16):
            assert plain(x).dtype == torch.float32


def test_a_noise_of_each_family() -> None:
    """Weights and input of one network have selections, slots and redraws of their own."""
    torch.manual_seed(0)
    net = nn.Sequential(RandomConv2d(), nn.Flatten(), NoisyLinear(48, 2))
    weights = Noise(net, seed=0, role="online", slots=2, layers=family("weights"))
    looks = Noise(net, seed=0, role="online input", slots=5, layers=family("input"))
    assert (list(weights.layers), list(looks.layers)) == (["2"], ["0"])
    x = pictures(3, 3, 4, 4)
    with torch.no_grad():
        with weights.using(1), looks.using(torch.tensor([4, CLEAN, 0])):
            y = net(x)
            parts = [net[2](z.flatten(1)) for z in (x[1:2],)]
        torch.testing.assert_close(y[1:2], parts[0])
        before = net[2].noise.clone()
        looks.draw()
        assert torch.equal(net[2].noise, before)
        with looks.mean(), weights.mean():
            torch.testing.assert_close(net(x), F.linear(x.flatten(1), net[2].weight, net[2].bias))
    # NoisyNet's draws are what they were before there was a layer in the input.
    alone = nn.Sequential(nn.Flatten(), NoisyLinear(48, 2))
    Noise(alone, seed=0, role="online", slots=2)
    assert torch.equal(alone[1].noise, before)
    with pytest.raises(ConfigError, match="another role"):
        Noise(net, seed=0, role="online", layers=family("input"))
    with pytest.raises(ConfigError, match="0 to 1"), weights.using(CLEAN):
        net(x)


def test_the_only_slot_is_one_kernel_for_all_rows_even_where_draws_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a GPU and in compiled code nobody looks whether rows share a slot; a kernel for each would take for ever."""
    layer, noise = made(slots=1)
    kernels: list[int] = []
    randomise = layer.randomise
    monkeypatch.setattr(layer, "randomise", lambda x, p, hidden: (kernels.append(len(p)), randomise(x, p, hidden))[1])
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    x = pictures(4, 3, 8, 8)
    with noise.using(torch.zeros(4, dtype=torch.int64)):
        y = layer(x)
    monkeypatch.undo()
    assert kernels == [1]
    torch.testing.assert_close(y, by_hand(layer, x, [0, 0, 0, 0]))


def test_bad_arguments() -> None:
    for options, message in (
        ({"kernel_size": 4}, "odd"),
        ({"kernel_size": -1}, "odd"),
        ({"depth": 0}, "depth"),
        ({"clean": 1.5}, "within 0 and 1"),
        ({"clean": math.nan}, "within 0 and 1"),
        ({"channels": 0}, "at least one frame"),
        ({"keep": (0, 0, 0, 4)}, "top, left"),
        ({"keep": (-1, 0, 2, 4)}, "top, left"),
        ({"init": "xavier-normal"}, "did you mean xavier"),
        ({"mixing": "bypas"}, "did you mean bypass"),
        ({"output": "tanh"}, "known: clip"),
    ):
        with pytest.raises(ConfigError, match=message):
            RandomConv2d(**options)


def test_bad_inputs() -> None:
    layer, noise = made(3, 2, keep=(0, 0, 5, 5))
    with pytest.raises(ConfigError, match="2 × 3 channels and got 3"):
        layer(pictures(1, 3, 8, 8))
    with pytest.raises(ConfigError, match="reaches beyond"):
        layer(pictures(1, 6, 8, 4))
    for draw in (torch.tensor([0, 1]), torch.tensor([[0]])):
        with pytest.raises(ConfigError, match="does not fit"), noise.using(draw):
            layer(pictures(1, 6, 8, 8))
    for slot in (8, -2):
        with pytest.raises(IndexError), noise.using(torch.tensor([0, slot])):
            layer(pictures(2, 6, 8, 8))
