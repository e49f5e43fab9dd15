"""Figures of a study: learning curves, what is reached under each condition, intervals, profiles, numbers of a task."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jostle.errors import ConfigError
from jostle.scores import iqm
from jostle.scores.intervals import interval
from jostle.scores.plots import COLOURS, counted, new_figure, plot_curves, plot_intervals, plot_profiles, style
from jostle.scores.summary import compare
from jostle.study.results import Results
from jostle.study.shown.conditions import Conditions
from jostle.study.shown.show import Across, Part, Show
from jostle.study.shown.tables import measures_of, parts_of, suites_of, together_scores

if TYPE_CHECKING:
    import matplotlib.figure

MARKS = tuple(zip(COLOURS, ("o", "s", "D", "^", "v", "P", "X"), strict=True))
"""Colour and form of a condition, or of a method in a figure over tasks."""


def figures(found: Results, folder: Path, show: Show | None = None) -> Iterator[Path]:
    """Draw what a study shows; yields each file.

    Raises:
        ConfigError: matplotlib is missing, or a file cannot be written.
    """
    show = show or Show()
    for name, figure in _drawn(found, show):
        path = folder / f"{name}.png"
        try:
            figure.savefig(path, dpi=150)
        except OSError as error:
            raise ConfigError(f"cannot write {path} ({error.strerror}): choose another folder with --out.") from error
        yield path


def _drawn(found: Results, show: Show) -> Iterator[tuple[str, "matplotlib.figure.Figure"]]:
    for part in parts_of(found, show):
        title = show.titles.get(part.task, part.task)
        if "curves" in show.figures and part.curves != []:
            curves = _curves(found, part, show)
            if curves:
                yield f"curves-{part.name}", plot_curves(curves, statistic="mean", title=title)
        if "conditions" in show.figures:
            for suite in suites_of(found, part.task):
                of = Conditions(found, part, suite)
                if of.rows:
                    yield f"{suite}-{part.name}", conditions_figure(of, show, title)
        if part.intervals:
            measure = measures_of(found, part.task, show)[0]
            scores = found.scores(part.task, measure)
            chosen = {label: scores[name][:, None] for name, label in part.intervals.items() if name in scores}
            drawn = plot_intervals(compare(chosen), metrics=("mean", "iqm"), label="Return", title=title)
            yield f"intervals-{part.name}", drawn
    for across in show.across:
        yield f"across-{across.name}", across_figure(found, across, show)
    pooled, _, tasks = together_scores(found, show)
    if pooled:
        named = {show.label(method): values for method, values in pooled.items()}
        title = f"{len(tasks)} tasks together"
        yield "together", plot_profiles(named, label="Normalised return τ", title=title)


def _curves(found: Results, part: Part, show: Show) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    order = part.curves if part.curves is not None else part.methods
    told = found.curves(part.task)
    return {show.label(method): told[method] for method in (told if order is None else order) if method in told}


def conditions_figure(of: Conditions, show: Show, title: str) -> "matplotlib.figure.Figure":
    """Every method, with noise in its last mode, under every condition that nothing was chosen by; the best on top."""
    panels = {
        head: {column: name for column, name in panel.items() if name not in show.hidden}
        for head, panel in of.panels.items()
    }
    mode = {method: of.modes(method)[-1] for method in of.rows}
    hardest = list(list(panels.values())[-1].values())[-1]
    order = sorted(of.rows, key=lambda m: float(iqm(of.scores(m, hardest, mode[m]))))
    shown = max(map(len, panels.values()))
    figure = new_figure(8.2 if len(panels) == 1 else 11.4, 1.5 + 0.15 * (shown + 1) * len(order))
    apart = 0.8 / (shown + 1)
    with style():
        subplots = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for (head, panel), axes in zip(panels.items(), subplots, strict=True):
            for nth, ((label, name), (colour, marker)) in enumerate(zip(panel.items(), marks(len(panel)), strict=True)):
                for row, method in enumerate(order):
                    at = row + apart * ((len(panel) - 1) / 2 - nth)
                    told = interval(of.scores(method, name, mode[method]), "iqm")
                    axes.plot([told.low, told.high], [at, at], color=colour, lw=2, alpha=0.6)
                    axes.plot(told.point, at, marker, color=colour, label=None if row else label)
            axes.set_title(head.capitalize(), loc="left", fontsize="medium")
            axes.set_yticks(range(len(order)), [_named(of, m, mode[m], show) for m in order])
            axes.set_ylim(-0.6, len(order) - 0.4)
            axes.set_xlabel(f"{'Share of successes' if of.score == 'success' else 'Return'}, IQM over seeds")
            axes.grid(axis="x", alpha=0.3)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(axis="y", length=0)
        figure.suptitle(title, fontsize="medium")
        figure.legend(
            *subplots[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=min(shown, 5)
        )
    return figure


def marks(count: int) -> list[tuple[str, str]]:
    """A colour and a shape for each of some conditions, no pair twice below 37; the last one is always black."""
    own = MARKS[:-1]
    many = range(count - 1)
    return [*((own[i % len(own)][0], own[(i + i // len(own)) % len(own)][1]) for i in many), MARKS[-1]]


def across_figure(found: Results, across: Across, show: Show) -> "matplotlib.figure.Figure":
    """Over the tasks' number what the methods of all of them reach in unseen conditions of their first suite."""
    tasks = {
        number: Conditions(found, Part(task, task), suite)
        for number, task in sorted(across.tasks.items())
        for suite in suites_of(found, task)[:1]
    }
    if not tasks:
        raise ConfigError(f"across '{across.name}' of show has no stress test in its tasks: take it away.")
    most, counts = list(tasks.values())[-1], list(tasks)
    chance = {row["method"] for row in most.chance}
    shared = [m for m in most.rows if m not in chance and all(m in of.rows for of in tasks.values())]
    names = [name for name in most.names if name not in show.hidden][1:]
    last = {method: most.modes(method)[-1] for method in shared}
    shared.sort(key=lambda m: -float(iqm(most.scores(m, names[-1], last[m]))))
    figure = new_figure(8.4, 5.0)
    with style():
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for name, axes in zip(names, panels, strict=True):
            # What is level at all counts stands a little aside.
            aside = 1.1 ** (np.arange(len(shared)) - (len(shared) - 1) / 2)
            for method, (colour, marker), factor in zip(shared, MARKS, aside, strict=False):
                seeds = min(len(of.rows[method]) for of in tasks.values())
                told = [interval(of.scores(method, name, last[method]), "iqm") for of in tasks.values()]
                at = [count * factor for count in counts]
                label = counted(_words(method, last[method], show), seeds)
                axes.semilogx(at, [f.point for f in told], f"{marker}-", color=colour, label=label)
                axes.vlines(at, [f.low for f in told], [f.high for f in told], color=colour, alpha=0.6)
            if chance and all(of.chance for of in tasks.values()):
                (method,) = chance
                level = [iqm(of.scores(method, name, of.modes(method)[0])) for of in tasks.values()]
                seeds = min(len(of.chance) for of in tasks.values())
                axes.semilogx(counts, level, ":", color="0.4", label=counted(show.label(method), seeds))
            axes.set_title(name.capitalize(), loc="left", fontsize="medium")
            axes.set_xlabel(across.label)
            axes.set_xticks(counts, [f"{count:g}" for count in counts])
            axes.minorticks_off()
            axes.grid(axis="y", alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel(f"{'Share of successes' if most.score == 'success' else 'Return'}, IQM over seeds")
        figure.suptitle(across.title or across.name, fontsize="medium")
        figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=1)
    return figure


def _named(of: Conditions, method: str, mode: str, show: Show) -> str:
    """``PPO, clean pictures (10 seeds)``."""
    by_chance = of.rows[method][0] in of.chance
    words = show.label(method) if by_chance else _words(method, mode, show)
    return counted(words, len(of.rows[method]))


def _words(method: str, mode: str, show: Show) -> str:
    noise: Mapping[str, Any] = {"mean": "clean", "sampled": "one draw", "fixed": "one draw held"}
    return f"{show.label(method)}, {noise.get(mode, mode.removeprefix('mc:') + ' draws')}"
