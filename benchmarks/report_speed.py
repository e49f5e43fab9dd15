"""Seconds and memory of the report of a study of 100 runs, each in a process of its own.

    python benchmarks/report_speed.py          # prints the numbers, writes benchmarks/results/report_speed.json
    python benchmarks/report_speed.py --runs 20 --lines 500

One run of each method is trained for real, with a stress test. The others are copies of its folder under other seeds,
with its lines of metrics repeated at later steps until there are as many as a long training logs, and the returns,
successes and scores scattered, so that every interval has something to do.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from jostle.study import job, make_study
from jostle.study.run import prepare
from jostle.study.state import write_results

OUT = Path(__file__).parent / "results" / "report_speed.json"
SMALL = {"encoder": "flat", "num_steps": 8, "hidden": [16]}
METHODS = {
    "plain": SMALL,
    "noisy": {**SMALL, "noisy": "factorised"},
    "wide": {**SMALL, "hidden": [64]},
    "rnd": {**SMALL, "bonus": ["rnd"]},
    "entropy": {**SMALL, "entropy_coef": 0.05},
}


def study(folder: Path, runs: int, lines: int) -> None:
    """The folder of a study of so many runs with so many lines of metrics each."""
    seeds = runs // len(METHODS)
    spec = make_study(
        {
            "seeds": seeds,
            "steps": 2048,
            "tasks": {"catch": {"env": "jostle/ThemedCatch-v0", "env_options": {"num_themes": 4}, "num_envs": 8}},
            "methods": {name: {"algorithm": "ppo", "config": config} for name, config in METHODS.items()},
            "evaluate": {"episodes": 20},
            "stress": {"suite": "themes", "episodes": 50},
        }
    )
    rng = np.random.default_rng(0)
    first: dict[str, Path] = {}
    for one in spec.jobs:
        path = folder / one.folder
        if one.method not in first:
            prepare(path, one)
            job.work(path)
            first[one.method] = path
        else:
            shutil.copytree(
                first[one.method], path, ignore=shutil.ignore_patterns("checkpoints", "initial", "tensorboard")
            )
            prepare(path, one)
            _reseed(path, one, rng)
        _lengthen(path / "metrics.jsonl", lines, rng)
    write_results(spec, folder)


def _reseed(path: Path, one: Any, rng: np.random.Generator) -> None:
    """The copied run as one of another seed, with other numbers."""
    found = json.loads((path / "result.json").read_text())
    found |= {"seed": one.seed, "key": one.key}
    found["scores"]["evaluate"]["return"] += float(rng.normal(0, 0.2))
    (path / "result.json").write_text(json.dumps(found))
    rows = [json.loads(line) for line in (path / "stress/themes/episodes.jsonl").read_text().splitlines()]
    for row in rows:
        row["success"] = bool(rng.random() < 0.5)
    (path / "stress/themes/episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _lengthen(path: Path, lines: int, rng: np.random.Generator) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = []
    for number in range(lines):
        row = dict(rows[number % len(rows)])
        row["step"], row["time"] = 1000 * (number + 1), rows[0]["time"] + 2.0 * number
        row["charts/episodic_return"] = float(np.tanh(number / lines) + rng.normal(0, 0.1))
        found.append(json.dumps(row) + "\n")
    path.write_text("".join(found))


def measured(folder: Path, out: Path) -> dict[str, float]:
    """The command in a process of its own: seconds of the wall and of the processor, and the most memory it held."""
    begun = time.perf_counter()
    command = [sys.executable, "-c", "import sys; from jostle.cli import main; sys.exit(main(sys.argv[1:]))"]
    process = subprocess.Popen([*command, "report", str(folder), "--out", str(out), "--quiet"])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the report failed with exit code {process.returncode}")
    return {
        "seconds": time.perf_counter() - begun,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "megabytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20,
        "page_megabytes": out.stat().st_size / 1e6,
    }


def main() -> None:
    """Make the study, write its report, and note what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--lines", type=int, default=1000, help="of metrics, of each run")
    parser.add_argument("--json", type=Path, default=OUT)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "study"
        study(folder, args.runs, args.lines)
        stressed = measured(folder, Path(place) / "report.html")
        for each in folder.glob("*/*/*/stress"):
            shutil.rmtree(each)
        plain = measured(folder, Path(place) / "report.html")
    result = {
        "command": " ".join(["python", "benchmarks/report_speed.py", *sys.argv[1:]]),
        "versions": {name: metadata.version(name) for name in ("jostle", "numpy", "jinja2", "torch")}
        | {"python": platform.python_version()},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "runs": args.runs,
        "lines": args.lines,
        "with_stress_tests": stressed,
        "without": plain,
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
