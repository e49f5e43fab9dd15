"""NumPy's global generator, in whose place another one draws for a while."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

_numpy: Any = np.random  # whose types leave out what changes its generator


class OwnNumpy:
    """Numbers of `numpy.random` that are one owner's alone, and go on where they ended.

    Two generators change places, which costs a hundredth of copying their states. The state is read once a time all the
    same, for the normal number that `numpy.random.normal` keeps for its next call: it belongs to no generator, and
    changing places would lose it.

    Args:
        own: the generator; None: a copy of the global one, as it is at the first use.
    """

    def __init__(self, own: np.random.BitGenerator | None = None) -> None:
        self._own: Any = own
        self._kept: dict[str, Any] | None = None

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the global generator is the owner's; afterwards it is as it was before."""
        before, kept = _numpy.get_bit_generator(), _with_normal()
        _place(copy.deepcopy(before) if self._own is None else self._own, self._kept)
        try:
            yield
        finally:
            self._own, self._kept = _numpy.get_bit_generator(), _with_normal()
            _place(before, kept)


def _with_normal() -> dict[str, Any] | None:
    """The global generator's state, if it keeps a normal number."""
    state: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002
    return state if state["has_gauss"] else None


def _place(generator: Any, kept: dict[str, Any] | None) -> None:
    _numpy.set_bit_generator(generator)
    if kept is not None:
        np.random.set_state(kept)  # noqa: NPY002
