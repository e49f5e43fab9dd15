"""Deletion and insertion (Petsiuk et al. 2018): is what a map calls important what the policy goes by?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.errors import ConfigError
from jostle.explain.asking import Layout, Subject
from jostle.explain.perturb.fill import baseline_of
from jostle.explain.results import Maps

if TYPE_CHECKING:
    import matplotlib.figure

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Of the pixels, taken away or put back: a map that needs few of them is the sparser explanation."""


@dataclass(frozen=True)
class Curves:
    """How far the explained number moves from the policy's own, as pixels go or come in the order of a map.

    The null is the same map shifted at random, round the border: as smooth, and at another place.

    Attributes:
        method, target: the technique, and the number.
        shares: S, of the pixels.
        deletion, insertion: [B, S] |y(I) − y(I′)| (of several numbers, their Euclidean distance), where the most
            important share of the pixels is covered, or alone uncovered.
        null_deletion, null_insertion: [B, S], means over shifted maps.
    """

    method: str
    target: str
    shares: Float[np.ndarray, "S"]
    deletion: Float[np.ndarray, "B S"]
    insertion: Float[np.ndarray, "B S"]
    null_deletion: Float[np.ndarray, "B S"]
    null_insertion: Float[np.ndarray, "B S"]

    @property
    def gain(self) -> Float[np.ndarray, "B"]:
        """By how much the areas beat the null's, of deletion larger and of insertion smaller, in units of all change.

        Above 0: what the map calls important moves the number sooner than as much of the picture elsewhere.
        """
        whole = np.maximum(self.deletion[:, -1], 1e-12)
        more = _area(self.deletion, self.shares) - _area(self.null_deletion, self.shares)
        fewer = _area(self.null_insertion, self.shares) - _area(self.insertion, self.shares)
        return np.asarray((more + fewer) / 2 / whole)

    @property
    def failed(self) -> str | None:
        """Why the technique fails; None where it does not."""
        gain = float(self.gain.mean())
        return None if gain > 0 else f"no more faithful than elsewhere (gain {gain:.2f})"

    def plot(self) -> "matplotlib.figure.Figure":
        """Fidelity against sparsity: both curves with their nulls."""
        from jostle.explain.sanity.figures import plot_curves

        return plot_curves(self)


def fidelity(
    maps: Maps,
    subject: Subject,
    *,
    fill: Any = "blur",
    shifts: int = 8,
    seed: int = 0,
    batch: int = 96,
) -> Curves:
    """Deletion and insertion curves of maps.

    Args:
        maps: of the subject's steps.
        subject: the policy, its steps, and the number that is measured.
        fill: what covers; see `jostle.explain.perturb.fill.baseline_of`.
        shifts: of each map, for the null.
        seed: of these.
        batch: pictures that go through the network at a time.

    Raises:
        ConfigError: the maps are of other steps.
    """
    if len(maps.values) != len(subject.steps):
        raise ConfigError(f"{len(maps.values)} maps do not fit {len(subject.steps)} steps: give the maps of these.")
    layout, rng = subject.layout(), np.random.default_rng(seed)
    fills = baseline_of(subject, layout, fill)
    height, width = layout.size
    rows = []
    for step, values in enumerate(np.abs(maps.values)):
        moves = [(0, 0), *zip(rng.integers(1, height, shifts), rng.integers(1, width, shifts), strict=True)]
        orders = np.stack([_covered(np.roll(values, move, (0, 1))) for move in moves])  # [1 + shifts, S, H, W]
        both = np.stack([orders, ~orders], 1)
        rows.append(_distances(subject, layout, fills[step], step, both, batch))
    found = np.stack(rows)  # [B, 1 + shifts, 2, S]
    null = found[:, 1:].mean(1)
    shares = np.array(SHARES)
    return Curves(maps.method, subject.target.name, shares, found[:, 0, 0], found[:, 0, 1], null[:, 0], null[:, 1])


def _covered(values: Float[np.ndarray, "H W"]) -> Bool[np.ndarray, "S H W"]:
    """The most important shares of the pixels; of equal ones any."""
    ranks = np.empty(values.size, np.int64)
    ranks[np.argsort(-values, axis=None, kind="stable")] = np.arange(values.size)
    counts = np.round(np.array(SHARES) * values.size).astype(np.int64)
    return np.asarray(ranks.reshape(values.shape) < counts[:, None, None])


@torch.no_grad()
def _distances(
    subject: Subject,
    layout: Layout,
    fill: Float[Tensor, "C H W"],
    step: int,
    covered: Bool[np.ndarray, "*S H W"],
    batch: int,
) -> Float[np.ndarray, "*S"]:
    flat = torch.from_numpy(covered.reshape(-1, 1, *layout.size))
    at = torch.full((1,), step)
    picture = layout.planes(subject.x[step : step + 1])
    own = subject(subject.x[step : step + 1], at)
    parts = []
    for piece in torch.split(flat, batch):
        x = layout.shaped(torch.where(piece.to(picture.device), fill, picture)).contiguous()
        y = subject(x, at.expand(len(x)))
        parts.append((y - own).reshape(len(x), -1).norm(dim=1))
    return np.asarray(torch.cat(parts).cpu().numpy().reshape(covered.shape[:-2]))


def _area(curve: Float[np.ndarray, "B S"], shares: Float[np.ndarray, "S"]) -> Float[np.ndarray, "B"]:
    return np.asarray(np.trapezoid(curve, shares, axis=-1))
