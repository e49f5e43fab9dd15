"""Exploration: PPO, its noisy relative and three bonuses on tasks whose rewards are rare, with seeds and intervals.

    python benchmarks/exploration.py                      # every run that is still missing, then the tables
    python benchmarks/exploration.py --only deepsea-10 deepsea-20 --methods rnd ppo --minutes 30
    python benchmarks/exploration.py --table              # the tables and figures alone

Every finished run is one line of benchmarks/results/exploration.jsonl (settings, versions, learning curve, the last 100
episodes, time), and runs that stand there are not run again: stop and start it as you like. Scores are returns of the
training itself, actions sampled. Intervals are those of `jostle.stress`: stratified bootstrap over seeds, 95%.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from runs import Job, Row, circumstances, finished, jobs, run  # beside this file

RESULTS = Path(__file__).parent / "results"
RAW = RESULTS / "exploration.jsonl"
POINTS = 50  # of a learning curve

DEEP_SEA = {"num_steps": 40, "learning_rate": 1e-3, "bonus_features": 64, "gamma_int": 0.95}
ON_GRIDS = {name: {"bonus_share": 0.5, "entropy_coef": 0.01} for name in ("rnd", "icm", "e3b")}  # entropy as `ppo`
ON_ROOMS = ON_GRIDS | {  # the predictor's own rate
    "rnd": ON_GRIDS["rnd"] | {"bonus_learning_rate": 3e-3},
    "rnd-joint": ON_GRIDS["rnd"],
}
MINIGRID = {"num_steps": 128, "learning_rate": 3e-4, "hidden": (128,), "minibatches": 8, "bonus_features": 128}

TASKS: dict[str, dict[str, Any]] = {
    **{
        f"deepsea-{size}": {
            "env": "jostle/DeepSea-v0",
            "env_options": {"size": size},
            "num_envs": 32,
            "steps": 10_000 * size,
            "settings": DEEP_SEA,
            "of": {"rnd": {"bonus_learning_rate": 1e-2}, "rnd-joint": {"bonus_learning_rate": None}},
            "seeds": 10,
            "range": (0.0, 0.99),
        }
        for size in (10, 20, 30, 40, 50)
    },
    "mountaincar": {
        "env": "MountainCar-v0", "num_envs": 16, "steps": 500_000, "seeds": 10, "range": (-200.0, -100.0),
        "settings": {
            "num_steps": 128, "learning_rate": 1e-3, "normalise_obs": True, "bonus_features": 64,
            "bonus_learning_rate": 1e-5,
        },
    },
    "doorkey": {
        "env": "MiniGrid-DoorKey-8x8-v0", "num_envs": 64, "steps": 2_000_000, "seeds": 5, "range": (0.0, 1.0),
        "settings": MINIGRID, "of": ON_GRIDS, "tuned": "ppo-entropy-0.03",
    },
    "multiroom": {  # of six rooms, whatever its name says, in EnvPool as in MiniGrid
        "env": "MiniGrid-MultiRoom-N4-S5-v0", "num_envs": 64, "steps": 2_000_000, "seeds": 5, "range": (0.0, 1.0),
        "settings": MINIGRID, "of": ON_ROOMS, "solved": 0.5,
    },
    "keycorridor": {
        "env": "MiniGrid-KeyCorridorS3R3-v0", "num_envs": 64, "steps": 10_000_000, "seeds": 3, "range": (0.0, 1.0),
        "settings": MINIGRID, "of": ON_ROOMS, "methods": ("ppo", "rnd"), "sweep": ("ppo-entropy-0.03",),
        "tuned": "ppo-entropy-0.03",
    },
    "lunarlander": {
        "env": "LunarLander-v3", "num_envs": 16, "steps": 1_000_000, "seeds": 5, "range": (-200.0, 200.0),
        "settings": {  # those of RL Baselines3 Zoo at 00128b5
            "num_steps": 1024, "minibatches": 256, "gamma": 0.999, "gae_lambda": 0.98, "learning_rate": 3e-4,
            "bonus_features": 64,
        },
    },
}  # fmt: skip
"""Per task the environment, the settings that all methods share, ``of`` those of one method (and its ablations, which
begin with its name), steps, seeds, the returns that are 0 and 1 when scores of several tasks are put together, PPO with
the best weight of the entropy (``ppo`` unless given), and the return above which a run counts as solved (nine tenths of
the way between those two unless given: through MultiRoom's five doors no path is that short)."""

FORMER = {
    "value_weights": "equal", "value_norm": "none", "bonus_grad_norm": "joint", "bonus_learning_rate": "joint",
    "normalise_obs": False,
}  # fmt: skip
"""What all rows of bonuses were made with; `streams.py` and `coverage.py` measure what these do."""

RND = {"bonus": ("rnd",), "entropy_coef": 0.003}
METHODS: dict[str, dict[str, Any]] = {
    "ppo": {"entropy_coef": 0.01},
    "rnd": RND,
    "icm": {"bonus": ("icm",), "entropy_coef": 0.003},
    "e3b": {"bonus": ("e3b",), "entropy_coef": 0.003},
    "noisy": {"noisy": "factorised"},
}
MAIN = tuple(METHODS)
METHODS |= {
    "noisy-independent": {"noisy": "independent"},
    "ppo-entropy-0": {"entropy_coef": 0.0},
    "ppo-entropy-0.003": {"entropy_coef": 0.003},
    "ppo-entropy-0.03": {"entropy_coef": 0.03},
    "ppo-entropy-0.1": {"entropy_coef": 0.1},
    "rnd-single-head": RND | {"value_heads": "single"},
    "rnd-episodic": RND | {"episodic_int": True},
    "rnd-gamma-0.999": RND | {"gamma": 0.999},
    "rnd-no-obs-norm": RND | {"bonus_obs_norm": False},
    "rnd-no-clip": RND | {"bonus_obs_clip": 1e6},
    "rnd-no-reward-norm": RND | {"bonus_reward_norm": "none"},
    "rnd-joint": RND,
    "rnd-share-0.1": RND | {"bonus_share": 0.1},
    "rnd-gru": RND | {"recurrent": "gru", "recurrent_size": 64, "minibatch_by": "envs"},
    "rnd-no-gae": RND | {"gae_lambda": 1.0},
    "rnd-kl-penalty": RND | {"kl_penalty": "adaptive", "clip": 0.0},
    "rnd-intrinsic-only": RND | {"coef_ext": 0.0},
    "ppo-no-reward": {"coef_ext": 1e-9, "entropy_coef": 0.01},
}
SWEEP = ("ppo-entropy-0", "ppo-entropy-0.003", "ppo-entropy-0.03", "ppo-entropy-0.1")
SWEEP_SEEDS = 2
"""Weights of the entropy beside 0.01: the baseline is a tuned one. The best on two seeds is a task's ``tuned`` and has
as many seeds as the others; 0.003 is what the bonuses have."""
ABLATIONS = tuple(name for name in METHODS if name.startswith("rnd-") and name != "rnd-intrinsic-only")
COVERAGE = ("rnd-intrinsic-only", "ppo-no-reward")
EXTRA = {
    "deepsea-10": ("noisy-independent", "rnd-joint"),
    "deepsea-20": ABLATIONS + COVERAGE,
    "deepsea-30": ("rnd-joint",),
}
"""What is run beside the main methods and the sweep, and where."""


def wanted(task: str) -> tuple[str, ...]:
    """The methods of a task."""
    methods: tuple[str, ...] = TASKS[task].get("methods", MAIN) + TASKS[task].get("sweep", SWEEP)
    return methods + EXTRA.get(task, ())


def settings(task: str, method: str) -> dict[str, Any]:
    """The settings of a run."""
    of: dict[str, Any] = TASKS[task].get("of", {})
    return TASKS[task]["settings"] | METHODS[method] | of.get(method, of.get(method.split("-")[0], {}))


def given(task: str, method: str) -> dict[str, Any]:
    """What an agent is made with: the rows are of the defaults of their time, which are named here."""
    chosen = settings(task, method)
    if "bonus" not in chosen:  # of which these settings then do nothing, and are refused
        return {k: v for k, v in chosen.items() if k != "gamma_int" and not k.startswith("bonus_")}
    return FORMER | {k: v for k, v in chosen.items() if v is not None}


def seeds(task: str, method: str) -> int:
    """How many."""
    count: int = TASKS[task]["seeds"]
    return min(count, SWEEP_SEEDS) if method in SWEEP and method != TASKS[task].get("tuned") else count


def train(job: Job) -> Row:
    """One run on one thread."""
    import torch

    import jostle

    torch.set_num_threads(1)
    task, method, seed = job
    spec, chosen = TASKS[task], settings(task, method)
    agent = jostle.PPO(
        spec["env"],
        seed=seed,
        num_envs=spec["num_envs"],
        env_options=spec.get("env_options"),
        threads=1,
        **given(task, method),
    )
    curve: list[list[float]] = []
    seen: list[dict[str, float]] = [agent.metrics]

    def note(trained: jostle.PPO) -> None:
        if trained.metrics is not seen[0]:
            seen[0] = trained.metrics
            if "charts/episodic_return" in seen[0]:
                cells = seen[0].get("coverage/cells", float("nan"))
                curve.append([trained.steps, round(seen[0]["charts/episodic_return"], 4), cells])

    began = time.perf_counter()
    agent.learn(spec["steps"], callback=note, log_every=spec["steps"] // POINTS)
    seconds = time.perf_counter() - began
    last = list(agent.returns)
    agent.env.close()
    return {
        "task": task, "method": method, "seed": seed, "settings": chosen, "steps": agent.steps,
        "final": sum(last) / len(last) if last else None, "episodes": agent.episodes, "curve": curve,
        "metrics": {k: v for k, v in seen[0].items() if k.startswith(("bonus/", "coverage/", "values/explained"))},
        "seconds": round(seconds, 1), **circumstances("jostle", "torch", "numpy", "envpool"),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=None, metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=10, help="no more of any method than these")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after this time")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args()
    if not args.table:
        have = finished(RAW, settings)
        todo = jobs(
            args.only,
            lambda task: [m for m in wanted(task) if m in (args.methods or METHODS)],
            lambda *of: min(args.seeds, seeds(*of)),
        )
        run([job for job in todo if job not in have], train, RAW, args.processes, args.minutes)
    from exploration_tables import write  # beside this file

    write(finished(RAW, settings), TASKS, MAIN, SWEEP, RESULTS)


if __name__ == "__main__":
    main()
