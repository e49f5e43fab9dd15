"""Formulas as pure functions on tensors: returns, advantages, losses, running statistics. For any training loop."""

from jostle.functional.advantages import gae
from jostle.functional.losses import td_loss
from jostle.functional.ppo import (
    adapt_beta,
    approx_kl,
    approx_kl_k1,
    clipped_policy_loss,
    explained_variance,
    kl_penalty,
    masked_mean,
    normalise_advantage,
    value_loss,
)
from jostle.functional.returns import greedy_value, n_step_return, q_target
from jostle.functional.running import Moments, ReturnFilter

__all__ = [
    "Moments",
    "ReturnFilter",
    "adapt_beta",
    "approx_kl",
    "approx_kl_k1",
    "clipped_policy_loss",
    "explained_variance",
    "gae",
    "greedy_value",
    "kl_penalty",
    "masked_mean",
    "n_step_return",
    "normalise_advantage",
    "q_target",
    "td_loss",
    "value_loss",
]
