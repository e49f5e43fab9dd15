"""A figure of ranges that move during a training, such as a domain's bounds: a panel a parameter, a band a method."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jostle.errors import ConfigError
from jostle.scores.plots import COLOURS, FAINT, bare, counted, new_figure, style, thousands

if TYPE_CHECKING:
    import matplotlib.figure

Range = tuple[Float[np.ndarray, "T"], Float[np.ndarray, "T"], Float[np.ndarray, "T"]]
"""Steps, lower and upper bound of one run."""


def plot_bands(ranges: Mapping[str, Mapping[str, Sequence[Range]]], *, title: str = "") -> "matplotlib.figure.Figure":
    """Each run's range as thin lines, and a band from the mean lower to the mean upper bound of a method's runs.

    Args:
        ranges: parameter -> method -> the range of each of its runs; a band ends where the first of its runs ends.
        title: the environment and whatever else a reader must know.

    Raises:
        ConfigError: nothing to show, or matplotlib is missing.
    """
    if not ranges:
        raise ConfigError("there is nothing to show: give at least one parameter.")
    columns = min(3, len(ranges))
    rows = math.ceil(len(ranges) / columns)
    methods = list(dict.fromkeys(name for found in ranges.values() for name in found))
    figure = new_figure(3.4 * columns + 0.4, 2.5 * rows + 0.7)
    with style():
        panels = np.ravel(figure.subplots(rows, columns, sharex=True, squeeze=False))
        for panel, (parameter, found) in zip(panels, ranges.items(), strict=False):
            for name, runs in found.items():
                colour = COLOURS[methods.index(name) % len(COLOURS)]
                steps, low, high = _mean(runs)
                panel.fill_between(steps, low, high, color=colour, alpha=0.25, lw=0, label=counted(name, len(runs)))
                for x, below, above in runs:
                    panel.plot(x, below, color=colour, lw=0.9)
                    panel.plot(x, above, color=colour, lw=0.9)
            bare(panel)
            panel.grid(axis="y", color=FAINT, lw=0.8)
            panel.set_title(parameter, loc="left")
            panel.xaxis.set_major_formatter(thousands)
            panel.margins(x=0)
        for panel in panels[len(ranges) :]:
            panel.set_visible(False)
        figure.supxlabel("Environment steps", fontsize=11)
        if len(methods) > 1:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(methods)), frameon=False)
        figure.suptitle(title, x=0.02, ha="left", fontsize=11.5)
    return figure


def _mean(runs: Sequence[Range]) -> Range:
    """The mean bounds of some runs, at the steps of the first, up to the end of the shortest."""
    end = min(steps[-1] for steps, _, _ in runs)
    steps = runs[0][0][runs[0][0] <= end]
    bounds = [np.mean([np.interp(steps, run[0], run[side]) for run in runs], axis=0) for side in (1, 2)]
    return steps, bounds[0], bounds[1]
