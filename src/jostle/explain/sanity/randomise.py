"""The test of Adebayo et al. (2018): maps must change when the weights are randomised."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from jostle.errors import ConfigError, closest
from jostle.explain.asking import Subject
from jostle.explain.results import Maps
from jostle.explain.results.similarity import alike_in_gradients, spearman, ssim
from jostle.explain.sanity.layers import layers_used
from jostle.explain.weights.fresh import refresh

if TYPE_CHECKING:
    import matplotlib.figure

ALIKE = 0.5
"""Mean rank correlation of absolute maps, above which a map of random weights is the same picture as the policy's."""
Method = Callable[[Subject], Maps]


@dataclass(frozen=True)
class Randomisation:
    """How alike a technique's maps stay to the policy's own, while layers get fresh weights.

    Attributes:
        method: the technique.
        mode: ``cascade``: each layer and all above it, from the output down; ``independent``: each layer alone.
        layers: L, the one next to the output first; those after which maps were made.
        signed, absolute, structure, oriented: [L, B]: Spearman's ρ of the maps, of their absolute numbers, SSIM, and
            the correlation of histograms of oriented gradients. A map whose numbers are all equal is like no other: 0.
    """

    method: str
    mode: Literal["cascade", "independent"]
    layers: list[str]
    signed: Float[np.ndarray, "L B"]
    absolute: Float[np.ndarray, "L B"]
    structure: Float[np.ndarray, "L B"]
    oriented: Float[np.ndarray, "L B"]

    @property
    def last(self) -> float:
        """Mean ρ of the absolute maps after the last layer: of a cascade, of an untrained network."""
        return float(self.absolute[-1].mean())

    @property
    def failed(self) -> str | None:
        """Why the technique fails; None where it does not. Single layers decide nothing."""
        if self.mode == "cascade" and self.last > ALIKE:
            return f"maps of random weights are alike (ρ = {self.last:.2f})"
        return None

    def plot(self) -> "matplotlib.figure.Figure":
        """The four similarities, layer by layer."""
        from jostle.explain.sanity.figures import plot_randomisation

        return plot_randomisation(self)


def randomisation(
    method: Method,
    subject: Subject,
    *,
    mode: Literal["cascade", "independent"] = "cascade",
    seed: int = 0,
    layers: list[str] | None = None,
    most: int | None = None,
    own: Maps | None = None,
) -> Randomisation:
    """Maps of a policy whose layers get fresh weights, compared with the policy's own maps. The policy is not changed.

    Args:
        method: makes maps of a subject.
        subject: the policy and its steps; their actions are explained throughout.
        mode: see `Randomisation`.
        seed: of the fresh weights.
        layers: which ones; None: all that the target depends on.
        most: layers, at least two, after which maps are made, at equal distances, the first and the last among them; a
            cascade goes through the others, too. None: all.
        own: the policy's maps, if they are there already.

    Raises:
        ConfigError: there are no weights to randomise, no such layer, or no maps.
    """
    names = layers_used(subject) if layers is None else layers
    if not names:
        raise ConfigError(f"{subject.view.name} has no weights that '{subject.target.name}' depends on.")
    own_layers = [name for name, m in subject.network.named_modules() if any(True for _ in m.parameters(recurse=False))]
    for name in names:
        if name not in own_layers:
            hint = closest(name, own_layers)
            raise ConfigError(f"{subject.view.name} has no layer '{name}' with weights of its own; {hint}")
    own = method(subject) if own is None else own
    require_maps(own)
    found, shown = [], set(range(len(names)))
    if most is not None:
        shown = set(np.linspace(0, len(names) - 1, min(max(most, 2), len(names))).round().astype(int).tolist())
    view = subject.view.clone()
    for place, layer in enumerate(names):
        if mode == "independent":
            view = subject.view.clone()
        refresh(view.module, layer, seed + place)
        if place not in shown:
            continue
        maps = method(subject.of(view))
        found.append([similarities(a, b) for a, b in zip(own.values, maps.values, strict=True)])
    signed, absolute, structure, oriented = np.moveaxis(np.array(found), -1, 0)
    kept = [name for place, name in enumerate(names) if place in shown]
    return Randomisation(own.method, mode, kept, signed, absolute, structure, oriented)


def require_maps(found: object) -> None:
    """Raises: ConfigError where a technique has found something else, as of observations that are no pictures."""
    if not isinstance(found, Maps):
        method = getattr(found, "method", "the technique")
        raise ConfigError(f"{method} gives numbers of features here and no maps, which these checks are of.")


def similarities(a: Float[np.ndarray, "H W"], b: Float[np.ndarray, "H W"]) -> tuple[float, float, float, float]:
    """Spearman's ρ of two maps, that of their absolute numbers, their SSIM, and the correlation of their histograms of
    oriented gradients; 0 where one of them is constant.
    """
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0, 0.0, 0.0, 0.0
    each = spearman(a, b), spearman(np.abs(a), np.abs(b)), ssim(a, b), alike_in_gradients(a, b)
    return tuple(0.0 if np.isnan(x) else x for x in each)  # type: ignore[return-value]
