"""Sprites of ball and paddle: which pixels of a small box belong to the object.

Boxes are 6 x 6 units (ball) and 4 x 6 units (paddle) of a picture of 32 x 32. Each split has shapes of its own.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64

Coordinates = Float64[np.ndarray, "h w"]
Shape = Callable[[Coordinates, Coordinates], Bool[np.ndarray, "h w"]]
"""(down, right) in [-1, 1] -> inside."""

BALL_UNITS = (6, 6)
PADDLE_UNITS = (4, 6)
_EPS = 1e-9

TRAIN_BALLS: dict[str, Shape] = {
    "disc": lambda y, x: y * y + x * x <= 1.0,
    "square": lambda y, x: np.maximum(np.abs(y), np.abs(x)) <= 0.7,
}
TUNE_BALLS: dict[str, Shape] = {"plus": lambda y, x: np.minimum(np.abs(y), np.abs(x)) <= 0.34}
TEST_BALLS: dict[str, Shape] = {
    "diamond": lambda y, x: np.abs(y) + np.abs(x) <= 1.0 + _EPS,
    "saltire": lambda y, x: np.abs(np.abs(y) - np.abs(x)) <= 0.25,
    "ring": lambda y, x: (y * y + x * x <= 1.0) & (y * y + x * x > 0.4),
    "wedge": lambda y, x: np.abs(x) <= (y + 1.2) / 2.0,
}
TRAIN_PADDLES: dict[str, Shape] = {
    "bar": lambda y, x: (y > 0.0) & (np.abs(x) <= 1.0),
    "block": lambda y, x: (y > -0.5) & (np.abs(x) <= 0.7),
}
TUNE_PADDLES: dict[str, Shape] = {"cup": lambda y, x: (y > 0.4) | ((np.abs(x) > 0.66) & (y > -0.6))}
TEST_PADDLES: dict[str, Shape] = {
    "arch": lambda y, x: (np.abs(y + 0.2) < 0.4) | ((np.abs(x) > 0.66) & (y > -0.6)),
    "ramp": lambda y, x: y >= x - _EPS,
    "tee": lambda y, x: (np.abs(y + 0.2) < 0.4) | ((np.abs(x) < 0.34) & (y > -0.6)),
    "post": lambda y, x: (np.abs(x) < 0.34) & (y > -2.0),
}
BALLS: dict[str, Shape] = {**TRAIN_BALLS, **TUNE_BALLS, **TEST_BALLS}
PADDLES: dict[str, Shape] = {**TRAIN_PADDLES, **TUNE_PADDLES, **TEST_PADDLES}


def sprite(shape: Shape, units: tuple[int, int], pixels: int) -> Bool[np.ndarray, "h w"]:
    """The shape drawn in its box, for pictures of `pixels` x `pixels`."""
    height, width = (u * pixels // 32 for u in units)
    down = (2.0 * np.arange(height) + 1.0) / height - 1.0
    right = (2.0 * np.arange(width) + 1.0) / width - 1.0
    y, x = np.meshgrid(down, right, indexing="ij")
    return shape(y, x)
