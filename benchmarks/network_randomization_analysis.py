"""What Network Randomization does to hidden states: the paper's analyses, on the agents of the study.

    python benchmarks/network_randomization.py --only themed-4 --methods ppo netrand netrand-env jitter
    python benchmarks/network_randomization_analysis.py

Reads the agents that the study left in benchmarks/agents, plays the same games in seen and unseen looks with a player
that always moves towards the ball, and looks at the features behind the last fully connected layer: cycle-consistency
of trajectories, distance of clean and randomised features, and how probabilities settle as more draws are averaged.
Writes network_randomization_analysis.json, .md and .png into benchmarks/results.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from runs import circumstances  # beside this file

AGENTS = Path(__file__).parent / "agents"
RESULTS = Path(__file__).parent / "results"
GAMES, STEPS = 64, 7
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


def analyse(folder: Path, pictures: dict[int, np.ndarray]) -> dict[str, Any]:
    """The measures of one agent."""
    import jostle
    from jostle import stress

    agent = jostle.load(folder)
    view = jostle.as_view(agent)
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
    row: dict[str, Any] = {name: float(np.mean(values)) for name, values in found.items()}
    if view.stochastic:
        view.redraw(2 * max(SIZES), seed=1)
        frames = pictures[UNSEEN[0]][:, :16]
        draws = [features(view, frames, draw=m).reshape(-1, hidden[UNSEEN[0]].shape[-1]) for m in range(8)]
        clean = features(view, frames).reshape(draws[0].shape)
        row["moved_by_draws"] = stress.feature_distance(clean, np.stack(draws)).relative
        flat = frames.reshape(-1, *frames.shape[2:])
        outputs = np.stack([view.distribution(flat, draw=m).p.numpy() for m in range(2 * max(SIZES))])
        means, variances = stress.average_of_draws(outputs, SIZES)
        row["draws"] = {"sizes": list(SIZES), "variance": variances.tolist(), "mean": means.tolist()}
    agent.env.close()
    return row


def write(rows: list[dict[str, Any]]) -> None:
    """Table and figure."""
    import matplotlib.pyplot as plt

    from jostle import stress

    by_method: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_method[row["method"]].append(row)
    lines = [
        "# Hidden states under Network Randomization",
        "",
        "Made by `python benchmarks/network_randomization_analysis.py`. IQM over training seeds with 95% intervals.",
        f"{GAMES} games of {STEPS} steps in {len(UNSEEN)} unseen themes against the {len(SEEN)} of training. Chance",
        f"is {(3 * STEPS - 2) / STEPS**2:.2f} for 2-way cycles with a tolerance of one step, {1 / STEPS:.2f} without.",
        "Distances are relative to that of two different observations.",
        "",
        "| method | seeds | " + " | ".join(MEASURES.values()) + " |",
        "|---" * (len(MEASURES) + 2) + "|",
    ]
    for method, found in by_method.items():
        cells = []
        for name in MEASURES:
            values = [row[name] for row in found if name in row]
            cells.append(str(stress.interval(np.array(values), "iqm")) if values else "–")
        lines.append(f"| {method} | {len(found)} | {' | '.join(cells)} |")
    lines += ["", "![Variance of the averaged probabilities](network_randomization_analysis.png)"]
    (RESULTS / "network_randomization_analysis.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    drawn, axes = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
    for method, found in by_method.items():
        variances = np.array([row["draws"]["variance"] for row in found if "draws" in row])
        if len(variances):
            axes.loglog(SIZES, variances.mean(0), "o-", label=method)
    axes.set_xlabel("Draws averaged, M")
    axes.set_ylabel("Variance of a probability")
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    drawn.savefig(RESULTS / "network_randomization_analysis.png", dpi=150)
    plt.close(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="themed-4")
    args = parser.parse_args()
    folders = sorted(AGENTS.glob(f"{args.task}--*"))
    if not folders:
        parser.error(f"{AGENTS} holds no agents of {args.task}: run network_randomization.py first")
    pictures = {theme: games(theme) for theme in (*SEEN, *UNSEEN)}
    rows = []
    for folder in folders:
        _, method, seed = folder.name.split("--")
        rows.append({"method": method, "seed": int(seed), **analyse(folder, pictures)})
        print(folder.name, {name: round(rows[-1][name], 3) for name in MEASURES if name in rows[-1]}, flush=True)
    out = {"task": args.task, "rows": rows, **circumstances("jostle", "torch", "numpy")}
    (RESULTS / "network_randomization_analysis.json").write_text(json.dumps(out, indent=1) + "\n")
    write(rows)


if __name__ == "__main__":
    main()
