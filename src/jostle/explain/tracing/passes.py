"""A policy's passes while it is traced: what it does, what comes out, and what it remembers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from jostle.errors import ConfigError
from jostle.nn.inference import Mask
from jostle.view import MeanStd, Output, PolicyView
from jostle.view.acting import ActingView
from jostle.view.choosing import logits_of
from jostle.view.interface import Acts

Array = np.ndarray[Any, Any]


class Passes:
    """Acts by a view's own passes, so that what is recorded is what acted.

    Args:
        view: whose noise is redrawn here.
        layers: whose outputs to keep.
        noise: ``mean``, ``fixed`` or ``sampled``.
        episodes: in all, each with a slot of its own under ``sampled``.
        seed: of draws and of sampled actions.
        sample: sample actions.

    Attributes:
        noise: the mode; ``mean`` where there is no noise.
        slots: draws; 0 without noise.
    """

    def __init__(
        self, view: PolicyView, layers: Sequence[str], noise: str, episodes: int, seed: int, *, sample: bool
    ) -> None:
        self.view, self.layers = view, list(layers)
        self.noise = noise if view.stochastic else "mean"
        self.slots = {"mean": 0, "fixed": 1}.get(self.noise, episodes)
        if self.slots:
            view.redraw(self.slots, seed)
        self.seed, self.sample = seed, sample
        self.shows = not isinstance(view, ActingView) and _shows(view)
        if self.layers and not self.shows:
            raise ConfigError(f"{view.name} gives actions and shows nothing else: leave layers out.")
        self._generator = torch.Generator(view.device).manual_seed(seed) if sample else None
        self._state: Tensor | None = None
        self._actor: Acts | None = None

    def slot(self, episode: int) -> int:
        """The draw of an episode, −1: none."""
        return -1 if not self.slots else 0 if self.noise == "fixed" else max(episode, 0)

    def begin(self, rows: int) -> None:
        """All environments begin anew."""
        self._state = None
        if not self.shows:
            self._actor = self.view.actor("mean", rows=rows, seed=self.seed, sample=self.sample)

    @torch.no_grad()
    def act(
        self, obs: Any, start: Bool[np.ndarray, "N"], episodes: Sequence[int], mask: Mask | None
    ) -> tuple[Array, dict[str, Array]]:
        """Actions of N environments, and the columns that come of the pass."""
        if self._actor is not None:
            return self._actor.act(obs, start, None, *(() if mask is None else (mask,))), {}
        how: dict[str, Any] = {}
        if self.slots:
            how["draw"] = torch.tensor([self.slot(e) for e in episodes], device=self.view.device)
        before = self._state
        if before is not None:
            before = before.masked_fill(torch.from_numpy(start).to(before.device)[None, :, None], 0.0)
            how["state"] = before
        out, kept = self.view.look(obs, self.layers, **how)
        if out.state is not None and before is None:
            before = torch.zeros_like(out.state)
        self._state = out.state
        found = {f"act.{layer}": x for layer, x in kept.items()} | outputs(out)
        if before is not None:
            found["state"] = before.transpose(0, 1)
        arrays = {name: x.detach().cpu().numpy() for name, x in found.items()}
        for name, array in arrays.items():
            self._require(name, array, len(start))
        return self.view.actions(out, mask=mask, generator=self._generator), arrays

    def _require(self, name: str, array: Array, rows: int) -> None:
        what = name.removeprefix("act.")
        if array.ndim < 1 or len(array) != rows:
            raise ConfigError(
                f"the layer '{what}' of {self.view.name} puts out {list(array.shape)} for {rows} observations, no row "
                "for each: choose another layer."
            )
        if array.dtype.kind == "f" and np.isnan(array).any():
            where = f"the layer '{what}'" if name.startswith("act.") else f"the {name.removeprefix('out.')}"
            raise ConfigError(
                f"{where} of {self.view.name} holds NaN: its weights do, or its network overflows; take an earlier "
                "model."
            )


def outputs(out: Output) -> dict[str, Tensor]:
    """The columns of an output."""
    found: dict[str, Tensor] = {}
    logits = logits_of(out)
    if logits is not None:
        found["out.logits"] = logits
    if isinstance(out.distribution, MeanStd):
        found |= {"out.mean": out.distribution.mean, "out.std": out.distribution.std}
    if out.q is not None:
        found["out.q"] = out.q
    if out.value is not None:
        found["out.value"] = out.value
    return found


def _shows(view: PolicyView) -> bool:
    """Whether it has outputs; Stable-Baselines3's models of unknown algorithms have none."""
    from jostle.view.sb3 import KNOWN, SB3View

    return not isinstance(view, SB3View) or view.algorithm in KNOWN
