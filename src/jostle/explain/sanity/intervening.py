"""The intervention itself: does changing an object move the policy as much as a technique's map says?

A map yields hypotheses, which are tested by intervening on what the picture is of (Atrey et al. 2020).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from jostle.explain.asking import Subject
from jostle.explain.results import Importance, Maps
from jostle.explain.results.kept import file_name, keep
from jostle.explain.results.similarity import spearman
from jostle.explain.sanity.changes import ChangedObjects
from jostle.scores.intervals import Interval

if TYPE_CHECKING:
    import matplotlib.figure

RESAMPLES, EXCHANGES = 500, 300
TINY = 1e-7
"""Effects below which nothing has changed but rounding."""
SLOPES = ("gradient", "SmoothGrad")
"""Techniques whose numbers are per unit of a feature; the others' are of a change by about one deviation."""


@dataclass(frozen=True)
class Intervention:
    """What a technique said of O objects at B steps, and what changing them did.

    Attributes:
        method, target, env: the technique, the number, and where.
        objects, changes: names, and what was changed.
        effect: |y(x) − y(x′)| with the object changed [O, B].
        elsewhere: the same of as large a change of pixels at other places, the null of ``effect``; NaN of vectors.
        claim: the share of the absolute map on the object's pixels; of vectors Σ_f |v_f| |Δx_f|, over the deviation of
            feature f over the steps unless v is a slope.
        alone, even: the nulls of ``claim``, in which no policy is involved: the same of the saliency of the picture
            alone, and of a map that is the same everywhere; of vectors both Σ_f |Δx_f| / s_f, the observation's change.
        episode: of each step [B].
        seed: of resampling and exchanging.
    """

    method: str
    target: str
    env: str
    objects: list[str]
    changes: list[str]
    effect: Float[np.ndarray, "O B"]
    elsewhere: Float[np.ndarray, "O B"]
    claim: Float[np.ndarray, "O B"]
    alone: Float[np.ndarray, "O B"]
    even: Float[np.ndarray, "O B"]
    episode: Int[np.ndarray, "B"]
    seed: int = 0

    @property
    def agreement(self) -> Interval:
        """Rank correlation of claims and effects over all objects and steps; the interval resamples episodes.

        NaN where changing the objects changes nothing, or all claims are equal.
        """
        return self._agreements[0]

    @property
    def null(self) -> Interval:
        """The same of ``alone`` or of ``even``, whichever agrees more."""
        return self._agreements[1]

    @property
    def beyond(self) -> Interval:
        """``agreement`` less the greater one of its nulls, on the same resampled episodes."""
        return self._agreements[2]

    @cached_property
    def p(self) -> float:
        """The share of exchanged claims that agree as well, the true ones counted among them.

        Claims are exchanged between the objects and between the episodes.
        """
        own = _rho(self.claim, self.effect)
        if not np.isfinite(own):
            return 1.0
        rng = np.random.default_rng(self.seed)
        mixed = np.array([_rho(_exchanged(self.claim, self.episode, rng), self.effect) for _ in range(EXCHANGES)])
        return float((1 + (mixed >= own - 1e-12).sum()) / (1 + EXCHANGES))

    @property
    def failed(self) -> str | None:
        """Why the technique fails: changing objects does not follow it, or for sure follows one without policy better.

        None where it does not fail, or where the policy does not mind the changes, so that nothing can be told.
        """
        if self.agreement.point <= 0:
            return f"changing objects does not do what it says (ρ = {self.agreement.point:.2f})"
        if self.beyond.high < 0:
            what = f"ρ = {self.agreement.point:.2f}, without a policy {self.null.point:.2f}"
            return f"changing objects follows a map without a policy rather than it ({what})"
        return None

    def plot(self) -> "matplotlib.figure.Figure":
        """A dot a step and object: what was said, and what changing it did."""
        from jostle.explain.sanity.figures import plot_intervention

        return plot_intervention(self)

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json``, ``NAME.png`` and ``NAME.npz``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        arrays = {
            "effect": self.effect,
            "elsewhere": self.elsewhere,
            "claim": self.claim,
            "alone": self.alone,
            "even": self.even,
        }
        name = name or file_name(f"intervention {self.method}")
        return keep(folder, name, self.as_dict(), self.plot, arrays)

    def as_dict(self) -> dict[str, Any]:
        """Plain data without the steps."""
        return {
            "method": self.method, "target": self.target, "env": self.env, "failed": self.failed,
            "agreement": self.agreement.as_dict(), "p": self.p,
            "agreement of maps without a policy": self.null.as_dict(),
            "beyond": self.beyond.as_dict(),
            "objects": {
                name: {
                    "change": self.changes[i], "effect": float(self.effect[i].mean()),
                    "effect elsewhere": float(self.elsewhere[i].mean()), "claim": float(self.claim[i].mean()),
                    "claim of the picture alone": float(self.alone[i].mean()),
                }
                for i, name in enumerate(self.objects)
            },
        }  # fmt: skip

    @cached_property
    def _agreements(self) -> tuple[Interval, Interval, Interval]:
        rng = np.random.default_rng(self.seed)
        episodes, place = np.unique(self.episode, return_inverse=True)
        rows = [np.flatnonzero(place == e) for e in range(len(episodes))]
        kinds = (self.claim, self.alone, self.even)
        picked = [
            np.concatenate([rows[e] for e in some]) for some in rng.integers(len(rows), size=(RESAMPLES, len(rows)))
        ]
        drawn = np.stack([_rhos(said, self.effect, picked) for said in kinds], 1)
        own = np.array([_rho(said, self.effect) for said in kinds])
        known = np.nan_to_num(own[1:], nan=-np.inf)  # of claims that are all equal nothing is known
        null = 1 + int(known.argmax())
        best = np.nan_to_num(drawn[:, 1:], nan=-np.inf).max(1)
        lead = drawn[:, 0] - np.where(np.isfinite(best), best, np.nan)
        return _interval(own[0], drawn[:, 0]), _interval(own[null], drawn[:, null]), _interval(own[0] - own[null], lead)


def intervention(
    method: Callable[[Subject], Maps | Importance], changed: ChangedObjects, *, seed: int = 0
) -> Intervention:
    """Compare what a technique says of objects with what changing them does.

    Args:
        method: makes maps, or the importance of features, of a subject.
        changed: as `jostle.explain.sanity.changes.change_objects` gives it.
        seed: of places, resampling and exchanging.

    Raises:
        ConfigError: the technique cannot be used on the policy.
    """
    found = method(changed.subject)
    if isinstance(found, Maps):
        each = (found.values, found.null, np.ones_like(found.values))
        claim, alone, even = (_on_pixels(values, changed) for values in each)
    else:
        claim, alone = _on_features(found, changed)
        even = alone
    return Intervention(
        found.method, found.target, changed.env, changed.objects, changed.told, changed.effect(found.target),
        changed.elsewhere(found.target, seed=seed), claim, alone, even, changed.episode, seed,
    )  # fmt: skip


def _on_pixels(values: Float[np.ndarray, "B H W"], changed: ChangedObjects) -> Float[np.ndarray, "O B"]:
    """The share of each absolute map on each object."""
    assert changed.pixels is not None
    sizes = np.abs(values.astype(np.float64))
    total = sizes.sum((1, 2))
    return np.asarray((sizes * changed.pixels).sum((2, 3)) / np.where(total > 0, total, 1.0))


def _on_features(
    found: Importance, changed: ChangedObjects
) -> tuple[Float[np.ndarray, "O B"], Float[np.ndarray, "O B"]]:
    x = changed.subject.x.flatten(1).double().cpu().numpy()
    moved = np.stack([np.abs(other.x.flatten(1).double().cpu().numpy() - x) for other in changed.changed])
    spread = np.maximum(x.std(0), np.maximum(moved.mean((0, 1)), 1e-12))
    far = moved / spread
    return (np.abs(found.values) * (moved if found.method in SLOPES else far)).sum(2), far.sum(2)


def _rho(claim: Float[np.ndarray, "O B"], effect: Float[np.ndarray, "O B"]) -> float:
    return spearman(claim, effect) if effect.max(initial=0.0) > TINY else float("nan")


def _rhos(
    claim: Float[np.ndarray, "O B"], effect: Float[np.ndarray, "O B"], picked: list[Int[np.ndarray, "_"]]
) -> Float[np.ndarray, "R"]:
    """`_rho` of several choices of steps, those of equally many at once."""
    found = np.full(len(picked), np.nan)
    sizes = np.array([len(at) for at in picked])
    for size in np.unique(sizes):
        which = np.flatnonzero(sizes == size)
        at = np.stack([picked[i] for i in which])
        x, y = (np.moveaxis(each[:, at], 0, 1).reshape(len(which), -1) for each in (claim, effect))
        moved = y.max(1) > TINY
        x, y = (rankdata(each, axis=1) for each in (x, y))
        x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
        scale = np.sqrt((x * x).sum(1) * (y * y).sum(1))
        real = moved & (scale > 0)
        found[which[real]] = (x * y).sum(1)[real] / scale[real]
    return found


def _interval(point: float, drawn: Float[np.ndarray, "R"]) -> Interval:
    real = drawn[np.isfinite(drawn)]
    if not len(real) or not np.isfinite(point):
        return Interval(float(point), float("nan"), float("nan"), 0.95)
    low, high = np.quantile(real, [0.025, 0.975])
    return Interval(float(point), float(low), float(high), 0.95)


def _exchanged(
    claim: Float[np.ndarray, "O B"], episode: Int[np.ndarray, "B"], rng: np.random.Generator
) -> Float[np.ndarray, "O B"]:
    """Each episode's claims are another one's, step by step, under other objects' names."""
    episodes, place = np.unique(episode, return_inverse=True)
    rows = [np.flatnonzero(place == e) for e in range(len(episodes))]
    mixed = np.empty_like(claim)
    for own, other in zip(rows, rng.permutation(len(rows)), strict=True):
        theirs = rows[other][np.minimum(np.arange(len(own)), len(rows[other]) - 1)]
        mixed[:, own] = claim[rng.permutation(len(claim))][:, theirs]
    return mixed
