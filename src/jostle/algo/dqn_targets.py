"""Observations and values behind the end of an episode, for streams of rewards that go on there."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.algo.replay import Batch
from jostle.nn.encoders import Observation


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
