"""Steps per second of the classic control tasks beside Gymnasium's, measured in turns.

    python benchmarks/classic_speed.py            # prints a table, writes benchmarks/results/classic_speed.json
    python benchmarks/classic_speed.py --repeats 5 --seconds 0.1

Contestants of a task step one after the other, round by round; a ratio is the median of the rounds' ratios, so that a
machine that slows down for a while slows all. Times are CPU seconds of this process, which has one thread. Actions are
random, and the same for all. Random actions end CartPole's episodes after some twenty steps, so that nearly every step
of 64 pays for resets; *CartPole-v1, balanced* acts by a fixed rule instead, whose time does not count.

- *bare*: the NumPy environment as Gymnasium makes it (`gym.make_vec("jostle/…")`), with every constant a quantity;
- *bare, all randomised*: the same, in which each row has constants of its own, drawn anew for the rows that begin;
- *make_env*: the same with jostle's contract around it, beside Gymnasium's environments within the same contract;
- *SyncVectorEnv*, *native*: Gymnasium's environments in its own vectors (native: CartPole's alone).
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import jostle
from jostle.envs import make_env
from jostle.registration import CLASSIC


class Randomised:
    """All quantities of rows that begin are drawn anew, within 10% of their nominal values."""

    def __init__(self, env: Any) -> None:
        self.env, self.ended, self.rng = env, np.zeros(env.num_envs, bool), np.random.default_rng(0)
        self.num_envs = env.num_envs
        start = [q for q in env.unwrapped.quantities.values() if q.nominal]
        self.bounds = {q.name: sorted((q.nominal * 0.9, min(q.nominal * 1.1, q.high))) for q in start}
        self.bounds = {k: (max(low, env.unwrapped.quantities[k].low), high) for k, (low, high) in self.bounds.items()}

    def step(self, action: np.ndarray) -> Any:
        rows = np.flatnonzero(self.ended)
        if len(rows):
            unit = self.rng.random((len(self.bounds), len(rows)))
            drawn = {k: low + (high - low) * u for (k, (low, high)), u in zip(self.bounds.items(), unit, strict=True)}
            self.env.unwrapped.set_quantities(drawn, rows)
        result = self.env.step(action)
        self.ended = result[2] | result[3]
        return result


def contestants(name: str, num_envs: int) -> dict[str, Any]:
    """What steps, reset."""
    found = {
        "bare": gym.make_vec(f"jostle/{name}", num_envs),
        "bare, all randomised": gym.make_vec(f"jostle/{name}", num_envs),
        "make_env": make_env(f"jostle/{name}", num_envs),
        "SyncVectorEnv": gym.make_vec(name, num_envs, vectorization_mode="sync"),
        "make_env of Gymnasium's": make_env(name, num_envs, engine="gymnasium"),
    }
    if gym.spec(name).vector_entry_point is not None:
        found["native"] = gym.make_vec(name, num_envs, vectorization_mode="vector_entry_point")
    for env in found.values():
        env.reset(seed=0)
    return found | {"bare, all randomised": Randomised(found["bare, all randomised"])}


def balancing(obs: np.ndarray) -> np.ndarray:
    """Push to where the pole falls: a fixed rule that holds a nominal CartPole for 500 steps."""
    return (obs @ np.array([0.02, 0.06, 1.0, 0.25], np.float32) > 0).astype(np.int64)


def seconds_of_rule(env: Any, steps: int) -> float:
    """Mean CPU time of one vector step under the rule."""
    obs = env.step(np.zeros(env.num_envs, np.int64))[0]
    total = 0.0
    for _ in range(steps):
        action = balancing(obs)
        since = time.process_time()
        obs = env.step(action)[0]
        total += time.process_time() - since
    return total / steps


def seconds_per_step(env: Any, actions: list[np.ndarray]) -> float:
    """Mean CPU time of one vector step."""
    since = time.process_time()
    for batch in actions:
        env.step(batch)
    return (time.process_time() - since) / len(actions)


def measured(name: str, num_envs: int, repeats: int, seconds: float, rule: bool) -> dict[str, Any]:
    """Medians of steps per second, and of ratios to SyncVectorEnv (within the contract: to Gymnasium's within it)."""
    envs = contestants(name, num_envs)
    space = envs["bare"].action_space
    space.seed(0)
    counts, times = {}, {key: list[float]() for key in envs}
    for key, env in envs.items():
        warm = [space.sample() for _ in range(30)]
        counts[key] = max(10, round(seconds / seconds_per_step(env, warm)))
    actions = [space.sample() for _ in range(max(counts.values()))]
    for i in range(repeats):
        order = list(envs) if i % 2 == 0 else list(envs)[::-1]
        for key in order:
            some = actions[: counts[key]]
            times[key].append(seconds_of_rule(envs[key], len(some)) if rule else seconds_per_step(envs[key], some))
    against = dict.fromkeys(envs, "SyncVectorEnv") | {"make_env": "make_env of Gymnasium's"}
    return {
        "id": f"{name}, balanced" if rule else name,
        "num_envs": num_envs,
        "steps_per_second": {key: round(num_envs / statistics.median(t)) for key, t in times.items()},
        "ratio": {
            key: round(statistics.median(b / o for b, o in zip(times[against[key]], t, strict=True)), 2)
            for key, t in times.items()
        },
        "vector_steps": counts,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1, help="length of one timing")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "classic_speed.json")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    load = os.getloadavg()[0]
    rows = []
    for env_id, rule in [*((env_id, False) for env_id in CLASSIC), ("jostle/CartPole-v1", True)]:
        rows.append(measured(env_id.removeprefix("jostle/"), args.num_envs, args.repeats, args.seconds, rule))
        print(f"{rows[-1]['id']}, {args.num_envs} environments")
        for key, speed in rows[-1]["steps_per_second"].items():
            print(f"  {key:28} {speed:>12,} steps/s   × {rows[-1]['ratio'][key]}", flush=True)
    versions = {"jostle": jostle.__version__, "python": platform.python_version(), "numpy": np.__version__}
    versions["gymnasium"] = gym.__version__
    command = " ".join(["python", "benchmarks/classic_speed.py", *sys.argv[1:]])
    machine = {"cpus": os.cpu_count(), "load_average_before": load}
    result = {"command": command, "versions": versions, "machine": machine, "rows": rows}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
