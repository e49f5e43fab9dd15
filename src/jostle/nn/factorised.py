"""The noisy weight under factorised noise, W = μ + σ∘(f_out f_inᵀ)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# From so many weights on, p×q temporaries and their page faults cost more than the calls of an autograd function
# (benchmarks/noisy_linear.py has layers of both kinds).
LARGE = 2**20


class _LargeNoisyWeight(torch.autograd.Function):
    """∂L/∂μ = G and ∂L/∂σ = G∘(f_out f_inᵀ), where G = ∂L/∂W = gᵀx comes from the matrix product that follows.

    Neither way makes a second p×q tensor beside its result, and none is saved.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(mu: Tensor, sigma: Tensor, f_in: Tensor, f_out: Tensor) -> Tensor:
        return (sigma * f_out.unsqueeze(-1)).mul_(f_in).add_(mu)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2], inputs[3])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad, (f_in, f_out) = grads[0], ctx.saved_tensors
        sigma = (grad * f_out.unsqueeze(-1)).mul_(f_in) if ctx.needs_input_grad[1] else None
        return grad if ctx.needs_input_grad[0] else None, sigma, None, None


def noisy_weight(
    mu: Float[Tensor, "q p"], sigma: Float[Tensor, "q p"], f_in: Float[Tensor, "p"], f_out: Float[Tensor, "q"]
) -> Float[Tensor, "q p"]:
    """W = μ + σ∘(f_out f_inᵀ), with gradients for μ and σ (Fortunato et al. 2017)."""
    if mu.numel() < LARGE:
        return torch.addcmul(mu, sigma, torch.outer(f_out, f_in))
    return _LargeNoisyWeight.apply(mu, sigma, f_in, f_out)  # type: ignore[no-any-return, no-untyped-call]
