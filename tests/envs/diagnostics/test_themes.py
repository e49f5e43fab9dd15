"""The themes: splits that are disjoint in kind, looks that never change, figures that stay discernible."""

import hashlib

import numpy as np
import pytest

from jostle.envs.diagnostics.themed.render import Painter, background, theme_hash
from jostle.envs.diagnostics.themed.sprites import BALL_UNITS, BALLS, PADDLE_UNITS, PADDLES, sprite
from jostle.envs.diagnostics.themed.textures import TEXTURES
from jostle.envs.diagnostics.themed.themes import (
    MIN_CONTRAST,
    NUM_THEMES,
    SPLITS,
    Theme,
    luma,
    split_of,
    theme,
    with_luma,
)


def themes_of(split: str) -> list[Theme]:
    return [theme(index) for index in SPLITS[split]]


def test_no_two_themes_look_alike_so_the_splits_are_disjoint() -> None:
    assert sorted(i for r in SPLITS.values() for i in r) == list(range(NUM_THEMES))
    assert {split: len(r) for split, r in SPLITS.items()} == {"train": 128, "tune": 16, "test": 64}
    hashes = [theme_hash(index) for index in range(NUM_THEMES)]
    assert len(set(hashes)) == NUM_THEMES
    assert split_of(127) == "train"
    assert split_of(128) == "tune"
    assert split_of(144) == "test"


def test_the_themes_are_the_ones_of_this_version() -> None:
    # Results of different versions compare only while every theme looks the same. A change needs a new environment id.
    together = hashlib.sha256("".join(theme_hash(i) for i in range(NUM_THEMES)).encode()).hexdigest()
    assert together == "c860dc8141c562c812d4625bf758f3e7f3a60d4eb6d95c47336ebc61896e4170"


def test_unseen_themes_differ_in_kind() -> None:
    kinds = {
        split: {
            "texture": {t.texture for t in themes_of(split)},
            "ball": {t.ball_shape for t in themes_of(split)},
            "paddle": {t.paddle_shape for t in themes_of(split)},
        }
        for split in SPLITS
    }
    for one, other in (("train", "tune"), ("train", "test"), ("tune", "test")):
        for what in ("texture", "ball", "paddle"):
            assert not kinds[one][what] & kinds[other][what]
    assert not any(t.inverted or t.distractors for t in themes_of("train"))
    for split in ("tune", "test"):
        assert sum(t.inverted for t in themes_of(split)) == len(SPLITS[split]) // 2
    test = themes_of("test")
    assert sum(t.distractors for t in test) == 32
    combinations = {(t.texture, t.inverted, t.distractors) for t in test}
    assert len(combinations) == 32, "every texture with every combination of the two"


def test_no_two_sprites_are_the_same() -> None:
    for shapes, units in ((BALLS, BALL_UNITS), (PADDLES, PADDLE_UNITS)):
        for pixels in (32, 64):
            drawn = [sprite(shape, units, pixels) for shape in shapes.values()]
            assert len({d.tobytes() for d in drawn}) == len(drawn)
            assert min(int(d.sum()) for d in drawn) >= 8 * (pixels // 32) ** 2


def fineness(looks: Theme) -> float:
    """The share of the background's variation (luma, 32 x 32) beyond 5 periods a picture.

    An affine mix of colours scales the luma of a background of two colours, and leaves this share as it is.
    """
    picture = luma(background(looks, 32) / 255.0)
    power = np.abs(np.fft.fft2(picture - picture.mean())) ** 2
    frequency = np.abs(np.fft.fftfreq(32) * 32)
    fine = np.maximum(frequency[:, None], frequency[None]) > 5
    return float(power[fine].sum() / power.sum()) if power.sum() > 1e-9 else 0.0


def test_test_backgrounds_are_finer_than_any_training_background() -> None:
    plain = [t for t in themes_of("test") if not t.distractors]
    assert min(fineness(t) for t in plain) > 2 * max(fineness(t) for t in themes_of("train"))


@pytest.mark.parametrize(("pixels", "rule"), [(32, "catch"), (64, "catch"), (32, "colour"), (32, "colour-shape")])
def test_figures_stay_discernible_in_every_theme(pixels: int, rule: str) -> None:
    every = [theme(index) for index in range(NUM_THEMES)]
    painter = Painter(every, pixels, rule)
    blue = np.arange(NUM_THEMES) // 3 % 2 == 1
    slot = np.arange(NUM_THEMES)
    least = 1.0
    for ball_row, ball_column, paddle in ((0, 0, 7), (2, 3, 0), (5, 7, 4), (3, 5, 2), (6, 1, 6)):
        ball = np.tile([ball_row, ball_column], (NUM_THEMES, 1))
        bat = np.tile([7, paddle], (NUM_THEMES, 1))
        shown = luma(painter.draw(slot, ball, bat, blue) / 255.0)
        masks = painter.masks(slot, ball, bat, blue)
        for name in ("ball", "paddle"):
            assert (masks[name].sum(axis=(1, 2)) >= 5 * (pixels // 32) ** 2).all()
            for i in slot:
                ground = shown[i][~(masks["ball"][i] | masks["paddle"][i])]
                figure = shown[i][masks[name][i]]
                gap = figure.max() - ground.min() if every[i].inverted else ground.max() - figure.min()
                least = min(least, -float(gap))
    assert least >= MIN_CONTRAST


def test_a_theme_looks_the_same_at_both_resolutions() -> None:
    for index in range(0, NUM_THEMES, 5):
        small = background(theme(index), 32).astype(np.float64)
        large = background(theme(index), 64).astype(np.float64).reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
        assert np.abs(small - large).mean() < 12.0, theme(index).texture
    assert set(TEXTURES) == {theme(i).texture for i in range(NUM_THEMES)}


def test_colours_have_the_luma_asked_for() -> None:
    for hue in np.linspace(0.0, 1.0, 13):
        for target in (0.05, 0.3, 0.6, 0.95):
            colour = np.array(with_luma(float(hue), 0.8, target))
            assert luma(colour) == pytest.approx(target)
            assert 0.0 <= colour.min() <= colour.max() <= 1.0 + 1e-12


def test_the_painter_draws_each_environment_in_its_own_theme_and_cell() -> None:
    picked = [theme(3), theme(150)]
    painter = Painter(picked, 32)
    slot = np.array([1, 0, 1])
    ball, paddle = np.array([[0, 0], [4, 6], [6, 7]]), np.array([[7, 3], [7, 0], [7, 7]])
    together = painter.draw(slot, ball, paddle)
    for i in range(3):
        alone = Painter([picked[slot[i]]], 32).draw(np.zeros(1, np.int64), ball[i : i + 1], paddle[i : i + 1])
        np.testing.assert_array_equal(together[i], alone[0])
        masks = {name: mask[i] for name, mask in painter.masks(slot, ball, paddle).items()}
        looks = picked[slot[i]]
        np.testing.assert_array_equal(together[i][masks["ball"]][0], np.round(np.array(looks.ball) * 255))
        np.testing.assert_array_equal(together[i][masks["paddle"]][0], np.round(np.array(looks.paddle) * 255))
        bare = ~(masks["ball"] | masks["paddle"])
        np.testing.assert_array_equal(together[i][bare], background(looks, 32)[bare])
