"""An agent of one world goes on in another: with its weights, and with new episodes."""

from pathlib import Path

import numpy as np
import torch

import jostle

SMALL = {"num_envs": 2, "num_steps": 16, "minibatches": 2, "epochs": 1, "hidden": (8,)}
PENDULUM = "jostle/Pendulum-v1"


def test_a_nominal_agent_learns_on_in_a_domain_and_back(tmp_path: Path) -> None:
    agent = jostle.PPO(PENDULUM, seed=3, **SMALL).learn(32)
    path = agent.save(tmp_path / "nominal")
    real = jostle.make_env(PENDULUM, 2, seed=9, domain={"rod.mass": 1.5})
    tuned = jostle.load(path, env=real)
    for name, weight in agent.network.state_dict().items():
        assert torch.equal(weight, tuned.network.state_dict()[name])
    assert tuned.steps == 32
    tuned.learn(32)
    assert tuned.steps == 64
    assert tuned.env.domain is not None
    np.testing.assert_array_equal(tuned.env.domain.values, [[1.5], [1.5]])
    back = jostle.load(tuned.save(tmp_path / "tuned"), env=jostle.make_env(PENDULUM, 2, seed=1))
    assert back.env.domain is None
    assert back.learn(32).steps == 96
    other = jostle.make_env(PENDULUM, 2, seed=1, domain={"rod.mass": [1.0, 2.0]})
    assert jostle.load(tmp_path / "tuned", env=other).learn(32).steps == 96
