"""What every agent has, whatever its algorithm: environments, a carry, counters, ways in and out of a folder."""

import contextlib
import math
import shlex
import shutil
import sys
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Self

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from jostle.algo.coverage import Coverage
from jostle.algo.settings import Settings
from jostle.algo.training import Schedule, train
from jostle.envs import JostleEnv, make_env
from jostle.envs.later import LaterEnv, facts_of, made
from jostle.errors import ConfigError
from jostle.nn.encoders import is_picture_like
from jostle.nn.inference import Actor, Inference
from jostle.store import Run, save_checkpoint

_LARGE = 16 * 16


class Agent(ABC):
    """An agent in its environments. Subclasses give the loop's body (`advance`), acting, metrics and state.

    Attributes:
        env: the vector environment.
        steps: environment steps so far: real transitions, summed over all environments.
        updates: optimiser steps so far.
        returns: undiscounted returns of the last hundred finished episodes.
        metrics: what was logged last.
        coverage: what the training has seen.
    """

    algorithm: ClassVar[str]
    finite: ClassVar[tuple[str, ...]] = ("model",)
    """Parts of the state that are not saved with NaN or infinities in them."""
    settings: ClassVar[type[Settings]]
    config: Any
    device: torch.device
    network: nn.Module

    def __init__(
        self,
        env: str | JostleEnv | Callable[[], gym.Env[Any, Any]],
        *,
        seed: int,
        num_envs: int,
        env_options: dict[str, Any] | None,
    ) -> None:
        if seed < 0:
            raise ConfigError(f"seed={seed} cannot be used: it must be 0 or more.")
        if isinstance(env, JostleEnv):
            if env_options:
                raise ConfigError(
                    f"env_options={env_options} come too late: {env.id} is made already; give them to make_env."
                )
            self.env, self.env_options = env, dict(env.made_with)
        else:
            self.env = make_env(env, num_envs, seed=seed, **(env_options or {}))
            self.env_options = dict(env_options or {})
        self._owns_env = not isinstance(env, JostleEnv)
        self.env_source = self.env.source
        self.seed = seed
        self.num_envs = self.env.num_envs
        self.steps = 0
        self.updates = 0
        self.returns: deque[float] = deque(maxlen=100)
        self.episodes = 0
        self.metrics: dict[str, float] = {}
        self.planned = 0
        """Steps at which the training under way will end, along which schedules go; 0: not known."""
        self._predictor: tuple[Inference, int, Actor, int] | None = None
        self._finished: list[tuple[float, int]] = []
        self.coverage = Coverage(self.env)
        self._obs: Any = None
        self._start: np.ndarray[Any, np.dtype[np.bool_]] = np.ones(self.num_envs, np.bool_)
        self._moves = 0
        self._pending: dict[str, Any] | None = None
        """What was saved of environments that are not made yet."""
        if isinstance(self.env, LaterEnv):
            self.env.then = self._env_was_made
        else:
            self._reset()

    @property
    def sees_pictures(self) -> bool:
        """The observations hold images or grids, or stacks of them."""
        return any(len(s.shape) >= 3 or is_picture_like(s) for s in self._boxes())

    @property
    def sees_large_pictures(self) -> bool:
        """The observations hold so many numbers that a minibatch does not fit into a processor's caches."""
        large = [s for s in self._boxes() if math.prod(s.shape) >= _LARGE]
        return any(len(s.shape) >= 3 or is_picture_like(s) for s in large)

    def _boxes(self) -> list[gym.spaces.Box]:
        space = self.env.single_observation_space
        inner = space.spaces.values() if isinstance(space, gym.spaces.Dict) else [space]
        return [s for s in inner if isinstance(s, gym.spaces.Box)]

    @abstractmethod
    def advance(self) -> None:
        """The shortest stretch of training after which the agent can be saved."""

    @abstractmethod
    def drain_metrics(self) -> dict[str, float]:
        """Metrics since the last call."""

    @abstractmethod
    def storage(self) -> dict[str, str]:
        """What a person is told of the agent's memory and way of learning before it trains: a name and a line each."""

    @abstractmethod
    def state_dict(self, *, replay: bool = True) -> dict[str, Any]:
        """Everything that the next step reads, as nested plain dicts."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Restore a state; returns why going on from it differs from never having stopped (empty: it does not)."""

    @abstractmethod
    def actor(self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False) -> Actor:
        """A frozen copy of the agent for evaluation, under its own draws of noise.

        Args:
            noise: ``mean``, ``sampled`` or ``mc:M``.
            rows: environments that it will act in together.
            seed: seed of its draws.
            sample: sample actions from the policy; otherwise the likeliest or best is taken.
        """

    def frozen(self) -> dict[str, Tensor]:
        """Parameters beside the policy's that nothing may change, such as the targets of bonuses."""
        return {}

    def predict(self, obs: Any, *, noise: str = "mean") -> tuple[np.ndarray[Any, np.dtype[Any]] | int, None]:
        """The likeliest or best actions for one observation or a batch of them.

        Args:
            obs: an observation of the environment's space, or a batch with a leading axis.
            noise: ``mean``, ``sampled`` or ``mc:M``.

        Returns:
            ``(action, None)``: the action of one observation (an int where actions are Discrete), or those of a batch.
            A recurrent agent takes each observation for the first of an episode; use `actor`, which remembers.

        Raises:
            ConfigError: observations of another shape, none at all, or ones that are not finite.
        """
        inference = Inference.parse(noise)
        batch, single = self._batched(obs)
        parts = list(batch.values()) if isinstance(batch, dict) else [batch]
        if not all(np.isfinite(part).all() for part in parts):
            raise ConfigError("the observation holds NaN or infinite numbers: no action can be told from it.")
        rows = len(parts[0])
        if not rows:
            raise ConfigError("the batch holds no observation: give at least one.")
        if self._predictor is None or self._predictor[:2] != (inference, rows):
            self._predictor = inference, rows, self.actor(inference, rows=rows, seed=self.seed), self.updates
        elif self._predictor[3] != self.updates:
            self._predictor[2].load(self.network)
            self._predictor = *self._predictor[:3], self.updates
        action = self._predictor[2].act(batch, np.ones(rows, np.bool_))
        if not single:
            return action, None
        return (int(action[0]) if action.ndim == 1 else action[0]), None

    # ---- training ----

    def learn(
        self,
        steps: int,
        *,
        callback: Callable[[Self], bool | None] | None = None,
        run_dir: str | Path | None = None,
        progress: bool = False,
        log_every: int | None = None,
        checkpoint_every: int | None = None,
        save_replay: bool = True,
    ) -> Self:
        """Train for ``steps`` more environment steps (rounded up to the next multiple of what one iteration takes).

        Args:
            steps: environment steps, summed over all environments.
            callback: called with the agent after every iteration; training ends when it returns False.
            run_dir: a new folder for config, metrics and checkpoints; None keeps nothing.
            progress: show a progress bar (on a terminal).
            log_every: steps between two lines of metrics; None: a hundredth of the training, 1,000 at least.
            checkpoint_every: steps between two checkpoints; None: a tenth of the training, 10,000 at least.
            save_replay: checkpoints hold the replay; without it a resumed run starts with an empty one.

        Raises:
            ConfigError: steps that are no positive number.
            CheckpointError: the folder holds a run already, or cannot be written.
            EnvError: the environment failed.
        """
        schedule = Schedule.of(
            steps, start=self.steps, log_every=log_every, checkpoint_every=checkpoint_every, save_replay=save_replay
        )
        made(self.env)  # what cannot be made is said before there is a folder
        if run_dir is None:
            train(self, schedule, callback=callback, progress=progress)
            return self
        config = self.description() | {"training": schedule.as_dict()}
        with Run.create(Path(run_dir), config, {"seed": self.seed, "command": command()}) as run:
            run.save_initial({"model": self.network.state_dict(), "frozen": self.frozen()})
            train(self, schedule, run=run, callback=callback, progress=progress)
        return self

    def save(self, path: str | Path, *, replay: bool = False) -> Path:
        """Write the agent into a new folder that `jostle.load` reads. With ``replay`` training can go on exactly.

        Raises:
            CheckpointError: the folder exists, cannot be written, or the weights are not finite.
        """
        return save_checkpoint(Path(path), self.state_dict(replay=replay), self.meta(), finite=self.finite)

    def description(self) -> dict[str, Any]:
        """What it takes to build this agent again, as plain data."""
        return {
            "jostle": version("jostle"),
            "algorithm": self.algorithm,
            "env": self.env.id,
            "num_envs": self.num_envs,
            "env_options": self.env_options,
            "seed": self.seed,
            "config": self.config.as_dict(),
        }

    def meta(self) -> dict[str, Any]:
        """What stands beside a checkpoint: the description, whether the environment's id is enough to make it, and what
        must be known of it to act without it."""
        by_function = not isinstance(self.env_source, str)
        facts = {} if (known := facts_of(self.env)) is None else {"env_facts": known}
        return self.description() | {"made_by_function": by_function, "steps": self.steps} | facts

    # ---- shared by the subclasses ----

    def _reset(self, seed: int | None = None) -> None:
        """Begin new episodes everywhere."""
        self._obs, info = self.env.reset(seed=seed)
        self._start = info["start"]
        self._moves = self.env.moves
        self.coverage.begin(self._obs, info)

    def _step(self, action: np.ndarray[Any, Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        result = self.env.step(action)
        self._moves = self.env.moves
        self.coverage.see(result[0], result[4])
        return result

    @property
    def _was_moved(self) -> bool:
        """Somebody else has reset or stepped the environments, or the last step failed: `_obs` is out of date."""
        return self.env.moves != self._moves

    def _record_episodes(self, info: dict[str, Any]) -> None:
        ended = info.get("_episode")
        if ended is None:
            return
        episode = info["episode"]
        for i in np.flatnonzero(ended):
            self._finished.append((float(episode["r"][i]), int(episode["l"][i])))
            self.returns.append(float(episode["r"][i]))
            self.episodes += 1

    def _drain_episodes(self) -> dict[str, float]:
        out: dict[str, float] = {"charts/episodes": self.episodes}
        if self._finished:
            returns, lengths = zip(*self._finished, strict=True)
            out["charts/episodic_return"] = float(np.mean(returns))
            out["charts/episodic_length"] = float(np.mean(lengths))
            self._finished.clear()
        return out | self.coverage.drain_metrics()

    def _batched(self, obs: Any) -> tuple[Any, bool]:
        """The observations as a batch, and whether there was only one without a leading axis."""
        space = self.env.single_observation_space
        if isinstance(space, gym.spaces.Dict):
            if not isinstance(obs, dict) or not set(space.spaces) <= set(obs):
                raise ConfigError(f"the observation must be a dictionary with the keys {sorted(space.spaces)}.")
            arrays = {key: np.asarray(obs[key]) for key in space.spaces}
            single = all(arrays[key].shape == (s.shape or ()) for key, s in space.spaces.items())
            good = all(arrays[key].shape[1 - single :] == (s.shape or ()) for key, s in space.spaces.items())
            if not good:
                shapes = {key: s.shape for key, s in space.spaces.items()}
                raise ConfigError(f"observations of shapes {shapes} are expected, with or without a leading axis.")
            return ({key: a[None] for key, a in arrays.items()} if single else arrays), single
        array, shape = np.asarray(obs), space.shape or ()
        if space.dtype is not None and array.dtype != space.dtype and np.issubdtype(space.dtype, np.integer):
            if not np.issubdtype(array.dtype, np.integer):
                raise ConfigError(f"observations of dtype {space.dtype} are expected, not {array.dtype}.")
            array = array.astype(space.dtype)
        if array.shape == shape:
            return array[None], True
        if array.shape[1:] == shape and array.ndim == len(shape) + 1:
            return array, False
        raise ConfigError(f"observations of shape {shape} or (B, …) are expected, not {array.shape}.")

    def _common_state(self) -> dict[str, Any]:
        return {
            **self._env_state(),
            "progress": {
                "steps": self.steps,
                "updates": self.updates,
                "episodes": self.episodes,
                "returns": list(self.returns),
                "finished": [list(f) for f in self._finished],
            },
        }

    def _env_state(self) -> dict[str, Any]:
        if self._pending is not None:  # as it was loaded
            return self._pending
        return {
            "env": self.env.state_dict() if self.env.can_snapshot else None,
            "carry": {"obs": self._obs, "start": self._start, "moved": self._was_moved},
            "coverage": self.coverage.state_dict(),
        }

    def _load_common(self, state: dict[str, Any]) -> list[str]:
        """Restore what all agents share. Environments without a snapshot have been reset: new episodes begin."""
        progress = state["progress"]
        self._predictor = None
        self.returns.clear()
        self.steps, self.updates, self.episodes = progress["steps"], progress["updates"], progress["episodes"]
        self.returns.extend(progress["returns"])
        self._finished = [(float(r), int(n)) for r, n in progress["finished"]]
        parts = ("env", "carry", "coverage")
        saved: dict[str, Any] = {name: state[name] for name in parts if name in state}
        anew = state["env"] is None or not self.env.can_snapshot
        if isinstance(self.env, LaterEnv):
            self._pending, self._start = saved, np.ones(self.num_envs, np.bool_) if anew else state["carry"]["start"]
        else:
            self._restore(saved)
        return [f"{self.env.id} cannot be saved in the middle of an episode: new episodes begin"] if anew else []

    def _restore(self, saved: dict[str, Any]) -> None:
        """The environments, the carry and what has been seen, as they were saved."""
        if "coverage" in saved:  # older checkpoints have none
            self.coverage.load_state_dict(saved["coverage"])
        if saved["env"] is None or not self.env.can_snapshot:
            # A seed of its own, or the same episodes would come again.
            self._reset(int(np.random.default_rng([self.seed, self.steps]).integers(2**30)))
            return
        self.env.load_state_dict(saved["env"])
        self._obs, self._start = saved["carry"]["obs"], saved["carry"]["start"]
        self._moves = self.env.moves - int(saved["carry"].get("moved", False))

    def _env_was_made(self) -> None:
        """Environments that were only known when the agent was loaded are here: bring them to where they were."""
        self._reset()
        if self._pending is not None:
            self._restore(self._pending)
        self._pending = None


def command() -> str:
    """The command line that runs, without the path of its program."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generator seeded inside, untouched outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore an optimiser's state in the memory layout of its parameters.

    Fused optimisers walk through parameter and state by address: with a channels-last weight and a contiguous moment
    they would silently pair the wrong elements.
    """
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def setup_device(name: str) -> torch.device:
    """The device of a setting.

    Raises:
        ConfigError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device '{name}' is not to be had here; use device='cpu' or 'auto'.") from error
    return device


def compiled(network: Callable[..., Any], wanted: bool, device: torch.device) -> Callable[..., Any]:
    """A network, or a method of one, compiled; or as it is where that is not wanted or a CPU lacks the compiler."""
    if not wanted:
        return network
    if device.type == "cpu" and not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        warnings.warn("compile=True needs a C++ compiler and none was found: running eagerly.", stacklevel=2)
        return network
    return torch.compile(network)


def in_bytes(count: float) -> str:
    """A number of bytes for people.

    >>> in_bytes(7_056_000_000)
    '7.06 GB'
    """
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
