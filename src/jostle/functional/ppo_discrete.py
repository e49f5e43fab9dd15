"""The whole loss of PPO for one choice among A actions, with its gradients in closed form: one step of autograd.

Term by term it is what `jostle.functional.ppo` and `Categorical` give; on small networks their many small operations,
forwards and backwards, cost as much as the network.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


class Coefficients(NamedTuple):
    """Clip ranges of the ratio (inf: none) and of the values (0: none); weights of the values' loss and the entropy.

    ``value`` is one weight, or one for each stream. ``scale`` are the units of each stream's values and targets, in
    which their errors, and the clip range, are measured; None: their own.
    """

    clip: float
    value_clip: float
    value: float | Float[Tensor, "K"]
    entropy: float
    scale: Float[Tensor, "K"] | None = None


def discrete_loss(
    logits: Float[Tensor, "B A"],
    value: Float[Tensor, "B K"],
    action: Int[Tensor, "B"],
    old_log_prob: Float[Tensor, "B"],
    advantage: Float[Tensor, "B"],
    old_value: Float[Tensor, "B K"],
    target: Float[Tensor, "B K"],
    valid: Bool[Tensor, "B"],
    count: Int[Tensor, ""],
    coefficients: Coefficients,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]], Float[Tensor, ""]]:
    """``L_policy + Σ_k c_k L_value − c_e H`` over the valid rows, divided by ``count``.

    Values and targets are taken as they are: ``scale`` is the caller's. Everything in invalid rows must be finite; it
    counts for nothing.

    Returns:
        The loss, which has gradients for logits and values; its terms and diagnostics (policy, value, entropy,
        approx_kl, clip_fraction); the largest |ρ − 1| of a valid row.
    """
    weight = valid / count.clamp_min(1)
    loss, terms = _DiscreteLoss.apply(  # type: ignore[no-untyped-call]
        logits, value, action, old_log_prob, advantage, old_value, target, weight, coefficients
    )
    names = ("policy", "value", "entropy", "approx_kl", "clip_fraction")
    return loss, dict(zip(names, terms[:-1].unbind(), strict=True)), terms[-1]


class _DiscreteLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        value: Tensor,
        action: Tensor,
        old_log_prob: Tensor,
        advantage: Tensor,
        old_value: Tensor,
        target: Tensor,
        weight: Tensor,
        c: Coefficients,
    ) -> tuple[Tensor, Tensor]:
        log_p = torch.log_softmax(logits, 1)
        p, chosen = log_p.exp(), action[:, None]
        log_ratio = log_p.gather(1, chosen)[:, 0] - old_log_prob
        ratio = log_ratio.exp()
        error = (ratio - 1).mul_(weight > 0)
        surrogate = ratio * advantage
        clipped = ratio.clamp(1 - c.clip, 1 + c.clip) * advantage
        entropy = -(p * log_p).sum(1)
        # ∂/∂ log π(a) of the smaller surrogate is itself, or nothing where it is clipped; ∂ log π(a)/∂ z = 1_a − p.
        slope = torch.where(surrogate <= clipped, surrogate, 0.0).mul_(weight)
        # ∂H/∂ z = −p (log p + H)
        grad = (log_p + entropy[:, None]).mul_((c.entropy * weight)[:, None]).add_(slope[:, None]).mul_(p)
        grad.scatter_add_(1, chosen, -slope[:, None])
        wrong, squares = _values(value, old_value, target, c.value_clip)
        ctx.save_for_backward(grad, wrong.mul_(weight[:, None] * c.value))
        each = torch.stack(
            [
                -torch.minimum(surrogate, clipped),
                squares.sum(1).mul_(0.5),
                entropy,
                torch.expm1(log_ratio) - log_ratio,
                (error.abs() > c.clip).float(),
            ]
        )
        terms = torch.cat([each.mv(weight), error.abs().max()[None]])
        ctx.mark_non_differentiable(terms)
        valued = 0.5 * squares.mv(c.value).dot(weight) if isinstance(c.value, Tensor) else c.value * terms[1]
        loss = terms[0] + valued - c.entropy * terms[2]
        return loss, terms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        policy, value = ctx.saved_tensors
        return policy * grads[0], value * grads[0], *[None] * 7


def _values(
    value: Float[Tensor, "B K"], old: Float[Tensor, "B K"], target: Float[Tensor, "B K"], clip: float
) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """The derivatives of the values' losses, and twice these; see `functional.value_loss`."""
    error = value - target
    if clip <= 0:
        return error, error.square()
    moved = value - old
    near = old + moved.clamp(-clip, clip) - target
    far, close = error.square(), near.square()
    slope = torch.where(far >= close, error, torch.where(moved.abs() <= clip, near, 0.0))
    return slope, torch.maximum(far, close)
