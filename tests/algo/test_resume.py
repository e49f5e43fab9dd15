"""A run that was killed and resumed equals the unbroken one, bit for bit."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import jostle
from jostle.errors import CheckpointError, ConfigError
from jostle.store import Run

TRAINER = Path(__file__).with_name("trainer.py")
ENVS = {"jostle/DeepSea-v0": 2_400, "jostle/ThemedCatch-v0": 800}
TIMING = {"time", "charts/SPS", "charts/FPS"}


def same(a: Any, b: Any, where: str = "state") -> None:
    """Two nested states are equal to the last bit."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            if key != "seconds":  # wall-clock time of the running episodes
                same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}.{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, where)
    elif hasattr(a, "segments"):
        same(list(a.segments), list(b.segments), where)
    else:
        assert a == b, where


def final(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    _, state, _ = Run.open(folder).newest()
    lines = [{k: v for k, v in row.items() if k not in TIMING} for row in jostle.read_metrics(folder)]
    return state, lines


def compare(a: Path, b: Path) -> None:
    (state_a, lines_a), (state_b, lines_b) = final(a), final(b)
    same(state_a, state_b)
    assert json.dumps(lines_a) == json.dumps(lines_b)


def start(folder: Path, env: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(TRAINER), str(folder), env, str(ENVS[env])])


def kill_until_done(folder: Path, env: str, kills: int, rng: random.Random, longest: float) -> int:
    """Train with SIGKILLs at random moments, then let it finish. Returns how many hit a living process."""
    hits = 0
    for _ in range(kills):
        process = start(folder, env)
        # Wait for the process to be past its imports: the folder's lock is taken when training begins.
        deadline = time.monotonic() + 60
        marker = folder / "metrics.jsonl"
        size = marker.stat().st_size if marker.exists() else -1
        while process.poll() is None and time.monotonic() < deadline:
            if marker.exists() and marker.stat().st_size != size:
                break
            time.sleep(0.002)
        time.sleep(rng.random() * longest)
        if process.poll() is None:
            hits += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = start(folder, env)
    assert process.wait(timeout=120) == 0
    return hits


@pytest.mark.parametrize("env", ["jostle/DeepSea-v0", pytest.param("jostle/ThemedCatch-v0", marks=pytest.mark.slow)])
def test_killed_and_resumed_equals_unbroken(tmp_path: Path, env: str) -> None:
    unbroken = start(tmp_path / "unbroken", env)
    hits = kill_until_done(tmp_path / "killed", env, 2, random.Random(env), 0.3)
    assert unbroken.wait(timeout=120) == 0
    assert hits, "no kill hit a living process: make the run longer"
    compare(tmp_path / "unbroken", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("env", ENVS)
def test_fifty_kills(tmp_path: Path, env: str) -> None:
    """Twenty-five for each environment, in runs of five kills each."""
    assert start(tmp_path / "unbroken", env).wait(timeout=120) == 0
    rng = random.Random(0)
    hits = 0
    while hits < 25:
        folder = tmp_path / "killed"
        hits += kill_until_done(folder, env, min(5, 25 - hits), rng, 1.0)
        compare(tmp_path / "unbroken", folder)
        shutil.rmtree(folder)


def train(folder: Path, env: str = "jostle/DeepSea-v0", **settings: Any) -> jostle.DQN:
    defaults = {"hidden": (16,), "noisy": "factorised", "batch_size": 16, "warmup": 50, "replay_size": 500}
    agent = jostle.DQN(env, num_envs=3, seed=1, **(defaults | settings))
    return agent.learn(900, run_dir=folder, log_every=100, checkpoint_every=250)


@pytest.mark.parametrize("settings", [
    {},
    {"noisy": "none", "optimizer": "rmsprop"},
    {"noisy": "independent", "noise_resample": "update", "noise_per_env": False},
    {"noise_resample": "episode", "noise_per_env": False, "n_step": 4, "bfloat16": True},
    {"noisy": "none", "target_tau": 0.1, "optimizer": "rmsprop", "bfloat16": True, "dueling": True},
    {"env": "jostle/ThemedCatch-v0", "batch_size": 4, "replay_ratio": 1.0},
])  # fmt: skip
def test_resume_from_an_older_checkpoint_is_exact(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Every setting: throw the newest checkpoint away, resume, and arrive at the same state and the same metrics."""
    train(tmp_path / "a", **settings)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    newest = max((tmp_path / "b" / "checkpoints").iterdir())
    shutil.rmtree(newest)
    told: list[str] = []
    jostle.resume(tmp_path / "b", notify=told.append)
    assert len(told) == 1, "an exact resume only says where it goes on"
    compare(tmp_path / "a", tmp_path / "b")


def test_a_damaged_newest_checkpoint_falls_back_and_still_is_exact(tmp_path: Path) -> None:
    train(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    newest = max((tmp_path / "b" / "checkpoints").iterdir())
    model = newest / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-7])
    with pytest.warns(UserWarning, match="skipping a checkpoint"):
        jostle.resume(tmp_path / "b")
    compare(tmp_path / "a", tmp_path / "b")


def test_with_no_good_checkpoint_nothing_is_touched(tmp_path: Path) -> None:
    train(tmp_path / "a")
    for path in (tmp_path / "a" / "checkpoints").iterdir():
        (path / "state.json").write_text("{}")
    before = sorted(p for p in (tmp_path / "a").rglob("*"))
    with pytest.warns(UserWarning, match="skipping"), pytest.raises(CheckpointError, match="no good checkpoint"):
        jostle.resume(tmp_path / "a")
    assert sorted(p for p in (tmp_path / "a").rglob("*")) == before


def test_resume_says_that_it_is_inexact_without_the_replay_and_learns_on(tmp_path: Path) -> None:
    agent = jostle.DQN("jostle/DeepSea-v0", num_envs=3, warmup=50, replay_ratio=1.0, batch_size=16)
    agent.learn(500, run_dir=tmp_path / "run", save_replay=False)
    told: list[str] = []
    resumed = jostle.resume(tmp_path / "run", steps=400, notify=told.append)
    assert any("replay was not saved" in line for line in told)
    assert resumed.steps >= 900
    assert resumed.metrics["charts/replay_ratio"] == pytest.approx(1.0, rel=0.1)


def test_resume_says_that_it_is_inexact_where_the_environment_has_no_snapshot(tmp_path: Path) -> None:
    agent = jostle.DQN("CartPole-v1", num_envs=2, warmup=50, n_step=3, env_options={"engine": "gymnasium"})
    agent.learn(300, run_dir=tmp_path / "run")
    told: list[str] = []
    seam = Run.open(tmp_path / "run").newest()[1]["replay"]["added"] - 1
    resumed = jostle.resume(tmp_path / "run", steps=100, notify=told.append)
    assert any("cannot be saved in the middle of an episode" in line for line in told)
    rows = resumed.replay
    assert (rows.truncated | rows.terminated | ~rows.valid)[seam].all(), "no window crosses the seam"
    assert not rows.valid[seam + 1].any(), "the seam's row only holds the final observations"
    assert rows.valid[seam + 2].all(), "new episodes begin"


def test_the_initial_weights_are_kept(tmp_path: Path) -> None:
    first = jostle.DQN("jostle/DeepSea-v0", num_envs=3, seed=1, hidden=(16,), noisy="factorised").network.state_dict()
    train(tmp_path / "a")
    kept = Run.open(tmp_path / "a").load_initial()["model"]
    assert all(torch.equal(first[name], kept[name]) for name in first)


def test_save_and_load(tmp_path: Path) -> None:
    agent = train(tmp_path / "run", n_step=2)
    agent.save(tmp_path / "saved")
    obs, _ = agent.env.reset()
    for path in ("saved", "run"):
        loaded = jostle.load(tmp_path / path)
        assert loaded.config == agent.config
        assert loaded.steps == agent.steps
        np.testing.assert_array_equal(loaded.predict(obs)[0], agent.predict(obs)[0])
    loaded.learn(100)
    with pytest.raises(CheckpointError, match="exists"):
        agent.save(tmp_path / "saved")
    with pytest.raises(CheckpointError):
        jostle.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="already"):
        agent.learn(10, run_dir=tmp_path / "run")


@pytest.mark.parametrize("change", [
    {"training": None},
    {"training": {"total": 900}},
    {"training": {"total": "lots"}},
    {"training": {"checkpoint_every": 0}},
    {"training": {"wrong": 1}},
])  # fmt: skip
def test_a_damaged_plan_is_refused_in_one_sentence(tmp_path: Path, change: dict[str, Any]) -> None:
    train(tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    config = yaml.safe_load(file.read_text())
    whole = config["training"]
    part = change["training"]
    config["training"] = None if part is None else part if part == {"total": 900} else whole | part
    file.write_text(yaml.safe_dump(config))
    before = sorted(p for p in (tmp_path / "run").rglob("*"))
    with pytest.raises(ConfigError, match="training"):
        jostle.resume(tmp_path / "run", steps=100)
    assert sorted(p for p in (tmp_path / "run").rglob("*")) == before
