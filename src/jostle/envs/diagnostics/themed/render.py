"""Drawing the catching game: backgrounds and sprites are looked up, and blitted for all environments at once."""

import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from jostle.domain.counter_rng import integers, random_bits
from jostle.envs.diagnostics.themed.sprites import BALL_UNITS, BALLS, PADDLE_UNITS, PADDLES, TRAIN_BALLS, sprite
from jostle.envs.diagnostics.themed.textures import TEXTURES
from jostle.envs.diagnostics.themed.themes import Colour, Theme, blue_ball, red_ball, theme, turned

CELLS = 8
_DISTRACTORS = 5


class Painter:
    """Draws pictures of `pixels` x `pixels` in the given themes; a *slot* is a theme's place among them.

    Hues of ball and paddle may be turned, by shares of the circle.
    """

    def __init__(
        self,
        themes: Sequence[Theme],
        pixels: int,
        rule: str = "catch",
        *,
        ball_hue: float = 0.0,
        paddle_hue: float = 0.0,
    ) -> None:
        self.pixels = pixels
        self._ground = np.stack([background(t, pixels) for t in themes])
        colours = [(t.ball, t.ball) if rule == "catch" else (red_ball(t), blue_ball(t)) for t in themes]
        shapes = [("disc", "plus") if rule == "colour-shape" else (t.ball_shape, t.ball_shape) for t in themes]
        self._ball_colour = np.stack(
            [[_bytes(turned(c, ball_hue)) for c in pair] for pair in colours]
        )  # [themes, 2, 3]
        self._ball_shape = np.array([[list(BALLS).index(shape) for shape in pair] for pair in shapes])
        self._paddle_colour = np.stack([_bytes(turned(t.paddle, paddle_hue)) for t in themes])
        self._paddle_shape = np.array([list(PADDLES).index(t.paddle_shape) for t in themes])
        self._ball_pixels, self._paddle_pixels = _pixel_tables(pixels)

    def draw(
        self,
        slot: Int64[np.ndarray, "N"],
        ball: Int64[np.ndarray, "N 2"],
        paddle: Int64[np.ndarray, "N 2"],
        blue: Bool[np.ndarray, "N"] | None = None,
    ) -> UInt8[np.ndarray, "N P P 3"]:
        """The pictures, in fresh memory. `ball` and `paddle` are cells (row, column); the ball is drawn on top.

        `blue` says whose ball is of the second kind, where there are two.
        """
        kind = _kind(blue, slot)
        picture = self._ground.take(slot, axis=0)
        canvas = picture.reshape(-1, 3)
        canvas[self._offset(len(slot)) + self._paddle_where(slot, paddle)] = self._paddle_colour[slot][:, None]
        canvas[self._offset(len(slot)) + self._ball_where(slot, ball, kind)] = self._ball_colour[slot, kind][:, None]
        return picture

    def masks(
        self,
        slot: Int64[np.ndarray, "N"],
        ball: Int64[np.ndarray, "N 2"],
        paddle: Int64[np.ndarray, "N 2"],
        blue: Bool[np.ndarray, "N"] | None = None,
    ) -> dict[str, Bool[np.ndarray, "N P P"]]:
        """Which pixels show the ball and which the paddle."""
        shape = (len(slot), self.pixels, self.pixels)
        shown = {"ball": np.zeros(shape, dtype=bool), "paddle": np.zeros(shape, dtype=bool)}
        shown["paddle"].reshape(-1)[self._offset(len(slot)) + self._paddle_where(slot, paddle)] = True
        shown["ball"].reshape(-1)[self._offset(len(slot)) + self._ball_where(slot, ball, _kind(blue, slot))] = True
        shown["paddle"] &= ~shown["ball"]
        return shown

    def _offset(self, count: int) -> Int64[np.ndarray, "N 1"]:
        return np.arange(count)[:, None] * self.pixels**2

    def _ball_where(
        self, slot: Int64[np.ndarray, "N"], cell: Int64[np.ndarray, "N 2"], kind: Int64[np.ndarray, "N"]
    ) -> Int64[np.ndarray, "N K"]:
        return np.asarray(self._ball_pixels[self._ball_shape[slot, kind], cell[:, 0] * CELLS + cell[:, 1]])

    def _paddle_where(self, slot: Int64[np.ndarray, "N"], cell: Int64[np.ndarray, "N 2"]) -> Int64[np.ndarray, "N K"]:
        return np.asarray(self._paddle_pixels[self._paddle_shape[slot], cell[:, 0] * CELLS + cell[:, 1]])


def background(looks: Theme, pixels: int) -> UInt8[np.ndarray, "P P 3"]:
    """A theme's picture without ball and paddle."""
    pattern = TEXTURES[looks.texture](looks.seed, pixels)[:, :, None]
    low, high = (np.array(colour) for colour in looks.ground)
    ground = _quantise(low + pattern * (high - low))
    if looks.distractors:
        places = integers(random_bits(looks.seed, 100, np.arange(_DISTRACTORS)), (CELLS - 1) * CELLS)
        shape = list(BALLS).index(list(TRAIN_BALLS)[looks.index % len(TRAIN_BALLS)])
        ground.reshape(-1, 3)[_pixel_tables(pixels)[0][shape, places].reshape(-1)] = _bytes(looks.distractor)
    return ground


def theme_hash(index: int) -> str:
    """SHA-256 of the theme's pictures of eight fixed states, as 64 hexadecimal digits: equal looks, equal hash."""
    column = np.arange(CELLS)
    ball = np.stack([(column * 3) % (CELLS - 1), column], axis=1)
    paddle = np.stack([np.full(CELLS, CELLS - 1), CELLS - 1 - column], axis=1)
    frames = Painter([theme(index)], 32).draw(np.zeros(CELLS, dtype=np.int64), ball, paddle)
    return hashlib.sha256(frames.tobytes()).hexdigest()


@cache
def _pixel_tables(pixels: int) -> tuple[Int64[np.ndarray, "S C K"], Int64[np.ndarray, "Q C J"]]:
    """The pixel tables of all balls and of all paddles."""
    balls = [sprite(shape, BALL_UNITS, pixels) for shape in BALLS.values()]
    paddles = [sprite(shape, PADDLE_UNITS, pixels) for shape in PADDLES.values()]
    return _pixel_table(balls, pixels), _pixel_table(paddles, pixels)


def _pixel_table(sprites: Sequence[Bool[np.ndarray, "_h _w"]], pixels: int) -> Int64[np.ndarray, "S C K"]:
    """Flat pixel indices of every sprite in every cell: bottom-aligned to its box, cut at the picture's border.

    Rows are filled up to one length with their own first pixel: a sprite has one colour, so painting it twice is
    painting it once.
    """
    cell = pixels // CELLS
    longest = max(int(s.sum()) for s in sprites)
    table = np.empty((len(sprites), CELLS * CELLS, longest), dtype=np.int64)
    for s, shape in enumerate(sprites):
        inside = np.argwhere(shape)
        rise, side = max(0, (shape.shape[0] - cell) // 2), (shape.shape[1] - cell) // 2
        for place in range(CELLS * CELLS):
            y = inside[:, 0] + place // CELLS * cell - rise
            x = inside[:, 1] + place % CELLS * cell - side
            shown = (y >= 0) & (y < pixels) & (x >= 0) & (x < pixels)
            flat = (y * pixels + x)[shown]
            table[s, place] = flat[0]
            table[s, place, : len(flat)] = flat
    return table


def _kind(blue: Bool[np.ndarray, "N"] | None, slot: Int64[np.ndarray, "N"]) -> Int64[np.ndarray, "N"]:
    return np.zeros_like(slot) if blue is None else blue.astype(np.int64)


def _quantise(rgb: np.ndarray) -> UInt8[np.ndarray, "..."]:
    return np.round(rgb * 255.0).astype(np.uint8)


def _bytes(colour: Colour) -> UInt8[np.ndarray, "3"]:
    return _quantise(np.array(colour))
