"""Saliency videos: an episode's frames, and beside each what a technique finds there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from jostle.errors import ConfigError
from jostle.explain.results.figures import SIGNED, UNSIGNED
from jostle.explain.results.maps import Maps
from jostle.video import SMALLEST, ffmpeg, write

FPS = 10
ENDINGS = (".mp4", ".mkv", ".mov", ".avi", ".m4v")


def overlays(maps: Maps, *, bound: float | None = None) -> UInt8[np.ndarray, "B H W 3"]:
    """The maps over their pictures in grey; the stronger, the less of the picture shows through.

    Args:
        maps: the maps.
        bound: the number that is strongest; None: the greatest of all maps, so that steps can be compared.
    """
    from matplotlib import colormaps

    strongest = float(np.abs(maps.values).max()) if bound is None else bound
    unit: Float[np.ndarray, "B H W"] = np.clip(maps.values / (strongest or 1.0), -1, 1)
    place = (unit + 1) / 2 if maps.signed else np.abs(unit)
    colours = colormaps[SIGNED if maps.signed else UNSIGNED](place)[..., :3] * 255
    alpha = 0.85 * np.sqrt(np.abs(unit))[..., None]
    grey = np.repeat(maps.pictures.mean(-1, keepdims=True), 3, -1)
    return np.asarray((grey * (1 - alpha) + colours * alpha).round().astype(np.uint8))


def record_maps(maps: Maps, path: str | Path, *, fps: int = FPS, overwrite: bool = False) -> Path:
    """A video of maps, step by step: the picture on the left, the map over it on the right.

    Raises:
        ConfigError: the file exists, its ending is none of a video's, or imageio-ffmpeg or matplotlib is missing.
        JostleError: ffmpeg failed.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path} cannot be a video: give it one of the endings {', '.join(ENDINGS)}.")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists already: choose another name, or give overwrite=True.")
    program = ffmpeg()

    def frames() -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        factor = max(1, -(-SMALLEST // min(maps.pictures.shape[1:3])))
        for picture, over in zip(maps.pictures, overlays(maps), strict=True):
            gap = np.full((picture.shape[0], 1, 3), 255, np.uint8)
            yield np.concatenate([picture, gap, over], 1).repeat(factor, 0).repeat(factor, 1)

    each = frames()
    path.parent.mkdir(parents=True, exist_ok=True)
    write(program, path, fps, [next(each)], each)
    return path
