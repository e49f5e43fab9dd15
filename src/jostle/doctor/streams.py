"""Checks of reward streams, whatever the algorithm: each one's values, and what they weigh beside each other."""

import math
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from jostle.algo.parts.stream_settings import EXTRINSIC
from jostle.doctor.shared import Check

LOUD, DWARFS = 1.0, 10.0
"""A loss of values that is above the one, and so many times all others together, drowns the others' gradients."""


def judged(name: str, value: Float[Tensor, "B"], goal: Float[Tensor, "B"], bound: float, *, settled: bool) -> Check:
    """Values are finite, near their targets, and within what the rewards can add up to.

    Args:
        name: of the check.
        value, goal: of valid rows.
        bound: what the rewards can add up to; infinite where nothing bounds them.
        settled: the agent has had time to learn something.
    """
    if not (value.isfinite().all() and goal.isfinite().all()):
        return Check(name, "FAIL", "some are NaN or infinite", "go back to an earlier checkpoint; scale the rewards")
    error, spread = float((value - goal).square().mean().sqrt()), float(goal.std(correction=0))
    explained = 1 - float((goal - value).var(correction=0)) / spread**2 if spread > 0 else math.nan
    greatest = float(value.abs().max())
    found = f"up to {greatest:.3g}; error {error:.2g}, targets spread by {spread:.2g}"
    if math.isfinite(explained):
        found += f" ({explained:.0%} explained)"
    if math.isfinite(bound):
        found += f"; the rewards can add up to {bound:.3g}"
    # A network that has learned nothing yet has values below 1 or so, and errs by as much as the targets are large.
    size = float(goal.square().mean().sqrt())
    excess = max(greatest / max(bound, 1.0) / 2, error / max(size, 1.0) / 3)
    if excess > 1:
        remedy = "they diverge: lower the learning rate, normalise or clip the rewards"
        return Check(name, "FAIL" if excess > 5 else "warning", found, remedy)
    if explained < -0.5 and error > 1e-2 and settled:
        return Check(name, "warning", found, "worse than a constant: more epochs, a higher value_coef, or longer")
    return Check(name, "OK", found)


def compared(losses: Mapping[str, float]) -> Check:
    """No stream's loss of values, as it enters the gradients, is large and far above all others' together."""
    name = "value losses of streams"
    found = ", ".join(f"{stream} {loss:.3g}" for stream, loss in losses.items())
    largest = max(losses, key=lambda stream: losses[stream])
    if losses[largest] > LOUD and losses[largest] > DWARFS * (sum(losses.values()) - losses[largest]):
        return Check(
            name,
            "warning",
            f"{found}: that of {largest} dwarfs the others'",
            f"it moves what the streams share: lower streams.{largest}.value_coef, or set value_norm to "
            f"{'all' if largest == EXTRINSIC else 'intrinsic'}",
        )
    return Check(name, "OK", found)
