"""Figures of the sanity checks."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jostle.scores.plots import COLOURS, FAINT, INK, bare, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure

RED = "#B00020"


def plot_randomisation(found: Any) -> "matplotlib.figure.Figure":
    """Of a `Randomisation`: four similarities, layer by layer, with the range over the steps."""
    figure = new_figure(3.4 + 0.12 * max(0, len(found.layers) - 8), 3.1)
    x = np.arange(len(found.layers))
    with style():
        panel = figure.subplots()
        rows = (
            ("ρ, absolute", found.absolute, "o"), ("ρ", found.signed, "s"), ("SSIM", found.structure, "^"),
            ("HOG", found.oriented, "D"),
        )  # fmt: skip
        for colour, (name, values, mark) in zip(COLOURS, rows, strict=False):
            mean = values.mean(1)
            panel.plot(x, mean, color=colour, marker=mark, ms=3.5, lw=1.4, label=name)
            panel.fill_between(x, values.min(1), values.max(1), color=colour, alpha=0.12, lw=0)
        if found.mode == "cascade":
            panel.axhline(0.5, color=INK, lw=0.8, ls=(0, (4, 3)))
        panel.set_xticks(
            x, [_short(name) for name in found.layers], rotation=60, ha="right", rotation_mode="anchor", fontsize=7
        )
        panel.set_ylim(-1.05, 1.05)
        panel.set_ylabel("similarity to own maps", fontsize=9)
        what = "fresh weights from the output down to" if found.mode == "cascade" else "fresh weights in"
        panel.set_xlabel(what, fontsize=9)
        _finish(panel, f"{found.method}: weight randomisation", found.failed)
        panel.legend(frameon=False, fontsize=7, ncols=4, loc="lower left", columnspacing=1.0, handlelength=1.4)
    return figure


def plot_curves(found: Any) -> "matplotlib.figure.Figure":
    """Of `Curves`: deletion and insertion against the share of the pixels, with their nulls."""
    figure = new_figure(3.4, 3.3)
    shares = 100 * found.shares
    with style():
        panel = figure.subplots()
        for colour, name in ((COLOURS[0], "deletion"), (COLOURS[1], "insertion")):
            panel.plot(shares, getattr(found, name).mean(0), color=colour, marker="o", ms=3, lw=1.6, label=name)
            null = getattr(found, f"null_{name}").mean(0)
            panel.plot(shares, null, color=colour, lw=1.2, ls=(0, (3, 2)), label=f"{name}, map shifted (null)")
        panel.set_xlabel("share of the pixels, %", fontsize=9)
        panel.set_ylabel(f"change of {found.target}", fontsize=9)
        panel.set_xscale("symlog", linthresh=1)
        panel.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
        panel.set_ylim(bottom=0)
        _finish(panel, f"{found.method}: fidelity and sparsity", found.failed)
        figure.legend(frameon=False, fontsize=7, ncols=2, loc="outside lower center")
    return figure


def plot_intervention(found: Any) -> "matplotlib.figure.Figure":
    """Of an `Intervention`: a dot a step and object, claims against effects, and the effects of changes elsewhere."""
    figure = new_figure(3.4, 3.3)
    with style():
        panel = figure.subplots()
        for number, name in enumerate(found.objects):
            colour = COLOURS[number % len(COLOURS)]
            panel.plot(found.claim[number], found.effect[number], "o", ms=3, color=colour, alpha=0.6, label=name)
            elsewhere = found.elsewhere[number].mean()
            if np.isfinite(elsewhere):
                label = "as large a change elsewhere (null)" if number == len(found.objects) - 1 else None
                panel.axhline(elsewhere, color=colour, lw=1.2, ls=(0, (3, 2)), label=label)
        panel.set_xlabel("what the map says of the object", fontsize=9)
        panel.set_ylabel(f"change of {found.target}", fontsize=9)
        panel.set_ylim(bottom=0)
        told = f"ρ = {found.agreement.point:.2f}, without a policy {found.null.point:.2f}"
        _finish(panel, f"{found.method}: objects changed\n{told}", found.failed)
        figure.legend(frameon=False, fontsize=7, ncols=2, loc="outside lower center")
    return figure


def _short(name: str) -> str:
    """The end of a long name."""
    return name if len(name) <= 18 else f"…{name[-17:]}"


def _finish(panel: Any, title: str, failed: str | None) -> None:
    panel.grid(axis="y", color=FAINT, lw=0.8)
    panel.tick_params(labelsize=8)
    panel.tick_params(axis="x", labelsize=7)
    bare(panel)
    text = title + (f"\nFAILED: {failed}" if failed else "")
    panel.set_title(text, loc="left", fontsize=9 if not failed else 8, color=RED if failed else INK)
