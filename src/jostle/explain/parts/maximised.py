"""What units of the last hidden layer want to see."""

import numpy as np

from jostle.explain.ablate.cutting import outputs_of
from jostle.explain.maximise import maximise_activation
from jostle.explain.parts.bench import Bench
from jostle.explain.results.numbers import Number

UNITS, STARTS, ITERATIONS = 6, 3, 48
UNTRAINED = 2
STEPS = 64
SMOOTH = 0.5
"""Weight of the total variation of pictures."""


def maximised(bench: Bench) -> None:
    """`maximise_activation` of the units that vary most over the trace."""
    bench.progress.expect(1)
    layer = bench.layers[0]
    with bench.attempt(f"maximised units of {layer}"):
        subject = bench.at(STEPS)
        outputs = outputs_of(subject, layer)
        spread = outputs.flatten(2).mean(2).std(0) if outputs.ndim > 2 else outputs.std(0)
        chosen = spread.argsort(descending=True, stable=True)[:UNITS].tolist()
        found = maximise_activation(
            subject, None, layer, units=chosen, starts=STARTS, iterations=ITERATIONS,
            tv=SMOOTH if bench.pictures else 0.0, null=bench.nulls[:UNTRAINED], seed=bench.asked.seed,
            notify=bench.progress.within,
        )  # fmt: skip
        seen = f"What the {len(chosen)} units of {layer} that vary most put out most for, and the largest of the trace."
        gains = [float(np.nanmean(each)) for each in found.null if np.isfinite(each).any()]
        real = found.gain[np.isfinite(found.gain)]
        name = f"gain of units of {layer} on what they have seen, in deviations"
        number = Number.beside(name, float(real.mean()) if len(real) else float("nan"), gains, "untrained networks")
        bench.keep(f"units_{layer}", found, seen, number)
