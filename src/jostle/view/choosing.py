"""From what a policy puts out to one action a row, as `PolicyView.actions` gives it."""

import torch
import torch.nn.functional as F
from gymnasium import spaces
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.errors import ConfigError
from jostle.nn.distributions import Categorical
from jostle.view.interface import MeanStd, Output, Probabilities

NEVER = -1e30
"""The logit of an action that cannot be."""


def logits_of(out: Output, mask: Bool[Tensor, "B *D A"] | None = None) -> Float[Tensor, "B *D A"] | None:
    """Unnormalised log-probabilities of a discrete policy, those of illegal actions `NEVER`; None of any other.

    They are what the network puts out where it tells, else logarithms of its probabilities.
    """
    if not isinstance(out.distribution, Probabilities):
        return None
    tiny = torch.finfo(out.distribution.p.dtype).tiny
    logits = out.distribution.p.clamp_min(tiny).log() if out.logits is None else out.logits
    return logits if mask is None else logits.masked_fill(~mask, NEVER)


def padded(mask: Bool[Tensor, "B P"], space: spaces.Space[object]) -> Bool[Tensor, "B *D A"]:
    """A mask of legal actions in the form of `Probabilities`: a row of choices each, filled up with illegal ones."""
    if isinstance(space, spaces.Discrete):
        return mask
    if isinstance(space, spaces.MultiDiscrete):
        counts = [int(n) for n in space.nvec.ravel()]
    elif isinstance(space, spaces.MultiBinary):
        counts = [2] * (mask.shape[1] // 2)
    else:
        raise ConfigError(f"actions {space} are no choices, so that none of them can be illegal.")
    parts = torch.split(mask, counts, 1)
    return torch.stack([F.pad(part, (0, max(counts) - part.shape[1])) for part in parts], 1)


def chosen(out: Output, mask: Bool[Tensor, "B *D A"] | None = None, generator: torch.Generator | None = None) -> Tensor:
    """The likeliest action of each row, or a sampled one: indices [B] or [B, D], or numbers [B, D].

    Raises:
        ConfigError: the output has no distribution.
    """
    logits = logits_of(out, mask)
    if logits is not None:
        each = Categorical(logits)
        return each.mode() if generator is None else each.sample(generator)
    if not isinstance(out.distribution, MeanStd):
        raise ConfigError("what has no distribution, as agents of action values, has no action to sample.")
    mean, std = out.distribution.mean, out.distribution.std
    if generator is None:
        return mean
    return mean + std * torch.randn(mean.shape, generator=generator, device=mean.device)
