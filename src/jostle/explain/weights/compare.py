"""Two methods' weights over their seeds: which numbers differ, by how much, and how sure that is."""

from collections.abc import Sequence
from typing import Any

from jostle.errors import ConfigError
from jostle.explain.results.comparison import Comparison, compare_numbers
from jostle.explain.weights.numbers import numbers_of
from jostle.view import as_view


def compare_weights(
    x: Sequence[Any],
    y: Sequence[Any],
    *,
    numbers: Sequence[str] = ("L2", "sd", "kurtosis"),
    initial_x: Sequence[Any] | None = None,
    initial_y: Sequence[Any] | None = None,
    names: tuple[str, str] = ("x", "y"),
    **view: Any,
) -> Comparison:
    """Effect sizes of the weights' numbers, layer by layer, over the seeds of two methods.

    Args:
        x, y: trained policies, one a seed, of networks of the same kind; at least two of each.
        numbers: those of `jostle.explain.weights.numbers`; ``distance``, ``relative distance`` and ``cosine`` need the
            first weights.
        initial_x, initial_y: first weights of each, as `jostle.explain.weights.initial_weights` takes them.
        names: of the methods.
        **view: further arguments of `jostle.as_view`.

    Raises:
        ConfigError: fewer than two seeds a side, unknown numbers, or networks that share no layer.
    """
    sides = []
    for policies, first in ((x, initial_x), (y, initial_y)):
        if first is not None and len(first) != len(policies):
            raise ConfigError(f"there are {len(policies)} policies and {len(first)} first weights: give one for each.")
        starts = [None] * len(policies) if first is None else first
        tables = [numbers_of(as_view(p, **view), s) for p, s in zip(policies, starts, strict=True)]
        side: dict[str, list[float]] = {}
        for table in tables:
            for layer, found in table.items():
                for number in numbers:
                    if number not in found:
                        raise ConfigError(f"there is no number '{number}' of weights here: known: {', '.join(found)}.")
                    side.setdefault(f"{layer} {number}", []).append(found[number])
        sides.append(side)
    return compare_numbers(sides[0], sides[1], names=names, what="weights")
