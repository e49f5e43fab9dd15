"""What a network sees of an observation's numbers: one rule, by the bounds that their space declares.

| numbers | a network sees |
|---|---|
| true and false, `MultiBinary` | 1 and 0 |
| integers | (x − low) / (high − low); 0 where both bounds are the same |
| integers of a vector whose bounds are those of their type, or 2³¹ − 1 and more apart | x: nothing is declared |
| pictures, whatever their type | (x − low) / (high − low); bytes within 0 and 255 are x / 255 |
| floats of a vector | x |
"""

from typing import Literal

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from torch import Tensor, nn

Scaling = Literal["bounds", "bytes"]
"""``bounds`` is the rule above. ``bytes`` is that of former versions: uint8 is divided by 255 and nothing else."""

_NO_BOUND = 2.0**31 - 1
_EXACT = 2.0**24  # whole numbers beyond it are rounded in float32


def declared(space: spaces.Box, *, picture: bool) -> Bool[np.ndarray, "..."]:
    """Which numbers of a box have bounds that they are scaled by."""
    kind, low, high = space.dtype.kind, space.low.astype(np.float64), space.high.astype(np.float64)
    with np.errstate(invalid="ignore"):
        width = high - low
    if kind == "b":
        return np.zeros(space.shape, np.bool_)
    if kind == "f":
        return np.isfinite(width) & picture
    if picture and space.dtype.itemsize <= 2:
        return np.ones(space.shape, np.bool_)  # of pictures the type's own range says enough
    own_type = np.iinfo(str(space.dtype))
    least, most = own_type.min, own_type.max
    own = (high >= most) | ((low <= least) & (least < 0))
    return ~own & (width < _NO_BOUND)


class Scale(nn.Module):
    """x → (x − low) / (high − low) of the numbers that are `declared`, the others as they are: [B, …] → floats [B, …].

    Attributes:
        unit: 1 where nothing changes, 1/255 where bytes become [0, 1], None where numbers have bounds of their own.
        undeclared: there are integers that are left as they are, for nothing is declared of them.
    """

    low: Tensor
    width: Tensor

    def __init__(self, space: spaces.Box | spaces.MultiBinary, *, picture: bool, scaling: Scaling = "bounds") -> None:
        super().__init__()
        self.unit: float | None = 1.0
        self.undeclared = False
        if scaling == "bytes" or not isinstance(space, spaces.Box):
            self.unit = 1 / 255 if space.dtype == np.uint8 and isinstance(space, spaces.Box) else 1.0
            return
        on = declared(space, picture=picture)
        self.undeclared = space.dtype.kind in "iu" and not bool(on.all())
        low = np.where(on, space.low.astype(np.float64), 0.0)
        high = np.where(on, space.high.astype(np.float64), 1.0)
        if (low == 0).all() and (high == 1).all():
            return
        if (low == 0).all() and (high == 255).all():
            self.unit = 1 / 255
            return
        self.unit = None
        width = np.where(high > low, high - low, np.inf)  # what never changes becomes 0
        exact = max(np.abs(low).max(), np.abs(high).max()) <= _EXACT
        for name, values in (("low", low), ("width", width)):
            if (values == values.flat[0]).all():
                values = values.flat[0]
            made = torch.as_tensor(values, dtype=torch.float32 if exact else torch.float64)
            self.register_buffer(name, made, persistent=False)

    def forward(self, obs: Tensor) -> Float[Tensor, "B ..."]:
        if self.unit is not None:
            return obs.float() if self.unit == 1.0 else obs.float() * self.unit
        return ((obs.to(self.low.dtype) - self.low) / self.width).float()
