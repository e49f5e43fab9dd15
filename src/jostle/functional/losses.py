"""Losses of the value-based agents."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def td_loss(
    q: Float[Tensor, "B K"],
    target: Float[Tensor, "B K"],
    kind: Literal["huber", "squared"],
    weight: float | Float[Tensor, "K"] = 1.0,
) -> Float[Tensor, ""]:
    """Temporal-difference loss: the mean over the batch of the sum over reward streams, each times its weight.

    ``huber`` is ½δ² within |δ| ≤ 1 and |δ| − ½ beyond, whose gradient is Mnih et al.'s (2015) error clipping;
    ``squared`` is δ² without the half, as the NoisyNet paper's algorithm has it (Fortunato et al. 2017).
    """
    loss = F.smooth_l1_loss if kind == "huber" else F.mse_loss
    each = loss(q, target, reduction="none")
    return (each * weight if isinstance(weight, Tensor) or weight != 1 else each).sum(1).mean()
