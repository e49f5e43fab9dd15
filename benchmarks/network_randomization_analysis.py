"""What Network Randomization does to hidden states: the paper's analyses, of the agents of `network_randomization.py`.

The same games in seen and unseen looks, played by one that always moves towards the ball, and what an agent's features
behind the last fully connected layer make of them: cycle-consistency of trajectories, distance of clean and randomised
features, and how returns and probabilities settle as more draws are averaged.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from runs import Row  # beside this file

TASK = "themed-4"
METHODS = ("ppo", "netrand", "netrand-env", "netrand-no-matching", "rad-conv")
"""Of which task and of which methods the agents are looked at."""
GAMES, STEPS = 64, 7
EPISODES = 128  # played with each number of draws
SEEN, UNSEEN = (0, 1, 2, 3), tuple(range(144, 208, 4))
SIZES = (1, 2, 5, 10, 20)
LAYER = "actor.1"  # the ReLU behind the last fully connected layer
MEASURES = {
    "cycle_2way": "cycle-consistency, 2-way",
    "cycle_3way": "3-way",
    "cycle_2way_exact": "2-way, no tolerance",
    "moved_by_looks": "features moved by unseen looks",
    "moved_by_draws": "features moved by draws",
}


@cache
def games(theme: int) -> np.ndarray:
    """Pictures [steps, games, …] of the same games in one theme, played by one that follows the ball."""
    from jostle import make_env

    env = make_env("jostle/ThemedCatch-v0", GAMES, seed=5, themes=[theme])
    obs, info = env.reset(seed=5)
    seen = []
    for _ in range(STEPS):
        seen.append(obs.copy())
        apart = info["ball"][:, 1] - info["paddle"][:, 1]
        obs, _, _, _, info = env.step(1 + np.sign(apart))
    env.close()
    return np.stack(seen)


def features(view: Any, pictures: np.ndarray, **how: Any) -> np.ndarray:
    """[steps, games, F]."""
    flat = pictures.reshape(-1, *pictures.shape[2:])
    found = np.concatenate([view.activations(part, LAYER, **how).numpy() for part in np.array_split(flat, 8)])
    return found.reshape(*pictures.shape[:2], -1)


def analyse(agent: Any) -> Row:
    """The measures of one agent."""
    import jostle
    from jostle import stress

    view = jostle.as_view(agent)
    pictures = {theme: games(theme) for theme in (*SEEN, *UNSEEN)}
    hidden = {theme: features(view, frames) for theme, frames in pictures.items()}
    found: dict[str, list[float]] = defaultdict(list)
    rng = np.random.default_rng(0)
    for at, unseen in enumerate(UNSEEN):
        v, u = hidden[SEEN[at % len(SEEN)]], hidden[unseen]
        w = hidden[int(rng.choice([t for t in UNSEEN if t != unseen]))]
        for game in range(GAMES):
            found["cycle_2way"].append(stress.cycle_consistency(v[:, game], u[:, game]))
            found["cycle_2way_exact"].append(stress.cycle_consistency(v[:, game], u[:, game], tolerance=0))
            found["cycle_3way"].append(stress.cycle_consistency_3way(v[:, game], u[:, game], w[:, game]))
        apart = stress.feature_distance(v.reshape(STEPS * GAMES, -1), u.reshape(STEPS * GAMES, -1))
        found["moved_by_looks"].append(apart.relative)
    row: Row = {name: float(np.mean(values)) for name, values in found.items()}
    if view.stochastic:
        view.redraw(2 * max(SIZES), seed=1)
        frames = pictures[UNSEEN[0]][:, :16]
        draws = [features(view, frames, draw=m).reshape(-1, hidden[UNSEEN[0]].shape[-1]) for m in range(8)]
        clean = features(view, frames).reshape(draws[0].shape)
        row["moved_by_draws"] = stress.feature_distance(clean, np.stack(draws)).relative
        flat = frames.reshape(-1, *frames.shape[2:])
        outputs = np.stack([view.distribution(flat, draw=m).p.numpy() for m in range(2 * max(SIZES))])
        _, variances = stress.average_of_draws(outputs, SIZES)
        played = [
            jostle.evaluate(agent, EPISODES, noise=f"mc:{m}", num_envs=64, env_options={"themes": list(UNSEEN)})
            for m in SIZES
        ]
        row["draws"] = {
            "sizes": list(SIZES), "variance": variances.tolist(),
            "return": [found.mean for found in played], "disagreement": [found.disagreement for found in played],
        }  # fmt: skip
    return row


def write(rows: Iterable[Row], folder: Path) -> None:
    """Table and figure of the runs whose agents were looked at."""
    from jostle import stress
    from jostle.scores.intervals import decimals

    by_method: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_method[row["method"]].append(row["analysis"])
    lines = [
        "# Hidden states under Network Randomization",
        "",
        "Made by `python benchmarks/network_randomization.py --table` from `network_randomization.jsonl`.",
        f"Agents of {TASK}; IQM over training seeds with 95% intervals.",
        f"{GAMES} games of {STEPS} steps in {len(UNSEEN)} unseen themes against the {len(SEEN)} of training. Chance",
        f"is {(3 * STEPS - 2) / STEPS**2:.2f} for 2-way cycles with a tolerance of one step, {1 / STEPS:.2f} without.",
        "Distances are relative to that of two different observations.",
        "",
        "| method | seeds | " + " | ".join(MEASURES.values()) + " |",
        "|---" * (len(MEASURES) + 2) + "|",
    ]
    columns = []
    for name in MEASURES:
        values = [[row[name] for row in found if name in row] for found in by_method.values()]
        column = [stress.interval(np.array(each), "iqm") if each else None for each in values]
        digits = decimals(column)
        columns.append(["–" if each is None else each.text(digits) for each in column])
    for (method, found), cells in zip(by_method.items(), zip(*columns, strict=True), strict=True):
        lines.append(f"| {method} | {len(found)} | {' | '.join(cells)} |")
    noisy = {m: [row["draws"] for row in found] for m, found in by_method.items() if all("draws" in r for r in found)}
    if noisy:
        lines += averages(noisy)
        figure(noisy, folder / "network_randomization_analysis.png")
    (folder / "network_randomization_analysis.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def averages(noisy: dict[str, list[Row]]) -> list[str]:
    """The table of returns and variances over the number of draws."""
    from jostle import stress

    lines = [
        "",
        f"Return in the unseen themes ({EPISODES} episodes) when M draws are averaged, and the variance of averaged",
        "probabilities between sets of M draws:",
        "",
        "| method | | " + " | ".join(f"M = {m}" for m in SIZES) + " |",
        "|---" * (len(SIZES) + 2) + "|",
    ]
    for method, draws in noisy.items():
        returns = [str(stress.interval(np.array([d["return"][i] for d in draws]), "iqm")) for i in range(len(SIZES))]
        variances = [f"{np.mean([d['variance'][i] for d in draws]):.2g}" for i in range(len(SIZES))]
        lines += [f"| {method} | return | {' | '.join(returns)} |", f"| | variance | {' | '.join(variances)} |"]
    return [*lines, "", "![Returns and variances as more draws are averaged](network_randomization_analysis.png)"]


def figure(noisy: dict[str, list[Row]], path: Path) -> None:
    """Return and variance over the number of draws, a line for each method that has noise."""
    import matplotlib.pyplot as plt
    from network_randomization_tables import LABELS, MARKS  # beside this file

    from jostle import stress
    from jostle.scores.plots import counted

    drawn, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4.2), layout="constrained")
    for (method, draws), (colour, marker), factor in zip(noisy.items(), MARKS, (0.92, 0.97, 1.03, 1.08), strict=False):
        label, at = counted(LABELS[method], len(draws)), [size * factor for size in SIZES]  # a little aside
        found = [stress.interval(np.array([d["return"][i] for d in draws]), "mean") for i in range(len(SIZES))]
        left.semilogx(at, [f.point for f in found], f"{marker}-", color=colour, ms=4.5, label=label)
        left.vlines(at, [f.low for f in found], [f.high for f in found], color=colour, alpha=0.6)
        variance = np.mean([d["variance"] for d in draws], axis=0)
        right.loglog(at, variance, f"{marker}-", color=colour, ms=4.5, label=label)
    left.set_ylabel("Return in unseen themes")
    left.set_title("Mean over seeds, 95% intervals", loc="left", fontsize="medium")
    right.set_ylabel("Variance")
    right.set_title("Variance of an averaged probability", loc="left", fontsize="medium")
    ticks = (0.002, 0.005, 0.01, 0.02, 0.05)
    right.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    for axes in (left, right):
        axes.set_xlabel("Draws averaged, M")
        axes.set_xticks(SIZES, [str(size) for size in SIZES])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    drawn.suptitle("ThemedCatch, 4 themes in training", fontsize="medium")
    drawn.legend(*right.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
    drawn.savefig(path, dpi=150)
    plt.close(drawn)
