"""The tables and figures of `benchmarks/exploration.py`, from its raw results."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jostle import stress
from jostle.scores.intervals import Interval, decimals

POOLED_SEEDS = 5  # at least, of a task that is put together with others
LABELS = {
    "ppo": "PPO", "tuned ppo": "tuned PPO", "rnd": "PPO + RND", "icm": "PPO + ICM", "e3b": "PPO + E3B",
    "noisy": "noisy PPO", "noisy-independent": "noisy PPO, independent",
}  # fmt: skip
"""Names in figures; methods of the sweep are called by their weight."""
ABLATION_LABELS = {
    "rnd": "PPO + RND", "rnd-single-head": "one value head", "rnd-episodic": "episodic intrinsic returns",
    "rnd-gamma-0.999": "discount of rewards 0.999", "rnd-no-obs-norm": "observations not normalised",
    "rnd-no-clip": "observations not clipped", "rnd-no-reward-norm": "bonus not normalised",
    "rnd-joint": "predictor in the policy's optimiser", "rnd-share-0.1": "a tenth of the rows for the predictor",
    "rnd-gru": "recurrent policy (GRU)", "rnd-no-gae": "no GAE (λ = 1)", "rnd-kl-penalty": "KL penalty, no clipping",
    "ppo": "PPO",
}  # fmt: skip
"""What differs from RND, in the figure of the task where all of them have run."""
Runs = Mapping[tuple[str, str, int], dict[str, Any]]
Methods = Mapping[str, Mapping[str, list[dict[str, Any]]]]


def write(runs: Runs, tasks: Mapping[str, Any], main: Sequence[str], sweep: Sequence[str], folder: Path) -> None:
    """Write exploration.md and a figure of learning curves for every task that has runs."""
    by_task: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for (task, method, _), row in sorted(runs.items()):
        by_task[task][method].append(row)
    parts = [
        "# Exploration",
        "",
        "Made by `python benchmarks/exploration.py --table` from `exploration.jsonl`.",
        "Returns of the last 100 training episodes, actions sampled; IQM and mean over seeds with 95% intervals",
        "(stratified bootstrap over seeds; docs/statistics.md says what few seeds are worth). *After steps*: until the",
        "curve first is that high, in the median run; a dash where half of the runs never are. P(better) is the",
        "probability that a run of the method ends above one of PPO with the best weight of the entropy among those in",
        "the table, chosen by at most two seeds (0.01 where none finds anything: DeepSea from size 20, MultiRoom;",
        "0.03 on KeyCorridor, as on DoorKey). `ppo` has 0.01, the bonuses 0.003 (on MiniGrid 0.01), `noisy` 0",
        "(factorised noise; `noisy-independent` has a number of its own for every weight).",
        "Learning rates of RND's predictor were chosen by seeds that stand here too: on DeepSea by seeds 0 and 1 of",
        "size 30, on MultiRoom by seed 0, and KeyCorridor has the same; ICM and E3B have the policy's.",
    ]
    for task in tasks:
        if task in by_task:
            parts += ["", f"## {task}", "", *table(by_task[task], tasks[task], main, sweep)]
            shown = [*main, _tuned(tasks[task]), "noisy-independent"]
            figure(by_task[task], shown, folder / f"exploration-{task}.png", _where(tasks[task]))
            parts += ["", f"![Learning curves on {task}](exploration-{task}.png)"]
            if set(ABLATION_LABELS) <= set(by_task[task]):
                ablations(by_task[task], folder / f"exploration-{task}-ablations.png", _where(tasks[task]))
                parts += ["", f"![Ablations of RND on {task}](exploration-{task}-ablations.png)"]
    parts += together(by_task, tasks, main, folder)
    text = "\n".join(parts) + "\n"
    (folder / "exploration.md").write_text(text)
    print(text)


def table(
    methods: Mapping[str, list[dict[str, Any]]], spec: Mapping[str, Any], main: Sequence[str], sweep: Sequence[str]
) -> list[str]:
    """One row a method, in the order main methods, weights of the entropy, ablations."""
    low, high = spec["range"]
    tuned = _tuned(spec)
    solved = spec.get("solved", low + 0.9 * (high - low))
    where = f"{spec['env']}, {spec.get('env_options', {})}"
    lines = [
        f"{where}, {spec['steps']:,} steps in {spec['num_envs']} environments. P(better) is against `{tuned}`.",
        "",
        f"| method | seeds | IQM | mean | seeds ≥ {solved:.3g} | after steps | P(better) | distinct states seen |",
        "|---" * 8 + "|",
    ]
    order = [*main, *sweep]
    against = np.array([row["final"] for row in methods.get(tuned, ())])
    found = {}
    for method in sorted(methods, key=lambda m: (order.index(m) if m in order else len(order), m)):
        scores = np.array([row["final"] for row in methods[method]])
        better = stress.improvement_interval(scores, against) if method != tuned and len(against) else None
        found[method] = [stress.interval(scores, "iqm"), stress.interval(scores, "mean"), better]
    for method, (iqm, mean, better) in zip(found, _columns(list(found.values())), strict=True):
        rows = methods[method]
        scores = np.array([row["final"] for row in rows])
        cells = [row["metrics"].get("coverage/cells") for row in rows]
        seen = f"{np.mean([c for c in cells if c is not None]):,.0f}" if any(c is not None for c in cells) else "–"
        above = int((scores >= solved).sum())
        lines.append(
            f"| {method} | {len(rows)} | {iqm} | {mean} | {above} | {_soon(rows, solved)} | {better} | {seen} |"
        )
    return lines


def together(by_task: Methods, tasks: Mapping[str, Any], main: Sequence[str], folder: Path) -> list[str]:
    """All tasks that have enough seeds of every main method and of the tuned PPO, in one table and one profile."""
    full = [
        task
        for task, spec in tasks.items()
        if task in by_task and all(len(by_task[task][m]) >= POOLED_SEEDS for m in (*main, _tuned(spec)))
    ]
    if len(full) < 2:
        return []
    seeds = min(len(by_task[task][m]) for task in full for m in (*main, _tuned(tasks[task])))
    scores = {
        name: np.stack([_scores(by_task[t][m or _tuned(tasks[t])][:seeds], tasks[t]["range"]) for t in full], axis=1)
        for name, m in {**{method: method for method in main}, "tuned ppo": None}.items()
    }
    drawn = stress.plot_profiles(
        {_label(k): v for k, v in scores.items()}, label="Normalised return τ", title=f"{len(full)} tasks together"
    )
    drawn.savefig(folder / "exploration-all.png", dpi=150)
    lines = [
        "", "## Together", "",
        f"{', '.join(full)}: {seeds} seeds of each, returns scaled per task ("
        + ", ".join(f"{task}: {low:g} is 0, {high:g} is 1" for task in full for low, high in [tasks[task]["range"]])
        + "). P(better) is against the tuned PPO of each task; on DeepSea an agent that explores in vain pays for its "
        "moves and so counts as worse than one that has given up.",
        "",
        "| method | IQM | median | mean | optimality gap | P(better) |",
        "|---" * 6 + "|",
    ]  # fmt: skip
    found = stress.compare(scores, baseline="tuned ppo")
    rows = [[each.iqm, each.median, each.mean, each.optimality_gap, each.improvement] for each in found.values()]
    lines += [f"| {method} | {' | '.join(row)} |" for method, row in zip(found, _columns(rows), strict=True)]
    return [*lines, "", "![Performance profiles over all tasks](exploration-all.png)"]


def _columns(rows: Sequence[Sequence[Interval | None]]) -> list[list[str]]:
    """The rows as text, each column with one number of decimals; a dash where there is nothing."""
    digits = [decimals(column) for column in zip(*rows, strict=True)]
    return [["–" if each is None else each.text(n) for each, n in zip(row, digits, strict=True)] for row in rows]


def _soon(rows: list[dict[str, Any]], solved: float) -> str:
    """Steps until the curve first reaches the return, in the median run; a dash where that run never does."""
    first = [next((step for step, score, *_ in row["curve"] if score >= solved), np.inf) for row in rows]
    median = np.sort(first)[len(first) // 2]  # the later of two in the middle
    return f"{median:,.0f}" if np.isfinite(median) else "–"


def _tuned(spec: Mapping[str, Any]) -> str:
    """The name of PPO with the task's best weight of the entropy."""
    return str(spec.get("tuned", "ppo"))


def _label(method: str) -> str:
    """A method's name in figures."""
    return LABELS.get(method, method.replace("ppo-entropy-", "PPO, entropy "))


def _scores(rows: list[dict[str, Any]], ends: tuple[float, float]) -> np.ndarray:
    """Returns, 0 and 1 at the ends of the task's range."""
    low, high = ends
    return np.array([(row["final"] - low) / (high - low) for row in rows])


def _where(spec: Mapping[str, Any]) -> str:
    """The environment with its options, for figures."""
    options = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in spec.get("env_options", {}).items())
    return spec["env"].removeprefix("jostle/") + (f", {options}" if options else "")


def ablations(methods: Mapping[str, list[dict[str, Any]]], path: Path, title: str) -> None:
    """Mean and IQM of RND, of RND with one thing different, and of PPO."""
    scores = {label: np.array([[row["final"]] for row in methods[name]]) for name, label in ABLATION_LABELS.items()}
    drawn = stress.plot_intervals(stress.compare(scores), metrics=("mean", "iqm"), label="Return", title=title)
    drawn.savefig(path, dpi=150)


def figure(methods: Mapping[str, list[dict[str, Any]]], main: Sequence[str], path: Path, title: str) -> None:
    """Learning curves of the main methods: mean over seeds with its interval."""
    import matplotlib.pyplot as plt

    curves = {}
    for method in dict.fromkeys(main):
        rows = [row for row in methods.get(method, ()) if row["curve"]]
        if rows:
            curves[_label(method)] = [([p[0] for p in row["curve"]], [p[1] for p in row["curve"]]) for row in rows]
    if curves:
        drawn = stress.plot_curves(curves, label="Return", statistic="mean", title=title)
        drawn.savefig(path, dpi=150)
        plt.close(drawn)
