"""RND with the paper's preset on Atari, end to end for a bounded number of steps: throughput, memory, coverage, curve.

    python benchmarks/atari_rnd.py
    python benchmarks/atari_rnd.py --games MontezumaRevenge-v5 --steps 5000000 --folder runs/atari   # goes on there

Uses the preset `rnd-atari` (128 environments, 128 steps, the random play before training included). Runs live in
--folder and are resumed where they stopped; table, curves and raw metrics go to benchmarks/results/atari_rnd.*, where
games that are not named stay as they were.
"""

import argparse
import json
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from circumstances import circumstances  # beside this file

import jostle
from jostle import presets
from jostle.algo.settings import merged

RESULTS = Path(__file__).parent / "results"
RAW = RESULTS / "atari_rnd.json"


def train(game: str, steps: int, folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Train one game up to ``steps``; what it took, and what the run's metrics say."""
    run, trained = folder / game, True
    began = time.perf_counter()
    if (run / "run.json").exists():
        agent: Any = jostle.load(run)
        missing = steps - agent.steps
        agent.env.close()
        trained = missing > 0
        if trained:
            agent = jostle.resume(run, steps=missing, progress=True)
    else:
        preset = presets.load("rnd-atari")
        config: Any = merged(presets.settings("rnd-atari"), changes)
        agent = jostle.PPO(game, config, num_envs=preset["num_envs"], env_options=preset["env_options"])
        agent.learn(steps, run_dir=run, progress=True, log_every=16_384, checkpoint_every=131_072)
    seconds = time.perf_counter() - began
    rows = list(jostle.read_metrics(run))
    rates = sorted(row["charts/SPS"] for row in rows if "charts/SPS" in row)
    last: dict[str, Any] = {}
    for row in rows:
        last |= row
    return {
        "game": game,
        "steps": agent.steps,
        "changes": changes,
        "seconds_of_this_call": round(seconds),
        "steps_per_second": rates[len(rates) // 2],
        "rollout_MB": round(agent.rollout.nbytes / 1e6),
        "peak_memory_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3) if trained else None,
        "last": {
            k: v for k, v in last.items() if k.startswith(("coverage/", "bonus/", "charts/", "values/", "losses/"))
        },
        "metrics": rows,
        **circumstances("jostle", "torch", "numpy", "envpool"),
    }


PANELS = {
    "Return of the last 100 episodes": "charts/episodic_return",
    "Rooms seen so far": "coverage/rooms",
    "Prediction error, not scaled": "bonus/rnd/raw_mean",
}


def figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Return, rooms and bonus of every game over its steps."""
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(1, len(PANELS), figsize=(11, 3.2), layout="constrained")
    for axis, (title, key) in zip(axes, PANELS.items(), strict=True):
        for row in rows:
            points = [(metric["step"] / 1e3, metric[key]) for metric in row["metrics"] if key in metric]
            axis.plot(*zip(*points, strict=True) if points else ((), ()), label=row["game"], clip_on=False)
        axis.set(title=title, xlabel="Thousand steps", xlim=(0, None), ylim=(0, max(1, axis.get_ylim()[1])))
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].yaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(frameon=False)
    drawn.savefig(path, dpi=150)


def write(rows: list[dict[str, Any]]) -> None:
    """Table, curves and raw metrics."""
    lines = ["| game | steps | steps/s (median) | rollout | peak memory, MB | rooms | mean return |", "|---" * 7 + "|"]
    for row in rows:
        last = row["last"]
        lines.append(
            f"| {row['game']} | {row['steps']:,} | {row['steps_per_second']:.0f} | {row['rollout_MB']} MB | "
            f"{row['peak_memory_MB'] or '–'} | {last.get('coverage/rooms', '–')} | "
            f"{last.get('charts/episodic_return', float('nan')):.3g} |"
        )
    RESULTS.mkdir(exist_ok=True)
    RAW.write_text(json.dumps(rows, indent=1) + "\n")
    (RESULTS / "atari_rnd.md").write_text("\n".join(lines) + "\n\n![Curves](atari_rnd.png)\n")
    figure(rows, RESULTS / "atari_rnd.png")
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", nargs="+", default=["MontezumaRevenge-v5", "Venture-v5"])
    parser.add_argument("--steps", type=int, default=262_144, help="of every game, all environments together")
    parser.add_argument("--folder", type=Path, default=Path("runs/atari-rnd"))
    parser.add_argument("--bfloat16", action="store_true", help="forward passes in bfloat16")
    args = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")  # each game in its own process, whose peak of memory is the game's
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        changes = {"bfloat16": args.bfloat16}
        rows = {game: pool.submit(train, game, args.steps, args.folder, changes).result() for game in args.games}
    before = {row["game"]: row for row in json.loads(RAW.read_text())} if RAW.exists() else {}
    write(list((before | rows).values()))


if __name__ == "__main__":
    main()
