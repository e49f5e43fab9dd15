"""The global random generators, for policies of other people's that draw from them."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


class OwnGlobals:
    """States of the global generators (torch's on the CPU, NumPy's, Python's) that are one actor's alone.

    Within `in_place` they are the actor's and go on where it left them; afterwards they are as they were before.
    """

    def __init__(self, seed: int) -> None:
        self._state: tuple[Any, Any, Any] = (
            torch.Generator().manual_seed(seed).get_state(),
            np.random.RandomState([seed, 1]).get_state(),  # of the seed alone it would draw what torch draws
            random.Random(seed).getstate(),
        )

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Draw from the actor's."""
        before = _get()
        _set(self._state)
        try:
            yield
        finally:
            self._state = _get()
            _set(before)


def _get() -> tuple[Any, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def _set(state: tuple[Any, Any, Any]) -> None:
    torch.set_rng_state(state[0])
    np.random.set_state(state[1])  # noqa: NPY002
    random.setstate(state[2])
