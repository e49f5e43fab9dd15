"""Gymnasium environments spread over worker processes, for environments that are slow in Python."""

import copy
import itertools
import math
import multiprocessing as mp
import os
import signal
import sys
import threading
import time
import warnings
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import CloudpickleWrapper

from jostle.envs.engines.gymnasium import in_process, require_same_spaces
from jostle.envs.engines.infos import join_infos, pack_infos, unpack_infos
from jostle.envs.engines.sync import RowInfos
from jostle.envs.sources import MakeOne, name_of
from jostle.errors import ConfigError, EnvError

_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)}
"""Those that the main process handles: it saves, and ends the workers. A terminal or a scheduler sends them to all."""
_PATIENCE = 5.0
"""Seconds that all workers together have to end by themselves before they are killed."""
_HURRY = 1.0
"""The same where the main process is being interrupted."""
_START = 60.0
"""Seconds more than the timeout that a process has to begin: it imports the main script first."""
_LAST = 2.0
"""Seconds that a worker whose main process died has to close its environments."""


def in_workers(
    source: str | MakeOne,
    num_envs: int,
    workers: int,
    render_mode: str | None,
    options: dict[str, Any],
    timeout: float,
    seed_global: bool = False,
) -> VectorEnv[Any, Any, Any]:
    """`num_envs` environments in `workers` processes; in this one, with a warning, where it may not start any."""
    if mp.current_process().daemon:
        warnings.warn(
            f"{name_of(source)}: this process is a daemonic one, which may not start workers: its environments are "
            "stepped in it (workers=0).",
            stacklevel=2,
        )
        return in_process(source, num_envs, render_mode, options, 0, seed_global)
    return WorkerVectorEnv(source, num_envs, workers, render_mode, options, timeout, seed_global=seed_global)


class WorkerVectorEnv(VectorEnv[Any, Any, Any]):
    """A vector environment whose rows are shared out over `workers` processes, each stepping its rows in turn.

    A worker that dies, or does not answer within `timeout` seconds (0: there is no limit), is named, the others are
    ended, and `EnvError` is raised. The processes are started fresh (never forked from this one, which has threads), so
    a script that makes one needs the usual ``if __name__ == "__main__":``. They end with this process, however it ends.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  # as in Gymnasium

    def __init__(
        self,
        source: str | MakeOne,
        num_envs: int,
        workers: int,
        render_mode: str | None,
        options: dict[str, Any],
        timeout: float = 0.0,
        *,
        seed_global: bool = False,
    ) -> None:
        if workers > num_envs:
            raise ConfigError(f"workers={workers} is more than num_envs={num_envs}: every worker needs an environment.")
        self.num_envs, self._id, self._timeout = num_envs, name_of(source), timeout
        sent = _sent(source, render_mode, options, seed_global)
        bounds = np.linspace(0, num_envs, workers + 1).astype(int).tolist()
        self._rows = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        context: Any = mp.get_context("forkserver" if sys.platform == "linux" else "spawn")
        if sys.platform == "linux":
            context.set_forkserver_preload([__name__])
        self._pipes: list[Connection[Any, Any]] = []
        self._processes: list[BaseProcess] = []
        # At the end of this process, which would wait for them, and where this object is dropped without being closed.
        Finalize(self, _kill_all, (self._processes,), exitpriority=0)
        try:
            for rows in self._rows:
                here, there = context.Pipe()
                self._pipes.append(here)
                arguments = (there, self._id, sent, rows.stop - rows.start, rows.start)
                process = context.Process(target=_serve, args=arguments, daemon=True)
                _start(process)
                there.close()
                self._processes.append(process)
        except BaseException:
            self._kill()
            raise
        self._collect("start", _START + timeout if timeout else 0.0)
        answers = self._ask("describe", [None] * workers)
        for rows, answer in zip(self._rows, answers, strict=True):
            try:
                require_same_spaces(self._id, 0, answers[0][:2], rows.start, answer[:2])
            except EnvError as error:
                self._give_up(error)
        self.single_observation_space, self.single_action_space, self.frame_skip = answers[0]

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset all environments; environment i is seeded with ``seed + i``, or with its own of a list."""
        asked = [
            (None if seed is None else seed + rows.start if isinstance(seed, int) else seed[rows], options)
            for rows in self._rows
        ]
        answers = self._ask("reset", asked)
        return _join([a[0] for a in answers]), self._join_infos([a[1] for a in answers])

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments."""
        answers = self._ask("step", [actions[rows] for rows in self._rows])
        obs, reward, terminated, truncated = (_join([a[k] for a in answers]) for k in range(4))
        return obs, reward, terminated, truncated, self._join_infos([a[4] for a in answers])

    def render(self) -> tuple[Any, ...]:
        """The picture of every environment."""
        return tuple(frame for answer in self._ask("render", [None] * len(self._rows)) for frame in answer)

    def close_extras(self, **kwargs: Any) -> None:
        """End the workers; those that do not end by themselves are killed."""
        for pipe in self._pipes:
            try:
                pipe.send(("close", None))
            except OSError:
                continue
        hurried = isinstance(sys.exc_info()[1], KeyboardInterrupt | SystemExit)
        until = time.monotonic() + (_HURRY if hurried else _PATIENCE)
        try:
            for process in self._processes:
                process.join(max(0.0, until - time.monotonic()))
        finally:  # also when a Ctrl-C ends the waiting
            self._kill()

    def _kill(self) -> None:
        self.closed = True
        _kill_all(self._processes)
        for pipe in self._pipes:
            pipe.close()

    def _ask(self, command: str, payloads: list[Any]) -> list[Any]:
        """Send one command to every worker, then collect the answers in order."""
        if self.closed:
            raise EnvError(f"{self._id}: the workers have ended: make the environment anew.")
        for worker, (pipe, payload) in enumerate(zip(self._pipes, payloads, strict=True)):
            try:
                pipe.send((command, payload))
            except OSError:
                self._give_up(self._death(worker, command))
        return self._collect(command, self._timeout)

    def _collect(self, command: str, timeout: float) -> list[Any]:
        """The answers of all workers, within `timeout` seconds together (0: no limit)."""
        answers = []
        try:
            left = timeout or math.inf
            for worker, (pipe, process) in enumerate(zip(self._pipes, self._processes, strict=True)):
                try:
                    # The end of the process wakes this up too; what it sent before is still read first.
                    while not wait([pipe, process.sentinel], min(1.0, left)):
                        left -= 1.0  # in slices, so that the time in which both sides are suspended does not count
                        if left <= 0:
                            self._give_up(self._late(worker, command, timeout))
                    if not pipe.poll():
                        raise EOFError
                    kind, answer = pipe.recv()
                except (EOFError, OSError):
                    self._give_up(self._death(worker, command))
                if kind != "answer":
                    self._give_up(kind(answer))
                answers.append(answer)
        except BaseException:  # a Ctrl-C: what is answered later would be taken for the answer to something else
            self._kill()
            raise
        return answers

    def _death(self, worker: int, command: str) -> EnvError:
        self._processes[worker].join(_PATIENCE)
        code = self._processes[worker].exitcode
        how = f"exit code {code}"
        if code is not None and code < 0:
            how += f", {signal.Signals(-code).name}"
        remedy = "run with workers=0 to see why, or with fewer workers if memory ran out."
        if command == "start":
            remedy = 'a script that makes workers needs `if __name__ == "__main__":` around what it does.'
        return EnvError(f"{self._named(worker)} died ({how}): {remedy}")

    def _late(self, worker: int, command: str, timeout: float) -> EnvError:
        what = {"start": "begin", "describe": "make its environments"}.get(command, f"answer a {command}")
        return EnvError(
            f"{self._named(worker)} did not {what} within {timeout:g} seconds and was ended: mend the environment that "
            "hangs, or allow more with worker_timeout (0: no limit)."
        )

    def _named(self, worker: int) -> str:
        rows = self._rows[worker]
        return f"{self._id}: worker {worker} (environments {rows.start} to {rows.stop - 1})"

    def _give_up(self, error: Exception) -> None:
        self._kill()  # the others may be deep in a step
        raise error

    def _join_infos(self, infos: list[dict[int, Any]]) -> dict[str, Any]:
        told = {
            rows.start + i: told
            for rows, packed in zip(self._rows, infos, strict=True)
            if packed
            for i, told in unpack_infos(packed).items()
        }
        return join_infos(told, self.num_envs) if told else {}


def _start(process: BaseProcess) -> None:
    """Start a worker, and the fork server before the first one, safe from the signals that are the main process's."""
    if sys.platform == "win32":
        process.start()
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill_all(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.join(_PATIENCE)


def _sent(source: str | MakeOne, render_mode: str | None, options: dict[str, Any], seed_global: bool) -> bytes:
    """What the workers make environments from, with what this process has registered under the id.

    Raises:
        ConfigError: it cannot be sent.
    """
    specs = [] if callable(source) else [_whole(spec) for spec in gym.registry.values() if _may_mean(source, spec)]
    whole: Any = (source, render_mode, options, seed_global, specs)
    try:
        return bytes(ForkingPickler.dumps(CloudpickleWrapper(whole)))
    except Exception as error:
        raise ConfigError(
            f"{name_of(source)} cannot be sent to worker processes ({type(error).__name__}: {error}): let it hold no "
            "open files, locks or the like, or use workers=0."
        ) from error


def _may_mean(env_id: str, spec: EnvSpec) -> bool:
    name = env_id.rpartition(":")[2]
    return spec.id == name or spec.id.rpartition("-v")[0] == name


def _whole(spec: EnvSpec) -> EnvSpec:
    """The spec with what the main script defines in place of its name, which means nothing in another process."""
    entry = spec.entry_point
    if isinstance(entry, str) and entry.startswith("__main__:"):
        spec = copy.copy(spec)
        spec.entry_point = cast(Any, load_env_creator(entry))
    return spec


def _join(parts: list[Any]) -> Any:
    """The rows of all workers in one array, or in one dict of arrays."""
    if isinstance(parts[0], dict):
        return {key: _join([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)


def _serve(pipe: "Connection[Any, Any]", env_id: str, sent: bytes, num_envs: int, first: int) -> None:
    """The worker's side: makes its environments and answers until the pipe closes."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which programs started by an environment would inherit
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    env: Any = None
    pipe.send(("answer", None))
    while True:
        try:
            command, argument = pipe.recv()
        except (EOFError, OSError):
            break
        if command == "close":
            break
        try:
            if env is None:
                env = _made(sent, num_envs, first)
            pipe.send(("answer", _answer(env, command, argument)))
        except (BrokenPipeError, ConnectionResetError):
            break
        except (ConfigError, EnvError) as error:
            pipe.send((type(error), str(error)))
        except Exception as error:
            text = " ".join(str(error).split())
            pipe.send((EnvError, f"{env_id}: a worker failed in {command} with {type(error).__name__}: {text}"))
    if env is not None:
        env.close()


def _end_with_parent() -> None:
    """End this process soon after its main process, also when it is deep in a step and will not look at its pipe."""
    parent = mp.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    time.sleep(_LAST)
    os._exit(1)


def _made(sent: bytes, num_envs: int, first: int) -> Any:
    source, render_mode, options, seed_global, specs = ForkingPickler.loads(sent).fn
    for spec in specs:
        gym.registry[spec.id] = spec
    return in_process(source, num_envs, render_mode, options, first, seed_global, RowInfos)


def _answer(env: Any, command: str, argument: Any) -> Any:
    if command == "describe":
        return env.single_observation_space, env.single_action_space, env.frame_skip
    if command == "reset":
        obs, told = env.reset(seed=argument[0], options=argument[1])
        return obs, pack_infos(told)
    if command == "step":
        *rest, told = env.step(argument)
        return *rest, pack_infos(told)
    return env.render()
