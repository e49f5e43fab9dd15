"""Some rows of a batch: taken out before a network, and put back behind it."""

from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Rows: TypeAlias = Int[np.ndarray, "W"]
"""Which rows, without repetition and at least one."""


def length(obs: Any) -> int:
    """How many rows observations [B, …] have; like `take` for tensors, arrays and dictionaries of them."""
    return len(next(iter(obs.values())) if isinstance(obs, dict) else obs)


def which(among: Rows | None, batch: int, device: torch.device) -> Int[Tensor, "W"]:
    """The rows as indices; all of the batch for None."""
    return torch.arange(batch, device=device) if among is None else torch.as_tensor(among, device=device)


def take(obs: Any, who: Int[Tensor, "W"] | Rows) -> Any:
    """These rows of observations [B, …]."""
    if len(who) == length(obs):
        return obs
    return {key: x[who] for key, x in obs.items()} if isinstance(obs, dict) else obs[who]


def put_back(out: Float[Tensor, "M W *F"], who: Int[Tensor, "W"], batch: int) -> Float[Tensor, "M B *F"]:
    """What was computed for these rows, in a batch whose other rows are copies of the first: as valid, and as cheap."""
    if len(who) == batch:
        return out
    place = torch.zeros(batch, dtype=torch.long, device=out.device)
    place[who] = torch.arange(len(who), device=out.device)
    return out[:, place]
