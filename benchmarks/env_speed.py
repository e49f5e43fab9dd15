"""Steps per second of `make_env` beside the bare engine, measured in turns.

    python benchmarks/env_speed.py            # prints a table, writes benchmarks/results/env_speed.json
    python benchmarks/env_speed.py --repeats 5 --seconds 0.1

Each pair of environments gets the same actions. A repeat times the one, then the other; the ratio is the median of the
repeats' ratios, so a machine that slows down for a while slows both. The diagnostics have no bare engine: their rows
compare the contract with the NumPy environment inside it.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import jostle
from jostle.envs import make_env

POOLS = ["CartPole-v1", "LunarLander-v3", "MiniGrid-DoorKey-8x8-v0", "Pong-v5"]
DIAGNOSTICS = ["jostle/DeepSea-v0", "jostle/ThemedCatch-v0"]


def bare(env_id: str, num_envs: int) -> Any:
    """The environment without jostle's contract around it."""
    if env_id in DIAGNOSTICS:
        return gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point")
    import envpool

    return envpool.make(env_id, "gymnasium", num_envs=num_envs, seed=0)


def seconds_per_step(env: Any, actions: np.ndarray) -> float:
    """Mean time of one vector step."""
    since = time.perf_counter()
    for batch in actions:
        env.step(batch)
    return (time.perf_counter() - since) / len(actions)


def compare(env_id: str, num_envs: int, repeats: int, seconds: float) -> dict[str, Any]:
    """Medians of both, and the median ratio."""
    ours = make_env(env_id, num_envs)
    theirs = bare(env_id, num_envs)
    ours.reset()
    theirs.reset(**({"seed": 0} if env_id in DIAGNOSTICS else {}))
    kind: Callable[..., np.ndarray] = np.random.default_rng(0).integers
    count = int(getattr(ours.single_action_space, "n"))  # noqa: B009
    warm = kind(0, count, (20, num_envs))
    steps = max(3, round(seconds / max(seconds_per_step(theirs, warm), seconds_per_step(ours, warm))))
    actions = kind(0, count, (steps, num_envs))
    times = []
    for i in range(repeats):  # who goes first changes from repeat to repeat
        first, second = (theirs, ours) if i % 2 == 0 else (ours, theirs)
        pair = [seconds_per_step(first, actions), seconds_per_step(second, actions)]
        times.append(pair if i % 2 == 0 else pair[::-1])
    ours.close()
    theirs.close()
    bare_time, our_time = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "id": env_id,
        "num_envs": num_envs,
        "bare_steps_per_second": round(num_envs / bare_time),
        "jostle_steps_per_second": round(num_envs / our_time),
        "ratio": round(statistics.median(b / o for b, o in times), 3),
        "ratios": [round(b / o, 3) for b, o in times],
        "vector_steps": steps,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.2, help="length of one timing")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "env_speed.json")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # Gymnasium's notes on the precision of EnvPool's bounds
    load = os.getloadavg()[0]  # another job on the machine lowers both figures, and the ratio hardly
    rows = []
    print("| environment | environments | bare steps/s | jostle steps/s | jostle / bare |")
    print("|---|---|---|---|---|")
    for env_id in POOLS + DIAGNOSTICS:
        row = compare(env_id, args.num_envs, args.repeats, args.seconds)
        rows.append(row)
        print(
            f"| {env_id} | {row['num_envs']} | {row['bare_steps_per_second']:,} | "
            f"{row['jostle_steps_per_second']:,} | {row['ratio']:.3f} |",
            flush=True,
        )
    import envpool

    versions = {
        "jostle": jostle.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "gymnasium": gym.__version__,
        "envpool": envpool.__version__,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python", "benchmarks/env_speed.py", *sys.argv[1:]])
    machine = {"cpus": os.cpu_count(), "load_average_before": load}
    result = {"command": command, "versions": versions, "machine": machine, "rows": rows}
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
