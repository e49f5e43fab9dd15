"""Logs: what is recorded is what happened, files hold it and nothing else, and foreign ones are checked."""

from pathlib import Path

import numpy as np
import pytest

import jostle
from jostle.envs import make_env
from jostle.errors import ConfigError
from jostle.reality import Log, record


def test_a_log_is_what_happened() -> None:
    """Played again from its actions."""
    log = record("jostle/CartPole-v1", 300, num_envs=3, seed=4)
    assert len(log) == 300
    assert log.env == "jostle/CartPole-v1"
    env = make_env("jostle/CartPole-v1", 3, seed=4)
    obs, _ = env.reset(seed=4)
    of_row = [np.flatnonzero(np.isin(log.episode, np.unique(log.episode[k * 100 : (k + 1) * 100]))) for k in range(3)]
    at = [0, 0, 0]
    for _ in range(90):
        action = np.zeros(3, np.int64)
        rows = [of_row[k][at[k]] for k in range(3)]
        for k in range(3):
            action[k] = log.action[rows[k]]
        after, _, _, _, info = env.step(action)
        for k in np.flatnonzero(info["valid"]):
            np.testing.assert_array_equal(log.obs[rows[k]], obs[k])
            np.testing.assert_array_equal(log.next_obs[rows[k]], after[k])
            at[k] += 1
        obs = after
    env.close()


def test_windows_lie_within_episodes() -> None:
    log = record("jostle/CartPole-v1", 200, seed=1)
    windows = log.windows(7)
    assert (log.episode[windows] == log.episode[windows][:, :1]).all()
    assert len(set(windows.ravel().tolist())) == windows.size
    lengths = np.unique(log.episode, return_counts=True)[1]
    assert len(windows) == (lengths // 7).sum()
    np.testing.assert_array_equal(log.next_obs[windows[:, :-1]], log.obs[windows[:, 1:]])


def test_a_policy_plays_and_held_actions_are_held() -> None:
    log = record("jostle/Pendulum-v1", 50, lambda obs: -obs[:, 2:].clip(-2, 2), num_envs=2)
    np.testing.assert_allclose(log.action, -log.obs[:, 2:].clip(-2, 2), atol=1e-6)
    held = record("jostle/Pendulum-v1", 40, hold=8)
    assert (held.action.reshape(5, 8) == held.action.reshape(5, 8)[:, :1]).all()
    assert len(np.unique(held.action)) == 5


def test_a_file_holds_it(tmp_path: Path) -> None:
    log = record("jostle/Pendulum-v1", 60, states=True, env_options={"domain": {"rod.mass": 2.0}})
    again = Log.load(log.save(tmp_path / "new" / "log.npz"))
    for name in ("obs", "action", "next_obs", "episode", "state"):
        np.testing.assert_array_equal(getattr(again, name), getattr(log, name))
    assert again.env == log.env
    with np.load(tmp_path / "new" / "log.npz", allow_pickle=False) as file:
        assert file["obs"].dtype == np.float32
    np.savez(tmp_path / "mine.npz", obs=np.zeros((5, 3)), next_obs=np.ones((5, 3)), action=np.zeros(5), episode=[0] * 5)
    assert len(Log.load(tmp_path / "mine.npz")) == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"obs": None}, "has no array 'obs': it needs obs, action, next_obs, episode"),
        ({"action": np.zeros(4)}, "'action' of .* has 4 rows, and obs 5"),
        ({"next_obs": np.full((5, 3), np.nan)}, "'next_obs' of .* is not finite in row 0"),
        ({"obs": np.zeros((5, 3, 2))}, r"has obs of shape \(5, 3, 2\) and next_obs of \(5, 3\)"),
        ({"episode": np.array(list("abcde"))}, "'episode' of .* is <U1 of shape"),
    ],
    ids=["missing", "short", "nan", "shape", "text"],
)
def test_a_foreign_file_is_checked(tmp_path: Path, change: dict, words: str) -> None:
    arrays = {"obs": np.zeros((5, 3)), "next_obs": np.ones((5, 3)), "action": np.zeros(5), "episode": np.zeros(5)}
    arrays = {name: value for name, value in (arrays | change).items() if value is not None}
    np.savez(tmp_path / "log.npz", **arrays)
    with pytest.raises(ConfigError, match=words):
        Log.load(tmp_path / "log.npz")


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read .*: give the path of a \.npz file"):
        Log.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ConfigError, match=r"the log .*text\.npz"):
        Log.load(tmp_path / "text.npz")
    pickled = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "pickle.npz", obs=pickled, next_obs=pickled, action=pickled, episode=pickled)
    with pytest.raises(ConfigError, match=r"no \.npz of plain arrays"):
        Log.load(tmp_path / "pickle.npz")


def test_what_cannot_be_recorded_is_said() -> None:
    with pytest.raises(ConfigError, match="logs hold vectors of numbers"):
        record("jostle/ThemedCatch-v0", 10)
    with pytest.raises(ConfigError, match="steps=0 cannot be used"):
        record("jostle/Pendulum-v1", 0)
    with pytest.raises(ConfigError, match="other spaces than"):
        record("jostle/Pendulum-v1", 10, jostle.as_view(lambda obs: obs, env="jostle/CartPole-v1"))
