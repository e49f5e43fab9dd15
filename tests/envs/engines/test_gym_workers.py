"""Gymnasium in worker processes: the same numbers as in this process, and failures that name who failed."""

import multiprocessing
import os
import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from jostle.envs import make_env
from jostle.envs.engines import workers
from jostle.errors import ConfigError, EnvError


def make_fragile(index_that_fails: int, how: str, index_that_hangs: int = -1) -> Any:
    """A class of environments; the one whose seed is `index_that_fails` fails in its third step, another one hangs."""

    class Fragile(gym.Env[Any, Any]):
        observation_space = spaces.Dict({"x": spaces.Box(-1, 1, (2,), np.float64), "who": spaces.Discrete(9)})
        action_space = spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            self.who = self.who if seed is None else seed
            self.t = 0
            return self._see(), {"who": self.who}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.t += 1
            if self.who == index_that_fails and self.t == 3:
                if how == "raise":
                    raise KeyError("no such thing")
                if how == "exit":
                    os._exit(7)
                if how == "kill":
                    os.kill(os.getpid(), 9)
            if self.who == index_that_hangs and self.t == 3:
                time.sleep(60)
            return self._see(), 1.0, self.t == 4, False, {"t": self.t} if self.who == 3 else {}

        def close(self) -> None:
            if how == "hang in close":
                time.sleep(60)

        def _see(self) -> dict[str, Any]:
            return {"x": np.full(2, self.t / 10), "who": self.who}

    return Fragile


def test_workers_give_the_same_as_this_process() -> None:
    ours, theirs = make_env(make_fragile(-1, ""), 5), make_env(make_fragile(-1, ""), 5, workers=2)
    one, two = ours.reset(), theirs.reset()
    for _ in range(7):
        assert sorted(one[0]) == sorted(two[0]) == ["who", "x"]
        for key in one[0]:
            np.testing.assert_array_equal(one[0][key], two[0][key])
        assert two[0]["who"].tolist() == [0, 1, 2, 3, 4]
        for a, b in zip(one[1:-1], two[1:-1], strict=True):
            np.testing.assert_array_equal(a, b)
        assert set(one[-1]) == set(two[-1])
        for key in ("t", "_t", "who", "_who", "valid", "start", "_episode"):
            np.testing.assert_array_equal(one[-1].get(key), two[-1].get(key))
        one, two = ours.step(np.zeros(5, int)), theirs.step(np.zeros(5, int))
    theirs.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "environment 3 failed in step with KeyError: 'no such thing'"),
        ("exit", r"worker 1 \(environments 2 to 4\) died \(exit code 7\)"),
        ("kill", r"worker 1 \(environments 2 to 4\) died \(exit code -9, SIGKILL\)"),
    ],
)
def test_a_failing_worker_is_named_and_the_others_end(how: str, message: str) -> None:
    env = make_env(make_fragile(3, how), 5, workers=2)
    env.reset()
    env.step(np.zeros(5, int))
    env.step(np.zeros(5, int))
    since = time.perf_counter()
    with pytest.raises(EnvError, match=message):
        env.step(np.zeros(5, int))
    assert not multiprocessing.active_children()
    with pytest.raises(EnvError, match="ended: make the environment anew"):
        env.reset()
    env.close()
    assert time.perf_counter() - since < 10


def test_a_death_is_reported_while_another_worker_hangs() -> None:
    env = make_env(make_fragile(0, "exit", index_that_hangs=1), 2, workers=2)
    env.reset()
    env.step(np.zeros(2, int))
    env.step(np.zeros(2, int))
    since = time.perf_counter()
    with pytest.raises(EnvError, match=r"worker 0 \(environments 0 to 0\) died \(exit code 7\)"):
        env.step(np.zeros(2, int))
    assert time.perf_counter() - since < 4
    assert not multiprocessing.active_children()


def test_a_worker_that_hangs_in_close_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_PATIENCE", 0.2)
    env = make_env(make_fragile(0, "hang in close"), 1, workers=1)
    env.reset()
    env.close()
    assert not multiprocessing.active_children()


def test_a_failure_in_this_process_names_its_environment() -> None:
    env = make_env(make_fragile(1, "raise"), 3)
    env.reset()
    env.step(np.zeros(3, int))
    env.step(np.zeros(3, int))
    with pytest.raises(EnvError, match="environment 1 failed in step with KeyError"):
        env.step(np.zeros(3, int))


def test_what_workers_are_not_for() -> None:
    with pytest.raises(ConfigError, match="workers=3 is more than num_envs=2"):
        make_env("CartPole-v1", 2, workers=3)
    with pytest.raises(ConfigError, match="workers=1 is for Gymnasium environments"):
        make_env("CartPole-v1", 2, workers=1, engine="envpool")


def test_pictures_from_workers() -> None:
    env = make_env("CartPole-v1", 2, workers=1, render_mode="rgb_array")
    env.reset()
    assert env.render().shape == (2, 400, 600, 3)
    env.close()
