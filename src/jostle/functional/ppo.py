"""Losses and diagnostics of proximal policy optimisation, row by row, so that invalid rows can be left out."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.errors import ConfigError


def clipped_policy_loss(
    log_prob: Float[Tensor, "B"], old_log_prob: Float[Tensor, "B"], advantage: Float[Tensor, "B"], clip: float
) -> Float[Tensor, "B"]:
    """The clipped surrogate as a loss, ``−min(ρA, clip(ρ, 1 − ε, 1 + ε) A)`` with ``ρ = π(a|s) / π_old(a|s)``.

    Schulman et al. 2017, eq. 7. ``clip`` is ε.
    """
    ratio = (log_prob - old_log_prob).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def value_loss(
    value: Float[Tensor, "B K"], old_value: Float[Tensor, "B K"], target: Float[Tensor, "B K"], clip: float
) -> Float[Tensor, "B K"]:
    """``½(V − R)²``; with ``clip`` > 0 the larger of that and the loss of V kept within ±clip of the old value.

    The clipping is that of OpenAI Baselines' ``ppo2`` and is not in the paper; ``clip`` = 0 switches it off.
    """
    loss = 0.5 * (value - target).square()
    if clip <= 0:
        return loss
    near = old_value + (value - old_value).clamp(-clip, clip)
    return torch.maximum(loss, 0.5 * (near - target).square())


def approx_kl(log_prob: Float[Tensor, "B"], old_log_prob: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """``k3 = (ρ − 1) − log ρ``: unbiased for KL(π_old ‖ π) with actions from π_old, and never negative.

    Schulman, "Approximating KL divergence", http://joschu.net/blog/kl-approx.html.
    """
    log_ratio = log_prob - old_log_prob
    return torch.expm1(log_ratio) - log_ratio


def approx_kl_k1(log_prob: Float[Tensor, "B"], old_log_prob: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """``k1 = −log ρ``: unbiased for KL(π_old ‖ π) like ``approx_kl``, but of either sign and of greater variance."""
    return old_log_prob - log_prob


def masked_mean(
    x: Float[Tensor, "..."], valid: Bool[Tensor, "*batch"], count: int | Tensor | None = None
) -> Float[Tensor, "..."]:
    """Mean over the valid rows; 0 where there are none.

    A batch that is summed up in pieces gives ``count``, the number of valid rows in all of them: the pieces' results
    then add up to the whole batch's mean. Invalid rows may hold NaN, but gradients pass only through rows whose own
    arithmetic is finite.

    Args:
        x: ``[*batch, *rest]``.
        valid: which of the rows count.
        count: what to divide by, if not the number of valid rows here.

    Returns:
        ``[*rest]``.

    Raises:
        ConfigError: ``valid`` has not the shape of the first dimensions of ``x``.
    """
    if x.shape[: valid.ndim] != valid.shape:
        raise ConfigError(f"a mask of shape {tuple(valid.shape)} does not fit rows of shape {tuple(x.shape)}.")
    mask = valid.reshape(*valid.shape, *[1] * (x.ndim - valid.ndim))
    divisor = valid.sum() if count is None else torch.as_tensor(count, device=x.device)
    return torch.where(mask, x, 0.0).sum(tuple(range(valid.ndim))) / divisor.clamp_min(1)


def normalise_advantage(
    advantage: Float[Tensor, "*M B"], valid: Bool[Tensor, "*M B"], eps: float = 1e-8
) -> Float[Tensor, "*M B"]:
    """``(A − mean) / (std + eps)`` over the valid rows of each of M minibatches, 0 for the others.

    The standard deviation has n − 1 in the denominator, as ``torch.std`` has, and with it CleanRL and
    Stable-Baselines3. A single valid row has nothing to be compared with: its advantage becomes 0.
    """
    count = valid.sum(-1, keepdim=True)
    mean = torch.where(valid, advantage, 0.0).sum(-1, keepdim=True) / count.clamp_min(1)
    centred = torch.where(valid, advantage - mean, 0.0)
    variance = centred.square().sum(-1, keepdim=True) / (count - 1).clamp_min(1)
    return centred / (variance.sqrt() + eps)


def explained_variance(
    value: Float[Tensor, "B *rest"], target: Float[Tensor, "B *rest"], valid: Bool[Tensor, "B"]
) -> Float[Tensor, "*rest"]:
    """``1 − Var[R − V] / Var[R]`` over the valid rows: 1 is perfect, 0 no better than a constant, and it can be less.

    NaN where the targets do not vary, as in OpenAI Baselines.
    """
    residual = _variance(target - value, valid)
    total = _variance(target, valid)
    return torch.where(total > 0, 1 - residual / total, torch.nan)


def kl_penalty(
    kl: Float[Tensor, ""],
    beta: float,
    target: float,
    cutoff_factor: float = 2.0,
    cutoff_coefficient: float = 1000.0,
) -> Float[Tensor, ""]:
    """``β·KL + 1000·max(KL − 2·target, 0)²``: the adaptive penalty and the cutoff of TF-Agents' ``PPOAgent``.

    ``kl`` is the mean over the batch of KL(π_old ‖ π), in both terms: the cutoff squares the mean's excess, it is no
    mean of squares. Source: ``tf_agents/agents/ppo/ppo_agent.py``, ``adaptive_kl_loss`` and ``kl_cutoff_loss``, with
    its defaults; there masked rows enter the mean as zeros, here the mean is over valid rows alone. β·KL without the
    cutoff (``cutoff_coefficient`` = 0) is the penalty of Schulman et al. 2017, section 4.
    """
    excess = (kl - cutoff_factor * target).clamp_min(0.0)
    return beta * kl + cutoff_coefficient * excess.square()


def adapt_beta(beta: float, kl: float, target: float, tolerance: float = 0.3, factor: float = 1.5) -> float:
    """β for the next update: times ``factor`` if the KL was too large, divided by it if too small.

    Too large is above ``target·(1 + tolerance)``, too small below ``target·(1 − tolerance)``. ``kl`` is the mean over
    the whole rollout after the last epoch. Source: ``tf_agents/agents/ppo/ppo_agent.py``,
    ``update_adaptive_kl_beta``, with its defaults and its bounds, 1e-15 and 1e17. Schulman et al. (2017, section 4)
    have the factor 2 and the bounds target·1.5 and target/1.5.
    """
    if kl > target * (1 + tolerance):
        beta *= factor
    elif kl < target * (1 - tolerance):
        beta /= factor
    return min(max(beta, 1e-15), 1e17)


def _variance(x: Float[Tensor, "B *rest"], valid: Bool[Tensor, "B"]) -> Float[Tensor, "*rest"]:
    return masked_mean((x - masked_mean(x, valid)).square(), valid)
