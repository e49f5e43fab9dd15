"""Says so where nobody trains the size of the noise: an optimiser made before the layers were noisy has no σ."""

import warnings
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

FIRST = 100
"""Redraws after which is looked for the first time; then after twice as many, and so on, for a look costs a little."""
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Learning(Protocol):
    """What is looked at of a layer."""

    def learned(self) -> tuple[Tensor, Tensor] | None:
        """μ and σ."""


class SigmaWatch:
    """Warns once of σ that may be trained and does not move by a bit from one look to the next, while μ does."""

    def __init__(self) -> None:
        self._redraws, self._next = 0, FIRST
        self._seen: dict[str, tuple[int, int]] = {}

    def count(self, layers: Mapping[str, Learning]) -> None:
        """Another redraw of these layers, by name."""
        self._redraws += 1
        if self._redraws == self._next:
            self._next *= 2
            self._look(layers)

    def _look(self, layers: Mapping[str, Learning]) -> None:
        before, self._seen = self._seen, _seen(layers)
        idle = [
            name
            for name, (mu, sigma) in self._seen.items()
            if name in before and mu != before[name][0] and sigma == before[name][1]
        ]
        if idle:
            self._next = 0
            warnings.warn(
                f"sigma of {', '.join(name or 'the layer' for name in idle)} has not moved by a bit from the "
                f"{self._redraws // 2}th to the {self._redraws}th redraw, though the weights have: call to_noisy "
                "before making the optimiser, or freeze sigma with requires_grad_(False) if that is meant.",
                stacklevel=4,
            )


@torch.no_grad()
def _seen(layers: Mapping[str, Learning]) -> dict[str, tuple[int, int]]:
    """Sums of the bits of μ and σ, of the layers whose σ may be trained."""
    learned = {name: found for name, layer in layers.items() if (found := layer.learned()) is not None}
    return {name: (_bits(mu), _bits(sigma)) for name, (mu, sigma) in learned.items() if sigma.requires_grad}


def _bits(x: Tensor) -> int:
    return int(x.view(_WORDS[x.element_size()]).sum())
