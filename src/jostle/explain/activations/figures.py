"""Figures of activations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jostle.scores.plots import COLOURS, INK, bare, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure

MARKS = ("o", "s", "^", "D", "v", "P", "X")


def plot_embedding(found: Any, colour: str) -> "matplotlib.figure.Figure":
    """Of an `Embedding`."""
    labels = found.activations.labels(colour)
    figure = new_figure(4.4, 3.4)
    with style():
        panel = figure.subplots()
        kinds = len(np.unique(labels))
        few = labels.dtype.kind in "USO" or kinds <= 3 or (kinds <= len(COLOURS) and colour not in ("step", "value"))
        if few:
            for number, name in enumerate(np.unique(labels)):
                own = labels == name
                x, y = found.points[own].T
                kind: Any = {"color": COLOURS[number], "marker": MARKS[number], "label": _short(name)}
                panel.scatter(x, y, s=9, alpha=0.65, lw=0, **kind)
            panel.legend(
                frameon=False, fontsize=8, title=colour, title_fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5)
            )
        else:
            drawn = panel.scatter(
                found.points[:, 0], found.points[:, 1], s=9, c=labels.astype(float), cmap="viridis", alpha=0.75, lw=0
            )
            figure.colorbar(drawn, ax=panel).set_label(colour, fontsize=9)
        if found.method == "pca":
            share = found.numbers["share"]
            panel.set_xlabel(f"component 1 ({share[0]:.0%})", fontsize=9)
            panel.set_ylabel(f"component 2 ({share[1]:.0%})", fontsize=9)
            panel.tick_params(labelsize=8)
        else:
            panel.set(xticks=[], yticks=[])
            kept, chance = found.numbers["neighbours kept"], found.numbers["neighbours kept (chance)"]
            panel.set_xlabel(f"t-SNE; {kept:.0%} of neighbours kept (chance {chance:.0%})", fontsize=8.5)
        fitted = "" if found.fit_on is None else f", fitted on {found.fit_on}"
        panel.set_title(f"{found.activations.layer}{fitted}", fontsize=9.5, loc="left")
        bare(panel)
    return figure


def plot_entanglement(found: Sequence[Any]) -> "matplotlib.figure.Figure":
    """Of several `Entanglement`, one a row."""
    figure = new_figure(4.8, 1.2 + 0.5 * len(found))
    with style():
        panel = figure.subplots()
        for row, each in enumerate(found):
            low, high = np.quantile(each.null, [0.025, 0.975])
            panel.plot([low, high], [row, row], color=INK, lw=7, alpha=0.25, solid_capstyle="butt",
                       label="permuted labels (95%)" if row == 0 else None)  # fmt: skip
            if len(each.untrained):
                panel.plot(each.untrained, np.full(len(each.untrained), row), "|", color=COLOURS[0], ms=11, mew=1.5,
                           label="untrained networks" if row == 0 else None)  # fmt: skip
            panel.plot([each.loss], [row], "o", color=COLOURS[1], ms=6, label="trained" if row == 0 else None)
            panel.annotate(f"ratio {max(each.ratio, 0):.2f}, p = {each.p:.2g}", (each.loss, row), xytext=(0, 8),
                           textcoords="offset points", ha="center", fontsize=7.5)  # fmt: skip
        panel.set_yticks(range(len(found)), [f"{each.layer}\nby {each.by}" for each in found], fontsize=8.5)
        panel.set_ylim(len(found) - 0.5, -0.6)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=8)
        panel.set_xlabel("soft nearest-neighbour loss, nats (right: entangled)", fontsize=9)
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=7.5)
        bare(panel, keep=("bottom",))
    return figure


def plot_probes(found: Sequence[Any]) -> "matplotlib.figure.Figure":
    """Of several `Probe`, one a row."""
    figure = new_figure(4.8, 1.2 + 0.45 * len(found))
    with style():
        panel = figure.subplots()
        for row, each in enumerate(found):
            if len(each.null):
                low, high = np.clip(np.quantile(each.null, [0.025, 0.975]), -1, 1)
                panel.plot([low, high], [row, row], color=INK, lw=7, alpha=0.25, solid_capstyle="butt",
                           label="permuted labels (95%)" if row == 0 else None)  # fmt: skip
            if len(each.untrained):
                shown = np.clip(each.untrained, -1, 1)
                panel.plot(shown, np.full(len(shown), row), "|", color=COLOURS[0], ms=11, mew=1.5,
                           label="untrained networks" if row == 0 else None)  # fmt: skip
            panel.plot(np.clip([each.score.low, each.score.high], -1, 1), [row, row], color=COLOURS[1], lw=1.6)
            panel.plot(np.clip([each.score.point], -1, 1), [row], "o", color=COLOURS[1], ms=5.5,
                       label="trained" if row == 0 else None)  # fmt: skip
        panel.axvline(found[0].chance, color=INK, lw=0.8, ls=":")
        panel.set_yticks(range(len(found)), [each.layer for each in found], fontsize=8.5)
        panel.set_ylim(len(found) - 0.5, -0.5)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=8)
        panel.set_xlabel(f"{found[0].kind} of {found[0].of} in unseen episodes (cut at ±1)", fontsize=9)
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=7.5)
        bare(panel, keep=("bottom",))
    return figure


def plot_trajectories(found: Any, *, most: int = 4) -> "matplotlib.figure.Figure":
    """Of `Trajectories`."""
    figure = new_figure(6.8, 2.8)
    points = found.plane()
    acts = found.activations
    with style():
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        for number, pair in enumerate(found.pairs[:most]):
            for episode, dash in zip(pair, ("-", "--"), strict=True):
                rows = np.flatnonzero(acts.episode == episode)
                rows = rows[np.argsort(acts.step[rows])]
                colour = COLOURS[number % len(COLOURS)]
                left.plot(*points[rows].T, dash, color=colour, lw=1.4, alpha=0.85)
                left.plot(*points[rows[:1]].T, "o", color=colour, ms=4)
        left.set_title(f"{acts.layer}: {found.names[0]} (solid), {found.names[1]} (dashed)", fontsize=8.5, loc="left")
        left.set_xlabel("component 1", fontsize=8.5)
        left.set_ylabel("component 2", fontsize=8.5)
        left.tick_params(labelsize=7.5)
        rows_ = {"same game": found.consistency, "other game": found.mismatched, **found.nulls}
        for row, (_, values) in enumerate(rows_.items()):
            right.plot(values, np.full(len(values), row), "o", color=COLOURS[0], ms=3, alpha=0.35, mew=0)
            right.plot([values.mean()] * 2, [row - 0.28, row + 0.28], color=COLOURS[1] if row == 0 else INK, lw=2.2)
        right.set_yticks(range(len(rows_)), list(rows_), fontsize=8.5)
        right.set_ylim(len(rows_) - 0.4, -0.6)
        right.set_xlim(-0.03, 1.03)
        right.set_xlabel("cycle-consistency", fontsize=8.5)
        right.tick_params(axis="y", length=0)
        right.tick_params(axis="x", labelsize=7.5)
        bare(left)
        bare(right, keep=("bottom",))
    return figure


def _short(name: Any) -> str:
    return f"{name:.3g}" if isinstance(name, float | np.floating) else str(name)
