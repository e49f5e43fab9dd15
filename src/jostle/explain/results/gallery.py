"""One figure of many techniques at many steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jostle.errors import ConfigError
from jostle.explain.results.figures import SIGNED, UNSIGNED
from jostle.explain.results.maps import Maps
from jostle.scores.plots import INK, bare, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure


def plot_gallery(found: Sequence[Maps], *, columns: int = 6, title: str = "") -> "matplotlib.figure.Figure":
    """Rows: the pictures, then a technique each, then the saliency of the pictures alone. What failed is in red.

    Every map has a scale of its own, so that techniques in different units can stand together.

    Args:
        found: maps of the same steps.
        columns: steps, at most.
        title: of the figure.

    Raises:
        ConfigError: there are no maps, or ones of different steps.
    """
    if not found or len({tuple(maps.labels) for maps in found}) > 1:
        raise ConfigError("a gallery is of maps of the same steps: give at least one technique, all at equal steps.")
    first = found[0]
    shown = np.linspace(0, len(first.values) - 1, min(columns, len(first.values))).round().astype(int)
    height, width = first.values.shape[1:]
    side = 0.95
    rows = len(found) + 2
    figure = new_figure(side * len(shown) + 1.7, (side * height / width + 0.04) * rows + 0.6)
    with style():
        panels = figure.subplots(rows, len(shown), squeeze=False)
        for place, step in enumerate(shown):
            panels[0, place].imshow(first.pictures[step], interpolation="nearest")
            panels[0, place].set_title(first.labels[step].replace(", ", "\n"), fontsize=6.5)
            grey = first.pictures[step].mean(-1)
            for panel, maps in zip(panels[1:-1, place], found, strict=True):
                values = maps.values[step]
                bound = float(np.abs(values).max()) or 1.0
                panel.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                panel.imshow(
                    values,
                    cmap=SIGNED if maps.signed else UNSIGNED,
                    vmin=-bound if maps.signed else 0,
                    vmax=bound,
                    alpha=np.clip(np.abs(values) / bound, 0, 1) ** 0.5 * 0.85,
                    interpolation="nearest",
                )
            panels[-1, place].imshow(first.null[step], cmap="gray", interpolation="nearest")
        names = ["picture", *(_named(maps) for maps in found), "picture alone (null)"]
        failed = [False, *(maps.failed is not None for maps in found), False]
        for panel, name, bad in zip(panels[:, 0], names, failed, strict=True):
            colour = "#B00020" if bad else INK
            panel.set_ylabel(
                f"{name}\nFAILED" if bad else name, fontsize=7, rotation=0, ha="right", va="center", color=colour
            )
        for panel in panels.ravel():
            panel.set(xticks=[], yticks=[])
            bare(panel, keep=())
        figure.suptitle(title, fontsize=9, color=INK)
    return figure


def _named(maps: Maps) -> str:
    return f"{maps.method},\n{maps.target}"
