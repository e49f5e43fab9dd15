"""Steps per CPU-second of the MuJoCo engine beside the bare `mujoco.batch.Batch`, Gymnasium and EnvPool, in turns.

    python benchmarks/mujoco_speed.py             # prints tables, writes benchmarks/results/mujoco_speed.json
    python benchmarks/mujoco_speed.py --repeats 3 --seconds 0.3

HalfCheetah, 64 simulations, one thread each. Contestants step one after the other, round by round; a ratio is the
median of the rounds' ratios, so that a machine that slows down for a while slows all; in brackets that of the quickest
round of each, which neighbours on the same core have disturbed least. Times are CPU seconds of the process and its
children. Actions are random, and the same for all.

- *bare Batch*: `ctrl[:] = actions; step(nstep=5)`, and a reset after 1,000; no observation, no reward; *all fields
  apart*: masses, inertias, centres of mass, frictions, damping, armature, springs, gears and gravity each its own;
- *jostle*: `make_env("jostle/HalfCheetah-v5")`; *randomised*: all these quantities, and the shapes of all inertias,
  drawn anew for each episode, whose ends are spread over time, so that the draws and resets are paid for;
- *EnvPool*: its HalfCheetah within the same contract, without randomisation; *SyncVectorEnv*, *AsyncVectorEnv*:
  Gymnasium's v5.

What is nominally 0 (dry friction, most of all) stays 0, as in a draw that multiplies: to have it costs MuJoCo itself
more. Then, also in CPU time: new values for all quantities of all simulations, beside one control step of all; the
other tasks beside SyncVectorEnv; and pictures per second.
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
import mujoco
import numpy as np
from mujoco.batch import Batch

import jostle
from jostle.envs import make_env
from jostle.envs.engines.mujoco.catalogue import KNOWN

N = 64
PARTS = (".mass", ".com.x", ".com.z", ".damping", ".armature", ".stiffness", ".slide", ".gear", "gravity.z")
SHAPE = (".inertia.d1", ".inertia.d2", ".inertia.d3")
SHEAR = (".inertia.s12", ".inertia.s13", ".inertia.s23")
TICK = os.sysconf("SC_CLK_TCK")


class Draws:
    """Values for quantities of the dynamics, within 20% of the nominal ones, and inertias stretched by as much."""

    def __init__(self, quantities: Any, *more: str) -> None:
        self.rng = np.random.default_rng(0)
        chosen = [q for n, q in quantities.items() if n.endswith((*PARTS, *SHAPE, *more)) and not n.startswith("all.")]
        chosen = [q for q in chosen if q.nominal or ".inertia." in q.name]
        self.names = [q.name for q in chosen]
        nominal, shape = np.array([q.nominal for q in chosen]), np.array([".inertia." in name for name in self.names])
        width = np.where(shape, 0.2, 0.2 * np.abs(nominal))
        self.low, self.high = nominal - width, nominal + width

    def draw(self, rows: int) -> dict[str, np.ndarray]:
        """A value for each name and row."""
        unit = self.rng.random((len(self.names), rows))
        return dict(zip(self.names, self.low[:, None] + (self.high - self.low)[:, None] * unit, strict=True))


def bare(apart: bool) -> Callable[[np.ndarray], Any]:
    """A batch, stepped."""
    model = make_env("jostle/HalfCheetah-v5", threads=1)._engine.sims.model  # as jostle compiles it
    batch = Batch(model, N, 1)
    if apart:
        scale = np.random.default_rng(0).uniform(0.8, 1.2, (N, 1))
        for field in ("body_mass", "dof_damping", "dof_armature", "dof_frictionloss", "jnt_stiffness"):
            batch.expand(field)[:] = getattr(model, field) * scale
        for field in ("body_inertia", "body_ipos", "geom_friction", "actuator_gear"):
            batch.expand(field)[:] = getattr(model, field) * scale[..., None]
        batch.expand("opt.gravity")[:] = model.opt.gravity * scale
        batch.set_const()
    ctrl, qpos, qvel = batch.bind("ctrl"), batch.bind("qpos"), batch.bind("qvel")
    age, rng = ages(), np.random.default_rng(0)

    def begin(rows: np.ndarray) -> None:
        batch.reset(rows, stage=0)
        qpos[rows] += rng.uniform(-0.1, 0.1, (rows.size, model.nq))
        qvel[rows] = 0.1 * rng.standard_normal((rows.size, model.nv))

    def step(actions: np.ndarray) -> None:
        nonlocal age
        ctrl[:] = actions
        batch.step(nstep=5)
        age += 1
        over = age >= 1000
        if over.any():
            begin(np.flatnonzero(over))
            age[over] = 0

    begin(np.arange(N))
    return step


def ages() -> np.ndarray:
    """Steps done of each episode, spread over the thousand that it has."""
    return np.random.default_rng(0).permutation(N) * (1000 // N)


def own(randomised: bool) -> Callable[[np.ndarray], Any]:
    """The engine; ends are spread over time by episodes of unequal age."""
    env = make_env("jostle/HalfCheetah-v5", num_envs=N, threads=1)
    env.reset(seed=0)
    engine = env._engine
    engine._elapsed[:] = ages()
    if not randomised:
        return env.step
    draws = Draws(engine.quantities)
    engine.set_quantities(draws.draw(N), np.arange(N))

    def step(actions: np.ndarray) -> None:
        rows = np.flatnonzero(engine._ended)
        if rows.size:
            engine.set_quantities(draws.draw(rows.size), rows)
        env.step(actions)

    return step


def theirs(env: Any) -> Callable[[np.ndarray], Any]:
    """Somebody else's vector environment."""
    env.reset(seed=0)
    return env.step


def cpu_seconds() -> float:
    """Of this process, all its threads, and its children, which count in hundredths."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    stats = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split() for child in children]
    return time.process_time() + sum(int(s[11]) + int(s[12]) for s in stats) / TICK


def timed(step: Callable[[np.ndarray], Any], actions: list[np.ndarray]) -> float:
    """CPU seconds of one vector step."""
    since = cpu_seconds()
    for batch in actions:
        step(batch)
    return (cpu_seconds() - since) / len(actions)


def in_turns(
    steps: dict[str, Callable[[np.ndarray], Any]], actions: list[np.ndarray], repeats: int, seconds: float
) -> dict[str, list[float]]:
    """The times of all rounds, by contestant; every other round goes backwards."""
    counts = {key: max(10, round(seconds / timed(step, actions[:30]))) for key, step in steps.items()}
    times: dict[str, list[float]] = {key: [] for key in steps}
    for i in range(repeats):
        for key in list(steps) if i % 2 == 0 else list(steps)[::-1]:
            times[key].append(timed(steps[key], [actions[j % len(actions)] for j in range(counts[key])]))
    return times


def ratio(times: dict[str, list[float]], one: str, other: str) -> float:
    """How many times as quick `one` is as `other`: the median over the rounds."""
    return round(statistics.median(b / a for a, b in zip(times[one], times[other], strict=True)), 3)


def halfcheetah(repeats: int, seconds: float) -> dict[str, Any]:
    """The main table."""
    rng = np.random.default_rng(0)
    actions = [rng.uniform(-1, 1, (N, 6)).astype(np.float32) for _ in range(100)]
    steps = {
        "bare Batch": bare(False),
        "bare Batch, all fields apart": bare(True),
        "jostle": own(False),
        "jostle, randomised": own(True),
        "EnvPool": theirs(make_env("HalfCheetah-v5", num_envs=N, engine="envpool", num_threads=1)),
        "SyncVectorEnv": theirs(gym.make_vec("HalfCheetah-v5", N, vectorization_mode="sync")),
        "AsyncVectorEnv": theirs(gym.make_vec("HalfCheetah-v5", N, vectorization_mode="async")),
    }
    for step in steps.values():  # until the cheetahs lie on the floor, where a step costs what it will cost
        for batch in actions:
            step(batch)
    times = in_turns(steps, actions, repeats, seconds)
    ratios = {other: ratio(times, "jostle, randomised", other) for other in steps}
    speed = {key: round(N / statistics.median(t)) for key, t in times.items()}
    quickest = {other: round(min(times[other]) / min(times["jostle, randomised"]), 3) for other in steps}
    return {
        "steps_per_cpu_second": speed,
        "jostle_randomised_is_times": ratios,
        "of_the_quickest_rounds": quickest,
        "microseconds": {key: [round(1e6 * t) for t in all_] for key, all_ in times.items()},
    }


def parameters(repeats: int, sheared: bool) -> dict[str, Any]:
    """A draw of everything for everyone, beside a control step; `sheared`: inertias too, whose axes must be found."""
    env = make_env("jostle/HalfCheetah-v5", num_envs=N, threads=1)
    env.reset(seed=0)
    draws = Draws(env._engine.quantities, *(SHEAR if sheared else ()))
    values = [draws.draw(N) for _ in range(10)]
    actions = [np.random.default_rng(1).uniform(-1, 1, (N, 6)).astype(np.float32)] * 100
    rows, times = np.arange(N), {"set": list[float](), "step": list[float]()}
    for batch in actions:
        env.step(batch)
    for _ in range(repeats):
        times["step"].append(timed(env.step, actions[:40]))
        since = time.process_time()
        for value in values:
            env._engine.set_quantities(value, rows)
        times["set"].append((time.process_time() - since) / len(values))
    share = round(statistics.median(a / b for a, b in zip(times["set"], times["step"], strict=True)), 3)
    millis = {key: round(1e3 * statistics.median(t), 3) for key, t in times.items()}
    return {"quantities": len(draws.names), "milliseconds": millis, "set_over_step": share}


def tasks(repeats: int, seconds: float) -> dict[str, Any]:
    """All tasks of Gymnasium's beside its SyncVectorEnv, none randomised."""
    found = {}
    for name in [name for name in KNOWN if name != "Reach-v0"]:
        env = make_env(f"jostle/{name}", num_envs=16, threads=1)
        space = env.action_space
        space.seed(0)
        actions = [space.sample() for _ in range(50)]
        rounds = {"jostle": theirs(env), "SyncVectorEnv": theirs(gym.make_vec(name, 16, vectorization_mode="sync"))}
        times = in_turns(rounds, actions, repeats, seconds)
        speed = {key: round(16 / statistics.median(t)) for key, t in times.items()}
        found[name] = speed | {"ratio": ratio(times, "jostle", "SyncVectorEnv")}
    return found


def pictures(repeats: int) -> dict[str, int]:
    """Frames of 64×64 per CPU-second, Reach."""
    found = {}
    for shadows in (False, True):
        env = make_env("jostle/Reach-v0", num_envs=16, observation="picture", shadows=shadows, threads=1)
        env.reset(seed=0)
        studio = env._engine._observer.studio
        times = []
        for _ in range(repeats):
            since = time.process_time()
            studio.pictures()
            times.append((time.process_time() - since) / 16)
        found["with shadows" if shadows else "without shadows"] = round(1 / statistics.median(times))
        env.close()
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one timing")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mujoco_speed.json")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    load = os.getloadavg()[0]
    result: dict[str, Any] = {"halfcheetah": halfcheetah(args.repeats, args.seconds)}
    for key, speed in result["halfcheetah"]["steps_per_cpu_second"].items():
        times, quickest = (
            result["halfcheetah"][k][key] for k in ("jostle_randomised_is_times", "of_the_quickest_rounds")
        )
        print(f"{key:30} {speed:>9,} per CPU-second   jostle, randomised, is × {times} ({quickest})", flush=True)
    result["parameters"] = {name: parameters(args.repeats, name == "with shear") for name in ("all", "with shear")}
    for name, row in result["parameters"].items():
        print(f"{name}: {row}", flush=True)
    result["tasks"] = tasks(max(3, args.repeats // 3), args.seconds / 2)
    for name, row in result["tasks"].items():
        print(f"{name:22} {row['jostle']:>9,}  SyncVectorEnv {row['SyncVectorEnv']:>9,}   × {row['ratio']}", flush=True)
    result["pictures_per_cpu_second"] = pictures(args.repeats)
    print(result["pictures_per_cpu_second"])
    versions = {"jostle": jostle.__version__, "python": platform.python_version(), "numpy": np.__version__}
    versions |= {"gymnasium": gym.__version__, "mujoco": mujoco.__version__}
    command = " ".join(["python", "benchmarks/mujoco_speed.py", *sys.argv[1:]])
    head = {"command": command, "versions": versions, "machine": {"cpus": os.cpu_count(), "load_average_before": load}}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(head | result, indent=2) + "\n")


if __name__ == "__main__":
    main()
