"""Drawing simple shapes into many pictures at once, by their signed distances, with soft edges."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

Array = NDArray[Any]
Number = float | Array


def _rgb(r: int, g: int, b: int) -> Float32[np.ndarray, "3"]:
    return np.array([r, g, b], dtype=np.float32) / np.float32(255.0)


PAPER, HORIZON = _rgb(246, 243, 236), _rgb(222, 226, 228)
INK, SLATE, SAND, RUST, SEA = (
    _rgb(38, 44, 54),
    _rgb(74, 92, 112),
    _rgb(214, 160, 92),
    _rgb(188, 84, 60),
    _rgb(56, 138, 140),
)


class Canvas:
    """N pictures that show the same part of a plane, x to the right and y up.

    Positions, sizes and angles are numbers, or one for each picture. What is drawn later lies on top.

    Args:
        count, height, width_px: N, and the size of a picture in pixels.
        centre: the point in the middle.
        width: what the picture's width shows, in the plane's unit.
    """

    def __init__(self, count: int, height: int, width_px: int, *, centre: tuple[float, float], width: float) -> None:
        self._pixel = width / width_px
        across = (np.arange(width_px) + 0.5) * self._pixel - width / 2 + centre[0]
        up = centre[1] - ((np.arange(height) + 0.5) - height / 2) * self._pixel
        self._x = across.astype(np.float32)[None, None, :]
        self._y = up.astype(np.float32)[None, :, None]
        fade = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
        ground = PAPER * (1 - fade) + HORIZON * fade
        self._picture = np.empty((count, height, width_px, 3), dtype=np.float32)
        self._picture[:] = ground

    def disc(self, x: Number, y: Number, radius: Number, colour: Array) -> None:
        """A filled circle; none where the radius is 0."""
        radius = _column(radius)
        distance = np.hypot(self._x - _column(x), self._y - _column(y)) - radius
        self._fill(np.where(radius > 0, distance, np.float32(np.inf)), colour)

    def ring(self, x: Number, y: Number, radius: Number, width: Number, colour: Array) -> None:
        """A circle's line, `width` to both sides."""
        distance = np.hypot(self._x - _column(x), self._y - _column(y)) - _column(radius)
        self._fill(np.abs(distance) - _column(width), colour)

    def rod(self, x0: Number, y0: Number, x1: Number, y1: Number, radius: Number, colour: Array) -> None:
        """A line from one point to the other with round ends, `radius` to both sides."""
        x0, y0 = _column(x0), _column(y0)
        dx, dy = _column(x1) - x0, _column(y1) - y0
        px, py = self._x - x0, self._y - y0
        along = np.clip((px * dx + py * dy) / np.maximum(dx * dx + dy * dy, np.float32(1e-12)), 0.0, 1.0)
        self._fill(np.hypot(px - along * dx, py - along * dy) - _column(radius), colour)

    def box(self, x: Number, y: Number, half_x: Number, half_y: Number, colour: Array, rounded: float = 0.0) -> None:
        """A rectangle with its sides along the axes."""
        qx = np.abs(self._x - _column(x)) - _column(half_x) + np.float32(rounded)
        qy = np.abs(self._y - _column(y)) - _column(half_y) + np.float32(rounded)
        outside = np.hypot(np.maximum(qx, 0.0), np.maximum(qy, 0.0))
        self._fill(outside + np.minimum(np.maximum(qx, qy), 0.0) - np.float32(rounded), colour)

    def below(self, curve: Callable[[Array], Array], colour: Array) -> None:
        """All that lies under a curve, y of x [1, W] for every picture, [N, W]; its slope is about 1 at most."""
        height = curve(self._x[0].astype(np.float64)).astype(np.float32)
        self._fill((self._y - height[:, None, :]) * np.float32(0.8), colour)

    def frames(self) -> UInt8[np.ndarray, "N H W 3"]:
        """The pictures."""
        return np.round(self._picture * np.float32(255.0)).astype(np.uint8)

    def _fill(self, distance: Array, colour: Array) -> None:
        """Paint where the signed distance is negative; half a pixel of soft edge to both sides."""
        share = np.clip(0.5 - distance / np.float32(self._pixel), 0.0, 1.0)
        share = np.broadcast_to(share, self._picture.shape[:3])
        touched = np.nonzero(share)
        here = self._picture[touched]
        self._picture[touched] = here + share[touched][:, None] * (colour - here)


def _column(value: Number) -> Float32[np.ndarray, "_ 1 1"]:
    return np.atleast_1d(np.asarray(value, dtype=np.float32))[:, None, None]
