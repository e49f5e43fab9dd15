"""Background textures: functions from a theme's random bits to a pattern in [0, 1], at any resolution.

A pattern is defined on a picture of 32 x 32 units, whatever the pixels, and uses arithmetic only (no trigonometry), so
that it is the same on every machine. Each split has families of its own: training backgrounds are smooth, those of the
test are of higher spatial frequency, which no mixing of colours can make out of smooth ones.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from jostle.domain.counter_rng import integers, random_bits, uniform

Pattern = Float64[np.ndarray, "P P"]
Texture = Callable[[int, int], Pattern]
"""(seed, pixels) -> pattern."""

_UNITS = 32


def _grid(pixels: int) -> tuple[Pattern, Pattern]:
    """Coordinates (down, right) of the pixel centres, in units of 1/32 of the picture."""
    centres = (np.arange(pixels) + 0.5) * (_UNITS / pixels)
    down, right = np.meshgrid(centres, centres, indexing="ij")
    return down, right


def _draw(seed: int, purpose: int) -> float:
    return float(uniform(random_bits(seed, purpose))[0])


def _pick(seed: int, purpose: int, options: tuple[float, ...]) -> float:
    return options[int(integers(random_bits(seed, purpose), len(options))[0])]


def _triangle(x: Pattern) -> Pattern:
    """The triangle wave of period 1 between 0 and 1."""
    wave: Pattern = np.abs(2.0 * (x - np.floor(x)) - 1.0)
    return wave


def _hard(x: Pattern, period: float, phase: float) -> Pattern:
    """The square wave of this period: 1 and 0 in equal parts."""
    return np.asarray((x + period * phase) % period < period / 2, dtype=np.float64)


def _noise(seed: int, cells: int) -> Pattern:
    return uniform(random_bits(seed, 9, np.arange(cells * cells))).reshape(cells, cells)


def flat(seed: int, pixels: int) -> Pattern:
    """One colour."""
    return np.full((pixels, pixels), _draw(seed, 0))


def gradient(seed: int, pixels: int) -> Pattern:
    """A linear ramp in one of eight directions."""
    down, right = _grid(pixels)
    a, b = ((0, 1), (1, 0), (1, 1), (1, -1))[int(_pick(seed, 0, (0, 1, 2, 3)))]
    ramp = a * down + b * right
    ramp = (ramp - ramp.min()) / (ramp.max() - ramp.min())
    return np.asarray(ramp if _draw(seed, 1) < 0.5 else 1.0 - ramp)


def waves(seed: int, pixels: int) -> Pattern:
    """Soft stripes, one and a half to three of them across the picture."""
    down, right = _grid(pixels)
    a, b = ((0.0, 1.0), (1.0, 0.0), (0.75, 0.75), (0.75, -0.75))[int(_pick(seed, 0, (0, 1, 2, 3)))]
    period = 11.0 + 10.0 * _draw(seed, 1)
    return _triangle((a * down + b * right) / period + _draw(seed, 2))


def blobs(seed: int, pixels: int) -> Pattern:
    """Noise on a 4 x 4 grid, interpolated bilinearly."""
    cells = 4
    coarse = _noise(seed, cells)
    coarse = (coarse - coarse.min()) / (coarse.max() - coarse.min())
    place = (np.arange(pixels) + 0.5) * ((cells - 1) / pixels)
    low = np.minimum(place.astype(np.int64), cells - 2)
    weight = place - low
    rows = coarse[low] * (1.0 - weight)[:, None] + coarse[low + 1] * weight[:, None]
    surface: Pattern = rows[:, low] * (1.0 - weight) + rows[:, low + 1] * weight
    return surface


def tiles(seed: int, pixels: int) -> Pattern:
    """A checkerboard of squares 5 to 6 units wide."""
    return _checks(seed, pixels, _pick(seed, 0, (5.0, 6.0)))


def dots(seed: int, pixels: int) -> Pattern:
    """A grid of round dots, 8 units apart."""
    down, right = _grid(pixels)
    y, x = (down + 8.0 * _draw(seed, 0)) % 8.0 - 4.0, (right + 8.0 * _draw(seed, 1)) % 8.0 - 4.0
    return (y * y + x * x < 6.5).astype(np.float64)


def checkerboard(seed: int, pixels: int) -> Pattern:
    """A fine checkerboard, squares 2 or 3 units wide."""
    return _checks(seed, pixels, _pick(seed, 0, (2.0, 3.0)))


def _checks(seed: int, pixels: int, side: float) -> Pattern:
    down, right = _grid(pixels)
    y, x = np.floor(down / side + _draw(seed, 1)), np.floor(right / side + _draw(seed, 2))
    checks: Pattern = (y + x) % 2.0
    return checks


def stripes(seed: int, pixels: int) -> Pattern:
    """Thin hard stripes, upright or lying, 4 or 5 units apart."""
    down, right = _grid(pixels)
    period = _pick(seed, 1, (4.0, 5.0))
    along = right if _draw(seed, 0) < 0.5 else down
    return _hard(along, period, _draw(seed, 2))


def diagonals(seed: int, pixels: int) -> Pattern:
    """Thin hard stripes at 45 degrees, 4 to 6 units apart along an axis."""
    down, right = _grid(pixels)
    period = _pick(seed, 1, (4.0, 5.0, 6.0))
    along = right + down if _draw(seed, 0) < 0.5 else right - down
    return _hard(along, period, _draw(seed, 2))


def grain(seed: int, pixels: int) -> Pattern:
    """White noise in squares of one unit."""
    fine = _noise(seed, _UNITS)
    return np.repeat(np.repeat(fine, pixels // _UNITS, axis=0), pixels // _UNITS, axis=1)


def rings(seed: int, pixels: int) -> Pattern:
    """Hard concentric rings, 5 or 6 units apart, around a random centre."""
    down, right = _grid(pixels)
    radius = np.sqrt((down - _UNITS * _draw(seed, 0)) ** 2 + (right - _UNITS * _draw(seed, 1)) ** 2)
    period = _pick(seed, 2, (5.0, 6.0))
    return _hard(radius, period, 0.0)


def bricks(seed: int, pixels: int) -> Pattern:
    """Courses of 4 units, with joints of 1 unit and every other course shifted by half a brick."""
    down, right = _grid(pixels)
    y = down + 4.0 * np.floor(4.0 * _draw(seed, 0)) / 4.0
    x = right + 4.0 * (np.floor(y / 4.0) % 2.0)
    return np.asarray((y % 4.0 < 1.0) | (x % 8.0 < 1.0), dtype=np.float64)


def zigzag(seed: int, pixels: int) -> Pattern:
    """Hard stripes bent into chevrons, 4 or 5 units apart."""
    down, right = _grid(pixels)
    if _draw(seed, 0) < 0.5:
        down, right = right, down
    period = _pick(seed, 1, (4.0, 5.0))
    bent = down + 4.0 * _triangle(right / 8.0)
    return _hard(bent, period, _draw(seed, 2))


def lattice(seed: int, pixels: int) -> Pattern:
    """Thin crossing lines, 4 or 5 units apart."""
    down, right = _grid(pixels)
    period = _pick(seed, 0, (4.0, 5.0))
    y, x = (down + period * _draw(seed, 1)) % period, (right + period * _draw(seed, 2)) % period
    return np.asarray((y < 1.5) | (x < 1.5), dtype=np.float64)


TRAIN_TEXTURES: dict[str, Texture] = {t.__name__: t for t in (flat, gradient, waves, blobs)}
TUNE_TEXTURES: dict[str, Texture] = {t.__name__: t for t in (tiles, dots)}
TEST_TEXTURES: dict[str, Texture] = {
    t.__name__: t for t in (checkerboard, stripes, diagonals, grain, rings, bricks, zigzag, lattice)
}
TEXTURES: dict[str, Texture] = {**TRAIN_TEXTURES, **TUNE_TEXTURES, **TEST_TEXTURES}
