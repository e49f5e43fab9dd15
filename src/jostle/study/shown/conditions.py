"""Tables of stress tests: methods and their inference modes under every condition, the gaps, the paired differences."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from jaxtyping import Float

from jostle.scores import iqm
from jostle.scores.intervals import Interval, decimals, improvement_interval, interval, paired_interval
from jostle.study.jobs import RANDOM
from jostle.study.results import Results
from jostle.study.shown.show import Part

NEAR = "°"
"""Marks what is not better than chance for certain."""
Row = Mapping[str, Any]


class Conditions:
    """One suite's results of the methods of a part.

    Attributes:
        rows: of each method that was tested.
        score: ``success``, or ``return`` where some run has none or the part asks for it.
        chance: rows of the task that acted by chance, whether they are shown or not.
        names: of the conditions, the seen one first.
    """

    def __init__(self, found: Results, part: Part, suite: str) -> None:
        self.part, self.suite = part, suite
        order = part.methods if part.methods is not None else found.methods(part.task)
        tested = [
            row for row in found.rows if row["task"] == part.task and suite in (row["scores"].get("stress") or {})
        ]
        self.rows: dict[str, list[Row]] = {}
        for method in order:
            rows = sorted((row for row in tested if row["method"] == method), key=lambda row: row["seed"])
            if rows:
                self.rows[method] = rows
        self.chance = [row for row in tested if row["settings"].get("algorithm") == RANDOM]
        cells = [cell for rows in self.rows.values() for row in rows for cell in self._cells(row).values()]
        told = all(cell["success"] is not None for cell in cells)
        self.score = part.score or ("success" if told else "return")
        first = next(iter(self.rows.values()), [])
        self.names = list(dict.fromkeys(place.rsplit("|", 1)[0] for row in first[:1] for place in self._cells(row)))

    @property
    def baseline(self) -> str:
        """What the others are compared with."""
        given = self.part.baseline
        return given if given in self.rows else next(iter(self.rows))

    @property
    def panels(self) -> Mapping[str, Mapping[str, str]]:
        """Conditions that stand side by side: title -> column -> condition."""
        return self.part.panels or {"": {name: name for name in self.names}}

    def _cells(self, row: Row) -> Mapping[str, Any]:
        cells: Mapping[str, Any] = row["scores"]["stress"][self.suite]
        return cells

    def modes(self, method: str) -> list[str]:
        """Inference modes that were measured."""
        return list(dict.fromkeys(place.rsplit("|", 1)[1] for place in self._cells(self.rows[method][0])))

    def shown(self, method: str, mode: str) -> str:
        """A mode in a table; by chance there is none."""
        return "–" if self.rows[method][0] in self.chance else mode

    def by_seed(self, method: str, condition: str, mode: str) -> dict[int, float]:
        """Scores by training seed."""
        place = f"{condition}|{mode}"
        told = {row["seed"]: self._cells(row).get(place) for row in self.rows[method]}
        return {seed: float(cell[self.score]) for seed, cell in told.items() if cell is not None}

    def scores(self, method: str, condition: str, mode: str) -> Float[np.ndarray, "R"]:
        """One a run."""
        return np.array(list(self.by_seed(method, condition, mode).values()))

    def by_reach(self, condition: str) -> list[str]:
        """Methods by the IQM of the best of their modes under a condition, the highest first."""

        def reached(method: str) -> float:
            return max(float(iqm(self.scores(method, condition, mode))) for mode in self.modes(method))

        return sorted(self.rows, key=reached, reverse=True)


def conditions_text(of: Conditions) -> list[str]:
    """The tables of a suite."""
    if not of.rows:
        return []
    unit = "share of successes" if of.score == "success" else "mean return"
    lines = [f"{of.suite}: {unit}, IQM over training seeds with 95% intervals; the gap is a mean over seeds, in pairs."]
    lines += [f"{NEAR} reaches down to what chance has."] * bool(of.chance)
    for title, panel in of.panels.items():
        lines += [""] + ([f"**{title.capitalize()}**", ""] if title else [])
        lines += _panel(of, panel)
    return [*lines, ""]


def _panel(of: Conditions, panel: Mapping[str, str]) -> list[str]:
    names, last, seen = list(panel.values()), list(panel)[-1], of.names[0]
    chance = [_chance(of, name) for name in names] if of.chance else []
    order = of.by_reach(panel[last])
    rows, near = [], []
    for method in order:
        for mode in of.modes(method):
            found = [interval(of.scores(method, name, mode), "iqm") for name in names]
            by_chance = of.rows[method][0] in of.chance
            marks = [not by_chance and f.low <= high for f, high in zip(found, chance, strict=False)]
            near.append([f" {NEAR}" if each else "" for each in marks])
            gap = difference(of.by_seed(method, seen, mode), of.by_seed(method, names[-1], mode))
            rows.append((f"| {method} | {of.shown(method, mode)} | {len(of.rows[method])} |", [*found, gap]))
    lines = ["| method | inference | seeds | " + " | ".join(panel) + f" | mean gap from seen to {last} |"]
    lines += ["|---" * (len(panel) + 4) + "|", *columns(rows, near)]
    apart = _differences(of, order, names)
    if apart:
        lines += ["", "| difference | pairs | " + " | ".join(panel) + " |", "|---" * (len(panel) + 2) + "|"]
        lines += columns(apart)
    return lines


def _chance(of: Conditions, name: str) -> float:
    scores = np.array([next(iter(_at(of, row, name)))[of.score] for row in of.chance])
    return interval(scores, "iqm").high


def _at(of: Conditions, row: Row, name: str) -> list[Mapping[str, Any]]:
    cells = row["scores"]["stress"][of.suite]
    return [cell for place, cell in cells.items() if place.rsplit("|", 1)[0] == name]


def _differences(of: Conditions, order: Sequence[str], names: Sequence[str]) -> list[tuple[str, list[Interval | None]]]:
    """Every method against the baseline, the pairs asked for, and the last mode of each against its other ones."""
    last = {method: of.modes(method)[-1] for method in order}
    chance = {row["method"] for row in of.chance}
    pairs = [(method, of.baseline) for method in order if method not in (of.baseline, *chance)]
    pairs += [pair for pair in of.part.pairs if pair not in pairs and {*pair} <= of.rows.keys()]
    asked = [(f"{x}, {last[x]} − {y}, {last[y]}", (x, last[x]), (y, last[y])) for x, y in pairs]
    asked += [
        (f"{method}: {last[method]} − {other}", (method, last[method]), (method, other))
        for method in order
        for other in of.modes(method)[:-1]
    ]
    rows: list[tuple[str, list[Interval | None]]] = []
    for label, left, right in asked:
        x, y = ([of.by_seed(method, name, mode) for name in names] for method, mode in (left, right))
        if x == y:
            continue  # its layer has no noise
        both = len(x[0].keys() & y[0].keys())
        rows.append((f"| {label} | {both} |", [difference(a, b) for a, b in zip(x, y, strict=True)]))
        if (left[0], right[0]) in of.part.pairs:
            rows.append(chances(left[0], right[0], x, y))
    return rows


def chances(
    x: str, y: str, of_x: Sequence[Mapping[int, float]], of_y: Sequence[Mapping[int, float]]
) -> tuple[str, list[Interval | None]]:
    """The row that says how often a run of one ends above a run of the other, column by column."""
    both = zip(of_x, of_y, strict=True)
    shown: list[Interval | None] = [improvement_interval(list(a.values()), list(b.values())) for a, b in both]
    return f"| P({x} > {y}) | {len(of_x[0])} × {len(of_y[0])} |", shown


def difference(x: Mapping[int, float], y: Mapping[int, float]) -> Interval | None:
    """Mean of x − y over the seeds that both have, with its paired interval; None where they share none."""
    shared = sorted(x.keys() & y.keys())
    return paired_interval([x[seed] for seed in shared], [y[seed] for seed in shared]) if shared else None


def columns(rows: Sequence[tuple[str, Sequence[Interval | None]]], marks: Sequence[Sequence[str]] = ()) -> list[str]:
    """Lines of a table, each column with one number of decimals; a dash where there is nothing; marks behind cells."""
    digits = [decimals(column) for column in zip(*(found for _, found in rows), strict=True)]
    lines = []
    for nth, (head, found) in enumerate(rows):
        cells = ["–" if each is None else each.text(n) for each, n in zip(found, digits, strict=True)]
        behind = marks[nth] if marks else []
        lines.append(f"{head} " + " | ".join(a + b for a, b in zip_longest(cells, behind, fillvalue="")) + " |")
    return lines


def cell(text: str) -> str:
    """A name that cannot end its cell or its row."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
