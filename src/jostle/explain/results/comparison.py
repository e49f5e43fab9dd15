"""Two methods compared by many numbers over their seeds, with the figure of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jostle.explain.results.effects import Effect, effects
from jostle.explain.results.kept import keep
from jostle.scores.plots import COLOURS, FAINT, INK, bare, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True)
class Comparison:
    """Effects y − x of many numbers.

    Attributes:
        names: of x and y.
        what: what the numbers are of.
        effects: one a number.
    """

    names: tuple[str, str]
    what: str
    effects: list[Effect]

    def __getitem__(self, name: str) -> Effect:
        return next(each for each in self.effects if each.name == name)

    def plot(self) -> "matplotlib.figure.Figure":
        """Hedges' g of each with its interval."""
        count = len(self.effects)
        figure = new_figure(5.2, 0.9 + 0.27 * count)
        with style():
            panel = figure.subplots()
            for row, each in enumerate(self.effects):
                sure = each.g.low > 0 or each.g.high < 0
                colour = COLOURS[0] if sure else INK
                panel.plot([each.g.low, each.g.high], [row, row], color=colour, lw=1.6)
                panel.plot([each.g.point], [row], "o", color=colour, ms=5, mfc=colour if sure else "white")
            panel.axvline(0, color=FAINT, lw=1.2, zorder=0)
            panel.set_yticks(range(count), [each.name for each in self.effects], fontsize=8)
            panel.set_ylim(count - 0.5, -0.5)
            panel.tick_params(axis="y", length=0)
            panel.tick_params(axis="x", labelsize=8)
            panel.set_xlabel(f"Hedges' g, {self.names[1]} − {self.names[0]} (95% interval)", fontsize=9)
            bare(panel, keep=("bottom",))
        return figure

    def save(self, folder: str | Path, name: str = "comparison") -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        table = {each.name: each.as_dict() for each in self.effects}
        data = {"x": self.names[0], "y": self.names[1], "what": self.what, "effects": table}
        return keep(folder, name, data, self.plot)


def compare_numbers(
    x: Mapping[str, Sequence[float]],
    y: Mapping[str, Sequence[float]],
    *,
    names: tuple[str, str] = ("x", "y"),
    what: str = "numbers",
) -> Comparison:
    """`Comparison` of whatever was measured of every seed of two methods: name -> a number a seed.

    Raises:
        ConfigError: fewer than two seeds a side, or no number that both have.
    """
    return Comparison(names, what, effects(x, y))
