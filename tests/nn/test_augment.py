"""The baselines in the place of the random convolution, each against a transcription in NumPy, row by row."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from jostle.errors import ConfigError
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.augment import Cutout, Shift, make_input_layer, to_random_input
from jostle.nn.colour import Grey, Inversion, Jitter
from jostle.nn.encoders import make_encoder
from jostle.nn.input_layer import InputLayer
from jostle.nn.noise import CLEAN, Noise
from jostle.nn.pictures import Images
from jostle.nn.policy import QNetwork
from jostle.nn.random_conv import RandomConv2d

KINDS = ["random-conv", "cutout", "grey", "inversion", "jitter", "shift"]


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    x[0, :, :2] = 0.0  # black, grey and white pixels have no hue
    x[0, :, 2:4] = 0.5
    x[-1, :, :2] = 1.0
    return x


def box(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def parameters(layer: InputLayer, slot: int) -> np.ndarray:
    return layer.noise[slot, :-1].numpy().astype(np.float64)


# ---- transcriptions: one frame [C, H, W] of float64, and the parameters of its slot ----


def np_cutout(layer: Cutout, frame: np.ndarray, p: np.ndarray) -> np.ndarray:
    """CoinRun's loop over rectangles, with pixels by their middles."""
    frame, (_, height, width) = frame.copy(), frame.shape
    for i in range(int(p[0])):
        top, left, bottom, right, *colour = p[1 + i * (4 + layer.channels) :][: 4 + layer.channels]
        for y in range(height):
            for x in range(width):
                if top <= np.float32((y + 0.5) / height) < bottom and left <= np.float32((x + 0.5) / width) < right:
                    frame[:, y, x] = colour
    return frame


def np_grey(layer: Grey, frame: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.stack([0.2989 * frame[0] + 0.587 * frame[1] + 0.114 * frame[2]] * 3)


def np_inversion(layer: Inversion, frame: np.ndarray, p: np.ndarray) -> np.ndarray:
    return 1 - frame if p[0] else frame


def np_shift(layer: Shift, frame: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Padded by repeating the edge, then cropped."""
    _, height, width = frame.shape
    padded = np.pad(frame, ((0, 0), (layer.pad, layer.pad), (layer.pad, layer.pad)), mode="edge")
    top, left = layer.pad + int(p[0]), layer.pad + int(p[1])
    return padded[:, top : top + height, left : left + width]


def np_jitter(layer: Jitter, frame: np.ndarray, p: np.ndarray) -> np.ndarray:
    """torchvision's adjust_brightness, _contrast, _saturation and _hue on floats (_functional_tensor.py)."""

    def blend(a: np.ndarray, b: np.ndarray | float, ratio: float) -> np.ndarray:
        return (ratio * a + (1.0 - ratio) * b).clip(0, 1.0)

    brightness, contrast, saturation, turn = p
    frame = blend(frame, np.zeros_like(frame), brightness)
    if len(frame) == 1:
        return blend(frame, frame.mean(), contrast)
    frame = blend(frame, np_grey(layer, frame, p)[:1].mean(), contrast)
    frame = blend(frame, np_grey(layer, frame, p), saturation)
    # _rgb2hsv
    r, g, b = frame
    maxc, minc = frame.max(0), frame.min(0)
    equal = maxc == minc
    cr = maxc - minc
    s = cr / np.where(equal, 1, maxc)
    divisor = np.where(equal, 1, cr)
    rc, gc, bc = (maxc - r) / divisor, (maxc - g) / divisor, (maxc - b) / divisor
    hr = (maxc == r) * (bc - gc)
    hg = ((maxc == g) & (maxc != r)) * (2.0 + rc - bc)
    hb = ((maxc != g) & (maxc != r)) * (4.0 + gc - rc)
    h = np.fmod((hr + hg + hb) / 6.0 + 1.0, 1.0)
    h = (h + turn) % 1.0
    # _hsv2rgb
    i = np.floor(h * 6.0)
    f = h * 6.0 - i
    i = i.astype(np.int32) % 6
    v = maxc
    low = (v * (1.0 - s)).clip(0, 1)
    q = (v * (1.0 - s * f)).clip(0, 1)
    t = (v * (1.0 - s * (1.0 - f))).clip(0, 1)
    choices = [(v, q, low, low, t, v), (t, v, v, q, low, low), (low, low, t, v, v, q)]
    return np.stack([np.choose(i, channel) for channel in choices])


LAYERS: dict[str, tuple[Any, Any, list[int]]] = {
    "cutout": (Cutout, np_cutout, [1, 3]),
    "grey": (Grey, np_grey, [3]),
    "inversion": (Inversion, np_inversion, [1, 3]),
    "jitter": (Jitter, np_jitter, [1, 3]),
    "shift": (Shift, np_shift, [1, 3]),
}
CASES = [(name, channels, frames) for name, (_, _, known) in LAYERS.items() for channels in known for frames in (1, 4)]


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("name", "channels", "frames"), CASES)
def test_every_row_is_changed_as_its_slot_says(
    name: str, channels: int, frames: int, memory: torch.memory_format
) -> None:
    make, transcription, _ = LAYERS[name]
    layer = make(channels, frames)
    noise = Noise(layer, seed=1, role="test", slots=6)
    x = pictures(7, channels * frames, 12, 10).contiguous(memory_format=memory)
    rows = {"each": [3, 1, CLEAN, 0, 5, 2, 4], "same": [2] * 7}
    for draw in rows.values():
        with noise.using(torch.tensor(draw) if len(set(draw)) > 1 else draw[0]):
            y = layer(x)
        assert y.shape == x.shape
        assert y.dtype == torch.float32
        for b, slot in enumerate(draw):
            for k in range(frames):
                part = slice(k * channels, (k + 1) * channels)
                frame = x[b, part].numpy().astype(np.float64)
                expected = frame if slot == CLEAN else transcription(layer, frame, parameters(layer, slot))
                np.testing.assert_allclose(y[b, part].numpy(), expected, atol=2e-5)
        assert torch.equal(y[2], x[2]) == (draw[2] == CLEAN)


def numbers(layer: InputLayer, slots: int = 20_000) -> np.ndarray:
    Noise(layer, seed=0, role="test", slots=slots)
    return layer.noise[:, :-1].double().numpy()


def test_cutouts_numbers_are_coinruns() -> None:
    p = numbers(Cutout())
    np.testing.assert_allclose(np.bincount(p[:, 0].astype(int), minlength=6) / len(p), 1 / 6, atol=0.013)  # 5 errors
    rectangles = p[:, 1:].reshape(-1, 5, 7)
    start, size, colour = rectangles[..., :2], rectangles[..., 2:4] - rectangles[..., :2], rectangles[..., 4:]
    for values, low, high in ((start, 0, 1), (size, 0.1, 0.35), (colour, 0, 1)):
        assert low - 1e-6 <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high + 1e-6
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.005)


def test_inversion_is_even() -> None:
    p = numbers(Inversion())
    assert set(np.unique(p)) == {0.0, 1.0}
    assert p.mean() == pytest.approx(0.5, abs=0.018)  # 5 standard errors


def test_jitters_factors_are_even_within_their_strengths() -> None:
    p = numbers(Jitter(brightness=0.4, contrast=0.2, saturation=1.5, hue=0.1))
    for column, (low, high) in zip(p.T, ((0.6, 1.4), (0.8, 1.2), (0.0, 2.5), (-0.1, 0.1)), strict=True):
        parts = np.histogram(column, 10, (low - 1e-6, high + 1e-6))[0]
        assert parts.sum() == len(column)
        np.testing.assert_allclose(parts / len(column), 0.1, atol=0.011)  # 5 standard errors
    assert np.abs(np.corrcoef(p.T) - np.eye(4)).max() < 0.036


def test_jitter_changes_unit_floats_to_be_seen() -> None:
    """On 0–255 values, brightness ± ½ would change less than a grey level."""
    layer = Jitter(contrast=0, saturation=0, hue=0)
    noise = Noise(layer, seed=0, role="test", slots=50)
    x = torch.full((50, 3, 4, 4), 0.5)
    with noise.using(torch.arange(50)):
        y = layer(x)
    assert (y - x).abs().mean() > 0.1
    assert y.mean((1, 2, 3)).std() > 0.1


def test_all_shifts_are_alike() -> None:
    p = numbers(Shift(pad=2)).astype(int)
    counts = np.bincount((p[:, 0] + 2) * 5 + p[:, 1] + 2, minlength=25)
    assert len(counts) == 25
    np.testing.assert_allclose(counts / len(p), 1 / 25, atol=0.007)  # 5 standard errors


@pytest.mark.parametrize("kind", KINDS)
def test_common_contract(kind: str) -> None:
    """Clean flags, the kept region, gradients, and nothing to learn or save, whatever the layer."""
    images = Images(box(24, 20, 3))
    layer = make_input_layer(kind, images, clean=0.5, keep=(2, 3, 6, 5))
    noise = Noise(layer, seed=4, role="test", slots=8)
    assert 0 < int(layer.clean.sum()) < 8
    assert not list(layer.parameters())
    assert not layer.state_dict()
    x = pictures(8, 3, 24, 20, seed=3).requires_grad_()
    with noise.using(torch.arange(8)):
        y = layer(x)
    inside = torch.zeros(24, 20, dtype=torch.bool)
    inside[2:8, 3:8] = True
    assert torch.equal(y[..., inside], x[..., inside])
    same = (y == x).flatten(1).all(1)
    assert same[layer.clean].all()
    if kind not in ("cutout", "inversion", "shift"):  # which leave a picture alone now and then
        assert not same[~layer.clean].any()
    with noise.using(torch.arange(8), "randomised"):
        assert (layer(x) == x).flatten(1).all(1).sum() < same.sum()
    y.sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad[..., inside] == 1).all()
    for selection in ({"draw": CLEAN}, {"mode": "mean"}):
        with noise.using(**selection):
            z = layer(x)
            assert torch.equal(z, x) != (kind == "grey" and "mode" in selection)
    assert torch.equal(z[..., inside], x[..., inside])


def test_pixels_under_the_region_reach_nothing() -> None:
    """Jitter's mean, shift's moves and the rest do not see what is kept."""
    for kind in KINDS:
        layer = make_input_layer(kind, Images(box(24, 20, 3)), keep=(2, 3, 6, 5))
        noise = Noise(layer, seed=0, role="test", slots=6)
        x = pictures(6, 3, 24, 20)
        other = x.clone()
        other[:, :, 2:8, 3:8] = 0.9
        with noise.using(torch.arange(6)):
            y, z = layer(x), layer(other)
        y[:, :, 2:8, 3:8] = z[:, :, 2:8, 3:8]
        assert torch.equal(y, z), kind


def test_contrast_is_about_the_mean_of_what_is_seen() -> None:
    layer = Jitter(brightness=0, saturation=0, hue=0, keep=(0, 0, 4, 8))
    noise = Noise(layer, seed=0, role="test")
    x = torch.full((1, 3, 8, 8), 0.5)
    with noise.using(0):  # a picture of one colour has no contrast to change; a black corner would give it some
        torch.testing.assert_close(layer(x), x, atol=1e-4, rtol=0)  # the luma of white is 0.9999


def test_grey_learned_is_grey_evaluated() -> None:
    layer = Grey()
    noise = Noise(layer, seed=0, role="test")
    x = pictures(2, 3, 5, 5)
    with noise.using(0):
        grey = layer(x)
    with noise.mean():
        assert torch.equal(layer(x), grey)
    with noise.using(CLEAN):
        assert torch.equal(layer(x), x)


# ---- in a network ----


@pytest.mark.parametrize(
    ("shape", "frames", "expected"),
    [
        ((64, 64, 3), None, (3, 1)),
        ((3, 64, 64), None, (3, 1)),
        ((64, 64), None, (1, 1)),
        ((4, 84, 84), None, (1, 4)),
        ((84, 84, 4), None, (1, 4)),
        ((4, 84, 84), 1, (4, 1)),
        ((12, 64, 64), 4, (3, 4)),
        ((12, 64, 64), 12, (1, 12)),
        ((5, 64, 64, 3), None, (3, 5)),
    ],
)
def test_frames(shape: tuple[int, ...], frames: int | None, expected: tuple[int, int]) -> None:
    layer = make_input_layer("random-conv", Images(box(*shape)), frames=frames)
    assert (layer.channels, layer.frames) == expected


def test_shift_goes_by_the_size() -> None:
    for size, pad in ((84, 4), (64, 3), (16, 1)):
        assert make_input_layer("shift", Images(box(3, size, size))).pad == pad
    assert make_input_layer("shift", Images(box(3, 84, 84)), pad=7).pad == 7


def test_a_network_gets_a_layer_for_every_picture_but_the_privileged_one() -> None:
    space = spaces.Dict(
        {"eye": box(40, 40, 3), "hand": box(3, 64, 64), "speed": spaces.Box(-1, 1, (4,)), "privileged": box(3, 40, 40)}
    )
    policy = ActorCritic(space, spaces.Discrete(3), encoder="nature", hidden=(16,), shared=False)
    before = copy.deepcopy(policy.state_dict())
    assert to_random_input(policy, "random-conv", kernel_size=5) == 2
    layers = {name: m for name, m in policy.named_modules() if isinstance(m, InputLayer)}
    assert list(layers) == ["encoder.encoders.eye.input", "encoder.encoders.hand.input"]
    assert all(isinstance(m, RandomConv2d) and m.kernel_size == 5 for m in layers.values())
    assert policy.state_dict().keys() == before.keys()
    policy.load_state_dict(before)
    noise = Noise(policy, seed=0, role="online", slots=2)
    space.seed(0)
    obs = {key: torch.as_tensor(np.stack([space.sample()[key] for _ in range(3)])) for key in space.spaces}
    with torch.no_grad(), noise.using(torch.tensor([0, CLEAN, 1])):
        pi, value, _ = policy(obs)
        with noise.using(CLEAN):
            clean_pi, clean_value, _ = policy(obs)
    same = (pi == clean_pi).all(1) & torch.isclose(value, clean_value).all(1)
    assert same.tolist() == [False, True, False]


@pytest.mark.parametrize("kind", ["nature", "nature-k4", "impala", "impala-gap"])
def test_what_stands_in_the_slot_changes_the_features(kind: str) -> None:
    torch.manual_seed(0)
    network = QNetwork(box(3, 64, 64), 4, encoder=kind, hidden=(16,))
    obs = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        before = network(obs)
        assert to_random_input(network, "inversion") == 1
        noise = Noise(network, seed=0, role="online", slots=8)
        inverts = network.encoder.input.noise[:, 0] > 0.5
        slot = int(inverts.nonzero()[0])
        with noise.using(torch.tensor([slot, CLEAN, slot, CLEAN])):
            q = network(obs)
        torch.testing.assert_close(q[1::2], before[1::2])
        with noise.mean():
            torch.testing.assert_close(q[::2], network(255 - obs)[::2])


def test_the_identity_costs_and_saves_nothing() -> None:
    encoder = make_encoder(box(3, 64, 64))
    assert type(encoder.input) is nn.Identity
    assert not any("input" in key for key in encoder.state_dict())


@pytest.mark.parametrize(
    ("space", "encoder", "message"),
    [
        (spaces.Box(-1, 1, (4,)), "auto", "observations are vectors"),
        (box(64, 64, 3), "flat", "use encoder='nature' or 'impala'"),
        (box(7, 7, 3), "auto", "grids of symbols"),
        (spaces.Discrete(4), "auto", "observations are vectors"),
    ],
)
def test_no_pictures(space: gym.Space, encoder: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_random_input(QNetwork(space, 2, encoder=encoder), "cutout")


def test_bad_options() -> None:
    images = Images(box(3, 64, 64))
    for kind, options, message in (
        ("random-convolution", {}, "unknown; did you mean random-conv"),
        ("shift", {"padding": 3}, "no option 'padding'; did you mean pad"),
        ("grey", {"alpha": 0.1}, "no option 'alpha'"),
        ("cutout", {"frames": 2}, "does not divide"),
        ("cutout", {"frames": 0}, "does not divide"),
        ("random-conv", {"keep": (60, 0, 12, 24)}, "reaches beyond pictures of 64×64"),
        ("shift", {"pad": 0}, "pad ≥ 1"),
        ("cutout", {"smallest": 0.5}, "0 < smallest ≤ largest"),
        ("jitter", {"hue": 0.6}, "at most 0.5"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_input_layer(kind, images, **options)
    for shape, options, message in (
        ((12, 64, 64), {}, r"unknown: set frames \(frames=12 for grey ones, frames=4 for colour\)"),
        ((5, 64, 64), {}, r"unknown: set frames \(frames=5 for grey ones\)"),
        ((12, 64, 64), {"frames": 1}, "has 12 channels"),
        ((64, 64, 5), {"frames": 1}, "has 5 channels"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_input_layer("random-conv", Images(box(*shape)), **options)
    for kind, shape in (("grey", (4, 84, 84)), ("grey", (84, 84)), ("jitter", (2, 64, 64, 4))):
        with pytest.raises(ConfigError, match="set frames"):
            make_input_layer(kind, Images(box(*shape)))
    network = QNetwork(box(3, 64, 64), 2)
    to_random_input(network, "shift")
    with pytest.raises(ConfigError, match="one only"):
        to_random_input(network, "cutout")


def test_shapes_without_a_channel_axis_are_no_pictures() -> None:
    for shape in ((7, 7, 12), (8, 8, 8), (64, 3, 64), (12, 64, 12)):
        with pytest.raises(ConfigError, match="neither end is shorter"):
            Images(box(*shape))
        assert type(make_encoder(box(*shape))).__name__ == "Flat"
    for shape, channels in (((3, 64, 48), 3), ((48, 64, 3), 3), ((12, 64, 64), 12), ((64, 64, 12), 12)):
        assert Images(box(*shape)).channels == channels
