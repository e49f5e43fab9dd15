"""NumPy's global generator of one's own."""

from typing import Any

import numpy as np
import pytest

from jostle.envs.engines.numpy_global import OwnNumpy

_numpy: Any = np.random


def normals(count: int) -> list[float]:
    """One by one: every second one is kept from the call before."""
    return [_numpy.normal() for _ in range(count)]


def test_the_owner_draws_what_a_generator_alone_does_and_nobody_else_notices() -> None:
    alone = np.random.RandomState(np.random.MT19937(7))
    expected = [alone.normal() for _ in range(9)]
    own = OwnNumpy(np.random.MT19937(7))
    _numpy.seed(3)
    others = normals(9)
    _numpy.seed(3)
    got, seen = [], []
    for _ in range(3):  # three: within and without, a normal number is kept over the change
        seen += normals(3)
        with own.in_place():
            got += normals(3)
    assert got == expected
    assert seen == others


def test_without_a_generator_it_begins_as_the_global_one_and_leaves_that_alone() -> None:
    _numpy.seed(5)
    expected = _numpy.random(4).tolist()
    _numpy.seed(5)
    own = OwnNumpy()
    with own.in_place():
        assert _numpy.random(2).tolist() == expected[:2]
    assert _numpy.random(4).tolist() == expected
    with own.in_place():
        assert _numpy.random(2).tolist() == expected[2:]


def test_an_error_within_puts_the_generator_back() -> None:
    before = _numpy.get_bit_generator()
    with pytest.raises(RuntimeError), OwnNumpy(np.random.MT19937(1)).in_place():
        raise RuntimeError
    assert _numpy.get_bit_generator() is before
