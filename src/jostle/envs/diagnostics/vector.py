"""What the diagnostic environments share: seeds, NEXT_STEP autoreset, snapshots, and a single view of a vector."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from jostle.domain.counter_rng import random_bits
from jostle.errors import CheckpointError, ConfigError, EnvError

Array = NDArray[Any]
Info = dict[str, Any]
METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 8}


class DiagnosticVectorEnv(VectorEnv[Array, Array, Array]):
    """N environments stepped by NumPy; a subclass brings the rules.

    Environment i draws from its own seed, by counter, so its trajectory depends neither on N nor on its neighbours.
    The row after an ending ignores its action, pays 0 and returns the next episode's first observation (NEXT_STEP).
    """

    metadata: dict[str, Any] = {**METADATA, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's)
    name: ClassVar[str]
    _STATE: ClassVar[tuple[str, ...]]
    """Names of the attributes, arrays of N rows, that the rules read and write."""

    def __init__(
        self,
        num_envs: int,
        observation_space: gym.spaces.Box,
        action_space: gym.spaces.Discrete | gym.spaces.Box,
        render_mode: str | None,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"{self.name} needs num_envs of at least 1, not {num_envs}.")
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"{self.name} cannot render as {render_mode!r}; use render_mode='rgb_array' or None.")
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.single_observation_space: gym.spaces.Box = observation_space
        self.single_action_space: gym.spaces.Discrete | gym.spaces.Box = action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self._seed = np.full(num_envs, -1, dtype=np.int64)
        self._episode = np.zeros(num_envs, dtype=np.int64)
        self._ended = np.zeros(num_envs, dtype=bool)

    @abstractmethod
    def _begin(self, where: Bool[np.ndarray, "N"]) -> None:
        """Put the chosen rows into the first state of their episode `self._episode`."""

    @abstractmethod
    def _advance(self, action: Array) -> tuple[Float64[np.ndarray, "N"], Bool[np.ndarray, "N"], dict[str, Array]]:
        """One step of every row, also of rows that have ended, whose result is then discarded.

        Returns the rewards, the terminations, and what `info` tells of episodes that ended (arrays of N rows).
        """

    @abstractmethod
    def _observe(self) -> Array:
        """The observations of all rows, in fresh memory."""

    @abstractmethod
    def _frames(self) -> Array:
        """The pictures of all rows, uint8 [N, H, W, 3]."""

    def _timed_out(self) -> Bool[np.ndarray, "N"]:
        """Rows whose episode has had its time, in fresh memory."""
        return np.zeros(self.num_envs, dtype=bool)

    def _describe(self) -> Info:
        """What `info` tells on every row, arrays of N rows in fresh memory."""
        return {}

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, Info]:
        """Begin an episode everywhere. An integer seed gives environment i `seed + i`; without one, each environment
        goes on to the next episode of its own stream."""
        if seed is None and (self._seed >= 0).all():
            self._episode = self._episode + 1
        else:
            self._seed = self._spread(seed)
            self._episode = np.zeros(self.num_envs, dtype=np.int64)
        self._ended = np.zeros(self.num_envs, dtype=bool)
        self._begin(np.ones(self.num_envs, dtype=bool))
        return self._observe(), self._describe()

    def step(self, actions: Array) -> tuple[Array, Float64[np.ndarray, "N"], Array, Array, Info]:
        """One step everywhere: observations, rewards [N], terminated [N], truncated [N], info."""
        action = self._checked(actions)
        fresh = self._ended
        reward, terminated, ending = self._advance(action)
        truncated = self._timed_out()
        if np.count_nonzero(fresh):
            reward[fresh] = 0.0
            terminated &= ~fresh
            truncated &= ~fresh
            self._episode = self._episode + fresh
            self._begin(fresh)
        self._ended = terminated | truncated
        info = self._describe()
        if np.count_nonzero(self._ended):
            for key, value in ending.items():
                info[key], info[f"_{key}"] = value, self._ended.copy()
        return self._observe(), reward, terminated, truncated, info

    def render(self) -> tuple[Array, ...] | None:
        """One uint8 RGB picture [H, W, 3] for every environment, or None unless `render_mode="rgb_array"`."""
        if self.render_mode is None:
            return None
        self._require_reset()
        return tuple(self._frames())

    def state_dict(self) -> dict[str, Array | int]:
        """A snapshot: everything that later rows depend on."""
        self._require_reset()
        arrays = {key: getattr(self, f"_{key}").copy() for key in self._snapshot_keys()}
        return {**arrays, **self._settings()}

    def load_state_dict(self, state: dict[str, Array | int]) -> None:
        """Continue from a snapshot, bit for bit.

        Raises:
            CheckpointError: the snapshot is incomplete, or was taken from an environment with other settings.
        """
        expected = {*self._snapshot_keys(), *self._settings()}
        if set(state) != expected:
            wrong = ", ".join(sorted(set(state) ^ expected))
            raise CheckpointError(f"The snapshot is not one of {self.name}: missing or unknown are {wrong}.")
        for key, value in self._settings().items():
            if not np.array_equal(np.asarray(state[key]), np.asarray(value)):
                raise CheckpointError(
                    f"The snapshot was taken from {self.name} with another {key!r}; make the environment as it was."
                )
        for key in self._snapshot_keys():
            here, there = getattr(self, f"_{key}"), np.asarray(state[key])
            if there.shape != here.shape:
                raise CheckpointError(
                    f"The snapshot's {key!r} has shape {there.shape}, but {self.name} needs {here.shape}; use the "
                    "num_envs that it was taken with."
                )
        for key in self._snapshot_keys():
            here = getattr(self, f"_{key}")
            setattr(self, f"_{key}", np.array(state[key], dtype=here.dtype))

    def _settings(self) -> dict[str, Array | int]:
        """The settings without which a snapshot would silently mean something else."""
        return {}

    def _snapshot_keys(self) -> tuple[str, ...]:
        return ("seed", "episode", "ended", *self._STATE)

    def _spread(self, seed: int | Sequence[int | None] | None) -> Int64[np.ndarray, "N"]:
        """One seed for every environment."""
        entropy = np.random.SeedSequence().generate_state(self.num_envs, np.uint64) >> np.uint64(1)
        if seed is None:
            return entropy.astype(np.int64)
        given = [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else list(seed)
        if len(given) != self.num_envs:
            raise ConfigError(f"{self.name} was given {len(given)} seeds for {self.num_envs} environments.")
        seeds = [int(entropy[i]) if s is None else int(s) for i, s in enumerate(given)]
        if min(seeds) < 0 or max(seeds) >= 2**63:
            raise ConfigError(f"{self.name} takes seeds from 0 to 2^63 - 1, not {min(seeds)} … {max(seeds)}.")
        return np.array(seeds, dtype=np.int64)

    def _checked(self, actions: Array) -> Array:
        """The actions as int64 [N], or as they are [N, D], or an error that names what is wrong with them."""
        self._require_reset()
        action = np.asarray(actions)
        if isinstance(self.single_action_space, gym.spaces.Box):
            return self._checked_numbers(action, self.single_action_space)
        if action.shape != (self.num_envs,) or action.dtype.kind not in "iu":
            raise EnvError(
                f"{self.name} takes {self.num_envs} integer actions of shape ({self.num_envs},), "
                f"not {action.dtype} of shape {action.shape}."
            )
        count = int(self.single_action_space.n)
        if action.min() < 0 or action.max() >= count:
            raise EnvError(f"{self.name} takes actions 0 to {count - 1}, not {action.min()} … {action.max()}.")
        return action.astype(np.int64)

    def _checked_numbers(self, action: Array, space: gym.spaces.Box) -> Array:
        shape = (self.num_envs, *space.shape)
        if action.shape != shape or action.dtype.kind != "f":
            raise EnvError(
                f"{self.name} takes {self.num_envs} actions of shape {shape}, floating-point numbers, "
                f"not {action.dtype} of shape {action.shape}."
            )
        if np.count_nonzero(np.isfinite(action)) < action.size:
            row = int(np.argwhere(~np.isfinite(action))[0][0])
            raise EnvError(f"{self.name} takes finite actions, and that for environment {row} is {action[row]}.")
        return action

    def _require_reset(self) -> None:
        if self._seed[0] < 0:  # all of them are set together
            raise EnvError(f"{self.name} has no episode yet: call reset() first.")

    def _bits(self, where: Bool[np.ndarray, "N"], purpose: int) -> Array:
        """Random bits of the chosen rows' current episodes, for one purpose."""
        return random_bits(self._seed[where], self._episode[where], purpose)


class DiagnosticEnv(gym.Env[Array, Any]):
    """A thin view on a vector of one, so that there is one set of rules."""

    metadata: dict[str, Any] = METADATA

    def __init__(self, vector: DiagnosticVectorEnv) -> None:
        self._vector = vector
        self._over = False
        self.render_mode = vector.render_mode
        self.observation_space = vector.single_observation_space
        self.action_space = vector.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, Info]:
        """Begin an episode; without a seed, the next one of the same stream."""
        super().reset(seed=seed)
        self._over = False
        observation, info = self._vector.reset(seed=seed)
        return observation[0], _first(info)

    def step(self, action: Any) -> tuple[Array, float, bool, bool, Info]:
        """One step: observation, reward, terminated, truncated (never true), info."""
        if self._over:
            raise EnvError(f"This episode of {self._vector.name} has ended: call reset() before the next step().")
        observation, reward, terminated, truncated, info = self._vector.step(np.asarray(action)[None])
        self._over = bool(terminated[0])
        return observation[0], float(reward[0]), self._over, bool(truncated[0]), _first(info)

    def render(self) -> Array | None:
        """The current picture, uint8 RGB [H, W, 3], or None unless `render_mode="rgb_array"`."""
        frames = self._vector.render()
        return None if frames is None else frames[0]

    def state_dict(self) -> dict[str, Array | int]:
        """A snapshot, in the same form as the vector's."""
        return self._vector.state_dict()

    def load_state_dict(self, state: dict[str, Array | int]) -> None:
        """Continue from a snapshot, bit for bit."""
        self._vector.load_state_dict(state)
        self._over = bool(self._vector._ended[0])


def _first(info: Info) -> Info:
    """Row 0 of a vector's info, without the masks and what they hide."""
    shown = {k: v for k, v in info.items() if not k.startswith("_") and info.get(f"_{k}", (True,))[0]}
    return {k: v[0].copy() if v.ndim > 1 else v[0].item() for k, v in shown.items()}
