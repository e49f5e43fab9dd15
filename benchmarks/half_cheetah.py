"""A million steps of HalfCheetah in physics drawn anew for each episode: jostle's PPO and Stable-Baselines3's.

    python benchmarks/half_cheetah.py --speed               # steps per second, by turns
    python benchmarks/half_cheetah.py --race --seeds 5      # seconds for a million steps, and what was learned in them

Masses, frictions and gears of HalfCheetah vary by a quarter either way, for both: jostle's by its MuJoCo engine,
Stable-Baselines3's on Gymnasium's environment by `jostle.envs.Randomise`. Its policy has the library's defaults (a
million steps of one environment, 2,048 steps a rollout), or jostle's sizes: 64 environments of 64 steps, 10 epochs of
16 minibatches. jostle's policy begins with log σ = -1, the best of eight settings on seeds 100 and 101 (whose
races are not kept), that of Stable-Baselines3 with 0, and each races with the other's beginning, too. Each has one
thread of torch; jostle's simulations take all cores.

A race is a process of its own, its start included; afterwards the agent plays 100 episodes in jostle's
environment, physics drawn as in training. Speed goes to benchmarks/results/half_cheetah_speed.json, each race is a line
of benchmarks/results/half_cheetah.jsonl and not run again; with --jobs 2 two run at once, and their seconds are not
counted. Speed is for a quiet moment.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from turns import Contestant, interleave

RESULTS = Path(__file__).parent / "results"
RACES = RESULTS / "half_cheetah.jsonl"
DOMAIN = {"all.mass": [0.75, 1.25], "all.friction": [0.75, 1.25], "all.gear": [0.75, 1.25]}
OURS: dict[str, Any] = {
    "num_steps": 64, "epochs": 10, "minibatches": 16, "hidden": [64, 64], "learning_rate": 3e-4, "clip": 0.2,
    "normalise_obs": True, "reward_norm": "return_std", "entropy_coef": 0.0, "log_std_init": -1.0,
}  # fmt: skip
SAME = {"n_steps": 64, "batch_size": 256, "n_epochs": 10}
NAMES = ("jostle", "SB3, same sizes", "SB3, defaults", "jostle, log σ 0", "SB3, log σ -1")
"""Who is timed; the last two race only, each with the other library's beginning."""


def contestants() -> list[Contestant]:
    """Who is timed by turns."""
    ours = {"env": "jostle/HalfCheetah-v5", "num_envs": 64, "env_options": {"domain": DOMAIN}, **OURS}
    theirs = {"env": "HalfCheetah-v5", "domain": DOMAIN}
    commands = (
        ["ours.py", json.dumps(ours)],
        ["libraries.py", "sb3", json.dumps({**theirs, "num_envs": 64, **SAME})],
        ["libraries.py", "sb3", json.dumps(theirs)],
    )
    return [Contestant(name, command) for name, command in zip(NAMES[:3], commands, strict=True)]


def speed(rounds: int) -> dict[str, Any]:
    """Rates by turns of two seconds, and the ratios of each round."""
    group = contestants()
    try:
        for each in group:
            each.start()
        interleave(group, rounds, 2.0, 4.0)
    finally:
        for each in group:
            each.stop()
    rates = {each.name: each.rates() for each in group}
    ratios = {
        name: [a / b for a, b in zip(rates["jostle"], rates[name], strict=True)] for name in rates if name != "jostle"
    }
    return {"steps_per_second": rates, "ratios": ratios}


def run(name: str, seed: int, steps: int) -> dict[str, Any]:
    """Train one, then play: seconds since this process began, returns of 100 episodes in drawn physics."""
    import jostle
    from jostle.envs import Randomise

    agent: Any
    settings: dict[str, Any]
    if name.startswith("jostle"):
        settings = OURS if name == "jostle" else OURS | {"log_std_init": 0.0}
        agent = jostle.PPO("jostle/HalfCheetah-v5", num_envs=64, seed=seed, domain=DOMAIN, **settings)
        agent.learn(steps)
    else:
        from stable_baselines3 import PPO
        from stable_baselines3.common.env_util import make_vec_env

        def drawn(env: Any) -> Any:
            return Randomise(env, DOMAIN)

        count, settings = (64, SAME) if name == "SB3, same sizes" else (1, {})
        if name == "SB3, log σ -1":
            settings = {"policy_kwargs": {"log_std_init": -1.0}}
        envs = make_vec_env("HalfCheetah-v5", count, seed=seed, wrapper_class=drawn)
        agent = PPO("MlpPolicy", envs, device="cpu", seed=seed, **settings).learn(steps)
    seconds = time.time() - float(os.environ["JOSTLE_BEGAN"])
    view = jostle.as_view(agent, env="jostle/HalfCheetah-v5", env_options={})
    found = jostle.evaluate(view, 100, domain=DOMAIN, seed=10_000)
    return {"name": name, "seed": seed, "steps": steps, "seconds": seconds, "return": found.mean}


def race(seeds: int, steps: int, names: list[str], jobs: int) -> list[dict[str, Any]]:
    """All that are missing, seeds first."""
    rows = [json.loads(line) for line in RACES.read_text().splitlines()] if RACES.exists() else []
    done = {(row["name"], row["seed"], row["steps"]) for row in rows}
    missing = [(name, seed) for seed in range(seeds) for name in names if (name, seed, steps) not in done]
    with ThreadPoolExecutor(jobs) as pool:
        racing = [pool.submit(one, name, seed, steps) for name, seed in missing]
        for future in as_completed(racing):
            row = future.result() | {"at_once": jobs} | circumstances()
            print(f"{row['name']}, seed {row['seed']}: {row['seconds']:.0f} s, return {row['return']:.0f}", flush=True)
            rows.append(row)
            with RACES.open("a") as file:
                file.write(json.dumps(row) + "\n")
    return rows


def one(name: str, seed: int, steps: int) -> dict[str, Any]:
    """`run` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "JOSTLE_BEGAN": repr(time.time())}
    command = [sys.executable, "-W", "ignore", __file__, "--one", name, str(seed), str(steps)]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def circumstances() -> dict[str, Any]:
    """Versions and processor."""
    names = ("jostle", "torch", "gymnasium", "mujoco-core", "stable-baselines3")
    return {
        "versions": {name: version(name) for name in names} | {"python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
    }


def tell(rows: list[dict[str, Any]], steps: int) -> None:
    """Seconds and returns of each, and how much more jostle's agents return, with Welch's 95% interval: a seed of one
    library has nothing to do with the same seed of another."""
    from jostle.scores.differences import contrast

    returns = {name: [r["return"] for r in rows if (r["name"], r["steps"]) == (name, steps)] for name in NAMES}
    for name, own in returns.items():
        alone = [r["seconds"] for r in rows if (r["name"], r["steps"], r["at_once"]) == (name, steps, 1)]
        took = f"{statistics.median(alone):.0f} s ({len(alone)} alone), " if alone else ""
        if own:
            paid = f"{statistics.mean(own):.0f} [{min(own):.0f}, {max(own):.0f}]"
            print(f"{name}: {len(own)} seeds, {took}return {paid}")
    ours = {name: own for name, own in returns.items() if name.startswith("jostle") and len(own) > 1}
    theirs = {name: own for name, own in returns.items() if not name.startswith("jostle") and len(own) > 1}
    for (a, mine), (b, other) in itertools.product(ours.items(), theirs.items()):
        found = contrast([other, mine], [-1, 1])
        more, low, high = ((x / found.x) for x in (found.y - found.x, found.interval.low, found.interval.high))
        print(f"{a} returns {more:+.0%} [{low:+.0%}, {high:+.0%}] beside {b}")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--race", action="store_true")
    parser.add_argument("--rounds", type=int, default=5, help="of the speed")
    parser.add_argument("--seeds", type=int, default=5, help="of the race")
    parser.add_argument("--steps", type=int, default=1_000_000, help="of the race")
    parser.add_argument("--jobs", type=int, default=1, help="races at once; seconds count of those alone")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), help="who races")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        name, seed, steps = args.one
        print(json.dumps(run(name, int(seed), int(steps))))
    if args.speed:
        found = {"command": f"python benchmarks/half_cheetah.py --speed --rounds {args.rounds}", **circumstances()}
        found |= speed(args.rounds)
        (RESULTS / "half_cheetah_speed.json").write_text(json.dumps(found, indent=1) + "\n")
        for name, rates in found["steps_per_second"].items():
            print(f"{name:18} {statistics.median(rates):8,.0f} steps/s")
        for name, ratios in found["ratios"].items():
            low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
            print(f"jostle / {name}: {middle:.2f} [{low:.2f}, {high:.2f}]")
    if args.race:
        tell(race(args.seeds, args.steps, args.only, args.jobs), args.steps)


if __name__ == "__main__":
    main()
