"""Figures of a stress test; the suite's labels say which kind. They need matplotlib (extra `lab`).

A colour is a method, and a mark is an inference mode, in every figure of a result. What is best stands first.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jostle.scores.intervals import Interval, decimals
from jostle.scores.plots import COLOURS, FAINT, INK, bare, counted, new_figure, style
from jostle.stress.report import Line, lines
from jostle.stress.result import CHANCE, StressResult

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Key = tuple[str, str]
"""Method and inference mode."""

MARKS = ("o", "s", "D", "^", "v", "P", "X")
GREY = "#767676"
"""Of random play."""
MODES = {"mean": "without noise", "fixed": "one draw", "sampled": "a draw an action"}
"""What inference modes are called; mc:M is M draws averaged."""


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
    """A row a condition, the reference and then the best first; in it a dot with its interval a method and mode."""
    keys = _keys(found)
    rest = {line.condition for line in found} - {result.suite.reference}
    seen = [result.suite.reference] if len(rest) < len({line.condition for line in found}) else []
    names = seen + sorted(rest, key=lambda name: -_level([x for x in found if x.condition == name]))
    figure = new_figure(6.4, 1.7 + len(names) * (0.22 + 0.15 * len(keys)))
    with style():
        panel = figure.subplots()
        for number, key in enumerate(keys):
            offset = (number - (len(keys) - 1) / 2) * 0.7 / max(len(keys), 2)
            look = _look(result, key)
            for line in found:
                if (line.method, line.noise) == key:
                    value, at = _value(line), names.index(line.condition) + offset
                    panel.plot([value.low, value.high], [at, at], color=look["color"], lw=2.2, solid_capstyle="butt")
                    panel.plot([value.point], [at], ms=5.5, ls="", **look)
            panel.plot([], [], ms=5.5, ls="", label=_key_name(result, key), **look)
        panel.set_yticks(range(len(names)), names)
        panel.set_ylim(len(names) - 0.5, -0.5)
        if seen:
            panel.axhline(0.5, color=INK, lw=0.8, ls=(0, (4, 3)))
        bare(panel, keep=("bottom",))
        panel.grid(axis="x", color=FAINT, lw=0.8)
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel(_what(found))
        panel.set_title(f"{_title(result)}\n{_over(found)}", loc="left", fontsize=10.5)
        _legend(figure, panel, keys)
    return figure


def _strengths(result: StressResult, found: Sequence[Line]) -> "matplotlib.figure.Figure":
    """A panel a perturbation, the most harmless first, its strength to the right; strength 0 is the clean picture."""
    keys = _keys(found)
    of = {line.condition: result.suite[line.condition].labels["perturbation"] for line in found}
    kinds = [kind for kind in dict.fromkeys(of.values()) if kind != "none"]
    kinds.sort(key=lambda kind: -_level([line for line in found if of[line.condition] == kind]))
    wide = min(4, max(len(kinds), 1))
    high = max(-(-len(kinds) // wide), 1)
    figure = new_figure(2.1 * wide + 0.8, 1.75 * high + 1.1)
    with style():
        panels = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False)
        for panel, kind in itertools.zip_longest(panels.ravel(), kinds):
            if kind is None:
                panel.set_visible(False)
                continue
            for number, key in enumerate(keys):
                step = min(0.18, 0.7 / len(keys))
                own = [x for x in found if (x.method, x.noise) == key]
                _strength_line(result, panel, own, kind, step, number - (len(keys) - 1) / 2)
            panel.set_title(kind, loc="left", fontsize=10.5)
            bare(panel)
            panel.grid(axis="y", color=FAINT, lw=0.8)
            panel.set_xticks(range(6), ["clean", *"12345"])
            panel.tick_params(labelsize=9)
        for panel in panels[-1]:
            panel.set_xlabel("Strength", fontsize=10)
        figure.supylabel(_what(found), fontsize=11, color=INK)
        figure.suptitle(f"{_title(result)}\n{_over(found)}", fontsize=11, color=INK)
        for key in keys:
            panels[0, 0].plot([], [], lw=1.8, ms=4, label=_key_name(result, key), **_look(result, key))
        _legend(figure, panels[0, 0], keys, "outside lower center")
    return figure


def _strength_line(
    result: StressResult, panel: "matplotlib.axes.Axes", found: Sequence[Line], kind: str, step: float, place: float
) -> None:
    """The points of a method and mode, so many steps aside from those of others, which may be equal."""
    points: dict[int, Line] = {}
    for line in found:
        labels = result.suite[line.condition].labels
        if labels["perturbation"] in (kind, "none"):
            points[int(labels["strength"])] = line
    if not points:
        return
    at = sorted(points)
    values = [_value(points[s]) for s in at]
    look, x = _look(result, (found[0].method, found[0].noise)), np.array(at) + place * step
    panel.vlines(x, [v.low for v in values], [v.high for v in values], color=look["color"], lw=1.2, alpha=0.6)
    panel.plot(x, [v.point for v in values], lw=1.4, ms=min(3.5, 19 * step), **look)  # no wider than a step


def _grid(result: StressResult, found: Sequence[Line], down: str, right: str) -> "matplotlib.figure.Figure":
    """A table of cells a method and mode; the darker, the better."""
    keys = _keys(found)
    rows, columns = _levels(result, down), _levels(result, right)
    figure = new_figure(1.5 + 1.25 * len(columns), (0.6 + 0.55 * len(rows)) * len(keys) + 1.2)
    values = [_value(line) for line in found]
    least, most = min(v.point for v in values), max(v.point for v in values)
    if found[0].success is not None:
        least, most = 0.0, 1.0
    digits = min(decimals(values), 2)
    with style():
        panels = figure.subplots(len(keys), 1, squeeze=False)[:, 0]
        for panel, key in zip(panels, keys, strict=True):
            table = np.full((len(rows), len(columns)), np.nan)
            for line in found:
                if (line.method, line.noise) == key:
                    labels = result.suite[line.condition].labels
                    y, x = rows.index(labels[down]), columns.index(labels[right])
                    table[y, x] = _value(line).point
                    _cell(panel, x, y, _value(line), digits)
            panel.imshow(table, cmap="Blues", vmin=least, vmax=most + (most - least or 1.0), aspect="auto")
            last = panel is panels[-1]
            panel.set_xticks(range(len(columns)), [name.replace(" and ", "\n& ") if last else "" for name in columns])
            panel.set_yticks(range(len(rows)), rows)
            panel.tick_params(length=0)
            panel.set_ylabel(down.capitalize())
            bare(panel, keep=())
            if len(keys) > 1:
                alone = len(result.methods) == 1 and key[0] in result.runs
                name = _mode_name(key[1]) if alone else _key_name(result, key)
                panel.set_title(name, loc="left", fontsize=10.5)
        panels[-1].set_xlabel(right.capitalize())
        figure.suptitle(f"{_title(result)}\n{_what(found)}, {_over(found)}", fontsize=11, color=INK)
    return figure


def _cell(panel: "matplotlib.axes.Axes", x: int, y: int, value: Interval, digits: int) -> None:
    point, ends = value.text(digits).split(" ", 1)
    panel.text(x, y - 0.12, point, ha="center", va="center", fontsize=11, fontweight="bold")
    panel.text(x, y + 0.25, ends, ha="center", va="center", fontsize=8)


def _crosses(result: StressResult, down: str, right: str) -> bool:
    """Every level of one label stands with every level of the other."""
    pairs = {(c.labels[down], c.labels[right]) for c in result.suite.conditions}
    return pairs == set(itertools.product(_levels(result, down), _levels(result, right)))


def _levels(result: StressResult, axis: str) -> list[str]:
    return list(dict.fromkeys(c.labels[axis] for c in result.suite.conditions))


def _keys(found: Sequence[Line]) -> list[Key]:
    """Methods and modes, those with the highest mean over all conditions first."""
    keys = dict.fromkeys((line.method, line.noise) for line in found)
    return sorted(keys, key=lambda key: -_level([x for x in found if (x.method, x.noise) == key]))


def _level(found: Sequence[Line]) -> float:
    """The mean of what is plotted."""
    return float(np.mean([_value(line).point for line in found])) if found else 0.0


def _look(result: StressResult, key: Key) -> dict[str, Any]:
    """The colour of a method, and the mark of a mode; a second round of colours has hollow marks. Chance is grey."""
    if key[0] not in result.runs:
        return {"color": GREY, "marker": "x" if key[0] == CHANCE else "+"}
    number, mode = result.methods.index(key[0]), result.modes(key[0]).index(key[1])
    colour = COLOURS[number % len(COLOURS)]
    hollow = {"mfc": "white"} if number >= len(COLOURS) else {}
    return {"color": colour, "marker": MARKS[mode % len(MARKS)]} | hollow


def _mode_name(noise: str) -> str:
    return f"{noise.removeprefix('mc:')} draws averaged" if noise.startswith("mc:") else MODES.get(noise, noise)


def _key_name(result: StressResult, key: Key) -> str:
    """``catch (3 seeds), without noise``; the mode where there are several."""
    if key[0] not in result.runs:
        return key[0]
    name = counted(key[0], len(result.runs[key[0]]))
    return f"{name}, {_mode_name(key[1])}" if len(result.noises) > 1 else name


def _title(result: StressResult) -> str:
    """Suite, environment, the method where it is the only one, and the mode where all have the same."""
    of = f", {counted(result.methods[0], len(result.runs[result.methods[0]]))}" if len(result.methods) == 1 else ""
    mode = f", {_mode_name(result.noises[0])}" if len(result.noises) == 1 and not result.noiseless else ""
    return f"{result.suite.name} on {result.env}{of}{mode}"


def _value(line: Line) -> Interval:
    return line.mean if line.success is None else line.success


def _what(found: Sequence[Line]) -> str:
    return "Return" if found[0].success is None else "Share of successes"


def _over(found: Sequence[Line]) -> str:
    units = {line.unit for line in found}
    over = "runs, of a single run over its episodes" if len(units) > 1 else next(iter(units))
    return f"95% intervals over {over}"


def _legend(figure: Any, panel: Any, keys: Sequence[Key], where: str = "outside upper center") -> None:
    """Outside of the panels, where there is something to tell apart."""
    if len(keys) > 1:
        handles, names = panel.get_legend_handles_labels()
        figure.legend(handles, names, frameon=False, loc=where, ncols=min(len(keys), 2), fontsize=9.5)
