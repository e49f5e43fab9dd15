"""The global random generators, for policies of other people's that draw from them."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from jostle.envs.engines.numpy_global import OwnNumpy


class OwnGlobals:
    """States of the global generators (torch's on the CPU, NumPy's, Python's) that are one actor's alone.

    Within `in_place` they are the actor's and go on where it left them; afterwards they are as they were before.
    """

    def __init__(self, seed: int) -> None:
        self._torch = torch.Generator().manual_seed(seed).get_state()
        self._numpy = OwnNumpy(np.random.MT19937([seed, 1]))  # of the seed alone it would draw what torch draws
        self._python: Any = random.Random(seed).getstate()

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Draw from the actor's."""
        before = torch.get_rng_state(), random.getstate()
        torch.set_rng_state(self._torch)
        random.setstate(self._python)
        try:
            with self._numpy.in_place():
                yield
        finally:
            self._torch, self._python = torch.get_rng_state(), random.getstate()
            torch.set_rng_state(before[0])
            random.setstate(before[1])
