"""How workers begin and end: what they are sent, how long they may take, and that none outlives its main process."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import jostle
from jostle.envs import make_env
from jostle.envs.engines import workers
from jostle.envs.make import capped
from jostle.errors import ConfigError, EnvError


def make_slow(where: str = "", seconds: float = 60.0) -> Any:
    """A class of environments of which number 1 takes its time in one place."""

    class Slow(gym.Env[Any, Any]):
        observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)
        made = 0

        def __init__(self, render_mode: str | None = None) -> None:
            Slow.made += 1
            if where == "make" and Slow.made == 2:
                time.sleep(seconds)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self.number = self.np_random_seed
            if where == "reset" and self.number == 1:
                time.sleep(seconds)
            return np.zeros(2, np.float32), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            if where == "step" and self.number == 1:
                time.sleep(seconds)
            return np.zeros(2, np.float32), 1.0, False, False, {}

        def close(self) -> None:
            if where == "close":
                time.sleep(seconds)

    return Slow


@pytest.mark.parametrize(
    ("where", "what"),
    [("make", "make its environments"), ("reset", "answer a reset"), ("step", "answer a step")],
)
def test_what_hangs_is_ended_and_named(where: str, what: str) -> None:
    processes, first = (1, 0) if where == "make" else (2, 1)
    late = rf"Slow: worker {first} \(environments {first} to 1\) did not {what} within 1 seconds .* worker_timeout"
    with pytest.raises(EnvError, match=late):  # noqa: PT012
        env = make_env(make_slow(where), 2, workers=processes, worker_timeout=1)
        env.reset()
        env.step(np.zeros(2, int))
    assert not multiprocessing.active_children()


def test_who_answers_in_time_may_be_slow_and_zero_is_no_limit() -> None:
    env = make_env(make_slow("step", 0.4), 2, workers=2, worker_timeout=np.int64(0))
    env.reset()
    assert env.step(np.zeros(2, int))[1].tolist() == [1, 1]
    assert env.made_with == {"workers": 2, "worker_timeout": 0}
    env.close()
    for wrong in (-1, float("inf"), float("nan"), "1", True):
        with pytest.raises(ConfigError, match=r"worker_timeout=.* cannot be used"):
            make_env("CartPole-v1", 2, workers=2, worker_timeout=wrong)  # type: ignore[arg-type]


def test_an_interrupted_step_ends_all_workers_at_once() -> None:
    env = make_env(make_slow("step"), 2, workers=2)
    env.reset()
    since = time.monotonic()
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        env.step(np.zeros(2, int))
    assert not multiprocessing.active_children()
    with pytest.raises(EnvError, match="call reset"):
        env.step(np.zeros(2, int))
    env.close()
    assert time.monotonic() - since < 2


def test_all_that_hang_in_close_share_one_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_PATIENCE", 0.6)
    env = make_env(make_slow("close"), 4, workers=4)
    env.reset()
    since = time.monotonic()
    env.close()
    assert 0.5 < time.monotonic() - since < 2
    assert not multiprocessing.active_children()


def test_close_is_in_a_hurry_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_HURRY", 0.1)
    env = make_env(make_slow("close"), 2, workers=2)
    env.reset()
    since = time.monotonic()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        try:
            raise KeyboardInterrupt
        finally:
            env.close()
    assert time.monotonic() - since < 2


def test_signals_are_the_main_process_s() -> None:
    env = make_env(make_slow(), 2, workers=2)
    env.reset()
    for process in multiprocessing.active_children():
        assert process.pid is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            os.kill(process.pid, number)
    assert env.step(np.zeros(2, int))[1].tolist() == [1, 1]
    env.close()
    assert not multiprocessing.active_children()


def test_what_this_process_registered_is_known_to_workers() -> None:
    slow = make_slow()
    names = {"OfAClass-v0": slow, "OfALambda-v0": lambda render_mode=None: slow()}
    for name, entry in names.items():
        gym.register(name, entry_point=entry)
    try:
        for name in names:
            env = make_env(name, 2, workers=1)
            env.reset()
            env.close()
    finally:
        for name in names:
            del gym.registry[name]


def test_what_cannot_be_sent_is_a_sentence() -> None:
    lock = threading.Lock()

    def locked() -> Any:
        with lock:
            return make_slow()()

    with pytest.raises(ConfigError, match=r"locked cannot be sent to worker processes .*workers=0"):
        make_env(locked, 2, workers=2)


def test_a_daemonic_process_steps_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match=r"CartPole-v1: .*daemonic .*\(workers=0\)"):
        env = make_env("CartPole-v1", 2, workers=2)
    env.reset()
    env.close()


def test_few_environments_have_few_workers() -> None:
    assert capped({"workers": np.int64(3), "size": 1}, 2) == {"workers": 2, "size": 1}
    assert capped({"workers": 2}, 2) == {"workers": 2}
    assert capped({}, 2) == {}
    agent = jostle.PPO("CartPole-v1", num_envs=3, num_steps=8, hidden=(8,), env_options={"workers": 3})
    try:
        assert len(jostle.evaluate(agent, 1, max_steps=600).episodes) == 1
    finally:
        agent.env.close()


TRAINER = """
import sys, time
import gymnasium as gym, numpy as np
class Stuck(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Discrete(2)
    def __init__(self, render_mode=None): pass
    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}
    def step(self, action):
        while True: pass
if __name__ == "__main__":
    from jostle.envs import make_env
    gym.register("InTheGuard-v0", entry_point="__main__:Stuck")
    env = make_env("InTheGuard-v0", 2, workers=2)
    env.reset()
    print("begun", flush=True)
    env.step(np.zeros(2, int))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_none_outlives_a_killed_trainer(tmp_path: Path) -> None:
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    trainer = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "begun\n"
    assert len(session(trainer.pid)) >= 4, "the trainer, the fork server and two workers"
    trainer.kill()
    trainer.wait()
    until = time.monotonic() + 20
    while session(trainer.pid) and time.monotonic() < until:
        time.sleep(0.1)
    left = session(trainer.pid)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
    trainer.stdout.close()


def session(leader: int) -> list[int]:
    """The processes of a session that are no zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(of) == leader and state != "Z":
            found.append(int(entry.name))
    return found
