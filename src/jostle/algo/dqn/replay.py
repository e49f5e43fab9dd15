"""Replay: the last transitions of N environments, each observation stored once and each frame of a stack once.

Row t of an environment is (obs_t, action_t, reward_t, obs_tp1, terminated_t, truncated_t) in NEXT_STEP mode. Its
successor observation is simply the next row's, and where the row ended its episode that next row is the invalid one,
whose observation is the final one: nothing is stored twice, no final observation is lost. Rows with ``valid = False``
are never sampled; they only serve as successors.

Returns that do not end with the episode follow links: behind an episode's last transition stands the first one of the
next. Linked windows hold real transitions only, and serve both kinds of streams: up to the first end they are the same.
"""

import math
import os
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.errors import ConfigError, EnvError
from jostle.functional import n_step_return
from jostle.nn.encoders import Observation
from jostle.store.tree import Segmented

Array = np.ndarray[Any, np.dtype[Any]]
_ONLY = "obs"  # the key of an observation that is no dictionary
_SEGMENT_BYTES = 2**24


@dataclass(frozen=True)
class Batch:
    """A minibatch of transitions. ``row`` tells where each came from: (row in the ring) · N + environment.

    ``window`` [B, n] are the flat rows of the transitions whose rewards are summed. Where an episode ends within a
    linked window, ``linked`` [L] names the row of the batch, and ``linked_obs`` what returns that go on behind the end
    are followed by: the observation of the n-th real transition from here.
    """

    row: Int[Tensor, "B"]
    obs: Observation
    action: Int[Tensor, "B"]
    reward: Float[Tensor, "B n K"]
    terminated: Bool[Tensor, "B n"]
    truncated: Bool[Tensor, "B n"]
    next_obs: Observation  # the observation n steps on, or the final one of an episode that ended before
    window: Array | None = None
    linked: Int[Tensor, "L"] | None = None
    linked_obs: Observation | None = None
    mask: Bool[Tensor, "B A"] | None = None  # legal actions; None where none were ever told
    next_mask: Bool[Tensor, "B A"] | None = None
    linked_mask: Bool[Tensor, "L A"] | None = None

    def n_step_return(
        self, discount: Float[Tensor, "K"], episodic: Bool[Tensor, "K"] | None = None
    ) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
        return n_step_return(self.reward, self.terminated, self.truncated, discount, episodic)


class Replay:
    """A ring of ``capacity`` transitions from N environments, uniformly sampled.

    Args:
        capacity: transitions kept; rounded up to a whole number of rows of N.
        num_envs: N.
        observation_space: the single environment's space.
        n_step: length of the windows that ``sample`` returns.
        frame_stack: k if the leading axis of a ``uint8`` Box is a stack of k frames, of one channel or several: only
            the newest is stored, the rest is rebuilt from the rows before (1M Atari transitions take 7.1 GB instead of
            28). Stacks in dictionaries, beside what a domain tells, are stored whole.
        stack_padding: what fills the stack at an episode's start, ``repeat`` the first frame or ``zero``.
        linked: windows go on behind an episode's end with the next one's first transition.
        later: rows that must lie behind a sampled window, beside those that it needs itself.
        num_intrinsic: intrinsic rewards stored with each transition, in ``intrinsic`` [rows, N, num_intrinsic].

    Raises:
        ConfigError: sizes that make no sense, or that do not fit into memory.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        observation_space: gym.Space[Any],
        *,
        n_step: int = 1,
        frame_stack: int = 1,
        stack_padding: str = "repeat",
        linked: bool = False,
        later: int = 0,
        num_intrinsic: int = 0,
    ) -> None:
        if isinstance(observation_space, spaces.Dict):
            frame_stack = 1
        self.num_envs, self.n_step, self.stack, self.stack_padding = num_envs, n_step, frame_stack, stack_padding
        self.linked = linked
        # Two rows at most part a transition from its linked successor: a reset, and the seam that `cut` makes.
        self.reach = (3 * n_step if linked else n_step) + later
        self.rows = -(-capacity // num_envs)
        if self.rows <= self.reach + frame_stack:
            raise ConfigError(
                f"a replay of {capacity} transitions is too short for {num_envs} environments and n_step={n_step}; "
                f"give it at least {(self.reach + frame_stack + 1) * num_envs}."
            )
        self.is_dict, self.channels = isinstance(observation_space, spaces.Dict), 1
        inner = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {_ONLY: observation_space}
        shapes = {key: (space.shape or (), space.dtype) for key, space in inner.items()}
        if frame_stack > 1:
            shape, dtype = shapes[_ONLY]
            self.channels = shape[0] // frame_stack
            shapes = {_ONLY: ((self.channels, *shape[1:]), dtype)}
        _check_memory(capacity, self.size, shapes)
        # Zeros are lent by the system and paid for as they are written.
        self.obs: dict[str, Array] = {k: np.zeros((self.rows, num_envs, *s), d) for k, (s, d) in shapes.items()}
        self.action = np.zeros((self.rows, num_envs), np.int32)
        self.reward = np.zeros((self.rows, num_envs), np.float32)
        self.terminated = np.zeros((self.rows, num_envs), np.bool_)
        self.truncated = np.zeros((self.rows, num_envs), np.bool_)
        self.valid = np.zeros((self.rows, num_envs), np.bool_)
        self.age = np.zeros((self.rows, num_envs), np.uint8)  # rows since the episode's start, at most k − 1
        self.intrinsic = np.zeros((self.rows, num_envs, num_intrinsic), np.float32)
        self.mask: Array | None = None  # legal actions [rows, N, A]; none until some are told
        self.added = 0  # rows ever added

    @property
    def size(self) -> int:
        """Flat rows of the ring."""
        return self.rows * self.num_envs

    @property
    def nbytes(self) -> int:
        """Bytes of a full replay."""
        return sum(a.nbytes for a in self._arrays().values())

    @property
    def filled(self) -> int:
        """Rows in the ring."""
        return min(self.added, self.rows)

    @property
    def ready(self) -> bool:
        """There is a row to sample."""
        first, last = self._bounds()
        return last > first and bool(self.valid[np.arange(first, last) % self.rows].any())

    def _arrays(self) -> dict[str, Array]:
        named = ["action", "reward", "terminated", "truncated", "valid", "age"]
        if self.intrinsic.size:
            named.append("intrinsic")
        if self.mask is not None:
            named.append("mask")
        return {f"obs.{k}": v for k, v in self.obs.items()} | {name: getattr(self, name) for name in named}

    def _bounds(self) -> tuple[int, int]:
        """Rows [first, last) whose whole stack lies behind them and whose whole window lies before them."""
        oldest = self.added - self.filled
        return oldest + (self.stack - 1 if oldest else 0), self.added - self.reach

    def add(
        self,
        obs: Any,
        action: Array,
        reward: Array,
        terminated: Array,
        truncated: Array,
        valid: Array,
        start: Array,
        mask: Array | None = None,
    ) -> None:
        """Add row t of every environment: (obs_t, action_t, reward_t, terminated_t, truncated_t, valid_t, start_t), and
        the actions that were legal (None: all)."""
        if self.stack > 1 and not self.added and not start.all():
            self._add_older_frames(obs)
        row = self.added % self.rows
        if self.stack > 1:
            if start.any():
                self._check_padding(obs[start])
            self.obs[_ONLY][row] = obs[:, -self.channels :]
            before = self.age[(self.added - 1) % self.rows] if self.added else np.zeros(self.num_envs, np.uint8)
            self.age[row] = np.where(start, 0, np.minimum(before + 1, self.stack - 1))
        elif self.is_dict:
            for key, array in self.obs.items():
                array[row] = obs[key]
        else:
            self.obs[_ONLY][row] = obs
        self.action[row] = action
        self.reward[row] = reward
        self.terminated[row] = terminated
        self.truncated[row] = truncated
        self.valid[row] = valid
        if mask is not None and self.mask is None:
            self.mask = self._masks_so_far(mask.shape[1])
        if self.mask is not None:
            self.mask[row] = True if mask is None else mask
        self.added += 1

    def _masks_so_far(self, num_actions: int) -> Array:
        """Room for masks; in the rows before all actions were legal."""
        shapes = {key: (array.shape[2:], array.dtype) for key, array in self.obs.items()}
        _check_memory(self.size, self.size, shapes | {"action mask": ((num_actions,), np.dtype(np.bool_))})
        mask = np.zeros((self.rows, self.num_envs, num_actions), np.bool_)
        mask[: self.filled] = True
        return mask

    def _add_older_frames(self, obs: Array) -> None:
        """A replay that begins within episodes: the older frames of the first stack as rows of their own, not valid."""
        frames = obs.reshape(self.num_envs, self.stack, self.channels, *obs.shape[2:])
        for row in range(self.stack - 1):
            self.obs[_ONLY][row], self.age[row] = frames[:, row], row
        self.added = self.stack - 1

    def cut(self, obs: Any, mask: Array | None = None) -> None:
        """Close every running episode: the environments are about to be reset although their episodes go on.

        ``obs`` is the observation that the next row would have had, ``mask`` its legal actions. It becomes the final
        observation of a truncated episode, so nothing is lost and no window crosses the seam.
        """
        last = (self.added - 1) % self.rows
        if not self.added or not self.valid[last].any():  # no transition waits for its successor
            return
        running = self.valid[last] & ~self.terminated[last]
        self.truncated[last] |= running
        nothing = np.zeros(self.num_envs, np.bool_)
        self.add(obs, nothing, nothing, nothing, nothing, nothing, nothing, mask)

    def _check_padding(self, first: Array) -> None:
        frames = first.reshape(len(first), self.stack, self.channels, *first.shape[2:])
        expected = frames[:, -1:] if self.stack_padding == "repeat" else np.zeros_like(frames[:, -1:])
        if not (frames[:, :-1] == expected).all():
            raise EnvError(
                f"the environment does not fill its frame stack by '{self.stack_padding}' at an episode's start, so "
                "frames cannot be stored once; stack frames with make_env(frame_stack=…) instead."
            )

    def sample(self, batch_size: int, rng: np.random.Generator, device: torch.device | str = "cpu") -> Batch:
        """Uniformly among all valid rows whose window is complete, with replacement.

        The last n − 1 transitions of an episode are sampled like any other: their windows end with the episode.
        """
        first, last = self._bounds()
        chosen: list[Array] = []
        missing = batch_size
        valid = self.valid.reshape(-1)
        while missing:
            t, n = np.divmod(rng.integers(first * self.num_envs, last * self.num_envs, size=missing), self.num_envs)
            flat = (t % self.rows) * self.num_envs + n
            kept = flat[valid[flat]]
            chosen.append(kept)
            missing -= len(kept)
        flat = np.concatenate(chosen) if len(chosen) > 1 else chosen[0]
        onward = None
        if self.linked:
            window, onward = self._linked_window(flat)
        else:
            window = (flat[:, None] + np.arange(self.n_step) * self.num_envs) % self.size  # [B, n]
        terminated, truncated = (a.reshape(-1)[window] for a in (self.terminated, self.truncated))
        ended = terminated | truncated
        length = np.where(ended.any(1), ended.argmax(1) + 1, self.n_step)
        following = (flat + length * self.num_envs) % self.size
        links = np.flatnonzero(following != onward) if onward is not None else None

        def tensor(array: Array) -> Tensor:
            return torch.from_numpy(array).to(device, non_blocking=True)

        return Batch(
            row=tensor(flat),
            obs=self.observations(flat, device),
            action=tensor(self.action.reshape(-1)[flat].astype(np.int64)),
            reward=tensor(self.reward.reshape(-1)[window][..., None]),
            terminated=tensor(terminated),
            truncated=tensor(truncated),
            next_obs=self.observations(following, device),
            window=window,
            linked=None if links is None else tensor(links),
            linked_obs=None if onward is None else self.observations(onward[links], device),
            mask=self.masks(flat, device),
            next_mask=self.masks(following, device),
            linked_mask=None if onward is None else self.masks(onward[links], device),
        )

    def _linked_window(self, flat: Array) -> tuple[Array, Array]:
        """The flat rows of n successive real transitions [B, n], and of the one that follows them [B]."""
        rows = [flat]
        for _ in range(self.n_step):
            following = (rows[-1] + self.num_envs) % self.size
            for _ in range(2):
                following = (following + self.num_envs * ~self.valid.reshape(-1)[following]) % self.size
            rows.append(following)
        return np.stack(rows[:-1], 1), rows[-1]

    def observations(
        self, flat: Int[np.ndarray, "B"], device: torch.device | str = "cpu", *, newest: bool = False
    ) -> Observation:
        """The observations of flat rows; with ``newest`` only the newest frame of each stack."""

        def take(array: Array, index: Array) -> Tensor:
            picked = array.reshape(-1, *array.shape[2:])[index]
            return torch.from_numpy(picked).to(device, non_blocking=True)

        if self.is_dict:
            return {key: take(array, flat) for key, array in self.obs.items()}
        if self.stack == 1 or newest:
            return take(self.obs[_ONLY], flat)
        back = np.arange(self.stack - 1, -1, -1)  # [k]: how many rows before the newest frame
        age = self.age.reshape(-1)[flat][:, None].astype(np.int64)
        index = (flat[:, None] - np.minimum(back, age) * self.num_envs) % self.size
        frames = take(self.obs[_ONLY], index)
        if self.stack_padding == "zero":
            frames[torch.from_numpy(back > age).to(device)] = 0
        return frames.flatten(1, 2)  # [B, k·C, …]

    def masks(self, flat: Int[np.ndarray, "B"], device: torch.device | str = "cpu") -> Bool[Tensor, "B A"] | None:
        """The legal actions of flat rows; None where none were ever told."""
        if self.mask is None:
            return None
        picked = self.mask.reshape(self.size, -1)[flat]
        return torch.from_numpy(picked).to(device, non_blocking=True)

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``sample`` and ``add`` read; arrays are views of the rows in use, not copies.

        Large observations come in segments that name their contents, so that a checkpoint writes only what has changed.
        """
        arrays: dict[str, Array | Segmented] = {name: array[: self.filled] for name, array in self._arrays().items()}
        for name in arrays:
            if name.startswith("obs.") or name == "mask":
                arrays[name] = self._segments(self._arrays()[name])
        return {"added": self.added, "arrays": arrays}

    def _segments(self, array: Array) -> Array | Segmented:
        rows = max(1, int(_SEGMENT_BYTES * self.rows / array.nbytes))
        if rows >= self.rows:
            return array[: self.filled]
        starts = range(0, self.filled, rows)
        # The newest row ever written within a segment tells what the segment holds.
        lap, here = divmod(self.added, self.rows)
        versions = []
        for start in starts:
            end = min(start + rows, self.rows)
            versions.append(lap * self.rows + min(here, end) if here > start else (lap - 1) * self.rows + end)
        return Segmented([array[s : min(s + rows, self.filled)] for s in starts], versions)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state of the same shape.

        Raises:
            ConfigError: the state is of another size, or of other observations.
        """
        told = state["arrays"].get("mask")
        first = told.segments[0] if isinstance(told, Segmented) else told
        num_actions = 0 if first is None or first.ndim != 3 else first.shape[2]
        self.mask = None if told is None else np.zeros((self.rows, self.num_envs, num_actions), np.bool_)
        arrays = self._arrays()
        filled = min(int(state["added"]), self.rows)
        pieces = {}
        for name, array in arrays.items():
            saved = state["arrays"].get(name, [])
            pieces[name] = list(saved.segments) if isinstance(saved, Segmented) else [saved]
            good = all(
                isinstance(p, np.ndarray) and p.shape[1:] == array.shape[1:] and p.dtype == array.dtype
                for p in pieces[name]
            )
            if not good or sum(len(p) for p in pieces[name]) != filled:
                raise ConfigError(
                    f"the saved replay does not fit this one at '{name}'; use the run's own configuration."
                )
        for name, array in arrays.items():
            at = 0
            for piece in pieces[name]:
                array[at : at + len(piece)] = piece
                at += len(piece)
        self.added = int(state["added"])


def _check_memory(capacity: int, transitions: int, shapes: dict[str, tuple[tuple[int, ...], Any]]) -> None:
    """Refuse what this machine cannot hold now, rather than be killed once it is full."""
    need = transitions * (12 + sum(math.prod(s) * np.dtype(d).itemsize for s, d in shapes.values()))
    try:
        have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # unknown on this system
        have = 2**48
    if need > have:
        raise ConfigError(
            f"a replay of {capacity:,} transitions takes {need / 1e9:,.1f} GB, and this machine has "
            f"{have / 1e9:,.1f} GB of memory; lower replay_size to {int(capacity * 0.8 * have / need):,} or less."
        )
