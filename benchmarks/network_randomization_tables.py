"""The tables and figures of `benchmarks/network_randomization.py`, from its raw results."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from jostle import stress
from jostle.scores.intervals import Interval, decimals
from jostle.scores.plots import COLOURS, counted

Runs = Mapping[tuple[str, str, int], dict[str, Any]]
Rows = Mapping[str, list[dict[str, Any]]]
ABLATED = "netrand-env"  # its variants are named after it
COUNTED = "themed-"  # tasks that differ in the number of themes, which ends their names
CHOSEN_BY = "tune"  # the condition that the best baseline is chosen by, where there is one
PLAIN, RANDOM = "ppo", "random"  # what others are compared with: without any randomisation, and without any learning
NEAR = "°"  # marks what is not better than the random policy for certain
WITHOUT = ("netrand", "netrand-no-matching")  # with feature matching and without, compared besides
LOOKS = ("seen looks", "backgrounds", "themes", "monochrome", "backgrounds and themes")
"""Of Procgen's suite. With seen and unseen layouts the first and the last are the 2×2 table."""
MARKS = tuple(zip(COLOURS, ("o", "s", "D", "^", "v", "P", "X"), strict=True))
LABELS = {
    "ppo": "PPO", "netrand": "Network Randomization", "netrand-env": "Network Randomization per environment",
    "netrand-no-matching": "Network Randomization, no matching", "rad-conv": "random convolution alone",
    "cutout": "cutout", "grey": "grey", "inversion": "inversion", "jitter": "colour jitter", "shift": "shift",
    "dropout": "dropout", "l2": "L2", "batch-norm": "batch normalisation", "drac-conv": "DrAC, random convolution",
    "svea-conv": "SVEA, random convolution",
}  # fmt: skip
"""Methods in figures."""
ABLATION_LABELS = {
    "alpha-0": "α = 0", "alpha-0.5": "α = 0.5", "beta-0.02": "β = 0.02",
    "beta-sum": "loss summed over features", "kernel-1": "kernel 1", "kernel-5": "kernel 5",
    "identity": "identity mixed in", "clip": "output clipped", "moments": "the picture's moments",
    "depth-2": "two convolutions",
}  # fmt: skip
"""What differs from the method per environment, in the figure of its ablations."""
GAMES = {
    "jostle/ThemedCatch-v0": "ThemedCatch",
    "CoinrunHard-v0": "CoinRun (Hard)",
    "StarpilotHard-v0": "StarPilot (Hard)",
}


def write(runs: Runs, tasks: Mapping[str, Any], folder: Path) -> None:
    """Write network_randomization.md, and a figure for every task that has runs."""
    by_task: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for (task, method, _), row in runs.items():
        if row["cells"]:  # what was only looked into has none
            by_task[task][method].append(row)
    parts = [
        "# Network Randomization",
        "",
        "Made by `python benchmarks/network_randomization.py --table` from `network_randomization.jsonl`.",
        "IQM over training seeds with 95% intervals (stratified bootstrap; docs/statistics.md says what few seeds are",
        "worth). The inference mode stands beside each number: `mean` sees clean pictures, `sampled` one draw per",
        "action, `mc:10` the average over ten, which figures show of all that have draws. The last column is no IQM",
        "but the mean over seeds of seen − unseen. `tune` is for choosing, and no figure shows it.",
        "",
        "`random` takes every action with the same probability, in the same games; its seeds are those of its actions.",
        f"{NEAR} marks intervals that reach down to its own: near chance. Conditions that differ in looks alone are",
        "the same to it, so on Procgen one of each kind of layouts was played.",
        "",
        "Differences are means over the training seeds that both sides have, with pairs kept together in the bootstrap",
        "(`paired_interval`). Inference modes of one agent share all that it has learned, equal seeds of two methods",
        "their first weights.",
    ]
    for task in tasks:
        for name, methods in parts_of(task, by_task.get(task, {})).items():
            parts += ["", f"## {name}", "", *table(methods, tasks[task], by_task[task].get(RANDOM, []))]
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


def by_seed(rows: list[dict[str, Any]], condition: str, noise: str, score: str) -> dict[int, float]:
    """What `scores` gives, by training seed."""
    return dict(zip((row["seed"] for row in rows), scores(rows, condition, noise, score).tolist(), strict=True))


def difference(x: Mapping[int, float], y: Mapping[int, float]) -> Interval:
    """Mean of x − y over the seeds that both have, with its paired interval."""
    shared = sorted(x.keys() & y.keys())
    return stress.paired_interval([x[seed] for seed in shared], [y[seed] for seed in shared])


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


def table(methods: Rows, spec: Mapping[str, Any], random: list[dict[str, Any]]) -> list[str]:
    """A row for each method and mode, by what the methods reach where looks are unseen, and the differences."""
    score = spec.get("score", "success")
    about = f"{spec['env']}, {spec['env_options']}, {spec['steps']:,} steps in {spec['num_envs']} environments"
    unit = "share of successes" if score == "success" else "mean return"
    lines = [f"{about}, {spec['episodes']} episodes per condition, {spec.get('actions', 'greedy')} actions; {unit}."]
    seen = conditions(methods)[0]
    for title, panel in panels_of(conditions(methods)).items():
        names, last = list(panel.values()), list(panel)[-1]
        chance = [stress.interval(scores(random, name, "–", score), "iqm").high for name in names if random]
        order = in_order(methods, panel[last], score)
        rows = []
        for method in order:
            for mode in modes(methods[method]):
                found = [stress.interval(scores(methods[method], name, mode, score), "iqm") for name in names]
                near = [method != RANDOM and f.low <= high for f, high in zip(found, chance, strict=False)]
                gap = difference(*(by_seed(methods[method], name, mode, score) for name in (seen, names[-1])))
                rows.append((f"| {method} | {mode} | {len(methods[method])} |", [*found, gap], near))
        marks = [[f" {NEAR}" if each else "" for each in near] for *_, near in rows]
        lines += ["", f"**{title.capitalize()}**"] if title else []
        lines += ["", "| method | inference | seeds | " + " | ".join(panel) + f" | mean gap from seen to {last} |"]
        lines += ["|---" * (len(panel) + 4) + "|", *columns([(head, found) for head, found, _ in rows], marks)]
        lines += ["", "| difference | pairs | " + " | ".join(panel) + " |", "|---" * (len(panel) + 2) + "|"]
        lines += columns(differences(methods, order, names, score))
    return lines


def columns(rows: Sequence[tuple[str, Sequence[Interval | None]]], marks: Sequence[Sequence[str]] = ()) -> list[str]:
    """Lines of a table, each column with one number of decimals; a dash where there is nothing; marks behind cells."""
    digits = [decimals(column) for column in zip(*(found for _, found in rows), strict=True)]
    return [
        f"{head} "
        + " | ".join(
            ("–" if each is None else each.text(n)) + mark
            for each, n, mark in zip_longest(found, digits, behind, fillvalue="")
        )
        + " |"
        for (head, found), behind in zip_longest(rows, marks, fillvalue=())
    ]


def differences(methods: Rows, order: list[str], names: list[str], score: str) -> list[tuple[str, list[Interval]]]:
    """Rows of the table of differences, condition by condition."""
    rows = []
    for label, left, right in compared(methods, order):
        sides = [[by_seed(methods[m], name, mode, score) for name in names] for m, mode in (left, right)]
        if sides[0] == sides[1]:
            continue  # its layer has no noise
        pairs = len(sides[0][0].keys() & sides[1][0].keys())
        rows.append((f"| {label} | {pairs} |", [difference(x, y) for x, y in zip(*sides, strict=True)]))
        if (left[0], right[0]) == WITHOUT:
            rows.append(chances(left[0], right[0], *sides))
    return rows


def chances(x: str, y: str, of_x: list[dict[int, float]], of_y: list[dict[int, float]]) -> tuple[str, list[Interval]]:
    """The row that says how often a run of one ends above a run of the other, column by column."""
    both = zip(of_x, of_y, strict=True)
    shown = [stress.improvement_interval(list(one.values()), list(other.values())) for one, other in both]
    return f"| P({x} > {y}) | {len(of_x[0])} × {len(of_y[0])} |", shown


def in_order(methods: Rows, hardest: str, score: str) -> list[str]:
    """Methods by the IQM of the best of their modes under a condition, the highest first."""

    def reached(method: str) -> float:
        return max(stress.iqm(scores(methods[method], hardest, mode, score)) for mode in modes(methods[method]))

    return sorted(methods, key=reached, reverse=True)


def compared(methods: Rows, order: list[str]) -> list[tuple[str, tuple[str, str], tuple[str, str]]]:
    """What is subtracted from what: label, and method and mode of either side.

    Every method against PPO, or an ablation against what it is one of; with matching against without; the last mode of
    each (the average of draws) against its other ones.
    """
    mode = {method: modes(methods[method])[-1] for method in order}
    plain = PLAIN if PLAIN in methods else ABLATED
    pairs = [(method, plain) for method in order if method not in (plain, RANDOM)]
    pairs += [WITHOUT] if set(WITHOUT) <= methods.keys() else []
    found = [(f"{x}, {mode[x]} − {y}, {mode[y]}", (x, mode[x]), (y, mode[y])) for x, y in pairs]
    for method in order:
        for other in modes(methods[method])[:-1]:
            found.append((f"{method}: {mode[method]} − {other}", (method, mode[method]), (method, other)))
    return found


def figure(methods: Rows, spec: Mapping[str, Any], path: Path) -> None:
    """Every method, with noise in its last mode, under every condition that nothing was chosen by; the best on top."""
    import matplotlib.pyplot as plt

    score = spec.get("score", "success")
    panels = panels_of([name for name in conditions(methods) if name != CHOSEN_BY])
    mode = {method: modes(rows)[-1] for method, rows in methods.items()}
    hardest = list(list(panels.values())[-1].values())[-1]
    order = sorted(methods, key=lambda m: stress.iqm(scores(methods[m], hardest, mode[m], score)))
    shown = max(map(len, panels.values()))
    size, apart = (8.2 if len(panels) == 1 else 11.4, 1.5 + 0.15 * (shown + 1) * len(order)), 0.8 / (shown + 1)
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
        axes.set_yticks(range(len(order)), [_named(m, mode[m], len(methods[m])) for m in order])
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.set_xlabel(f"{'Share of successes' if score == 'success' else 'Return'}, IQM over seeds")
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    drawn.suptitle(_where(spec), fontsize="medium")
    drawn.legend(
        *subplots[0][0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=len(panel)
    )
    drawn.savefig(path, dpi=150)
    plt.close(drawn)


def _named(method: str, mode: str, seeds: int) -> str:
    """``PPO, clean pictures (10 seeds)``."""
    if method == RANDOM:
        return counted("random policy", seeds)
    name = LABELS.get(method) or ABLATION_LABELS[method.removeprefix(f"{ABLATED}-")]
    looks = "clean pictures" if mode == "mean" else f"{mode.removeprefix('mc:')} draws"
    return counted(f"{name}, {looks}", seeds)


def _where(spec: Mapping[str, Any]) -> str:
    """The environment, its rule and its themes, and how long the training was."""
    options = spec["env_options"]
    game = GAMES[spec["env"]] + (f" by {options['rule'].replace('-', ' and ')}" if "rule" in options else "")
    count = options.get("num_themes")
    themes = "" if count is None else f", {count} theme{'' if count == 1 else 's'} in training"
    levels = f", {options['num_levels']} levels in training" if "num_levels" in options else ""
    return f"{game}{themes}{levels}, {spec['steps']:,} steps"


def figure_of_themes(tasks: Mapping[int, Rows], path: Path) -> None:
    """Over the number of themes in training what the methods of all of them reach in unseen looks."""
    import matplotlib.pyplot as plt

    counts = sorted(tasks)
    shared = [m for m in tasks[counts[0]] if m != RANDOM and all(m in tasks[count] for count in counts)]
    names = [name for name in conditions(tasks[counts[0]]) if name != CHOSEN_BY][1:]
    most = tasks[counts[-1]]
    shared.sort(key=lambda m: -stress.iqm(scores(most[m], names[-1], modes(most[m])[-1])))
    drawn, panels = plt.subplots(1, len(names), figsize=(8.4, 5.0), sharey=True, layout="constrained", squeeze=False)
    for name, axes in zip(names, panels[0], strict=True):
        # What is level at all counts stands a little aside.
        aside = 1.1 ** (np.arange(len(shared)) - (len(shared) - 1) / 2)
        for method, (colour, marker), factor in zip(shared, MARKS, aside, strict=False):
            mode, seeds = modes(tasks[counts[0]][method])[-1], min(len(tasks[count][method]) for count in counts)
            found = [stress.interval(scores(tasks[count][method], name, mode), "iqm") for count in counts]
            at = [count * factor for count in counts]
            axes.semilogx(at, [f.point for f in found], f"{marker}-", color=colour, label=_named(method, mode, seeds))
            axes.vlines(at, [f.low for f in found], [f.high for f in found], color=colour, alpha=0.6)
        chance = [scores(tasks[count].get(RANDOM, []), name, "–") for count in counts]
        if all(map(len, chance)):
            level = [stress.iqm(each) for each in chance]
            axes.semilogx(counts, level, ":", color="0.4", label=counted("random policy", min(map(len, chance))))
        axes.set_title(f"Looks: {name}", loc="left", fontsize="medium")
        axes.set_xlabel("Themes in training")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("Share of successes, IQM over seeds")
    drawn.suptitle("ThemedCatch, 60,000 steps", fontsize="medium")
    drawn.legend(*panels[0][0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=1)
    drawn.savefig(path, dpi=150)
    plt.close(drawn)
