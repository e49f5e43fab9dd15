"""Connections and units taken out by the size of their weights: how few of them a policy needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from jostle.errors import ConfigError, closest
from jostle.explain.ablate.measure import changes_between
from jostle.explain.asking import Subject, ask
from jostle.explain.results.kept import keep
from jostle.explain.weights.tensors import weight_tensors, with_weights
from jostle.view import PolicyView

if TYPE_CHECKING:
    import matplotlib.figure

What = Literal["connections", "units"]
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True)
class Pruning:
    """What remains at S shares of connections or units taken out.

    Attributes:
        policy, what, measure: what was asked.
        sparsity: the shares [S].
        change: when the smallest go first [S, B] at B steps.
        random: when any go, [R, S] means of R draws: the null.
    """

    policy: str
    what: str
    measure: str
    sparsity: Float[np.ndarray, "S"]
    change: Float[np.ndarray, "S B"]
    random: Float[np.ndarray, "R S"]

    @property
    def gain(self) -> float:
        """How much less the small ones change than any: mean over the shares of 1 − change / change at random."""
        null = self.random.mean(0)
        real = null > 1e-9
        return float((1 - self.change.mean(1)[real] / null[real]).mean()) if real.any() else 0.0

    @property
    def p(self) -> float:
        """The share of random orders that change as little over all shares, the sizes' own counted among them."""
        own, others = self._height(self.change.mean(1)), [self._height(one) for one in self.random]
        return float((1 + sum(other <= own + 1e-12 for other in others)) / (1 + len(others)))

    def plot(self) -> "matplotlib.figure.Figure":
        """Both curves."""
        from jostle.explain.ablate.figures import plot_pruning

        return plot_pruning(self)

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {
            "policy": self.policy, "what": self.what, "measure": self.measure, "sparsity": self.sparsity,
            "change": self.change.mean(1), "random": self.random, "gain": self.gain, "p": self.p,
        }  # fmt: skip
        return keep(folder, name or f"pruning_{self.what}", data, self.plot)

    def _height(self, curve: Float[np.ndarray, "S"]) -> float:
        scale = np.maximum(self.random.mean(0), 1e-9)
        return float((curve / scale).mean())


def pruning(
    policy: Any,
    steps: Any,
    *,
    what: What = "connections",
    sparsity: Sequence[float] = LEVELS,
    layers: Sequence[str] | None = None,
    measure: str = "policy",
    draws: int = 10,
    seed: int = 0,
    key: str | None = None,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> Pruning:
    """How a policy changes as its weights are set to zero, the smallest first, against any of them at random.

    Shares are of each layer, so that no layer is emptied for its scale alone.

    Args:
        policy, steps, key: see `jostle.explain.ask`.
        what: ``connections`` by |w|, or ``units`` (rows of a weight with their biases) by the L2 norm of what comes in.
        sparsity: shares, from 0 to 1.
        layers: whose weights; None: all but the last layers, which put out what the policy is.
        measure: ``policy``, ``switched`` or ``value``.
        draws: R random choices.
        seed: of these.
        notify: called with shares done and in all.

    Raises:
        ConfigError: an argument cannot be used.
    """
    subject = ask(policy, steps, key=key)
    levels = _levels(sparsity)
    names = prunable(subject.view, layers)
    rng = np.random.default_rng(seed)
    change = np.empty((len(levels), len(subject.steps)))
    random = np.empty((draws, len(levels)))
    for row, level in enumerate(levels):
        change[row] = _change(subject, pruned(subject.view, what, float(level), names), measure)
        for draw in range(draws):
            random[draw, row] = _change(subject, pruned(subject.view, what, float(level), names, rng), measure).mean()
        notify(row + 1, len(levels))
    return Pruning(subject.view.name, what, measure, levels, change, random)


def pruned(
    view: PolicyView,
    what: What,
    share: float,
    layers: Sequence[str] | None = None,
    rng: np.random.Generator | None = None,
) -> PolicyView:
    """A copy of a policy in which a share of each layer's connections or units is 0.

    Args:
        view: the policy.
        what: ``connections`` or ``units``.
        share: of each layer, from 0 to 1.
        layers: as of `pruning`.
        rng: takes any; None: the smallest.

    Raises:
        ConfigError: an argument cannot be used.
    """
    if what not in ("connections", "units"):
        raise ConfigError(f"what='{what}' cannot be pruned; {closest(str(what), ['connections', 'units'])}")
    parameters = dict(view.module.named_parameters())
    changed: dict[str, Tensor] = {}
    for name in prunable(view, layers):
        weight = parameters[name].detach()
        rows = weight.flatten(1)
        size = rows.abs().flatten() if what == "connections" else rows.norm(dim=1)
        count = round(share * len(size))
        order = size.argsort(stable=True) if rng is None else torch.from_numpy(rng.permutation(len(size)))
        keep = torch.ones(len(size))
        keep[order[:count]] = 0.0
        shape = weight.shape if what == "connections" else (len(size), *[1] * (weight.ndim - 1))
        changed[name] = weight * keep.reshape(shape)
        bias = name.removesuffix("weight") + "bias"
        if what == "units" and name.endswith("weight") and bias in parameters:
            changed[bias] = parameters[bias].detach() * keep
    return with_weights(view, changed)


def prunable(view: PolicyView, layers: Sequence[str] | None = None) -> list[str]:
    """Names of the weights of some layers, or of all but those whose rows are as many as the policy's outputs.

    Raises:
        ConfigError: a layer has no weights, or none is left.
    """
    tensors = weight_tensors(view.module)
    if layers is not None:
        known = {t.layer: t.name for t in tensors} | {t.name: t.name for t in tensors}
        for layer in layers:
            if layer not in known:
                raise ConfigError(f"{view.name} has no layer '{layer}' with weights; {closest(layer, known)}")
        return [known[layer] for layer in layers]
    heads = {"policy", "value", "action_net", "value_net"}
    last = tensors[-1].name if tensors else ""
    names = [t.name for t in tensors if t.layer.split(".")[0] not in heads and t.name != last]
    if not names:
        raise ConfigError(f"{view.name} has no layers but its last ones: say which by layers=[…].")
    return names


def _levels(sparsity: Sequence[float]) -> Float[np.ndarray, "S"]:
    levels = np.asarray(sparsity, np.float64)
    if levels.ndim != 1 or not len(levels) or not ((levels >= 0) & (levels <= 1)).all():
        raise ConfigError(f"sparsity={list(sparsity)} must be shares from 0 to 1, at least one.")
    return levels


def _change(subject: Subject, other: PolicyView, measure: str) -> Float[np.ndarray, "B"]:
    return np.asarray(changes_between(subject, subject.of(other)).of(measure)[0])
