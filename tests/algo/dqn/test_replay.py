"""The replay against a plain list of everything that happened."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jostle.algo.dqn.replay import Replay
from jostle.errors import ConfigError, EnvError


class Script:
    """N environments that end at random, in NEXT_STEP mode, and a list of all that they did."""

    def __init__(self, num_envs: int, stack: int, padding: str, seed: int = 0, end: float = 0.15) -> None:
        self.n, self.k, self.padding, self.end = num_envs, stack, padding, end
        self.rng = np.random.default_rng(seed)
        self.rows: list[dict[str, np.ndarray[Any, Any]]] = []
        self.clock = 0
        self.done = np.zeros(num_envs, bool)
        self.start = np.ones(num_envs, bool)
        self.frames = [self._first(i) for i in range(num_envs)]

    def _frame(self) -> np.ndarray[Any, Any]:
        self.clock += 1
        return np.array([[self.clock % 251, self.clock // 251]], np.uint8)

    def _first(self, _: int) -> list[np.ndarray[Any, Any]]:
        frame = self._frame()
        fill = frame if self.padding == "repeat" else np.zeros_like(frame)
        return [fill] * (self.k - 1) + [frame]

    def step(self, replay: Replay) -> None:
        obs = np.stack([np.stack(f) for f in self.frames])
        valid = ~self.done
        kind = self.rng.random(self.n)
        terminated = valid & (kind < self.end)
        truncated = valid & (kind > 1 - self.end)
        row = {
            "obs": obs,
            "action": self.rng.integers(0, 9, self.n),
            "reward": np.where(valid, self.rng.standard_normal(self.n), 0).astype(np.float32),
            "terminated": terminated,
            "truncated": truncated,
            "valid": valid,
            "start": self.start,
        }
        self.rows.append(row)
        replay.add(**(row | {"obs": obs if self.k > 1 else obs[:, 0]}))
        self.start = ~valid
        for i in range(self.n):
            self.frames[i] = [*self.frames[i][1:], self._frame()] if valid[i] else self._first(i)
        self.done = terminated | truncated


def expected(script: Script, t: int, i: int, n_step: int) -> tuple[list[float], int, bool]:
    """Rewards of the window, the row of its successor, and whether it terminated: by a loop."""
    rewards = []
    for step in range(n_step):
        row = script.rows[t + step]
        rewards.append(float(row["reward"][i]))
        if row["terminated"][i] or row["truncated"][i]:
            return rewards, t + step + 1, bool(row["terminated"][i])
    return rewards, t + n_step, False


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize(("stack", "padding"), [(1, "repeat"), (4, "repeat"), (4, "zero")])
def test_every_sample_is_what_happened(stack: int, padding: str, n_step: int) -> None:
    num_envs = 3
    script = Script(num_envs, stack, padding)
    space = spaces.Box(0, 255, (stack, 1, 2) if stack > 1 else (1, 2), np.uint8)
    replay = Replay(40 * num_envs, num_envs, space, n_step=n_step, frame_stack=stack, stack_padding=padding)
    discount = torch.tensor([0.5])
    seen: set[tuple[int, int]] = set()
    for length in (17, 23, 1, 60, 13):  # below capacity, full, and wrapped several times
        for _ in range(length):
            script.step(replay)
        batch = replay.sample(400, np.random.default_rng(length))
        total, factor = batch.n_step_return(discount)
        for b, flat in enumerate(batch.row.tolist()):
            ring, i = divmod(flat, num_envs)
            age = (replay.added - 1 - ring) % replay.rows
            t = replay.added - 1 - age
            row = script.rows[t]
            seen.add((t, i))
            assert row["valid"][i], "an invalid row was sampled"
            rewards, following, terminated = expected(script, t, i, n_step)
            view = (lambda o: o) if stack > 1 else (lambda o: o[0])
            np.testing.assert_array_equal(batch.obs[b].numpy(), view(row["obs"][i]))
            np.testing.assert_array_equal(batch.next_obs[b].numpy(), view(script.rows[following]["obs"][i]))
            assert batch.action[b].item() == row["action"][i]
            assert total[b].item() == pytest.approx(sum(r * 0.5**j for j, r in enumerate(rewards)), abs=1e-6)
            assert factor[b].item() == (0.0 if terminated else 0.5 ** len(rewards))
    ends = {
        (t, i)
        for t, row in enumerate(script.rows)
        for i in range(num_envs)
        if row["terminated"][i] or row["truncated"][i]
    }
    if n_step > 1:
        last = {(t - 1, i) for t, i in ends if t and script.rows[t - 1]["valid"][i]}
        assert last & seen, "the last n − 1 transitions of an episode are learned too"
    assert ends & seen


def test_sampling_is_uniform_over_valid_rows() -> None:
    script = Script(2, 1, "repeat", end=0.3)
    replay = Replay(60, 2, spaces.Box(0, 255, (1, 2), np.uint8))
    for _ in range(50):
        script.step(replay)
    draws = 200_000
    counts = np.bincount(replay.sample(draws, np.random.default_rng(0)).row.numpy(), minlength=60)
    first, last = replay._bounds()
    ring = np.arange(first, last) % replay.rows
    usable = np.zeros((30, 2), bool)
    usable[ring] = replay.valid[ring]
    assert (counts[~usable.reshape(-1)] == 0).all()
    share = counts[usable.reshape(-1)] / draws * usable.sum()
    assert abs(share - 1).max() < 0.1


def test_frames_are_stored_once() -> None:
    """1M Atari transitions stay under 8 GiB."""
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    assert Replay(1_000_000, 8, space, frame_stack=4, n_step=3).nbytes < 8 * 2**30


def test_unexpected_padding_is_refused() -> None:
    replay = Replay(100, 1, spaces.Box(0, 255, (4, 1, 2), np.uint8), frame_stack=4, stack_padding="zero")
    with pytest.raises(EnvError, match="frame stack"):
        Script(1, 4, "repeat").step(replay)


def test_cut_closes_running_episodes_as_truncated() -> None:
    replay = Replay(100, 1, spaces.Box(-9, 9, (1,), np.float32), n_step=3)
    yes, no = np.ones(1, bool), np.zeros(1, bool)
    for t in range(3):
        replay.add(np.array([[t]], np.float32), no, np.ones(1), no, no, yes, yes if t == 0 else no)
    replay.cut(np.array([[3]], np.float32))
    for t in range(6):  # another life begins
        replay.add(np.array([[-t]], np.float32), no, np.full(1, 100.0), no, no, yes, yes if t == 0 else no)
    batch = replay.sample(500, np.random.default_rng(0))
    total, factor = batch.n_step_return(torch.tensor([0.5]))
    rows = {int(r): (batch.next_obs[b].item(), total[b].item(), factor[b].item()) for b, r in enumerate(batch.row)}
    assert rows[0] == (3.0, 1.75, 0.125)
    assert rows[2] == (3.0, 1.0, 0.5), "the seam is a truncation: its final observation bootstraps"
    assert 3 not in rows, "the seam's own row is no transition"


def test_state_dict_continues_exactly() -> None:
    script = Script(3, 4, "repeat")
    space = spaces.Box(0, 255, (4, 1, 2), np.uint8)
    one, two = (Replay(60, 3, space, frame_stack=4, n_step=2) for _ in range(2))
    for _ in range(33):
        script.step(one)
    state = one.state_dict()
    two.load_state_dict({"added": state["added"], "arrays": {k: v.copy() for k, v in state["arrays"].items()}})
    for _ in range(5):
        before = len(script.rows)
        script.step(one)
        row = script.rows[before]
        two.add(**row)
    a, b = (r.sample(64, np.random.default_rng(1)) for r in (one, two))
    assert torch.equal(a.row, b.row)
    assert torch.equal(a.obs, b.obs)
    assert torch.equal(a.next_obs, b.next_obs)


def test_dictionaries() -> None:
    space = spaces.Dict({"image": spaces.Box(0, 255, (7, 7, 3), np.uint8), "direction": spaces.Discrete(4)})
    replay = Replay(20, 2, space)
    no, yes = np.zeros(2, bool), np.ones(2, bool)
    for t in range(5):
        obs = {"image": np.full((2, 7, 7, 3), t, np.uint8), "direction": np.full(2, t % 4)}
        replay.add(obs, no, np.zeros(2), no, no, yes, no)
    batch = replay.sample(16, np.random.default_rng(0))
    assert isinstance(batch.obs, dict)
    assert isinstance(batch.next_obs, dict)
    assert torch.equal(batch.obs["image"][:, 0, 0, 0] + 1, batch.next_obs["image"][:, 0, 0, 0])
    assert torch.equal(batch.obs["direction"], batch.obs["image"][:, 0, 0, 0].long() % 4)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="too short"):
        Replay(8, 4, spaces.Box(0, 1, (2,), np.float32), n_step=5)
    replay, other = (Replay(100, 2, spaces.Box(0, 1, (s,), np.float32)) for s in (2, 3))
    with pytest.raises(ConfigError, match=r"obs\.obs"):
        other.load_state_dict(replay.state_dict())
