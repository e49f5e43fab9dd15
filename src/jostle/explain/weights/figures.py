"""Figures of weights."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jostle.scores.plots import COLOURS, bare, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure


def plot_kernels(found: Any, *, most: int = 64) -> "matplotlib.figure.Figure":
    """Of `Kernels`."""
    sides = [("trained", found.pictures()[:most])]
    if found.initial is not None:
        sides.append(("at the start", found.pictures(initial=True)[:most]))
    columns = int(np.ceil(np.sqrt(len(sides[0][1]))))
    height, width = sides[0][1].shape[1:3]
    if height == 1:  # rows of a fully connected layer: one under the other
        columns = 1
    rows = -(-len(sides[0][1]) // columns)
    aspect = (rows * (height + 1)) / (columns * (width + 1))
    figure = new_figure(3.1 * len(sides) + 0.5, min(max(3.1 * aspect, 1.2), 6.0) + 0.7)
    with style():
        panels = figure.subplots(1, len(sides), squeeze=False)[0]
        drawn: Any = None
        for panel, (title, tiles) in zip(panels, sides, strict=True):
            sheet = _sheet(tiles, rows, columns)
            auto = "auto" if height == 1 else "equal"
            drawn = panel.imshow(
                sheet, cmap="gray" if tiles.ndim == 4 else "PuOr", vmin=0, vmax=1, interpolation="nearest", aspect=auto
            )
            panel.set(xticks=[], yticks=[])
            panel.set_title(title, fontsize=10)
            bare(panel, keep=())
        bar = figure.colorbar(drawn, ax=panels.tolist(), fraction=0.04, pad=0.02, ticks=[0, 0.5, 1])
        bar.ax.set_yticklabels([f"{-found.bound:.2g}", "0", f"{found.bound:.2g}"], fontsize=8)
        if sides[0][1].ndim == 4:
            bar.set_label("of each colour (grey: 0)", fontsize=8)
        shown = "" if len(found.pictures()) <= most else f", the first {most}"
        figure.suptitle(f"kernels of {found.layer}, one scale{shown}", fontsize=10.5)
    return figure


def plot_statistics(found: Any) -> "matplotlib.figure.Figure":
    """Of `WeightStatistics`."""
    count = len(found.tensors)
    columns = min(3, count)
    rows = -(-count // columns)
    figure = new_figure(2.4 * columns + 0.3, 1.75 * rows + 0.5)
    with style():
        panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
        for panel, tensor in zip(panels, found.tensors, strict=False):
            values = tensor.values.ravel()
            start = found.start.get(tensor.name)
            everything = values if start is None else np.concatenate([values, start.values.ravel()])
            bins = np.linspace(everything.min(), everything.max() + 1e-9, 41)
            if start is not None:
                panel.hist(start.values.ravel(), bins, density=True, color=COLOURS[1], alpha=0.45, label="at the start")
            panel.hist(values, bins, density=True, histtype="step", color=COLOURS[0], lw=1.5, label="trained")
            numbers = found.layers[tensor.name]
            told = f"L2 {numbers['L2']:.3g}, kurtosis {numbers['kurtosis']:.2g}"
            panel.set_title(f"{tensor.name}\n{told}", fontsize=8, loc="left")
            panel.set_yticks([])
            panel.tick_params(axis="x", labelsize=7.5)
            bare(panel, keep=("bottom",))
        for panel in panels[count:]:
            panel.set_axis_off()
        if found.start:
            panels[0].legend(frameon=False, fontsize=7.5, loc="upper left", handlelength=1.2)
        figure.supxlabel("weight", fontsize=9)
    return figure


def plot_spectra(found: Any) -> "matplotlib.figure.Figure":
    """Of `Spectra`."""
    figure = new_figure(6.6, 2.4)
    with style():
        panels = figure.subplots(1, 3, width_ratios=[1, 1, 1.3])
        top = max(found.spectrum.max(), found.reference.max())
        drawn: Any = None
        for panel, values, title in zip(
            panels[:2], (found.spectrum, found.reference), ("trained", "fresh (null)"), strict=True
        ):
            drawn = panel.imshow(np.fft.fftshift(values), cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
            panel.set(xticks=[len(values) // 2], yticks=[len(values) // 2])
            panel.set_xticklabels(["0"], fontsize=8)
            panel.set_yticklabels(["0"], fontsize=8)
            panel.set_title(title, fontsize=9)
        bar = figure.colorbar(drawn, ax=panels[:2].tolist(), fraction=0.05, pad=0.02)
        bar.ax.tick_params(labelsize=7)
        own, fresh = found.radial
        x = np.arange(len(own)) / len(found.spectrum)
        panels[2].plot(x, own, color=COLOURS[0], lw=1.8, label="trained")
        panels[2].plot(x, fresh, color=COLOURS[1], lw=1.5, ls="--", label="fresh (null)")
        panels[2].set_xlabel("|frequency| in cycles per pixel", fontsize=8.5)
        panels[2].set_ylabel("power (flat: 1)", fontsize=8.5)
        panels[2].tick_params(labelsize=7.5)
        panels[2].legend(frameon=False, fontsize=8)
        bare(panels[2])
        told = f"D = {found.mean_divergence:.3g} nats beyond fresh kernels, p = {found.p:.2g}"
        figure.suptitle(f"spectra of {found.layer}: {told}", fontsize=9.5)
    return figure


def _sheet(tiles: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Tiles [N, h, w] or [N, h, w, 3] in a grid with white lines between them."""
    height, width = tiles.shape[1:3]
    blank = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, *tiles.shape[3:]), np.nan)
    if tiles.ndim == 4:
        blank[:] = 1.0
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + 1) + 1, column * (width + 1) + 1
        blank[top : top + height, left : left + width] = tile
    return blank
