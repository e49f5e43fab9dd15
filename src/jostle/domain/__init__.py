"""Domain randomisation: what varies, how it is drawn, and how its range moves. Knows no environment."""

from jostle.domain.correlation import Correlated
from jostle.domain.distributions import (
    Beta,
    Categorical,
    Constant,
    Distribution,
    Integers,
    LogUniform,
    TruncatedNormal,
    Uniform,
)
from jostle.domain.parameter import Parameter
from jostle.domain.quantity import Quantity
from jostle.domain.space import Bound, Draw, Space

__all__ = [
    "Beta",
    "Bound",
    "Categorical",
    "Constant",
    "Correlated",
    "Distribution",
    "Draw",
    "Integers",
    "LogUniform",
    "Parameter",
    "Quantity",
    "Space",
    "TruncatedNormal",
    "Uniform",
]
