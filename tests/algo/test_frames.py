"""Frames that are stored once come back as the stacks that the environment returned."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.algo.dqn.replay import Replay
from jostle.envs.engines.envpool import has_envpool


class Noise(gym.Env[Any, int]):
    """Colour pictures of noise; every step ends the episode with a chance of a fifth."""

    observation_space = spaces.Box(0, 255, (12, 10, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def _picture(self) -> np.ndarray[Any, Any]:
        return self.np_random.integers(0, 255, (12, 10, 3), dtype=np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._picture(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        chance = self.np_random.random()
        return self._picture(), chance, chance < 0.1, chance > 0.9, {}


def compare(env: jostle.JostleEnv, steps: int, rows: int, n_step: int = 3, every: int = 20) -> tuple[int, int]:
    """Samples against what the environment returned, while the ring wraps. Returns (ends, stacks compared)."""
    num_envs, rng = env.num_envs, np.random.default_rng(0)
    replay = Replay(
        rows * num_envs, num_envs, env.single_observation_space, n_step=n_step, frame_stack=env.frame_stack,
        stack_padding=env.stack_padding,
    )  # fmt: skip
    obs, info = env.reset()
    start, seen, ends, compared = info["start"], [], 0, 0
    for t in range(steps):
        action = rng.integers(env.single_action_space.n, size=num_envs)
        following, reward, terminated, truncated, info = env.step(action)
        replay.add(obs, action, reward, terminated, truncated, info["valid"], start)
        seen.append(obs.copy())
        ends += int((terminated | truncated).sum())
        obs, start = following, info["start"]
        if t < 10 or t % every:
            continue
        batch = replay.sample(64, rng)
        ended = (batch.terminated | batch.truncated).numpy()
        length = np.where(ended.any(1), ended.argmax(1) + 1, n_step)
        for b, flat in enumerate(batch.row.tolist()):
            ring, i = divmod(flat, num_envs)
            at = replay.added - 1 - (replay.added - 1 - ring) % replay.rows
            np.testing.assert_array_equal(batch.obs[b].numpy(), seen[at][i])
            np.testing.assert_array_equal(batch.next_obs[b].numpy(), seen[at + length[b]][i])
            compared += 2
    env.close()
    return ends, compared


@pytest.mark.skipif(not has_envpool(), reason="needs EnvPool")
@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("Pong-v5", {"max_episode_steps": 60}),
        ("Breakout-v5", {"episodic_life": True}),  # EnvPool leaves frames from before a lost life in its stacks
        ("Breakout-v5", {"episodic_life": True, "gray_scale": False, "max_episode_steps": 37}),
    ],
)
def test_stacks_of_atari(env_id: str, options: dict[str, Any]) -> None:
    env = jostle.make_env(env_id, 4, seed=1, img_height=36, img_width=36, **options)
    ends, compared = compare(env, 500, 100)
    assert ends > 20
    assert compared > 2_000


def test_stacks_of_colour_pictures_on_gymnasium() -> None:
    env = jostle.make_env(Noise, 3, frame_stack=4)
    assert env.single_observation_space.shape == (12, 12, 10)
    ends, compared = compare(env, 400, 30)
    assert ends > 100
    assert compared > 2_000


def test_a_replay_that_begins_within_episodes_has_their_older_frames() -> None:
    """As that of a resumed run whose replay was not saved: nothing but the stack tells what came before."""
    env = jostle.make_env("jostle/ThemedCatch-v0", 2, seed=0, frame_stack=4)
    obs, info = env.reset()
    for _ in range(5):
        obs, *_, info = env.step(np.ones(2, np.int64))
    replay = Replay(64, 2, env.single_observation_space, frame_stack=4, stack_padding=env.stack_padding)
    seen = []
    for _ in range(12):
        following, reward, terminated, truncated, after = env.step(np.ones(2, np.int64))
        replay.add(obs, np.zeros(2), reward, terminated, truncated, after["valid"], info["start"])
        seen.append(obs)
        obs, info = following, after
    env.close()
    rows = np.arange(3, 15)
    assert not replay.valid[:3].any()
    rebuilt = replay.observations((rows[:, None] * 2 + np.arange(2)).ravel())
    assert isinstance(rebuilt, torch.Tensor)
    np.testing.assert_array_equal(rebuilt.numpy(), np.concatenate(seen))


def test_training_on_stacks_of_colour_pictures() -> None:
    agent = jostle.DQN(
        "jostle/ThemedCatch-v0", num_envs=4, warmup=30, hidden=(8,), env_options={"frame_stack": 2}
    ).learn(60)
    assert agent.updates > 0
    assert agent.replay.obs["obs"].shape[2:] == (3, 32, 32), "each frame once"
    batch = agent.replay.sample(8, np.random.default_rng(0))
    assert isinstance(batch.obs, torch.Tensor)
    assert batch.obs.shape == (8, 6, 32, 32)
