"""CartPole-v1 by the preset `cartpole-noisy`, and by the same agent with ε-greedy exploration.

    python benchmarks/cartpole.py

Trains every seed, plays 100 episodes of its own without exploration, prints a table and writes
benchmarks/results/cartpole.json. Gymnasium calls CartPole-v1 solved at a mean return of 475 over 100 episodes.
"""

import argparse
import dataclasses
import json
import multiprocessing
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

SOLVED = 475.0


def train(job: tuple[str, int, int]) -> dict[str, Any]:
    """One seed: the mean return of 100 evaluation episodes and what the training took."""
    import jostle
    from jostle import presets

    name, seed, steps = job
    config = presets.settings("cartpole-noisy")
    if name == "ε-greedy":
        config = dataclasses.replace(config, noisy="none")
    agent = jostle.DQN("CartPole-v1", config, seed=seed, num_envs=8)
    began = time.perf_counter()
    agent.learn(steps)
    seconds = time.perf_counter() - began
    modes = ("mean", "sampled") if name == "NoisyNet" else ("mean",)
    means = {mode: jostle.evaluate(agent, 100, noise=mode).mean for mode in modes}
    agent.env.close()
    return {"agent": name, "seed": seed, "evaluation": means, "seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    jobs = [(name, seed, args.steps) for seed in range(args.seeds) for name in ("NoisyNet", "ε-greedy")]
    rows = []
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        for row in pool.imap_unordered(train, jobs):
            rows.append(row)
            print(f"{len(rows)}/{len(jobs)} {row}", flush=True)
    rows.sort(key=lambda row: (row["agent"], row["seed"]))
    table = [
        f"| agent | evaluated | seeds solved (≥ {SOLVED:.0f}) | mean return [95% interval over seeds] |",
        "|---" * 4 + "|",
    ]
    for name, mode in (("NoisyNet", "mean"), ("NoisyNet", "sampled"), ("ε-greedy", "mean")):
        means = np.array([row["evaluation"][mode] for row in rows if row["agent"] == name])
        found = stats.bootstrap(
            (means,), np.mean, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        evaluated = {"mean": "mean weights", "sampled": "a draw per action"}[mode] if name == "NoisyNet" else "greedily"
        interval = f"{means.mean():.0f} [{found.low:.0f}, {found.high:.0f}]"
        table.append(f"| {name} | {evaluated} | {(means >= SOLVED).sum()} of {len(means)} | {interval} |")
    print("\n".join(table))
    result = {
        "command": f"python benchmarks/cartpole.py --seeds {args.seeds} --steps {args.steps}",
        "versions": {name: version(name) for name in ("jostle", "torch", "envpool", "numpy")}
        | {"python": platform.python_version()},
        "table": table,
        "rows": rows,
    }
    out = Path(__file__).parent / "results" / "cartpole.json"
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
