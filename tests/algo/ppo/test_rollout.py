"""The rollout against a plain list of everything that happened: frames stored once, minibatches, recurrent states."""

import resource
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

import jostle
from jostle.algo.ppo.rollout import Rollout, flat
from jostle.errors import EnvError


def make(steps: int, num_envs: int, space: Any, **options: Any) -> Rollout:
    defaults = {"action_shape": (), "action_dtype": torch.int64, "num_params": 2}
    return Rollout(steps, num_envs, space, **(defaults | options))


def no_flags(num_envs: int) -> list[np.ndarray[Any, Any]]:
    return [np.zeros(num_envs, bool)] * 2 + [np.ones(num_envs, bool)]


def fill(rollout: Rollout, rows: list[Any], start: np.ndarray[Any, Any]) -> None:
    """Write T + 1 observations with their start flags [T + 1, N]."""
    rollout.begin(rows[0], start[0])
    for t in range(rollout.steps):
        rollout.add(t, np.zeros(rollout.num_envs, np.float32), *no_flags(rollout.num_envs))
        rollout.put(t + 1, rows[t + 1], start[t + 1])
    rollout.finish()


def check_all(rollout: Rollout, rows: list[np.ndarray[Any, Any]]) -> None:
    """Every row, in a random order, comes back as it was seen."""
    total = len(rows) * rollout.num_envs
    order = torch.randperm(total, generator=torch.Generator().manual_seed(0))
    got = rollout.observations(order)
    assert isinstance(got, torch.Tensor)
    seen = torch.from_numpy(np.stack(rows)).flatten(0, 1)
    assert got.dtype == seen.dtype
    assert torch.equal(got, seen[order])
    assert torch.equal(rollout.observations(torch.tensor([3 % total])), seen[[3 % total]])


# ---- stacks of frames ----


@pytest.mark.parametrize(
    ("env_id", "steps", "rollouts", "options"),
    [
        ("Breakout-v5", 40, 3, {"episodic_life": True, "img_height": 20, "img_width": 20}),
        ("Pong-v5", 30, 2, {"frame_stack": 3, "max_episode_steps": 11, "img_height": 20, "img_width": 20}),
        ("jostle/ThemedCatch-v0", 17, 3, {"frame_stack": 4}),
    ],
)
def test_stacks_are_those_of_the_environment(env_id: str, steps: int, rollouts: int, options: dict[str, Any]) -> None:
    """Over several rollouts, so that row 0 continues episodes; with starts everywhere."""
    env = jostle.make_env(env_id, 3, seed=1, **options)
    rng = np.random.default_rng(0)
    rollout = make(steps, 3, env.single_observation_space, frame_stack=env.frame_stack, stack_padding=env.stack_padding)
    obs, info = env.reset()
    starts = []
    for _ in range(rollouts):
        rows, start = [obs], [info["start"]]
        rollout.begin(obs, info["start"])
        for t in range(steps):
            action = rng.integers(0, env.single_action_space.n, 3)
            if t % 7 == 0:
                action[:] = 1  # FIRE, or Breakout never begins
            obs, reward, terminated, truncated, info = env.step(action)
            rollout.add(t, reward, terminated, truncated, info["valid"])
            rollout.put(t + 1, obs, info["start"])
            rows.append(obs)
            start.append(info["start"])
        rollout.finish()
        check_all(rollout, rows)
        np.testing.assert_array_equal(rollout.start.numpy(), np.stack(start))
        channels = rows[0].shape[1] // env.frame_stack
        newest = np.stack(rows)[:, :, -channels:]
        np.testing.assert_array_equal(rollout.newest().numpy(), newest[:-1])
        np.testing.assert_array_equal(rollout.newest(following=True).numpy(), newest[1:])
        np.testing.assert_array_equal(
            rollout.newest_of(torch.arange(3, 9)).numpy(), newest.reshape(-1, *newest.shape[2:])[3:9]
        )
        starts.append(np.stack(start))
    inner = np.concatenate([s[1:-1] for s in starts])
    assert inner.sum() >= 3, "episodes must start in the middle of rollouts"
    assert any(not s[0].all() for s in starts[1:]), "episodes must cross the rollouts' border"
    env.close()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), depth=st.integers(2, 5), channels=st.integers(1, 2), padding=st.sampled_from(["repeat", "zero"]))
def test_stacks_with_any_pattern_of_starts(data: Any, depth: int, channels: int, padding: str) -> None:
    """Starts in successive rows, at the border, in no row; three rollouts of one storage, one after the other."""
    steps, n = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
    space = spaces.Box(0, 255, (depth * channels, 2, 1), np.uint8)
    rollout = make(steps, n, space, frame_stack=depth, stack_padding=padding)
    flags = data.draw(
        st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=3 * steps + 1, max_size=3 * steps + 1)
    )
    start = np.array(flags, bool)
    start[0] = True
    clock, stacks = 0, []
    frames = np.zeros((n, depth, channels, 2, 1), np.uint8)
    for row in start:
        new = np.arange(clock, clock + n * channels * 2).reshape(n, channels, 2, 1).astype(np.uint8) + 1
        clock += n * channels * 2
        frames = np.concatenate([frames[:, 1:], new[:, None]], 1)
        for i in np.flatnonzero(row):
            frames[i, :-1] = new[i] if padding == "repeat" else 0
        stacks.append(frames.reshape(n, depth * channels, 2, 1))
    for first in range(0, 3 * steps, steps):
        rows = stacks[first : first + steps + 1]
        fill(rollout, rows, start[first : first + steps + 1])
        check_all(rollout, rows)


def test_a_stack_that_is_filled_in_another_way_is_refused() -> None:
    rollout = make(2, 1, spaces.Box(0, 255, (3, 2, 2), np.uint8), frame_stack=3, stack_padding="repeat")
    stack = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)
    rollout.begin(stack, np.ones(1, bool))  # row 0 is kept whole, whatever it holds
    rollout.put(1, stack + 1, np.zeros(1, bool))
    with pytest.raises(EnvError, match="does not fill its frame stack by 'repeat'"):
        rollout.put(2, stack, np.ones(1, bool))


# ---- kinds of observations ----


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(5),
        spaces.MultiBinary(3),
        spaces.MultiDiscrete([3, 4]),
        spaces.Box(-1, 1, (3,), np.float32),
        spaces.Box(0, 255, (4, 5, 3), np.uint8),
        spaces.Box(-9, 9, (2,), np.int16),
    ],
    ids=str,
)
def test_observations_keep_their_type_and_value(space: spaces.Space[Any]) -> None:
    space.seed(0)
    rows = [np.stack([space.sample() for _ in range(3)]) for _ in range(6)]
    rollout = make(5, 3, space)
    fill(rollout, rows, np.zeros((6, 3), bool))
    check_all(rollout, rows)
    assert rollout.newest().dtype == torch.from_numpy(rows[0]).dtype


def test_dictionaries_are_stored_key_by_key() -> None:
    space = spaces.Dict(
        {"picture": spaces.Box(0, 255, (2, 2, 3), np.uint8), "speed": spaces.Box(-1, 1, (2,), np.float32)}
    )
    space.seed(0)
    samples = [[space.sample() for _ in range(3)] for _ in range(5)]
    rows = [{key: np.stack([s[key] for s in row]) for key in space.spaces} for row in samples]
    rollout = make(4, 3, space)
    fill(rollout, rows, np.zeros((5, 3), bool))
    order = torch.tensor([14, 0, 7])
    for got in (rollout.observations(order), rollout.newest_of(order)):
        for key, value in got.items():
            everything = torch.from_numpy(np.stack([r[key] for r in rows])).flatten(0, 1)
            assert value.dtype == everything.dtype
            assert torch.equal(value, everything[order])
    following = rollout.newest(following=True)
    assert torch.equal(following["speed"], torch.from_numpy(np.stack([r["speed"] for r in rows[1:]])))


# ---- memory ----


def test_128_environments_of_atari_take_less_than_400_megabytes() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    before = resident()
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    rollout = make(128, 128, space, num_params=18, num_streams=2, frame_stack=4, state_shape=(2, 256))
    for tensor in rollout.obs.values():
        tensor.fill_(1)  # untouched pages would cost nothing yet
    assert rollout.nbytes < 130e6
    assert resident() - before < 160e6
    assert rollout.observations(torch.arange(256)).shape == (256, 4, 84, 84)
    assert resident() - before < 200e6, "reading a minibatch must not copy the storage"


# ---- minibatches ----


@pytest.mark.parametrize("by", ["rows", "envs", "slices"])
@pytest.mark.parametrize(
    ("steps", "n", "length", "count"), [(6, 5, 0, 3), (6, 5, 2, 4), (6, 1, 3, 2), (1, 7, 0, 4), (6, 5, 0, 1)]
)
def test_minibatches_cover_every_row_once(by: Any, steps: int, n: int, length: int, count: int) -> None:
    rollout = make(steps, n, spaces.Discrete(2), sequence_length=length)
    generator = torch.Generator().manual_seed(0)
    parts = list(rollout.minibatches(count, by, generator))
    assert len(parts) == count
    together = torch.cat([p.reshape(-1) for p in parts])
    assert together.sort().values.tolist() == list(range(steps * n))
    sizes = [p.numel() for p in parts]
    assert max(sizes) - min(sizes) <= (1 if by == "rows" else length or steps)
    again = list(rollout.minibatches(count, by, generator))
    if by == "slices":
        assert all(torch.equal(a, b) for a, b in zip(parts, again, strict=True)), "slices are in fixed order"
    elif steps * n // (1 if by == "rows" else length or steps) > 2:
        assert not torch.equal(together, torch.cat([p.reshape(-1) for p in again])), "another order in every epoch"
    if by == "rows":
        return
    for part in parts:
        assert len(part) == (length or steps)
        env, time = part % n, part // n
        assert (env == env[0]).all(), "a column is one environment"
        assert torch.equal(time, time[0] + torch.arange(len(part))[:, None]), "in time order"


def test_slices_are_neighbouring_environments() -> None:
    parts = list(make(3, 4, spaces.Discrete(2)).minibatches(2, "slices", torch.Generator()))
    assert [p[0].tolist() for p in parts] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("by", ["envs", "slices"])
@pytest.mark.parametrize("length", [0, 2, 3])
def test_sequences_begin_with_the_state_that_was_stored_for_them(by: Any, length: int) -> None:
    steps, n, size = 6, 4, 3
    rollout = make(steps, n, spaces.Discrete(2), sequence_length=length, state_shape=(2, size))
    assert rollout.state is not None
    chunks = torch.arange(steps // (length or steps))[:, None, None, None]
    rollout.state[:] = 100 * chunks + 10 * torch.arange(2)[:, None, None] + torch.arange(n)[:, None]
    for rows in rollout.minibatches(3, by, torch.Generator().manual_seed(1)):
        state = rollout.initial_state(rows)
        assert state is not None
        assert state.shape == (2, rows.shape[1], size)
        for column, row in enumerate(rows[0].tolist()):
            chunk, env = row // n // (length or steps), row % n
            for s in range(2):
                assert (state[s, column] == 100 * chunk + 10 * s + env).all()
    assert make(steps, n, spaces.Discrete(2)).initial_state(torch.zeros(2, 2, dtype=torch.int64)) is None


def test_flat_rows_are_time_major() -> None:
    table = torch.arange(12).view(3, 4)
    assert flat(torch.tensor([[0, 5], [4, 9]]), table).tolist() == [0, 5, 4, 9]
