"""Which layers are looked into: the last hidden one and the last feature maps, of every kind of network."""

from typing import Any

import numpy as np
import pytest
import torch
from small_agents import Blob, Functional
from torch import nn

import jostle
from jostle.errors import ConfigError
from jostle.explain import ask
from jostle.explain.parts.choosing import inner_layers
from jostle.view import as_view

CATCH: dict[str, Any] = {"env": "jostle/ThemedCatch-v0", "num_envs": 2, "num_steps": 8}
POLE: dict[str, Any] = {"env": "CartPole-v1", "num_envs": 2}


def chosen(policy: Any, **view: Any) -> list[str]:
    seen = as_view(policy, **view)
    obs = [seen.observation_space.sample() for _ in range(5)]
    return inner_layers(ask(seen, np.stack(obs)))


@pytest.mark.parametrize(("make", "layers"), [
    (lambda: jostle.PPO(**POLE, num_steps=8, hidden=(8, 6)), ["actor"]),
    (lambda: jostle.PPO(**POLE, num_steps=8, hidden=(8, 6), shared=True), ["actor"]),
    (lambda: jostle.PPO(**POLE, num_steps=8, hidden=(8,), noisy="factorised"), ["actor"]),
    (lambda: jostle.PPO("Pendulum-v1", num_envs=2, num_steps=8, hidden=(8,)), ["actor"]),
    (lambda: jostle.PPO(**CATCH, encoder="impala-gap", hidden=(), shared=True), ["actor", "encoder.convolutions.2"]),
    (lambda: jostle.PPO(
        **CATCH, encoder="flat", hidden=(8,), shared=True, recurrent="gru", recurrent_size=6, minibatch_by="envs",
        minibatches=1), ["core"]),
    (lambda: jostle.DQN(**POLE, hidden=(8, 6)), ["head.3"]),
    (lambda: jostle.DQN(**POLE, hidden=(8, 6), dueling=True, noisy="factorised"), ["advantage.1"]),
], ids=["ppo", "shared", "noisy", "continuous", "pooling", "recurrent", "dqn", "dueling"])  # fmt: skip
def test_of_our_agents(make: Any, layers: list[str]) -> None:
    agent = make()
    found = chosen(agent)
    agent.env.close()
    assert found[0] == layers[0]
    assert len(found) == len(layers)


def test_of_stable_baselines() -> None:
    from stable_baselines3 import DQN, PPO

    ppo = PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [8, 6]}, device="cpu")
    assert chosen(ppo, env="CartPole-v1") == ["mlp_extractor.policy_net"]
    dqn = DQN("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [8, 6]}, device="cpu", buffer_size=10)
    assert chosen(dqn, env="CartPole-v1") == ["q_net.q_net.3"]
    pictures = PPO("CnnPolicy", Blob(), device="cpu", n_steps=8, batch_size=8)
    assert chosen(pictures, env=Blob) == ["mlp_extractor.policy_net", "features_extractor.cnn.3"], "then 1×1"


def test_of_modules() -> None:
    spaces: dict[str, Any] = {"env": "CartPole-v1", "kind": "logits"}
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Sequential(nn.Linear(8, 6), nn.Tanh()), nn.Linear(6, 2))
    assert chosen(net, **spaces) == ["2"]
    assert chosen(Functional(), **spaces) == ["two"]
    with pytest.raises(ConfigError, match="no hidden layer"):
        chosen(nn.Sequential(nn.Linear(4, 2)), **spaces)
    with pytest.raises(ConfigError, match="gives actions and shows nothing else"):
        chosen(lambda obs: (obs[:, 2] > 0).astype(int), env="CartPole-v1")


def test_what_the_output_does_not_depend_on_is_not_chosen() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.aside, self.out = nn.Linear(4, 8), nn.Linear(8, 5), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.body(x.float()).tanh()
            self.aside(y)
            return self.out(y)

    assert chosen(Aside(), env="CartPole-v1", kind="logits") == ["body"]
