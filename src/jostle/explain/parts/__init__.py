"""The parts of an explanation, each a function of the bench that leaves results, figures, and numbers with nulls."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jostle.errors import ConfigError, closest
from jostle.explain.parts.bench import Asked, Bench
from jostle.explain.parts.entangled import entangled
from jostle.explain.parts.layers import layers
from jostle.explain.parts.maximised import maximised
from jostle.explain.parts.memory import memory
from jostle.explain.parts.paths import paths
from jostle.explain.parts.planes import planes
from jostle.explain.parts.probes import probes
from jostle.explain.parts.progress import Notify, Progress, Stopped
from jostle.explain.parts.pruning import pruning
from jostle.explain.parts.saliency import require_known, saliency
from jostle.explain.parts.units import units
from jostle.explain.parts.weights import weights


class Part(NamedTuple):
    """A part: what makes it, and its share of the time, roughly."""

    make: Callable[[Bench], None]
    weight: int


PARTS = {
    "saliency": Part(saliency, 20),
    "weights": Part(weights, 2),
    "units": Part(units, 3),
    "layers": Part(layers, 2),
    "pruning": Part(pruning, 2),
    "memory": Part(memory, 1),
    "planes": Part(planes, 3),
    "paths": Part(paths, 1),
    "entanglement": Part(entangled, 1),
    "probes": Part(probes, 2),
    "maximised": Part(maximised, 2),
}
"""In their order. A function more here is a part more of every explanation."""


def chosen_parts(names: Sequence[str] | None) -> dict[str, Part]:
    """The parts that are asked for, in their order; None: all.

    Raises:
        ConfigError: there is no such part, or none is asked for.
    """
    for name in names or ():
        if name not in PARTS:
            raise ConfigError(f"there is no part '{name}' of an explanation; {closest(name, PARTS)}")
    if names is not None and not names:
        raise ConfigError("no part is asked for: give at least one, or None for all.")
    return {name: part for name, part in PARTS.items() if names is None or name in names}


__all__ = ["PARTS", "Asked", "Bench", "Notify", "Part", "Progress", "Stopped", "chosen_parts", "require_known"]
