"""Connections taken out, the smallest first: how few of them the policy needs."""

import numpy as np

from jostle.explain.ablate import pruning as prune
from jostle.explain.ablate.sparsity import Pruning
from jostle.explain.parts.bench import Bench
from jostle.explain.results.numbers import Number

STEPS = 32
SHARES = (0.5, 0.8, 0.9, 0.95)
MANY, FEW = 19, 9
"""Random choices of a small network, so that p can be 0.05, and of a large one."""


def pruning(bench: Bench) -> None:
    """`jostle.explain.pruning` of connections."""
    bench.progress.expect(1)
    with bench.attempt("pruning"):
        bench.require_network()
        found = prune(
            bench.at(STEPS),
            None,
            sparsity=SHARES,
            draws=FEW if bench.large else MANY,
            seed=bench.asked.seed,
            notify=bench.progress.within,
        )
        seen = "What changes as connections are taken out of each layer, the smallest first and at random."
        bench.keep("connections", found, seen, _gain(found))


def _gain(found: Pruning) -> Number:
    """Of the smallest against any, and of each random choice against the others."""
    mean = np.maximum(found.random.mean(0), 1e-9)
    nulls = 1 - (found.random / mean).mean(1)
    return Number.beside("gain of pruning by size", found.gain, nulls, "random choices", found.p)
