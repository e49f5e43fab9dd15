"""Features are called what the environment calls them, in every technique, figure and file."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

import jostle
from jostle.explain.asking import ask
from jostle.explain.perturb import feature_ablation, permutation
from jostle.explain.perturb.vectors import feature_names
from jostle.explain.saliency import gradient, integrated_gradients
from jostle.explain.tracing import read_trace, trace
from jostle.view import as_view


class Arm(gym.Env[Any, Any]):
    observation_names = ("shoulder", "elbow")

    def __init__(self) -> None:
        self.observation_space, self.action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at = 0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.at += 1
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), 0.0, False, self.at == 4, {}


def test_names_of_anybodys_environment_reach_results_and_files(tmp_path: Path) -> None:
    view = as_view(nn.Linear(2, 2), kind="logits", env=Arm)
    obs = np.random.default_rng(0).uniform(-1, 1, (5, 2)).astype(np.float32)
    for technique in (feature_ablation, permutation, gradient, integrated_gradients):
        found = technique(view, obs, "logit:0")
        assert found.names == ["shoulder", "elbow"]  # type: ignore[union-attr]
    path = found.save(tmp_path)[0]
    assert json.loads(path.read_text())["names"] == ["shoulder", "elbow"]
    labels = [text.get_text() for text in found.plot().axes[0].get_yticklabels()]
    assert set(labels) == {"shoulder", "elbow"}
    given = feature_ablation(view, obs, "logit:0", names=["one", "two"])
    assert given.names == ["one", "two"]


def test_a_trace_keeps_the_names_for_policies_that_do_not_know_them(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    home: dict[str, Any] = {"observation_space": Arm().observation_space, "action_space": spaces.Discrete(2)}
    view = as_view(net, kind="logits", **home)
    assert feature_names(ask(view, np.zeros((1, 2), np.float32))) == ["obs[0]", "obs[1]"]
    trace(view, tmp_path / "t", episodes=2, env=Arm)
    recorded = read_trace(tmp_path / "t")
    assert recorded.about.names == {"": ["shoulder", "elbow"]}
    assert feature_names(ask(view, recorded)) == ["shoulder", "elbow"]
    data = json.loads((tmp_path / "t" / "trace.json").read_text())
    del data["names"]  # as former versions wrote them
    (tmp_path / "t" / "trace.json").write_text(json.dumps(data))
    assert feature_names(ask(view, read_trace(tmp_path / "t"))) == ["obs[0]", "obs[1]"]


def test_agents_know_what_their_environments_call_things(tmp_path: Path) -> None:
    agent = jostle.PPO("jostle/CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1)
    names = ["position", "velocity", "angle", "angular velocity"]
    assert feature_names(ask(agent, np.zeros((2, 4), np.float32))) == names
    agent.learn(16, run_dir=tmp_path / "run")
    back = jostle.load(tmp_path / "run")
    assert feature_names(ask(back, np.zeros((2, 4), np.float32))) == ["obs[0]", "obs[1]", "obs[2]", "obs[3]"] or names
    recorded = trace(back, tmp_path / "t", episodes=1, max_steps=5)
    assert feature_names(ask(back, recorded)) == names


def test_what_is_told_to_critics_and_grids() -> None:
    domain = {"pole.mass": {"uniform": [0.05, 0.5]}}
    agent = jostle.PPO(
        "jostle/CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1, domain=domain, domain_privileged=True,
    )  # fmt: skip
    obs = {"obs": np.zeros((2, 4), np.float32), "privileged": np.zeros((2, 1), np.float32)}
    assert feature_names(ask(agent, obs, "value", key="privileged")) == ["pole.mass"]
    assert feature_names(ask(agent, obs, "value", key="obs"))[2] == "angle"
    grid = spaces.Box(-1, 1, (2, 2), np.float32)
    flat = as_view(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), kind="logits", observation_space=grid,
                   action_space=spaces.Discrete(2))  # fmt: skip
    assert feature_names(ask(flat, np.zeros((1, 2, 2), np.float32))) == [
        "obs[0, 0]",
        "obs[0, 1]",
        "obs[1, 0]",
        "obs[1, 1]",
    ]


def test_mujoco(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    torch.manual_seed(0)
    view = as_view(nn.Linear(17, 6), kind="mean", env="jostle/HalfCheetah-v5")
    recorded = trace(view, tmp_path / "t", episodes=1, max_steps=6)
    found = feature_ablation(view, recorded, "mean:0")
    assert found.names[2] == "bthigh angle"
    assert recorded.about.names[""][8] == "rootx velocity"
