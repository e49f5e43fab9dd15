"""Views of Stable-Baselines3 models, against the models' own answers."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import jostle
from jostle.errors import ConfigError
from jostle.view import MeanStd, Probabilities, as_view

OBS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def thin() -> dict[str, Any]:
    """Small, and a new dictionary each time: SB3 writes into policy_kwargs."""
    return {"policy_kwargs": {"net_arch": [8]}, "device": "cpu", "seed": 0}


def as_tensor(x: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(x)


@pytest.mark.parametrize("kind", [PPO, A2C])
def test_policies_with_discrete_actions(kind: Any) -> None:
    model = kind("MlpPolicy", "CartPole-v1", **thin())
    view = as_view(model, env="CartPole-v1")
    found = view.distribution(OBS)
    assert isinstance(found, Probabilities)
    torch.testing.assert_close(found.p, model.policy.get_distribution(as_tensor(OBS)).distribution.probs.detach())
    torch.testing.assert_close(view.value(OBS), model.policy.predict_values(as_tensor(OBS)).detach())
    assert view.actor(rows=3).act(OBS).tolist() == model.predict(OBS, deterministic=True)[0].tolist()
    hidden = view.activations(OBS, "mlp_extractor.policy_net")
    torch.testing.assert_close(hidden, model.policy.mlp_extractor.policy_net(as_tensor(OBS)).detach())
    assert view.name == kind.__name__
    assert not view.stochastic


def test_action_values() -> None:
    model = DQN("MlpPolicy", "CartPole-v1", buffer_size=10, **thin())
    view = as_view(model, env="CartPole-v1")
    torch.testing.assert_close(view.q(OBS)[:, 0], model.q_net(as_tensor(OBS)).detach())
    assert view.distribution(OBS) is None
    assert view.actor(rows=3).act(OBS).tolist() == model.predict(OBS, deterministic=True)[0].tolist()
    with pytest.raises(ConfigError, match="DQN has no policy to sample actions from"):
        view.actor(sample=True)


@pytest.mark.parametrize("kind", [A2C, SAC, TD3])
def test_continuous_actions(kind: Any) -> None:
    more = {} if kind is A2C else {"buffer_size": 10}
    model = kind("MlpPolicy", "Pendulum-v1", **thin(), **more)
    view = as_view(model, env="Pendulum-v1", env_options={"engine": "gymnasium"})
    obs = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, -8.0]], np.float32)
    found = view.distribution(obs)
    assert isinstance(found, MeanStd)
    assert found.mean.shape == found.std.shape == (2, 1)
    np.testing.assert_array_equal(view.actor(rows=2).act(obs), model.predict(obs, deterministic=True)[0])
    assert len(jostle.evaluate(view, 2).episodes) == 2


def test_rows_that_count() -> None:
    model = A2C("MlpPolicy", "Pendulum-v1", **thin())
    view = as_view(model, env="Pendulum-v1", env_options={"engine": "gymnasium"})
    obs = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, -8.0], [0.6, 0.8, 1.0]], np.float32)
    every, some = view.actor(rows=3).act(obs), view.actor(rows=3).act(obs, None, np.array([1, 2]))
    assert some.shape == (3, 1)
    assert some.dtype == every.dtype
    np.testing.assert_allclose(some[1:], every[1:], rtol=1e-5)
    assert some[0] == some[1], "an action as good as any"


def test_sampled_actions_have_a_generator_of_their_own() -> None:
    view = as_view(PPO("MlpPolicy", "CartPole-v1", **thin()), env="CartPole-v1")
    before = torch.get_rng_state()
    one, two, other = (jostle.evaluate(view, 6, actions="sampled", seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.episodes == two.episodes
    assert [e.ret for e in one.episodes] != [e.ret for e in other.episodes]
    assert len({e.ret for e in one.episodes}) > 1


def test_pictures_come_as_the_environment_gives_them() -> None:
    """SB3 turns pictures to channels first in training; the view takes them channels last."""
    env = DummyVecEnv([lambda: gym.make("jostle/ThemedCatch-v0", pixels=64)])
    model = PPO("CnnPolicy", env, n_steps=8, batch_size=8, device="cpu", seed=0)
    view = as_view(model, env="jostle/ThemedCatch-v0", env_options={"pixels": 64})
    ours = jostle.make_env("jostle/ThemedCatch-v0", 4, pixels=64)
    obs, _ = ours.reset(seed=3)
    found = view.distribution(obs)
    assert isinstance(found, Probabilities)
    turned = as_tensor(np.ascontiguousarray(np.moveaxis(obs, -1, 1)))
    torch.testing.assert_close(found.p, model.policy.get_distribution(turned).distribution.probs.detach())
    assert view.actor(rows=4).act(obs).tolist() == model.predict(obs, deterministic=True)[0].tolist()
    assert len(jostle.evaluate(view, 4).episodes) == 4
    with pytest.raises(ConfigError, match="other spaces"):
        jostle.evaluate(view, 4, env_options={"pixels": 32})


def test_floats_of_another_precision_are_no_other_space() -> None:
    """Gymnasium's MuJoCo observes float64, jostle's the same numbers as float32."""
    model = PPO("MlpPolicy", gym.make("InvertedPendulum-v5"), n_steps=64, batch_size=64, **thin()).learn(64)
    view = as_view(model, env="jostle/InvertedPendulum-v5")
    obs, _ = jostle.make_env("jostle/InvertedPendulum-v5", 4).reset(seed=0)
    expected = model.predict(obs.astype(np.float64), deterministic=True)[0]
    np.testing.assert_allclose(view.actor(rows=4).act(obs), expected, rtol=1e-5)
    assert len(jostle.evaluate(view, 4).episodes) == 4
    with pytest.raises(ConfigError, match="other spaces"):
        jostle.evaluate(view, 4, env="jostle/Pendulum-v1")


def test_a_normaliser_around_the_environment_is_used() -> None:
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, **thin()).learn(64)
    view = as_view(model, env="CartPole-v1")
    found = view.distribution(OBS)
    assert isinstance(found, Probabilities)
    normalised = env.normalize_obs(OBS)
    assert np.abs(normalised - OBS).max() > 0.1
    expected = model.policy.get_distribution(as_tensor(normalised)).distribution.probs
    torch.testing.assert_close(found.p, expected.detach())
    count = env.obs_rms.count
    assert view.actor(rows=3).act(OBS).tolist() == model.predict(normalised, deterministic=True)[0].tolist()
    assert env.obs_rms.count == count, "looking is no training"
    model.learn(64)
    torch.testing.assert_close(view.distribution(OBS).p, found.p, msg="nor does later training change the view")


def test_a_model_that_learns_on_changes_no_view() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, **thin())
    view = as_view(model, env="CartPole-v1")
    before = view.value(OBS)
    model.learn(64)
    torch.testing.assert_close(view.value(OBS), before)
    assert (as_view(model).value(OBS) - before).abs().max() > 1e-5


def test_other_models_are_named() -> None:
    class Mine(PPO):
        pass

    assert as_view(Mine("MlpPolicy", "CartPole-v1", **thin())).name == "PPO", "a subclass is what it is made from"
    with pytest.raises(ConfigError, match="nobody knows where PPO was trained"):
        jostle.evaluate(PPO("MlpPolicy", "CartPole-v1", **thin()))


@pytest.mark.parametrize(("kind", "env"), [(PPO, "CartPole-v1"), (DQN, "CartPole-v1"), (SAC, "Pendulum-v1")])
def test_a_model_whose_weights_hold_nan_ends_with_a_sentence(kind: Any, env: str) -> None:
    model = kind("MlpPolicy", env, **thin())
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(ConfigError, match=f"of {kind.__name__} are not finite"):
        jostle.evaluate(as_view(model, env=env), 2)


class Sight(gym.Env[Any, int]):
    """A picture with its channels last, and beside it a vector and a number."""

    observation_space = gym.spaces.Dict(
        {
            "eye": gym.spaces.Box(0, 255, (40, 36, 3), np.uint8),
            "speed": gym.spaces.Box(-1, 1, (2,), np.float32),
            "gear": gym.spaces.Discrete(3),
        }
    )
    action_space = gym.spaces.Discrete(4)

    def __init__(self, render_mode: Any = None, height: int = 40) -> None:
        eye = gym.spaces.Box(0, 255, (height, 36, 3), np.uint8)
        self.observation_space = gym.spaces.Dict({**Sight.observation_space.spaces, "eye": eye})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._seen(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self._seen(), float(action), self.t == 5, False, {}

    def _seen(self) -> dict[str, Any]:
        draw = self.np_random
        eye = draw.integers(256, size=self.observation_space["eye"].shape, dtype=np.uint8)
        return {"eye": eye, "speed": draw.uniform(-1, 1, 2).astype(np.float32), "gear": int(draw.integers(3))}


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_dictionaries_with_pictures_as_the_environment_gives_them(kind: Any) -> None:
    more = {"buffer_size": 10} if kind is DQN else {"n_steps": 8, "batch_size": 8}
    model = kind("MultiInputPolicy", DummyVecEnv([Sight]), device="cpu", seed=0, **more)
    view = as_view(model, env=Sight)
    env = jostle.make_env(Sight, 5)
    obs, _ = env.reset(seed=3)
    assert obs["eye"].shape == (5, 40, 36, 3)
    turned = {**obs, "eye": np.ascontiguousarray(np.moveaxis(obs["eye"], -1, 1))}
    expected = model.predict(turned, deterministic=True)[0]
    assert view.actor(rows=5).act(obs).tolist() == expected.tolist()
    tensors = {key: as_tensor(x) for key, x in turned.items()}
    if kind is DQN:
        torch.testing.assert_close(view.q(obs)[:, 0], model.q_net(tensors).detach())
    else:
        found = view.distribution(obs)
        assert isinstance(found, Probabilities)
        torch.testing.assert_close(found.p, model.policy.get_distribution(tensors).distribution.probs.detach())
    assert len(jostle.evaluate(view, 3).episodes) == 3
    with pytest.raises(ConfigError, match="other spaces than the one that"):
        jostle.evaluate(view, 2, env=lambda: Sight(height=44))


class Swaying(ActorCriticPolicy):
    """Its state counts the steps of each episode, and decides alone."""

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None, **how: Any) -> Any:
        count = np.zeros(len(observation), np.int64) if state is None else state[0]
        count = np.where(episode_start, 0, count + 1)
        return count % 2, (count,)


class Unheard(OnPolicyAlgorithm):
    """An algorithm that is none of those whose insides are known."""

    def __init__(self, policy: Any) -> None:
        super().__init__(
            policy, "CartPole-v1", learning_rate=1e-3, n_steps=8, gamma=0.99, gae_lambda=1.0, ent_coef=0.0, vf_coef=0.5,
            max_grad_norm=0.5, use_sde=False, sde_sample_freq=-1, device="cpu", seed=0,
        )  # fmt: skip

    def train(self) -> None:
        raise NotImplementedError


def test_models_of_other_algorithms_act_by_predict() -> None:
    model = Unheard(ActorCriticPolicy)
    view = as_view(model, env="CartPole-v1")
    assert view.name == "Unheard"
    assert view.actor(rows=3).act(OBS).tolist() == model.predict(OBS, deterministic=True)[0].tolist()
    assert len(jostle.evaluate(view, 2).episodes) == 2
    with pytest.raises(ConfigError, match="of the kind Unheard acts and shows nothing else; those that do: PPO, A2C"):
        view.distribution(OBS)
    actor = as_view(Unheard(Swaying), env="CartPole-v1").actor(rows=3)
    assert actor.act(OBS, np.ones(3, np.bool_)).tolist() == [0, 0, 0]
    assert actor.act(OBS, np.array([False, True, False]), np.array([1])).tolist() == [1, 0, 1]
    assert actor.act(OBS, np.zeros(3, np.bool_)).tolist() == [0, 1, 0]


def test_sampled_actions_go_on_from_call_to_call() -> None:
    """Two actions, hardly preferred: 40 draws of the same observations cannot all be equal."""
    view = as_view(PPO("MlpPolicy", "CartPole-v1", **thin()), env="CartPole-v1")
    actor = view.actor(rows=3, seed=1, sample=True)
    drawn = [tuple(actor.act(OBS)) for _ in range(40)]
    assert len(set(drawn)) > 3
    assert abs(np.mean(drawn) - 0.5) < 0.3
