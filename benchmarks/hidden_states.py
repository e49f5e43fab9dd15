"""What Network Randomization does to hidden states: the paper's analyses, of agents of a study's.

    python benchmarks/hidden_states.py studies/network_randomization   # agents not looked into yet, then the tables
    python benchmarks/hidden_states.py --table                         # the tables and figures alone

The same games in seen and unseen looks, played by one that always moves towards the ball, and what an agent's features
behind the last fully connected layer make of them: cycle-consistency of trajectories, distance of clean and randomised
features, and how returns and probabilities settle as more draws are averaged. The same measures of an encoder before
training and of the pictures themselves are the nulls: pictures of one state are alike without any learning.

It is no study: nothing is trained here, and what is measured is no score. An agent is one line of
benchmarks/results/hidden_states.jsonl.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from jostle.scores.plots import COLOURS, counted
from jostle.study import read_study
from jostle.study.machine import processor, versions
from jostle.study.shown.conditions import chances, columns, difference
from jostle.study.state import Shelf

HERE = Path(__file__).parent
RESULTS = HERE / "results"
RAW = RESULTS / "hidden_states.jsonl"
SPEC = HERE / "studies" / "network_randomization.yaml"
Row = dict[str, Any]
TASK = "themed-4"
NULLS = ("pixels", "untrained")
METHODS = (*NULLS, "ppo", "netrand", "netrand-env", "netrand-no-matching", "rad-conv")
"""Of which task and of which methods the agents are looked at."""
PAIRS = (
    ("ppo", "untrained"), ("netrand", "untrained"), ("netrand-env", "untrained"), ("netrand", "ppo"),
    ("netrand-env", "ppo"), ("netrand", "netrand-no-matching"),
)  # fmt: skip
WITHOUT = (
    "netrand",
    "netrand-no-matching",
)  # with feature matching and without: also how often one ends above the other
"""What is compared seed by seed: equal seeds begin with equal weights, and with those of the untrained encoder."""
GAMES, STEPS = 64, 7
EPISODES = 128  # played with each number of draws
SEEN, UNSEEN = (0, 1, 2, 3), tuple(range(144, 208, 4))
SIZES = (1, 2, 5, 10, 20)
MARKS = tuple(zip(COLOURS, ("o", "s", "D", "^", "v", "P", "X"), strict=True))
LAYER, INPUT = "actor.1", "encoder.input"
"""The ReLU behind the last fully connected layer; the layer that noise is in, which hands pictures on."""
MEASURES = {
    "cycle_2way": "cycle-consistency, 2-way",
    "cycle_3way": "3-way",
    "cycle_2way_exact": "2-way, no tolerance",
    "moved_by_looks": "features moved by unseen looks",
    "moved_by_draws": "features moved by draws",
}
CHANCE = {"cycle_2way": (3 * STEPS - 2) / STEPS**2, "cycle_2way_exact": 1 / STEPS}
"""Of a cycle that may end at any step."""


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


def features(view: Any, pictures: np.ndarray, layer: str, **how: Any) -> np.ndarray:
    """[steps, games, F]."""
    flat = pictures.reshape(-1, *pictures.shape[2:])
    found = np.concatenate([view.activations(part, layer, **how).numpy() for part in np.array_split(flat, 8)])
    return found.reshape(*pictures.shape[:2], -1)


def analyse(agent: Any, method: str) -> Row:
    """The measures of one agent; nulls do not play."""
    import jostle
    from jostle import stress

    view, layer = jostle.as_view(agent), INPUT if method == "pixels" else LAYER
    pictures = {theme: games(theme) for theme in (*SEEN, *UNSEEN)}
    hidden = {theme: features(view, frames, layer) for theme, frames in pictures.items()}
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
        draws = [features(view, frames, layer, draw=m).reshape(-1, hidden[UNSEEN[0]].shape[-1]) for m in range(8)]
        clean = features(view, frames, layer).reshape(draws[0].shape)
        row["moved_by_draws"] = stress.feature_distance(clean, np.stack(draws)).relative
    if view.stochastic and method not in NULLS:
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
    """Tables and figures of the runs whose agents were looked at."""
    from jostle import stress

    of: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in rows:
        of[row["method"]][row["seed"]] = row["analysis"]
    by_method = {method: of[method] for method in METHODS if method in of}
    lines = [
        "# Hidden states under Network Randomization",
        "",
        "Made by `python benchmarks/hidden_states.py --table` from `hidden_states.jsonl`.",
        f"Agents of {TASK}; IQM over training seeds with 95% intervals.",
        f"{GAMES} games of {STEPS} steps in {len(UNSEEN)} unseen themes against the {len(SEEN)} of training. Chance",
        f"is {CHANCE['cycle_2way']:.2f} for 2-way cycles with a tolerance of one step,",
        f"{CHANCE['cycle_2way_exact']:.2f} without. Distances are relative to that of two different observations.",
        "",
        "Two rows are nulls: `untrained` is the network before its first update, `pixels` the pictures as they enter",
        "it (clean, or through the random convolution), which no seed changes.",
        "",
        "| method | seeds | " + " | ".join(MEASURES.values()) + " |",
        "|---" * (len(MEASURES) + 2) + "|",
    ]
    rows = []
    for method, found in by_method.items():
        values = [[row[name] for row in found.values() if name in row] for name in MEASURES]
        rows.append((f"| {method} | {len(found)} |", [stress.interval(v, "iqm") if v else None for v in values]))
    lines += columns(rows)
    lines += differences(by_method)
    figure_of_measures(by_method, folder / "hidden_states.png")
    lines += ["", "![Every measure of every method, with its nulls](hidden_states.png)"]
    noisy = {
        m: [row["draws"] for row in found.values()]
        for m, found in by_method.items()
        if all("draws" in row for row in found.values())
    }
    if noisy:
        lines += averages(noisy)
        figure(noisy, folder / "hidden_states_draws.png")
    (folder / "hidden_states.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def differences(by_method: Mapping[str, Mapping[int, Row]]) -> list[str]:
    """The table of differences between methods, seed by seed."""
    lines = [
        "",
        "Mean difference over the seeds that both have, pairs kept together in the bootstrap. A seed's agents,",
        "whatever the method, begin with the weights of its `untrained`:",
        "",
        "| difference | pairs | " + " | ".join(MEASURES.values()) + " |",
        "|---" * (len(MEASURES) + 2) + "|",
    ]
    rows = []
    for x, y in PAIRS:
        if {x, y} <= by_method.keys():
            sides = [[{s: r[name] for s, r in by_method[m].items() if name in r} for name in MEASURES] for m in (x, y)]
            found = [difference(a, b) for a, b in zip(*sides, strict=True)]
            rows.append((f"| {x} − {y} | {len(by_method[x].keys() & by_method[y].keys())} |", found))
            if (x, y) == WITHOUT:
                rows.append(chances(x, y, *sides))
    return [*lines, *columns(rows)]


def figure_of_measures(by_method: Mapping[str, Mapping[int, Row]], path: Path) -> None:
    """A panel for each measure, a row for each method, nulls in grey above."""
    import matplotlib.pyplot as plt

    from jostle import stress

    labels = {**labels_of(), "pixels": "the pictures", "untrained": "untrained network"}

    drawn, panels = plt.subplots(1, len(MEASURES), figsize=(14.0, 3.4), sharey=True, layout="constrained")
    order = list(reversed(by_method))
    for (name, title), axes in zip(MEASURES.items(), panels, strict=True):
        ends = []
        for at, method in enumerate(order):
            values = [row[name] for row in by_method[method].values() if name in row]
            if values:
                found = stress.interval(np.array(values), "iqm")
                colour, marker = ("0.45", "s") if method in NULLS else ("#4477aa", "o")
                axes.plot([found.low, found.high], [at, at], color=colour, lw=2, alpha=0.6)
                axes.plot(found.point, at, marker, color=colour)
                ends.append(np.nanmax([found.point, found.high]))
        if name in CHANCE:
            axes.axvline(CHANCE[name], color="0.45", ls=":", lw=1)
            axes.annotate(
                "chance", (CHANCE[name], 0.98), xycoords=("data", "axes fraction"), xytext=(3, 0),
                textcoords="offset points", color="0.45", fontsize="small", va="top",
            )  # fmt: skip
        axes.set_title(title[0].upper() + title[1:], loc="left", fontsize="small")
        axes.set_yticks(range(len(order)), [counted(labels[m], len(by_method[m])) for m in order])
        axes.set_ylim(-0.6, len(order) - 0.1)
        axes.set_xlim(0, 1.1 * max(ends))
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    drawn.suptitle("ThemedCatch, 4 themes in training", fontsize="medium")
    drawn.supxlabel("IQM over seeds with 95% intervals; in grey what nothing was learned for", fontsize="small")
    drawn.savefig(path, dpi=150)
    plt.close(drawn)


def averages(noisy: dict[str, list[Row]]) -> list[str]:
    """The table of returns and variances over the number of draws."""
    from jostle import stress

    against = (SIZES[0], SIZES[1])
    lines = [
        "",
        f"Return in the unseen themes ({EPISODES} episodes) when M draws are averaged, and the variance of averaged",
        f"probabilities between sets of M draws. The last columns are M = {SIZES[-1]} against fewer, agent by agent",
        "(mean, paired):",
        "",
        "| method | | "
        + " | ".join([*(f"M = {m}" for m in SIZES), *(f"{SIZES[-1]} − {few}" for few in against)])
        + " |",
        "|---" * (len(SIZES) + len(against) + 2) + "|",
    ]
    for method, draws in noisy.items():
        returns = np.array([d["return"] for d in draws])  # [seeds, sizes]
        shown = [str(stress.interval(column, "iqm")) for column in returns.T]
        shown += [str(stress.paired_interval(returns[:, -1], returns[:, SIZES.index(few)])) for few in against]
        variances = [f"{np.mean([d['variance'][i] for d in draws]):.2g}" for i in range(len(SIZES))]
        lines += [f"| {method} | return | {' | '.join(shown)} |", f"| | variance | {' | '.join(variances)} | | |"]
    return [*lines, "", "![Returns and variances as more draws are averaged](hidden_states_draws.png)"]


def figure(noisy: dict[str, list[Row]], path: Path) -> None:
    """Return and variance over the number of draws, a line for each method that has noise."""
    import matplotlib.pyplot as plt

    from jostle import stress

    labels = labels_of()
    drawn, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4.2), layout="constrained")
    for (method, draws), (colour, marker), factor in zip(noisy.items(), MARKS, (0.92, 0.97, 1.03, 1.08), strict=False):
        label, at = counted(labels[method], len(draws)), [size * factor for size in SIZES]  # a little aside
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


def labels_of() -> Mapping[str, str]:
    """Methods as the study's figures call them."""
    return read_study(SPEC).show.labels


def look(folder: Path, have: set[tuple[str, int]]) -> Iterable[Row]:
    """The agents of a study's folder that are not looked into yet, and the nulls: an untrained one for every seed, and
    the pictures, which have no seed."""
    import jostle

    shelf, study = Shelf(folder), read_study(SPEC)
    for job in study.jobs:
        if job.task != TASK:
            continue
        if job.method in METHODS and (job.method, job.seed) not in have and shelf.path(job).exists():
            yield looked(jostle.load(shelf.path(job)), job.method, job.seed)
        if job.method == "netrand":
            for null in ("untrained", *(["pixels"] if job.seed == 0 else [])):
                if (null, job.seed) not in have:
                    asked = job.asked
                    fresh = jostle.PPO(
                        asked["env"], seed=job.seed, num_envs=asked["num_envs"], env_options=asked["env_options"],
                        **asked["config"],
                    )  # fmt: skip
                    yield looked(fresh, null, job.seed)


def looked(agent: Any, method: str, seed: int) -> Row:
    """An agent's row."""
    told = analyse(agent, method)
    agent.env.close()
    place = {"task": TASK, "method": method, "seed": seed, "analysis": told}
    return place | {"versions": versions(), "machine": processor()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="of the study, with its runs")
    parser.add_argument("--table", action="store_true", help="look into nothing")
    args = parser.parse_args()
    rows = [json.loads(line) for line in RAW.read_text().splitlines()] if RAW.exists() else []
    if not args.table:
        if args.folder is None:
            parser.error("give the study's folder, or --table")
        for row in look(args.folder, {(row["method"], row["seed"]) for row in rows}):
            with RAW.open("a") as file:
                file.write(json.dumps(row) + "\n")
            rows.append(row)
    rows.sort(key=lambda row: (row["method"], row["seed"]))
    write(rows, RESULTS)


if __name__ == "__main__":
    main()
