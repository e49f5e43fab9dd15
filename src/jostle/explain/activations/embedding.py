"""Activations in the plane, by principal components or t-SNE, fitted on one condition with the others put in."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from jostle.errors import ConfigError, closest
from jostle.explain.activations.gathering import Activations
from jostle.explain.activations.pca import fit_pca
from jostle.explain.results.kept import file_name, keep

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
        numbers: of ``pca`` the share of variance; ``outside NAME``, how far a condition lies from the plane (mean
            squared distance over the fitted variance), beside ``outside (null)``, the same of held-out episodes of the
            fitted condition, [mean, 95% quantile]. Of ``tsne`` the share of nearest neighbours that stay neighbours,
            beside that of chance.
    """

    activations: Activations
    method: str
    fit_on: str | None
    points: Float[np.ndarray, "B 2"]
    fitted: Bool[np.ndarray, "B"]
    numbers: dict[str, Any]

    def outside(self, condition: str) -> bool:
        """Whether a condition lies further from the plane than held-out episodes of the fitted one do (95%).

        Raises:
            ConfigError: this is no PCA fitted on one condition of two episodes or more.
        """
        if f"outside {condition}" not in self.numbers or "outside (null)" not in self.numbers:
            raise ConfigError(
                f"nothing is known of '{condition}': fit by method='pca' on another condition, of two episodes or more."
            )
        return bool(self.numbers[f"outside {condition}"] > self.numbers["outside (null)"][1])

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
            "steps": len(acts), "numbers": self.numbers,
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
    if method == "pca":
        plane = fit_pca(x[rows], 2)
        numbers = {"share": plane.share} | _outside(activations, fit_on, seed)
        return Embedding(activations, method, fit_on, plane.project(x), fitted, numbers)
    if len(rows) < 8:
        raise ConfigError(f"t-SNE of {len(rows)} steps shows nothing: give eight at least.")
    points = _tsne(x, fitted, min(perplexity, (len(rows) - 1) / 3), seed)
    near = min(NEIGHBOURS, len(rows) - 1)
    kept = _neighbours_kept(x[rows], points[rows], near)
    numbers = {"neighbours kept": kept, "neighbours kept (chance)": near / (len(rows) - 1)}
    return Embedding(activations, method, fit_on, points, fitted, numbers)


def _outside(activations: Activations, fit_on: str | None, seed: int) -> dict[str, Any]:
    """Residuals of the other conditions, and of held-out episodes of the fitted one, from planes of half of these."""
    if fit_on is None:
        return {}
    episodes = np.unique(activations.episode[activations.of(fit_on)])
    if len(episodes) < 2:
        return {}
    rng, held = np.random.default_rng(seed), []
    others: dict[str, list[float]] = {name: [] for name in dict.fromkeys(activations.condition) if name != fit_on}
    for _ in range(SPLITS):
        half = rng.permutation(episodes)[: max(1, len(episodes) // 2)]
        inside = np.isin(activations.episode, half)
        own = np.isin(activations.episode, episodes) & ~inside
        if inside.sum() < 2:
            continue
        plane = fit_pca(activations.values[inside], min(2, *activations.values[inside].shape))
        # One held-out episode at a time, to which an episode of another condition is compared.
        held += [
            plane.residual(activations.values[own & (activations.episode == e)]) for e in set(episodes) - set(half)
        ]
        for name, found in others.items():
            found.append(plane.residual(activations.values[activations.of(name)]))
    if not held:
        return {}
    null = [float(np.mean(held)), float(np.quantile(held, 0.95))]
    return {f"outside {name}": float(np.mean(found)) for name, found in others.items()} | {"outside (null)": null}


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
