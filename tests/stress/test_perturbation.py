"""Perturbations: graded, deterministic, the same in every form of picture, and consistent through a stack of frames."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jostle.errors import ConfigError
from jostle.nn.pictures import Images
from jostle.stress.perturbation import KINDS, STRENGTHS, Perturbation
from jostle.stress.pictures import Layout, picture_layouts

RNG = np.random.default_rng(4)
N, SIDE = 6, 32
RGB = Layout(1, 3, "HWC")
PICTURES = RNG.integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)


def apply(kind: str, strength: int, obs: np.ndarray, layout: Layout = RGB, **at: Any) -> np.ndarray:
    now = {"seed": 3, "episode": np.zeros(len(obs), np.int64), "step": np.full(len(obs), 9)} | at
    return Perturbation(kind, strength).apply(obs, layout, **now)


@pytest.mark.parametrize("kind", KINDS)
def test_shape_type_and_range_are_kept_and_the_input_too(kind: str) -> None:
    before = PICTURES.copy()
    for strength in STRENGTHS:
        out = apply(kind, strength, PICTURES)
        assert (out.shape, out.dtype) == (PICTURES.shape, np.uint8)
        assert not np.shares_memory(out, PICTURES)
        floats = apply(kind, strength, (PICTURES / 255).astype(np.float32))
        assert floats.dtype == np.float32
        assert floats.min() >= 0
        assert floats.max() <= 1
        np.testing.assert_allclose(floats * 255, out, atol=0.51)  # float32 instead of uint8 rounds otherwise
    np.testing.assert_array_equal(PICTURES, before)


@pytest.mark.parametrize("kind", KINDS)
def test_strength_grades_the_damage(kind: str) -> None:
    """Mean squared change rises from strength to strength, averaged over many episodes of a coloured picture."""
    many = np.repeat(RNG.integers(0, 256, (1, 4, 4, 3)).repeat(16, 1).repeat(16, 2).astype(np.uint8), 64, 0)
    damage = [((apply(kind, s, many).astype(float) - many) ** 2).mean() for s in STRENGTHS]
    assert damage[0] > 0
    assert (np.diff(damage) > 0).all(), damage


@pytest.mark.parametrize("kind", KINDS)
def test_what_happens_depends_on_seed_environment_episode_and_step_alone(kind: str) -> None:
    same = np.repeat(PICTURES[:1], N, 0)
    one = apply(kind, 3, same)
    np.testing.assert_array_equal(one, apply(kind, 3, same))
    # A row's look does not depend on its neighbours.
    np.testing.assert_array_equal(one[:2], apply(kind, 3, same[:2]))
    later = apply(kind, 3, same, step=np.full(N, 10))
    if kind in ("noise", "distractor"):
        assert (later != one).any(axis=(1, 2, 3)).all()
    else:
        np.testing.assert_array_equal(later, one)
    if kind not in ("contrast", "blur"):  # these two draw nothing
        assert len({row.tobytes() for row in one}) > 1, "environments differ"
        episodes = [apply(kind, 3, same, episode=np.full(N, e)).tobytes() for e in range(8)]
        assert len(set(episodes)) > 1
        assert len({apply(kind, 3, same, seed=s).tobytes() for s in range(8)}) > 1


def test_first_last_and_flat_pictures_are_perturbed_alike() -> None:
    first = np.ascontiguousarray(np.moveaxis(PICTURES, -1, 1))
    for kind in KINDS:
        out = apply(kind, 4, PICTURES)
        np.testing.assert_array_equal(np.moveaxis(apply(kind, 4, first, Layout(1, 3, "CHW")), 1, -1), out)
    grey = PICTURES[..., 0]
    for kind in ("noise", "occluder", "translation"):
        flat = apply(kind, 4, grey, Layout(1, 1, "HW"))
        np.testing.assert_array_equal(flat, apply(kind, 4, grey[:, None], Layout(1, 1, "CHW"))[:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_keeps_its_look_in_the_stack(kind: str) -> None:
    """Two consecutive stacks of three frames share two frames, which look the same in both."""
    video = RNG.integers(0, 256, (5, 3, SIDE, SIDE), dtype=np.uint8)
    layout = Layout(3, 3, "CHW")

    def seen(step: int) -> np.ndarray:
        frames = [video[max(step - back, 0)] for back in (2, 1, 0)]
        return apply(kind, 4, np.concatenate(frames)[None], layout, step=np.array([step]))[0].reshape(3, 3, SIDE, SIDE)

    for step in (3, 4):
        np.testing.assert_array_equal(seen(step)[:2], seen(step - 1)[1:])
    begin = seen(0)
    np.testing.assert_array_equal(begin[0], begin[2])  # copies of an episode's first frame
    np.testing.assert_array_equal(begin[2], seen(1)[1])


def test_brightness_by_hand() -> None:
    out = apply("brightness", 2, np.full((64, 16, 16, 3), 100, np.uint8))
    assert set(np.unique(out)) == {49, 151}  # 100 ± 0.2 · 255
    np.testing.assert_array_equal(out.min((1, 2, 3)), out.max((1, 2, 3)))


def test_contrast_by_hand() -> None:
    picture = np.zeros((1, 16, 16, 1), np.uint8)
    picture[:, 8:] = 200
    out = apply("contrast", 4, picture, Layout(1, 1, "HWC"))
    assert set(np.unique(out)) == {80, 120}  # the mean is 100, and a fifth of the distance is left


def test_hue_keeps_grey_and_luma_and_comes_back() -> None:
    grey = np.full((4, 16, 16, 3), 77, np.uint8)
    np.testing.assert_array_equal(apply("hue", 5, grey), grey)
    mild = RNG.uniform(0.4, 0.6, (8, 16, 16, 3)).astype(np.float32)  # no colour is clipped
    luma = np.array([0.299, 0.587, 0.114])
    for strength in STRENGTHS:
        turned = apply("hue", strength, mild)
        np.testing.assert_allclose(turned @ luma, mild @ luma, atol=1e-5)
    half = apply("hue", 5, mild)
    assert np.abs(half - mild).max() > 0.05
    np.testing.assert_allclose(apply("hue", 5, half), mild, atol=1e-5)  # twice half a turn


def test_noise_has_the_stated_deviation() -> None:
    flat = np.full((8, 64, 64, 3), 0.5, np.float32)
    for strength, sigma in zip(STRENGTHS, (0.04, 0.08, 0.12, 0.18, 0.26), strict=True):
        noise = apply("noise", strength, flat) - 0.5
        if strength <= 4:  # then nothing is clipped, since the sum of four uniform numbers ends at 3.46 deviations
            assert np.abs(noise).max() <= 3.47 * sigma
        assert noise.std() == pytest.approx(sigma, rel=0.05)
        assert abs(noise.mean()) < 5 * sigma / np.sqrt(noise.size)
        pixels = noise.reshape(8, -1)
        assert abs(np.corrcoef(pixels[0], pixels[1])[0, 1]) < 0.05
        assert abs(np.corrcoef(pixels[0][1:], pixels[0][:-1])[0, 1]) < 0.05


def test_blur_keeps_the_mean_and_mixes_no_channels() -> None:
    picture = np.zeros((1, 64, 64, 3), np.float32)
    picture[0, 32, 32, 1] = 1.0
    out = apply("blur", 2, picture)
    assert out[..., [0, 2]].max() == 0
    assert out[..., 1].sum() == pytest.approx(1.0, abs=1e-4)
    assert out[0, 32, 32, 1] == pytest.approx(1 / (2 * np.pi * 1.2**2), rel=0.02)


def test_translation_shifts_and_repeats_the_border() -> None:
    shifts = set()
    for episode in range(40):
        out = apply("translation", 3, PICTURES[:1], episode=np.array([episode]))[0]
        found = [
            (dy, dx)
            for dy in (-3, 0, 3)
            for dx in (-3, 0, 3)
            if np.array_equal(
                out, np.pad(PICTURES[0], ((3, 3), (3, 3), (0, 0)), "edge")[3 - dy : 35 - dy, 3 - dx : 35 - dx]
            )
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) == 8
    assert (0, 0) not in shifts


def test_the_occluder_is_one_square_of_one_colour() -> None:
    out = apply("occluder", 2, PICTURES)
    side = round(0.16 * SIDE)
    for before, after in zip(PICTURES, out, strict=True):
        rows, columns = np.nonzero((before != after).any(-1))
        assert rows.max() - rows.min() < side
        assert columns.max() - columns.min() < side
        inside = after[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].reshape(-1, 3)
        assert len(np.unique(inside, axis=0)) == 1


def test_distractors_move_on() -> None:
    blank = np.zeros((1, 64, 64, 3), np.uint8)
    places = []
    for step in range(6):
        seen = apply("distractor", 1, blank, step=np.array([step]))[0]
        area = (seen > 0).any(-1)
        assert 20 < area.sum() < 60, "π · 3.84² pixels, fewer at the border"
        places.append(np.argwhere(area).mean(0))
    moves = np.diff(places, axis=0)
    assert np.abs(moves - moves[0]).max() < 1.0, "at one pace"
    assert np.abs(moves[0]).max() > 0.1


def pixels(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


@pytest.mark.parametrize(
    ("space", "stack", "layout"),
    [
        (pixels(64, 64, 3), 1, Layout(1, 3, "HWC")),
        (pixels(3, 64, 64), 1, Layout(1, 3, "CHW")),
        (pixels(4, 84, 84), 4, Layout(4, 1, "CHW")),
        (pixels(12, 84, 84), 4, Layout(4, 3, "CHW")),
        (pixels(84, 84), 1, Layout(1, 1, "HW")),
        (spaces.Box(0.0, 1.0, (32, 32, 1), np.float32), 1, Layout(1, 1, "HWC")),
        # Frames that a wrapper has stacked, as the encoders tell them.
        (pixels(4, 64, 64), 1, Layout(4, 1, "CHW")),
        (pixels(64, 64, 2), 1, Layout(2, 1, "HWC")),
        (pixels(4, 48, 64, 3), 1, Layout(4, 3, "KHWC")),
        (pixels(2, 48, 64, 1), 1, Layout(2, 1, "KHWC")),
        # The shape does not tell: colours in threes, else one picture.
        (pixels(48, 64, 12), 1, Layout(4, 3, "HWC")),
        (pixels(9, 48, 64), 1, Layout(3, 3, "CHW")),
        (pixels(5, 48, 64), 1, Layout(1, 5, "CHW")),
        (pixels(12, 48, 64), 2, Layout(2, 6, "CHW")),
    ],
)
def test_layouts(space: spaces.Box, stack: int, layout: Layout) -> None:
    assert picture_layouts(space, stack, "env") == {"": layout}
    obs = np.stack([space.sample() for _ in range(2)])
    np.testing.assert_array_equal(layout.pack(layout.unpack(obs), obs.dtype), obs)
    frames = layout.unpack(obs)
    assert frames.shape[:2] == (2, layout.frames)
    channels = layout.frames * layout.channels
    images = Images(space)(torch.as_tensor(obs)).numpy()  # [B, C, H, W] in [0, 1], as the encoders see it
    np.testing.assert_allclose(frames.transpose(0, 1, 4, 2, 3).reshape(2, channels, *images.shape[2:]), images)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((4, 32, 32), Layout(4, 1, "CHW")), ((32, 32, 4), Layout(4, 1, "HWC")), ((5, 32, 32), Layout(1, 5, "CHW"))],
)
def test_channels_that_are_no_colours_are_painted_alike(shape: tuple[int, ...], layout: Layout) -> None:
    grey = np.full((6, *shape), 100, np.uint8)
    (found,) = picture_layouts(pixels(*shape), 1, "env").values()
    for kind in ("occluder", "distractor", "brightness", "translation"):
        changed = apply(kind, 3, grey, found, step=np.zeros(6, np.int64))  # no frame is older than an episode's first
        channels = np.moveaxis(changed, 1 if layout.axes == "CHW" else -1, 0)
        assert (channels == channels[0]).all(), kind
        assert kind == "translation" or (changed != grey).any()


def test_pictures_of_a_dictionary_are_found_by_key() -> None:
    parts = {"eye": pixels(3, 48, 64), "wrist": pixels(2, 48, 64, 1), "speed": spaces.Box(-1, 1, (3,), np.float32)}
    grid = {"grid": pixels(7, 7, 3), "goal": spaces.Discrete(4)}
    found = picture_layouts(spaces.Dict(parts | grid), 1, "env")
    assert found == {"eye": Layout(1, 3, "CHW"), "wrist": Layout(2, 1, "KHWC")}


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (
            spaces.Box(-1, 1, (4,), np.float32),
            r"pictures can be perturbed, and env has observations Box\[4\] of float32",
        ),
        (spaces.Dict({"speed": spaces.Discrete(3), "a": spaces.Box(0, 1, (3,))}), "env has observations Dict of .*a"),
        (spaces.Dict({"image": pixels(7, 7, 3), "goal": spaces.Discrete(3)}), "of 'image' of env are a grid of"),
        (spaces.Box(-np.inf, 1, (64, 64, 3), np.float32), "must have the same finite bounds"),
        (pixels(7, 7, 3), "a grid of symbols"),
        (pixels(64, 3, 64), r"no picture \[C, H, W\] or \[H, W, C\], .* bring the channels to one end in a wrapper"),
        (pixels(4, 3, 64, 64), r"of env do not end with their channels, \[k, H, W, C\]: turn them round"),
    ],
)
def test_what_is_no_picture(space: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        picture_layouts(space, 1, "env")


def test_unknown_kinds_and_strengths_are_named() -> None:
    with pytest.raises(ConfigError, match="no perturbation 'nosie'; did you mean noise"):
        Perturbation("nosie", 1)
    with pytest.raises(ConfigError, match="strength=6 of 'blur' cannot be used: give 1"):
        Perturbation("blur", 6)
    with pytest.raises(ConfigError, match="hue needs 3 channels of colour, and these pictures have 1"):
        apply("hue", 1, PICTURES[..., :1], Layout(1, 1, "HWC"))


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 255, np.uint8),
        (0, 1, np.uint8),
        (0, 1, np.bool_),
        (-1, 1, np.float32),
        (0, 255, np.float32),
        (0, 255, np.int32),
    ],
)
def test_pictures_of_every_type_are_perturbed_within_their_bounds(low: float, high: float, dtype: Any) -> None:
    """The same picture in [0, 1], whatever its numbers; and what comes back lies in the space."""
    space = spaces.Box(low, high, (20, 24, 3), dtype)
    (layout,) = picture_layouts(space, 1, "pictures").values()
    share = (np.arange(2 * 20 * 24 * 3).reshape(2, 20, 24, 3) % 2).astype(np.float32)
    obs = (low + share * (high - low)).astype(dtype)
    np.testing.assert_allclose(layout.unpack(obs)[:, 0], share, atol=1e-6)
    np.testing.assert_array_equal(layout.pack(layout.unpack(obs), obs.dtype), obs)
    noisy = layout.pack(np.clip(layout.unpack(obs) + 0.3, 0, 1), obs.dtype)
    assert noisy.dtype == obs.dtype
    assert all(space.contains(picture) for picture in noisy)
