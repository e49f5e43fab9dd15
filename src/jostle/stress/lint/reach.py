"""How far each parameter goes: the two values at which it is looked at."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jostle.domain import Categorical, Parameter, Quantity, Space
from jostle.errors import ConfigError
from jostle.stress.lint.findings import Finding


class Reach(NamedTuple):
    """The least and the greatest value of a parameter, and what holds without it."""

    name: str
    low: float
    high: float
    nominal: float


def reaches(space: Space, quantities: Mapping[str, Quantity], of: str) -> tuple[list[Reach], list[Finding]]:
    """The reach of each parameter, and whether the space declares it well: known, and within its bounds."""
    found, findings = [], []
    for parameter in space.parameters:
        try:
            bound = Space([parameter]).bind(quantities, of)
        except ConfigError as error:
            findings.append(Finding(parameter.name, "declared", "failed", str(error)))
            continue
        findings.append(Finding(parameter.name, "declared", "passed"))
        resolved = bound.space.parameters[0]
        low, high = sorted(float(v) for v in bound.values(_ends(resolved))[:, 0])
        found.append(Reach(parameter.name, low, high, float(bound.nominal[0])))
    return found, findings


def everything(quantities: Mapping[str, Quantity]) -> list[Reach]:
    """Without a space: half the nominal value to one and a half, or a unit around zero, within the bounds."""
    return [
        Reach(name, *((0.0, q.high) if q.choices else _around(q)), q.nominal)
        for name, q in quantities.items()
        if q.high > q.low
    ]


def _around(q: Quantity) -> tuple[float, float]:
    width = 0.5 * abs(q.nominal) if q.nominal else 1.0
    if np.isfinite(q.high - q.low):
        width = min(width, 0.5 * (q.high - q.low))
    return max(q.low, q.nominal - width), min(q.high, q.nominal + width)


def _ends(parameter: Parameter) -> np.ndarray:
    law = parameter.distribution
    ends = [float(v) for v in law.values] if isinstance(law, Categorical) else list(law.support)
    return np.array([[min(ends)], [max(ends)]], np.float64)
