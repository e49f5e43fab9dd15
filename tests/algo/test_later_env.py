"""An agent that was loaded acts without its environment, which is made when it is asked for, as it was saved."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import jostle
from jostle.envs.later import LaterEnv, facts_of
from jostle.errors import ConfigError, EnvError

DQN = {"num_envs": 3, "warmup": 20, "batch_size": 8, "replay_size": 500, "hidden": (8,)}
PPO = {"num_envs": 3, "num_steps": 8, "hidden": (8,)}
AGENTS = [
    ("DQN", "jostle/DeepSea-v0", DQN | {"noisy": "factorised", "noise_resample": "episode",
                                         "env_options": {"size": 4}}),
    ("DQN", "CartPole-v1", DQN | {"env_options": {"engine": "gymnasium"}}),
    ("DQN", "jostle/DeepSea-v0", DQN | {"bonus": ("rnd",), "env_options": {"size": 4}}),
    ("PPO", "jostle/DeepSea-v0", PPO | {"bonus": ("rnd", "e3b"), "env_options": {"size": 4}}),
    ("PPO", "CartPole-v1", PPO | {"recurrent": "lstm", "minibatch_by": "envs", "minibatches": 3,
                                  "env_options": {"engine": "gymnasium"}}),
    ("PPO", "jostle/ThemedCatch-v0", PPO | {"hidden": (16,)}),
]  # fmt: skip


def _made(kind: str, env: Any, settings: dict[str, Any]) -> Any:
    return getattr(jostle, kind)(env, seed=3, **settings)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, torch.Tensor | np.ndarray):
        return bool(np.array_equal(np.asarray(one), np.asarray(other)))
    return one == other if not hasattr(one, "segments") else _equal(list(one.segments), list(other.segments))


@pytest.mark.parametrize(("kind", "env", "settings"), AGENTS)
def test_what_was_loaded_acts_without_and_goes_on_as_with_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, env: str, settings: dict[str, Any]
) -> None:
    agent = _made(kind, env, settings).learn(60)
    folder = agent.save(tmp_path / "agent", replay=True)
    obs = np.stack([agent.env.single_observation_space.sample() for _ in range(5)])
    with monkeypatch.context() as without:
        without.setattr("jostle.loading.make_env", lambda *_, **__: pytest.fail("made an environment"))
        loaded: Any = jostle.load(folder)
        assert type(loaded.env) is LaterEnv
        assert loaded.predict(obs)[0].tolist() == agent.predict(obs)[0].tolist()
        view = jostle.as_view(loaded)
        assert view.env_source == env
        assert dict(view.env_options) == settings.get("env_options", {})
        assert loaded.env.single_observation_space == agent.env.single_observation_space
        assert loaded.env.observation_space == agent.env.observation_space
        assert loaded.description() == agent.description()
        again = loaded.save(tmp_path / "again", replay=True)
        if agent.env.can_snapshot:  # else the replay is cut where new episodes will begin
            assert {p.name: p.read_bytes() for p in again.iterdir()} == {
                p.name: p.read_bytes() for p in folder.iterdir()
            }
        loaded.drain_metrics()
        loaded.storage()
    held = loaded.env
    eager: Any = jostle.load(folder, env=env)
    eager.learn(60)
    loaded.learn(60)
    assert loaded.env is held, "the same object"
    assert type(held) is jostle.JostleEnv
    assert _equal(eager.state_dict()["model"], loaded.state_dict()["model"])
    assert _equal(eager.state_dict()["carry"], loaded.state_dict()["carry"])
    assert _equal(eager.state_dict()["coverage"], loaded.state_dict()["coverage"])
    assert _equal(list(eager.returns), list(loaded.returns))


class Lab(gym.Env[Any, Any]):
    """Ends after nine steps."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    render_mode = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return np.zeros(2, np.float32), 1.0, self.t >= 9, False, {}


class Wide(Lab):
    """Other bounds."""

    observation_space = gym.spaces.Box(-2, 2, (2,), np.float32)


def test_a_function_is_asked_for_only_where_it_is_needed(tmp_path: Path) -> None:
    folder = jostle.PPO(Lab, **PPO).learn(40).save(tmp_path / "agent")
    agent = jostle.load(folder)
    assert agent.predict(np.zeros(2, np.float32))[0] in (0, 1)
    assert jostle.evaluate(agent, 2, env=Lab).mean == 9
    assert type(agent.env) is LaterEnv
    with pytest.raises(ConfigError, match="made by the function Lab, which no folder holds: give env="):
        agent.env.reset()
    with pytest.raises(ConfigError, match="give env="):
        agent.learn(40, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="give env="):
        jostle.evaluate(agent)
    assert jostle.load(agent.save(tmp_path / "again"), env=Lab).learn(40).steps > agent.steps


def test_an_environment_that_has_changed_is_refused(tmp_path: Path) -> None:
    gym.register("Changing-v0", entry_point=lambda **_: Lab())
    try:
        folder = jostle.PPO("Changing-v0", **PPO).save(tmp_path / "agent")
        gym.registry["Changing-v0"].entry_point = lambda **_: Wide()
        agent = jostle.load(folder)
        with pytest.raises(EnvError, match=r"Changing-v0 has other observations .*2\.0.* than when the agent"):
            agent.env.reset()
        agent.predict(np.zeros(2, np.float32))
    finally:
        del gym.registry["Changing-v0"]


# ---- by itself ----


def _later(env: jostle.JostleEnv, make: Callable[[], jostle.JostleEnv], **other: Any) -> LaterEnv:
    facts = facts_of(env)
    assert facts is not None
    known = {"env_id": env.id, "num_envs": env.num_envs, "seed": 1, "source": env.source, "made_with": env.made_with}
    return LaterEnv(facts | other, make, **known)


def _nobody() -> jostle.JostleEnv:
    pytest.fail("made an environment")


def test_what_is_known_asks_for_no_environment() -> None:
    env = jostle.make_env("jostle/ThemedCatch-v0", 3)
    told = {"frame_stack": 4, "stack_padding": "zero", "frame_skip": 2, "can_snapshot": False, "engine": "another"}
    later = _later(env, _nobody, **told)
    assert {name: getattr(later, name) for name in told} == told
    for name in ("observation_space", "action_space", "single_observation_space", "single_action_space", "made_with"):
        assert getattr(later, name) == getattr(env, name)
    assert not hasattr(later, "__array_interface__"), "which NumPy asks for"
    later.close()
    later.close()
    with pytest.raises(EnvError, match="is closed: make a new one"):
        later.step(np.zeros(3, np.int64))
    assert type(later) is LaterEnv


@pytest.mark.parametrize("env_id", ["CartPole-v1", "jostle/ThemedCatch-v0"])
def test_the_first_move_is_made_as_it_was_asked_for(env_id: str) -> None:
    def make() -> jostle.JostleEnv:
        return jostle.make_env(env_id, 3, seed=1, engine="gymnasium" if env_id == "CartPole-v1" else "auto")

    asked: list[int] = []
    real, later = make(), _later(make(), make)
    later.then = lambda: asked.append(1)
    assert np.array_equal(later.reset(seed=5)[0], real.reset(seed=5)[0])
    assert asked == [1]
    assert np.array_equal(later.step(np.zeros(3, np.int64))[0], real.step(np.zeros(3, np.int64))[0])
    if real.can_snapshot:
        state, restored = real.state_dict(), _later(make(), make)
        restored.load_state_dict(state)
        for _ in range(12):
            action = np.ones(3, np.int64)
            assert np.array_equal(restored.step(action)[0], real.step(action)[0])


class Counted(Lab):
    """Counts how many were closed."""

    closed = 0

    def close(self) -> None:
        Counted.closed += 1


class ThreeActions(Counted):
    """Another action."""

    action_space = gym.spaces.Discrete(3)


def test_what_cannot_be_used_is_closed() -> None:
    env, Counted.closed = jostle.make_env(Lab, 2), 0
    other = _later(env, lambda: jostle.make_env(ThreeActions, 2))
    with pytest.raises(EnvError, match=r"has other actions \(Discrete\(3\)\) than when the agent was saved"):
        other.reset()
    assert Counted.closed == 2
    assert type(other) is LaterEnv
    spoiled = _later(env, lambda: jostle.make_env(Counted, 2))
    spoiled.then = lambda: [][0]
    with pytest.raises(IndexError):
        spoiled.reset()
    assert Counted.closed == 4


def test_workers_are_not_started_to_predict(tmp_path: Path) -> None:
    options = {"engine": "gymnasium", "workers": 2}
    agent = jostle.PPO("CartPole-v1", env_options=options, **PPO)
    folder = agent.save(tmp_path / "agent")
    agent.env.close()
    loaded = jostle.load(folder)
    loaded.predict(np.zeros(4, np.float32))
    loaded.env.close()
    with pytest.raises(EnvError, match="is closed: make a new one"):
        loaded.env.reset()


def test_a_user_may_move_the_environments_first(tmp_path: Path) -> None:
    folder = jostle.PPO("CartPole-v1", **PPO).learn(40).save(tmp_path / "agent")
    for move in (lambda env: env.reset(seed=5), lambda env: env.step(env.action_space.sample()), lambda env: env.moves):
        agent = jostle.load(folder)
        move(agent.env)
        assert type(agent.env) is jostle.JostleEnv
        assert agent.learn(40).steps >= 80


def test_checkpoints_of_before_make_the_environment_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = jostle.PPO("CartPole-v1", **PPO)
    meta = {key: value for key, value in agent.meta().items() if key != "env_facts"}
    monkeypatch.setattr(agent, "meta", lambda: meta)
    loaded = jostle.load(agent.save(tmp_path / "agent"))
    assert type(loaded.env) is jostle.JostleEnv


MODULE = """
import pathlib
pathlib.Path({mark!r}).touch()
import gymnasium
gymnasium.register("Marked-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=20)
"""


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """A run whose environment's module leaves a mark when it is imported."""
    (tmp_path / "leaves_mark.py").write_text(MODULE.format(mark=str(tmp_path / "mark")))
    code = "import jostle; jostle.PPO('leaves_mark:Marked-v0', num_envs=2, num_steps=8).learn(16, run_dir='run')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    (tmp_path / "mark").unlink()
    return tmp_path


COMMANDS = """
import sys, pathlib
from jostle.cli import main
mark = pathlib.Path("mark")
for words in (["evaluate", "run", "--episodes", "1"], ["doctor", "run"], ["stress", "run", "--suite", "shift"],
              ["watch", "run"], ["resume", "run"]):
    assert main([*words, "--quiet"]) == 2, words
    assert not mark.exists(), words
import jostle
jostle.load("run").predict([0, 0, 0, 0])
assert not mark.exists()
try:
    jostle.load("run").learn(16)
except jostle.ConfigError as error:
    assert "leaves_mark" in str(error)
assert not mark.exists()
assert main(["evaluate", "run", "--episodes", "1", "--quiet", "--trust"]) == 0
assert mark.exists()
"""


def test_no_command_imports_what_a_folder_names(marked: Path) -> None:
    env = os.environ | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", COMMANDS], cwd=marked, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "'leaves_mark' would be imported" in done.stderr
