"""What stays out of compiled graphs, at no cost where nothing is compiled."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def eager(function: Callable[P, R]) -> Callable[P, R]:
    """A function that runs as Python even where what calls it is compiled.

    `torch.compiler.disable` does so too, but imports the compiler, which takes as long as torch itself; here that
    waits until something is compiled.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)  # type: ignore[no-untyped-call, no-any-return]
        return function(*args, **kwargs)

    return call
