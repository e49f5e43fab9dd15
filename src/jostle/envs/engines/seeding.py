"""Global generators of their own for environments that draw from `numpy.random`, `random` or their action space."""

import contextlib
import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from jostle.envs.engines.numpy_global import OwnNumpy


class SeededGlobals(VectorWrapper[Any, Any, Any]):
    """While its environments are reset and stepped, the global generators are theirs, seeded by each seeded reset.

    Afterwards the generators are as they were before, so that neither the trainer's draws nor those of other
    environments in this process are moved. Row i's action and observation space are seeded with ``seed + i``.

    Args:
        vector: environments that are stepped in this process.
        rows: each of them.
    """

    def __init__(self, vector: VectorEnv[Any, Any, Any], rows: Sequence[gym.Env[Any, Any]]) -> None:
        super().__init__(vector)
        self._rows = rows
        self.frame_skip = int(getattr(vector, "frame_skip", 1))
        self._python: Any = None
        self._numpy = OwnNumpy()
        for row in rows:
            _own_spaces(row.unwrapped)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The environments' reset."""
        with self._theirs():
            if seed is not None:
                each = [seed + i for i in range(len(self._rows))] if isinstance(seed, int) else list(seed)
                random.seed(each[0])
                np.random.seed(each[0] % 2**32)  # noqa: NPY002  # the global generator is what is meant
                for row, own in zip(self._rows, each, strict=True):
                    _seed_spaces(row, own)
            return self.env.reset(seed=seed, options=options)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """The environments' step."""
        with self._theirs():
            return self.env.step(actions)

    @contextlib.contextmanager
    def _theirs(self) -> Iterator[None]:
        before = random.getstate()
        if self._python is not None:
            random.setstate(self._python)
        try:
            with self._numpy.in_place():
                yield
        finally:
            self._python = random.getstate()
            random.setstate(before)


def _own_spaces(env: gym.Env[Any, Any]) -> None:
    """Spaces that stand in the class are shared by all of its environments: give this one its own."""
    for name in ("action_space", "observation_space"):
        if name not in vars(env):
            with contextlib.suppress(AttributeError):  # a property without a setter
                setattr(env, name, copy.deepcopy(getattr(env, name)))


def _seed_spaces(env: gym.Env[Any, Any], seed: int) -> None:
    seen: set[int] = set()
    while True:
        for space in (env.action_space, env.observation_space):
            if id(space) not in seen:
                seen.add(id(space))
                space.seed(seed)
        if not isinstance(env, gym.Wrapper):
            return
        env = env.env
