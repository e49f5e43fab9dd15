"""A rollout's rows in minibatches, gathered once an epoch: on small networks, many small reads cost as much as they."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.algo.ppo.rollout import Rollout, flat
from jostle.functional import normalise_advantage


class Batch(NamedTuple):
    """The rows of a minibatch, or of a piece of one: their flat ids, and what was stored and computed of each.

    ``weight`` is 0 for invalid rows and 1 by the number of valid ones in the whole minibatch for the others,
    ``advantage`` normalised where the settings say so. Without recurrence L is 1.
    """

    rows: Int[Tensor, "L n"]
    valid: Bool[Tensor, "L n"]
    weight: Float[Tensor, "L n"]
    action: Tensor
    log_prob: Float[Tensor, "L n"]
    advantage: Float[Tensor, "L n"]
    value: Float[Tensor, "L n K"]
    target: Float[Tensor, "L n K"]

    def pieces(self, width: int) -> "Iterator[Batch]":
        """At most ``width`` columns at a time."""
        if width >= self.rows.shape[1]:
            yield self
        else:
            yield from (Batch(*parts) for parts in zip(*(torch.split(x, width, 1) for x in self), strict=True))


def batches(
    rollout: Rollout,
    rows: Sequence[Int[Tensor, "L n"]],
    advantage: Float[Tensor, "T N"],
    target: Float[Tensor, "T N K"],
    *,
    normalise: bool,
) -> Iterator[Batch]:
    """Every minibatch of an epoch; ``normalise`` its advantages over its valid rows."""
    index = torch.cat([part.reshape(-1) for part in rows])
    stored = rollout.valid, rollout.action, rollout.log_prob, advantage, rollout.value[:-1], target
    valid, action, log_prob, gain, value, goal = (flat(index, of) for of in stored)
    sizes = [part.numel() for part in rows]
    pairs = zip(torch.split(valid, sizes), torch.split(gain, sizes), strict=True)
    if len(set(sizes)) == 1:  # all of them at once
        pairs = zip([valid.view(len(rows), -1)], [gain.view(len(rows), -1)], strict=True)
    weighed = [_weighed(*pair, normalise) for pair in pairs]
    weight, gain = (torch.cat([x.flatten() for x in of]) for of in zip(*weighed, strict=True))
    columns = (torch.split(x, sizes) for x in (valid, weight, action, log_prob, gain, value, goal))
    for part, *own in zip(rows, *columns, strict=True):
        yield Batch(part, *(x.view(*part.shape, *x.shape[1:]) for x in own))


def _weighed(
    valid: Bool[Tensor, "*M B"], advantage: Float[Tensor, "*M B"], normalise: bool
) -> tuple[Float[Tensor, "*M B"], Float[Tensor, "*M B"]]:
    weight = valid / valid.sum(-1, keepdim=True).clamp_min(1)
    return weight, normalise_advantage(advantage, valid) if normalise else advantage
