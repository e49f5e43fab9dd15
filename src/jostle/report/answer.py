"""What beat what, by how much and how surely, in numbers and in a sentence.

Units are training runs. A difference is called certain where the permutation test of the runs (`relabelled`), adjusted
by Holm's method for everything that the page compares, says so at 5% and the interval of the difference leaves 0 out;
likely where the interval alone does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from jostle.report.material import Material
from jostle.report.measures import Measure
from jostle.report.words import counted, ends, number
from jostle.scores.differences import contrast, holm, relabelled
from jostle.scores.intervals import Interval, improvement_interval

LEVEL = 0.05
Sure = Literal["certain", "likely", "open", "alike", "one seed"]


@dataclass(frozen=True)
class Verdict:
    """A method beside the baseline.

    Attributes:
        measure: what is compared.
        method, baseline: the two.
        difference: of the means, method − baseline, with Welch's interval; NaN ends where no spread can be told.
        improvement: how likely a run of the method beats one of the baseline.
        p: by permutation, adjusted for all comparisons of the page; NaN with one seed.
        sure: what may be said.
    """

    measure: Measure
    method: str
    baseline: str
    difference: Interval
    improvement: Interval
    p: float
    sure: Sure

    @property
    def sides(self) -> tuple[list[float], list[float]]:
        """Scores of the method's runs, and of the baseline's."""
        return list(self.measure.scores[self.method].values()), list(self.measure.scores[self.baseline].values())


def verdicts(material: Material, measures: Sequence[Measure]) -> list[Verdict]:
    """Each method beside its part's baseline, and the pairs that are asked for besides; p-values adjusted for the
    number of comparisons."""
    found = []
    for measure in measures:
        names = [name for name in measure.scores if not name.endswith("(unfinished)")]
        given = (material.baseline, measure.baseline, *names[:1])
        baseline = next((name for name in given if name in names), None)
        pairs = [(name, baseline) for name in names if baseline is not None and name != baseline]
        told = {frozenset(pair) for pair in pairs}
        pairs += [pair for pair in measure.pairs if {*pair} <= {*names} and frozenset(pair) not in told]
        found += [_compared(measure, name, other) for name, other in pairs]
    counted_ones = [number_of for number_of, verdict in enumerate(found) if math.isfinite(verdict.p)]
    if counted_ones:
        adjusted = holm([found[number_of].p for number_of in counted_ones])
        for number_of, p in zip(counted_ones, adjusted, strict=True):
            found[number_of] = _judged(replace(found[number_of], p=float(p)))
    return found


def _compared(measure: Measure, method: str, baseline: str) -> Verdict:
    y, x = (np.array(list(measure.scores[name].values())) for name in (method, baseline))
    point = float(y.mean() - x.mean())
    nothing = Interval(point, math.nan, math.nan, 0.95)
    better = improvement_interval(y, x)
    if min(len(x), len(y)) < 2:
        return Verdict(measure, method, baseline, nothing, better, math.nan, "one seed")
    spread = float(x.std()) + float(y.std()) > 1e-12 * max(1.0, float(np.abs(np.r_[x, y]).max()))
    difference = contrast([x, y], [-1.0, 1.0]).interval if spread else nothing
    return Verdict(measure, method, baseline, difference, better, relabelled(x, y), "open")


def _judged(verdict: Verdict) -> Verdict:
    """With what may be said of it."""
    found = verdict.difference
    told = math.isfinite(found.low)
    apart = (found.low > 0 or found.high < 0) if told else found.point != 0
    if not told and found.point == 0:
        return replace(verdict, sure="alike")
    return replace(verdict, sure="certain" if apart and verdict.p <= LEVEL else "likely" if apart else "open")


def summary(verdict: Verdict) -> str:
    """The claim alone, as strong as the numbers allow."""
    ahead = verdict.difference.point > 0
    who, other = verdict.method, verdict.baseline
    if verdict.sure == "certain":
        return f"{who} beat {other}" if ahead else f"{who} did worse than {other}"
    if verdict.sure == "likely":
        return f"{who} was probably {'better' if ahead else 'worse'} than {other}"
    if verdict.sure == "alike":
        return f"{who} and {other} scored exactly the same"
    if verdict.sure == "one seed":
        more = "more than" if ahead else "less than" if verdict.difference.point else "the same as"
        return f"{who} scored {more} {other}, and nothing is certain"
    return f"No certain difference between {who} and {other}"


def details(verdict: Verdict) -> str:
    """The numbers behind the claim, and how sure they are."""
    y, x = verdict.sides
    digits = min(max(verdict.difference.digits, Interval(float(np.mean(y)), math.nan, math.nan, 0.95).digits), 4)
    told = f"{number(float(np.mean(y)), digits)} against {number(float(np.mean(x)), digits)}"
    if verdict.difference.point:
        told += f", a difference of {number(verdict.difference.point, digits)}"
    if math.isfinite(verdict.difference.low):
        told += f" {ends(verdict.difference, digits)}"
    told += f", {_seeds(len(y), len(x))}"
    if verdict.sure == "one seed":
        few = "One seed says" if min(len(x), len(y)) == 1 else "So few seeds say"
        return f"{told}. {few} nothing about other seeds: train at least three, better ten."
    wins = sum(a > b for a in y for b in x)
    ties = sum(a == b for a in y for b in x)
    told += f". Of {len(x) * len(y)} pairs of runs it won {wins}" + (f", and tied in {ties}" if ties else "")
    if verdict.sure == "likely":
        least = 1 / math.comb(len(x) + len(y), len(x)) * (2 if len(x) == len(y) else 1)
        why = (
            f"so few runs could be split like this by luck with a chance of {least:.2g} at best"
            if least > LEVEL
            else "it is not certain once everything that is compared here is counted"
        )
        return f"{told}. The interval leaves 0 out, but {why} (p = {verdict.p:.2g})."
    if verdict.sure == "open":
        low, high = number(verdict.difference.low, digits), number(verdict.difference.high, digits)
        return f"{told}. The numbers fit anything from {low} to {high}, no difference included (p = {verdict.p:.2g})."
    return f"{told} (p = {verdict.p:.2g})."


def _seeds(y: int, x: int) -> str:
    return f"over {counted(y, 'seed')} each" if x == y else f"over {counted(y, 'seed')} and {counted(x, 'seed')}"
