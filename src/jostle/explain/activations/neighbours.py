"""Entanglement of classes in a layer: the soft nearest-neighbour loss (Frosst, Papernot and Hinton 2019).

SNNL = −1/N Σ_i log [ Σ_{j≠i, y_j=y_i} e^{−d_ij/T} / Σ_{k≠i} e^{−d_ij/T} ], d the squared Euclidean distance. Higher is
more entangled: a step's neighbours are of other classes. Here it is the least over T, so that the scale of the numbers
does not matter. Steps of the same episode, which are alike for another reason, are no neighbours of each other.

Their code adds ε = 10⁻⁵ to the sum below and again within the logarithm; here ε stands within the logarithm alone,
since sums of exponentials are formed without underflow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from jostle.errors import ConfigError, closest
from jostle.explain.activations.gathering import Activations
from jostle.explain.results.kept import file_name, keep

if TYPE_CHECKING:
    import matplotlib.figure

EPSILON = 1e-5
GRID = 37
"""Temperatures that are tried, from 10⁻³ to 10³ mean distances."""
Metric = Literal["euclidean", "cosine"]


def soft_nearest_neighbours(
    distance: Float[np.ndarray, "N N"],
    same: Bool[np.ndarray, "N N"],
    allowed: Bool[np.ndarray, "N N"],
    temperature: float,
    epsilon: float = EPSILON,
) -> float:
    """The loss at one temperature, the mean over the steps that have an allowed neighbour of their own class.

    Args:
        distance: d.
        same: pairs of one class.
        allowed: pairs that are neighbours; the diagonal is left out whatever it says.
        temperature: T.
        epsilon: ε.
    """
    pairs = allowed & ~np.eye(len(distance), dtype=np.bool_)
    logits = np.where(pairs, -distance / temperature, -np.inf)
    own = np.where(same, logits, -np.inf)
    rows = np.isfinite(own).any(1)
    log_share = logsumexp(own[rows], axis=1) - logsumexp(logits[rows], axis=1)
    return float(-np.log(epsilon + np.exp(log_share)).mean())


def least_over_temperature(
    distance: Float[np.ndarray, "N N"],
    classes: Int[np.ndarray, "K N"],
    allowed: Bool[np.ndarray, "N N"],
    epsilon: float = EPSILON,
) -> tuple[Float[np.ndarray, "K"], Float[np.ndarray, "K"]]:
    """The least loss over T and this T, of K labellings of the same steps, which share their exponentials.

    Args:
        distance: d.
        classes: numbers from 0.
        allowed: pairs that are neighbours.
        epsilon: ε.
    """
    size, kinds = len(distance), int(classes.max()) + 1
    pairs = allowed & ~np.eye(size, dtype=np.bool_)
    scale = float(distance[pairs].mean()) or 1.0
    one_hot = (classes[:, :, None] == np.arange(kinds)).transpose(1, 0, 2).reshape(size, -1).astype(np.float64)

    def own(weights: Float[np.ndarray, "N N"]) -> Float[np.ndarray, "K N"]:
        """The weight of each step's own class, in every labelling."""
        sums = (weights @ one_hot).reshape(size, len(classes), kinds)
        return np.asarray(np.take_along_axis(sums, classes.T[:, :, None], 2)[:, :, 0].T)

    partnered = own(pairs.astype(np.float64)) > 0
    best, at = np.full(len(classes), np.inf), np.full(len(classes), np.nan)
    for temperature in scale * np.logspace(-3, 3, GRID):
        logits = np.where(pairs, -distance / temperature, -np.inf)
        top = logits.max(1, keepdims=True)
        weights = np.exp(logits - np.where(np.isfinite(top), top, 0.0))
        share = own(weights / np.maximum(weights.sum(1, keepdims=True), 1e-300))
        loss = np.where(partnered, -np.log(epsilon + share), 0.0).sum(1) / partnered.sum(1)
        better = loss < best
        best, at = np.where(better, loss, best), np.where(better, temperature, at)
    return best, at


@dataclass(frozen=True)
class Entanglement:
    """How entangled the classes of one layer are.

    Attributes:
        policy, layer, by: whose, and what the classes are.
        loss: the least over T.
        temperature: this T, over the mean distance.
        null: losses under permuted labels [R].
        chance: log((N − 1) / (n_c − 1)), what T = ∞ gives, averaged over the steps; no episode is left out there.
        untrained: losses of untrained networks [U].
        steps, classes: how many.
    """

    policy: str
    layer: str
    by: str
    loss: float
    temperature: float
    null: Float[np.ndarray, "R"]
    chance: float
    untrained: Float[np.ndarray, "U"]
    steps: int
    classes: int

    @property
    def ratio(self) -> float:
        """The loss over its mean under permuted labels: 1 says that classes are mixed like cards."""
        return self.loss / float(self.null.mean())

    @property
    def p(self) -> float:
        """The share of permuted labels that are as well separated, the true ones counted among them."""
        return float((1 + (self.null <= self.loss + 1e-12).sum()) / (1 + len(self.null)))

    def plot(self) -> "matplotlib.figure.Figure":
        """The loss among its nulls."""
        from jostle.explain.activations.figures import plot_entanglement

        return plot_entanglement([self])

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {**vars(self), "ratio": self.ratio, "p": self.p}
        return keep(folder, name or file_name(f"entanglement {self.layer} {self.by}"), data, self.plot)


def entanglement(
    activations: Activations,
    by: str = "condition",
    *,
    bins: int = 4,
    most: int = 600,
    permutations: int = 100,
    untrained: Sequence[Activations] = (),
    metric: Metric = "euclidean",
    seed: int = 0,
) -> Entanglement:
    """The soft nearest-neighbour loss of classes in a layer, beside its nulls.

    Labels that are one for each episode are permuted between episodes, others between steps.

    Args:
        activations: as `jostle.explain.activations.gather` gives them.
        by: the classes: ``condition``, ``action``, ``step``, ``value``, or a draw's name.
        bins: numbers with more different values than that are cut into so many classes of equal size.
        most: steps at most, at equal distances.
        permutations: R.
        untrained: the same steps' activations in untrained networks.
        metric: ``euclidean`` (squared) or ``cosine`` (1 − cos).
        seed: of permutations.

    Raises:
        ConfigError: a single class, or classes without pairs of steps of different episodes.
    """
    if metric not in ("euclidean", "cosine"):
        raise ConfigError(f"metric='{metric}' is unknown; {closest(str(metric), ['euclidean', 'cosine'])}")
    if permutations < 1:
        raise ConfigError(f"permutations={permutations} cannot be used: it must be at least 1.")
    rows = np.linspace(0, len(activations) - 1, min(most, len(activations))).round().astype(np.int64)
    some = activations.only(rows)
    classes = classes_of(some.labels(by), bins)
    known = classes >= 0
    some, classes = some.only(np.flatnonzero(known)), classes[known]
    if len(np.unique(classes)) < 2:
        raise ConfigError(f"all steps are of one class of '{by}', so that nothing can be entangled: choose another.")
    allowed = some.episode[:, None] != some.episode[None]
    same = classes[:, None] == classes[None]
    if not (same & allowed).any():
        raise ConfigError(f"no two episodes share a class of '{by}': record more episodes, or choose fewer bins.")
    distance = _distances(some.values, metric)
    rng = np.random.default_rng(seed)
    every = np.stack([classes, *(permuted(classes, some.episode, rng) for _ in range(permutations))])
    losses, temperatures = least_over_temperature(distance, every, allowed)
    fresh = []
    for other in untrained:
        theirs = other.only(rows).only(np.flatnonzero(known)).values
        fresh.append(float(least_over_temperature(_distances(theirs, metric), classes[None], allowed)[0][0]))
    counts = np.bincount(classes)[classes]
    chance = float(np.log((len(classes) - 1) / np.maximum(counts - 1, 1)).mean())
    scale = float(distance[allowed].mean()) or 1.0
    return Entanglement(
        policy=some.policy,
        layer=some.layer,
        by=by,
        loss=float(losses[0]),
        temperature=float(temperatures[0]) / scale,
        null=losses[1:],
        chance=chance,
        untrained=np.array(fresh, np.float64),
        steps=len(classes),
        classes=len(np.unique(classes)),
    )


def classes_of(labels: Shaped[np.ndarray, "B"], bins: int) -> Int[np.ndarray, "B"]:
    """Numbers 0, 1, … for labels; many different numbers are cut into classes of equal size; −1 for NaN."""
    if labels.dtype.kind in "fiu" and len(np.unique(labels[np.isfinite(labels.astype(float))])) > bins:
        values = labels.astype(np.float64)
        real = np.isfinite(values)
        edges = np.quantile(values[real], np.linspace(0, 1, bins + 1)[1:-1])
        return np.where(real, np.searchsorted(edges, values, "right"), -1).astype(np.int64)
    if labels.dtype.kind == "f":
        real = np.isfinite(labels)
        found = np.full(len(labels), -1, np.int64)
        found[real] = np.unique(labels[real], return_inverse=True)[1]
        return found
    return np.asarray(np.unique(labels, return_inverse=True)[1], np.int64)


def permuted(
    classes: Shaped[np.ndarray, "B"], episode: Int[np.ndarray, "B"], rng: np.random.Generator
) -> Shaped[np.ndarray, "B"]:
    """Labels dealt anew: between episodes where each has one label, else between steps."""
    episodes, first, place = np.unique(episode, return_index=True, return_inverse=True)
    if (classes == classes[first][place]).all() and len(episodes) > 1:
        return np.asarray(rng.permutation(classes[first])[place])
    return np.asarray(rng.permutation(classes))


def _distances(values: Float[np.ndarray, "B F"], metric: str) -> Float[np.ndarray, "B B"]:
    if metric == "cosine":
        size = np.linalg.norm(values, axis=1, keepdims=True)
        unit = values / np.where(size > 0, size, 1.0)
        return np.asarray(1 - unit @ unit.T)
    return np.asarray(cdist(values, values, "sqeuclidean"))


def numbers(found: Sequence[Entanglement]) -> dict[str, Any]:
    """Layer -> ratio, for `jostle.explain.results.comparison.compare_numbers` over seeds."""
    return {f"{each.layer} by {each.by}": each.ratio for each in found}
