"""Generalisation: Network Randomization and its rivals in looks and layouts that training never showed.

    python benchmarks/network_randomization.py            # every run that is still missing, then the tables
    python benchmarks/network_randomization.py --only themed-4 --minutes 30
    python benchmarks/network_randomization.py --table    # the tables and figures alone

Every finished run is one line of benchmarks/results/network_randomization.jsonl: settings, versions, learning curve,
time, and mean return and success of `jostle.stress_test` under every condition and inference mode. Runs that stand
there are not run again: stop and start it as you like. Intervals are stratified bootstrap over training seeds, 95%.
Agents of the themed game with four themes are looked into as well, see `network_randomization_analysis.py`. Rows that
nothing was learned for stand beside them: the random policy in every task, an untrained encoder and raw pixels there.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import network_randomization_analysis as analysis  # beside this file
from runs import Job, Row, circumstances, finished, jobs, run

RESULTS = Path(__file__).parent / "results"
RAW = RESULTS / "network_randomization.jsonl"
POINTS = 30  # of a learning curve

THEMED: dict[str, Any] = {
    "env": "jostle/ThemedCatch-v0", "num_envs": 64, "steps": 60_000, "suite": "themes", "episodes": 128,
    "settings": {  # of an episode of seven steps with a reward at each
        "encoder": "impala", "hidden": (256,), "num_steps": 16, "minibatches": 8, "epochs": 2, "gamma": 0.9,
        "gae_lambda": 0.8, "learning_rate": 1e-3, "lr_schedule": "linear", "input_clean": 0.1,
    },
}  # fmt: skip
PROCGEN: dict[str, Any] = {
    "num_envs": 64, "steps": 1_000_000, "suite": "procgen-looks", "episodes": 200, "actions": "sampled",
    "env_options": {"num_levels": 20, "start_level": 0, "use_backgrounds": False, "restrict_themes": True},
    "settings": {  # few levels, and less far-sighted than usual, so that a million steps show something
        "encoder": "nature", "hidden": (512,), "num_steps": 256, "minibatches": 16, "epochs": 3, "gamma": 0.99,
        "learning_rate": 5e-4, "reward_norm": "return_std", "input_clean": 0.1,
    },
}  # fmt: skip
TASKS: dict[str, dict[str, Any]] = {
    **{f"themed-{n}": THEMED | {"env_options": {"num_themes": n}} for n in (1, 4, 16)},
    "colour": THEMED | {"env_options": {"num_themes": 4, "rule": "colour"}},
    "colour-shape": THEMED | {"env_options": {"num_themes": 4, "rule": "colour-shape"}},
    "colour-shape-long": THEMED | {"env_options": {"num_themes": 4, "rule": "colour-shape"}, "steps": 180_000},
    "coinrun": PROCGEN | {"env": "CoinrunHard-v0"},
    "starpilot": PROCGEN | {"env": "StarpilotHard-v0", "score": "return"},
}
"""Per task the environment, what all methods share, the suite that the agents are tested with, and by what score."""
FIXED = ("env", "env_options", "num_envs", "steps", "suite", "episodes", "actions")
"""What is the task's, and no setting of an agent."""

CONV = {"input_noise": "random-conv", "feature_matching": 0.002}
METHODS: dict[str, dict[str, Any]] = {
    "ppo": {},
    "netrand": CONV | {"input_per": "iteration"},
    "netrand-env": CONV | {"input_per": "env"},
    "netrand-no-matching": {"input_noise": "random-conv", "input_per": "iteration"},
    "rad-conv": {"input_noise": "random-conv", "input_per": "sample", "input_clean": 0.0},
    "cutout": {"input_noise": "cutout", "input_per": "sample", "input_clean": 0.0},
    "grey": {"input_noise": "grey", "input_clean": 0.0},
    "inversion": {"input_noise": "inversion", "input_per": "sample", "input_clean": 0.0},
    "jitter": {"input_noise": "jitter", "input_per": "sample", "input_clean": 0.0},
    "shift": {"input_noise": "shift", "input_per": "sample", "input_clean": 0.0},
    "dropout": {"dropout": 0.1, "input_per": "sample"},
    "l2": {"weight_decay": 1e-4},
    "batch-norm": {"batch_norm": True},
    "drac-conv": {"input_noise": "random-conv", "input_use": "drac", "input_per": "sample", "input_clean": 0.0},
    "svea-conv": {"input_noise": "random-conv", "input_use": "svea", "input_per": "sample", "input_clean": 0.0},
}
MAIN = ("ppo", "netrand", "netrand-env", "inversion", "svea-conv")
"""Methods at every number of themes. The last two are the baselines that were best at four by their results on `tune`,
where the first five seeds left them level at `mc:10`."""
ABLATIONS = {
    "alpha-0": {"input_clean": 0.0}, "alpha-0.5": {"input_clean": 0.5}, "beta-0.02": {"feature_matching": 0.02},
    "beta-sum": {"feature_reduce": "sum"}, "kernel-1": {"input_kernel": 1}, "kernel-5": {"input_kernel": 5},
    "identity": {"input_mixing": "identity", "feature_on_clean": False}, "clip": {"input_output": "clip"},
    "moments": {"input_output": "moments"}, "depth-2": {"input_depth": 2},
}  # fmt: skip
METHODS |= {f"netrand-env-{name}": METHODS["netrand-env"] | change for name, change in ABLATIONS.items()}
RANDOM = "random"
LOOKED_INTO = ("untrained", "pixels")
METHODS |= {RANDOM: {"steps": 0}} | dict.fromkeys(LOOKED_INTO, METHODS["netrand"] | {"steps": 0})
"""Nulls: the random policy plays; the others are a network as it is before training, of which one measures the features
and one what its first layer is given. Neither plays."""


def wanted(task: str) -> tuple[str, ...]:
    """The methods of a task."""
    if task == "themed-4":
        return tuple(METHODS)
    return (*MAIN, RANDOM) if task.startswith("themed") else ("ppo", "netrand", "netrand-env", RANDOM)


def seeds(task: str, method: str) -> int:
    """How many; pixels have none."""
    if method in (RANDOM, *LOOKED_INTO):
        return 1 if method == "pixels" else 10 if task.startswith("themed") else 5
    if task.startswith("themed"):
        return 10 if method in MAIN else 3 if method.startswith("netrand-env-") else 5
    return 5 if task in ("colour", "colour-shape") else 3


def settings(task: str, method: str) -> dict[str, Any]:
    """The settings of a run; what it is trained and tested in belongs to them."""
    fixed = {key: TASKS[task][key] for key in FIXED if key in TASKS[task]}
    return fixed | TASKS[task]["settings"] | METHODS[method]


def train(job: Job) -> Row:
    """One run on one thread, and what it is tested by."""
    import torch

    torch.set_num_threads(1)
    task, method, seed = job
    chosen = settings(task, method)
    if method == RANDOM:
        from network_randomization_nulls import cells  # beside this file, and needs torch

        began = time.perf_counter()
        made: Row = {"steps": 0, "curve": [], "final": None, "cells": cells(chosen, seed), "seconds": 0.0}
        made["test_seconds"] = round(time.perf_counter() - began, 1)
    else:
        made = agent_row(job, chosen)
    return {
        "task": task, "method": method, "seed": seed, "settings": chosen, **made,
        **circumstances("jostle", "torch", "numpy", "envpool"),
    }  # fmt: skip


def agent_row(job: Job, chosen: dict[str, Any]) -> Row:
    """An agent that is trained and tested, or one that is only looked into."""
    import jostle

    task, method, seed = job
    config = {key: value for key, value in chosen.items() if key not in FIXED}
    agent = jostle.PPO(
        chosen["env"], seed=seed, num_envs=chosen["num_envs"], env_options=chosen["env_options"], threads=1, **config
    )
    curve: list[list[float]] = []
    last: list[dict[str, float]] = [agent.metrics]

    def note(trained: jostle.PPO) -> None:
        if trained.metrics is not last[0]:
            last[0] = trained.metrics
            if "charts/episodic_return" in last[0]:
                curve.append([trained.steps, round(last[0]["charts/episodic_return"], 4)])

    began = time.perf_counter()
    if chosen["steps"]:
        agent.learn(chosen["steps"], callback=note, log_every=chosen["steps"] // POINTS)
    seconds = time.perf_counter() - began
    cells = [] if method in LOOKED_INTO else tested(agent, chosen)
    test_seconds = time.perf_counter() - began - seconds
    into = task == analysis.TASK and method in analysis.METHODS
    looked = {"analysis": analysis.analyse(agent, method)} if into else {}
    returns = list(agent.returns)
    agent.env.close()
    return {
        "steps": agent.steps, "curve": curve, "final": sum(returns) / len(returns) if returns else None,
        "cells": cells, "seconds": round(seconds, 1), "test_seconds": round(test_seconds, 1), **looked,
    }  # fmt: skip


def tested(agent: Any, chosen: dict[str, Any]) -> list[Row]:
    """Mean return and success of an agent under every condition and inference mode."""
    import jostle

    found = jostle.stress_test(
        agent, chosen["suite"], episodes=chosen["episodes"], actions=chosen.get("actions", "greedy"), seed=10_000,
        baseline=False,
    )  # fmt: skip
    return [
        {
            "condition": cell.condition, "noise": cell.noise, "return": round(float(cell.returns.mean()), 4),
            "success": None if cell.successes is None else round(float(cell.successes.mean()), 4),
        }
        for cell in found.cells
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=10, help="no more of any method than these")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after this time")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args()
    if not args.table:
        have = finished(RAW, settings)
        todo = jobs(
            args.only,
            lambda task: [m for m in wanted(task) if m in args.methods],
            lambda *of: min(args.seeds, seeds(*of)),
        )
        run([job for job in todo if job not in have], train, RAW, args.processes, args.minutes)
    from network_randomization_tables import write  # beside this file

    rows = dict(sorted(finished(RAW, settings).items()))
    write(rows, TASKS, RESULTS)
    analysis.write([row for row in rows.values() if "analysis" in row], RESULTS)


if __name__ == "__main__":
    main()
