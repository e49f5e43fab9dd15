"""Products with independent noise that differs from row to row, in memory for one weight, not for one per row."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


def _slices(draw: Tensor, slots: int) -> tuple[Tensor, list[tuple[int, int, int]]]:
    """The order that sorts rows by slot, and (slot, first, past the last) of every slot that occurs."""
    counts = torch.bincount(draw, minlength=slots).tolist()
    found, first = [], 0
    for slot, count in enumerate(counts):
        if count:
            found.append((slot, first, first + count))
        first += count
    return torch.argsort(draw, stable=True), found


# Custom operators, because the loop over slots depends on data: torch.compile takes each whole.
@torch.library.custom_op("jostle::noise_product", mutates_args=())
def _product(x: Tensor, draw: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    order, slices = _slices(draw, len(noise))
    rows, sigma_eps = x[order], torch.empty_like(sigma)
    y = x.new_empty(len(x), len(sigma))
    for slot, a, b in slices:
        torch.mul(sigma, noise[slot, : sigma.numel()].view_as(sigma), out=sigma_eps)
        y[order[a:b]] = rows[a:b] @ sigma_eps.to(x.dtype).T
    return y


@_product.register_fake
def _(x: Tensor, draw: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], sigma.shape[0])


@torch.library.custom_op("jostle::noise_product_backward", mutates_args=())
def _backward(grad: Tensor, x: Tensor, draw: Tensor, sigma: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    order, slices = _slices(draw, len(noise))
    rows, grads, scratch = x[order], grad[order], torch.empty_like(sigma)
    grad_x, grad_sigma = torch.empty_like(x), torch.zeros_like(sigma)
    for slot, a, b in slices:
        eps = noise[slot, : sigma.numel()].view_as(sigma)
        grad_x[order[a:b]] = grads[a:b] @ torch.mul(sigma, eps, out=scratch).to(grad.dtype)
        grad_sigma.addcmul_((grads[a:b].T @ rows[a:b]).to(sigma.dtype), eps)
    return grad_x, grad_sigma


@_backward.register_fake
def _(grad: Tensor, x: Tensor, draw: Tensor, sigma: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(sigma)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor, None]:
    grad_x, grad_sigma = _backward(grad.contiguous(), *ctx.saved_tensors)
    return grad_x, None, grad_sigma, None


_product.register_autograd(_gradients, setup_context=_setup_context)


def noise_product(
    x: Float[Tensor, "*B p"], draw: Int[Tensor, "*B"], sigma: Float[Tensor, "q p"], noise: Float[Tensor, "D N"]
) -> Float[Tensor, "*B q"]:
    """(σ∘ε_d) x for every row x and its slot d, with gradients for x and σ.

    noise: one slot per row, its first q·p entries being ε. Memory: one q×p scratch and copies of the rows.
    """
    q, p = sigma.shape
    y: Tensor = _product(x.reshape(-1, p), draw.reshape(-1), sigma, noise)
    return y.view(*x.shape[:-1], q)
