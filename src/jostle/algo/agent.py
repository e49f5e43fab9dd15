"""What every agent has, whatever its algorithm: environments, a carry, counters, ways in and out of a folder."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from jostle.algo.coverage import Coverage
from jostle.algo.evaluating import Env, Evaluations, name_of_eval
from jostle.algo.logged import Logged, finite_number
from jostle.algo.predictor import Predictor
from jostle.algo.schedule import Schedule
from jostle.algo.settings import Settings
from jostle.algo.stretches import command
from jostle.algo.training import Callback, mean_return, train
from jostle.envs import JostleEnv, make_env
from jostle.envs.domain import DOMAIN_OPTIONS, DomainDriver
from jostle.envs.later import LaterEnv, facts_of, made
from jostle.envs.sources import EnvSource, rows_of
from jostle.errors import ConfigError
from jostle.nn.inference import Actor, Inference, Mask
from jostle.nn.pictures import is_picture_like
from jostle.plain import as_count, plain
from jostle.store import Run, save_checkpoint, working_commit

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
    gives_feedback: ClassVar[bool] = False
    """It tells the schedule of the domain what it knows of levels."""
    settings: ClassVar[type[Settings]]
    config: Any
    device: torch.device
    network: nn.Module

    def __init__(
        self,
        env: EnvSource,
        *,
        seed: int,
        num_envs: int | None,
        env_options: dict[str, Any] | None,
    ) -> None:
        seed, num_envs, env_options = plain(seed), as_count(num_envs), plain(env_options)
        if type(seed) is not int:
            raise ConfigError(f"seed={seed!r} cannot be used: it must be a whole number.")
        if seed < 0:
            raise ConfigError(f"seed={seed} cannot be used: it must be 0 or more.")
        if isinstance(env, JostleEnv):
            if env_options:
                raise ConfigError(
                    f"env_options={env_options} come too late: {env.id} is made already; give them to make_env."
                )
            self.env, self.env_options = env, dict(env.made_with)
        else:
            count = rows_of(env, 8) if num_envs is None else num_envs
            self.env = make_env(env, count, seed=seed, **(env_options or {}))
            made_with = {k: v for k, v in self.env.made_with.items() if k in DOMAIN_OPTIONS}
            self.env_options = {k: v for k, v in (env_options or {}).items() if k not in DOMAIN_OPTIONS} | made_with
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
        self.planned_from = 0
        """Steps at which these schedules began."""
        self._rate: float | None = None
        self._logged = Logged()
        self._predictor = Predictor(self)
        self._finished: list[tuple[float, int]] = []
        self.coverage = Coverage(self.env)
        self._obs: Any = None
        self._start: np.ndarray[Any, np.dtype[np.bool_]] = np.ones(self.num_envs, np.bool_)
        self._mask: Mask | None = None
        """The legal actions behind `_obs`; None where environments tell none."""
        self._moves = 0
        self._pending: dict[str, Any] | None = None
        """What was saved of environments that are not made yet."""
        if isinstance(self.env, LaterEnv):
            self.env.then = self._env_was_made
        else:
            self._check_schedule()
            self._reset()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Raises: ConfigError, for copies and pickles: environments and generators cannot be in two places."""
        raise ConfigError(
            f"{type(self).__name__} cannot be copied or pickled, for its environments and generators would be too: "
            "save it and load it where it is needed, jostle.load(agent.save(path))."
        )

    @property
    def sees_pictures(self) -> bool:
        """The observations hold images or grids, or stacks of them."""
        return any(len(s.shape) >= 3 or is_picture_like(s, self.config.obs_scaling) for s in self._boxes())

    @property
    def sees_large_pictures(self) -> bool:
        """The observations hold so many numbers that a minibatch does not fit into a processor's caches."""
        large = [s for s in self._boxes() if math.prod(s.shape) >= _LARGE]
        return any(len(s.shape) >= 3 or is_picture_like(s, self.config.obs_scaling) for s in large)

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

    def predict(
        self, obs: Any, *, noise: str = "mean", action_mask: Any = None
    ) -> tuple[np.ndarray[Any, np.dtype[Any]] | int, None]:
        """The likeliest or best actions for one observation or a batch of them.

        Args:
            obs: an observation of the environment's space, or a batch with a leading axis.
            noise: ``mean``, ``sampled`` or ``mc:M``, under fresh draws at every call; ``fixed``: under one for ever.
            action_mask: the legal actions, as the environment tells them for one observation, or a batch; None: all.

        Returns:
            ``(action, None)``: the action of one observation (an int where actions are Discrete), or those of a batch.
            A recurrent agent takes each observation for the first of an episode; use `actor`, which remembers.

        Raises:
            ConfigError: observations of another shape, none at all, or ones that are not finite; a mask that does not
                fit, or without a legal action.
        """
        return self._predictor.predict(obs, noise, action_mask)

    # ---- training ----

    @property
    def left(self) -> float:
        """Share of the planned training still to come, from 1 to 0, along which schedules go; 1 where none is planned.

        The plan runs from the first step of all to the end of the training under way. A second `learn` lengthens it:
        schedules go on towards the new end.
        """
        return self.left_after(self.steps)

    def left_after(self, steps: int) -> float:
        """The same after a number of environment steps."""
        if not self.planned:
            return 1.0
        return max(0.0, 1 - (steps - self.planned_from) / max(1, self.planned - self.planned_from))

    def log(self, name: str, value: Any) -> None:
        """Log a number from a callback: the mean of what was logged since stands in the next line of metrics.

        Args:
            name: such as ``mine/score``; not one of jostle's own.
            value: a finite number, of Python, NumPy or torch.

        Raises:
            ConfigError: another value, or a name that cannot be used.
        """
        self._logged.add(name, value)

    def drain_logged(self, own: dict[str, float]) -> dict[str, float]:
        """What was logged since the last call, by name; ``own`` is what jostle logs with it.

        Raises:
            ConfigError: a name stands in both.
        """
        return self._logged.drain(own)

    def set_learning_rate(self, rate: float) -> None:
        """A learning rate of one's own from now on, in place of the settings' and their schedule, also after a resume.

        It is that of the policy's or the value network's optimiser, not of bonuses that have one of their own.

        Raises:
            ConfigError: it is no finite number above 0.
        """
        self._rate = finite_number("the learning rate", rate)
        if self._rate <= 0:
            raise ConfigError(f"the learning rate {rate} cannot be used: it must be greater than 0.")
        self._apply_rate()

    @abstractmethod
    def _apply_rate(self) -> None:
        """Give the optimiser the learning rate that was set by hand, if there is one."""

    def learn(
        self,
        steps: int,
        *,
        callback: Callback[Self] | Sequence[Callback[Self]] | None = None,
        run_dir: str | Path | None = None,
        progress: bool = False,
        log_every: int | None = None,
        checkpoint_every: int | None = None,
        save_replay: bool = True,
        keep: int = 2,
        eval_every: int | None = None,
        eval_episodes: int = 10,
        eval_noise: str = "mean",
        eval_env: Env | None = None,
        eval_env_options: dict[str, Any] | None = None,
        eval_domain: Any = None,
    ) -> Self:
        """Train for ``steps`` more environment steps (rounded up to the next multiple of what one iteration takes).

        Called again, it trains on; schedules, as of the learning rate, then go on towards the new end (see `left`).

        Args:
            steps: environment steps, summed over all environments.
            callback: called with the agent after every iteration; training ends when it returns False. Also several.
            run_dir: a new folder for config, metrics and checkpoints; None keeps nothing.
            progress: show a progress bar (on a terminal).
            log_every: steps between two lines of metrics; None: a hundredth of the training, 1,000 at least.
            checkpoint_every: steps between two checkpoints; None: a tenth of the training, 10,000 at least.
            save_replay: checkpoints hold the replay; without it a resumed run starts with an empty one.
            keep: checkpoints that are left, the newest ones.
            eval_every: steps between two evaluations, in environments of their own; None: none. They change nothing of
                what is learned. The best checkpoint by their mean return is kept in ``run_dir/best``.
            eval_episodes, eval_noise: episodes of an evaluation, and its inference mode (see `jostle.evaluate`).
            eval_env, eval_env_options: where it plays; None: where the agent trains.
            eval_domain: what is randomised there: None nothing, whatever the training does; "train" the whole domain of
                the training; or another one, a `jostle.domain.Space`, a YAML file or its data, such as a fixed set.

        Raises:
            ConfigError: steps that are no positive number, or another value that cannot be used.
            CheckpointError: the folder holds a run already, or cannot be written.
            EnvError: the environment failed.
        """
        schedule = Schedule.of(
            steps, start=self.steps, log_every=log_every, checkpoint_every=checkpoint_every, save_replay=save_replay,
            keep=keep, eval_every=eval_every, eval_episodes=eval_episodes, eval_noise=eval_noise,
            eval_env=name_of_eval(eval_env), eval_env_options=eval_env_options, eval_domain=eval_domain,
        )  # fmt: skip
        self.train(schedule, None if run_dir is None else Path(run_dir), callback, eval_env, progress=progress)
        return self

    def train(
        self,
        schedule: Schedule,
        run_dir: Path | None,
        callback: Callback[Self] | Sequence[Callback[Self]] | None = None,
        eval_env: Env | None = None,
        *,
        again: bool = False,
        progress: bool = False,
    ) -> None:
        """What `learn` does, by a schedule. ``again``: the folder may hold a run that was killed before it began."""
        more: dict[str, Any] = {"callback": callback, "eval_env": eval_env, "progress": progress}
        made(self.env)  # what cannot be made is said before there is a folder
        if run_dir is None:
            train(self, schedule, **more)
            return
        Evaluations(schedule, eval_env).check(self)  # refuses before a folder is made
        config = self.description() | {"training": schedule.as_dict()}
        info = {"seed": self.seed, "command": command(), "commit": working_commit()}
        with Run.create(run_dir, config, info, schedule.keep, again=again) as run:
            run.save_initial({"model": self.network.state_dict(), "frozen": self.frozen()})
            train(self, schedule, run=run, **more)

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
        plan = {"planned": self.planned, "planned_from": self.planned_from} if self.planned else {}
        return self.description() | {"made_by_function": by_function, "steps": self.steps} | plan | facts

    # ---- shared by the subclasses ----

    @property
    def _domain(self) -> DomainDriver | None:
        """What draws the environments' domain; None: nothing, or they are not made yet."""
        return None if isinstance(self.env, LaterEnv) else self.env.domain

    def _check_schedule(self) -> None:
        domain = self._domain
        if domain is not None and domain.schedule.listens and not self.gives_feedback:
            raise ConfigError(
                f"the domain schedule {domain.schedule.kind} learns from what a PPO agent knows of |R − V|, which "
                f"{type(self).__name__} has not: train with PPO, or take another schedule."
            )

    def _reset(self, seed: int | None = None) -> None:
        """Begin new episodes everywhere."""
        self._obs, info = self.env.reset(seed=seed)
        self._start, self._mask = info["start"], info.get("action_mask")
        self._moves = self.env.moves
        self.coverage.begin(self._obs, info)

    def _step(self, action: np.ndarray[Any, Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        result = self.env.step(action)
        self._moves, self._mask = self.env.moves, result[4].get("action_mask")
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
        if self.env.diverged:
            out["charts/diverged"] = self.env.diverged
        if self._finished:
            returns, lengths = zip(*self._finished, strict=True)
            out["charts/episodic_return"] = float(np.mean(returns))
            out["charts/episodic_length"] = float(np.mean(lengths))
            self._finished.clear()
        if self.returns:
            out["charts/return_100"] = mean_return(self.returns)
        domain = {} if self._domain is None else self._domain.log()
        return out | self.coverage.drain_metrics() | domain

    def _common_state(self) -> dict[str, Any]:
        return {
            **self._env_state(),
            "progress": {
                "steps": self.steps,
                "updates": self.updates,
                "episodes": self.episodes,
                "returns": list(self.returns),
                "finished": [list(f) for f in self._finished],
                "logged": self._logged.state_dict(),
                "learning_rate": self._rate,
            },
        }

    def _env_state(self) -> dict[str, Any]:
        if self._pending is not None:  # as it was loaded
            return self._pending
        return {
            "env": self.env.state_dict() if self.env.can_snapshot else None,
            "carry": {"obs": self._obs, "start": self._start, "moved": self._was_moved}
            | ({} if self._mask is None else {"mask": self._mask}),
            "coverage": self.coverage.state_dict(),
        } | ({} if self._domain is None else {"domain": self._domain.schedule_state()})

    def _load_common(self, state: dict[str, Any]) -> list[str]:
        """Restore what all agents share. Environments without a snapshot have been reset: new episodes begin."""
        progress = state["progress"]
        self._predictor.forget()
        self.returns.clear()
        self.steps, self.updates, self.episodes = progress["steps"], progress["updates"], progress["episodes"]
        self.returns.extend(progress["returns"])
        self._finished = [(float(r), int(n)) for r, n in progress["finished"]]
        self._logged.load_state_dict(progress.get("logged", {}))  # older checkpoints have neither
        self._rate = progress.get("learning_rate")
        self._apply_rate()
        parts = ("env", "carry", "coverage", "domain")
        saved: dict[str, Any] = {name: state[name] for name in parts if name in state}
        why = self._why_anew(saved)
        if isinstance(self.env, LaterEnv):
            self._pending, self._start = saved, np.ones(self.num_envs, np.bool_) if why else state["carry"]["start"]
        else:
            self._restore(saved)
        return [f"{why}: new episodes begin"] if why else []

    def _why_anew(self, saved: dict[str, Any]) -> str | None:
        """Why new episodes must begin; None where those that were saved can go on."""
        before = len(saved["carry"]["start"])
        if before != self.num_envs:
            return f"there are {self.num_envs} environments now, and were {before}"
        if not self.env.can_snapshot:
            return f"{self.env.id} cannot be saved in the middle of an episode"
        if saved["env"] is None:
            return "the environments are other ones now, or were not saved"
        return None if self._same_domain(saved["env"]) else "their domain is another one now"

    def _same_domain(self, env: dict[str, Any]) -> bool:
        """Whether saved environments had the domain and the schedule of these, which are the same if not made yet."""
        if isinstance(self.env, LaterEnv):
            return True
        now = None if self._domain is None else self._domain.describe()
        then = env["domain"]["schedule"] if "domain" in env else None
        return now == (None if then is None else {name: then[name] for name in ("space", "schedule")})

    def _restore(self, saved: dict[str, Any]) -> None:
        """The environments, the carry and what has been seen, as they were saved."""
        if "coverage" in saved:  # older checkpoints have none
            self.coverage.load_state_dict(saved["coverage"])
        if self._why_anew(saved):
            if self._domain is not None and "domain" in saved:
                self._domain.load_schedule(saved["domain"])
            # A seed of its own, or the same episodes would come again.
            self._reset(int(np.random.default_rng([self.seed, self.steps]).integers(2**30)))
            return
        self.env.load_state_dict(saved["env"])
        self._obs, self._start = saved["carry"]["obs"], saved["carry"]["start"]
        self._mask = saved["carry"].get("mask")
        self._moves = self.env.moves - int(saved["carry"].get("moved", False))

    def _env_was_made(self) -> None:
        """Environments that were only known when the agent was loaded are here: bring them to where they were."""
        self._check_schedule()
        self._reset()
        if self._pending is not None:
            self._restore(self._pending)
        self._pending = None
