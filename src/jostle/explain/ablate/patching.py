"""Where does a change of the world enter the decision? What the second twin holds, put into the first, part by part.

For outputs o (logits without their mean, action values, means) the share of a part is
Σ ⟨o(A with B's part) − o(A), o(B) − o(A)⟩ / Σ ‖o(B) − o(A)‖² over the steps: 1 where the part carries the whole change,
0 where it carries nothing of it. Every layer that all information passes through has share 1, so that the distance of
its activations, unit by unit shares, and the parts of what goes in (memory, observation and its parts) tell the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from jostle.errors import ConfigError
from jostle.explain.ablate.cutting import ROWS, checked_units
from jostle.explain.ablate.measure import divergence
from jostle.explain.ablate.twins import Twins
from jostle.explain.asking.targets import vector
from jostle.explain.results.kept import file_name, keep
from jostle.stress.features import feature_distance
from jostle.view import Output
from jostle.view.choosing import logits_of
from jostle.view.inside import Patch, hooked, require_kept

if TYPE_CHECKING:
    import matplotlib.figure

FLIPS = 1000
TINY = 1e-10
"""Mean squared changes of outputs below which nothing has changed but rounding."""
MEMORY, SEEN = "memory", "observation"


@dataclass(frozen=True)
class Patching:
    """Where a change enters.

    Attributes:
        policy, env, change: whose, where, what.
        change_of_policy: KL(A ‖ B) in nats, or ½ ‖Δ action‖², at each step [B].
        parts: layers, and what goes in: ``memory``, ``observation``, ``observation.KEY``.
        share: of each [L].
        null: of as large a step in R random directions, [L, R]; NaN for what goes in.
        distance: of the layer's activations in the two worlds, over that of different steps [L]; NaN for what goes in.
    """

    policy: str
    env: str
    change: str
    change_of_policy: Float[np.ndarray, "B"]
    parts: list[str]
    share: Float[np.ndarray, "L"]
    null: Float[np.ndarray, "L R"]
    distance: Float[np.ndarray, "L"]

    def plot(self) -> "matplotlib.figure.Figure":
        """Shares and distances, part by part."""
        from jostle.explain.ablate.twin_figures import plot_patching

        return plot_patching(self)

    def save(self, folder: str | Path, name: str = "twins") -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {
            "policy": self.policy, "env": self.env, "change": self.change,
            "change of policy": float(self.change_of_policy.mean()),
            "parts": {
                part: {
                    "share": float(self.share[i]), "random directions": self.null[i],
                    "distance": float(self.distance[i]),
                }
                for i, part in enumerate(self.parts)
            },
        }  # fmt: skip
        return keep(folder, name, data, self.plot)


@dataclass(frozen=True)
class UnitPatching:
    """Which units of a layer carry a change.

    Attributes:
        policy, env, change, layer: whose, where, what, in which.
        units: which [U].
        share: of each, patched alone [U].
        p: of the shares against signs flipped episode by episode, for all units together (the greatest of each flip).
        together: the share of all units found, patched together; NaN where none is.
    """

    policy: str
    env: str
    change: str
    layer: str
    units: Int[np.ndarray, "U"]
    share: Float[np.ndarray, "U"]
    p: Float[np.ndarray, "U"]
    together: float

    @property
    def found(self) -> list[int]:
        """Units with p ≤ 0.05, the greatest share first."""
        order = np.argsort(-np.abs(self.share), kind="stable")
        return [int(self.units[u]) for u in order if self.p[u] <= 0.05]

    def plot(self) -> "matplotlib.figure.Figure":
        """Bars, those that are found marked."""
        from jostle.explain.ablate.twin_figures import plot_unit_patching

        return plot_unit_patching(self)

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        return keep(
            folder, name or file_name(f"twin units {self.layer}"), {**vars(self), "found": self.found}, self.plot
        )


def patch_layers(twins: Twins, layers: Sequence[str] | None = None, *, draws: int = 5, seed: int = 0) -> Patching:
    """The second world's activations put into the first, layer by layer.

    Args:
        twins: as `jostle.explain.ablate.twin_worlds` gives them.
        layers: names; None: the network's direct parts that put out a row for each observation.
        draws: R random directions.
        seed: of these.

    Raises:
        ConfigError: no such layer.
    """
    both = _Both(twins)
    names = both.layers() if layers is None else list(layers)
    rng = torch.Generator().manual_seed(seed)
    shares, nulls, distances = [], [], []
    parts = [*both.inputs(), *names]
    for part in both.inputs():
        shares.append(both.share(both.with_input(part)))
        nulls.append([np.nan] * draws)
        distances.append(np.nan)
    for name in names:
        here, there = both.kept(0, name), both.kept(1, name)
        shares.append(both.share(both.patched(name, lambda _, there=there: there)))  # type: ignore[misc]
        step = there - here
        found = []
        for _ in range(draws):
            direction = torch.randn(step.shape, generator=rng)
            size = step.flatten(1).norm(dim=1) / direction.flatten(1).norm(dim=1)
            aside = here + direction * size.view(-1, *[1] * (step.ndim - 1))
            found.append(both.share(both.patched(name, lambda _, aside=aside: aside)))  # type: ignore[misc]
        nulls.append(found)
        flat = [x.flatten(1).double().numpy() for x in (here, there)]
        distances.append(feature_distance(flat[0], flat[1]).relative)
    return Patching(
        twins.view.name, twins.env, twins.change, both.change_of_policy, parts, np.array(shares), np.array(nulls),
        np.array(distances),
    )  # fmt: skip


def patch_units(
    twins: Twins,
    layer: str,
    *,
    units: Sequence[int] | None = None,
    seed: int = 0,
    batch: int = ROWS,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> UnitPatching:
    """The second world's activations put into the first, unit by unit (channels of convolutions).

    Args:
        twins: as `jostle.explain.ablate.twin_worlds` gives them.
        layer: whose units.
        units: None: all.
        seed: of flipped signs.
        batch: rows that go through the network at a time.
        notify: called with units done and in all.

    Raises:
        ConfigError: no such layer or unit.
    """
    both = _Both(twins)
    there = both.kept(1, layer)
    if there.ndim < 2:
        raise ConfigError(f"the layer '{layer}' of {twins.view.name} puts out one number, which has no units.")
    chosen = checked_units(units, there.shape[1], layer, twins.view)
    steps, together = len(twins), max(1, batch // len(twins))
    along = np.zeros((len(chosen), steps))
    for first in range(0, len(chosen), together):
        some = chosen[first : first + together]
        at = torch.arange(steps).repeat(len(some))
        take = torch.zeros(len(at), there.shape[1], dtype=torch.bool)
        take[torch.arange(len(at)), torch.from_numpy(some).repeat_interleave(steps)] = True
        along[first : first + len(some)] = both.along(both.patched(layer, _taking(take, there[at]), at), at).reshape(
            len(some), steps
        )
        notify(min(first + together, len(chosen)), len(chosen))
    share, p = _signed(along, both.whole, twins.episode, seed)
    found = chosen[p <= 0.05]
    joint = np.nan
    if len(found):
        take = torch.zeros(steps, there.shape[1], dtype=torch.bool)
        take[:, torch.from_numpy(found)] = True
        joint = both.share(both.patched(layer, _taking(take, there)))
    return UnitPatching(twins.view.name, twins.env, twins.change, layer, chosen, share, p, float(joint))


def _taking(take: Tensor, there: Tensor) -> Patch:
    def patch(out: Tensor) -> Tensor:
        return torch.where(take.reshape(*take.shape, *[1] * (out.ndim - 2)), there, out)

    return patch


def _signed(
    along: Float[np.ndarray, "U B"], whole: float, episode: Int[np.ndarray, "B"], seed: int
) -> tuple[Float[np.ndarray, "U"], Float[np.ndarray, "U"]]:
    """Shares, and their p-values for all units together by flipping the signs of whole episodes."""
    count = along.shape[0]
    if not whole > TINY:
        return np.zeros(count), np.ones(count)
    place = np.unique(episode, return_inverse=True)[1]
    sums = np.stack([np.bincount(place, weights=row) for row in along])  # [U, E]
    total = whole * along.shape[1]
    share = sums.sum(1) / total
    flips = 1 - 2 * np.random.default_rng(seed).integers(2, size=(FLIPS, sums.shape[1]))
    greatest = np.abs(sums @ flips.T / total).max(0)
    seen = np.abs(share)[:, None] * (1 - 1e-9)
    p = (1 + (greatest[None] >= seen).sum(1)) / (1 + FLIPS)
    return share, np.where(np.abs(share) > 1e-9, p, 1.0)


class _Both:
    """A policy in two worlds."""

    def __init__(self, twins: Twins) -> None:
        self.twins, self.view = twins, twins.view
        self._inputs = [self.view.inputs(obs) for obs in (twins.first, twins.second)]
        every = torch.arange(len(twins))
        with torch.no_grad():
            outs = [self._run(self._inputs[w], w, every) for w in (0, 1)]
        self.here, there = (_plain(out, self.view) for out in outs)
        if not bool(torch.isfinite(self.here).all() and torch.isfinite(there).all()):
            raise ConfigError(f"{self.view.name} puts out NaN or infinities: its weights hold them, or it overflows.")
        self.delta = there - self.here
        self.whole = float(self.delta.square().sum(1).mean())
        self.change_of_policy = divergence(outs[0], outs[1], self.view).double().cpu().numpy()

    def layers(self) -> list[str]:
        """Direct parts of the network that put out a row for each observation, and not values alone."""
        names = [name for name, _ in self.view.module.named_children()]
        every = torch.arange(len(self.twins))
        with torch.no_grad(), hooked(self.view.module, self.view.name, names) as kept:
            self._run(self._inputs[0], 0, every)
        return [n for n in names if n in kept and kept[n].ndim >= 2 and len(kept[n]) == len(every) and n != "value"]

    def inputs(self) -> list[str]:
        """Names of what goes in, where there are several."""
        parts = [f"{SEEN}.{key}" for key in self.twins.parts()] if len(self.twins.parts()) > 1 else []
        return [MEMORY, *(parts or [SEEN])] if self.twins.states is not None else parts

    @torch.no_grad()
    def with_input(self, part: str) -> Float[Tensor, "B O"]:
        """The first world's outputs with a part of what goes in being the second's."""
        every = torch.arange(len(self.twins))
        if part == MEMORY:
            return _plain(self._run(self._inputs[0], 1, every), self.view)
        mixed: Any = self._inputs[1]
        if part != SEEN:
            key = part.removeprefix(f"{SEEN}.")
            first: Any = self._inputs[0]
            mixed = {**first, key: mixed[key]}
        return _plain(self._run(mixed, 0, every), self.view)

    @torch.no_grad()
    def kept(self, world: int, layer: str) -> Tensor:
        """What a layer puts out in a world."""
        with hooked(self.view.module, self.view.name, [layer]) as kept:
            self._run(self._inputs[world], world, torch.arange(len(self.twins)))
        require_kept(kept, [layer], self.view.name)
        found = kept[layer]
        if found.ndim < 1 or len(found) != len(self.twins):
            raise ConfigError(
                f"the layer '{layer}' of {self.view.name} puts out {list(found.shape)} for {len(self.twins)} "
                "observations, no row for each: choose another layer."
            )
        return found

    @torch.no_grad()
    def patched(self, layer: str, patch: Patch, at: Int[Tensor, "N"] | None = None) -> Float[Tensor, "N O"]:
        """The first world's outputs with a layer patched."""
        at = torch.arange(len(self.twins)) if at is None else at
        with hooked(self.view.module, self.view.name, patch={layer: patch}):
            return _plain(self._run(self._inputs[0], 0, at), self.view)

    def along(self, out: Float[Tensor, "N O"], at: Int[Tensor, "N"]) -> Float[np.ndarray, "N"]:
        """⟨o − o(A), o(B) − o(A)⟩, row by row."""
        return ((out - self.here[at]) * self.delta[at]).sum(1).double().cpu().numpy()

    def share(self, out: Float[Tensor, "B O"]) -> float:
        """The share of the whole change; 0 where there is none."""
        if not self.whole > TINY:
            return 0.0
        return float(self.along(out, torch.arange(len(self.twins))).mean() / self.whole)

    def _run(self, inputs: Any, memory: int, at: Int[Tensor, "N"]) -> Output:
        obs = {k: v[at] for k, v in inputs.items()} if isinstance(inputs, dict) else inputs[at]
        how: dict[str, Any] = {}
        if self.twins.states is not None:
            how["state"] = self.twins.states[memory][:, at]
        return self.view.forward(obs, **how)


def _plain(out: Output, view: Any) -> Float[Tensor, "N O"]:
    """Outputs in which the policy's change is a change: logits without their mean, else values or means."""
    logits = logits_of(out)
    if logits is not None:
        return (logits - logits.mean(-1, keepdim=True)).flatten(1).double()
    return vector(out, view).flatten(1).double()
