"""Units taken out one by one, and one after the other."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from jostle.errors import ConfigError
from jostle.explain.ablate.cutting import ROWS, checked_units, cut_changes, filling, in_order, one_by_one, outputs_of
from jostle.explain.ablate.measure import UNITS
from jostle.explain.asking import Subject, ask
from jostle.explain.results.kept import file_name, keep
from jostle.view import PolicyView

if TYPE_CHECKING:
    import matplotlib.figure

TOLERANCE = 1e-7
"""Changes below which nothing has changed but rounding."""


@dataclass(frozen=True)
class UnitAblation:
    """What each unit of a layer is worth.

    Attributes:
        policy, layer, fill, measure: what was asked.
        units: which of them.
        values: the change [U, B] that each makes at B steps.
        null: the greatest share of the units of R untrained networks [R].
    """

    policy: str
    layer: str
    fill: str
    measure: str
    units: Int[np.ndarray, "U"]
    values: Float[np.ndarray, "U B"]
    null: Float[np.ndarray, "R"]

    @property
    def mean(self) -> Float[np.ndarray, "U"]:
        """Over the steps."""
        return np.asarray(self.values.mean(1))

    @property
    def share(self) -> Float[np.ndarray, "U"]:
        """Of the sum over all units; 0 where nothing changes anything."""
        total = float(self.mean.sum())
        return self.mean / total if total > TOLERANCE else np.zeros(len(self.units))

    @property
    def threshold(self) -> float:
        """The share that the greatest unit of an untrained network exceeds once in twenty times; NaN without null.

        Of fewer than 19 networks the greatest of all, which one more would exceed once in R + 1 times.
        """
        if not len(self.null):
            return float("nan")
        place = max(math.ceil(0.95 * (len(self.null) + 1)), 1)  # of one more network among them
        return float(np.sort(self.null)[min(place, len(self.null)) - 1])

    @property
    def found(self) -> list[int]:
        """Units whose share exceeds it, the greatest first."""
        order = np.argsort(-self.share, kind="stable")
        return [int(self.units[u]) for u in order if self.share[u] > max(self.threshold, 0.0)]

    def plot(self) -> "matplotlib.figure.Figure":
        """The greatest units, with the level that untrained networks reach."""
        from jostle.explain.ablate.figures import plot_units

        return plot_units(self)

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json``, ``NAME.png`` and ``NAME.npz``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {
            "policy": self.policy, "layer": self.layer, "fill": self.fill, "measure": self.measure,
            "units": self.units, "mean": self.mean, "share": self.share, "found": self.found,
            "threshold": self.threshold, "null": self.null,
        }  # fmt: skip
        return keep(folder, name or file_name(f"units {self.layer}"), data, self.plot, {"values": self.values})


def unit_ablation(
    policy: Any,
    steps: Any,
    layer: str,
    *,
    fill: str | float = "mean",
    measure: str = "policy",
    units: Sequence[int] | None = None,
    null: Sequence[PolicyView] = (),
    batch: int = ROWS,
    key: str | None = None,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> UnitAblation:
    """How a policy changes when one unit of a layer is taken out, unit by unit.

    A unit is a feature, or a channel of a convolution. Give a layer behind the activation, for units after it.

    Args:
        policy, steps, key: see `jostle.explain.ask`.
        layer: the module's name.
        fill: ``mean`` over the steps, ``zero``, or a number. Zero is what a unit may never put out, so that the rest of
            the network is taken somewhere where it has never been: mean first.
        measure: ``policy``, ``switched`` or ``value``: see `jostle.explain.ablate.measure.Changes`.
        units: None: all.
        null: untrained policies of the same shape, as `jostle.explain.weights.untrained` makes them.
        batch: rows that go through the network at a time.
        notify: called with ablations done and in all.

    Raises:
        ConfigError: no such layer, unit or measure.
    """
    subject = ask(policy, steps, key=key)
    chosen, values = _single(subject, layer, fill, measure, units, batch, notify)
    greatest = []
    for view in null:
        mean = _single(subject.of(view), layer, fill, measure, units, batch)[1].mean(1)
        total = float(mean.sum())
        greatest.append(float(mean.max()) / total if total > TOLERANCE else 0.0)
    return UnitAblation(subject.view.name, layer, str(fill), measure, chosen, values, np.array(greatest, np.float64))


@dataclass(frozen=True)
class CumulativeAblation:
    """What remains as more and more units of a layer are taken out.

    Attributes:
        policy, layer, fill, measure: what was asked.
        counts: how many are out [K].
        ranked: the change [K] when those worth most go first.
        reverse: when those worth least go first.
        random: in R random orders [R, K].
        backwards: in these orders turned round [R, K].
    """

    policy: str
    layer: str
    fill: str
    measure: str
    counts: Int[np.ndarray, "K"]
    ranked: Float[np.ndarray, "K"]
    reverse: Float[np.ndarray, "K"]
    random: Float[np.ndarray, "R K"]
    backwards: Float[np.ndarray, "R K"]

    @property
    def gain(self) -> float:
        """Mean height of the ranked curve over the reverse one, in shares of the last point: 0 says that the order is
        worth nothing, near 1 a few units carry everything."""
        end = float(self.ranked[-1])
        return float((self.ranked - self.reverse).mean()) / end if end > TOLERANCE else 0.0

    @property
    def p(self) -> float:
        """The share of random orders, and of these turned round, that lie as far above their own reverse as the ranked
        one, which is counted among them with its reverse: a test to one side, since worth is to be found in the order.

        A single curve would say less, since taking out some units may change more than taking out all. Where one unit
        carries everything, a random order is as good once in so many times as there are units.
        """
        apart = self.random.mean(1) - self.backwards.mean(1)
        own = float(self.ranked.mean() - self.reverse.mean())
        every = np.concatenate([apart, -apart, [own, -own]])
        return float((every >= own - 1e-12).mean())

    def plot(self) -> "matplotlib.figure.Figure":
        """The three curves."""
        from jostle.explain.ablate.figures import plot_cumulative

        return plot_cumulative(self)

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {**vars(self), "gain": self.gain, "p": self.p}
        return keep(folder, name or file_name(f"cumulative {self.layer}"), data, self.plot)


def cumulative_ablation(
    policy: Any,
    steps: Any,
    layer: str,
    *,
    fill: str | float = "mean",
    measure: str = "policy",
    points: int = 12,
    orders: int = 20,
    seed: int = 0,
    batch: int = ROWS,
    key: str | None = None,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> CumulativeAblation:
    """Units taken out one after the other: by what they are worth alone (most first, least first), and at random.

    The order is found on every second step and the curves are measured on the others, so that it does not fit to noise.

    Args:
        policy, steps, layer, fill, measure, batch, key, notify: as of `unit_ablation`; at least two steps.
        points: K − 1 counts of units, besides none.
        orders: R random orders.
        seed: of these.

    Raises:
        ConfigError: as `unit_ablation`.
    """
    subject = ask(policy, steps, key=key)
    if len(subject.steps) < 2:
        raise ConfigError("an order of units is found on some steps and measured on others: give at least two steps.")
    if points < 1 or orders < 1:
        raise ConfigError(f"points={points} and orders={orders} must be at least 1.")
    found, rest = (subject.only(np.arange(first, len(subject.steps), 2)) for first in (0, 1))
    _, values = _single(found, layer, fill, measure, None, batch)
    count = len(values)
    worth = np.argsort(-values.mean(1), kind="stable")
    counts = np.unique(np.linspace(0, count, points + 1).round().astype(np.int64))
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(count) for _ in range(orders)]
    every = [worth, worth[::-1], *drawn, *(order[::-1] for order in drawn)]
    filled = filling(outputs_of(subject, layer, batch), fill)
    kept = np.concatenate([in_order(order, counts) for order in every])
    changes = cut_changes(rest, layer, kept, filled, batch=batch, notify=notify).of(measure)
    curves = changes.mean(1).reshape(len(every), len(counts))
    random, backwards = curves[2 : 2 + orders], curves[2 + orders :]
    return CumulativeAblation(
        subject.view.name, layer, str(fill), measure, counts, curves[0], curves[1], random, backwards
    )


def label(measure: str) -> str:
    """A measure for people."""
    return UNITS[measure]


def _single(
    subject: Subject,
    layer: str,
    fill: str | float,
    measure: str,
    units: Sequence[int] | None,
    batch: int,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Int[np.ndarray, "U"], Float[np.ndarray, "U B"]]:
    outputs = outputs_of(subject, layer, batch)
    count = outputs.shape[1]
    chosen = checked_units(units, count, layer, subject.view)
    kept = one_by_one(chosen, count)
    found = cut_changes(subject, layer, kept, filling(outputs, fill), batch=batch, notify=notify)
    return chosen, found.of(measure)
