"""A figure of Sobol indices; it needs matplotlib (extra `lab`)."""

from typing import TYPE_CHECKING

from jostle.scores.plots import COLOURS, FAINT, INK, bare, counted, new_figure, style
from jostle.stress.physics.sobol import metrics_of, of_method
from jostle.stress.result import StressResult

if TYPE_CHECKING:
    import matplotlib.figure


def plot_sobol(result: StressResult) -> "matplotlib.figure.Figure":
    """A panel a metric and method: what each parameter explains alone, and in all, the most important one first."""
    drawn = [
        (metric, method, shares)
        for metric in metrics_of(result.sobol)
        for method in result.methods
        if (shares := of_method(result.sobol, method, metric)) is not None
    ]
    rows = max((len(shares) for _, _, shares in drawn), default=1)
    figure = new_figure(6.4, 1.0 + len(drawn) * (0.55 + 0.42 * rows))
    with style():
        panels = figure.subplots(max(len(drawn), 1), 1, squeeze=False, sharex=True)[:, 0]
        for panel, (metric, method, shares) in zip(panels, drawn, strict=False):
            names = sorted(shares, key=lambda name: -shares[name][1].point)
            for row, name in enumerate(names):
                for side, (found, colour) in enumerate(zip(shares[name], COLOURS, strict=False)):
                    at = row + 0.38 * side - 0.19
                    panel.barh(at, found.point, 0.34, color=colour, alpha=0.8)
                    panel.plot([found.low, found.high], [at, at], color=INK, lw=1.4, solid_capstyle="butt")
            panel.set_yticks(range(len(names)), names)
            panel.set_ylim(len(names) - 0.5, -0.5)
            panel.axvline(0.0, color=INK, lw=0.8)
            bare(panel, keep=("bottom",))
            panel.grid(axis="x", color=FAINT, lw=0.8)
            panel.tick_params(axis="y", length=0)
            panel.set_title(f"{metric}, {counted(method, len(result.runs[method]))}", loc="left", fontsize=10.5)
        for colour, name in zip(COLOURS, ("alone (first order)", "in all (total)"), strict=False):
            panels[0].barh([], [], color=colour, alpha=0.8, label=name)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, frameon=False, loc="outside lower center", ncols=2, fontsize=9.5)
        panels[-1].set_xlabel("Share of the variance over the domain")
        figure.suptitle(f"{result.suite.name} on {result.env}", fontsize=11, color=INK)
    return figure
