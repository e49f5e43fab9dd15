"""Linear probes: what a layer knows of the world's draw, of the condition, or of anything else with a name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from jostle.errors import ConfigError
from jostle.explain.activations.gathering import Activations
from jostle.explain.activations.neighbours import permuted
from jostle.explain.activations.ridge import out_of_fold
from jostle.explain.results.kept import file_name, keep
from jostle.scores.intervals import Interval

if TYPE_CHECKING:
    import matplotlib.figure

RESAMPLES = 2000


@dataclass(frozen=True)
class Probe:
    """How well one thing can be read from one layer, in episodes that the probe has not seen.

    Attributes:
        policy, layer, of: whose, and what is read.
        score: R² of numbers, balanced accuracy of classes; its interval resamples episodes.
        kind: ``R²`` or ``balanced accuracy``.
        null: scores of probes of permuted labels [R].
        untrained: scores in untrained networks [U].
        chance: what knows nothing scores: 0, or one over the classes.
        episodes: how many.
    """

    policy: str
    layer: str
    of: str
    score: Interval
    kind: str
    null: Float[np.ndarray, "R"]
    untrained: Float[np.ndarray, "U"]
    chance: float
    episodes: int

    @property
    def p(self) -> float:
        """The share of permuted labels that are read as well, the true ones counted among them."""
        return float((1 + (self.null >= self.score.point - 1e-12).sum()) / (1 + len(self.null)))

    def plot(self) -> "matplotlib.figure.Figure":
        """The score among its nulls."""
        from jostle.explain.activations.figures import plot_probes

        return plot_probes([self])

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        return keep(folder, name or file_name(f"probe {self.of} {self.layer}"), self.as_dict(), self.plot)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "score": self.score.as_dict(), "p": self.p}


@dataclass(frozen=True)
class Probes:
    """Several layers' probes of one thing."""

    each: list[Probe]

    def __getitem__(self, layer: str) -> Probe:
        return next(p for p in self.each if p.layer == layer)

    def plot(self) -> "matplotlib.figure.Figure":
        """Layer by layer, with their nulls."""
        from jostle.explain.activations.figures import plot_probes

        return plot_probes(self.each)

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {p.layer: p.as_dict() for p in self.each}
        return keep(folder, name or file_name(f"probes {self.each[0].of}"), data, self.plot)


def probe(
    activations: Activations,
    of: str,
    *,
    classes: bool | None = None,
    folds: int = 5,
    permutations: int = 100,
    untrained: Sequence[Activations] = (),
    seed: int = 0,
) -> Probe:
    """A linear probe, split by episode, with its nulls.

    Ridge regression, of classes on their indicators. Labels are permuted as by
    `jostle.explain.activations.neighbours.permuted`.

    Args:
        activations: of a layer.
        of: ``condition``, ``action``, ``step``, ``value``, or a draw's name.
        classes: read classes, not numbers; None: as the labels are texts, themes or whole-numbered actions.
        folds: of episodes.
        permutations: R.
        untrained: the same steps' activations in untrained networks.
        seed: of splits and permutations.

    Raises:
        ConfigError: fewer than four episodes, or labels that do not vary.
    """
    labels = activations.labels(of)
    known = np.ones(len(labels), np.bool_) if labels.dtype.kind not in "f" else np.isfinite(labels)
    rows = np.flatnonzero(known)
    some, labels = activations.only(rows), labels[rows]
    episodes = len(np.unique(some.episode))
    if episodes < 4:
        raise ConfigError(f"a probe of {episodes} episodes proves nothing: record four at least, better twenty.")
    if len(np.unique(labels)) < 2:
        raise ConfigError(f"'{of}' is the same at all steps, so that there is nothing to read: let it vary.")
    if classes is None:
        classes = labels.dtype.kind in "USbO" or of in ("theme", "level_seed") or (
            of == "action" and labels.dtype.kind in "iu"
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    every = [labels, *(permuted(labels, some.episode, rng) for _ in range(permutations))]
    scores = _scores(some, every, classes=classes, folds=folds, seed=seed)
    fresh = [
        _scores(other.only(rows), [labels], classes=classes, folds=folds, seed=seed)[0].point for other in untrained
    ]
    kind = "balanced accuracy" if classes else "R²"
    chance = 1 / len(np.unique(labels)) if classes else 0.0
    null = np.array([s.point for s in scores[1:]], np.float64)
    return Probe(some.policy, some.layer, of, scores[0], kind, null, np.array(fresh, np.float64), chance, episodes)


def probe_layers(layers: Sequence[Activations], of: str, **options: Any) -> Probes:
    """`probe` of each of several layers."""
    return Probes([probe(each, of, **options) for each in layers])


def _scores(
    some: Activations, every: list[Shaped[np.ndarray, "B"]], *, classes: bool, folds: int, seed: int
) -> list[Interval]:
    """Of several versions of the labels, which share their splits and decompositions."""
    if not classes:
        y = np.stack([np.asarray(labels, np.float64) for labels in every], 1)
        found, means = out_of_fold(some.values, y, some.episode, folds=folds, seed=seed)
        return [
            _r_squared(y[:, c], found[:, c], means[:, c], some.episode, seed, resample=c == 0)
            for c in range(len(every))
        ]
    names, first = np.unique(every[0], return_inverse=True)
    codes = [np.searchsorted(names, labels) if c else first for c, labels in enumerate(every)]
    y = np.concatenate([np.eye(len(names))[code] for code in codes], 1)
    found = out_of_fold(some.values, y, some.episode, folds=folds, seed=seed)[0]
    guesses = found.reshape(len(found), len(every), len(names)).argmax(-1)
    return [
        _balanced(np.asarray(codes[c]), guesses[:, c], some.episode, seed, resample=c == 0) for c in range(len(every))
    ]


def _r_squared(
    y: Float[np.ndarray, "B"],
    found: Float[np.ndarray, "B"],
    mean: Float[np.ndarray, "B"],
    episode: Int[np.ndarray, "B"],
    seed: int,
    *,
    resample: bool,
) -> Interval:
    """1 − Σ(y − ŷ)² / Σ(y − ȳ)², ȳ the mean of the training episodes; episodes resampled."""
    place = np.unique(episode, return_inverse=True)[1]
    wrong, whole = (np.bincount(place, weights=(y - other) ** 2) for other in (found, mean))
    point = 1 - wrong.sum() / whole.sum()
    if not resample:
        return Interval(float(point), np.nan, np.nan, 0.95)
    picked = np.random.default_rng(seed).integers(len(wrong), size=(RESAMPLES, len(wrong)))
    again = 1 - wrong[picked].sum(1) / np.maximum(whole[picked].sum(1), 1e-12)
    low, high = np.quantile(again, [0.025, 0.975])
    return Interval(float(point), float(low), float(high), 0.95)


def _balanced(
    codes: Int[np.ndarray, "B"],
    guesses: Int[np.ndarray, "B"],
    episode: Int[np.ndarray, "B"],
    seed: int,
    *,
    resample: bool,
) -> Interval:
    """Mean over the classes of the share of its steps that are told; episodes resampled."""
    place, count = np.unique(episode, return_inverse=True)[1], int(codes.max()) + 1
    episodes = int(place.max()) + 1
    right, all_ = (np.zeros((episodes, count)) for _ in range(2))
    np.add.at(all_, (place, codes), 1)
    np.add.at(right, (place, codes), codes == guesses)
    point = float((right.sum(0) / np.maximum(all_.sum(0), 1)).mean())
    if not resample:
        return Interval(point, np.nan, np.nan, 0.95)
    picked = np.random.default_rng(seed).integers(episodes, size=(RESAMPLES, episodes))
    hits, total = right[picked].sum(1), all_[picked].sum(1)
    with np.errstate(invalid="ignore"):
        again = np.nanmean(np.where(total > 0, hits / np.where(total > 0, total, 1.0), np.nan), axis=1)
    low, high = np.quantile(again, [0.025, 0.975])
    return Interval(point, float(low), float(high), 0.95)
