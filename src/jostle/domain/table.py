"""A space, or what an environment offers, as a table."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jostle.domain.correlation import Correlated
from jostle.domain.distributions import Categorical, Constant, Distribution
from jostle.domain.parameter import Parameter
from jostle.domain.quantity import Quantity

QUANTITY_COLUMNS = ("name", "unit", "nominal", "from", "to", "about")


def quantity_rows(quantities: Iterable[Quantity]) -> list[tuple[str, ...]]:
    """Rows of `QUANTITY_COLUMNS`."""
    return [
        (q.name, q.unit, _nominal(q), _number(q.low), _number(q.high), q.about or ", ".join(q.choices))
        for q in quantities
    ]


def parameter_rows(
    parameters: Sequence[Parameter], quantities: Sequence[Quantity] = ()
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows: name, distribution, operation and time; with quantities also unit, nominal value and reach."""
    columns: tuple[str, ...] = ("name", "drawn from", "operation", "when")
    rows: list[tuple[str, ...]] = [(p.name, _law(p.distribution), p.operation, _when(p)) for p in parameters]
    if quantities:
        columns = (*columns, "unit", "nominal", "values from", "to")
        pairs = zip(parameters, quantities, strict=True)
        rows = [row + _reached(p, q) for row, (p, q) in zip(rows, pairs, strict=True)]
    return columns, rows


def text_table(
    parameters: Sequence[Parameter], correlated: Sequence[Correlated], quantities: Sequence[Quantity] = ()
) -> str:
    """The space as text, with its correlated groups below."""
    columns, rows = parameter_rows(parameters, quantities)
    groups = [f"correlated: {', '.join(g.names)} ({g.data()['correlation']})" for g in correlated]
    return "\n".join(lines_of(columns, rows) + groups)


def lines_of(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as aligned lines, the columns' names first."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    whole = [columns, *rows]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in whole]


def _law(law: Distribution) -> str:
    if isinstance(law, Constant):
        return f"constant {law.value:g}"
    if isinstance(law, Categorical):
        shares = (
            f"{v if isinstance(v, str) else format(v, 'g')}: {p:.0%}"
            for v, p in zip(law.values, law._share, strict=True)
        )
        return f"categorical {', '.join(shares)}"
    data: Any = law.data()
    if isinstance(data, list):
        return f"{law.kind} {_number(data[0])} to {_number(data[1])}"
    return f"{law.kind} {', '.join(f'{key} {_number(value)}' for key, value in data.items())}"


def _when(parameter: Parameter) -> str:
    return f"every {parameter.interval} steps" if parameter.interval is not None else f"each {parameter.when}"


def _reached(parameter: Parameter, quantity: Quantity) -> tuple[str, ...]:
    law = parameter.distribution
    if isinstance(law, Categorical) and law.named:
        return quantity.unit, _nominal(quantity), "", ""
    ends = sorted(float(v) for v in parameter.value(np.array(law.support, np.float64), quantity.nominal))
    return quantity.unit, _nominal(quantity), _number(ends[0]), _number(ends[1])


def _nominal(quantity: Quantity) -> str:
    if quantity.choices and 0 <= quantity.nominal < len(quantity.choices):
        return quantity.choices[int(quantity.nominal)]
    return _number(quantity.nominal)


def _number(value: float) -> str:
    return "" if math.isinf(value) else f"{value:g}"
