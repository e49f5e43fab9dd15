"""Observations and values behind the end of an episode, for streams of rewards that go on there."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jostle.algo.dqn.replay import Batch
from jostle.nn.encoders import Observation


@torch.no_grad()
def follow(target: nn.Module, network: nn.Module, tau: float) -> None:
    """Move the target's weights a share ``tau`` towards the network's; batch normalisation's statistics are copied."""
    torch._foreach_lerp_(list(target.parameters()), list(network.parameters()), tau)
    for mine, theirs in zip(target.modules(), network.modules(), strict=True):
        if isinstance(mine, nn.modules.batchnorm._NormBase):
            for statistic, newest in zip(mine.buffers(), theirs.buffers(), strict=True):
                statistic.copy_(newest)


def joined(a: Observation, b: Observation | None) -> Observation:
    """Two batches as one."""
    if isinstance(a, dict) and isinstance(b, dict):
        return {key: torch.cat([a[key], b[key]]) for key in a}
    assert isinstance(a, Tensor)
    assert isinstance(b, Tensor)
    return torch.cat([a, b])


def followed(value: Float[Tensor, "_ K"], batch: Batch, episodic: Bool[Tensor, "K"]) -> Float[Tensor, "B K"]:
    """Each stream's own following value: where an episode ended, non-episodic streams go on behind its end.

    ``value`` are those of the batch's following observations, then those of its links.
    """
    count = len(batch.action)
    onward = value[:count].clone()
    onward[batch.linked] = value[count:]
    return torch.where(episodic, value[:count], onward)
