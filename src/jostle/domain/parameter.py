"""A parameter: which quantity varies, from what it is drawn, how the draw is applied, and when."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float64

from jostle.domain.distributions import Categorical, Distribution
from jostle.errors import ConfigError, closest

Operation = Literal["absolute", "scale", "offset"]
When = Literal["start", "reset", "interval", "step"]


@dataclass(frozen=True)
class Parameter:
    """One thing that varies.

    Args:
        name: of the quantity, as the environment calls it.
        distribution: what is drawn.
        operation: what becomes of the draw: ``absolute`` value = draw, ``scale`` value = nominal × draw, ``offset``
            value = nominal + draw. Always with the *nominal* value and never with the last one, so that nothing drifts.
        when: drawn once for each environment at the ``start``, at each ``reset``, every ``interval`` steps of an
            episode (and at its reset), or at every ``step``.
        interval: steps between two draws of an episode, for ``when="interval"``.
    """

    name: str
    distribution: Distribution
    operation: Operation = "absolute"
    when: When = "reset"
    interval: int | None = None

    def __post_init__(self) -> None:
        for field, known in (("operation", Operation), ("when", When)):
            if getattr(self, field) not in get_args(known):
                raise ConfigError(
                    f"the parameter {self.name} has {field}={getattr(self, field)!r}, which is unknown; "
                    f"{closest(str(getattr(self, field)), get_args(known))}"
                )
        if (self.when == "interval") != (self.interval is not None):
            raise ConfigError(
                f"the parameter {self.name} has when={self.when} and interval={self.interval}: interval says the steps "
                "between two draws, and goes with when=interval alone."
            )
        if self.interval is not None and (type(self.interval) is not int or self.interval < 1):
            raise ConfigError(f"the parameter {self.name} has interval={self.interval!r}: give whole steps, 1 or more.")
        if isinstance(self.distribution, Categorical) and self.distribution.named and self.operation != "absolute":
            raise ConfigError(f"the parameter {self.name} chooses by name, which operation={self.operation} cannot do.")

    @property
    def movable(self) -> bool:
        """Schedules may move its range: it is drawn anew at each reset, from a continuous distribution."""
        return self.when == "reset" and self.distribution.continuous

    def ticks(self, steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Which draw of its episode holds after so many steps of it."""
        if self.when == "step":
            return steps
        return steps // self.interval if self.interval is not None else np.zeros_like(steps)

    def value(self, drawn: Float64[np.ndarray, "*shape"], nominal: float) -> Float64[np.ndarray, "*shape"]:
        """The quantity's value, in its unit."""
        if self.operation == "scale":
            return nominal * drawn
        return nominal + drawn if self.operation == "offset" else drawn

    def neutral(self, nominal: float) -> float:
        """The draw that leaves the nominal value."""
        return {"absolute": nominal, "scale": 1.0, "offset": 0.0}[self.operation]

    def data(self) -> dict[str, Any]:
        """What stands behind its name in a file."""
        data: dict[str, Any] = {self.distribution.kind: self.distribution.data()}
        if self.operation != "absolute":
            data["operation"] = self.operation
        if self.when != "reset":
            data["when"] = self.when
        return data if self.interval is None else data | {"interval": self.interval}
