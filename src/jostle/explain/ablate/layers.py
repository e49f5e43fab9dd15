"""Layers set back to where they began, or drawn afresh: which of them matter (Zhang et al., JMLR 2022).

The others stay trained. *Re-initialised*: θ_l ← θ_l⁰, the layer's own first weights. *Re-randomised*: θ_l ← a fresh
draw. A layer whose setting back changes nothing is robust, one that breaks the policy is critical.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.errors import ConfigError
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
        reinitialised: the change [L, B] at B steps when a layer has its own first weights.
        randomised: when it has fresh ones, [L, K, B] of K draws.
        moved: when it is moved in K random directions as far as training moved it [L, K, B]: the null of what
            ``reinitialised`` says.
        everything: when all layers have their first weights [B].
        distance: ‖θ_l − θ_l⁰‖ / ‖θ_l⁰‖ [L].
    """

    policy: str
    measure: str
    layers: list[str]
    reinitialised: Float[np.ndarray, "L B"]
    randomised: Float[np.ndarray, "L K B"]
    moved: Float[np.ndarray, "L K B"]
    everything: Float[np.ndarray, "B"]
    distance: Float[np.ndarray, "L"]

    @property
    def relative(self) -> Float[np.ndarray, "L"]:
        """The change by setting a layer back, as a share of that by setting all back; 0 where there is none."""
        ceiling = float(self.everything.mean())
        return self.reinitialised.mean(1) / ceiling if ceiling > 1e-9 else np.zeros(len(self.layers))

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
        data = {
            "policy": self.policy, "measure": self.measure, "all layers": float(self.everything.mean()),
            "layers": {
                layer: {
                    "re-initialised": float(self.reinitialised[i].mean()), "relative": float(self.relative[i]),
                    "verdict": self.verdicts[i], "re-randomised": self.randomised[i].mean(1),
                    "moved as far (null)": self.moved[i].mean(1), "relative distance": float(self.distance[i]),
                }
                for i, layer in enumerate(self.layers)
            },
        }  # fmt: skip
        return keep(folder, name, data, self.plot)


def layer_ablation(
    policy: Any,
    steps: Any,
    initial: Any,
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
        initial: first weights: the folder of the run, a module, or a dictionary.
        draws: K fresh draws, and as many random directions.
        measure: ``policy``, ``switched`` or ``value``.
        make: makes an untrained network by a seed, whose layers are taken; None: they are drawn like the first ones.
        seed: of draws and directions.
        notify: called with layers done and in all.

    Raises:
        ConfigError: the first weights are another network's, or there is no such measure.
    """
    if draws < 1:
        raise ConfigError(f"draws={draws} cannot be used: it must be at least 1.")
    subject = ask(policy, steps, key=key)
    view = subject.view
    now = {name: p.detach() for name, p in view.module.named_parameters()}
    if not now:
        raise ConfigError(f"{view.name} has no weights to set back.")
    start = initial_weights(initial)
    everything = _change(subject, start, list(now), measure)
    generator = torch.Generator().manual_seed(seed)
    made = [] if make is None else [dict(make(seed + k).named_parameters()) for k in range(draws)]
    layers = own_parameters(view.module)
    back, fresh, moved, distance = [], [], [], []
    for number, names in enumerate(layers.values()):
        back.append(_change(subject, start, names, measure))
        draw, walk = [], []
        for k in range(draws):
            other: dict[str, Tensor] = {
                name: made[k][name].detach() if made else drawn_like(start[name], generator) for name in names
            }
            draw.append(_change(subject, other, names, measure))
            walk.append(_change(subject, _moved(now, start, names, generator), names, measure))
        fresh.append(np.stack(draw))
        moved.append(np.stack(walk))
        gone = sum(float((now[n] - start[n].to(now[n])).square().sum()) for n in names) ** 0.5
        size = sum(float(start[n].square().sum()) for n in names) ** 0.5
        distance.append(gone / size if size > 0 else np.nan if gone > 0 else 0.0)
        notify(number + 1, len(layers))
    return LayerAblation(
        view.name, measure, list(layers), np.stack(back), np.stack(fresh), np.stack(moved), everything,
        np.array(distance),
    )  # fmt: skip


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
