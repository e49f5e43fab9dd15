"""Figures of maximised activations."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jostle.scores.plots import COLOURS, FAINT, bare, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure


def plot_maximised(found: Any, *, most: int = 12) -> "matplotlib.figure.Figure":
    """Of `Maximised`: the units that gain most."""
    order = np.argsort(-np.nan_to_num(found.gain, nan=-np.inf), kind="stable")[:most]
    columns = min(len(order), 6)
    rows = -(-len(order) // columns)
    figure = new_figure(max(1.25 * columns, 3.4), (1.75 + 0.3 * bool(len(found.null))) * rows + 0.5)
    with style():
        panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
        for panel, unit in zip(panels, order, strict=False):
            if found.pictures is not None:
                panel.imshow(found.pictures[unit], interpolation="nearest")
                panel.set(xticks=[], yticks=[])
                bare(panel, keep=())
            else:
                values = found.best[unit].ravel()
                panel.axhline(0, color=FAINT, lw=1)
                panel.bar(range(len(values)), values, color=COLOURS[0], width=0.75)
                panel.tick_params(labelsize=6.5)
                bare(panel)
            panel.set_title(found.names[unit], fontsize=7.5)
            told = f"{found.achieved[unit].max():.3g}\n(data {found.largest[unit]:.3g})"
            null = found.null[np.isfinite(found.null[:, unit]), unit]
            if len(null):
                told += f"\ngain {found.gain[unit]:.2g}\n(untrained {null.mean():.2g})"
            panel.set_xlabel(told, fontsize=7)
        for panel in panels[len(order) :]:
            panel.set_axis_off()
        figure.suptitle("what units put out most for, and the largest seen", fontsize=9.5)
    return figure
