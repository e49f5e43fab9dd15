"""A first-order linear recurrence along time, in ⌈log₂ T⌉ batched steps instead of T small ones."""

import torch
from jaxtyping import Float
from torch import Tensor


def reverse_scan(x: Float[Tensor, "T *rest"], decay: Float[Tensor, "T *rest"]) -> Float[Tensor, "T *rest"]:
    """``y_t = x_t + decay_t · y_tp1`` with ``y_T = 0``: what generalised advantages and discounted returns are made of.

    Recursive doubling (Hillis & Steele 1986): after a pass with span s, row t holds the sum of its first 2s terms and
    the product of their decays. Rows whose decay is 0 cut the sum. The last row's decay is not used.
    """
    steps, span = x.shape[0], 1
    total, product = x.clone(), decay.clone()
    while span < steps:
        # The right-hand sides are new tensors: an addition in place would read rows that it has already written.
        total[:-span] = torch.addcmul(total[:-span], product[:-span], total[span:])
        product[:-span] = product[:-span] * product[span:]
        span *= 2
    return total
