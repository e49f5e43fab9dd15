"""Linked windows and stored rewards of the replay, against a plain list of everything that happened."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jostle.algo.dqn.replay import Replay
from jostle.errors import ConfigError
from jostle.functional import n_step_return


class Script:
    """N environments that end at random, in NEXT_STEP mode, and now and then are cut; observations are row numbers."""

    def __init__(self, num_envs: int, end: float, cut: float) -> None:
        self.n, self.end, self.cut = num_envs, end, cut
        self.rng = np.random.default_rng(0)
        self.rows: list[dict[str, Any]] = []
        self.done = np.zeros(num_envs, bool)

    def _observation(self) -> np.ndarray[Any, Any]:
        return len(self.rows) * 100.0 + np.arange(self.n, dtype=np.float32)[:, None]

    def step(self, replay: Replay) -> None:
        if self.rng.random() < self.cut:
            before = replay.added
            replay.cut(self._observation())
            if replay.added > before:  # the seam's row, and a truncation in the row before
                last = self.rows[-1]
                last["truncated"] = last["truncated"] | (last["valid"] & ~last["terminated"])
                nothing = np.zeros(self.n, bool)
                self.rows.append({"reward": nothing * 0.0, "terminated": nothing, "truncated": nothing,
                                  "valid": nothing})  # fmt: skip
            self.done = np.zeros(self.n, bool)
        valid, kind = ~self.done, self.rng.random(self.n)
        row = {
            "reward": np.where(valid, self.rng.standard_normal(self.n), 99).astype(np.float32),
            "terminated": valid & (kind < self.end),
            "truncated": valid & (kind > 1 - self.end),
            "valid": valid,
        }
        replay.add(self._observation(), np.zeros(self.n, int), start=~valid, **row)
        self.rows.append(row)
        self.done = row["terminated"] | row["truncated"]


def oracle(script: Script, t: int, i: int, n: int, episodic: bool) -> tuple[float, float, int]:
    """Return, factor of what follows, and the row that follows, one transition after the other. γ is 0.5."""
    total, power = 0.0, 1.0
    for _ in range(n):
        row = script.rows[t]
        assert row["valid"][i]
        total += power * float(row["reward"][i])
        power *= 0.5
        t += 1
        if episodic and row["terminated"][i]:
            return total, 0.0, t
        if episodic and row["truncated"][i]:
            return total, power, t
        while not episodic and not script.rows[t]["valid"][i]:
            t += 1
    return total, power, t


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize(("end", "cut"), [(0.15, 0.0), (0.45, 0.0), (0.2, 0.25)])
def test_linked_windows_are_what_happened(n_step: int, end: float, cut: float) -> None:
    num_envs = 3
    script = Script(num_envs, end, cut)
    replay = Replay(40 * num_envs, num_envs, spaces.Box(-9, 9, (1,), np.float32), n_step=n_step, linked=True)
    discount, episodic = torch.tensor([0.5, 0.5]), torch.tensor([True, False])
    links, newest = 0, -(10**9)
    for length in (17, 23, 1, 60, 13):  # below capacity, full, and wrapped several times
        for _ in range(length):
            script.step(replay)
        batch = replay.sample(400, np.random.default_rng(length))
        assert batch.window is not None
        assert batch.linked is not None
        both = batch.reward.expand(-1, -1, 2)
        total, factor = n_step_return(both, batch.terminated, batch.truncated, discount, episodic)
        onward = batch.next_obs.clone()
        onward[batch.linked] = batch.linked_obs
        links += len(batch.linked)
        for b, flat in enumerate(batch.row.tolist()):
            ring, i = divmod(flat, num_envs)
            t = replay.added - 1 - (replay.added - 1 - ring) % replay.rows
            newest = max(newest, t - replay.added)
            for k, follows in ((0, batch.next_obs), (1, onward)):
                r, f, row = oracle(script, t, i, n_step, k == 0)
                assert total[b, k].item() == pytest.approx(r, abs=1e-5)
                assert factor[b, k].item() == f
                assert follows[b].item() == row * 100 + i
    assert links > 100
    assert newest == -1 - 3 * n_step, "the newest rows whose windows are surely complete are sampled"


def test_returns_that_go_on_behind_ends_by_hand() -> None:
    reward = torch.tensor([[1.0, 2.0, 4.0]] * 3)[..., None].expand(-1, -1, 2)
    terminated = torch.tensor([[False, True, False], [False, False, False], [False, False, True]])
    truncated = torch.tensor([[False, False, False], [True, False, False], [False, False, False]])
    total, factor = n_step_return(reward, terminated, truncated, torch.tensor([0.5, 0.25]), torch.tensor([True, False]))
    assert total.tolist() == [[2.0, 1.75], [1.0, 1.75], [3.0, 1.75]]
    assert factor.tolist() == [[0.0, 0.25**3], [0.5, 0.25**3], [0.0, 0.25**3]]


def test_stored_rewards_are_kept_and_saved() -> None:
    one, two = (Replay(20, 2, spaces.Box(-9, 9, (1,), np.float32), num_intrinsic=1) for _ in range(2))
    no, yes = np.zeros(2, bool), np.ones(2, bool)
    for t in range(7):
        one.add(np.zeros((2, 1), np.float32), no, np.zeros(2), no, no, yes, no)
        one.intrinsic[t] = t
    two.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(one.intrinsic, two.intrinsic)
    assert two.intrinsic[6, 0, 0] == 6
    plain = Replay(20, 2, spaces.Box(-9, 9, (1,), np.float32))
    assert "intrinsic" not in plain.state_dict()["arrays"]
    with pytest.raises(ConfigError, match="intrinsic"):
        one.load_state_dict(plain.state_dict())


def test_a_replay_that_no_linked_window_fits_into_is_refused() -> None:
    space = spaces.Box(-9, 9, (1,), np.float32)
    Replay(6 * 4, 4, space, n_step=3)
    with pytest.raises(ConfigError, match="give it at least 44"):
        Replay(6 * 4, 4, space, n_step=3, linked=True)
    Replay(44, 4, space, n_step=3, linked=True)
