"""Layers set back to where they began, or drawn afresh: which of them matter (Zhang et al., JMLR 2022).

The others stay trained. *Re-initialised*: θ_l ← θ_l⁰, the layer's own first weights. *Re-randomised*: θ_l ← a fresh
draw. A layer whose setting back changes nothing is robust, one that breaks the policy is critical. Where the first
weights are not known, fresh draws alone are made, with the mean and the spread of the trained weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.errors import ConfigError, closest
from jostle.explain.ablate.measure import changes_between
from jostle.explain.asking import Subject, ask
from jostle.explain.results.kept import keep
from jostle.explain.weights.fresh import drawn_like
from jostle.explain.weights.start import initial_weights
from jostle.explain.weights.tensors import own_parameters, with_weights

if TYPE_CHECKING:
    import matplotlib.figure

CRITICAL, ROBUST = 0.5, 0.1
"""Shares of the change that setting back all layers makes; ours, since Zhang et al. draw no line."""


@dataclass(frozen=True)
class LayerAblation:
    """What each of L layers is worth.

    Attributes:
        policy, measure: what was asked.
        layers: names.
        reinitialised: the change [L, B] at B steps when a layer has its own first weights; None where they are not
            known.
        randomised: when it has fresh ones, [L, K, B] of K draws.
        moved: when it is moved in K random directions as far as training moved it [L, K, B]: the null of what
            ``reinitialised`` says; None likewise.
        everything: when all layers have their first weights (where they are not known: fresh ones, the mean over the
            draws) [B].
        distance: ‖θ_l − θ_l⁰‖ / ‖θ_l⁰‖ [L]; None likewise.
    """

    policy: str
    measure: str
    layers: list[str]
    reinitialised: Float[np.ndarray, "L B"] | None
    randomised: Float[np.ndarray, "L K B"]
    moved: Float[np.ndarray, "L K B"] | None
    everything: Float[np.ndarray, "B"]
    distance: Float[np.ndarray, "L"] | None

    @property
    def relative(self) -> Float[np.ndarray, "L"]:
        """The change by setting a layer back, as a share of that by setting all back; 0 where there is none.

        Of fresh weights where the first ones are not known.
        """
        back = self.randomised.mean(1) if self.reinitialised is None else self.reinitialised
        return self.share(back.mean(1))

    def share(self, change: Float[np.ndarray, "*L"]) -> Float[np.ndarray, "*L"]:
        """Of the change that setting all layers back makes; 0 where there is none."""
        ceiling = float(self.everything.mean())
        return change / ceiling if ceiling > 1e-9 else np.zeros(change.shape)

    @property
    def verdicts(self) -> list[str]:
        """``critical`` above half of what all layers together change, ``robust`` below a tenth, else ``between``."""
        return ["critical" if r > CRITICAL else "robust" if r < ROBUST else "between" for r in self.relative]

    def plot(self) -> "matplotlib.figure.Figure":
        """The kinds of change side by side, layer by layer."""
        from jostle.explain.ablate.figures import plot_layers

        return plot_layers(self)

    def save(self, folder: str | Path, name: str = "layers") -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        rows = {}
        for i, layer in enumerate(self.layers):
            row = {"relative": float(self.relative[i]), "verdict": self.verdicts[i]}
            row |= {"re-randomised": self.randomised[i].mean(1)}
            if self.reinitialised is not None and self.moved is not None and self.distance is not None:
                row |= {
                    "re-initialised": float(self.reinitialised[i].mean()),
                    "moved as far (null)": self.moved[i].mean(1), "relative distance": float(self.distance[i]),
                }  # fmt: skip
            rows[layer] = row
        data = {
            "policy": self.policy, "measure": self.measure, "all layers": float(self.everything.mean()), "layers": rows,
        }  # fmt: skip
        return keep(folder, name, data, self.plot)


def layer_ablation(
    policy: Any,
    steps: Any,
    initial: Any = None,
    *,
    draws: int = 5,
    measure: str = "policy",
    make: Callable[[int], nn.Module] | None = None,
    seed: int = 0,
    key: str | None = None,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> LayerAblation:
    """How a policy changes when a layer's weights are those it began with, or fresh ones.

    Args:
        policy, steps, key: see `jostle.explain.ask`.
        initial: first weights: the folder of the run, a module, or a dictionary; None: not known.
        draws: K fresh draws, and as many random directions.
        measure: ``policy``, ``switched`` or ``value``.
        make: makes an untrained network by a seed, whose layers are taken; None: they are drawn like the first ones, or
            like the trained ones where those are not known.
        seed: of draws and directions.
        notify: called with layers done and in all.

    Raises:
        ConfigError: the policy has no weights, the first ones are another network's, or there is no such measure.
    """
    if draws < 1:
        raise ConfigError(f"draws={draws} cannot be used: it must be at least 1.")
    subject = ask(policy, steps, key=key)
    view = subject.view
    now = {name: p.detach() for name, p in view.module.named_parameters()}
    if not now:
        raise ConfigError(f"{view.name} has no weights to set back.")
    start = None if initial is None else initial_weights(initial)
    like = now if start is None else start
    generator = torch.Generator().manual_seed(seed)
    made = [] if make is None else [dict(make(seed + k).named_parameters()) for k in range(draws)]
    layers = own_parameters(view.module)

    def fresh(k: int, names: list[str]) -> dict[str, Tensor]:
        return {name: made[k][name].detach() if made else drawn_like(_of(like, name), generator) for name in names}

    def change(weights: dict[str, Tensor], names: list[str]) -> Float[np.ndarray, "B"]:
        return _change(subject, weights, names, measure)

    every = list(now)
    back, anew, moved, distance = [], [], [], []
    if start is None:
        everything = np.mean([change(fresh(k, every), every) for k in range(draws)], axis=0)
    else:
        everything = change(start, every)
    for number, names in enumerate(layers.values()):
        draw, walk = [], []
        for k in range(draws):
            draw.append(change(fresh(k, names), names))
            if start is not None:
                walk.append(change(_moved(now, start, names, generator), names))
        anew.append(np.stack(draw))
        if start is not None:
            back.append(change(start, names))
            moved.append(np.stack(walk))
            gone = sum(float((now[n] - start[n].to(now[n])).square().sum()) for n in names) ** 0.5
            size = sum(float(start[n].square().sum()) for n in names) ** 0.5
            distance.append(gone / size if size > 0 else np.nan if gone > 0 else 0.0)
        notify(number + 1, len(layers))
    known = start is not None
    return LayerAblation(
        view.name, measure, list(layers), np.stack(back) if known else None, np.stack(anew),
        np.stack(moved) if known else None, everything, np.array(distance) if known else None,
    )  # fmt: skip


def _of(weights: dict[str, Tensor], name: str) -> Tensor:
    """Raises: ConfigError where they are another network's."""
    if name not in weights:
        raise ConfigError(f"there are no first weights '{name}'; {closest(name, weights)}")
    return weights[name]


def _moved(
    now: dict[str, Tensor], start: dict[str, Tensor], names: list[str], generator: torch.Generator
) -> dict[str, Tensor]:
    """As far from the trained weights as these are from the first ones, in a random direction."""
    found = {}
    for name in names:
        direction = torch.randn(now[name].shape, generator=generator)
        far = (now[name] - start[name].to(now[name])).norm()
        found[name] = now[name] + direction / direction.norm().clamp_min(1e-12) * far
    return found


def _change(subject: Subject, weights: dict[str, Tensor], names: list[str], measure: str) -> Float[np.ndarray, "B"]:
    other = with_weights(subject.view, weights, names)
    return np.asarray(changes_between(subject, subject.of(other)).of(measure)[0])
