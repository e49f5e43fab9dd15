"""What the views offer the microscope: layers read and replaced, actions of outputs, copies, floats that go in."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from torch import nn

import jostle
from jostle.errors import ConfigError
from jostle.view import as_view

OBS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))


def test_layers_are_read_and_replaced_in_one_pass() -> None:
    view = as_view(network(), kind="logits", env="CartPole-v1")
    plain, kept = view.look(OBS, ["0", "1"])
    assert torch.equal(kept["1"], kept["0"].relu())
    assert plain.logits is not None
    silent, kept = view.look(OBS, ["1"], patch={"0": lambda x: x * 0})
    assert silent.logits is not None
    assert not kept["1"].any()
    assert torch.equal(silent.logits, view.module[2].bias.expand(3, 2))  # type: ignore[index]
    again = view.forward(OBS).logits
    assert again is not None
    assert torch.equal(again, plain.logits), "the patch is gone"
    with pytest.raises(ConfigError, match="has no layer '00'; did you mean 0"):
        view.look(OBS, patch={"00": lambda x: x})


def test_a_patch_of_a_recurrent_layer_leaves_its_state_alone() -> None:
    agent = recurrent()
    view = as_view(agent)
    plain = view.forward(OBS)
    patched, kept = view.look(OBS, ["core"], patch={"core": lambda x: x + 1})
    assert plain.state is not None
    assert patched.state is not None
    assert torch.equal(patched.state, plain.state)
    assert plain.value is not None
    assert patched.value is not None
    assert not torch.equal(patched.value, plain.value)
    assert torch.equal(kept["core"], plain.state[0] + 1)


def recurrent(**more: Any) -> jostle.PPO:
    return jostle.PPO(
        "CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), shared=True, recurrent="gru", recurrent_size=4,
        minibatch_by="envs", minibatches=1, seed=3, **more,
    )  # fmt: skip


class Mixed(gym.Env[Any, Any]):
    """Any action space."""

    def __init__(self, action_space: spaces.Space[Any]) -> None:
        self.observation_space = spaces.Box(-1, 1, (4,), np.float32)
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return OBS[0], {}

    def step(self, action: Any) -> Any:
        return OBS[0], 0.0, True, False, {}


SPACES = [
    spaces.Discrete(3, start=2),
    spaces.MultiDiscrete([3, 2]),
    spaces.MultiBinary(3),
    spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 5.0], np.float32)),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda s: type(s).__name__)
def test_outputs_mean_what_the_actor_does(space: spaces.Space[Any]) -> None:
    agent = jostle.PPO(lambda: Mixed(space), num_envs=2, num_steps=4, hidden=(8,), seed=1)
    torch.nn.init.normal_(agent.network.policy.weight)  # type: ignore[arg-type]
    view = as_view(agent)
    acted = view.actor(rows=3).act(OBS, np.ones(3, np.bool_))
    meant = view.actions(view.forward(OBS))
    assert meant.dtype == acted.dtype
    assert np.array_equal(meant, acted)
    drawn = view.actions(view.forward(OBS), generator=torch.Generator().manual_seed(5))
    sampled = view.actor(rows=3, seed=5, sample=True).act(OBS, np.ones(3, np.bool_))
    assert drawn.shape == sampled.shape
    if not isinstance(space, spaces.Box):
        assert np.array_equal(drawn, sampled)


def test_illegal_actions_are_not_meant() -> None:
    agent = jostle.PPO(lambda: Mixed(spaces.MultiDiscrete([3, 2])), num_envs=2, num_steps=4, hidden=(8,), seed=1)
    view = as_view(agent)
    mask = np.array([[1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 1]], np.bool_)
    assert view.actions(view.forward(OBS), mask=mask).tolist() == [[0, 1], [1, 0], [2, 1]]


def test_action_values_mean_the_greedy_action_of_all_streams() -> None:
    agent = jostle.DQN("CartPole-v1", num_envs=2, hidden=(8,), noisy="factorised", bonus=("rnd",), seed=1)
    view = as_view(agent)
    assert view.streams == ("ext", "rnd")
    start = np.ones(3, np.bool_)
    assert np.array_equal(view.actions(view.forward(OBS)), view.actor(rows=3).act(OBS, start))
    with pytest.raises(ConfigError, match="has no policy to sample"):
        view.actions(view.forward(OBS), generator=torch.Generator())


@pytest.mark.parametrize("kind", [PPO, A2C, DQN])
def test_outputs_of_sb3_mean_what_it_predicts(kind: Any) -> None:
    more = {"buffer_size": 10} if kind is DQN else {}
    model = kind("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [8]}, device="cpu", seed=0, **more)
    view = as_view(model, env="CartPole-v1")
    out = view.forward(OBS)
    assert view.actions(out).tolist() == model.predict(OBS, deterministic=True)[0].tolist()
    if out.logits is not None:
        latent = model.policy.mlp_extractor.forward_actor(torch.as_tensor(OBS))
        torch.testing.assert_close(out.logits, model.policy.action_net(latent).detach())


@pytest.mark.parametrize("kind", [A2C, SAC, TD3])
def test_continuous_outputs_of_sb3_mean_what_it_predicts(kind: Any) -> None:
    more = {} if kind is A2C else {"buffer_size": 10}
    model = kind("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}, device="cpu", seed=0, **more)
    view = as_view(model, env="Pendulum-v1", env_options={"engine": "gymnasium"})
    obs = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, -8.0]], np.float32)
    meant = view.actions(view.forward(obs))
    np.testing.assert_allclose(meant, model.predict(obs, deterministic=True)[0], rtol=1e-6)


def test_a_clone_has_the_same_draws_and_weights_of_its_own() -> None:
    agent = recurrent(noisy="factorised")
    view = as_view(agent)
    view.redraw(3, seed=7)
    before = view.forward(OBS, draw=2).value
    twin = view.clone()
    assert before is not None
    assert torch.equal(twin.forward(OBS, draw=2).value, before)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in twin.module.parameters():
            parameter.zero_()
    twin.redraw(1, seed=8)
    assert torch.equal(view.forward(OBS, draw=2).value, before)  # type: ignore[arg-type]


def test_floats_go_in_as_pictures_do() -> None:
    agent = jostle.PPO("jostle/ThemedCatch-v0", num_envs=2, num_steps=4, encoder="impala", hidden=(8,))
    obs, _ = agent.env.reset(seed=0)
    masks = agent.env.object_masks()
    assert masks is not None
    assert masks["ball"].shape == (2, 32, 32)
    view = as_view(agent)
    x = view.inputs(obs)
    assert isinstance(x, torch.Tensor)
    assert x.dtype == torch.float32
    assert float(x.max()) > 1, "in the units of the observations"
    torch.testing.assert_close(view.forward(x).logits, view.forward(obs).logits)
    model = PPO("CnnPolicy", _picture_env(), device="cpu", n_steps=4, batch_size=4)
    seen = as_view(model)
    turned = seen.inputs(np.zeros((2, 64, 64, 3), np.uint8) + 7)
    assert isinstance(turned, torch.Tensor)
    assert turned.shape == (2, 3, 64, 64)
    x = turned.clone().requires_grad_()
    seen.forward(x).value.sum().backward()  # type: ignore[union-attr]
    assert x.grad is not None
    assert x.grad.any()


def _picture_env() -> gym.Env[Any, Any]:
    class Pictures(Mixed):
        def __init__(self) -> None:
            super().__init__(spaces.Discrete(2))
            self.observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return np.zeros((64, 64, 3), np.uint8), {}

    return Pictures()


def test_other_environments_tell_no_objects() -> None:
    env = jostle.make_env("CartPole-v1", 1)
    env.reset(seed=0)
    assert env.object_masks() is None
    env.close()
