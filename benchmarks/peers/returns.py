"""Seconds until the mean return of the last hundred training episodes reaches a mark, for several seeds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import Entry
from turns import Contestant


@dataclass(frozen=True)
class Race:
    """An environment, the mark, the steps that schedules of LeanRL's settings are made for, and jostle's own run."""

    env: str
    mark: float
    steps: int
    name: str
    own: dict[str, Any]


RACES = {
    "cartpole": Race("CartPole-v1", 475.0, 1_000_000, "jostle, its preset", {
        "preset": "cartpole-ppo", "steps": 200_000,
    }),
    # RL Baselines3 Zoo's discounts and weight of the entropy; sizes and learning rate chosen with seed 1.
    "lunarlander": Race("LunarLander-v3", 200.0, 4_000_000, "jostle, settings of its own", {
        "env": "LunarLander-v3", "num_envs": 64, "num_steps": 128, "minibatches": 32, "epochs": 4, "gamma": 0.999,
        "gae_lambda": 0.98, "learning_rate": 1e-3, "entropy_coef": 0.01, "steps": 2_000_000,
    }),
}  # fmt: skip


def entries(race: Race, folder: Path, seed: int) -> list[Entry]:
    """LeanRL, jostle with LeanRL's settings, jostle with its own, and (CartPole) the defaults of the others."""
    as_leanrl = {
        "env": race.env, "num_envs": 64, "num_steps": 128, "epochs": 4, "minibatches": 4, "gamma": 0.99,
        "gae_lambda": 0.95, "clip": 0.1, "value_clip": 0.1, "entropy_coef": 0.01, "learning_rate": 2.5e-4,
        "lr_schedule": "linear", "steps": race.steps, "seed": seed,
    }  # fmt: skip
    options = ["--no-cuda", "--env-id", race.env, "--seed", str(seed)]
    lean = ["scripts.py", "leanrl", str(folder.resolve()), *options, "--num-envs", "64", "--total-timesteps"]
    made = [
        Entry(race.name, ["ours.py", json.dumps(race.own | {"seed": seed})], "", (1,)),
        Entry("jostle, LeanRL's settings", ["ours.py", json.dumps(as_leanrl)], "", (1,)),
        Entry("LeanRL", [*lean, str(race.steps)], "", (1,)),
        Entry("LeanRL, compiled", [*lean, str(race.steps), "--compile"], "", (1,)),
    ]
    if race.env == "CartPole-v1":
        cleanrl = ["scripts.py", "cleanrl-ppo", str(folder.resolve()), *options]
        made += [
            Entry("CleanRL ppo.py", cleanrl, "", (1,)),
            Entry("SB3", ["libraries.py", "sb3", json.dumps({"env": race.env, "seed": seed})], "", (1,)),
        ]
    return made


def race(name: str, folder: Path, seeds: int, limit: float, pythons: dict[str, str]) -> dict[str, Any]:
    """Every contestant with every seed, one after the other, until each has reached the mark or its time is up."""
    track = RACES[name]
    rows: dict[str, dict[str, Any]] = {}
    for seed in range(1, seeds + 1):
        for entry in entries(track, folder, seed):
            (contestant,) = entry.contestants(pythons)
            contestant.warm = 0
            found = run(contestant, track.mark, limit)
            row = rows.setdefault(
                entry.name,
                {"name": entry.name, "seeds": seeds, "steps": [], "seconds": [], "seconds_warm": []},
            )
            if found is None:
                print(f"  {entry.name}, seed {seed}: not in its steps or {limit:.0f} s", flush=True)
                continue
            for key, value in zip(("steps", "seconds", "seconds_warm"), found, strict=True):
                row[key].append(value)
            print(f"  {entry.name}, seed {seed}: {found[1]:.1f} s, {found[0]:,} steps", flush=True)
    return {"task": f"{name}-return", "mark": track.mark, "races": list(rows.values()), "rows": [], "ratios": []}


def run(contestant: Contestant, mark: float, limit: float) -> tuple[int, float, float] | None:
    """Steps, seconds and seconds after the first iteration until the mark; None where it was not reached in time."""
    try:
        contestant.start()
        seen = 0
        while True:
            for tick in contestant.ticks[seen:]:
                if tick.mean_return >= mark:
                    seconds = contestant.active(tick.seconds)
                    return tick.steps, seconds, seconds - contestant.active(contestant.ticks[0].seconds)
            seen = len(contestant.ticks)
            if contestant.running_time > limit or not contestant.turn(1.0):
                return None
    finally:
        contestant.stop()
