"""Figures of ablations."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jostle.explain.ablate.measure import UNITS
from jostle.scores.plots import COLOURS, FAINT, INK, bare, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure

SMALL = 8


def plot_units(found: Any, *, most: int = 24) -> "matplotlib.figure.Figure":
    """Of a `UnitAblation`."""
    order = np.argsort(-found.mean, kind="stable")[:most]
    figure = new_figure(4.6, 2.6)
    with style():
        panel = figure.subplots()
        marked = set(found.found)
        colours = [COLOURS[1] if int(found.units[u]) in marked else COLOURS[0] for u in order]
        panel.bar(range(len(order)), found.mean[order], color=colours, width=0.75)
        if len(found.null):
            level = found.threshold * float(found.mean.sum())
            panel.axhline(level, color=INK, lw=1.1, ls="--")
            panel.text(
                len(order) - 0.5,
                level,
                "untrained networks' greatest unit (95%)",
                ha="right",
                va="bottom",
                fontsize=7.5,
            )
        panel.set_xticks(range(len(order)), [str(found.units[u]) for u in order], fontsize=7, rotation=90)
        panel.set_xlabel(
            f"unit of {found.layer}" + (f" (the first {most})" if len(found.units) > most else ""), fontsize=9
        )
        panel.set_ylabel(_unit(found.measure), fontsize=9)
        panel.tick_params(axis="y", labelsize=SMALL)
        panel.set_title(f"units taken out one by one ({found.fill})", fontsize=9.5, loc="left")
        bare(panel)
    return figure


def plot_cumulative(found: Any) -> "matplotlib.figure.Figure":
    """Of a `CumulativeAblation`."""
    figure = new_figure(4.4, 2.8)
    with style():
        panel = figure.subplots()
        low, high = np.quantile(found.random, [0.025, 0.975], axis=0)
        panel.fill_between(found.counts, low, high, color=INK, alpha=0.15, lw=0)
        panel.plot(
            found.counts, found.random.mean(0), color=INK, lw=1.3, ls="--", label="at random (null, 95% of orders)"
        )
        panel.plot(found.counts, found.ranked, color=COLOURS[1], lw=1.9, label="most important first")
        panel.plot(found.counts, found.reverse, color=COLOURS[0], lw=1.9, label="least important first")
        panel.set_xlabel(f"units of {found.layer} taken out", fontsize=9)
        panel.set_ylabel(_unit(found.measure), fontsize=9)
        panel.tick_params(labelsize=SMALL)
        panel.legend(frameon=False, fontsize=8)
        panel.set_title(f"gain of the order {found.gain:.2f}, p = {found.p:.2g}", fontsize=9.5, loc="left")
        bare(panel)
    return figure


def plot_layers(found: Any) -> "matplotlib.figure.Figure":
    """Of a `LayerAblation`."""
    count = len(found.layers)
    figure = new_figure(5.4, 1.3 + 0.42 * count)
    with style():
        panel = figure.subplots()
        kinds = [("fresh weights", found.randomised.mean((1, 2)), COLOURS[0])]
        if found.reinitialised is not None:
            first = ("its own first weights", found.reinitialised.mean(1), COLOURS[1])
            kinds = [first, *kinds, ("moved as far at random (null)", found.moved.mean((1, 2)), INK)]
        for place, (name, values, colour) in enumerate(kinds):
            shift = (place - (len(kinds) - 1) / 2) * 0.26
            panel.barh(np.arange(count) + shift, values, height=0.24, color=colour, label=name)
        ceiling = float(found.everything.mean())
        panel.axvline(ceiling, color=FAINT, lw=1.4, zorder=0)
        whole = "all layers set back" if found.reinitialised is not None else "all layers afresh"
        panel.text(ceiling, -0.55, whole, fontsize=7.5, ha="right", va="bottom", color=INK)
        named = [f"{layer}\n{verdict}" for layer, verdict in zip(found.layers, found.verdicts, strict=True)]
        panel.set_yticks(range(count), named, fontsize=8)
        panel.set_ylim(count - 0.4, -0.75)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=SMALL)
        panel.set_xlabel(_unit(found.measure), fontsize=9)
        figure.legend(
            loc="outside lower center", ncols=3, frameon=False, fontsize=7.5, handlelength=1.2, columnspacing=1
        )
        bare(panel, keep=("bottom",))
    return figure


def plot_pruning(found: Any) -> "matplotlib.figure.Figure":
    """Of a `Pruning`."""
    figure = new_figure(4.4, 2.7)
    with style():
        panel = figure.subplots()
        low, high = found.random.min(0), found.random.max(0)
        panel.fill_between(found.sparsity, low, high, color=INK, alpha=0.15, lw=0)
        panel.plot(found.sparsity, found.random.mean(0), color=INK, lw=1.3, ls="--", label="at random (null)")
        panel.plot(found.sparsity, found.change.mean(1), "o-", color=COLOURS[0], lw=1.9, ms=3.5, label="smallest first")
        panel.set_xlabel(f"share of {found.what} taken out of each layer", fontsize=9)
        panel.set_ylabel(_unit(found.measure), fontsize=9)
        panel.tick_params(labelsize=SMALL)
        panel.legend(frameon=False, fontsize=8)
        panel.set_title(f"gain of the sizes {found.gain:.2f}, p = {found.p:.2g}", fontsize=9.5, loc="left")
        bare(panel)
    return figure


def plot_memory(found: Any) -> "matplotlib.figure.Figure":
    """Of a `MemoryAblation`."""
    figure = new_figure(6.2, 2.5)
    with style():
        left, right = figure.subplots(1, 2)
        for place, rule in enumerate(found.rules):
            colour = COLOURS[place % len(COLOURS)]
            left.bar(place, found.mean[place], color=colour, width=0.65)
            if len(found.null):
                left.plot([place - 0.32, place + 0.32], [found.null[:, place].max()] * 2, color=INK, lw=1.3, ls="--")
            steps = np.unique(found.step)
            line = [found.values[place, found.step == s].mean() for s in steps]
            right.plot(steps, line, color=colour, lw=1.6, label=rule)
        left.set_xticks(range(len(found.rules)), found.rules, fontsize=8)
        left.set_ylabel(_unit(found.measure), fontsize=9)
        left.set_title("memory replaced" + (" (dashed: untrained)" if len(found.null) else ""), fontsize=9, loc="left")
        right.set_xlabel("step of the episode", fontsize=9)
        right.legend(frameon=False, fontsize=7.5)
        for panel in (left, right):
            panel.tick_params(labelsize=SMALL)
            bare(panel)
    return figure


def plot_returns(found: Any, *, most: int = 30) -> "matplotlib.figure.Figure":
    """Of `AblationReturns`, the dearest on top."""
    costs = found.cost
    order = np.argsort([cost.interval.point for cost in costs], kind="stable")[:most]
    figure = new_figure(4.8, 1.0 + 0.24 * len(order))
    with style():
        panel = figure.subplots()
        for row, number in enumerate(order):
            each = costs[number].interval
            sure = each.high < 0 or each.low > 0
            colour = COLOURS[1] if sure else INK
            panel.plot([each.low, each.high], [row, row], color=colour, lw=1.6)
            panel.plot([each.point], [row], "o", color=colour, ms=4.5, mfc=colour if sure else "white")
        panel.axvline(0, color=FAINT, lw=1.2, zorder=0)
        panel.set_yticks(range(len(order)), [found.names[n] for n in order], fontsize=8)
        panel.set_ylim(len(order) - 0.5, -0.5)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=SMALL)
        panel.set_xlabel("change of return (95% interval, same episodes)", fontsize=9)
        panel.set_title(f"{found.env}: whole {found.whole.mean():.3g}", fontsize=9.5, loc="left")
        bare(panel, keep=("bottom",))
    return figure


def plot_importance_of_size(found: Any) -> "matplotlib.figure.Figure":
    """Of a `MagnitudeImportance`."""
    figure = new_figure(3.4, 2.7)
    with style():
        panel = figure.subplots()
        panel.plot(found.magnitude, found.cost, "o", color=COLOURS[0], ms=4, alpha=0.75, mew=0)
        panel.set_xlabel(f"L2 norm of a unit's {found.weights}", fontsize=8.5)
        panel.set_ylabel("cost of taking it out", fontsize=8.5)
        panel.tick_params(labelsize=7.5)
        told = f"ρ = {found.correlation.text(2)}, p = {found.p:.2g}"
        panel.set_title(told, fontsize=9, loc="left")
        bare(panel)
    return figure


def _unit(measure: str) -> str:
    return UNITS[measure]
