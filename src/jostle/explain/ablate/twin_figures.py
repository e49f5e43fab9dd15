"""Figures of twin worlds."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jostle.scores.plots import COLOURS, FAINT, INK, bare, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure


def plot_patching(found: Any) -> "matplotlib.figure.Figure":
    """Of `Patching`."""
    count = len(found.parts)
    figure = new_figure(6.2, 1.2 + 0.34 * count)
    with style():
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.4, 1])
        for row in range(count):
            left.barh(row, found.share[row], color=COLOURS[0], height=0.6)
            null = found.null[row][np.isfinite(found.null[row])]
            if len(null):
                label = "random directions (null)" if row == count - 1 else None
                left.plot(null, np.full(len(null), row), "|", color=INK, ms=10, mew=1.4, label=label)
            if np.isfinite(found.distance[row]):
                right.barh(row, found.distance[row], color=COLOURS[2], height=0.6)
        left.axvline(1, color=FAINT, lw=1.4, zorder=0)
        left.set_yticks(range(count), found.parts, fontsize=8.5)
        left.set_ylim(count - 0.5, -0.5)
        left.set_xlabel("share of the change of the decision", fontsize=8.5)
        right.set_xlabel("distance of the worlds\n(1: of different steps)", fontsize=8.5)
        for panel in (left, right):
            panel.tick_params(axis="y", length=0)
            panel.tick_params(axis="x", labelsize=7.5)
            bare(panel, keep=("bottom",))
        if np.isfinite(found.null).any():
            figure.legend(loc="outside lower center", frameon=False, fontsize=7.5)
        told = f"{found.env}, {found.change}: KL {found.change_of_policy.mean():.3g}"
        figure.suptitle(told, fontsize=9.5)
    return figure


def plot_unit_patching(found: Any, *, most: int = 24) -> "matplotlib.figure.Figure":
    """Of `UnitPatching`."""
    order = np.argsort(-np.abs(found.share), kind="stable")[:most]
    figure = new_figure(4.8, 2.5)
    marked = set(found.found)
    with style():
        panel = figure.subplots()
        colours = [COLOURS[1] if int(found.units[u]) in marked else FAINT for u in order]
        panel.bar(range(len(order)), found.share[order], color=colours, width=0.75)
        panel.axhline(0, color=INK, lw=0.8)
        panel.set_xticks(range(len(order)), [str(found.units[u]) for u in order], fontsize=7, rotation=90)
        panel.set_xlabel(f"unit of {found.layer} (coloured: p ≤ 0.05)", fontsize=9)
        panel.set_ylabel("share of the change", fontsize=9)
        panel.tick_params(axis="y", labelsize=8)
        joint = "" if not np.isfinite(found.together) else f"; together {found.together:.2f}"
        panel.set_title(f"{found.change}{joint}", fontsize=9.5, loc="left")
        bare(panel)
    return figure
