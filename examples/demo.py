"""What `make demo` runs: NoisyNet-DQN and ε-greedy DQN on DeepSea, many seeds of each, compared in one plot.

DeepSea (bsuite; Osband et al. 2020) is an N × N grid: the treasure lies N right moves in a row away, every right move
costs a little, and which button means right differs from cell to cell. Random play finds it once in 2^N episodes.

Results: demo/ (a plot, a video, every run's folder, and one table).
"""

import argparse
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

SIZE = 8
AGENTS = {
    "NoisyNet-DQN": {"noisy": "factorised"},
    "ε-greedy DQN": {"epsilon_start": 1.0, "epsilon_end": 0.05, "epsilon_steps": 5_000},
}
SHARED = {
    "hidden": (64,),
    "n_step": 3,
    "replay_ratio": 16.0,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "target_interval": 200,
    "warmup": 200,
    "warmup_random": False,
}


def train(job: tuple[str, int, int, str]) -> tuple[str, int, list[float]]:
    """One run: the return of every episode, in the order in which they ended."""
    import jostle

    name, seed, episodes, folder = job
    agent = jostle.DQN("jostle/DeepSea-v0", seed=seed, num_envs=8, env_options={"size": SIZE}, **SHARED, **AGENTS[name])
    returns: list[float] = []
    seen = 0

    def record(agent: jostle.DQN) -> bool:
        nonlocal seen
        if agent.episodes > seen:
            returns.extend(list(agent.returns)[seen - agent.episodes :])
            seen = agent.episodes
        return seen < episodes

    agent.learn(2 * episodes * SIZE, callback=record, run_dir=folder)
    agent.env.close()
    return name, seed, returns[:episodes]


def found(returns: list[float], episodes: int) -> np.ndarray:
    """Share of the last 100 episodes that reached the treasure, after each episode (NaN beyond the last one)."""
    reached = np.full(episodes, np.nan)
    reached[: len(returns)] = np.array(returns) > 0.5
    window = np.cumsum(np.insert(reached, 0, 0.0))
    count = np.minimum(np.arange(1, episodes + 1), 100)
    return (window[1:] - window[np.arange(1, episodes + 1) - count]) / count


def band(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over seeds and its 95% percentile bootstrap interval at every point."""
    draws = np.random.default_rng(0).integers(len(curves), size=(2_000, len(curves)))
    means = np.stack([curves[draw].mean(0) for draw in draws])
    return curves.mean(0), np.percentile(means, 2.5, axis=0), np.percentile(means, 97.5, axis=0)


def plot(curves: dict[str, np.ndarray], path: Path) -> None:
    """The learning curves with their intervals, and every seed's own curve behind them."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    colours = {"NoisyNet-DQN": "#1b6ca8", "ε-greedy DQN": "#c8553d"}
    with plt.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
        for name, of_seeds in curves.items():
            x = np.arange(1, of_seeds.shape[1] + 1)
            mean, low, high = band(of_seeds)
            axes.plot(x, of_seeds.T, color=colours[name], alpha=0.12, linewidth=0.8)
            axes.fill_between(x, low, high, color=colours[name], alpha=0.25, linewidth=0)
            axes.plot(x, mean, color=colours[name], linewidth=2.2, label=name)
        seeds = len(next(iter(curves.values())))
        axes.set(
            xlabel="episodes",
            ylabel="share of the last 100 episodes\nthat reach the treasure",
            ylim=(-0.02, 1.02),
            title=f"DeepSea, {SIZE} × {SIZE}: mean of {seeds} seeds, 95% bootstrap interval, thin lines are seeds",
        )
        axes.title.set_fontsize(11)
        axes.legend(frameon=False, loc="upper left")
        axes.grid(alpha=0.25)
        figure.savefig(path, dpi=160)
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the results; made anew")
    parser.add_argument("--seeds", type=int, default=20, help="seeds of each agent")
    parser.add_argument("--episodes", type=int, default=1_500, help="episodes of each run")
    parser.add_argument("--processes", type=int, default=2, help="runs trained at a time")
    args = parser.parse_args()

    import jostle
    from jostle.watch import record

    console = Console()
    out = args.out / time.strftime("%Y%m%d-%H%M%S")
    out.mkdir(parents=True)
    slug = {name: "noisy" if "noisy" in settings else "epsilon" for name, settings in AGENTS.items()}
    jobs = [
        (name, seed, args.episodes, str(out / f"{slug[name]}-s{seed}")) for seed in range(args.seeds) for name in AGENTS
    ]
    columns = [TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("runs,"), TimeRemainingColumn()]
    returns: dict[str, dict[int, list[float]]] = {name: {} for name in AGENTS}
    # spawn: a forked process would inherit the threads' locks of torch without their owners.
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool, Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(jobs))
        for name, seed, found_returns in pool.imap_unordered(train, jobs):
            returns[name][seed] = found_returns
            bar.advance(task)
            if not console.is_terminal:
                console.print(f"{name}, seed {seed}: last 100 episodes {np.mean(found_returns[-100:]):.2f}")

    curves = {name: np.stack([found(r, args.episodes) for _, r in sorted(rs.items())]) for name, rs in returns.items()}
    plot(curves, out / "deepsea.png")
    (out / "returns.json").write_text(
        json.dumps({name: {str(s): r for s, r in rs.items()} for name, rs in returns.items()})
    )

    table = Table(title=f"DeepSea {SIZE} × {SIZE}, {args.seeds} seeds, {args.episodes} episodes")
    for column in ("agent", "seeds that end with the treasure", "share of all episodes [95%]"):
        table.add_column(column)
    for name, of_seeds in curves.items():
        overall = np.array([[np.mean(np.array(r) > 0.5)] for r in returns[name].values()])
        mean, low, high = (float(v[0]) for v in band(overall))
        solved = int((of_seeds[:, -1] > 0.5).sum())
        table.add_row(name, f"{solved} of {len(of_seeds)}", f"{mean:.2f} [{low:.2f}, {high:.2f}]")
    console.print(table)

    best = max(sorted(returns["NoisyNet-DQN"]), key=lambda s: curves["NoisyNet-DQN"][s, -1])
    run = out / f"noisy-s{best}"
    video = record(jostle.load(run), out / "deepsea.mp4", episodes=3, fps=6)
    console.print(
        f"\nplot     {out / 'deepsea.png'}\nvideo    {video.path}  (seed {best}, mean weights)\nruns     {out}/*-s*/"
        f"\nreturns  {out / 'returns.json'}\n\nnext: .venv/bin/jostle doctor {run}",
        highlight=False,
    )


if __name__ == "__main__":
    main()
