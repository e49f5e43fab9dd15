"""`Maximised`: what units want to see, and how it compares with what they have seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from jostle.explain.results.kept import keep

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True)
class Maximised:
    """Of U units, from S starts.

    Attributes:
        policy, names: whose, and of which units.
        best: the observations that achieve most [U, …].
        starts: those of all starts [U, S, …].
        achieved: what is put out there [U, S].
        data: what is put out at the steps [U, B].
        noise: what is put out where the ascents from noise began [U, S − 1].
        gain: how far the best lies beyond the largest at the steps, in deviations of what is put out there [U].
        null: the same of N untrained networks [N, U].
        agreement: mean rank correlation of the results of different starts [U]: near 0, there are many maxima.
        pictures: ``best`` for people's eyes; None of what are no pictures.
        settings: of the ascent.
    """

    policy: str
    names: list[str]
    best: Float[np.ndarray, "U *F"]
    starts: Float[np.ndarray, "U S *F"]
    achieved: Float[np.ndarray, "U S"]
    data: Float[np.ndarray, "U B"]
    noise: Float[np.ndarray, "U N"]
    gain: Float[np.ndarray, "U"]
    null: Float[np.ndarray, "R U"]
    agreement: Float[np.ndarray, "U"]
    pictures: UInt8[np.ndarray, "U H W 3"] | None
    settings: dict[str, Any]

    @property
    def largest(self) -> Float[np.ndarray, "U"]:
        """At the steps."""
        return np.asarray(self.data.max(1))

    def plot(self, *, most: int = 12) -> "matplotlib.figure.Figure":
        """Pictures (or bars of a vector's numbers), with achieved and largest beneath."""
        from jostle.explain.maximise.figures import plot_maximised

        return plot_maximised(self, most=most)

    def save(self, folder: str | Path, name: str = "maximised") -> list[Path]:
        """Write ``NAME.json``, ``NAME.png`` and ``NAME.npz``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {
            "policy": self.policy, "settings": self.settings,
            "units": {
                unit: {
                    "achieved": float(self.achieved[i].max()), "largest at the steps": float(self.largest[i]),
                    "gain": float(self.gain[i]), "gain (untrained)": self.null[:, i],
                    "agreement of starts": float(self.agreement[i]),
                }
                for i, unit in enumerate(self.names)
            },
        }  # fmt: skip
        return keep(folder, name, data, self.plot, {"best": self.best, "achieved": self.achieved, "data": self.data})
