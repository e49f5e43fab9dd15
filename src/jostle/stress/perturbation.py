"""Graded perturbations of pictures: a function of (seed, environment, episode, step), with nothing that advances.

Every perturbation draws what it needs at the start of an episode and keeps it; only `noise` differs from step to step,
and the discs of `distractor` move on. A frame keeps its look while it moves through a stack of frames.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int
from scipy import ndimage

from jostle.domain.counter_rng import integers, random_bits, uniform
from jostle.errors import ConfigError, closest
from jostle.stress.pictures import Layout

Pictures = Float32[np.ndarray, "N F H W C"]
Steps = Int[np.ndarray, "N F"]
Keys = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Seed, environment and episode of each row, each [N]."""

STRENGTHS = range(1, 6)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_STREAM = 5005  # what keeps these draws apart from those of environments with the same seed


@dataclass(frozen=True)
class Perturbation:
    """One kind at one strength.

    Attributes:
        kind: a name in `KINDS`.
        strength: 1 (weak) to 5 (strong).

    Raises:
        ConfigError: an unknown kind or strength.
    """

    kind: str
    strength: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"there is no perturbation '{self.kind}'; {closest(str(self.kind), KINDS)}")
        if self.strength not in STRENGTHS:
            raise ConfigError(f"strength={self.strength} of '{self.kind}' cannot be used: give 1 (weak) to 5 (strong).")

    def fits(self, layout: Layout) -> bool:
        """Whether pictures of this layout have what it changes: only colours have a hue."""
        return self.kind != "hue" or layout.channels == 3

    def apply(
        self,
        obs: np.ndarray,
        layout: Layout,
        seed: int,
        episode: Int[np.ndarray, "N"],
        step: Int[np.ndarray, "N"],
    ) -> np.ndarray:
        """The perturbed observations: a new array of the same shape and type.

        Args:
            obs: [N, …], pictures as uint8 or as floats in [0, 1].
            layout: where frames, channels and sides lie.
            seed: of the test.
            episode: each environment's episode.
            step: steps since the episode's first observation.
        """
        if not self.fits(layout):
            raise ConfigError(
                f"hue needs 3 channels of colour, and these pictures have {layout.channels}: leave it out."
            )
        frames = layout.unpack(obs)
        rows = np.arange(len(obs))
        # The newest frame is of this step; in an episode's first steps older ones are copies of its first frame.
        age = np.arange(frames.shape[1])[::-1]
        steps = np.maximum(step[:, None] - age, 0)
        changed = KINDS[self.kind](frames, (np.full(len(obs), seed), rows, episode), steps, self.strength)
        return layout.pack(np.clip(changed, 0.0, 1.0), obs.dtype)


def brightness(x: Pictures, keys: Keys, steps: Steps, strength: int) -> Pictures:
    """Lighter or darker by a tenth of the range per strength; which of both, the episode decides."""
    return np.asarray(x + np.float32(0.1 * strength) * _sign(keys))


def contrast(x: Pictures, keys: Keys, steps: Steps, strength: int) -> Pictures:
    """Distances from the frame's mean shrink to 0.75, 0.5, 0.35, 0.2 or 0.1."""
    mean = x.mean((2, 3, 4), keepdims=True)
    return np.asarray(mean + np.float32((0.75, 0.5, 0.35, 0.2, 0.1)[strength - 1]) * (x - mean))


def hue(x: Pictures, keys: Keys, steps: Steps, strength: int) -> Pictures:
    """Colours turn by 36° per strength about the grey axis; the episode decides which way. Luma hardly changes."""
    angle = 0.2 * np.pi * strength * _sign(keys)[:, 0, 0, 0, 0]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    chroma = np.eye(3) - _LUMA  # what is left of a colour without its luma
    # A quarter turn in the plane of equal luma, scaled so that turning four times gives the colour back.
    quarter = _quarter_turn()
    turn = (np.tile(_LUMA, (3, 1)) + cos * chroma + sin * (quarter @ chroma)).astype(np.float32)
    return np.asarray(np.einsum("nfhwc,ndc->nfhwd", x, turn, optimize=True))


def noise(x: Pictures, keys: Keys, steps: Steps, strength: int) -> Pictures:
    """Independent noise on every number, new at every step, with deviation 0.04, 0.08, 0.12, 0.18 or 0.26."""
    sigma = (0.04, 0.08, 0.12, 0.18, 0.26)[strength - 1]
    base = _bits(keys, 3)[:, None] + steps.astype(np.uint64)
    bits = random_bits(base[..., None], np.arange(x[0, 0].size))
    # The sum of four uniform numbers, of 16 bits each: near enough to a normal one, and much quicker.
    total = bits.view(np.uint16).reshape(*bits.shape, 4).sum(-1, dtype=np.int32)
    unit = (total.astype(np.float32) - np.float32(2 * 65535)) * np.float32(np.sqrt(3.0) / 65536)
    return np.asarray(x + np.float32(sigma) * unit.reshape(x.shape))


def blur(x: Pictures, keys: Keys, steps: Steps, strength: int) -> Pictures:
    """A Gaussian blur with deviation 0.6 pixels per strength on a side of 64, and in proportion on others."""
    sigma = 0.6 * strength * min(x.shape[2:4]) / 64
    blurred: np.ndarray = ndimage.gaussian_filter(x, (0, 0, sigma, sigma, 0), mode="nearest")
    return blurred


def translation(x: Pictures, keys: Keys, steps: Steps, strength: int) -> Pictures:
    """Shifted by a thirty-second of the side per strength, in one of eight directions; the border is repeated."""
    height, width = x.shape[2:4]
    way = np.pi / 4 * integers(_bits(keys, 5), 8)
    rows, columns = np.arange(len(x)), [np.rint(np.cos(way)), np.rint(np.sin(way))]
    shift = [
        (axis * max(1, round(strength * side / 32))).astype(np.int64)
        for axis, side in zip(columns, (height, width), strict=True)
    ]
    down = np.clip(np.arange(height) - shift[0][:, None], 0, height - 1)
    right = np.clip(np.arange(width) - shift[1][:, None], 0, width - 1)
    return x[rows[:, None, None], :, down[:, :, None], right[:, None, :]].transpose(0, 3, 1, 2, 4)


def occluder(x: Pictures, keys: Keys, steps: Steps, strength: int) -> Pictures:
    """A square of one colour with sides of 8% of the picture per strength; place and colour are the episode's."""
    height, width, channels = x.shape[2:]
    side = [max(1, round(0.08 * strength * length)) for length in (height, width)]
    # By a share of the way, so that a stronger one lies about where a weaker one does.
    top, left = (
        (uniform(_bits(keys, 6, k)) * (length - s + 1)).astype(np.int64)
        for k, (length, s) in enumerate(zip((height, width), side, strict=True))
    )
    inside = _between(height, top, side[0])[:, :, None] & _between(width, left, side[1])[:, None, :]
    return np.where(inside[:, None, :, :, None], _colour(keys, 6, channels), x)


def distractor(x: Pictures, keys: Keys, steps: Steps, strength: int) -> Pictures:
    """As many moving discs as the strength says, of 12% of the picture across, each with its colour and course."""
    height, width, channels = x.shape[2:]
    down, right = np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5
    for disc in range(strength):
        place = []
        for axis, length in enumerate((height, width)):
            begin, speed = (uniform(_bits(keys, 7, disc, axis, k))[:, None] for k in range(2))
            # Up to 3% of the picture in a step, either way, round and round.
            place.append((begin + 0.06 * (speed - 0.5) * steps) % 1.0 * length)
        distance = (down - place[0][..., None, None]) ** 2 + (right - place[1][..., None, None]) ** 2
        inside = distance <= (0.06 * min(height, width)) ** 2
        x = np.where(inside[..., None], _colour(keys, 70 + disc, channels), x)
    return x


KINDS: dict[str, Callable[[Pictures, Keys, Steps, int], Pictures]] = {
    "brightness": brightness,
    "contrast": contrast,
    "hue": hue,
    "noise": noise,
    "blur": blur,
    "translation": translation,
    "occluder": occluder,
    "distractor": distractor,
}


def _bits(keys: Keys, *purpose: int) -> np.ndarray:
    """Random bits [N] of the rows' episodes for one purpose."""
    return random_bits(keys[0], _STREAM, keys[1], keys[2], *purpose)


def _sign(keys: Keys) -> Float32[np.ndarray, "N 1 1 1 1"]:
    return (2.0 * integers(_bits(keys, 1), 2) - 1.0).astype(np.float32)[:, None, None, None, None]


def _colour(keys: Keys, purpose: int, channels: int) -> Float32[np.ndarray, "N 1 1 1 _"]:
    """One colour per row; one grey where the channels are no colours."""
    values = [uniform(_bits(keys, purpose, 100 + c)) for c in range(channels if channels in (3, 4) else 1)]
    return np.stack(values, -1).astype(np.float32)[:, None, None, None, :]


def _between(length: int, first: Int[np.ndarray, "N"], count: int) -> np.ndarray:
    at = np.arange(length)
    return (at >= first[:, None]) & (at < first[:, None] + count)


def _quarter_turn() -> np.ndarray:
    """A linear map of colours whose square is −1 where luma is 0: a turn by 90° in that plane."""
    basis = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]])
    basis -= (basis @ _LUMA)[:, None]  # grey is (1, 1, 1), and the luma of it is 1
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    second = basis[1] - (basis[1] @ basis[0]) * basis[0]
    plane = np.stack([basis[0], second / np.linalg.norm(second)])
    coordinates = np.linalg.pinv(plane.T)
    turned: np.ndarray = plane.T @ np.array([[0.0, -1.0], [1.0, 0.0]]) @ coordinates
    return turned
