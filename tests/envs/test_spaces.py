"""Spaces of every kind from end to end: keys of any text, and MultiBinary actions."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.envs import make_env, random_actions
from jostle.envs.observations import flat_paths
from jostle.errors import ConfigError, EnvError
from jostle.nn.encoders import Flat, Join, module_names
from jostle.plain import plain

KEYS = [
    "",
    " ",
    "a.b",
    "a/b",
    "a.b~",
    "training",
    "keys",
    "type",
    "forward",
    "obs",
    "ü →",
    "..",
    "__metadata__",
    "x\ny",
]
BOX = spaces.Box(-1, 1, (2,), np.float32)


class Keys(gym.Env[Any, Any]):
    """Every part shows its place in the list; "b" within "a" has three entries."""

    def __init__(self) -> None:
        inner = spaces.Dict({"b": spaces.Box(-1, 1, (3,), np.float32), "c": spaces.Discrete(3)})
        self.observation_space = spaces.Dict({**dict.fromkeys(KEYS, BOX), "a": inner})
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.t = 0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self._see(), 1.0, self.t >= 6, False, {}

    def _see(self) -> dict[str, Any]:
        shown: dict[str, Any] = {key: np.full(2, i / 99, np.float32) for i, key in enumerate(KEYS)}
        return {**shown, "a": {"b": np.full(3, -1, np.float32), "c": self.t % 3}}


@pytest.mark.parametrize("workers", [0, 1])
def test_every_part_has_a_key_of_its_own(workers: int) -> None:
    env = make_env(Keys, 2, workers=workers)
    obs, _ = env.reset()
    env.close()
    assert isinstance(obs, dict)
    assert set(obs) == {*KEYS, "a.b~~", "a.c"}
    assert obs["a.b~~"].tolist() == [[-1] * 3] * 2
    for i, key in enumerate(KEYS):
        np.testing.assert_array_equal(obs[key], np.full((2, 2), np.float32(i / 99)))


def test_keys_that_are_no_text_become_text() -> None:
    space = spaces.Dict({1: BOX, 2: spaces.Dict({3: BOX})})  # type: ignore[dict-item]
    assert flat_paths(space) == {"1": (1,), "2.3": (2, 3)}


@pytest.mark.parametrize("kind", [jostle.PPO, jostle.DQN])
def test_training_saving_and_resuming_take_every_key(kind: Any, tmp_path: Path) -> None:
    more: dict[str, Any] = {"num_steps": 8, "normalise_obs": True} if kind is jostle.PPO else {"warmup": 20}
    agent = kind(Keys, num_envs=2, seed=0, **more).learn(60, run_dir=tmp_path / "run")
    loaded = jostle.load(tmp_path / "run", env=Keys)
    obs = Keys().reset()[0]
    flat = {**{key: obs[key] for key in KEYS}, "a.b~~": obs["a"]["b"], "a.c": obs["a"]["c"]}
    assert agent.predict(flat) == loaded.predict(flat)
    assert all(map(torch.equal, agent.network.parameters(), loaded.network.parameters()))
    loaded.learn(90)
    assert jostle.evaluate(loaded, 2).episodes[0].length == 6


def test_names_of_modules_keep_those_of_old_checkpoints() -> None:
    assert module_names(["image", "state.pos", "a/b"]) == ["image", "state/pos", "a/b"]
    assert module_names(["a.b", "a/b", "", "keys"]) == ["a/b", "a/b~", "~", "keys~"]
    assert set(Join({"state.pos": Flat(BOX), "": Flat(BOX)}).encoders) == {"state/pos", "~"}


class Switches(gym.Env[Any, Any]):
    """Shows which of three switches to press, and pays the share that was right."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.MultiBinary(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        reward, self.t = float((action == self.wanted).mean()), self.t + 1
        return self._see(), reward, self.t >= 10, False, {}

    def _see(self) -> np.ndarray:
        self.wanted = self.np_random.integers(0, 2, 3)
        return self.wanted.astype(np.float32)


def test_multi_binary_actions_are_checked_and_drawn() -> None:
    env = make_env(Switches, 2)
    env.reset()
    drawn = random_actions(env.single_action_space, 200, np.random.default_rng(0))
    assert (drawn.shape, set(drawn.ravel().tolist())) == ((200, 3), {0, 1})
    env.step(drawn[:2])
    env.step(np.ones((2, 3), np.int8))
    with pytest.raises(
        EnvError, match=r"component \[2\] of the action 2 for environment 1 is outside the range 0 to 1"
    ):
        env.step(np.array([[0, 0, 0], [0, 0, 2]]))
    with pytest.raises(EnvError, match=r"shape \[2, 2\], and \[2, 3\]"):
        env.step(np.zeros((2, 2), int))


def test_ppo_learns_multi_binary_actions(tmp_path: Path) -> None:
    agent = jostle.PPO(Switches, num_envs=4, num_steps=32, learning_rate=3e-3, seed=0)
    agent.learn(3000, run_dir=tmp_path / "run")
    assert np.mean([e.ret for e in jostle.evaluate(agent, 5).episodes]) > 7
    loaded = jostle.load(tmp_path / "run", env=Switches)
    assert loaded.predict(np.float32([1, 0, 1]))[0].tolist() == agent.predict(np.float32([1, 0, 1]))[0].tolist()
    with pytest.raises(ConfigError, match="DQN needs a Discrete action space"):
        jostle.DQN(Switches)


def test_multi_binary_actions_in_workers() -> None:
    agent = jostle.PPO(Switches, num_envs=2, num_steps=16, env_options={"workers": 1}, seed=0).learn(64)
    agent.env.close()
    assert agent.steps >= 64


def test_plain() -> None:
    given = {np.str_("a"): [np.int64(1), (np.float32(0.5), np.True_)], "b": np.array(3), "c": np.arange(2), "d": None}
    made = plain(given)
    assert list(map(type, (made["a"][0], *made["a"][1], made["b"]))) == [int, float, bool, int]
    assert type(next(iter(made))) is str
    assert made["c"] is given["c"]
