"""Gymnasium environments spread over worker processes, for environments that are slow in Python."""

import itertools
import multiprocessing as mp
import signal
import sys
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import CloudpickleWrapper

from jostle.envs.engines.gymnasium import in_process, require_same_spaces
from jostle.envs.sources import MakeOne, name_of
from jostle.errors import ConfigError, EnvError

_PATIENCE = 5.0
"""Seconds that a worker has to end by itself before it is killed."""


class WorkerVectorEnv(VectorEnv[Any, Any, Any]):
    """A vector environment whose rows are shared out over `workers` processes, each stepping its rows in turn.

    A worker that dies is named with its exit code, the others are ended, and `EnvError` is raised. The processes are
    started fresh (never forked from this one, which has threads), so a script that makes one needs the usual
    ``if __name__ == "__main__":``.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  # as in Gymnasium

    def __init__(
        self,
        source: str | MakeOne,
        num_envs: int,
        workers: int,
        render_mode: str | None,
        options: dict[str, Any],
        *,
        seed_global: bool = False,
    ) -> None:
        if workers > num_envs:
            raise ConfigError(f"workers={workers} is more than num_envs={num_envs}: every worker needs an environment.")
        self.num_envs, self._id = num_envs, name_of(source)
        bounds = np.linspace(0, num_envs, workers + 1).astype(int).tolist()
        self._rows = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        context: Any = mp.get_context("forkserver" if sys.platform == "linux" else "spawn")
        if sys.platform == "linux":
            context.set_forkserver_preload([__name__])
        self._pipes: list[Connection[Any, Any]] = []
        self._processes: list[BaseProcess] = []
        for rows in self._rows:
            here, there = context.Pipe()
            arguments: Any = (source, rows.stop - rows.start, render_mode, options, rows.start, seed_global)
            process = context.Process(target=_serve, args=(there, CloudpickleWrapper(arguments)), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)
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
        """Reset all environments; environment i is seeded with ``seed + i``."""
        assert seed is None or isinstance(seed, int)
        asked = [(None if seed is None else seed + rows.start, options) for rows in self._rows]
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
        for process in self._processes:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
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
                self._give_up(self._death(worker))
        answers = []
        for worker, (pipe, process) in enumerate(zip(self._pipes, self._processes, strict=True)):
            try:
                # The end of the process wakes this up too; what it sent before is still read first.
                wait([pipe, process.sentinel])
                if not pipe.poll():
                    raise EOFError
                kind, answer = pipe.recv()
            except (EOFError, OSError):
                self._give_up(self._death(worker))
            if kind != "answer":
                self._give_up(kind(answer))
            answers.append(answer)
        return answers

    def _death(self, worker: int) -> EnvError:
        self._processes[worker].join(_PATIENCE)
        code, rows = self._processes[worker].exitcode, self._rows[worker]
        how = f"exit code {code}"
        if code is not None and code < 0:
            how += f", {signal.Signals(-code).name}"
        return EnvError(
            f"{self._id}: worker {worker} (environments {rows.start} to {rows.stop - 1}) died ({how}): run with "
            "workers=0 to see why, or with fewer workers if memory ran out."
        )

    def _give_up(self, error: Exception) -> None:
        for process in self._processes:
            process.kill()  # the others may be deep in a step
        self.close()
        raise error

    def _join_infos(self, infos: list[dict[str, Any]]) -> dict[str, Any]:
        joined: dict[str, Any] = {}
        for key in dict.fromkeys(key for info in infos for key in info if not key.startswith("_")):
            joined[key], joined[f"_{key}"] = self._join_info(key, infos)
        return joined

    def _join_info(self, key: str, infos: list[dict[str, Any]]) -> tuple[Any, np.ndarray]:
        mask = np.zeros(self.num_envs, np.bool_)
        for rows, info in zip(self._rows, infos, strict=True):
            if key in info:
                mask[rows] = info.get(f"_{key}", True)
        example = next(info[key] for info in infos if key in info)
        if isinstance(example, dict):
            return self._join_infos([info.get(key, {}) for info in infos]), mask
        values = np.zeros((self.num_envs, *example.shape[1:]), example.dtype)
        for rows, info in zip(self._rows, infos, strict=True):
            if key in info:
                values[rows] = info[key]
        return values, mask


def _join(parts: list[Any]) -> Any:
    """The rows of all workers in one array, or in one dict of arrays."""
    if isinstance(parts[0], dict):
        return {key: _join([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)


def _serve(pipe: "Connection[Any, Any]", wrapped: CloudpickleWrapper) -> None:
    """The worker's side: makes its environments and answers until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle; it ends the workers
    arguments: Any = wrapped.fn
    env: Any = None
    while True:
        try:
            command, argument = pipe.recv()
        except (EOFError, OSError):
            break
        if command == "close":
            break
        try:
            if env is None:
                env = in_process(*arguments)
            pipe.send(("answer", _answer(env, command, argument)))
        except (ConfigError, EnvError) as error:
            pipe.send((type(error), str(error)))
        except Exception as error:
            pipe.send((EnvError, f"{arguments[0]}: a worker failed in {command} with {type(error).__name__}: {error}"))
    if env is not None:
        env.close()


def _answer(env: Any, command: str, argument: Any) -> Any:
    if command == "describe":
        return env.single_observation_space, env.single_action_space, env.frame_skip
    if command == "reset":
        return env.reset(seed=argument[0], options=argument[1])
    if command == "step":
        return env.step(argument)
    return env.render()
