"""Activations in the plane, by principal components or t-SNE, fitted on one condition with the others put in."""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from jostle.errors import ConfigError, closest
from jostle.explain.activations.gathering import Activations
from jostle.explain.activations.pca import fit_pca
from jostle.explain.results.kept import file_name, keep
from jostle.scores.differences import Difference, contrast

if TYPE_CHECKING:
    import matplotlib.figure

Method = Literal["pca", "tsne"]
SPLITS = 20
NEIGHBOURS = 10


@dataclass(frozen=True)
class Embedding:
    """B steps in the plane.

    Attributes:
        activations: of what.
        method: ``pca`` or ``tsne``.
        fit_on: the condition that the plane was made from; None: all steps.
        points: [B, 2].
        fitted: which of them made the plane [B].
        numbers: of ``pca`` the share of variance; of ``tsne`` the share of nearest neighbours that stay neighbours,
            beside that of chance.
        distances: of ``pca`` fitted on one condition: condition -> how far each of its episodes lies beyond half of the
            fitted episodes (`jostle.explain.activations.pca.Components.beyond`); of the fitted condition held-out ones.
    """

    activations: Activations
    method: str
    fit_on: str | None
    points: Float[np.ndarray, "B 2"]
    fitted: Bool[np.ndarray, "B"]
    numbers: dict[str, Any]
    distances: dict[str, Float[np.ndarray, "_"]] = field(default_factory=dict)

    def outside(self, condition: str) -> Difference:
        """How far a condition's episodes lie beyond the fitted ones, along the plane and off it (y), against held-out
        ones of the fitted condition (x).

        Raises:
            ConfigError: this is no PCA fitted on one condition of three episodes or more, or there is no such other.
        """
        if condition not in self.distances or self.fit_on is None:
            raise ConfigError(
                f"nothing is known of '{condition}': fit by method='pca' on another condition of three episodes."
            )
        return contrast([self.distances[self.fit_on], self.distances[condition]], [-1.0, 1.0])

    def plot(self, colour: str = "condition") -> "matplotlib.figure.Figure":
        """The plane, coloured by ``condition``, ``step``, ``action``, ``value``, ``episode``, or a draw's name."""
        from jostle.explain.activations.figures import plot_embedding

        return plot_embedding(self, colour)

    def save(self, folder: str | Path, name: str | None = None, *, colour: str = "condition") -> list[Path]:
        """Write ``NAME.json``, ``NAME.png`` and ``NAME.npz``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        acts = self.activations
        data = {
            "policy": acts.policy, "layer": acts.layer, "method": self.method, "fit on": self.fit_on,
            "steps": len(acts), "numbers": self.numbers, "distances": self.distances,
        }  # fmt: skip
        arrays = {"points": self.points, "fitted": self.fitted, "episode": acts.episode, "step": acts.step}
        return keep(folder, name or file_name(f"{self.method} {acts.layer}"), data, lambda: self.plot(colour), arrays)


def embed(
    activations: Activations,
    method: Method = "pca",
    *,
    fit_on: str | None = None,
    perplexity: float = 30.0,
    seed: int = 0,
) -> Embedding:
    """Activations in the plane.

    Args:
        activations: as `jostle.explain.activations.gather` gives them.
        method: ``pca``, or ``tsne`` (openTSNE, which can put further points into a plane that is there).
        fit_on: the condition that makes the plane, into which the others are put; None: all steps.
        perplexity: of t-SNE; no more than a third of the steps.
        seed: of t-SNE, and of splits of episodes.

    Raises:
        ConfigError: no such condition or method, too few steps, or openTSNE is not installed.
    """
    if method not in ("pca", "tsne"):
        raise ConfigError(f"method='{method}' is unknown; {closest(str(method), ['pca', 'tsne'])}")
    rows = np.arange(len(activations)) if fit_on is None else activations.of(fit_on)
    fitted = np.zeros(len(activations), np.bool_)
    fitted[rows] = True
    x = activations.values
    if len(rows) and not np.ptp(x[rows], axis=0).any():
        raise ConfigError(f"'{activations.layer}' puts out the same at all steps: there is nothing to place.")
    if method == "pca":
        plane = fit_pca(x[rows], 2)
        numbers: dict[str, Any] = {"share": plane.share}
        return Embedding(
            activations, method, fit_on, plane.project(x), fitted, numbers, _distances(activations, fit_on, seed)
        )
    if len(rows) < 8:
        raise ConfigError(f"t-SNE of {len(rows)} steps shows nothing: give eight at least.")
    points = _tsne(x, fitted, min(perplexity, (len(rows) - 1) / 3), seed)
    near = min(NEIGHBOURS, len(rows) - 1)
    kept = _neighbours_kept(x[rows], points[rows], near)
    numbers = {"neighbours kept": kept, "neighbours kept (chance)": near / (len(rows) - 1)}
    return Embedding(activations, method, fit_on, points, fitted, numbers)


def _distances(activations: Activations, fit_on: str | None, seed: int) -> dict[str, Float[np.ndarray, "_"]]:
    """Of every episode, the mean over planes of half of the fitted condition's episodes, itself not among them."""
    if fit_on is None:
        return {}
    own = np.unique(activations.episode[activations.of(fit_on)])
    if len(own) < 3:
        return {}
    rng = np.random.default_rng(seed)
    every = np.unique(activations.episode)
    total, count = np.zeros(len(every)), np.zeros(len(every))
    for _ in range(SPLITS):
        half = rng.permutation(own)[: len(own) // 2 + 1]
        x = activations.values[np.isin(activations.episode, half)]
        plane = fit_pca(x, min(2, *x.shape))
        for place in np.flatnonzero(~np.isin(every, half)):
            total[place] += plane.beyond(activations.values[activations.episode == every[place]])
            count[place] += 1
    mean = total / np.maximum(count, 1)
    found = {}
    for name in dict.fromkeys(activations.condition):
        episodes = np.unique(activations.episode[activations.of(name)])
        places = np.isin(every, episodes) & (count > 0)
        found[name] = mean[places]
    return found


def _tsne(
    x: Float[np.ndarray, "B F"], fitted: Bool[np.ndarray, "B"], perplexity: float, seed: int
) -> Float[np.ndarray, "B 2"]:
    try:
        opentsne: Any = importlib.import_module("openTSNE")
    except ImportError as error:
        raise ConfigError('t-SNE needs openTSNE: pip install "jostle[lab]".') from error
    made = opentsne.TSNE(
        perplexity=perplexity, initialization="pca", random_state=seed, n_jobs=1, negative_gradient_method="bh"
    ).fit(x[fitted])
    points = np.empty((len(x), 2))
    points[fitted] = np.asarray(made)
    if not fitted.all():
        points[~fitted] = np.asarray(made.transform(x[~fitted], perplexity=min(5.0, perplexity)))
    return points


def _neighbours_kept(x: Float[np.ndarray, "B F"], points: Float[np.ndarray, "B 2"], near: int) -> float:
    before, after = (np.asarray(cKDTree(each).query(each, near + 1)[1])[:, 1:] for each in (x, points))
    return float(np.mean([len(set(a) & set(b)) / near for a, b in zip(before, after, strict=True)]))
