"""Figures of what techniques find: labelled, readable at the width of a column, and for the colour-blind too."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jostle.scores.plots import COLOURS, FAINT, INK, bare, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure

SIGNED, UNSIGNED = "PuOr", "viridis"
"""Colour maps whose ends the colour-blind can tell apart."""


def plot_maps(maps: Any, *, columns: int = 4) -> "matplotlib.figure.Figure":
    """Of `Maps`. Rows: the pictures, the maps over them, the saliency of the pictures alone; at most so many steps."""
    shown = np.linspace(0, len(maps.values) - 1, min(columns, len(maps.values))).round().astype(int)
    height, width = maps.values.shape[1:]
    side = min(1.7, 6.4 / len(shown))
    lines = 1 + maps.title.count("\n") + 1
    figure = new_figure(max(3.4, side * len(shown) + 1.0), 3 * side * height / width + 0.3 * lines + 0.5)
    with style():
        panels = figure.subplots(3, len(shown), squeeze=False)
        bound = float(np.abs(maps.values[shown]).max()) or 1.0
        low = -bound if maps.signed else 0.0
        drawn: Any = None
        for place, row in enumerate(shown):
            grey = maps.pictures[row].mean(-1)
            panels[0, place].imshow(maps.pictures[row], interpolation="nearest")
            panels[1, place].imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            drawn = panels[1, place].imshow(
                maps.values[row], cmap=SIGNED if maps.signed else UNSIGNED, vmin=low, vmax=bound, alpha=_alpha(
                    maps.values[row], bound
                ), interpolation="nearest",
            )  # fmt: skip
            panels[2, place].imshow(maps.null[row], cmap="gray", interpolation="nearest")
            label = maps.labels[row].replace(", step", ",\nstep").replace(", episode", ",\nepisode")
            panels[0, place].set_title(label, fontsize=8)
            panels[2, place].set_xlabel(f"ρ = {maps.like_null[row]:.2f}", fontsize=8)
        for panel in panels.ravel():
            panel.set(xticks=[], yticks=[])
            bare(panel, keep=())
        for panel, name in zip(panels[:, 0], ("picture", maps.method, "picture alone\n(null)"), strict=True):
            panel.set_ylabel(name, fontsize=8.5)
        bar = figure.colorbar(drawn, ax=panels[1].tolist(), fraction=0.05, pad=0.01)
        bar.ax.tick_params(labelsize=7)
        bar.locator = _few()
        bar.update_ticks()
        figure.suptitle(maps.title, fontsize=10, color="#B00020" if maps.failed else INK)
    return figure


def plot_importance(found: Any, *, most: int = 20) -> "matplotlib.figure.Figure":
    """Of an `Importance`: bars of the mean absolute numbers with the middle half of the steps, the greatest on top."""
    order = np.argsort(-found.mean)[:most]
    figure = new_figure(4.2, 1.0 + 0.26 * len(order) + 0.2 * found.title.count("\n"))
    sizes = np.abs(found.values)
    with style():
        panel = figure.subplots()
        for place, feature in enumerate(order):
            quarter, three = np.quantile(sizes[:, feature], [0.25, 0.75])
            panel.barh(place, found.mean[feature], color=COLOURS[0], height=0.6)
            panel.plot([quarter, three], [place, place], color=INK, lw=1.2)
        panel.set_yticks(range(len(order)), [found.names[f] for f in order], fontsize=8.5)
        panel.set_ylim(len(order) - 0.4, -0.6)
        panel.set_xlabel(f"change of {found.target}, mean size", fontsize=9)
        panel.grid(axis="x", color=FAINT, lw=0.8)
        panel.set_axisbelow(True)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=8)
        panel.locator_params(axis="x", nbins=5)
        bare(panel, keep=("bottom",))
        panel.set_title(found.title, fontsize=9.5, loc="left", color="#B00020" if found.failed else INK)
    return figure


def _alpha(values: Float[np.ndarray, "H W"], bound: float) -> Float[np.ndarray, "H W"]:
    """The stronger, the less of the picture shows through."""
    return np.asarray(np.clip(np.abs(values) / bound, 0, 1) ** 0.5 * 0.85)


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(3)
