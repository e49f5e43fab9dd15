"""Callbacks: numbers that they log, learning rates that they set, and exact resumes with both."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import jostle
from jostle.errors import ConfigError
from jostle.store import Run


def make(kind: str) -> Any:
    if kind == "ppo":
        return jostle.PPO("jostle/DeepSea-v0", num_envs=2, num_steps=8, hidden=(8,), epochs=1)
    return jostle.DQN("jostle/DeepSea-v0", num_envs=2, hidden=(8,), warmup=10, batch_size=8, replay_size=300)


def busy(agent: Any) -> None:
    agent.log("mine/steps", np.float32(agent.steps))
    agent.log("mine/tensor", torch.tensor([0.5]))
    if agent.steps > 50:
        agent.set_learning_rate(1e-4 / agent.steps)


def lines(run: Path) -> list[dict[str, Any]]:
    timing = {"time", "charts/SPS", "charts/FPS"}
    return [{k: v for k, v in row.items() if k not in timing} for row in jostle.read_metrics(run)]


@pytest.mark.parametrize("kind", ["ppo", "dqn"])
def test_logged_numbers_and_set_rates_survive_a_resume(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / "whole"
    make(kind).learn(160, run_dir=whole, callback=busy, log_every=48, checkpoint_every=36, keep=4)
    found = lines(whole)
    assert found[1]["mine/tensor"] == 0.5
    assert found[0]["step"] <= found[1]["mine/steps"] < found[1]["step"], "the mean since the last line"
    for cut in (1, 3):
        copy = Path(shutil.copytree(whole, tmp_path / f"cut{cut}"))
        for path in Run.open(copy).checkpoints()[-cut:]:
            shutil.rmtree(path)
        jostle.resume(copy, callback=[busy])
        assert lines(copy) == found
        ours, theirs = (Run.open(path).checkpoints()[-1] / "model.safetensors" for path in (copy, whole))
        assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("kind", ["ppo", "dqn"])
def test_a_learning_rate_of_ones_own_is_used(kind: str) -> None:
    agent = make(kind)
    agent.set_learning_rate(0.25)
    agent.learn(40)
    optimizer = agent.optimizer if kind == "dqn" else agent.learner.optimizers[0]
    assert optimizer.param_groups[0]["lr"] == 0.25
    for wrong in (0, -1, float("nan"), "fast", None):
        with pytest.raises(ConfigError, match="learning rate"):
            agent.set_learning_rate(wrong)


@pytest.mark.parametrize(("name", "value"), [
    ("mine", float("nan")), ("mine", np.inf), ("mine", "3"), ("mine", None), ("mine", np.zeros(2)), ("step", 1),
    ("charts/SPS", 1.0), ("eval/return_mean", 1.0), ("", 1.0), (3, 1.0),
])  # fmt: skip
def test_what_cannot_be_logged_is_refused(name: Any, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"finite number|name"):
        make("ppo").log(name, value)


def test_every_callback_is_called_and_one_is_enough_to_end(tmp_path: Path) -> None:
    seen: list[str] = []
    calls = [lambda _: seen.append("a") or False, lambda _: seen.append("b")]  # type: ignore[func-returns-value]
    agent = make("ppo").learn(500, run_dir=tmp_path / "run", callback=calls)
    assert seen == ["a", "b"]
    assert agent.steps < 500
    assert Run.open(tmp_path / "run").newest()[2]["steps"] == agent.steps
