"""CartPole-v1 by the preset `cartpole-noisy`, with either kind of noise, and by the same agent with ε-greedy actions.

    python benchmarks/cartpole.py                # every run that is still missing, then the table
    python benchmarks/cartpole.py --table        # the table alone

A run trains one seed and plays 100 episodes of its own without exploration; it becomes one line of
benchmarks/results/cartpole.jsonl, and what stands there is not run again. Gymnasium calls CartPole-v1 solved at a mean
return of 475 over 100 episodes. Intervals are bootstrap over seeds, 95%; differences are paired by seed.
"""

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

from runs import Job, Row, circumstances, finished, jobs, run  # beside this file

RESULTS = Path(__file__).parent / "results"
RAW = RESULTS / "cartpole.jsonl"
TASK, SOLVED = "CartPole-v1", 475.0
STUDY: dict[str, Any] = {"preset": "cartpole-noisy", "num_envs": 8, "steps": 60_000}
METHODS: dict[str, dict[str, Any]] = {
    "NoisyNet, factorised": {},
    "NoisyNet, independent": {"noisy": "independent"},
    "ε-greedy": {"noisy": "none"},
}
MODES = {"mean": "mean weights", "sampled": "a draw per action"}


def settings(_: str, method: str) -> dict[str, Any]:
    """The settings of a run: what the preset is changed in, and how long."""
    return STUDY | {"changed": METHODS[method]}


def train(job: Job) -> Row:
    """One seed: the mean return of 100 evaluation episodes and what the training took."""
    import torch

    import jostle
    from jostle import presets

    torch.set_num_threads(1)
    task, method, seed = job
    chosen = settings(task, method)
    config = dataclasses.replace(presets.settings(chosen["preset"]), **chosen["changed"])
    agent = jostle.DQN(task, config, seed=seed, num_envs=chosen["num_envs"])
    began = time.perf_counter()
    agent.learn(chosen["steps"])
    seconds = time.perf_counter() - began
    modes = tuple(MODES) if config.noisy != "none" else ("mean",)
    means = {mode: jostle.evaluate(agent, 100, noise=mode).mean for mode in modes}
    agent.env.close()
    return {
        "task": task, "method": method, "seed": seed, "settings": chosen, "final": means["mean"], "evaluation": means,
        "seconds": round(seconds, 1), **circumstances("jostle", "torch", "numpy", "envpool"),
    }  # fmt: skip


def table(rows: dict[Job, Row]) -> list[str]:
    """A row for each agent and way to evaluate it; the last column is against the first row, seed by seed."""
    from jostle import scores

    found = {
        (method, mode): {row["seed"]: row["evaluation"][mode] for row in rows.values() if row["method"] == method}
        for method, changed in METHODS.items()
        for mode in (MODES if changed.get("noisy") != "none" else ("mean",))
        if any(row["method"] == method for row in rows.values())
    }
    first = next(iter(found.values()))
    lines = [
        f"| agent | evaluated | seeds solved (≥ {SOLVED:.0f}) | mean return | difference from the first row, paired |",
        "|---" * 5 + "|",
    ]
    for (method, mode), returns in found.items():
        evaluated = MODES[mode] if "NoisyNet" in method else "greedily"
        solved = sum(value >= SOLVED for value in returns.values())
        shared = sorted(first.keys() & returns.keys())
        apart = scores.paired_interval([returns[s] for s in shared], [first[s] for s in shared])
        mean = scores.interval(list(returns.values()), "mean")
        against = "–" if returns is first else f"{apart}, {len(shared)} seeds"
        lines.append(f"| {method} | {evaluated} | {solved} of {len(returns)} | {mean} | {against} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after this time")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args()
    if not args.table:
        have = finished(RAW, settings)
        todo = jobs([TASK], lambda _: args.methods, lambda *_: args.seeds)
        run([job for job in todo if job not in have], train, RAW, args.processes, args.minutes)
    print("\n".join(table(dict(sorted(finished(RAW, settings).items())))))


if __name__ == "__main__":
    main()
