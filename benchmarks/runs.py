"""Training runs of a study: which there are to be, which stand in the file, and two processes for those that do not.

A study is two tables, of tasks and of methods. A run is (task, method, seed) and becomes one line of JSON, which holds
the settings that it was made with: a run whose settings have changed since is made again.
"""

import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from importlib.metadata import version
from pathlib import Path
from typing import Any

Job = tuple[str, str, int]
Row = dict[str, Any]


def jobs(
    tasks: Iterable[str], wanted: Callable[[str], Iterable[str]], seeds: Callable[[str, str], int]
) -> Iterator[Job]:
    """Seed by seed, so that an early stop leaves few seeds of everything rather than everything of a few."""
    pairs = [(task, method) for task in tasks for method in wanted(task)]
    for seed in range(max((seeds(*pair) for pair in pairs), default=0)):
        for task, method in pairs:
            if seed < seeds(task, method):
                yield task, method, seed


def finished(raw: Path, settings: Callable[[str, str], dict[str, Any]]) -> dict[Job, Row]:
    """Runs in the file whose settings are still those of the study, which raises KeyError for what it does not have."""
    found: dict[Job, Row] = {}
    for line in raw.read_text().splitlines() if raw.exists() else ():
        row = json.loads(line)
        try:
            present = json.loads(json.dumps(settings(row["task"], row["method"])))
        except KeyError:
            continue
        if row["settings"] == present:
            found[row["task"], row["method"], row["seed"]] = row
    return found


def run(todo: Iterable[Job], train: Callable[[Job], Row], raw: Path, processes: int, minutes: float) -> None:
    """Train what is to be done until the time is up; a run that has begun is finished."""
    until = time.monotonic() + 60 * minutes
    context = multiprocessing.get_context("spawn")
    raw.parent.mkdir(exist_ok=True)
    with ProcessPoolExecutor(processes, mp_context=context) as pool, raw.open("a") as file:
        waiting, queue = set(), iter(todo)
        while True:
            while len(waiting) < processes and time.monotonic() < until and (job := next(queue, None)) is not None:
                waiting.add(pool.submit(train, job))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                row = future.result()
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
                print(f"{row['task']} {row['method']} {row['seed']}: {row['final']} in {row['seconds']} s", flush=True)


def circumstances(*packages: str) -> Row:
    """Versions and machine."""
    return {
        "versions": {name: version(name) for name in packages},
        "machine": f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def processor() -> str:
    """Its name, where the system tells; else its kind."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
