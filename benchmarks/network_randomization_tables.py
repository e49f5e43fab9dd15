"""The tables and figures of `benchmarks/network_randomization.py`, from its raw results."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jostle import stress

Runs = Mapping[tuple[str, str, int], dict[str, Any]]
Rows = Mapping[str, list[dict[str, Any]]]
ABLATED = "netrand-env"  # its variants are named after it
COUNTED = "themed-"  # tasks that differ in the number of themes, which ends their names
CHOSEN_BY = "tune"  # the condition that the best baseline is chosen by, where there is one
LOOKS = ("seen looks", "backgrounds", "themes", "monochrome", "backgrounds and themes")
"""Of Procgen's suite. With seen and unseen layouts the first and the last are the 2×2 table."""
MARKS = (("#4477aa", "o"), ("#228833", "D"), ("#ccbb44", "^"), ("#66ccee", "v"), ("#ee6677", "s"))


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
        "worth). The inference mode stands beside each number: `mean` sees clean pictures, `sampled` one draw per",
        "action, `mc:10` the average over ten, which figures show of all that have draws. The gap is seen − unseen,",
        "paired by training seed. `tune` is for choosing, and no figure shows it.",
    ]
    for task in tasks:
        for name, methods in parts_of(task, by_task.get(task, {})).items():
            parts += ["", f"## {name}", "", *table(methods, tasks[task])]
            figure(methods, tasks[task], folder / f"network_randomization-{name}.png")
            parts += ["", f"![Seen and unseen: {name}](network_randomization-{name}.png)"]
    counted = {int(task.removeprefix(COUNTED)): by_task[task] for task in by_task if task.startswith(COUNTED)}
    if len(counted) > 1:
        figure_of_themes(counted, folder / "network_randomization-themes.png")
        parts += ["", "## Number of themes in training", ""]
        parts += ["![What is caught over the number of themes in training](network_randomization-themes.png)"]
    text = "\n".join(parts) + "\n"
    (folder / "network_randomization.md").write_text(text)
    print(text)


def parts_of(task: str, methods: Rows) -> dict[str, Rows]:
    """The methods that are compared, and apart from them a method and its ablations."""
    compared = {name: rows for name, rows in methods.items() if not name.startswith(f"{ABLATED}-")}
    ablations = {name: rows for name, rows in methods.items() if name.startswith(ABLATED)}
    found = {task: compared, f"{task}-ablations": ablations if ablations.keys() - compared.keys() else {}}
    return {name: rows for name, rows in found.items() if rows}


def scores(rows: list[dict[str, Any]], condition: str, noise: str, score: str = "success") -> np.ndarray:
    """One number per training seed: the share of successes or the mean return."""
    cells = [cell for row in rows for cell in row["cells"] if (cell["condition"], cell["noise"]) == (condition, noise)]
    return np.array([cell[score] for cell in cells])


def conditions(methods: Rows) -> list[str]:
    """Names of the conditions, the seen one first."""
    rows = next(iter(methods.values()))
    return list(dict.fromkeys(cell["condition"] for cell in rows[0]["cells"]))


def panels_of(names: list[str]) -> dict[str, dict[str, str]]:
    """Conditions that are shown together: title -> what differs among them -> condition."""
    if not any("layouts" in name for name in names):
        return {"": {name: name for name in names}}
    panels = {
        f"{layouts} layouts": {look: f"{layouts} layouts, {look}" for look in LOOKS} for layouts in ("seen", "unseen")
    }
    panels["seen layouts"]["seen looks"] = names[0]
    return panels


def modes(rows: list[dict[str, Any]]) -> list[str]:
    """Inference modes that were measured."""
    return list(dict.fromkeys(cell["noise"] for cell in rows[0]["cells"]))


def table(methods: Rows, spec: Mapping[str, Any]) -> list[str]:
    """A row for each method and mode, the methods in the order of what they reach where looks are unseen."""
    score = spec.get("score", "success")
    about = f"{spec['env']}, {spec['env_options']}, {spec['steps']:,} steps in {spec['num_envs']} environments"
    unit = "share of successes" if score == "success" else "mean return"
    lines = [f"{about}, {spec['episodes']} episodes per condition, {spec.get('actions', 'greedy')} actions; {unit}."]
    seen = conditions(methods)[0]
    for title, panel in panels_of(conditions(methods)).items():
        last = list(panel)[-1]
        lines += ["", f"**{title.capitalize()}**"] if title else []
        lines += ["", "| method | inference | seeds | " + " | ".join(panel) + f" | gap from seen to {last} |"]
        lines += ["|---" * (len(panel) + 4) + "|"]

        def reached(method: str, hardest: str = panel[last]) -> float:
            return max(scores(methods[method], hardest, mode, score).mean() for mode in modes(methods[method]))

        for method in sorted(methods, key=reached, reverse=True):
            for mode in modes(methods[method]):
                cells = [scores(methods[method], name, mode, score) for name in panel.values()]
                shown = [str(stress.interval(cell, "iqm")) for cell in cells]
                gap = stress.interval(scores(methods[method], seen, mode, score) - cells[-1], "mean")
                lines.append(f"| {method} | {mode} | {len(cells[0])} | {' | '.join(shown)} | {gap} |")
    return lines


def figure(methods: Rows, spec: Mapping[str, Any], path: Path) -> None:
    """Every method, with noise in its last mode, under every condition that nothing was chosen by."""
    import matplotlib.pyplot as plt

    score = spec.get("score", "success")
    panels = panels_of([name for name in conditions(methods) if name != CHOSEN_BY])
    mode = {method: modes(rows)[-1] for method, rows in methods.items()}
    hardest = list(list(panels.values())[-1].values())[-1]
    order = sorted(methods, key=lambda m: scores(methods[m], hardest, mode[m], score).mean())
    size, apart = ((6.4, 0.9 + 0.32 * len(order)), 0.0) if len(panels) == 1 else ((9.6, 1.4 + 0.6 * len(order)), 0.14)
    drawn, subplots = plt.subplots(
        1, len(panels), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for (title, panel), axes in zip(panels.items(), subplots[0], strict=True):
        marks = (*MARKS[: len(panel) - 1], MARKS[-1])
        for nth, ((label, name), (colour, marker)) in enumerate(zip(panel.items(), marks, strict=True)):
            for row, method in enumerate(order):
                at = row + apart * ((len(panel) - 1) / 2 - nth)
                found = stress.interval(scores(methods[method], name, mode[method], score), "iqm")
                axes.plot([found.low, found.high], [at, at], color=colour, lw=2, alpha=0.6)
                axes.plot(found.point, at, marker, color=colour, label=None if row else label)
        axes.set_title(title.capitalize(), loc="left", fontsize="medium")
        axes.set_yticks(range(len(order)), [f"{m} ({mode[m]})" for m in order])
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.set_xlabel("Share of successes" if score == "success" else "Return")
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    drawn.legend(
        *subplots[0][0].get_legend_handles_labels(), frameon=False, loc="outside upper right", ncols=len(panel)
    )
    drawn.savefig(path, dpi=150)
    plt.close(drawn)


def figure_of_themes(tasks: Mapping[int, Rows], path: Path) -> None:
    """Over the number of themes in training what the methods of all of them reach in unseen looks."""
    import matplotlib.pyplot as plt

    counts = sorted(tasks)
    shared = [method for method in tasks[counts[0]] if all(method in tasks[count] for count in counts)]
    names = [name for name in conditions(tasks[counts[0]]) if name != CHOSEN_BY][1:]
    drawn, panels = plt.subplots(1, len(names), figsize=(8.4, 3.4), sharey=True, layout="constrained", squeeze=False)
    for name, axes in zip(names, panels[0], strict=True):
        for method, (colour, marker) in zip(shared, MARKS, strict=False):
            mode = modes(tasks[counts[0]][method])[-1]
            found = [stress.interval(scores(tasks[count][method], name, mode), "iqm") for count in counts]
            axes.semilogx(counts, [f.point for f in found], f"{marker}-", color=colour, label=f"{method} ({mode})")
            axes.fill_between(counts, [f.low for f in found], [f.high for f in found], color=colour, alpha=0.15, lw=0)
        axes.set_title(f"Looks: {name}", loc="left", fontsize="medium")
        axes.set_xlabel("Themes in training")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("Share of successes")
    panels[0][0].legend(frameon=False)
    drawn.savefig(path, dpi=150)
    plt.close(drawn)
