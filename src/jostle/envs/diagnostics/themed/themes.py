"""Themes: how the catching game looks. A theme is an index; its looks never touch the rules.

Train, tune and test themes are disjoint and differ in kind, not in colour alone: backgrounds of higher spatial
frequency, sprites of other shapes, dark figures on light ground (half of the unseen themes), distractors in the shape
of training balls (half of the test themes). In every theme the figures' luma stays clear of the ground's.
"""

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64

from jostle.domain.counter_rng import integers, random_bits, uniform
from jostle.envs.diagnostics.themed.sprites import (
    TEST_BALLS,
    TEST_PADDLES,
    TRAIN_BALLS,
    TRAIN_PADDLES,
    TUNE_BALLS,
    TUNE_PADDLES,
)
from jostle.envs.diagnostics.themed.textures import TEST_TEXTURES, TRAIN_TEXTURES, TUNE_TEXTURES
from jostle.errors import ConfigError, closest

Split = Literal["train", "tune", "test"]
Colour = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""

SPLITS: dict[str, range] = {"train": range(128), "tune": range(128, 144), "test": range(144, 208)}
NUM_THEMES = 208
MIN_CONTRAST = 0.25
"""The least difference of luma (0 to 1) between any pixel of ball or paddle and any pixel of the ground."""

_LUMA = (0.299, 0.587, 0.114)
_STRONG = 0.68  # luma; lighter balls are paler
_STREAM = 20170320  # the themes' own seed: changing it changes every theme, and all results with it


@dataclass(frozen=True)
class Theme:
    """The looks of one theme: names of texture and shapes, colours, and what sets it apart."""

    index: int
    split: Split
    texture: str
    ball_shape: str
    paddle_shape: str
    inverted: bool
    """Dark figures on light ground."""
    distractors: bool
    """Still shapes in the background that look like training balls."""
    ground: tuple[Colour, Colour]
    """Colours where the texture is 0 and 1."""
    distractor: Colour
    ball: Colour
    paddle: Colour

    @property
    def seed(self) -> int:
        """Seed of the texture's details."""
        return _STREAM + self.index


def theme(index: int) -> Theme:
    """The theme of this index."""
    split = split_of(index)
    place = index - SPLITS[split].start
    textures, balls, paddles = {
        "train": (TRAIN_TEXTURES, TRAIN_BALLS, TRAIN_PADDLES),
        "tune": (TUNE_TEXTURES, TUNE_BALLS, TUNE_PADDLES),
        "test": (TEST_TEXTURES, TEST_BALLS, TEST_PADDLES),
    }[split]
    around, kind = divmod(place, len(textures))
    inverted = split != "train" and around % 2 == 1
    return Theme(
        index=index,
        split=split,
        texture=list(textures)[kind],
        ball_shape=_choose(index, 0, list(balls)),
        paddle_shape=_choose(index, 1, list(paddles)),
        inverted=inverted,
        distractors=split == "test" and around // 2 % 2 == 1,
        ground=(_colour(index, 2, 0.06, 0.20, inverted), _colour(index, 3, 0.30, 0.42, inverted)),
        distractor=_colour(index, 4, 0.06, 0.42, inverted),
        ball=_colour(index, 5, 0.72, 0.94, inverted),
        paddle=_colour(index, 6, 0.72, 0.94, inverted),
    )


def red_ball(looks: Theme) -> Colour:
    """Where colour tells what to do: as strong a red as stays clear of the ground."""
    return with_luma(0.0, 0.9, 1.0 - _STRONG if looks.inverted else _STRONG)


def blue_ball(looks: Theme) -> Colour:
    """Where colour tells what to do: as strong a blue as stays clear of the ground."""
    return with_luma(0.64, 0.9, 1.0 - _STRONG if looks.inverted else _STRONG)


def split_of(index: int) -> Split:
    """The split that a theme belongs to."""
    for split in get_args(Split):
        if index in SPLITS[split]:
            return split  # type: ignore[no-any-return]
    raise ConfigError(f"There is no theme {index}; themes are numbered 0 to {NUM_THEMES - 1}.")


def choose_themes(split: str, num_themes: int | None, themes: Iterable[int] | None) -> tuple[int, ...]:
    """Indices of the allowed themes: those given, or the first `num_themes` (None: all) of a split."""
    if split not in SPLITS:
        raise ConfigError(f"There is no split {split!r} of themes; {closest(split, SPLITS)}")
    if themes is not None:
        if isinstance(themes, str) or not isinstance(themes, Iterable):
            raise ConfigError(f"themes={themes!r} is no list of whole numbers; give one, such as [0, 1].")
        chosen = tuple(themes)
        if num_themes is not None:
            raise ConfigError("Give ThemedCatch either num_themes or themes, not both.")
        if not chosen:
            raise ConfigError("ThemedCatch needs at least one theme; leave themes out to use the whole split.")
        for index in chosen:
            split_of(index)
        if len(set(chosen)) != len(chosen):
            raise ConfigError("ThemedCatch was given a theme twice; list every theme once.")
        return chosen
    available = SPLITS[split]
    if num_themes is None:
        return tuple(available)
    if not 1 <= num_themes <= len(available):
        raise ConfigError(f"The split {split!r} has {len(available)} themes; num_themes cannot be {num_themes}.")
    return tuple(available[:num_themes])


def luma(rgb: Float64[np.ndarray, "*shape 3"]) -> Float64[np.ndarray, "*shape"]:
    """Brightness as television weighs it (ITU-R BT.601), in the unit of the input."""
    brightness: Float64[np.ndarray, "*shape"] = rgb @ np.array(_LUMA)
    return brightness


def turned(colour: Colour, share: float) -> Colour:
    """The colour with its hue turned by a share of the circle; its luma stays, and so its contrast to the ground."""
    if not share % 1.0:
        return colour
    hue, saturation, _ = colorsys.rgb_to_hsv(*colour)
    return with_luma((hue + share) % 1.0, saturation, float(luma(np.array(colour))))


def _choose(index: int, purpose: int, names: list[str]) -> str:
    return names[int(integers(random_bits(_STREAM, index, purpose), len(names))[0])]


def _colour(index: int, purpose: int, low: float, high: float, inverted: bool) -> Colour:
    """A colour of random hue and saturation, whose luma is uniform in [low, high], or mirrored if inverted."""
    hue, saturation, level = (float(uniform(random_bits(_STREAM, index, purpose, k))[0]) for k in range(3))
    target = low + (high - low) * level
    return with_luma(hue, 0.25 + 0.65 * saturation, 1.0 - target if inverted else target)


def with_luma(hue: float, saturation: float, target: float) -> Colour:
    """The colour of hue and saturation (HSV, 0 to 1), darkened or mixed with white until its luma is `target`."""
    wheel = [abs((hue * 6.0 + shift) % 6.0 - 3.0) - 1.0 for shift in (0.0, 4.0, 2.0)]
    pure = [1.0 - saturation * (1.0 - min(max(c, 0.0), 1.0)) for c in wheel]
    bright = sum(w * c for w, c in zip(_LUMA, pure, strict=True))
    if target <= bright:
        red, green, blue = (c * target / bright for c in pure)
    else:
        red, green, blue = (c + (1.0 - c) * (target - bright) / (1.0 - bright) for c in pure)
    return red, green, blue
