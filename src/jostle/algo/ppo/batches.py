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

    ``advantage`` is normalised where the settings say so. Without recurrence L is 1.
    """

    rows: Int[Tensor, "L n"]
    valid: Bool[Tensor, "L n"]
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
    if normalise and len(set(sizes)) == 1:
        gain = normalise_advantage(gain.view(len(rows), -1), valid.view(len(rows), -1)).flatten()
    elif normalise:
        parts = zip(torch.split(gain, sizes), torch.split(valid, sizes), strict=True)
        gain = torch.cat([normalise_advantage(*part) for part in parts])
    columns = (torch.split(x, sizes) for x in (valid, action, log_prob, gain, value, goal))
    for part, *own in zip(rows, *columns, strict=True):
        yield Batch(part, *(x.view(*part.shape, *x.shape[1:]) for x in own))
