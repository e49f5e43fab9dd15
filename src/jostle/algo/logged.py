"""Numbers that callbacks log, until the next line of metrics takes their means."""

import math
from typing import Any

from jostle.algo.evaluating import METRICS
from jostle.errors import ConfigError

_TAKEN = ("step", "time", *METRICS)
_OWN = ("charts/", "losses/", "values/", "noise/", "bonus/", "coverage/")


class Logged:
    """Sums and counts by name."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, name: str, value: Any) -> None:
        """Count a number in.

        Raises:
            ConfigError: it is no finite number, or the name cannot be used.
        """
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{name!r} cannot name what is logged: give a text, such as 'mine/score'.")
        if name in _TAKEN or name.startswith(_OWN):
            raise ConfigError(
                f"'{name}' is a name of jostle's own metrics: log it under another, such as 'mine/score'."
            )
        total, count = self._sums.get(name, (0.0, 0))
        self._sums[name] = total + finite_number(f"'{name}'", value), count + 1

    def drain(self, own: dict[str, float]) -> dict[str, float]:
        """The means since the last call.

        Raises:
            ConfigError: a name is one of ``own``.
        """
        for name in self._sums:
            if name in own:
                raise ConfigError(f"'{name}' is logged by jostle itself: log it under another name.")
        out = {name: total / count for name, (total, count) in self._sums.items()}
        self._sums.clear()
        return out

    def state_dict(self) -> dict[str, list[float]]:
        """What no line has taken yet."""
        return {name: [total, count] for name, (total, count) in self._sums.items()}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        """Restore `state_dict`."""
        self._sums = {name: (float(total), int(count)) for name, (total, count) in state.items()}


def finite_number(name: str, value: Any) -> float:
    """A number of Python, NumPy or torch (also an array or a tensor with one element) as Python's own.

    Raises:
        ConfigError: it is none, or not finite.
    """
    try:
        number = float("nan") if isinstance(value, (str, bytes)) or value is None else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        number = float("nan")
    if not math.isfinite(number):
        raise ConfigError(f"{name} cannot be {value!r}: give a finite number.")
    return number
