"""PPO's loss for any action space, with its gradients in closed form: one step of autograd.

Term by term it is what `jostle.functional.ppo` and the distributions give; on small networks their many small
operations, forwards and backwards, cost as much as the network.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from jostle.nn.distributions import Distribution, Head

_TERMS = ("policy", "value", "entropy", "approx_kl", "clip_fraction")


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


def ppo_loss(
    head: Head,
    pi: Float[Tensor, "B P"],
    value: Float[Tensor, "B K"],
    action: Tensor,
    old_log_prob: Float[Tensor, "B"],
    advantage: Float[Tensor, "B"],
    old_value: Float[Tensor, "B K"],
    target: Float[Tensor, "B K"],
    weight: Float[Tensor, "B"],
    c: Coefficients,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]], Float[Tensor, ""]]:
    """``L_policy + Σ_k c_k L_value − c_e H``, each the sum of its rows by ``weight``: for a mean, 1 / their number.

    Values and targets are measured in the units ``c.scale``. A row of weight 0 counts for nothing; everything in it
    must be finite.

    Returns:
        The loss, which has gradients for ``pi`` and the values; its terms and diagnostics (policy, value, entropy,
        approx_kl, clip_fraction); the largest |ρ − 1| of a row that counts.
    """
    if c.scale is not None:
        value, old_value, target = value / c.scale, old_value / c.scale, target / c.scale
    loss, terms = _Loss.apply(  # type: ignore[no-untyped-call]
        pi, value, head.distribution, action, old_log_prob, advantage, old_value, target, weight, c
    )
    return loss, named(terms), terms[-1]


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pi: Tensor, value: Tensor, *given: Any) -> tuple[Tensor, Tensor]:
        loss, terms, *gradients = loss_and_gradients(pi, value, *given)
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(terms)
        return loss, terms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        policy, value = ctx.saved_tensors
        return policy * grads[0], value * grads[0], *[None] * 8


def loss_and_gradients(
    pi: Float[Tensor, "B P"],
    value: Float[Tensor, "B K"],
    make: Callable[[Tensor], Distribution],
    action: Tensor,
    old_log_prob: Float[Tensor, "B"],
    advantage: Float[Tensor, "B"],
    old_value: Float[Tensor, "B K"],
    target: Float[Tensor, "B K"],
    weight: Float[Tensor, "B"],
    c: Coefficients,
) -> tuple[Float[Tensor, ""], Float[Tensor, "6"], Float[Tensor, "B P"], Float[Tensor, "B K"]]:
    """`ppo_loss` of values and targets that are in their units already, and its gradients for ``pi`` and ``value``.

    The terms are those that `named` names, and the largest |ρ − 1|.
    """
    distribution = make(pi)
    log_ratio = (distribution.log_prob(action) - old_log_prob).mul_(weight > 0)
    ratio = log_ratio.exp()
    surrogate = ratio * advantage
    clipped = ratio.clamp(1 - c.clip, 1 + c.clip).mul_(advantage)
    # ∂/∂ log π(a) of the smaller surrogate is itself, or nothing where it is clipped.
    slope = surrogate.masked_fill(surrogate > clipped, 0.0).mul_(weight)
    wrong, squares = _values(value, old_value, target, c.value_clip)
    error = (ratio - 1).abs_()
    each = torch.stack(
        [
            -torch.minimum(surrogate, clipped),
            squares.sum(1).mul_(0.5),
            distribution.entropy(),
            torch.expm1(log_ratio) - log_ratio,
            (error > c.clip).float(),
        ]
    )
    terms = torch.cat([each.mv(weight), error.max()[None]])
    valued = 0.5 * squares.mv(c.value).dot(weight) if isinstance(c.value, Tensor) else c.value * terms[1]
    loss = terms[0] + valued - c.entropy * terms[2]
    return loss, terms, distribution.gradient(action, -slope, -c.entropy * weight), wrong * (weight[:, None] * c.value)


def named(terms: Float[Tensor, "6"]) -> dict[str, Float[Tensor, ""]]:
    """Terms and diagnostics by name, without the last one."""
    return dict(zip(_TERMS, terms[:-1].unbind(), strict=True))


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
    slope = torch.where(far >= close, error, near.masked_fill(moved.abs() > clip, 0.0))
    return slope, torch.maximum(far, close)
