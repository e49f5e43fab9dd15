"""Zips of Stable-Baselines3: made anew without running what is pickled in them, or refused with a sentence."""

import base64
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv

import jostle
from jostle.errors import CheckpointError, ConfigError
from jostle.view.sb3_zip import ALGORITHMS, read_zip

PENDULUM: dict[str, Any] = {"env": "Pendulum-v1", "env_options": {"engine": "gymnasium"}}
POLE: dict[str, Any] = {"env": "CartPole-v1"}
KINDS = {"ppo": PPO, "a2c": A2C, "dqn": DQN, "sac": SAC, "td3": TD3, "ddpg": DDPG}


def saved(folder: Path, kind: Any, env: Any, policy: str = "MlpPolicy", **settings: Any) -> tuple[Any, Path]:
    """A model and its zip."""
    more = {"buffer_size": 10} if kind in (DQN, SAC, TD3, DDPG) else {}
    model = kind(policy, env, device="cpu", seed=3, **{"policy_kwargs": {"net_arch": [8]}, **more, **settings})
    model.save(folder / "model.zip")
    return model, folder / "model.zip"


def edited(path: Path, change: Callable[[dict[str, Any]], None] = lambda _: None, **members: bytes | None) -> Path:
    """The zip with another ``data``; members (``policy`` for policy.pth) are replaced, or left out for None."""
    with zipfile.ZipFile(path) as file:
        parts: dict[str, bytes | None] = {name: file.read(name) for name in file.namelist()}
    data = json.loads(parts["data"] or b"")
    change(data)
    parts["data"] = json.dumps(data).encode()
    parts |= {{"policy": "policy.pth"}.get(name, name): value for name, value in members.items()}
    with zipfile.ZipFile(path, "w") as file:
        for name, value in parts.items():
            if value is not None:
                file.writestr(name, value)
    return path


class Sabotage:
    """A pickle of it makes a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def sabotaged(path: Path, target: Path) -> Path:
    """The zip with every pickle in it replaced by one that makes a file."""
    evil = base64.b64encode(pickle.dumps(Sabotage(target))).decode()

    def poison(data: dict[str, Any]) -> None:
        found = [value for value in data.values() if isinstance(value, dict) and ":serialized:" in value]
        assert len(found) > 3
        for value in found:
            value[":serialized:"] = evil

    return edited(path, poison)


def test_every_algorithm_is_known() -> None:
    assert set(ALGORITHMS) == set(KINDS)


@pytest.mark.parametrize(
    ("algo", "home", "settings"),
    [
        ("ppo", POLE, {}),
        ("ppo", POLE, {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [4, 4]}, "activation_fn": torch.nn.ELU}}),
        ("a2c", PENDULUM, {"use_sde": True}),
        ("dqn", POLE, {"policy_kwargs": {"net_arch": [8], "activation_fn": torch.nn.Tanh}}),
        ("sac", PENDULUM, {"use_sde": True}),
        ("td3", PENDULUM, {}),
        ("ddpg", PENDULUM, {}),
    ],
)
def test_the_model_made_anew_is_the_model(algo: str, home: dict[str, Any], settings: Any, tmp_path: Path) -> None:
    model, path = saved(tmp_path, KINDS[algo], home["env"], **settings)
    sabotaged(path, tmp_path / "ran")
    before = torch.get_rng_state()
    found = read_zip(path, algo, **home)
    assert torch.equal(torch.get_rng_state(), before)
    assert not (tmp_path / "ran").exists(), "no pickle was read"
    assert (found.view.name, found.steps, found.view.seed) == (algo.upper(), 0, 3)
    direct = jostle.as_view(model, **home)
    obs = np.random.default_rng(0).uniform(-1, 1, (5, *found.view.observation_space.shape)).astype(np.float32)
    assert found.view.actor(rows=5).act(obs).tolist() == direct.actor(rows=5).act(obs).tolist()
    ours, theirs = found.view.forward(obs), direct.forward(obs)
    assert repr(ours) == repr(theirs)
    state = dict(model.policy.state_dict())
    assert all(torch.equal(x, state[name]) for name, x in found.view.module.state_dict().items())
    assert jostle.evaluate(found.view, 2).episodes == jostle.evaluate(direct, 2).episodes
    if algo in ("ppo", "a2c", "sac"):
        sampled = jostle.evaluate(found.view, 2, actions="sampled").episodes
        assert sampled == jostle.evaluate(read_zip(path, algo, **home).view, 2, actions="sampled").episodes


def test_pictures_are_turned_as_they_were_in_training(tmp_path: Path) -> None:
    env = DummyVecEnv([lambda: gym.make("jostle/ThemedCatch-v0", pixels=64)])
    model, path = saved(tmp_path, PPO, env, "CnnPolicy", n_steps=8, batch_size=8)
    home: dict[str, Any] = {"env": "jostle/ThemedCatch-v0", "env_options": {"pixels": 64}}
    view = read_zip(path, "ppo", **home).view
    obs, _ = jostle.make_env(home["env"], 4, pixels=64).reset(seed=3)
    assert view.actor(rows=4).act(obs).tolist() == model.predict(obs, deterministic=True)[0].tolist()
    assert len(jostle.evaluate(view, 3).episodes) == 3
    said = (
        r"the model has observations Box \[3, 64, 64\].*, and jostle/ThemedCatch-v0 has Box\[32, 32, 3\] of uint8: give"
    )
    with pytest.raises(ConfigError, match=said):
        read_zip(path, "ppo", env=home["env"])


class Both(gym.Env[Any, int]):
    """A picture with its channels last beside a vector."""

    observation_space = gym.spaces.Dict(
        {"eye": gym.spaces.Box(0, 255, (40, 36, 3), np.uint8), "speed": gym.spaces.Box(-1, 1, (2,), np.float32)}
    )
    action_space = gym.spaces.MultiDiscrete([3, 2])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self._seen(), float(action[0]), self.t == 5, False, {}

    def _seen(self) -> dict[str, Any]:
        eye = self.np_random.integers(256, size=(40, 36, 3), dtype=np.uint8)
        return {"eye": eye, "speed": self.np_random.uniform(-1, 1, 2).astype(np.float32)}


if "tests/Both-v0" not in gym.registry:
    gym.register("tests/Both-v0", entry_point=Both)


def test_dictionaries_and_several_choices(tmp_path: Path) -> None:
    model, path = saved(tmp_path, PPO, DummyVecEnv([Both]), "MultiInputPolicy", n_steps=8, batch_size=8)
    view = read_zip(path, "ppo", env="tests/Both-v0").view
    obs, _ = jostle.make_env("tests/Both-v0", 4).reset(seed=1)
    assert view.actor(rows=4).act(obs).tolist() == model.predict(obs, deterministic=True)[0].tolist()
    assert len(jostle.evaluate(view, 3).episodes) == 3


def test_seeds_are_no_settings(tmp_path: Path) -> None:
    def settings(**how: Any) -> dict[str, Any]:
        return read_zip(saved(tmp_path, PPO, "CartPole-v1", **how)[1], "ppo", **POLE).settings

    one = settings()
    assert settings() == one
    assert settings(verbose=0) == one
    for how in ({"learning_rate": 1e-5}, {"gamma": 0.9}, {"policy_kwargs": {"net_arch": [9]}}, {"clip_range": 0.5}):
        assert settings(**how) != one, how
    other = edited(saved(tmp_path, PPO, "CartPole-v1")[1], lambda data: data.update(seed=9, start_time=5))
    assert read_zip(other, "ppo", **POLE).settings == one
    longer = edited(other, lambda data: data.update(_total_timesteps=99))
    assert read_zip(longer, "ppo", **POLE).settings != one
    half = read_zip(edited(longer, lambda data: data.update(num_timesteps=50)), "ppo", **POLE)
    assert (half.steps, half.settings["saved_at"]) == (50, 50)
    whole = read_zip(edited(longer, lambda data: data.update(num_timesteps=128)), "ppo", **POLE)
    assert (whole.steps, "saved_at" in whole.settings) == (128, False), "PPO's last stretch ends behind the plan"


class Eye(BaseFeaturesExtractor):
    def __init__(self, space: Any) -> None:
        super().__init__(space, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x)


class Mine(ActorCriticPolicy):
    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)


def test_classes_of_ones_own_need_trust(tmp_path: Path) -> None:
    for how, said in (
        ({"policy_kwargs": {"features_extractor_class": Eye}}, "the setting features_extractor_class of its policy is"),
        ({"policy": Mine}, "its policy is a class .*Mine of somebody's own"),
    ):
        model, path = saved(tmp_path, PPO, "CartPole-v1", **how)
        with pytest.raises(ConfigError, match=rf"{said}.*: if you trust who wrote it, give --trust \(trust=True\)"):
            read_zip(path, "ppo", **POLE)
        view = read_zip(path, "ppo", **POLE, trust=True).view
        assert jostle.evaluate(view, 3).episodes == jostle.evaluate(jostle.as_view(model, **POLE), 3).episodes


def test_trust_runs_what_is_pickled(tmp_path: Path) -> None:
    _, path = saved(tmp_path, DQN, "CartPole-v1")
    sabotaged(path, tmp_path / "ran")
    with pytest.raises(ConfigError, match="cannot be loaded as a model of DQN"):
        read_zip(path, "dqn", **POLE, trust=True)
    assert (tmp_path / "ran").exists(), "so the sabotage is one"


def test_weights_are_tensors_and_nothing_else(tmp_path: Path) -> None:
    _, path = saved(tmp_path, PPO, "CartPole-v1")
    evil = io.BytesIO()
    torch.save({"weight": Sabotage(tmp_path / "ran")}, evil)
    with pytest.raises(CheckpointError, match=r"the weights of .* cannot be read as tensors \(.*\): save it again"):
        read_zip(edited(path, policy=evil.getvalue()), "ppo", **POLE)
    assert not (tmp_path / "ran").exists()
    other = io.BytesIO()
    torch.save({name: torch.zeros(3) for name in ("a", "b")}, other)
    with pytest.raises(ConfigError, match=r"fit no ActorCriticPolicy of ppo made by its settings .*check --algo"):
        read_zip(edited(path, policy=other.getvalue()), "ppo", **POLE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(policy_kwargs={"net_arch": "wide"}), "the setting net_arch of its policy is wide"),
        (lambda d: d.update(policy_kwargs={"net_arch": [8], "depth": 3}), "TypeError: .*unexpected keyword argument"),
        (lambda d: d.update(policy_kwargs={"net_arch": [-8]}), "fit no ActorCriticPolicy"),
        (lambda d: d.update(policy_kwargs={"net_arch": [8, 9]}), "Error.* in loading state_dict"),
        (
            lambda d: d.update(policy_kwargs={"net_arch": [8, 10**9]}),
            "the setting net_arch of the policy in .* asks for",
        ),
        (lambda d: d.update(policy_kwargs={"net_arch": {"pi": [8] * 10**5}}), "asks for more than its weights are"),
        (lambda d: d["policy_class"].update(__init__="nothing"), "a class stable_baselines3.common.policies of some"),
        (lambda d: d["action_space"].update(n="3"), r"actions Discrete 3, and CartPole-v1 has Discrete\(2\)"),
        (lambda d: d["observation_space"].update(_shape=[5]), r"observations Box \[5\].* has Box\[4\] of float32"),
        (lambda d: d["observation_space"].update(_shape="four"), "observations Box four"),
        (lambda d: d["observation_space"].pop(":type:"), "observations of an unknown kind"),
        (lambda d: d.pop("policy_class"), "says nothing of its policy_class"),
        (lambda d: d.update(policy_kwargs=[1]), "says nothing of its policy_kwargs"),
    ],
)
def test_nonsense_ends_in_one_sentence(change: Any, said: str, tmp_path: Path) -> None:
    path = edited(saved(tmp_path, PPO, "CartPole-v1")[1], change)
    with pytest.raises((ConfigError, CheckpointError), match=said) as caught:
        read_zip(path, "ppo", **POLE)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_such_zip(tmp_path: Path) -> None:
    _, path = saved(tmp_path, PPO, "CartPole-v1")
    whole = path.read_bytes()
    for broken, said in (
        (b"", "is no whole zip of Stable-Baselines3"),
        (whole[:500], "is no whole zip"),
        (b"no zip at all", "is no whole zip"),
    ):
        path.write_bytes(broken)
        with pytest.raises(CheckpointError, match=said):
            read_zip(path, "ppo", **POLE)
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match=r"holds no weights \(policy.pth\)"):
        read_zip(edited(path, policy=None), "ppo", **POLE)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("other", "text")
    with pytest.raises(CheckpointError, match="it has no 'data' in it"):
        read_zip(path, "ppo", **POLE)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data", "[" * 100_000)
    with pytest.raises(CheckpointError, match="is no whole zip"):
        read_zip(path, "ppo", **POLE)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data", " " * 10**7)
    with pytest.raises(CheckpointError, match="would unpack to far more than it holds"):
        read_zip(path, "ppo", **POLE)
    with pytest.raises(CheckpointError, match=r"none\.zip cannot be read"):
        read_zip(tmp_path / "none.zip", "ppo", **POLE)


def test_the_wrong_algorithm_or_environment_is_named(tmp_path: Path) -> None:
    _, path = saved(tmp_path, DQN, "CartPole-v1")
    with pytest.raises(ConfigError, match=r"has a DQNPolicy, which ppo has not: give --algo dqn\."):
        read_zip(path, "ppo", **POLE)
    with pytest.raises(ConfigError, match="no algorithm 'pp0' whose zips can be read; did you mean ppo"):
        read_zip(path, "pp0", **POLE)
    _, path = saved(tmp_path, A2C, "Pendulum-v1")
    with pytest.raises(ConfigError, match="the model has observations Box"):
        read_zip(path, "a2c", **POLE)
    wider = edited(path, lambda data: data["action_space"].update(low="[-3.]", high="[3.]"))
    with pytest.raises(
        ConfigError, match=r"actions Box \[1\] from \[-3\.\] to \[3\.\], and Pendulum-v1 has Box\(-2\.0, 2\.0"
    ):
        read_zip(wider, "a2c", **PENDULUM)
