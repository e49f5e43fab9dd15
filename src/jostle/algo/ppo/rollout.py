"""Rollout: T steps of N environments, each observation stored once, each frame of a stack once, in its own dtype.

Row t of an environment is (obs_t, action_t, reward_t, obs_tp1, terminated_t, truncated_t) in NEXT_STEP mode; its
successor observation is simply the next row's. Where row t ended its episode, row t + 1 is invalid, and its observation
the final one. Row T is the observation that the next rollout begins with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Int
from torch import Tensor

from jostle.errors import ConfigError, EnvError
from jostle.nn.encoders import Observation
from jostle.nn.privileged import HISTORY

_ONLY = "obs"  # the key of an observation that is no dictionary
Array = np.ndarray[Any, np.dtype[Any]]
MinibatchBy = Literal["rows", "envs", "slices"]


@dataclass(frozen=True)
class _Stack:
    """How the observations of a key are rebuilt from what is stored of them, which is the newest entry of each.

    Args:
        depth: k, how many entries there are, the oldest first.
        entry, shape: the shapes of one, and of the whole.
        padding: what stands before an episode's first entry: that one again, or zeros.
        age: int64 [T + 1, N], rows since the episode's start, at most k − 1.
    """

    depth: int
    entry: tuple[int, ...]
    shape: tuple[int, ...]
    padding: str
    age: Array

    @property
    def head(self) -> int:
        """Entries that lie before row 0."""
        return self.depth - 1

    def entries(self, obs: Any) -> Any:
        """[B, *shape] → [B, k, *entry]."""
        return obs.reshape(len(obs), self.depth, *self.entry)


class Rollout:
    """Storage of one rollout, written over by the next.

    Flat row ids are time-major: row t of environment n is t · N + n.

    Args:
        steps: T.
        num_envs: N.
        observation_space: the single environment's space.
        action_shape, action_dtype: of one of the policy's actions.
        num_params: P, numbers that describe the policy's distribution of one row.
        num_streams: K.
        state_shape: (S, H) of a recurrent state; None without.
        sequence_length: states are stored at every multiple of it.
        frame_stack, stack_padding: as of the environment; only the newest frame of a stack is stored, and of an
            episode's last observations and actions (`jostle.envs.past`) the newest ones.
        device: where everything lies.

    Attributes:
        action [T, N, …], pi [T, N, P], log_prob [T, N], value [T + 1, N, K], reward [T, N], terminated, truncated,
        valid [T, N], start [T + 1, N], mask [T + 1, N, P] (legal actions; None until some are told), draw [T + 1, N, 2]
        (slots of the weights' noise and of the input's),
        state [T / sequence_length, S, N, H] (None without).
    """

    def __init__(
        self,
        steps: int,
        num_envs: int,
        observation_space: gym.Space[Any],
        *,
        action_shape: tuple[int, ...],
        action_dtype: torch.dtype,
        num_params: int,
        num_streams: int = 1,
        state_shape: tuple[int, int] | None = None,
        sequence_length: int = 0,
        frame_stack: int = 1,
        stack_padding: str = "repeat",
        device: torch.device | str = "cpu",
    ) -> None:
        self.steps, self.num_envs, self.stack = steps, num_envs, frame_stack
        self.sequence_length = sequence_length or steps
        self.device = torch.device(device)
        self.is_dict = isinstance(observation_space, spaces.Dict)
        inner = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {_ONLY: observation_space}
        shapes = {key: (space.shape or (), space.dtype) for key, space in inner.items()}
        self.stacks: dict[str, _Stack] = {}
        for key, depth, padding in ((_ONLY, frame_stack, stack_padding), (HISTORY, 0, "zero")):
            if key not in shapes or (key == _ONLY and depth == 1):
                continue
            shape, dtype = shapes[key]
            depth = depth or shape[0]
            entry = (shape[0] // depth, *shape[1:]) if key == _ONLY else shape[1:]
            age = np.zeros((steps + 1, num_envs), np.int64)
            self.stacks[key], shapes[key] = _Stack(depth, entry, shape, padding, age), (entry, dtype)
        self._heads = {key: self.stacks[key].head if key in self.stacks else 0 for key in shapes}

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(*shape, dtype=dtype, device=self.device)

        try:
            self.obs = {
                key: zeros(self._heads[key] + steps + 1, num_envs, *shape, dtype=_torch_dtype(dtype))
                for key, (shape, dtype) in shapes.items()
            }
        except RuntimeError as error:
            raise ConfigError(
                f"a rollout of {steps} steps of {num_envs} environments does not fit into memory; lower num_steps or "
                "num_envs."
            ) from error
        self.action = zeros(steps, num_envs, *action_shape, dtype=action_dtype)
        self.pi = zeros(steps, num_envs, num_params)
        self.log_prob = zeros(steps, num_envs)
        self.value = zeros(steps + 1, num_envs, num_streams)
        # Written by NumPy, a fraction of what small tensors cost; `finish` brings them to the device.
        self._host = {
            "reward": np.zeros((steps, num_envs), np.float32),
            "terminated": np.zeros((steps, num_envs), np.bool_),
            "truncated": np.zeros((steps, num_envs), np.bool_),
            "valid": np.zeros((steps, num_envs), np.bool_),
            "start": np.zeros((steps + 1, num_envs), np.bool_),
        }
        self.finish()
        self.mask: Tensor | None = None
        self.draw = zeros(steps + 1, num_envs, 2, dtype=torch.int32)
        self.state: Tensor | None = None
        if state_shape is not None:
            self.state = zeros(steps // self.sequence_length, state_shape[0], num_envs, state_shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the storage."""
        tensors = [value for value in vars(self).values() if isinstance(value, Tensor)]
        ages = sum(stack.age.nbytes for stack in self.stacks.values())
        return ages + sum(t.numel() * t.element_size() for t in [*tensors, *self.obs.values()])

    # ---- writing ----

    def begin(self, obs: Any, start: Array, mask: Array | None = None) -> None:
        """Row 0, with every entry of its stacks."""
        for key, stack in self.stacks.items():
            older = stack.entries(obs[key] if self.is_dict else obs)[:, :-1]
            self.obs[key][: stack.head] = torch.as_tensor(older).to(self.device).transpose(0, 1)
        self.put(0, obs, start, mask)
        for stack in self.stacks.values():
            stack.age[0] = stack.head

    def add(self, t: int, reward: Array, terminated: Array, truncated: Array, valid: Array) -> None:
        """What the environments answered in row t."""
        host = self._host
        host["reward"][t], host["terminated"][t], host["truncated"][t] = reward, terminated, truncated
        host["valid"][t] = valid

    def finish(self) -> None:
        """Rewards and flags as tensors on the device, once all rows are written."""
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in self._host.items()}
        self.reward, self.terminated, self.truncated = (tensors[n] for n in ("reward", "terminated", "truncated"))
        self.valid, self.start = tensors["valid"], tensors["start"]

    def put(self, t: int, obs: Any, start: Array, mask: Array | None = None) -> None:
        """The observation of row t, whether it is the first of an episode, and which actions are legal (None: all)."""
        for key, tensor in self.obs.items():
            part, stack = obs[key] if self.is_dict else obs, self.stacks.get(key)
            if stack is not None:
                entries = stack.entries(part)
                if t and start.any():
                    self._check_padding(entries[start], stack.padding)
                stack.age[t] = np.where(start, 0, np.minimum(stack.age[t - 1] + 1, stack.head))
                part = entries[:, -1]
            tensor[self._heads[key] + t].copy_(torch.as_tensor(part), non_blocking=True)
        self._host["start"][t] = start
        if mask is not None:
            if self.mask is None:
                shape = (self.steps + 1, *mask.shape)
                self.mask = torch.ones(shape, dtype=torch.bool, device=self.device)
            self.mask[t].copy_(torch.as_tensor(mask), non_blocking=True)
        elif self.mask is not None:
            self.mask[t] = True

    def _check_padding(self, frames: Any, padding: str) -> None:
        expected = frames[:, -1:] if padding == "repeat" else np.zeros_like(frames[:, -1:])
        if not (frames[:, :-1] == expected).all():
            raise EnvError(
                f"the environment does not fill its frame stack by '{padding}' at an episode's start, so "
                "frames cannot be stored once; stack frames with make_env(frame_stack=…) instead."
            )

    # ---- reading ----

    def observations(self, rows: Int[Tensor, "B"]) -> Observation:
        """The observations of flat rows (of T + 1 times N), each stack rebuilt from the entries before."""
        picked = {key: self.part(key, rows) for key in self.obs}
        return picked if self.is_dict else picked[_ONLY]

    def part(self, key: str, rows: Int[Tensor, "B"]) -> Tensor:
        """One key of them; "obs" where observations are no dictionaries."""
        stored, stack = self.obs[key].flatten(0, 1), self.stacks.get(key)
        if stack is None:
            return stored.index_select(0, rows)
        age = torch.from_numpy(stack.age).view(-1)[rows.cpu()].to(self.device)[:, None]
        back = torch.arange(stack.head, -1, -1, device=self.device)  # [k]: how many rows before the newest entry
        index = rows.to(self.device)[:, None] + (stack.head - torch.minimum(back, age)) * self.num_envs
        entries = stored[index]  # [B, k, *entry]
        if stack.padding == "zero":
            entries[back > age] = 0
        return entries.reshape(len(rows), *stack.shape)

    def masks(self, rows: Int[Tensor, "*B"]) -> Bool[Tensor, "B P"] | None:
        """The legal actions of flat rows (of T + 1 times N); None where nothing was ever illegal."""
        return None if self.mask is None else flat(rows, self.mask)

    def newest(self, *, following: bool = False) -> Observation:
        """The newest frame, or the whole unstacked observation, of rows 0 to T − 1 or 1 to T: views [T, N, …]."""
        views = {key: tensor[self._heads[key] + following :][: self.steps] for key, tensor in self._seen()}
        return views if self.is_dict else views[_ONLY]

    def newest_of(self, rows: Int[Tensor, "B"]) -> Observation:
        """The newest frame, or the whole unstacked observation, of flat rows of T + 1 times N."""
        picked = {key: tensor[self._heads[key] :].flatten(0, 1).index_select(0, rows) for key, tensor in self._seen()}
        return picked if self.is_dict else picked[_ONLY]

    def _seen(self) -> list[tuple[str, Tensor]]:
        """What the environments tell themselves: all but the history."""
        return [(key, tensor) for key, tensor in self.obs.items() if key != HISTORY]

    def minibatches(self, count: int, by: MinibatchBy, generator: torch.Generator) -> Iterator[Int[Tensor, "T2 n"]]:
        """Flat rows of ``count`` minibatches that cover the rollout once.

        ``rows``: random rows [1, T·N / count]. ``envs``, ``slices``: whole sequences [L, n] in time order, of random
        environments, or of neighbouring ones in fixed order; a rollout that is longer than the sequences is cut.
        """
        total = self.steps * self.num_envs
        if by == "rows":
            order = torch.randperm(total, generator=generator)
            for part in order.tensor_split(min(count, total)):
                yield part[None]
            return
        length = self.sequence_length
        sequences = self.num_envs * (self.steps // length)
        order = torch.randperm(sequences, generator=generator) if by == "envs" else torch.arange(sequences)
        for part in order.tensor_split(min(count, sequences)):
            chunk, env = part // self.num_envs, part % self.num_envs
            yield (torch.arange(length)[:, None] + chunk * length) * self.num_envs + env

    def initial_state(self, rows: Int[Tensor, "T2 n"]) -> Tensor | None:
        """The stored recurrent state [S, n, H] before the first row of each sequence of `minibatches`."""
        if self.state is None:
            return None
        chunk, env = rows[0] // self.num_envs // self.sequence_length, rows[0] % self.num_envs
        return self.state[chunk, :, env].transpose(0, 1)


def _torch_dtype(dtype: Any) -> torch.dtype:
    return torch.from_numpy(np.zeros(0, dtype)).dtype


def flat(rows: Int[Tensor, "T2 n"], of: Tensor) -> Tensor:
    """Entries of a [T, N, …] tensor at flat rows: [T2·n, …]."""
    return of.flatten(0, 1).index_select(0, rows.reshape(-1))
