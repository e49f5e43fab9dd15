"""Policies whose outputs are no numbers are stopped with a sentence before they act."""

import torch
from torch import Tensor

from jostle.errors import ConfigError


def require_finite(out: Tensor, name: str, what: str, call: int, *, impossible: bool = False) -> None:
    """Let the outputs [M, B, …] of M draws pass if they are finite.

    Args:
        out: the outputs.
        name: of the policy.
        what: they are, in the plural.
        call: how often the policy has acted, this time included.
        impossible: −∞ is let through where it stands for an action that is never taken, if another one is finite.

    Raises:
        ConfigError: names the policy, what is not finite, and where.
    """
    if bool(torch.isfinite(out).all()):
        return
    bad = ~torch.isfinite(out)
    if impossible:
        bad &= out != -torch.inf
        bad |= (out == -torch.inf).all(-1, keepdim=True)
    if not bad.any():
        return
    index = bad.nonzero()[0].tolist()
    raise ConfigError(
        f"the {what} of {name} are not finite ({out[tuple(index)].item()} in row {index[1]}, action {call} of the "
        "episodes played): its weights hold NaN, or its network overflows or divides by 0. Take an earlier checkpoint, "
        "or mend the network."
    )
