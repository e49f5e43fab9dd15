"""What a comparison of policies found, as data and as JUnit's XML."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from jostle.scores.differences import Difference
from jostle.scores.intervals import Interval
from jostle.stress.condition import Suite

Verdict = Literal["REGRESSED", "IMPROVED", "NO DIFFERENCE SEEN"]
Metric = Literal["success", "return"]


@dataclass(frozen=True)
class Compared:
    """One condition.

    Attributes:
        condition: its name.
        difference: after − before, with the p-value of this condition alone.
        adjusted: the p-value, adjusted for the number of conditions (Holm 1979).
        beyond_clean: what the condition itself cost `after` more than `before` (or less): after − before here, minus
            after − before under the reference; None of the reference itself.
        paired: both sides met the same games, episode by episode.
        verdict: by the adjusted p-value.
    """

    condition: str
    difference: Difference
    adjusted: float
    beyond_clean: Interval | None
    paired: bool
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        d = self.difference
        return {
            "condition": self.condition, "before": d.x, "after": d.y, "difference": d.interval.as_dict(), "p": d.p,
            "p_adjusted": self.adjusted, "smallest_seen": d.smallest, "test": d.test, "units": d.units,
            "paired": self.paired, "verdict": self.verdict,
            "beyond_clean": None if self.beyond_clean is None else self.beyond_clean.as_dict(),
        }  # fmt: skip


@dataclass(frozen=True)
class Worst:
    """An episode in which ``after`` did worst beside ``before``: its condition, seed and both returns."""

    condition: str
    seed: int
    before: float
    after: float
    index: int
    """Number of the episode in its condition, from 0."""


@dataclass
class Comparison:
    """What `compare_policies` found.

    Attributes:
        env: where both were trained.
        suite: the conditions.
        metric: ``success`` or ``return``.
        noise, actions: how both acted.
        episodes: of each run under each condition.
        together: environments stepped together.
        before, after: names of the runs.
        confidence: of every interval, and of no false call among all conditions.
        conditions: in the suite's order.
        worst: paired episodes, the worst first; none of comparisons run by run.
        complete: every condition was played.
    """

    env: str
    suite: Suite
    metric: Metric
    noise: str
    actions: Literal["greedy", "sampled"]
    episodes: int
    together: int
    before: list[str]
    after: list[str]
    confidence: float
    conditions: list[Compared] = field(default_factory=list)
    worst: list[Worst] = field(default_factory=list)
    complete: bool = True

    @property
    def over_runs(self) -> bool:
        """Units are runs, not episodes."""
        return len(self.before) > 1

    @property
    def verdict(self) -> Verdict:
        """REGRESSED where any condition did; else IMPROVED where any did."""
        found = [condition.verdict for condition in self.conditions]
        return "REGRESSED" if "REGRESSED" in found else "IMPROVED" if "IMPROVED" in found else "NO DIFFERENCE SEEN"

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        own = {name: getattr(self, name) for name in (
            "env", "metric", "noise", "actions", "episodes", "before", "after", "confidence", "complete",
        )}  # fmt: skip
        return {
            **own,
            "suite": self.suite.name,
            "units": "runs" if self.over_runs else "episodes",
            "verdict": self.verdict,
            "conditions": [condition.as_dict() for condition in self.conditions],
            "worst": [vars(episode) for episode in self.worst],
        }


def write_junit(path: Path, found: Comparison) -> None:
    """JUnit's XML, a test case a condition: those that regressed have failed."""
    failed = sum(one.verdict == "REGRESSED" for one in found.conditions)
    root = ElementTree.Element(
        "testsuite", name=f"jostle compare {found.suite.name}", tests=str(len(found.conditions)), failures=str(failed),
        errors="0",
    )  # fmt: skip
    for one in found.conditions:
        d = one.difference
        told = f"{found.metric} {d.x:.4g} before, {d.y:.4g} after, difference {d.interval}, p {one.adjusted:.3g}"
        case = ElementTree.SubElement(root, "testcase", classname=found.suite.name, name=one.condition)
        if one.verdict == "REGRESSED":
            ElementTree.SubElement(case, "failure", message="regressed").text = told
        else:
            ElementTree.SubElement(case, "system-out").text = f"{one.verdict}: {told}"
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    tree.write(path, encoding="utf-8", xml_declaration=True)
