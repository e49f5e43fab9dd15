"""The units in which the values of a reward stream are learned: the running deviation of their targets."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jostle.algo.parts.stream_settings import EXTRINSIC, SUM
from jostle.functional.running import Moments


class ValueScale(nn.Module):
    """Divides the errors of values by the deviation of all targets so far, where that is above 1.

    Values and returns stay in the units of the rewards; errors alone are divided, so a stream of large returns moves
    shared layers no more than one of small ones. Errors are never magnified: noise around values near 0 stays small.

    Args:
        normalised: for each of the K streams, whether its errors are divided.

    Attributes:
        scale: what values and targets are divided by in the loss; 1 for streams that are not normalised.
    """

    normalised: Bool[Tensor, "K"]
    scale: Float[Tensor, "K"]

    def __init__(self, normalised: Sequence[bool]) -> None:
        super().__init__()
        self.targets = Moments((len(normalised),))
        self.register_buffer("normalised", torch.tensor(normalised), persistent=False)
        self.register_buffer("scale", torch.ones(len(normalised)))

    def update(self, target: Float[Tensor, "*rows K"], valid: Bool[Tensor, "*rows"] | None = None) -> None:
        """Count the targets of the valid rows."""
        self.targets.update(target, valid)
        self.scale.copy_(torch.where(self.normalised, self.targets.std.clamp_min(1.0), 1.0))


def make_value_scale(norm: Literal["none", "intrinsic", "all"], names: Sequence[str]) -> ValueScale | None:
    """By the setting ``value_norm`` and the streams' names; None where nothing is divided."""
    normalised = [norm == "all" or (norm == "intrinsic" and name not in (EXTRINSIC, SUM)) for name in names]
    return ValueScale(normalised) if any(normalised) else None
