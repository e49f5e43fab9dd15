"""First-layer kernels as pictures, all on one scale, beside those that the network began with."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jostle.errors import ConfigError
from jostle.explain.results.kept import keep
from jostle.explain.weights.numbers import starts
from jostle.explain.weights.tensors import tensor_of
from jostle.view import as_view

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True)
class Kernels:
    """Kernels of one layer.

    Attributes:
        policy, layer: whose.
        values: [O, C, h, w].
        initial: the first ones; None where they are not known.
    """

    policy: str
    layer: str
    values: Float[np.ndarray, "O C h w"]
    initial: Float[np.ndarray, "O C h w"] | None = None

    @property
    def bound(self) -> float:
        """The greatest absolute weight of all, first ones included: the one scale."""
        both = [self.values] if self.initial is None else [self.values, self.initial]
        return float(max(np.abs(each).max() for each in both)) or 1.0

    def pictures(self, *, initial: bool = False) -> Float[np.ndarray, "O h w 3"] | Float[np.ndarray, "N h w"]:
        """From 0 to 1, ½ for a weight of 0: in colours where there are three channels, else a grey one for each."""
        values = self.initial if initial and self.initial is not None else self.values
        unit = values / (2 * self.bound) + 0.5
        if unit.shape[1] == 3:
            return np.moveaxis(unit, 1, -1)
        return unit.reshape(-1, *unit.shape[2:])

    def plot(self, *, most: int = 64) -> "matplotlib.figure.Figure":
        """A tile a kernel, trained ones on the left."""
        from jostle.explain.weights.figures import plot_kernels

        return plot_kernels(self, most=most)

    def save(self, folder: str | Path, name: str = "kernels") -> list[Path]:
        """Write ``NAME.json``, ``NAME.png`` and ``NAME.npz``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {"policy": self.policy, "layer": self.layer, "shape": self.values.shape, "scale": self.bound}
        first = {} if self.initial is None else {"initial": self.initial}
        return keep(folder, name, data, self.plot, {"values": self.values, **first})


def kernels(
    policy: Any,
    layer: str | None = None,
    *,
    initial: Any = None,
    shape: tuple[int, int, int] | None = None,
    **view: Any,
) -> Kernels:
    """The kernels of a layer, by default of the first one.

    Args:
        policy: whatever `jostle.as_view` takes.
        layer: whose weights; None: the first.
        initial: first weights, as `jostle.explain.weights.initial_weights` takes them.
        shape: (C, H, W) in which a fully connected layer's inputs lie; None: they are a row.
        **view: further arguments of `jostle.as_view`.

    Raises:
        ConfigError: no such layer, or a shape that its inputs have not.
    """
    seen = as_view(policy, **view)
    tensor = tensor_of(seen, layer)
    first = starts(seen, initial).get(tensor.name)
    if tensor.values.ndim == 4:
        form: tuple[int, ...] = tensor.values.shape
    else:
        size = tensor.flat.shape[1]
        shape = (1, 1, size) if shape is None else shape
        if math.prod(shape) != size:
            raise ConfigError(f"shape={shape} has {math.prod(shape)} places for the {size} inputs of '{tensor.name}'.")
        form = (len(tensor.values), *shape)
    return Kernels(
        seen.name, tensor.name, tensor.values.reshape(form), None if first is None else first.values.reshape(form)
    )
