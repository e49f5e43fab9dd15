"""Environment steps per second of PPO's whole training beside its peers', measured by turns.

    python benchmarks/ppo_speed.py --peers DIR
    python benchmarks/ppo_speed.py --peers DIR --only cartpole minigrid --rounds 3

DIR holds clones of the peers' repositories at the commits that the script names if they are missing. Stable-Baselines3,
tensordict, tqdm, minigrid, Box2D (gymnasium[box2d]), PufferLib 3.0, Sample Factory and what PureJaxRL needs (jax flax
optax distrax gymnax==0.0.9) come from pip; who is not installed is left out.

Every contestant is a process of its own. All of a task stay alive and run by turns of a second (Montezuma: four,
CoinRun: two), one at a time, the others stopped; a round ends when each has finished an iteration or more. A ratio is
the median over the rounds. Peers run with one and with two threads, and the quicker counts; where pictures are seen,
everybody runs with two.
Peers' scripts are run from their clones with the patches in `peers/scripts.py` and `peers/purejaxrl.py`; settings are
in `peers/tasks.py`.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from returns import RACES, race
from tasks import COMMITS, OPTIONAL, TASKS, Entry, Task
from turns import Contestant, interleave, quickest

from jostle.study.machine import processor

PACKAGES = (
    "jostle", "torch", "numpy", "gymnasium", "envpool", "stable_baselines3", "tensordict", "pufferlib",
    "sample_factory", "jax", "jaxlib", "flax", "optax", "distrax", "gymnax",
)  # fmt: skip

DEFAULT = ["cartpole", "lunarlander", "minigrid", "montezuma", "coinrun", "coinrun-nature", "memory"]


def how_to_clone(folder: Path, name: str) -> str:
    """The command."""
    url, commit = COMMITS[name]
    return f"git clone {url} {folder / name} && git -C {folder / name} checkout {commit}"


def check_clones(folder: Path) -> None:
    """Say how to get what is missing.

    Raises:
        SystemExit: a clone is missing that everybody needs.
    """
    missing = [name for name in COMMITS if not (folder / name).is_dir()]
    if any(name not in OPTIONAL for name in missing):
        lines = [how_to_clone(folder, name) for name in missing]
        raise SystemExit("The peers' sources are missing. Get them with:\n" + "\n".join(lines))
    for name in missing:
        print(f"note: {name} is not there and left out. Get it with:\n{how_to_clone(folder, name)}", flush=True)
    for name, (_, commit) in COMMITS.items():
        found = subprocess.run(["git", "-C", str(folder / name), "rev-parse", "HEAD"], capture_output=True, text=True)
        if found.stdout.strip() not in ("", commit):
            print(f"note: {name} is at {found.stdout.strip()[:8]}, not at {commit[:8]}", flush=True)


def available(entry: Entry, pythons: dict[str, str]) -> bool:
    """Whether its interpreter has the modules that it needs."""
    code = "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(m) is None for m in sys.argv[1:]))"
    return subprocess.run([pythons[entry.python], "-c", code, *entry.needs], check=False).returncode == 0


def measure(task: Task, rounds: int, pythons: dict[str, str]) -> dict[str, Any]:
    """All contestants of a task by turns: rates, memory, ratios."""
    entries = []
    for entry in task.entries:
        if available(entry, pythons):
            entries.append(entry)
        else:
            print(f"{entry.name} is left out: install {', '.join(entry.needs)}.", flush=True)
    contestants = {entry.name: entry.contestants(pythons) for entry in entries}
    every = [c for group in contestants.values() for c in group]
    try:
        for name, group in contestants.items():
            for contestant in group:
                contestant.start()
                print(f"  {name} ({contestant.threads}): {contestant.running_time:.0f} s to start", flush=True)
            contestants[name] = quickest(group)
        interleave(
            [c for group in contestants.values() for c in group],
            min(rounds, task.rounds or rounds),
            task.slice_seconds,
            task.least,
        )
    finally:
        for contestant in every:
            contestant.stop()
    best = {name: max(group, key=lambda c: statistics.median(c.rates())) for name, group in contestants.items()}
    rows = [row(entry, best[entry.name], contestants[entry.name]) for entry in entries]
    ratios = []
    for pair in task.pairs:
        if pair.ours in best and pair.theirs in best:
            each = [a / b for a, b in zip(best[pair.ours].rates(), best[pair.theirs].rates(), strict=True)]
            ratios.append({
                "ours": pair.ours, "theirs": pair.theirs, "goal": pair.goal, "ratio": statistics.median(each),
                "lowest": min(each), "highest": max(each),
            })  # fmt: skip
    return {"task": task.name, "rows": rows, "ratios": ratios}


def row(entry: Entry, best: Contestant, tried: list[Contestant]) -> dict[str, Any]:
    """What is kept of a contestant."""
    return {
        "name": entry.name,
        "shape": entry.shape,
        "threads": best.threads,
        "steps_per_second": statistics.median(best.rates()),
        "rounds": best.rates(),
        "by_threads": {c.threads: statistics.median(c.rates()) for c in tried},
        "peak_memory_mb": best.ticks[-1].memory / 2**20,
        "seconds_to_start": best.active(best.ticks[best.marks[0]].seconds),
    }


def measure_memory(task: Task, pythons: dict[str, str]) -> dict[str, Any]:
    """One iteration of each contestant at full size, one after the other: peak of memory, and the rate as a check."""
    rows = []
    for entry in task.entries:
        (contestant,) = entry.contestants(pythons)
        contestant.warm = 0
        try:
            contestant.start()
            steps, memory = contestant.ticks[0].steps, contestant.ticks[0].memory
        finally:
            contestant.stop()
        rows.append({"name": entry.name, "shape": entry.shape, "steps": steps, "peak_memory_mb": memory / 2**20})
        print(f"  {entry.name}: {memory / 2**20:.0f} MB", flush=True)
    return {"task": task.name, "rows": rows, "ratios": []}


def report(result: dict[str, Any]) -> str:
    """The tables of a task."""
    lines = []
    if result["task"] == "memory":
        lines += ["| Montezuma, full size | peak memory |", "|---|---|"]
        lines += [f"| {r['name']} | {r['peak_memory_mb']:,.0f} MB |" for r in result["rows"]]
    elif "races" in result:
        lines += [
            "| contestant | seeds there | seconds, with the start | seconds after the first iteration | steps |",
            "|---" * 5 + "|",
        ]
        for r in result["races"]:
            cells = (spread(r[key], digits) for key, digits in (("seconds", 1), ("seconds_warm", 1), ("steps", 0)))
            lines.append(f"| {r['name']} | {len(r['steps'])} of {r['seeds']} | {' | '.join(cells)} |")
    else:
        lines += [f"| {result['task']} | sizes | threads | steps/s | peak memory | to start |", "|---" * 6 + "|"]
        lines += [
            f"| {r['name']} | {r['shape']} | {r['threads']} | {r['steps_per_second']:,.0f} | "
            f"{r['peak_memory_mb']:,.0f} MB | {r['seconds_to_start']:.0f} s |"
            for r in result["rows"]
        ]
        lines += ["", "| ours | theirs | ratio [rounds] | goal |", "|---" * 4 + "|"]
        lines += [
            f"| {r['ours']} | {r['theirs']} | {r['ratio']:.2f} [{r['lowest']:.2f}, {r['highest']:.2f}] | "
            f"{r['goal'] or '–'} |"
            for r in result["ratios"]
        ]
    return "\n".join(lines)


def spread(values: list[float], digits: int) -> str:
    """Median and range."""
    if not values:
        return "–"
    return f"{statistics.median(values):,.{digits}f} [{min(values):,.{digits}f}, {max(values):,.{digits}f}]"


def versions(pythons: dict[str, str]) -> dict[str, str]:
    """Of this interpreter's packages, and of those that only another one has."""
    code = (
        "import json, sys\nfrom importlib.metadata import distributions\n"
        "every = {d.name.lower().replace('-', '_'): d.version for d in distributions() if d.name}\n"
        "print(json.dumps({name: every[name] for name in sys.argv if name in every}))"
    )
    found: dict[str, str] = {}
    for python in dict.fromkeys([sys.executable, *pythons.values()]):
        out = subprocess.run([python, "-c", code, *PACKAGES], capture_output=True, text=True, check=True).stdout
        found = json.loads(out) | found
    found = {"python": platform.python_version()} | {name: found[name] for name in PACKAGES if name in found}
    return found | {name: commit[:8] for name, (_, commit) in COMMITS.items()}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*TASKS, *(f"{name}-return" for name in RACES)]
    parser.add_argument("--peers", type=Path, required=True, help="folder with clones of cleanrl and LeanRL")
    parser.add_argument("--only", nargs="+", choices=names, default=DEFAULT, metavar="TASK", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3, help="of the races to a return")
    parser.add_argument("--limit", type=float, default=120, help="seconds that a contestant of a race may run")
    parser.add_argument("--puffer-python", default=sys.executable, help="interpreter of an environment with PufferLib")
    parser.add_argument("--jax-python", default=sys.executable, help="interpreter of an environment with JAX")
    parser.add_argument("--factory-python", default=sys.executable, help="interpreter of one with Sample Factory")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ppo_speed.json")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the contestants are ended too
    check_clones(args.peers)
    pythons = {
        "jostle": sys.executable,
        "pufferlib": args.puffer_python,
        "jax": args.jax_python,
        "sample_factory": args.factory_python,
    }
    command = " ".join([
        "python", "benchmarks/ppo_speed.py", "--peers", "DIR", "--only", *args.only,
        "--rounds", str(args.rounds), "--seeds", str(args.seeds), "--limit", f"{args.limit:g}",
    ])  # fmt: skip
    load = os.getloadavg()[0]
    results = []
    for name in args.only:
        print(f"{name} …", flush=True)
        if name.endswith("-return"):
            result = race(name.removesuffix("-return"), args.peers, args.seeds, args.limit, pythons)
        elif name == "memory":
            result = measure_memory(TASKS[name](args.peers), pythons)
        else:
            result = measure(TASKS[name](args.peers), args.rounds, pythons)
        results.append(result)
        print(report(result) + "\n", flush=True)
        machine = {"cpus": os.cpu_count(), "processor": processor(), "load_average_before": load}
        data = {"command": command, "versions": versions(pythons), "machine": machine, "tasks": results}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
