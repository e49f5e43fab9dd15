"""Tables of what a study's agents hold: claims about methods, and all numbers beside their nulls."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jostle.explain.results.effects import Effect, effect, effects
from jostle.explain.results.numbers import short
from jostle.scores.intervals import interval
from jostle.study.results import Results, score
from jostle.study.shown.conditions import cell
from jostle.study.shown.show import Part

SURE = 0.05
ABOUT = (
    "Means over training seeds with 95% intervals, and in how many seeds the number lies outside of its null. *g* is "
    "Hedges' effect size against {base} with its interval, p by permutation of the seeds. **p is not adjusted**: of "
    "{count} numbers, {chance:.0f} have p below 0.05 by chance."
)
CLAIMED = (
    "*g* is Hedges' effect size with its interval; p by permutation of the seeds, after Holm's correction over the "
    "claims of this table. A claim holds, or its opposite does, where p is at most 0.05."
)


@dataclass
class _Line:
    """One number: of each method its values by seed, and in how many of them it lies outside of its null."""

    values: dict[str, list[float]] = field(default_factory=dict)
    outside: dict[str, int] = field(default_factory=dict)
    null: list[tuple[float, float]] = field(default_factory=list)

    def add(self, method: str, number: Mapping[str, Any]) -> None:
        if number["value"] is None:
            return
        self.values.setdefault(method, []).append(float(number["value"]))
        if number["null"] is not None:
            low, high = number["null"]
            self.null.append((low, high))
            self.outside[method] = self.outside.get(method, 0) + (not low <= number["value"] <= high)


def claims_table(found: Results, part: Part) -> list[str]:
    """A row a claim of the part: both means, the effect, and what follows; of two seeds a side at least."""
    sides = {
        str(number): [_scores(found, part.task, method, claim.measure) for method in claim.methods]
        for number, claim in enumerate(part.claims)
    }
    known = {number: two for number, two in sides.items() if min(map(len, two)) >= 2}
    if not known:
        return []

    each = effects({k: than for k, (_, than) in known.items()}, {k: more for k, (more, _) in known.items()})
    told = {one.name: one for one in each}
    text = [f"## {part.name}, claims", "", CLAIMED, ""]
    text += ["| claim | measure | more | than | g | p | here |", "|" + "---|" * 7]
    for number, claim in enumerate(part.claims):
        cells, apart = [claim.says, claim.measure.rpartition("/")[2]], told.get(str(number))
        if apart is None:
            cells += [*claim.methods, "–", "–", "not measured"]
        else:
            means = apart.difference.y, apart.difference.x
            cells += [f"{method} {short(mean)}" for method, mean in zip(claim.methods, means, strict=True)]
            cells += [_g(apart), f"{apart.p:.2g}", _verdict(apart)]
        text.append("| " + " | ".join(map(cell, cells)) + " |")
    return [*text, ""]


def inside_table(found: Results, part: Part) -> list[str]:
    """Lines of Markdown; none where nobody looked into the agents.

    Numbers stand in the order in which they were found; those of one method alone have no effect.
    """
    rows = [row for row in found.rows if row["task"] == part.task and (row.get("explained") or {}).get("numbers")]
    known = list(dict.fromkeys(row["method"] for row in rows))
    methods = known if part.methods is None else [method for method in part.methods if method in known]
    if not methods:
        return []
    base = part.baseline if part.baseline is not None and part.baseline in methods else methods[0]
    lines: dict[tuple[str, str, str], _Line] = {}
    for row in rows:
        if row["method"] in methods:
            for number in row["explained"]["numbers"]:
                place = number["part"], number["number"], number["null is"]
                lines.setdefault(place, _Line()).add(row["method"], number)
    others = [method for method in methods if method != base]
    head = ["part", "number", "null", *methods, *(f"{method}: g" for method in others)]
    count = len({place[:2] for place in lines})
    text = [f"## {part.name}, inside of the agents", "", ABOUT.format(base=base, count=count, chance=SURE * count), ""]
    text += ["| " + " | ".join(map(cell, head)) + " |", "|" + "---|" * len(head)]
    for (of, name, null), line in lines.items():
        if line.values:
            cells = [of, name, _null(line, null), *(_mean(line, method) for method in methods)]
            cells += [_apart(name, line, base, method) for method in others]
            text.append("| " + " | ".join(map(cell, cells)) + " |")
    return [*text, ""]


def _scores(found: Results, task: str, method: str, measure: str) -> list[float]:
    """Of every seed that has the measure."""
    rows = (row for row in found.rows if (row["task"], row["method"]) == (task, method))
    return [value for row in rows if math.isfinite(value := score(row, measure))]


def _verdict(found: Effect) -> str:
    if found.p > SURE:
        return "not seen"
    return "holds" if found.difference.y > found.difference.x else "the opposite"


def _mean(line: _Line, method: str) -> str:

    values = np.array(line.values.get(method, []))
    if not len(values):
        return "–"
    over = interval(values, "mean")
    told = short(over.point) + (f" [{short(over.low)}, {short(over.high)}]" if math.isfinite(over.low) else "")
    return told + (f" ({line.outside[method]} of {len(values)})" if method in line.outside else "")


def _null(line: _Line, what: str) -> str:
    """What it is made of, and where it lies in the mean over all agents."""

    if not line.null:
        return what
    low, high = (short(float(np.mean(side))) for side in zip(*line.null, strict=True))
    return f"{what}: {low if low == high else f'{low} to {high}'}"


def _apart(name: str, line: _Line, base: str, method: str) -> str:

    x, y = line.values.get(base, []), line.values.get(method, [])
    if min(len(x), len(y)) < 2:
        return "–"
    found = effect(name, x, y)
    return f"{_g(found)}, p {found.p:.2g}"


def _g(found: Effect) -> str:

    if not math.isfinite(found.g.point):
        return "nothing varies"
    return f"{short(found.g.point)} [{short(found.g.low)}, {short(found.g.high)}]"
