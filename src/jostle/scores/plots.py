"""Figures of scores: intervals of methods, performance profiles, learning curves. They need matplotlib (extra `lab`).

Every function returns a matplotlib figure that belongs to no window and no global state:
``figure.savefig("scores.svg")``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jostle.errors import ConfigError
from jostle.scores.curves import curve
from jostle.scores.intervals import profile_band
from jostle.scores.statistics import as_scores, as_vector, performance_profile
from jostle.scores.summary import TITLES, Summary, check_metrics

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

# Okabe and Ito's palette, which the colour-blind can tell apart; its yellow is left out, since it is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))  # a second round of colours is dashed, a third dotted
INK, FAINT = "#333333", "#D9D9D9"
STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.labelsize": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
}


def plot_intervals(
    summaries: Mapping[str, Summary],
    *,
    metrics: Sequence[str] = ("iqm", "mean", "median", "optimality_gap"),
    label: str = "Score",
    title: str = "",
) -> "matplotlib.figure.Figure":
    """Point and interval of each method, one panel per metric.

    Args:
        summaries: method -> summary, as `compare` returns them; what is best by the first metric stands on top. More
            methods than there are colours have one colour.
        metrics: the panels.
        label: what the scores are, for the horizontal axis.
        title: the environment and whatever else a reader must know.
    """
    check_metrics(summaries, metrics)
    height = 1.15 + 0.36 * len(summaries) + 0.3 * bool(title)
    figure = new_figure(1.6 + 2.6 * len(metrics), height)
    sign = 1 if metrics[0] == "optimality_gap" else -1
    order = sorted(summaries, key=lambda name: sign * getattr(summaries[name], metrics[0]).point)
    enough = len(summaries) <= len(COLOURS)
    colours = {name: COLOURS[number if enough else 0] for number, name in enumerate(summaries)}
    with style():
        panels = np.ravel(figure.subplots(1, len(metrics), sharey=True, squeeze=False))
        for panel, metric in zip(panels, metrics, strict=True):
            for row, name in enumerate(order):
                found, colour = getattr(summaries[name], metric), colours[name]
                panel.plot([found.low, found.high], [row, row], color=colour, alpha=0.45, lw=9, solid_capstyle="butt")
                panel.plot([found.point, found.point], [row - 0.24, row + 0.24], color=colour, lw=2.5)
            bare(panel, keep=("bottom",))
            panel.grid(axis="x", color=FAINT, lw=0.8)
            panel.tick_params(axis="y", length=0)
            panel.locator_params(axis="x", nbins=4)
            panel.set_title(TITLES[metric] + (" (less is better)" if metric == "optimality_gap" else ""))
            panel.set_ylim(len(summaries) - 0.5, -0.5)
        panels[0].set_yticks(range(len(summaries)), [counted(name, summaries[name].runs) for name in order])
        figure.supxlabel(label, fontsize=11, color=INK)
        figure.suptitle(title, fontsize=11.5, color=INK)
    return figure


def plot_profiles(
    table: Mapping[str, ArrayLike],
    thresholds: ArrayLike | None = None,
    *,
    label: str = "Score τ",
    title: str = "",
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> "matplotlib.figure.Figure":
    """Performance profiles with their pointwise bands: the higher curve is the better method at that threshold.

    Args:
        table: method -> scores [R, M] or [R].
        thresholds: where to evaluate; by default every score, which is exact, or 400 points if there are more scores.
        label: the horizontal axis.
        title: the environments and whatever else a reader must know.
        confidence, resamples, seed: as in `profile_band`.
    """
    if not table:
        raise ConfigError("there is nothing to show: give at least one method.")
    scores = {name: as_scores(values, name) for name, values in table.items()}
    if thresholds is None:
        thresholds = np.unique(np.concatenate([matrix.ravel() for matrix in scores.values()]))
        margin = 0.02 * (thresholds[-1] - thresholds[0]) or 0.5
        ends = thresholds[0] - margin, thresholds[-1] + margin
        thresholds = np.linspace(*ends, 400) if len(thresholds) > 398 else np.r_[ends[0], thresholds, ends[1]]
    levels = as_vector(thresholds, "thresholds")
    figure = new_figure(6.4, 4.0)
    with style():
        panel = figure.subplots()
        for number, (name, matrix) in enumerate(scores.items()):
            low, high = profile_band(matrix, levels, confidence=confidence, resamples=resamples, seed=seed)
            shares, told = performance_profile(matrix, levels), counted(name, len(matrix))
            _line(panel, number, levels, shares, low, high, told, steps=True)
        bare(panel)
        panel.set_title(title, loc="left")
        panel.set(xlabel=label, ylabel="Share of runs above τ", ylim=(-0.02, 1.02), xlim=(levels[0], levels[-1]))
        _legend(panel, {name: float(matrix.mean()) for name, matrix in scores.items()})
    return figure


def plot_curves(
    curves: Mapping[str, Sequence[tuple[ArrayLike, ArrayLike]]],
    *,
    label: str = "Return",
    title: str = "",
    statistic: str = "iqm",
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> "matplotlib.figure.Figure":
    """Learning curves: a statistic over seeds with its pointwise band, each curve labelled at its end.

    Args:
        curves: method -> per seed ``(steps, values)``; a curve ends where the first of its runs ends.
        label: the vertical axis.
        title: the environment and whatever else a reader must know.
        statistic, confidence, resamples, seed: as in `jostle.stress.curve`.
    """
    if not curves:
        raise ConfigError("there is nothing to show: give at least one method.")
    options: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed}
    found = {name: curve(runs, statistic, **options) for name, runs in curves.items()}
    figure = new_figure(6.8, 4.0)
    with style():
        panel = figure.subplots()
        for number, (name, line) in enumerate(found.items()):
            _line(panel, number, line.steps, line.point, line.low, line.high, counted(name, line.runs))
        bare(panel)
        panel.grid(axis="y", color=FAINT, lw=0.8)
        alone = all(line.runs == 1 for line in found.values())
        over = "" if alone else f"{TITLES[statistic]} over seeds, {100 * confidence:.4g}% band"
        panel.set(xlabel="Environment steps", ylabel=label)
        panel.set_title("\n".join(filter(None, (title, over))), loc="left", fontsize=11)
        panel.xaxis.set_major_formatter(thousands)
        panel.set_xlim(min(line.steps[0] for line in found.values()), max(line.steps[-1] for line in found.values()))
        if len(found) > len(COLOURS):
            _legend(panel, {name: float(line.point[-1]) for name, line in found.items()})
        else:
            ends = {counted(name, line.runs): (line.steps[-1], line.point[-1]) for name, line in found.items()}
            _end_labels(panel, ends)
    return figure


def counted(name: str, runs: int) -> str:
    """``PPO (10 seeds)``."""
    return f"{name} ({runs} seed{'' if runs == 1 else 's'})"


def new_figure(width: float, height: float) -> "matplotlib.figure.Figure":
    """An empty figure, in inches, that belongs to no window.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('figures need matplotlib: pip install "jostle[lab]".') from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")


def style() -> Any:
    """Within this context figures have the project's fonts and colours."""
    import matplotlib as mpl

    return mpl.rc_context(STYLE)


def _line(
    panel: "matplotlib.axes.Axes",
    number: int,
    x: Float[np.ndarray, "T"],
    point: Float[np.ndarray, "T"],
    low: Float[np.ndarray, "T"],
    high: Float[np.ndarray, "T"],
    name: str,
    steps: bool = False,
) -> None:
    """A line with its band; `steps` holds each value until the next x."""
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
    panel.fill_between(x, low, high, color=colour, alpha=0.18, lw=0, step="post" if steps else None)
    panel.plot(x, point, color=colour, ls=dash, lw=2, label=name, drawstyle="steps-post" if steps else "default")


def bare(panel: "matplotlib.axes.Axes", keep: tuple[str, ...] = ("left", "bottom")) -> None:
    """Leave only some of the frame's sides, and draw the grid behind the data."""
    for side, spine in panel.spines.items():
        spine.set_visible(side in keep)
    panel.set_axisbelow(True)


def _legend(panel: "matplotlib.axes.Axes", values: Mapping[str, float]) -> None:
    """Beside the panel, the lines with the highest values first; values in the order in which they were drawn."""
    handles, names = panel.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda number: -[*values.values()][number])
    panel.legend(
        [handles[number] for number in order],
        [names[number] for number in order],
        frameon=False,
        handlelength=2.4,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
    )


def _end_labels(panel: "matplotlib.axes.Axes", ends: Mapping[str, tuple[float, float]]) -> None:
    """Each curve's name where the curve ends; names that would cover each other are moved apart vertically."""
    from matplotlib.patheffects import withStroke

    low, high = panel.get_ylim()
    gap = 0.065 * (high - low)
    left, right = panel.get_xlim()
    heights: dict[str, float] = {}
    groups: list[list[str]] = []
    for name in sorted(ends, key=lambda name: ends[name][0]):
        if groups and ends[name][0] - ends[groups[-1][0]][0] < 0.1 * (right - left):  # a name is as wide as that
            groups[-1].append(name)
        else:
            groups.append([name])
    for group in groups:
        heights |= _apart(sorted((ends[name][1], name) for name in group), gap, low + gap / 2, high)
    for number, (name, (x, _)) in enumerate(ends.items()):
        panel.annotate(
            name,
            (x, heights[name]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=COLOURS[number % len(COLOURS)],
            fontweight="bold",
            annotation_clip=False,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )


def _apart(wanted: list[tuple[float, str]], gap: float, bottom: float, top: float) -> dict[str, float]:
    """Heights near the wanted ones (ascending), at least `gap` apart, from `bottom` to `top` if there is the room."""
    raised = [height for height, _ in wanted]
    lowered = list(raised)
    for i in range(1, len(wanted)):
        raised[i] = max(raised[i], raised[i - 1] + gap)
        lowered[-1 - i] = min(lowered[-1 - i], lowered[-i] - gap)
    # Both are far enough apart, so their mean is, and it stays centred on the curves.
    found = [(high + low) / 2 for high, low in zip(raised, lowered, strict=True)]
    ceiling = [top - gap * (len(found) - 1 - i) for i in range(len(found))]
    within = [min(height, cap) for height, cap in zip(found, ceiling, strict=True)]
    return {
        name: max(height, bottom + gap * i) for i, ((_, name), height) in enumerate(zip(wanted, within, strict=True))
    }


def thousands(value: float, _: object = None) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
