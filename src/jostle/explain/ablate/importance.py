"""Is a unit with large weights an important one? Sizes of weights against what ablation of the same units costs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from jostle.errors import ConfigError
from jostle.explain.ablate.units import TOLERANCE, UnitAblation
from jostle.explain.results.kept import file_name, keep
from jostle.explain.results.similarity import spearman
from jostle.explain.weights.tensors import WeightTensor, weight_tensors
from jostle.scores.intervals import Interval
from jostle.view import PolicyView, as_view

if TYPE_CHECKING:
    import matplotlib.figure

SHUFFLES = 2000


@dataclass(frozen=True)
class MagnitudeImportance:
    """Rank correlation over U units.

    Attributes:
        policy, layer: whose units.
        weights: the parameter whose rows they are.
        magnitude: L2 norm of what comes into each [U].
        cost: what its ablation costs [U].
        correlation: Spearman's ρ with the interval of resampled units; NaN where nothing costs anything.
        p: two-sided, the share of shuffled units with as large a |ρ|.
    """

    policy: str
    layer: str
    weights: str
    magnitude: Float[np.ndarray, "U"]
    cost: Float[np.ndarray, "U"]
    correlation: Interval
    p: float

    def plot(self) -> "matplotlib.figure.Figure":
        """A dot a unit."""
        from jostle.explain.ablate.figures import plot_importance_of_size

        return plot_importance_of_size(self)

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {**vars(self), "correlation": self.correlation.as_dict()}
        return keep(folder, name or file_name(f"magnitude {self.layer}"), data, self.plot)


def magnitude_importance(
    policy: Any, ablation: UnitAblation, *, weights: str | None = None, seed: int = 0, **view: Any
) -> MagnitudeImportance:
    """Rank correlation of units' weights with what `jostle.explain.ablate.unit_ablation` found for them.

    Args:
        policy: the policy that was ablated.
        ablation: of all units of a layer, or of at least four.
        weights: the layer whose rows the units are; None: the ablated one's own, or the nearest before it with as many.
        seed: of shuffles and resampling.
        **view: further arguments of `jostle.as_view`.

    Raises:
        ConfigError: too few units, or no weights of as many rows.
    """
    seen = as_view(policy, **view)
    if len(ablation.units) < 4:
        raise ConfigError(f"{len(ablation.units)} units have no correlation to speak of: ablate at least four.")
    tensor = _rows_of(seen, ablation, weights)
    size = np.linalg.norm(tensor.flat, axis=1)[ablation.units]
    cost = ablation.mean
    if not cost.max() > TOLERANCE or np.ptp(size) == 0:
        nothing = Interval(float("nan"), float("nan"), float("nan"), 0.95)
        return MagnitudeImportance(seen.name, ablation.layer, tensor.name, size, cost, nothing, 1.0)
    rng = np.random.default_rng(seed)
    rho = spearman(size, cost)
    shuffled = _correlations(np.tile(size, (SHUFFLES, 1)), rng.permuted(np.tile(cost, (SHUFFLES, 1)), axis=1))
    picked = rng.integers(len(size), size=(SHUFFLES, len(size)))
    again = _correlations(size[picked], cost[picked])
    low, high = np.nanquantile(again, [0.025, 0.975])
    p = float((1 + (np.abs(shuffled) >= abs(rho) - 1e-12).sum()) / (1 + SHUFFLES))
    found = Interval(rho, float(low), float(high), 0.95)
    return MagnitudeImportance(seen.name, ablation.layer, tensor.name, size, cost, found, p)


def _correlations(a: Float[np.ndarray, "K U"], b: Float[np.ndarray, "K U"]) -> Float[np.ndarray, "K"]:
    """Spearman's ρ row by row; NaN where nothing varies."""
    x, y = (rankdata(each, axis=1) for each in (a, b))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    scale = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return np.where(scale > 0, (x * y).sum(1) / np.where(scale > 0, scale, 1.0), np.nan)


def _rows_of(view: PolicyView, ablation: UnitAblation, weights: str | None) -> WeightTensor:
    tensors = weight_tensors(view.module)
    most = int(ablation.units.max()) + 1
    if weights is not None:
        for each in tensors:
            if weights in (each.layer, each.name) and len(each.values) >= most:
                return each
        raise ConfigError(f"{view.name} has no weights '{weights}' with {most} rows: choose another layer.")
    order = view.layers()
    place = order.index(ablation.layer) if ablation.layer in order else -1
    before = [t for t in tensors if t.layer in order and order.index(t.layer) <= place and len(t.values) == most]
    inside = [t for t in tensors if t.layer.startswith(f"{ablation.layer}.") and len(t.values) == most]
    if not before and not inside:
        raise ConfigError(
            f"no weights of {view.name} before '{ablation.layer}' have {most} rows: say which by weights=…."
        )
    return (inside or before)[-1]
