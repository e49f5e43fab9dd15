"""Jobs as tasks of a Ray cluster, whose scheduling, retries and resources are Ray's. It needs the extra `ray`.

Every task starts the process that the pool of this machine would start, in the same folder, which all machines of the
cluster must see under the same path.
"""

import importlib.util
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jostle.errors import ConfigError, JostleError
from jostle.study.executor import LOG, RUNS, THREADS, Ended, Executor

PATIENCE = 30.0
"""Seconds within which a cluster must answer."""
RETRIES = 3
"""How often Ray runs a job again whose worker or machine is lost; it goes on from its last checkpoint."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}


@contextmanager
def on_ray(address: str, at_once: int | None = None, threads: int = 1) -> Iterator[Executor]:
    """The cluster at an address, for as long as the context lasts.

    Args:
        address: ``auto`` (the cluster that runs on this machine), HOST:PORT, or ray://HOST:PORT.
        at_once: jobs at once; None: as many as the cluster's machines have cores for, also those that join later.
        threads: of each job, which is what Ray is asked for as ``num_cpus``; with ``device: cuda`` a GPU as well.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError('--ray needs Ray: pip install "jostle[ray]".')
    os.environ.update(_QUIET)  # nothing is told to anybody
    _ask(address)
    import ray

    ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield _executor(ray, at_once, threads)
    finally:
        ray.shutdown()


def _ask(address: str) -> None:
    """Refuse an address where no cluster answers. A process of its own asks: Ray waits two minutes and then ends it."""
    known = 'start one with "ray start --head", or give the address that it told.'
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address != "auto":
        if not host or not port.isdigit():
            raise ConfigError(f"--ray {address} is no address: give auto, HOST:PORT or ray://HOST:PORT.")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise ConfigError(f"nothing answers at the Ray address {address} ({_one(error)}): {known}") from error
    told = f"import ray; ray.init({address!r}, log_to_driver=False, logging_level='error'); ray.shutdown()"
    try:
        asked = subprocess.run(
            [sys.executable, "-c", told], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"no Ray cluster answers at {address} within {PATIENCE:.0f} s: {known}") from error
    if asked.returncode:
        said = [line for line in asked.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise ConfigError(f"no Ray cluster can be used at {address} ({_one(said[-1])}): {known}")


def _executor(ray: Any, at_once: int | None, threads: int) -> Executor:
    """Jobs of a cluster that this process is connected to."""
    remote = ray.remote(_task())

    def run(
        folders: Sequence[Path],
        *,
        stop: Callable[[], bool] = lambda: False,
        started: Callable[[Path], None] = lambda _: None,
        tick: Callable[[], None] = lambda: None,
    ) -> Iterator[Ended]:
        waiting, largest, looked = list(folders), 0, -1.0
        running: dict[Any, tuple[Path, float]] = {}
        slots, memory = 0, 0
        try:
            while waiting or running:
                if time.monotonic() - looked > 1:
                    slots, memory, looked = *_room(ray.nodes(), threads), time.monotonic()
                while waiting and not stop() and len(running) < (at_once or slots):
                    folder = waiting.pop(0)
                    asked = {"num_cpus": threads, "max_retries": RETRIES, **_gpus(folder)}
                    if largest:
                        asked["memory"] = min(int(1.2 * largest), memory)
                    ref = remote.options(name=str(folder), **asked).remote(
                        str(folder.resolve()), threads, LOG, RUNS, THREADS
                    )
                    running[ref] = folder, time.monotonic()
                    started(folder)
                if stop():
                    waiting.clear()
                done, _ = ray.wait(list(running), timeout=0.05) if running else ([], [])
                for ref in done:
                    folder, begun = running.pop(ref)
                    ended = _ended(ray, ref, folder, time.monotonic() - begun)
                    largest = max(largest, ended.memory)
                    yield ended
                tick()
        except BaseException:
            _cancel(ray, list(running))
            raise

    return run


def _task() -> Callable[..., dict[str, Any]]:
    """What a worker does. It is sent as it stands and asks for nothing but Python, so that a worker without the package
    can say so."""

    def run(folder: str, threads: int, log: str, runs: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        import os
        import platform
        import subprocess
        import sys
        import time

        host, python = platform.node(), sys.executable
        if importlib.util.find_spec("jostle") is None:
            return {
                "trouble": f"the Ray worker on {host} has no jostle: install it there, for {python}, on every machine."
            }
        if not os.path.isfile(os.path.join(folder, "job.json")):
            return {
                "trouble": f"the Ray worker on {host} does not see {folder}: give --out in a folder that all share."
            }
        begun = time.monotonic()
        with open(os.path.join(folder, log), "ab") as out:
            process = subprocess.Popen(
                [python, *runs, folder, str(os.getpid())], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, **dict.fromkeys(names, str(threads))},
            )  # fmt: skip
        asked = False
        while True:
            try:
                done, status, usage = os.wait4(process.pid, os.WNOHANG)
                if done:
                    break
                time.sleep(0.05)
            except KeyboardInterrupt:  # the study is being ended: save and go, and at once where asked again
                process.kill() if asked else process.terminate()
                asked = True
        process.returncode = code = os.waitstatus_to_exitcode(status)
        lacks = "import importlib.util, sys; sys.exit(importlib.util.find_spec('jostle') is None)"
        if code == 1 and subprocess.run([python, "-c", lacks]).returncode:
            return {
                "trouble": f"the Ray worker on {host} has no jostle: install it on every machine, there for {python}."
            }
        memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return {"code": code, "seconds": time.monotonic() - begun, "memory": memory}

    return run


def _room(nodes: Sequence[Mapping[str, Any]], threads: int) -> tuple[int, int]:
    """How many jobs fit onto the machines that are there, and the bytes of the largest one.

    Raises:
        ConfigError: no machine has cores for a job.
    """
    there = [node["Resources"] for node in nodes if node["Alive"]]
    slots = sum(int(each.get("CPU", 0)) // threads for each in there)
    if not slots and all(each.get("CPU", 0) < threads for each in there):
        raise ConfigError(
            f"no machine of the Ray cluster has {threads} cores for a job: use fewer --threads, or add one."
        )
    return slots, int(max((each.get("memory", 0) for each in there), default=0))


def _gpus(folder: Path) -> dict[str, float]:
    """A GPU for a job that names one as its device; one that leaves the device open has the CPU."""
    asked = json.loads((folder / "job.json").read_text(encoding="utf-8"))["asked"]
    return {"num_gpus": 1} if str(asked["config"].get("device", "")).startswith("cuda") else {}


def _ended(ray: Any, ref: Any, folder: Path, seconds: float) -> Ended:
    """What a task gave back; a job that Ray gave up has the reason in its log.

    Raises:
        ConfigError: the worker cannot run any job.
        JostleError: the cluster is gone.
    """
    try:
        told = ray.get(ref)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.RayTaskError, ray.exceptions.NodeDiedError,
            ray.exceptions.OutOfMemoryError, ray.exceptions.TaskUnschedulableError) as error:  # fmt: skip
        with (folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"error: Ray gave this job up ({_one(error)})\n")
        return Ended(folder, -9, seconds, 0)
    except ray.exceptions.RayError as error:
        raise JostleError(f"the Ray cluster is lost ({_one(error)}): start it, and run again.") from error
    if "trouble" in told:
        raise ConfigError(told["trouble"])
    return Ended(folder, told["code"], told["seconds"], told["memory"])


def _cancel(ray: Any, refs: list[Any]) -> None:
    """Let the jobs save; whoever asks a second time ends them at once."""
    if not refs:
        return
    try:
        for ref in refs:
            ray.cancel(ref)
        ray.wait(refs, num_returns=len(refs), timeout=120)
    except BaseException:
        for ref in refs:
            ray.cancel(ref, force=True)
        raise


def _one(said: object) -> str:
    """In one line, and not too long."""
    return " ".join(str(said).split())[:200]
