"""Many draws over the same observations in one pass, with nothing computed twice that the draws have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from jostle.nn.encoders import ImageEncoder, Join
from jostle.nn.noise import StochasticLayer


class RowRepeater:
    """Lets an encoder return every observation several times, [B, …] → [times·B, F], the whole batch again and again.

    Rows are repeated as late as noise allows: features where the encoder has no noise, pictures in [0, 1] where the
    noise comes after these, observations otherwise. Draws [times·B] then say what each row sees.

    Args:
        encoder: the encoder, which gets hooks that do nothing outside `by`.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self._times = 1
        self._attach(encoder)

    @contextmanager
    def by(self, times: int) -> Iterator[None]:
        """Within the block, the encoder repeats its rows."""
        self._times = times
        try:
            yield
        finally:
            self._times = 1

    def _attach(self, encoder: nn.Module) -> None:
        if isinstance(encoder, Join):
            for part in encoder.encoders.values():
                self._attach(part)
        elif not any(isinstance(layer, StochasticLayer) for layer in encoder.modules()):
            encoder.register_forward_hook(lambda _module, _args, out: self._repeat(out))
        elif isinstance(encoder, ImageEncoder):
            encoder.images.register_forward_hook(lambda _module, _args, out: self._repeat(out))
        else:
            encoder.register_forward_pre_hook(lambda _module, args: (self._repeat(args[0]), *args[1:]))

    def _repeat(self, x: Any) -> Any:
        if isinstance(x, dict):
            return {key: self._repeat(part) for key, part in x.items()}
        assert isinstance(x, Tensor)
        return torch.cat([x] * self._times) if self._times > 1 else x  # unlike `repeat`, it keeps the memory format
