"""An agent and its environments: given in every form, failing, moved by others; and learning that is interrupted."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import jostle
from jostle.algo.dqn.replay import Replay
from jostle.errors import CheckpointError, ConfigError, EnvError
from jostle.store import Run


class Steps(gym.Env[Any, int]):
    """Episodes of so many steps, whose actions are 5, 6 and 7. It fails, or pays NaN, from a given step on."""

    observation_space = spaces.Box(-1, 1e9, (2,), np.float32)
    action_space = spaces.Discrete(3, start=5)

    def __init__(self, length: int = 4, *, fails_at: int = 10**9, nan_at: int = 10**9) -> None:
        self.length, self.fails_at, self.nan_at, self.n = length, fails_at, nan_at, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action in (5, 6, 7)
        self.t, self.n = self.t + 1, self.n + 1
        if self.n == self.fails_at:
            raise ValueError("boom")
        reward = float("nan") if self.n >= self.nan_at else 1.0
        return np.array([self.t, self.n], np.float32), reward, self.t >= self.length, False, {}


def small(env: Any, **settings: Any) -> jostle.DQN:
    defaults = {"num_envs": 2, "hidden": (8,), "batch_size": 16, "warmup": 20, "replay_size": 500}
    return jostle.DQN(env, **(defaults | settings))


# ---- environments in every form ----


def test_a_ready_environment_keeps_its_options(tmp_path: Path) -> None:
    """What is evaluated and what is loaded is made as the environment was that the agent was given."""
    env = jostle.make_env("jostle/DeepSea-v0", 3, seed=4, size=5)
    agent = small(env).learn(60, run_dir=tmp_path / "run")
    assert {e.length for e in jostle.evaluate(agent, 4).episodes} == {5}
    loaded = jostle.load(tmp_path / "run")
    assert loaded.env.single_observation_space == env.single_observation_space
    assert loaded.num_envs == 3
    with pytest.raises(ConfigError, match="come too late"):
        small(env, env_options={"size": 5})
    stacked = jostle.make_env("jostle/ThemedCatch-v0", 2, frame_stack=2, engine="jostle")
    assert small(stacked).env_options == {"frame_stack": 2, "engine": "jostle"}
    assert not env.closed


def test_an_environment_made_by_a_function_is_asked_for(tmp_path: Path) -> None:
    class Picture(gym.Env[Any, int]):
        observation_space, action_space = spaces.Box(0, 255, (40, 40), np.uint8), spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            return np.zeros((40, 40), np.uint8), {}

        def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return np.zeros((40, 40), np.uint8), 0.0, False, False, {}

    small(Picture, env_options={"frame_stack": 3}).learn(40, run_dir=tmp_path / "run")
    loaded = jostle.load(tmp_path / "run")
    loaded.predict(np.zeros((3, 40, 40), np.uint8))  # which needs none
    for go_on in (lambda: loaded.learn(10), lambda: jostle.resume(tmp_path / "run")):
        with pytest.raises(ConfigError, match="give env="):
            go_on()
    resumed = jostle.resume(tmp_path / "run", env=Picture, steps=10)
    assert resumed.env.single_observation_space.shape == (3, 40, 40), "the options hold for it too"


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_an_agent_is_loaded_for_training_in_another_number_of_environments(tmp_path: Path, rows: int) -> None:
    small(Steps).learn(60).save(tmp_path / "saved")
    loaded = jostle.load(tmp_path / "saved", env=jostle.make_env(Steps, rows))
    assert loaded.num_envs == rows
    before = loaded.steps
    assert loaded.learn(60).steps >= before + 60


def test_an_environment_that_the_agent_made_is_closed_when_it_cannot_be_built(monkeypatch: Any) -> None:
    closed: list[str] = []
    monkeypatch.setattr(jostle.JostleEnv, "close_extras", lambda self, **_: closed.append(self.id))
    with pytest.raises(ConfigError, match="too short"):
        small(Steps, replay_size=2)
    assert closed == ["Steps"]
    env = jostle.make_env(Steps, 2)
    with pytest.raises(ConfigError, match="too short"):
        small(env, replay_size=2)
    assert closed == ["Steps"], "a ready one is its owner's"


def test_odd_episodes_and_sizes() -> None:
    """One environment, episodes of one step, windows longer than episodes, no warm-up, a replay under a batch."""

    def look(agent: jostle.DQN) -> None:
        agent.drain_metrics()

    agent = small(lambda: Steps(1), num_envs=1, warmup=0, n_step=5, replay_size=12, batch_size=64)
    agent.learn(150, callback=look)
    assert agent.updates > 0
    assert agent.predict(np.zeros(2))[0] in (5, 6, 7), "the first action is 5"
    endless = small(lambda: Steps(10**9), warmup=0).learn(100)
    assert endless.episodes == 0
    assert endless.updates > 0


def test_a_replay_that_cannot_fit_is_refused() -> None:
    for size in (10**12, 10**19):
        with pytest.raises(ConfigError, match="GB of memory; lower replay_size"):
            small(Steps, replay_size=size)
    with pytest.raises(ConfigError, match="seed=-1"):
        small(Steps, seed=-1)


# ---- environments that fail, or that others move ----


def failing(at: int) -> Any:
    """A function that makes environments, of which the second fails once."""
    made: list[Steps] = []

    def make() -> Steps:
        made.append(Steps(fails_at=at if len(made) == 1 else 10**9))
        return made[-1]

    return make


def test_what_was_learned_is_saved_when_an_environment_fails(tmp_path: Path) -> None:
    agent = small(failing(500))
    with pytest.raises(EnvError, match="environment 1 failed in step with ValueError: boom"):
        agent.learn(5_000, run_dir=tmp_path / "run", checkpoint_every=10**6)
    assert agent.updates > 400
    _, state, meta = Run.open(tmp_path / "run").newest()
    assert meta["steps"] == agent.steps == state["progress"]["steps"]
    assert jostle.resume(tmp_path / "run", env=Steps, steps=50).steps >= agent.steps + 50


def test_learning_goes_on_after_a_failure_with_new_episodes() -> None:
    agent = small(failing(50), n_step=3)
    with pytest.raises(EnvError, match="boom"):
        agent.learn(1_000)
    seam = agent.replay.added
    agent.learn(40)
    replay = agent.replay
    assert (replay.truncated | replay.terminated | ~replay.valid)[seam - 1].all(), "no window crosses the failure"
    assert (replay.obs["obs"][seam : seam + 2, :, 0] == 0).any(0).all(), "episodes begin with their first observation"


def test_a_reward_that_is_no_number_stops_training() -> None:
    with pytest.raises(EnvError, match="reward of environment 0 is not finite"):
        small(lambda: Steps(nan_at=30)).learn(500)


@pytest.mark.parametrize("move", ["reset", "step", "evaluate"])
def test_nothing_is_learned_from_observations_out_of_date(move: str) -> None:
    """Somebody resets or steps the agent's own environments: its running episodes end where it left them."""
    agent = small(lambda: Steps(50), n_step=3, noisy="factorised", noise_resample="episode").learn(60)
    seam, last = agent.replay.added, agent._obs
    if move == "reset":
        agent.env.reset()
    elif move == "step":
        agent.env.step(np.array([5, 6]))
    else:
        jostle.evaluate(agent, 2, env=agent.env)
    agent.learn(60)
    replay = agent.replay
    assert replay.truncated[seam - 1].all()
    np.testing.assert_array_equal(replay.obs["obs"][seam], last)
    assert not replay.valid[seam].any()
    assert (replay.obs["obs"][seam + 1, :, 0] == 0).all()
    # In a transition of the same episode the observation's first entry counts the steps.
    batch = replay.sample(500, np.random.default_rng(0))
    length = np.where((e := (batch.terminated | batch.truncated).numpy()).any(1), e.argmax(1) + 1, 3)
    np.testing.assert_array_equal((batch.next_obs - batch.obs)[:, 0].numpy(), length)  # type: ignore[operator]


def test_cutting_twice_leaves_something_to_sample() -> None:
    replay = Replay(8, 1, spaces.Box(0, 9, (1,), np.float32))
    yes, no = np.ones(1, bool), np.zeros(1, bool)
    for _ in range(6):
        replay.add(np.zeros((1, 1)), no, no, no, no, yes, yes)
    for _ in range(20):
        replay.cut(np.zeros((1, 1)))
    assert replay.added == 7
    assert replay.ready


# ---- learning, interrupted ----


def test_learning_twice_adds_up_and_each_folder_is_a_run(tmp_path: Path) -> None:
    agent = small("jostle/DeepSea-v0").learn(60)
    agent.learn(60, run_dir=tmp_path / "1", log_every=20).learn(60, run_dir=tmp_path / "2", log_every=20)
    assert agent.steps in range(180, 190)
    assert jostle.read_metrics(tmp_path / "1")[-1]["step"] < jostle.read_metrics(str(tmp_path / "2"))[0]["step"]
    assert jostle.resume(tmp_path / "2", steps=20).steps >= 200


def test_a_callback_ends_training_and_the_rest_can_be_resumed(tmp_path: Path) -> None:
    agent = small("jostle/DeepSea-v0")
    agent.learn(400, run_dir=tmp_path / "run", callback=lambda a: a.steps < 100)
    assert agent.steps in range(100, 104)
    assert jostle.resume(tmp_path / "run").steps >= 400


INTERRUPTED = """
import signal, sys
import jostle
def ring(agent):
    if agent.steps == 200:
        signal.raise_signal(signal.SIGINT)
for folder in (None, sys.argv[1]):
    agent = jostle.DQN("jostle/DeepSea-v0", num_envs=2, hidden=(8,), warmup=20)
    try:
        agent.learn(10**9, callback=ring, run_dir=folder)
    except KeyboardInterrupt:
        assert agent.steps in range(198, 206), agent.steps
        agent.learn(20)
    else:
        sys.exit(1)
sys.exit(7)
"""


def test_ctrl_c_leaves_an_agent_and_a_checkpoint(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(tmp_path / "run")], check=False, timeout=60)
    assert done.returncode == 7
    assert jostle.load(tmp_path / "run").steps in range(198, 206)


def test_load_refuses_what_is_no_agent(tmp_path: Path) -> None:
    small("jostle/DeepSea-v0").save(tmp_path / "saved")
    (tmp_path / "saved" / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        jostle.load(tmp_path / "saved")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"no run\.json"):
        jostle.load(tmp_path / "empty")
