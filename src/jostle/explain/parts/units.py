"""Units of the inner layers taken out, one by one and one after the other, and whether large weights tell which."""

import math

import numpy as np

from jostle.explain.ablate import MagnitudeImportance, cumulative_ablation, magnitude_importance, unit_ablation
from jostle.explain.ablate.cutting import outputs_of
from jostle.explain.ablate.units import TOLERANCE, CumulativeAblation, UnitAblation
from jostle.explain.parts.bench import Bench
from jostle.explain.results.numbers import Number

ROWS = 8192
"""Units times steps that are passed for one network."""
STEPS = (8, 64)
"""Steps at the least and at most."""
ORDERS = 19
"""Random orders, so that p can be 0.05."""


def units(bench: Bench) -> None:
    """`unit_ablation`, `cumulative_ablation` and `magnitude_importance` of every inner layer."""
    layers, seed, within = bench.layers, bench.asked.seed, bench.progress.within
    bench.progress.expect(3 * len(layers))
    for layer in layers:
        count = outputs_of(bench.subject.only(np.zeros(1, np.int64)), layer).shape[1]
        subject = bench.at(min(max(ROWS // count, STEPS[0]), STEPS[1]))
        single: UnitAblation | None = None
        with bench.attempt(f"units of {layer}"):
            single = unit_ablation(subject, None, layer, null=bench.nulls, notify=within)
            seen = f"What each unit of {layer} is worth, the dearest first."
            bench.keep(f"units_{layer}", single, seen, _greatest(single))
        with bench.attempt(f"units of {layer}, one after the other"):
            several = cumulative_ablation(subject, None, layer, orders=ORDERS, seed=seed, notify=within)
            seen = f"What changes as units of {layer} are taken out: the dearest first, the least first, at random."
            bench.keep(f"cumulative_{layer}", several, seen, _order(several))
        with bench.attempt(f"large weights of {layer}"):
            if single is not None:
                size = magnitude_importance(bench.view, single, seed=seed)
                seen = f"The size of each unit's weights and what the unit is worth, {layer}."
                bench.keep(f"magnitude_{layer}", size, seen, _size(size))


def _greatest(found: UnitAblation) -> Number:
    share = float(found.share.max())
    p = (1 + int((found.null >= share).sum())) / (1 + len(found.null))
    name = f"greatest share of a unit of {found.layer}"
    return Number.beside(name, share, found.null, "untrained networks' greatest", p)


def _order(found: CumulativeAblation) -> Number:
    """What the order gains, and what random ones gain on themselves turned round, either way."""
    end = float(found.ranked[-1])
    changes = end > TOLERANCE
    apart = (found.random - found.backwards).mean(1) / end if changes else np.zeros(len(found.random))
    name, p = f"gain of the order of the units of {found.layer}", found.p if changes else 1.0
    return Number.beside(name, found.gain, np.concatenate([apart, -apart]), "random orders, turned round", p)


def _size(found: MagnitudeImportance) -> Number:
    """Shuffled units have a correlation of 0 in the mean; p is of them."""
    name, rho = f"rank correlation of the weights' size with what units of {found.layer} are worth", found.correlation
    ends = (rho.low, rho.high) if math.isfinite(rho.low) else None
    return Number(name, rho.point, "shuffled units, in the mean", (0.0, 0.0), 0, ends, found.p)
