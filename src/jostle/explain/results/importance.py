"""`Importance`: a number for each part of an observation that is no picture."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jostle.errors import ConfigError
from jostle.store.files import replace_file

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True)
class Importance:
    """How much each of F features matters at B steps.

    Attributes:
        method, target, policy: what was asked, of which number, of whom.
        names: of the features.
        values: [B, F].
        signed: numbers below 0 mean something else than those above.
        settings: of the technique.
        failed: why the numbers prove nothing, where a sanity check has found so.
    """

    method: str
    target: str
    policy: str
    names: list[str]
    values: Float[np.ndarray, "B F"]
    signed: bool
    settings: dict[str, Any] = field(default_factory=dict)
    failed: str | None = None

    @property
    def mean(self) -> Float[np.ndarray, "F"]:
        """Of the absolute numbers, over the steps."""
        return np.asarray(np.abs(self.values).mean(0))

    @property
    def title(self) -> str:
        """Method and number; and that it failed, where it did."""
        return f"{self.method}, {self.target}" + (f"\nFAILED: {self.failed}" if self.failed else "")

    def plot(self) -> "matplotlib.figure.Figure":
        """A bar a feature: the mean absolute number, with the middle half of the steps."""
        from jostle.explain.results.figures import plot_importance

        return plot_importance(self)

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``, and return where they are.

        Raises:
            ConfigError: the folder cannot be written.
        """
        folder, name = Path(folder), name or self.method.lower().replace(" ", "_")
        paths = [folder / f"{name}.json", folder / f"{name}.png"]
        data = {**vars(self), "values": self.values.tolist(), "mean absolute": self.mean.tolist()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(paths[0], json.dumps(data, indent=1) + "\n")
            self.plot().savefig(paths[1], dpi=150)
        except OSError as error:
            raise ConfigError(f"cannot write to {folder} ({error.strerror}): choose another folder.") from error
        return paths
