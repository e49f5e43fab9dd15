"""Masks of legal actions: what environments tell in ``info["action_mask"]``, checked and in one form.

A space of choices side by side has one entry for every action of every choice, in the order of the choices, as
sb3-contrib's MaskablePPO has them: A for Discrete, Σ nvec for MultiDiscrete, 2 D for MultiBinary.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Int

from jostle.errors import EnvError

KEY = "action_mask"
Mask = Bool[np.ndarray, "N P"]


def counts_of(space: spaces.Space[Any]) -> list[int]:
    """How many actions each choice of an action space has; empty where there is nothing to choose (Box)."""
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(n) for n in space.nvec.ravel()]
    return [2] * int(np.prod(space.shape)) if isinstance(space, spaces.MultiBinary) else []


class MaskReader:
    """Brings what environments tell of legal actions into one form: bool [N, P], true where an action is legal.

    Args:
        space: of one environment's actions.
        num_envs: N.
        env: the environments' name, for messages.
    """

    def __init__(self, space: spaces.Space[Any], num_envs: int, env: str) -> None:
        self.counts, self._num_envs, self._env, self._space = counts_of(space), num_envs, env, space
        self._size, self._firsts = sum(self.counts), np.cumsum([0, *self.counts[:-1]])

    def read(self, told: Any, where: Any, free: Bool[np.ndarray, "N"]) -> Mask:
        """The masks of all rows, in new memory.

        Args:
            told: what the rows told, an array of N masks; of MultiDiscrete also a sequence of masks, one per choice;
                None: nothing.
            where: bool [N], the rows that told one; in the others everything is legal. None: all of them.
            free: the rows whose next action is ignored, which need no legal one.

        Raises:
            EnvError: a mask of another shape, of other numbers than 0 and 1, or without a legal action.
        """
        if told is None:
            return np.ones((self._num_envs, self._size), np.bool_)
        rows = np.ones(self._num_envs, np.bool_) if where is None else np.asarray(where, np.bool_)
        array: Any = told if isinstance(told, np.ndarray) else np.asarray(told, object)
        if array.dtype.kind not in "biuf" or array.shape != (self._num_envs, self._size):
            array = self._row_by_row(array, rows)
        elif array.dtype != np.bool_:
            wrong = ((array != 0) & (array != 1)).any(1) & rows
            if wrong.any():
                raise self._wrong(int(wrong.argmax()), f"holds {array[wrong.argmax()].tolist()}")
        mask: np.ndarray = array.astype(np.bool_) | ~rows[:, None]
        legal = np.logical_or.reduceat(mask, self._firsts, 1)
        if not legal.all():
            none = ~legal.all(1)
            mask[none & free] = True
            if (none & ~free).any():
                row = int((none & ~free).argmax())
                raise EnvError(
                    f"{self._env}: environment {row} leaves no legal action{self._choice(legal[row])}, and its episode "
                    f'has not ended: end it, or leave an entry of info["{KEY}"] true.'
                )
        return mask

    def _row_by_row(self, array: Any, rows: Bool[np.ndarray, "N"]) -> Mask:
        mask = np.ones((self._num_envs, self._size), np.bool_)
        for row in np.flatnonzero(rows).tolist():
            told = array[row] if array.ndim and row < len(array) else array
            if told is not None:
                mask[row] = self._one(told, row)
        return mask

    def _one(self, told: Any, row: int) -> Bool[np.ndarray, "P"]:
        """The mask of one row, choice by choice or all in one."""
        try:
            parts = [np.asarray(part).ravel() for part in told] if len(self.counts) > 1 else []
            split = len(parts) == len(self.counts) and [len(part) for part in parts] == self.counts
            flat = np.concatenate(parts) if split else np.asarray(told)
        except (TypeError, ValueError):
            flat = np.asarray(told, object)
        if flat.shape != (self._size,):
            raise self._wrong(row, f"has the shape {list(flat.shape)}")
        if not all(entry in (0, 1) for entry in flat.tolist()):
            raise self._wrong(row, f"holds {flat.tolist()}")
        return flat.astype(np.bool_)

    def _wrong(self, row: int, found: str) -> EnvError:
        entries = " + ".join(map(str, self.counts)) if len(self.counts) > 1 else str(self._size)
        return EnvError(
            f'{self._env}: info["{KEY}"] of environment {row} {found}; for the actions {self._space} it must be '
            f"{entries} entries of 0 (illegal) and 1 (legal): correct it, or give it another name."
        )

    def _choice(self, legal: Bool[np.ndarray, "D"]) -> str:
        return f" for choice {int((~legal).argmax())}" if len(legal) > 1 else ""


def legal_choices(mask: Mask, counts: Sequence[int], rng: np.random.Generator) -> Int[np.ndarray, "N D"]:
    """For each row and choice one of the legal actions, counted from 0, each as likely as the others."""
    key = np.where(mask, rng.random(mask.shape), -1.0)
    return np.stack([part.argmax(1) for part in np.split(key, np.cumsum(counts)[:-1], 1)], 1)
