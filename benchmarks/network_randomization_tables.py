"""The tables and figures of `benchmarks/network_randomization.py`, from its raw results."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jostle import stress

Runs = Mapping[tuple[str, str, int], dict[str, Any]]
Rows = Mapping[str, list[dict[str, Any]]]
METHODS_DRAWN = 16
CHOSEN_BY = "tune"  # the condition that the best baseline is chosen by, where there is one
MARKS = (("#4477aa", "o"), ("#228833", "D"), ("#ccbb44", "^"), ("#ee6677", "s"))


def write(runs: Runs, tasks: Mapping[str, Any], folder: Path) -> None:
    """Write network_randomization.md, and a figure for every task that has runs."""
    by_task: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for (task, method, _), row in runs.items():
        by_task[task][method].append(row)
    parts = [
        "# Network Randomization",
        "",
        "Made by `python benchmarks/network_randomization.py --table` from `network_randomization.jsonl`.",
        "IQM over training seeds with 95% intervals (stratified bootstrap; docs/statistics.md says what few seeds are",
        "worth), greedy actions. The inference mode stands beside each number: `mean` sees clean pictures, `sampled`",
        "one draw per action, `mc:10` the average over ten, which the figures show of all that have draws. The gap is",
        "seen − unseen, paired by training seed. `tune` is for choosing, and no figure shows it.",
    ]
    for task in tasks:
        if task in by_task:
            parts += ["", f"## {task}", "", *table(by_task[task], tasks[task])]
            figure(by_task[task], folder / f"network_randomization-{task}.png")
            parts += ["", f"![Seen and unseen on {task}](network_randomization-{task}.png)"]
    text = "\n".join(parts) + "\n"
    (folder / "network_randomization.md").write_text(text)
    print(text)


def scores(rows: list[dict[str, Any]], condition: str, noise: str) -> np.ndarray:
    """One number per training seed: the share of successes, or the mean return where there is no rule."""
    found = []
    for row in rows:
        for cell in row["cells"]:
            if (cell["condition"], cell["noise"]) == (condition, noise):
                found.append(cell["return"] if cell["success"] is None else cell["success"])
    return np.array(found)


def conditions(methods: Rows) -> list[str]:
    """Names of the conditions, the seen one first."""
    rows = next(iter(methods.values()))
    return list(dict.fromkeys(cell["condition"] for cell in rows[0]["cells"]))


def modes(rows: list[dict[str, Any]]) -> list[str]:
    """Inference modes that were measured."""
    return list(dict.fromkeys(cell["noise"] for cell in rows[0]["cells"]))


def table(methods: Rows, spec: Mapping[str, Any]) -> list[str]:
    """A row for each method and mode, the methods in the order of what they reach where looks are unseen."""
    names = conditions(methods)
    unit = "share of successes" if methods_have_success(methods) else "mean return"
    about = f"{spec['env']}, {spec['env_options']}, {spec['steps']:,} steps in {spec['num_envs']} environments"
    lines = [
        f"{about}, {spec['episodes']} episodes per condition; {unit}.",
        "",
        "| method | inference | seeds | " + " | ".join(names) + f" | gap to {names[-1]} |",
        "|---" * (len(names) + 4) + "|",
    ]
    order = sorted(
        methods, key=lambda m: -max(scores(methods[m], names[-1], mode).mean() for mode in modes(methods[m]))
    )
    for method in order:
        for mode in modes(methods[method]):
            cells = [scores(methods[method], name, mode) for name in names]
            shown = [str(stress.interval(cell, "iqm")) for cell in cells]
            gap = stress.interval(cells[0] - cells[-1], "mean")
            lines.append(f"| {method} | {mode} | {len(cells[0])} | {' | '.join(shown)} | {gap} |")
    return lines


def methods_have_success(methods: Rows) -> bool:
    """The suite says what a success is."""
    return next(iter(methods.values()))[0]["cells"][0]["success"] is not None


def figure(methods: Rows, path: Path) -> None:
    """Every method, with noise in its last mode, under every condition that nothing was chosen by."""
    import matplotlib.pyplot as plt

    names = [name for name in conditions(methods) if name != CHOSEN_BY]
    mode = {method: modes(rows)[-1] for method, rows in methods.items()}
    order = sorted(methods, key=lambda m: scores(methods[m], names[-1], mode[m]).mean())[-METHODS_DRAWN:]
    drawn, axes = plt.subplots(figsize=(6.4, 0.9 + 0.32 * len(order)), layout="constrained")
    for label, (colour, marker) in zip(names, (*MARKS[: len(names) - 1], MARKS[-1]), strict=True):
        for at, method in enumerate(order):
            found = stress.interval(scores(methods[method], label, mode[method]), "iqm")
            axes.plot([found.low, found.high], [at, at], color=colour, lw=2, alpha=0.6)
            axes.plot(found.point, at, marker, color=colour, label=label if at == 0 else None)
    axes.set_yticks(range(len(order)), [f"{m} ({mode[m]})" for m in order])
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlabel("Share of successes" if methods_have_success(methods) else "Return")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2 if len(names) > 3 else len(names))
    drawn.savefig(path, dpi=150)
    plt.close(drawn)
