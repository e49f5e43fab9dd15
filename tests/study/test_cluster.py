"""Studies on a Ray cluster: the same numbers as in processes of this machine, whatever becomes of a machine."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from jostle.cli import main
from jostle.errors import ConfigError
from jostle.study import cluster as module
from jostle.study import read
from jostle.study.cluster import on_ray

pytest.importorskip("ray", reason="the extra ray is not installed")
COMMAND = str(Path(sys.executable).with_name("jostle"))
TINY = {"hidden": [8], "warmup": 20, "batch_size": 8}
SPEC: dict[str, Any] = {
    "name": "sea",
    "seeds": 1,
    "steps": 120,
    "tasks": {"sea-3": {"env": "jostle/DeepSea-v0", "env_options": {"size": 3}, "num_envs": 4}},
    "methods": {"epsilon": {"algorithm": "dqn", "config": TINY}},
    "evaluate": {"episodes": 2},
}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Keeps a cluster and those who connect to it on the loopback device."""
LACKING = """
import os, sys
sys.path[:] = [path for path in sys.path if not os.path.isdir(os.path.join(path, "jostle"))]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
"""
"""`sitecustomize.py` of a machine without the package."""


def written(folder: Path, **changed: Any) -> str:
    file = folder / "sea.yaml"
    file.write_text(yaml.safe_dump({**SPEC, **changed}))
    return str(file)


@contextmanager
def nodes(*cores: int, **environment: str) -> Iterator["tuple[str, subprocess.Popen[str]]"]:
    """The address of a cluster with nodes of so many cores, and the process that has it."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("ray_nodes.py")), *map(str, cores)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, **LOOPBACK, **environment},
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def numbers(folder: Path) -> list[tuple[Any, ...]]:
    return [(row["method"], row["seed"], row["curve"], row["scores"]) for row in read(folder).rows]


@pytest.mark.slow
def test_a_study_on_ray_finds_what_the_pool_finds(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert main(["study", file, "--out", str(tmp_path / "pool"), "--quiet"]) == 0
    with nodes(1) as (address, _):
        ended = subprocess.run(
            [COMMAND, "study", file, "--out", str(tmp_path / "ray"), "--ray", address],
            capture_output=True, text=True, env={**os.environ, **LOOPBACK},
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "[1/1] sea-3 epsilon seed 0: " in ended.stdout
    assert numbers(tmp_path / "ray") == numbers(tmp_path / "pool")
    assert read(tmp_path / "ray").rows[0]["memory"] > 2**20


@pytest.mark.slow
def test_a_machine_that_is_killed_changes_no_number(tmp_path: Path) -> None:
    file = written(tmp_path, seeds=3, steps=4000)
    assert main(["study", file, "--out", str(tmp_path / "pool"), "--quiet"]) == 0
    with nodes(1, 1) as (address, process):
        study = begun(file, tmp_path / "ray", address)
        until(lambda: len(list((tmp_path / "ray").glob("*/*/*/checkpoints/*"))) > 1, study)
        assert process.stdin
        assert process.stdout
        process.stdin.write("kill\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() == "killed"
        assert not list((tmp_path / "ray").glob("*/*/*/result.json"))
        assert study.wait(400) == 0
    assert numbers(tmp_path / "ray") == numbers(tmp_path / "pool")
    stretches = [yaml.safe_load(path.read_text())["stretches"] for path in (tmp_path / "ray").glob("*/*/*/run.json")]
    assert sorted(map(len, stretches)) == [1, 1, 2]


@pytest.mark.slow
def test_jobs_on_ray_end_with_their_study(tmp_path: Path) -> None:
    file, out = written(tmp_path, steps=100_000), tmp_path / "ray"
    with nodes(1) as (address, _):
        study = begun(file, out, address)
        until(lambda: any(path.stat().st_size for path in out.glob("*/*/*/metrics.jsonl")), study)
        study.terminate()
        assert study.wait(60) == 143
        told = yaml.safe_load(next(out.glob("*/*/*/run.json")).read_text())
        assert (told["stretches"][0]["how"], told["finished"]) == ("SIGTERM", False)


@pytest.mark.slow
def test_what_a_cluster_cannot_run_is_said(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(LACKING)
    file = written(tmp_path)
    with nodes(1, PYTHONPATH=str(tmp_path)) as (address, _):
        for flags, match in (([], "has no jostle: install it"), (["--threads", "2"], "has 2 cores for a job")):
            ended = subprocess.run(
                [COMMAND, "study", file, "--out", str(tmp_path / "out"), "--ray", address, *flags],
                capture_output=True, text=True, env={**os.environ, **LOOPBACK},
            )  # fmt: skip
            assert ended.returncode == 2
            assert match in ended.stderr, ended.stderr
            assert ended.stderr.count("\n") == 1


def begun(file: str, out: Path, address: str) -> "subprocess.Popen[bytes]":
    command = [COMMAND, "study", file, "--out", str(out), "--ray", address, "--quiet"]
    return subprocess.Popen(command, env={**os.environ, **LOOPBACK})


def until(true: Any, study: "subprocess.Popen[bytes]") -> None:
    patience = time.monotonic() + 300
    while not true():
        assert study.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.05)


def test_addresses_where_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for address, match in (
        ("here", "is no address"), ("127.0.0.1:1", "nothing answers at"), ("ray://127.0.0.1:1", "nothing answers at"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=match), on_ray(address):
            pass
    monkeypatch.setattr(module, "PATIENCE", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        since = time.monotonic()
        with pytest.raises(ConfigError, match="no Ray cluster answers"), on_ray(f"127.0.0.1:{mute.getsockname()[1]}"):
            pass
        assert time.monotonic() - since < 10


def test_ray_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = module.importlib.util.find_spec
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == "ray" else known(name))
    assert main(["study", written(tmp_path), "--out", str(tmp_path / "out"), "--ray", "auto"]) == 2
    assert 'pip install "jostle[ray]"' in capsys.readouterr().err


def test_ray_is_imported_by_nobody_who_has_not_asked() -> None:
    told = (
        "import sys, jostle, jostle.study.run, jostle.study.cluster, jostle.cli.study; sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", told]).returncode == 0


def test_room_and_devices(tmp_path: Path) -> None:
    machines = [
        {"Alive": True, "Resources": {"CPU": 5.0, "memory": 100.0}},
        {"Alive": True, "Resources": {"CPU": 3.0, "memory": 300.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "memory": 900.0}},
        {"Alive": True, "Resources": {}},
    ]
    assert module._room(machines, 2) == (3, 300)  # 2 and 1: what is left over on two machines runs no job
    with pytest.raises(ConfigError, match="has 6 cores for a job"):
        module._room(machines, 6)
    for device, wanted in ((None, {}), ("cpu", {}), ("cuda", {"num_gpus": 1}), ("cuda:1", {"num_gpus": 1})):
        config = {} if device is None else {"device": device}
        (tmp_path / "job.json").write_text(json.dumps({"asked": {"config": config}}))
        assert module._gpus(tmp_path) == wanted
