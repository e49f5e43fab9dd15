"""Checks of parameters against the quantities that they name."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from jostle.domain.distributions import Categorical, Constant, Integers
from jostle.domain.parameter import Parameter
from jostle.domain.quantity import Quantity
from jostle.errors import ConfigError, closest


def resolved(parameter: Parameter, quantities: Mapping[str, Quantity], of: str) -> Parameter:
    """The parameter with numbers for the names of choices.

    Raises:
        ConfigError: an unknown quantity, or values that it cannot have.
    """
    if parameter.name not in quantities:
        raise ConfigError(_unknown(parameter.name, quantities, of))
    return _checked(parameter, quantities[parameter.name], of)


def _unknown(name: str, quantities: Mapping[str, Quantity], of: str) -> str:
    if not quantities:
        return f"{of} offers no quantity that could vary, and the space names {name}: leave the domain out."
    return f"{of} has no quantity {name} (`jostle domain show` lists them); {closest(name, quantities)}"


def _checked(parameter: Parameter, quantity: Quantity, of: str) -> Parameter:
    """The parameter with numbers for names, checked against the quantity."""
    parameter = _by_number(parameter, quantity, of)
    law, where = parameter.distribution, f"the parameter {parameter.name} of {of}"
    if parameter.operation == "scale" and quantity.nominal == 0:
        raise ConfigError(f"{where} scales a nominal value of 0, which changes nothing: use absolute or offset.")
    if quantity.choices and not isinstance(law, Categorical | Constant | Integers):
        raise ConfigError(f"{where} is chosen from {', '.join(quantity.choices)}: draw it categorical, not {law.kind}.")
    ends = np.array(law.support, np.float64)
    low, high = sorted(float(v) for v in parameter.value(ends, quantity.nominal))
    slack = 1e-9 * max(1.0, abs(quantity.low) if math.isfinite(quantity.low) else 1.0)
    if low < quantity.low - slack or high > quantity.high + slack:
        beyond = low if low < quantity.low - slack else high
        raise ConfigError(
            f"{where} would reach {_shown(beyond, quantity)}, and makes sense from {quantity.low:g} to "
            f"{_shown(quantity.high, quantity)}: narrow its {law.kind}."
        )
    return parameter


def _by_number(parameter: Parameter, quantity: Quantity, of: str) -> Parameter:
    """A categorical parameter with the choices' numbers in place of their names."""
    law = parameter.distribution
    if not isinstance(law, Categorical):
        return parameter
    numbers: list[float | str] = []
    for value in law.values:
        if isinstance(value, str):
            if value not in quantity.choices:
                known = closest(value, quantity.choices) if quantity.choices else "it is a number"
                raise ConfigError(f"the parameter {parameter.name} of {of} has no choice {value!r}; {known}")
            value = float(quantity.choices.index(value))
        elif quantity.choices and value not in range(len(quantity.choices)):
            raise ConfigError(
                f"the parameter {parameter.name} of {of} has no choice {value:g}: it is one of 0 to "
                f"{len(quantity.choices) - 1} ({', '.join(quantity.choices)})."
            )
        numbers.append(value)
    return replace(parameter, distribution=Categorical(tuple(numbers), law.weights))


def _shown(value: float, quantity: Quantity) -> str:
    return f"{value:g} {quantity.unit}".rstrip()
