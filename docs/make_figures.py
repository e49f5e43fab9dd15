"""Draws pictures of the pages: python docs/make_figures.py (needs `lab` and `mujoco`)."""

from pathlib import Path

import matplotlib as mpl
import numpy as np

from jostle.envs import make_env
from jostle.envs.diagnostics.themed.render import CELLS, Painter
from jostle.envs.diagnostics.themed.themes import SPLITS, theme
from jostle.stress.perturbation import KINDS, STRENGTHS, Perturbation
from jostle.stress.pictures import Layout

mpl.use("agg")
from matplotlib import pyplot as plt

IMAGES = Path(__file__).parent / "images"
COLUMNS = 8
SHOWN = {"train": range(24), "tune": range(128, 136), "test": range(144, 176)}
NOTES = {
    "train": "smooth grounds, discs and squares, light on dark",
    "tune": "coarse tiles and dots, plus signs; half of them dark on light",
    "test": "fine grounds, four new shapes; half of them dark on light, half with still distractors",
}


def themes_figure() -> None:
    """A sheet of themes, split by split, each in another state of the game."""
    rows = [len(shown) // COLUMNS for shown in SHOWN.values()]
    figure = plt.figure(figsize=(COLUMNS * 1.1 + 0.1, sum(rows) * 1.1 + 0.42 * len(rows) + 0.1), dpi=120)
    figure.patch.set_facecolor("white")
    blocks = figure.subfigures(len(rows), 1, height_ratios=[r * 1.1 + 0.42 for r in rows], hspace=0.0)
    for block, count, (split, shown) in zip(blocks, rows, SHOWN.items(), strict=True):
        height = count * 1.1 + 0.42
        title = f"{split}  ({len(SPLITS[split])} themes)"
        block.text(0.012, 1 - 0.15 / height, title, size=11, weight="bold", va="center")
        block.text(0.99, 1 - 0.15 / height, NOTES[split], size=8.5, color="#555555", ha="right", va="center")
        axes = block.subplots(count, COLUMNS, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
        block.subplots_adjust(left=0.01, right=0.99, bottom=0.1 / height, top=1 - 0.3 / height)
        for axis, picture in zip(np.ravel(axes), _pictures(shown), strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set_axis_off()
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / "themes.png")


def _pictures(shown: range) -> np.ndarray:
    """One picture in every theme, ball and paddle in places that vary."""
    turn = np.arange(len(shown))
    ball = np.stack([1 + turn * 3 % (CELLS - 3), 1 + turn * 5 % (CELLS - 2)], axis=1)
    paddle = np.stack([np.full(len(shown), CELLS - 1), 1 + turn * 4 % (CELLS - 3)], axis=1)
    return Painter([theme(index) for index in shown], 64).draw(turn, ball, paddle)


def perturbations_figure() -> None:
    """Every perturbation at every strength, on one picture of the themed game."""
    picture = Painter([theme(9)], 64).draw(np.zeros(1, int), np.array([[3, 2]]), np.array([[CELLS - 1, 4]]))
    layout, once = Layout(1, 3, last=True), np.array([3])
    figure = plt.figure(figsize=(len(KINDS) * 1.1, len(STRENGTHS) * 1.1 + 0.3), dpi=120)
    axes = figure.subplots(len(STRENGTHS), len(KINDS), gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    figure.subplots_adjust(left=0.03, right=0.99, bottom=0.01, top=0.94)
    for row, strength in zip(axes, STRENGTHS, strict=True):
        row[0].text(-9, 32, str(strength), size=10, va="center", ha="center")
        for axis, kind in zip(row, KINDS, strict=True):
            axis.imshow(Perturbation(kind, strength).apply(picture, layout, 1, once, once)[0], interpolation="nearest")
            axis.set_axis_off()
            if strength == 1:
                axis.set_title(kind, size=10)
    figure.savefig(IMAGES / "perturbations.png")


def reach_figure() -> None:
    """Reach in its own looks, in looks drawn at random, and which object each pixel of these shows."""
    count, rng = 6, np.random.default_rng(0)
    env = make_env("jostle/Reach-v0", num_envs=count, observation="picture", threads=1)
    plain, _ = env.reset(seed=0)
    engine = env._engine
    offered, values = engine.quantities, {}
    for name in offered:
        if name.endswith((".rgba.r", ".rgba.g", ".rgba.b")) and "target" not in name:
            values[name] = rng.uniform(0, 1, count)
        elif name.endswith(".texture"):
            values[name] = rng.integers(0, len(offered[name].choices), count).astype(float)
        elif name.startswith(("eye.turn.", "eye.pos.")):
            values[name] = offered[name].nominal + rng.uniform(-0.06, 0.06, count)
        elif name.startswith("lamp.diffuse"):
            values[name] = rng.uniform(0.2, 1, count)
    values["distractor.rgba.a"] = np.arange(count) % 2.0
    values["occluder.rgba.a"] = (np.arange(count) == 3) * 1.0
    engine.set_quantities(values, np.arange(count))
    drawn, _ = env.reset(seed=0)
    masks = env.object_masks() or {}
    shown = np.zeros((count, 64, 64, 3), np.uint8)
    for mask, colour in zip(masks.values(), mpl.colormaps["tab10"].colors, strict=False):
        shown[mask] = (np.array(colour) * 255).astype(np.uint8)
    rows = [plain.transpose(0, 2, 3, 1), drawn.transpose(0, 2, 3, 1), shown]
    plt.imsave(IMAGES / "reach.png", np.vstack([np.hstack(list(row)) for row in rows]).repeat(2, 0).repeat(2, 1))
    env.close()


if __name__ == "__main__":
    themes_figure()
    perturbations_figure()
    reach_figure()
