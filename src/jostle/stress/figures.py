"""Figures of a stress test; the suite's labels say which kind. They need matplotlib (extra `lab`)."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jostle.scores.intervals import Interval
from jostle.scores.plots import COLOURS, FAINT, INK, bare, new_figure, style
from jostle.stress.report import Line, lines
from jostle.stress.result import CHANCE, StressResult

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Key = tuple[str, str]
"""Method and inference mode: one colour."""


def plot_stress(result: StressResult) -> "matplotlib.figure.Figure":
    """Success if it is known, else returns, with intervals.

    Perturbations at graded strengths make curves, two labels that cross make a grid, all else rows of dots.
    """
    found = lines(result)
    conditions = [result.suite[line.condition] for line in found]
    axes = {tuple(c.labels) for c in conditions}
    if axes == {("perturbation", "strength")}:
        return _strengths(result, found)
    if len(axes) == 1 and len(next(iter(axes))) == 2 and result.complete and _crosses(result, *next(iter(axes))):
        return _grid(result, found, *next(iter(axes)))
    return _dots(result, found)


def _dots(result: StressResult, found: Sequence[Line]) -> "matplotlib.figure.Figure":
    """A row a condition, a dot with its interval a method and mode."""
    keys, names = _keys(result, found), [n for n in result.suite.names if any(x.condition == n for x in found)]
    figure = new_figure(6.4, 1.3 + len(names) * (0.22 + 0.15 * len(keys)))
    with style():
        panel = figure.subplots()
        for number, key in enumerate(keys):
            offset = (number - (len(keys) - 1) / 2) * 0.7 / max(len(keys), 2)
            for line in found:
                if (line.method, line.noise) == key:
                    value, colour = _value(line), COLOURS[number % len(COLOURS)]
                    at = names.index(line.condition) + offset
                    panel.plot([value.low, value.high], [at, at], color=colour, lw=2.2, solid_capstyle="butt")
                    label = _key_name(result, key) if line.condition == names[0] else None
                    panel.plot([value.point], [at], "o", color=colour, ms=5.5, label=label)
        panel.set_yticks(range(len(names)), names)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.axhline(names.index(result.suite.reference) + 0.5, color=INK, lw=0.8, ls=(0, (4, 3)))
        bare(panel, keep=("bottom",))
        panel.grid(axis="x", color=FAINT, lw=0.8)
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel(_label(found))
        _legend(figure, panel, keys)
    return figure


def _strengths(result: StressResult, found: Sequence[Line]) -> "matplotlib.figure.Figure":
    """A panel a perturbation, its strength to the right; strength 0 is the clean picture."""
    keys = _keys(result, found)
    kinds = list(dict.fromkeys(c.labels["perturbation"] for c in result.suite.conditions))
    kinds = [kind for kind in kinds if kind != "none"]
    wide = min(4, len(kinds))
    high = -(-len(kinds) // wide)
    figure = new_figure(2.1 * wide + 0.8, 1.75 * high + 0.7)
    with style():
        panels = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False)
        for panel, kind in itertools.zip_longest(panels.ravel(), kinds):
            if kind is None:
                panel.set_visible(False)
                continue
            for number, key in enumerate(keys):
                _strength_line(result, panel, [x for x in found if (x.method, x.noise) == key], kind, number)
            panel.set_title(kind, loc="left", fontsize=10.5)
            bare(panel)
            panel.grid(axis="y", color=FAINT, lw=0.8)
            panel.set_xticks(range(6), ["clean", *"12345"])
            panel.tick_params(labelsize=9)
        figure.supylabel(_label(found), fontsize=11, color=INK)
        figure.supxlabel("Strength of the perturbation", fontsize=11, color=INK)
        for number, key in enumerate(keys):
            panels[0, 0].plot([], [], color=COLOURS[number % len(COLOURS)], lw=2, label=_key_name(result, key))
        _legend(figure, panels[0, 0], keys)
    return figure


def _strength_line(
    result: StressResult, panel: "matplotlib.axes.Axes", found: Sequence[Line], kind: str, number: int
) -> None:
    points = {}
    for line in found:
        labels = result.suite[line.condition].labels
        if labels["perturbation"] in (kind, "none"):
            points[int(labels["strength"])] = _value(line)
    at = sorted(points)
    colour = COLOURS[number % len(COLOURS)]
    panel.fill_between(at, [points[s].low for s in at], [points[s].high for s in at], color=colour, alpha=0.18, lw=0)
    panel.plot(at, [points[s].point for s in at], color=colour, lw=1.8, marker="o", ms=3)


def _grid(result: StressResult, found: Sequence[Line], down: str, right: str) -> "matplotlib.figure.Figure":
    """A table of cells a method and mode; the darker, the better."""
    keys = _keys(result, found)
    rows, columns = _levels(result, down), _levels(result, right)
    figure = new_figure(1.5 + 1.25 * len(columns), (0.35 + 0.55 * len(rows)) * len(keys) + 0.9)
    values = [_value(line) for line in found]
    least, most = min(v.point for v in values), max(v.point for v in values)
    if found[0].success is not None:
        least, most = 0.0, 1.0
    with style():
        panels = figure.subplots(len(keys), 1, squeeze=False)[:, 0]
        for panel, key in zip(panels, keys, strict=True):
            table = np.full((len(rows), len(columns)), np.nan)
            for line in found:
                if (line.method, line.noise) != key:
                    continue
                labels = result.suite[line.condition].labels
                at = rows.index(labels[down]), columns.index(labels[right])
                table[at] = _value(line).point
            panel.imshow(table, cmap="Blues", vmin=least, vmax=most + (most - least or 1.0), aspect="auto")
            for line in found:
                if (line.method, line.noise) == key:
                    labels = result.suite[line.condition].labels
                    _cell(panel, columns.index(labels[right]), rows.index(labels[down]), _value(line))
            last = panel is panels[-1]
            panel.set_xticks(range(len(columns)), [name.replace(" and ", "\n& ") if last else "" for name in columns])
            panel.set_yticks(range(len(rows)), rows)
            panel.tick_params(length=0)
            panel.set_ylabel(down.capitalize())
            bare(panel, keep=())
            if len(keys) > 1:
                panel.set_title(_key_name(result, key), loc="left", fontsize=10.5)
        panels[-1].set_xlabel(right.capitalize())
        figure.suptitle(_label(found), fontsize=11.5, color=INK)
    return figure


def _cell(panel: "matplotlib.axes.Axes", x: int, y: int, value: Interval) -> None:
    panel.text(x, y - 0.12, f"{value.point:.2f}", ha="center", va="center", fontsize=11, fontweight="bold")
    panel.text(x, y + 0.25, f"[{value.low:.2f}, {value.high:.2f}]", ha="center", va="center", fontsize=8)


def _crosses(result: StressResult, down: str, right: str) -> bool:
    """Every level of one label stands with every level of the other."""
    pairs = {(c.labels[down], c.labels[right]) for c in result.suite.conditions}
    return pairs == set(itertools.product(_levels(result, down), _levels(result, right)))


def _levels(result: StressResult, axis: str) -> list[str]:
    return list(dict.fromkeys(c.labels[axis] for c in result.suite.conditions))


def _keys(result: StressResult, found: Sequence[Line]) -> list[Key]:
    return list(dict.fromkeys((line.method, line.noise) for line in found))


def _key_name(result: StressResult, key: Key) -> str:
    if key[0] == CHANCE:
        return CHANCE
    return f"{key[0]}, noise {key[1]}" if len(result.methods) > 1 else f"noise {key[1]}"


def _value(line: Line) -> Interval:
    return line.mean if line.success is None else line.success


def _label(found: Sequence[Line]) -> str:
    what = "Return" if found[0].success is None else "Share of successes"
    return f"{what}, 95% interval over {found[0].unit}"


def _legend(figure: Any, panel: Any, keys: Sequence[Key]) -> None:
    """Above the panels, where there is something to tell apart."""
    if len(keys) > 1:
        handles, names = panel.get_legend_handles_labels()
        figure.legend(handles, names, frameon=False, loc="outside upper center", ncols=min(len(keys), 3), fontsize=9.5)
