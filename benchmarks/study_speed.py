"""What a study costs beside its jobs: its scheduling, and two jobs at once against two bare processes.

    python benchmarks/study_speed.py --rounds 5

Every round trains the same jobs four ways, by turns: the study's pool with one process and with two, and bare processes
that are started by nobody's scheduler, one after the other and two at a time. Scheduling is what the study's call takes
beyond its jobs, while one runs at a time. The raw numbers go to benchmarks/results/study_speed.json. Run it at a quiet
moment: the two-at-once ratio needs two idle cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jostle.study import make_study, run_study
from jostle.study.executor import RUNS, THREADS
from jostle.study.jobs import Job
from jostle.study.machine import processor, versions
from jostle.study.run import Event, prepare

RESULTS = Path(__file__).parent / "results" / "study_speed.json"
JOBS = 4


def study(steps: int) -> Any:
    """Jobs of some seconds: PPO with RND on DeepSea, a seed each."""
    return make_study({
        "name": "speed", "seeds": JOBS, "steps": steps, "evaluate": {"episodes": 10},
        "tasks": {"sea": {"env": "jostle/DeepSea-v0", "env_options": {"size": 10}, "num_envs": 32}},
        "methods": {"rnd": {"algorithm": "ppo", "config": {"num_steps": 40, "bonus": ["rnd"], "bonus_features": 64}}},
    })  # fmt: skip


def pooled(steps: int, at_once: int, folder: Path) -> dict[str, float]:
    """Seconds of the whole call, and of its jobs together."""
    spent: list[float] = []

    def note(event: Event) -> None:
        assert event.what != "failed", event.said
        if event.ended is not None:
            spent.append(event.ended.seconds)

    spec = study(steps)  # which imports torch, once a command
    begun = time.perf_counter()
    outcome = run_study(spec, folder, at_once=at_once, notify=note)
    assert len(outcome.done) == JOBS
    return {"whole": time.perf_counter() - begun, "jobs": sum(spent)}


def bare(steps: int, at_once: int, folder: Path) -> dict[str, float]:
    """The same processes without a study: so many workers, each with its share of the jobs, one after the other."""
    jobs = list(study(steps).jobs)
    for job in jobs:
        prepare(folder / job.folder, job)
    begun = time.perf_counter()
    shares: list[list[Job]] = [jobs[nth::at_once] for nth in range(at_once)]
    running: list[subprocess.Popen[bytes] | None] = [None] * at_once
    while any(shares) or any(running):
        for nth, share in enumerate(shares):
            process = running[nth]
            if process is not None and process.poll() is not None:
                assert process.returncode == 0
                running[nth] = process = None
            if process is None and share:
                running[nth] = start(folder / share.pop(0).folder)
        time.sleep(0.005)
    return {"whole": time.perf_counter() - begun, "jobs": 0.0}


def start(folder: Path) -> "subprocess.Popen[bytes]":
    quiet = {**os.environ, **dict.fromkeys(THREADS, "1")}
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen([sys.executable, *RUNS, str(folder)], stdout=log, stderr=log, env=quiet)


WAYS = {
    "pool, one": (pooled, 1), "bare, one": (bare, 1), "pool, two": (pooled, 2), "bare, two": (bare, 2),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40_000, help="of each job")
    args = parser.parse_args()
    rounds: list[dict[str, dict[str, float]]] = []
    for nth in range(args.rounds):
        found = {}
        order = list(WAYS) if nth % 2 == 0 else list(reversed(WAYS))
        for name in order:
            way, at_once = WAYS[name]
            with tempfile.TemporaryDirectory() as folder:
                found[name] = way(args.steps, at_once, Path(folder))
        rounds.append(found)
        print({name: round(each["whole"], 2) for name, each in found.items()}, flush=True)
    alone = [each["pool, one"] for each in rounds]
    scheduling = [(each["whole"] - each["jobs"]) / each["whole"] for each in alone]
    two = [each["bare, two"]["whole"] / each["pool, two"]["whole"] for each in rounds]
    one = [each["bare, one"]["whole"] / each["pool, one"]["whole"] for each in rounds]
    told = {
        name: {"median": statistics.median(values), "rounds": values}
        for name, values in (("scheduling_share", scheduling), ("pool_to_bare_two", two), ("pool_to_bare_one", one))
    }
    whole = {
        "command": f"python benchmarks/study_speed.py --rounds {args.rounds} --steps {args.steps}",
        "versions": versions(), "processor": processor(), "cores": os.cpu_count(), "seconds": rounds, **told,
    }  # fmt: skip
    RESULTS.write_text(json.dumps(whole, indent=1) + "\n")
    print("| | median | goal |\n|---|---|---|")
    print(f"| share of a study's time that is scheduling | {told['scheduling_share']['median']:.2%} | 1% |")
    print(f"| speed of two at once / two bare processes | {told['pool_to_bare_two']['median']:.3f} | 0.95 |")
    print(f"| speed of one at a time / bare processes | {told['pool_to_bare_one']['median']:.3f} | |")


if __name__ == "__main__":
    main()
