"""PPO's loss for any action space."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.functional import approx_kl, clipped_policy_loss, masked_mean, value_loss
from jostle.functional.ppo_discrete import Coefficients, discrete_loss
from jostle.nn.distributions import Categorical, Head


def ppo_loss(
    head: Head,
    pi: Float[Tensor, "B P"],
    value: Float[Tensor, "B K"],
    action: Tensor,
    old_log_prob: Float[Tensor, "B"],
    advantage: Float[Tensor, "B"],
    old_value: Float[Tensor, "B K"],
    target: Float[Tensor, "B K"],
    valid: Bool[Tensor, "B"],
    count: Tensor,
    c: Coefficients,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]], Float[Tensor, ""]]:
    """``L_policy + Σ_k c_k L_value − c_e H`` over the valid rows, divided by ``count``, the valid ones of all pieces.

    Values and targets are measured in the units ``c.scale``.

    Returns:
        The loss; its terms and diagnostics without gradients; the largest |ρ − 1| of a valid row.
    """
    if c.scale is not None:
        value, old_value, target = value / c.scale, old_value / c.scale, target / c.scale
    if head.distribution is Categorical:
        return discrete_loss(
            pi, value, action, old_log_prob, advantage, old_value, target, valid, count, c
        )  # in one piece, which is quicker
    distribution = head.distribution(pi)
    log_prob = distribution.log_prob(action)
    each = value_loss(value, old_value, target, c.value_clip)
    rows = {
        "policy": clipped_policy_loss(log_prob, old_log_prob, advantage, c.clip),
        "value": each.sum(1),
        "entropy": distribution.entropy(),
    }
    terms = {name: masked_mean(row, valid, count) for name, row in rows.items()}
    valued = masked_mean(each @ c.value, valid, count) if isinstance(c.value, Tensor) else c.value * terms["value"]
    loss = terms["policy"] + valued - c.entropy * terms["entropy"]
    with torch.no_grad():
        error = torch.where(valid, torch.expm1(log_prob - old_log_prob).abs(), 0.0)
        terms["approx_kl"] = masked_mean(approx_kl(log_prob, old_log_prob), valid, count)
        terms["clip_fraction"] = masked_mean((error > c.clip).float(), valid, count)
    return loss, {name: term.detach() for name, term in terms.items()}, error.max()
