"""A space over three quantities, and results of made-up episodes."""

import numpy as np

from jostle.domain import Bound, LogUniform, Parameter, Quantity, Space, Uniform
from jostle.domain.schedules import Proposal, Results

QUANTITIES = {
    q.name: q for q in (Quantity("mass", 2.0, 0.0, 50.0), Quantity("length", 1.0, 0.0, 20.0), Quantity("wind", 0.0))
}
MASS = Parameter("mass", Uniform(0.5, 1.5), "scale")
LENGTH = Parameter("length", LogUniform(0.1, 10.0))


def bound(*parameters: Parameter) -> Bound:
    return Space(parameters or (MASS, LENGTH)).bind(QUANTITIES)


def keys(n: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(n, np.int64), np.arange(first, first + n)


def results(proposal: Proposal, returns: float | np.ndarray, success: float | np.ndarray = np.nan) -> Results:
    n = len(proposal.tag)
    return Results(
        *keys(n), proposal.drawn, proposal.log_density, proposal.tag, np.full(n, returns, float),
        np.full(n, 10, np.int64), np.full(n, success, float),
    )  # fmt: skip


def rows(proposal: Proposal, where: np.ndarray) -> Proposal:
    return Proposal(*[part[where] for part in proposal])
