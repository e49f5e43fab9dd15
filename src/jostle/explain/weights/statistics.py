"""`weight_statistics`: a policy's weights beside those that it began with, and beside fresh ones."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy import stats
from torch import nn

from jostle.errors import ConfigError
from jostle.explain.results.kept import file_name, keep
from jostle.explain.weights.numbers import filter_table, layer_numbers, starts
from jostle.explain.weights.start import nulls_of
from jostle.explain.weights.tensors import WeightTensor, weight_tensors
from jostle.view import as_view

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True)
class WeightStatistics:
    """Sizes and moments of the weights of every layer.

    Attributes:
        policy: its name.
        tensors: the weights.
        start: name -> the first weights, where they are known.
        layers: name -> number -> value, of all weights of a layer together.
        filters: name -> number -> [O], filter by filter.
        initial: as ``layers``, of the first weights.
        null: as ``layers``, of R untrained networks: name -> number -> [R].
    """

    policy: str
    tensors: list[WeightTensor]
    start: dict[str, WeightTensor]
    layers: dict[str, dict[str, float]]
    filters: dict[str, dict[str, Float[np.ndarray, "O"]]]
    initial: dict[str, dict[str, float]]
    null: dict[str, dict[str, Float[np.ndarray, "R"]]]

    def beyond_null(self, name: str, number: str) -> float:
        """How many deviations of the untrained networks' values a layer's value lies from their mean."""
        values = self.null[name][number]
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        return (self.layers[name][number] - float(values.mean())) / spread if spread > 0 else float("nan")

    def p(self, name: str, number: str) -> float:
        """Two-sided p-value of "this is one more untrained network": Student's t with √(1 + 1 / R) deviations, for one
        new number beside R of a normal distribution; 1 where these do not vary."""
        values = self.null[name][number]
        beyond = self.beyond_null(name, number)
        if not math.isfinite(beyond):
            return 1.0
        return float(2 * stats.t.sf(abs(beyond) / math.sqrt(1 + 1 / len(values)), len(values) - 1))

    def plot(self) -> "matplotlib.figure.Figure":
        """The distribution of every layer's weights, in front of that of the first ones."""
        from jostle.explain.weights.figures import plot_statistics

        return plot_statistics(self)

    def save(self, folder: str | Path, name: str = "weights") -> list[Path]:
        """Write ``NAME.json``, ``NAME.png`` and ``NAME.npz`` (numbers of each filter).

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {"policy": self.policy, "layers": self.layers, "initial": self.initial, "null": self.null}
        arrays = {
            f"{file_name(layer)}.{file_name(number)}": values
            for layer, table in self.filters.items()
            for number, values in table.items()
        }
        return keep(folder, name, data, self.plot, arrays)


def weight_statistics(
    policy: Any,
    *,
    initial: Any = None,
    untrained: int = 5,
    make: Callable[[int], nn.Module] | None = None,
    seed: int = 0,
    **view: Any,
) -> WeightStatistics:
    """Norms (L1, L2) and moments (mean, sd, skew, kurtosis) of weights, per filter and per layer.

    Args:
        policy: whatever `jostle.as_view` takes.
        initial: first weights: the folder of the run, a module, or a dictionary; None: not known.
        untrained: R networks with fresh weights, the null (see `jostle.explain.weights.start.untrained`).
        make: makes an untrained network by a seed; None: weights are drawn like the first ones.
        seed: of these.
        **view: further arguments of `jostle.as_view`.

    Raises:
        ConfigError: the policy has no weights, or the first ones are another network's.
    """
    seen = as_view(policy, **view)
    tensors, start = weight_tensors(seen.module), starts(seen, initial)
    if not tensors:
        raise ConfigError(f"{seen.name} has no weights to look at.")
    fresh = nulls_of(seen, untrained, seed=seed, source=initial, make=make) if untrained else []
    null: dict[str, dict[str, list[float]]] = {t.name: {} for t in tensors}
    for one in fresh:
        for tensor in weight_tensors(one.module):
            for number, value in layer_numbers(tensor).items():
                null[tensor.name].setdefault(number, []).append(value)
    return WeightStatistics(
        policy=seen.name,
        tensors=tensors,
        start=start,
        layers={t.name: layer_numbers(t, start.get(t.name)) for t in tensors},
        filters={t.name: filter_table(t, start.get(t.name)) for t in tensors},
        initial={name: layer_numbers(t) for name, t in start.items()},
        null={name: {k: np.array(v) for k, v in table.items()} for name, table in null.items()},
    )
