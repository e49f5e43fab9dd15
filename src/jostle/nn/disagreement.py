"""How far draws of noise disagree about one observation: an uncertainty beside every averaged action."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def mutual_information(log_p: Float[Tensor, "M *B A"]) -> Float[Tensor, "*B"]:
    """H(mean_m p_m) − mean_m H(p_m), in nats, of M distributions over A actions; within 0 and log M."""
    mixture = log_p.logsumexp(0) - torch.log(log_p.new_tensor(float(len(log_p))))
    # Where a probability is 0 its logarithm may be −∞, and 0 · log 0 counts as 0.
    total = -torch.special.xlogy(mixture.exp(), mixture.exp()).sum(-1)
    each = -torch.special.xlogy(log_p.exp(), log_p.exp()).sum(-1)
    information: Tensor = total - each.mean(0)
    return information.clamp(min=0.0)  # below it by rounding alone


def action_variance(actions: Float[Tensor, "M B D"]) -> Float[Tensor, "B"]:
    """Variance over M draws (dividing by M) of each of D numbers, averaged over the D."""
    return actions.var(0, correction=0).mean(-1)


def value_variance(q: Float[Tensor, "M B A"], action: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """Variance over M draws (dividing by M) of the value of the action taken."""
    return q.gather(2, action.expand(len(q), -1).unsqueeze(2)).squeeze(2).var(0, correction=0)
