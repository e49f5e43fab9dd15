"""Hidden trajectories of the same games under the first condition and under each other one, side by side."""

import numpy as np
from jaxtyping import Int

from jostle.errors import ConfigError
from jostle.explain.activations import Activations, Trajectories, gather, trajectories
from jostle.explain.activations.gathering import SEEN
from jostle.explain.parts.bench import Bench
from jostle.explain.results.numbers import Number

PAIRS, STEPS, ROWS = 16, 60, 960
"""Of episodes at most so many, of each the first steps; of long ones fewer, for pictures are kept as they are."""
MEAN = "in the mean"


def paths(bench: Bench) -> None:
    """`trajectories` of every inner layer, beside other games', observations' and untrained networks'."""
    trace = bench.found.trace
    conditions = list(dict.fromkeys(e.condition for e in trace.episodes))
    if len(conditions) < 2:
        raise ConfigError(
            "all episodes are of one condition: give two, such as {'seen': {'split': 'train'}, 'unseen': {'split': "
            "'test'}}."
        )
    layers = bench.layers
    bench.progress.expect(len(layers) * (len(conditions) - 1))
    for layer in layers:
        for other in conditions[1:]:
            with bench.attempt(f"paths of {conditions[0]} and {other} through {layer}"):
                rows = _rows(bench, conditions[0], other)
                own = gather(trace, layer, bench.view, rows=rows, pool="mean")
                nulls: dict[str, Activations | list[Activations]] = {
                    "the observations themselves": gather(trace, SEEN, rows=rows),
                    "untrained networks": [gather(trace, layer, null, rows=rows, pool="mean") for null in bench.nulls],
                }
                found = trajectories(own, conditions[0], other, nulls=nulls)
                seen = f"The same games under {conditions[0]} and {other}, as {layer} has them."
                bench.keep(f"{layer}_{other}", found, seen, *_numbers(found))


def _rows(bench: Bench, *conditions: str) -> Int[np.ndarray, "B"]:
    """The first steps of the first episodes of both."""
    trace = bench.found.trace
    step, found = np.asarray(trace.column("step", np.arange(len(trace)))), []
    pairs = max(2, min(PAIRS, ROWS // (2 * min(STEPS, int(step.max()) + 1))))
    for condition in conditions:
        rows = trace.rows(condition=condition)
        first = np.unique(trace.episode[rows])[:pairs]
        found.append(rows[np.isin(trace.episode[rows], first) & (step[rows] < STEPS)])
    return np.concatenate(found)


def _numbers(found: Trajectories) -> list[Number]:
    name = f"cycle-consistency of {found.names[0]} and {found.names[1]} in {found.activations.layer}"
    mean, interval = found.mean, None
    if np.isfinite(mean.high - mean.low):
        interval = mean.low, mean.high
    return [
        Number(name, mean.point, f"{'other games' if what == 'mismatched' else what}, {MEAN}",
               (null.x, null.x), 0, interval, null.p)
        for what, null in found.beyond.items()
    ]  # fmt: skip
