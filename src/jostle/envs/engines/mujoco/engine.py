"""`MujocoEngine`: N simulations of one model as an engine and as a world."""

import copy
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float, Float64, Int64

from jostle.domain import Quantity
from jostle.envs.engines.mujoco.draws import Draws
from jostle.envs.engines.mujoco.model import compile_model
from jostle.envs.engines.mujoco.observing import Observer, keep
from jostle.envs.engines.mujoco.offered import offered
from jostle.envs.engines.mujoco.package import batch_class, require_mujoco
from jostle.envs.engines.mujoco.physics import Physics
from jostle.envs.engines.mujoco.pushes import Pushes, push_slots
from jostle.envs.engines.mujoco.renderer import VIDEO
from jostle.envs.engines.mujoco.signals import NUMBERS, Signals, signal_slots
from jostle.envs.engines.mujoco.simulations import Simulations
from jostle.envs.engines.mujoco.studio import Studio
from jostle.envs.engines.mujoco.task import Task
from jostle.envs.observations import Obs
from jostle.envs.vector import Seed, Step
from jostle.errors import CheckpointError, ConfigError, EnvError

Array = np.ndarray[Any, Any]
REMEMBERED = 4
"""Control steps by which all controls can be delayed at most, and as many by which one can beside the others."""
_DIVERGED = slice(3, 7)
"""MuJoCo's warnings of a simulation that broke: BADQPOS, BADQVEL, BADQACC, BADCTRL."""


class MujocoEngine:
    """N simulations of one model, stepped together on a thread pool, in NEXT_STEP mode.

    Row i depends on its own seed, draws and actions alone: neither on the number of threads nor on its neighbours.
    A simulation that diverges ends its episode as truncated, with a reward of 0 and the last observation before; its
    row is true in ``info["diverged"]``, and `diverged` counts it.

    Args:
        mjcf: the model's file or text.
        task: what is observed and paid. It belongs to this engine from now on.
        num_envs: N.
        env: name for messages.
        threads: of the pool; 0: as many as this process has processors.

    Raises:
        EnvError: MuJoCo is missing, or the model does not compile.
    """

    name = "mujoco"
    frame_stack = 1
    stack_padding: Literal["repeat", "zero"] = "repeat"
    can_snapshot = True
    counts_games = False

    def __init__(self, mjcf: str | Path, task: Task, num_envs: int, env: str, threads: int = 0) -> None:
        self.id, self.task, self._count = env, task, num_envs
        history = REMEMBERED * task.frame_skip
        model = compile_model(mjcf, 2 * history)
        threads = min(threads or _processors(), num_envs)
        self._batch = batch_class()(model, num_envs, threads, persistent=task.contact_forces)
        self.sims = Simulations(self._batch, task.frame_skip)
        task.bind(self.sims)
        self.frame_skip = task.frame_skip
        self.single_action_space = task.action_space()
        slots = (
            offered(model)
            | signal_slots(model, task.groups, task.picture is not None, history)
            | push_slots(self.sims.dt)
        )
        self._physics = Physics(self._batch, slots, env)
        self._signals = Signals(self._physics, task.groups)
        self._observer = Observer(self._batch, task, self._signals, threads)
        self.single_observation_space: spaces.Space[Any] = self._observer.space
        self._pushes = Pushes(self._batch, self._physics, self._pushed(), task.push_axes, self.sims.dt)
        mujoco = require_mujoco()
        self._scratch, self._post_constraint = mujoco.MjData(model), mujoco.mj_rnePostConstraint
        self._ctrl, self._warnings = self.sims.ctrl, self._batch.warning[:, _DIVERGED, 1]
        self._warned = self._warnings.sum(axis=1)
        self._warned_in_all = int(self._warned.sum())
        self._seed = np.zeros(num_envs, np.int64)
        self._episode = np.zeros(num_envs, np.int64)
        self._elapsed = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, np.bool_)
        self._left = 0
        """Steps for which no episode can reach its limit; 0: not known. Episodes that begin only lengthen it."""
        self._last: Obs | None = None
        self._before: Array = task.progress()
        self._video: Studio | None = None
        self.diverged = 0

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can vary, by name."""
        return {name: slot.quantity for name, slot in self._physics.slots.items()}

    @property
    def observation_names(self) -> dict[str, list[str]]:
        """Names of the task's numbers; nothing of a task that tells none."""
        names = self.task.names() if self.task.size else []
        part = NUMBERS if isinstance(self.single_observation_space, spaces.Dict) else ""
        return {part: names} if names else {}

    def set_quantities(self, values: Mapping[str, Float64[np.ndarray, "R"]], rows: Int64[np.ndarray, "R"]) -> None:
        """Give rows values; masses take their inertias along, and MuJoCo's derived constants are made fresh.

        Raises:
            ConfigError: an unknown name, or a value outside its bounds.
        """
        self._physics.set(values, np.asarray(rows))

    def reset(self, seed: Seed, options: dict[str, Any] | None) -> tuple[Obs, dict[str, Any]]:
        """Begin all episodes."""
        if seed is None:
            self._episode += 1
        else:
            each = isinstance(seed, int | np.integer)
            self._seed = seed + np.arange(self._count, dtype=np.int64) if each else np.array(seed, np.int64)
            self._episode[:] = 0
        self._ended = np.zeros(self._count, np.bool_)
        self._begin(np.arange(self._count))
        self._before = self.task.progress()
        self._last = self._observe(np.ones(self._count, np.bool_))
        return self._last, {}

    def step(self, actions: Array) -> Step:
        """One control step; rows that ended begin anew instead."""
        fresh = self._ended if np.count_nonzero(self._ended) else None
        controls = self.task.controls(actions)
        self._ctrl[:] = self._signals.controls(controls, self._seed, self._episode, self._elapsed)
        self._pushes.apply(self._seed, self._episode, self._elapsed)
        self._simulate(None if fresh is None else np.flatnonzero(~fresh))
        after = self.task.progress()
        paid, terminated, success = self.task.outcome(actions, self._before, after)
        reward = paid.astype(np.float32)
        self._elapsed += 1
        truncated = self._out_of_time()
        broken = self._broken()
        info: dict[str, Any] = {}
        if fresh is not None:
            running = ~fresh
            reward *= running
            terminated, truncated = terminated & running, truncated & running
            success = None if success is None else success & running
            self._episode += fresh
            self._begin(np.flatnonzero(fresh))
            after = self.task.progress()
        self._before = after
        obs = self._observe(fresh)
        if broken is not None or not self._is_finite(obs, reward):
            broken = self._all_broken(broken, obs, reward, fresh)
            reward[broken], terminated, truncated = 0.0, terminated & ~broken, truncated | broken
            assert self._last is not None
            keep(obs, self._last, broken)
            info["diverged"] = broken
        if success is not None:
            info["success"] = success
        self._ended, self._last = terminated | truncated, obs
        return obs, reward, terminated, truncated, info

    def render(self) -> Array:
        """Pictures of all simulations for videos, uint8 [N, 480, 480, 3], in the looks of each."""
        if self._video is None:
            self._video = Studio(self._batch, self.task.camera, VIDEO, 1)
        return self._video.pictures()

    def object_masks(self) -> dict[str, Bool[np.ndarray, "N H W"]] | None:
        """Which pixels of the observed pictures show which of the task's `objects`; None where none are observed."""
        if self.task.picture is None:
            return None
        labels = self._observer.labels()
        return {name: labels == label for label, name in enumerate(self.task.objects, start=1)}

    def close(self) -> None:
        """End the threads that draw."""
        self._observer.close()
        if self._video is not None:
            self._video.close()
            self._video = None

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step reads."""
        return {
            "state": self._batch.state.copy(),
            "before": self._before.copy(),
            "last": copy.deepcopy(self._last),
            "seed": self._seed.copy(),
            "episode": self._episode.copy(),
            "elapsed": self._elapsed.copy(),
            "ended": self._ended.copy(),
            "values": self._physics.state_dict(),
            "signals": self._signals.state_dict(),
            "diverged": self.diverged,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back, bit for bit.

        Raises:
            CheckpointError: the state is one of another model or number of environments.
        """
        rows = np.asarray(state["state"])
        if rows.shape != self._batch.state.shape:
            raise CheckpointError(
                f"The saved state of {self.id} has shape {list(rows.shape)}, and {list(self._batch.state.shape)} is "
                "needed: make the environment with the same model, task and num_envs as it was."
            )
        self._physics.load_state_dict({name: np.asarray(value) for name, value in state["values"].items()})
        self._batch.state[:] = rows
        self._signals.load_state_dict(state["signals"])
        for key in ("before", "seed", "episode", "elapsed", "ended"):
            setattr(self, f"_{key}", np.array(state[key]))
        self._last = copy.deepcopy(state["last"])
        self.diverged, self._left = int(state["diverged"]), 0

    # What identification and planning ask for: `jostle.envs.world.Simulated`.

    def read_states(self) -> Float64[np.ndarray, "N S"]:
        """MuJoCo's `mjSTATE_INTEGRATION` of every simulation, then the task's `progress` before the next step."""
        return np.concatenate([self._batch.state, self._before.reshape(self._count, -1)], axis=1)

    def write_states(self, states: Float64[np.ndarray, "N S"]) -> None:
        """Put every simulation into a state of `read_states` or `states_of`, at the beginning of an episode's time."""
        size, before = self._batch.state.shape[1], self._before.shape
        shape = (self._count, size + math.prod(before[1:]))
        if states.shape != shape or not np.isfinite(states[:, :size]).all():
            raise ConfigError(
                f"{self.id} takes states of shape {list(shape)}, finite numbers, not of shape {list(states.shape)}."
            )
        self._batch.state[:] = states[:, :size]
        self._batch.forward(None)  # for tasks that look at places of bodies
        self._batch.state[:] = states[:, :size]  # forward has begun the next solution, and remembers it
        told = states[:, size:].reshape(before)
        self._before = np.where(np.isnan(told), self.task.progress(), told)
        self._elapsed[:], self._left = 0, 0
        self._ended = np.zeros(self._count, np.bool_)
        self._warned = self._warnings.sum(axis=1)
        self._warned_in_all = int(self._warned.sum())

    def states_of(self, obs: Float[np.ndarray, "R D"]) -> Float64[np.ndarray, "R S"]:
        """States that look like these observations, at rest in all that nobody sees."""
        qpos, qvel = self.task.state_of(obs.astype(np.float64))
        mujoco, data = require_mujoco(), self._scratch
        size = self._batch.state.shape[1]
        states = np.full((len(obs), size + self._before[0].size), np.nan)  # `progress` follows from the rest
        mujoco.mj_resetData(self.sims.model, data)
        for row, state in enumerate(states[:, :size].copy()):
            data.qpos, data.qvel = qpos[row], qvel[row]
            mujoco.mj_getState(self.sims.model, data, state, int(mujoco.mjtState.mjSTATE_INTEGRATION))
            states[row, :size] = state
        return states

    def observe_exactly(self) -> Float64[np.ndarray, "N D"]:
        """The task's numbers in double precision, without noise and delay."""
        seen = np.empty((self._count, self.task.size))
        self.task.observe(seen)
        return seen

    def _begin(self, rows: Array) -> None:
        """Put these rows into the first state of their episode."""
        draws = Draws(rows, self._seed[rows], self._episode[rows])
        ids = None if len(rows) == self._count else rows
        self._batch.reset(ids, stage=0)
        qpos, qvel = self.task.start(draws)
        self.sims.qpos[rows], self.sims.qvel[rows] = qpos, qvel
        self._batch.forward(ids)
        self.sims.contact_force[rows] = 0.0
        self._elapsed[rows] = 0
        if self._warned_in_all:  # the reset has set its rows' counts back
            self._warned = self._warnings.sum(axis=1)
            self._warned_in_all = int(self._warned.sum())

    def _simulate(self, running: Array | None) -> None:
        try:
            self._batch.step(running, self.frame_skip)
        except RuntimeError as error:
            raise EnvError(
                f"{self.id}: {' '.join(str(error).split())}; reset the environments, or change their physics."
            ) from error
        if self.task.contact_forces:
            self._read_contact_forces(running)

    def _observe(self, fresh: Array | None) -> Obs:
        return self._observer.observe(self._seed, self._episode, self._elapsed, fresh)

    def _out_of_time(self) -> Array:
        """The rows whose episode has reached its limit; compared only in steps in which one can have."""
        self._left -= 1
        if self._left > 0 or not self.task.max_steps:
            return np.zeros(self._count, np.bool_)
        self._left = self.task.max_steps - int(self._elapsed.max())
        out: Array = self._elapsed >= self.task.max_steps
        return out

    def _broken(self) -> Array | None:
        """The rows of whose simulation MuJoCo has warned in the step just made; None where there are none."""
        in_all = int(np.add.reduce(self._warnings, None))
        if in_all == self._warned_in_all:
            return None
        now = self._warnings.sum(axis=1)
        broken: Array = now > self._warned
        self._warned, self._warned_in_all = now, in_all
        return broken if broken.any() else None

    def _is_finite(self, obs: Obs, reward: Array) -> bool:
        """Whether all that is told is a number: one sum finds out, as NaN and infinity stay in it."""
        numbers = obs.get(NUMBERS, reward) if isinstance(obs, dict) else obs
        return math.isfinite(np.add.reduce(numbers, None) + np.add.reduce(reward))

    def _all_broken(self, broken: Array | None, obs: Obs, reward: Array, fresh: Array | None) -> Array:
        """The rows that MuJoCo has warned of, and those that broke in the last simulation step, before it looked.

        Raises:
            EnvError: what is told is no number, and the simulation is sound; or it is none from the start.
        """
        numbers = obs.get(NUMBERS, reward) if isinstance(obs, dict) else obs
        odd = ~np.isfinite(reward) | ~np.isfinite(numbers.reshape(self._count, -1)).all(1)
        sound = np.isfinite(self.sims.qpos).all(1) & np.isfinite(self.sims.qvel).all(1)
        warned = np.zeros(self._count, np.bool_) if broken is None else broken
        wrong = odd & ((sound & ~warned) | (False if fresh is None else fresh))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise EnvError(
                f"{self.id}: the reward or observation of environment {row} is not finite, though its simulation is "
                "sound: mend the task, or give its physics other values."
            )
        found = warned | odd
        self.diverged += int(np.count_nonzero(found))
        return found

    def _read_contact_forces(self, running: Array | None) -> None:
        """`cfrc_ext` as Gymnasium reads it: of the last simulation step, which a batch leaves uncomputed.

        It is made of the contacts, which lie in memory that a batch does not show: row by row, for about 8 µs each.
        """
        model, forces = self.sims.model, self.sims.contact_force
        for row in range(self._count) if running is None else running:
            self._batch.get_data(int(row), self._scratch)
            self._post_constraint(model, self._scratch)
            forces[row] = self._scratch.cfrc_ext

    def _pushed(self) -> int:
        """The body that pushes act on."""
        if self.task.pushed:
            return self.sims.body(self.task.pushed)
        movable = np.flatnonzero(self.sims.model.body_dofnum > 0)
        return int(movable[0]) if movable.size else 0


def _processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
