"""What `jostle domain check` found: one finding a parameter and question, as a table and as JUnit's XML."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

QUESTIONS = {
    "declared": "the space names it, within its bounds",
    "acts-low": "trajectories change at its lower end",
    "acts-high": "trajectories change at its upper end",
    "applied": "the constant that it names takes the value",
    "nothing-else": "no other constant changes",
    "derived": "what follows from it is that of a fresh environment",
    "no-history": "earlier values leave nothing behind",
    "no-drift": "after a hundred resets and back at nominal values, all is as it was",
    "no-collision": "no other parameter overwrites it",
    "repeatable": "the same seed gives the same draw and trajectory",
}
"""Each question by its name."""

Answer = Literal["passed", "failed", "unknown"]


@dataclass(frozen=True)
class Finding:
    """The answer to one question about one parameter.

    Attributes:
        parameter: its name; empty for the environment as a whole.
        question: one of `QUESTIONS`.
        answer: passed, failed, or unknown where it could not be asked.
        said: what was seen, where it did not pass.
    """

    parameter: str
    question: str
    answer: Answer
    said: str = ""

    def __str__(self) -> str:
        who = self.parameter or "the environment"
        return f"{self.answer}: {who}, {self.question}" + (f": {self.said}" if self.said else "")


@dataclass(frozen=True)
class Report:
    """All findings about an environment."""

    env: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> list[Finding]:
        """Those that did not pass."""
        return [f for f in self.findings if f.answer == "failed"]

    def of(self, parameter: str, question: str) -> Finding | None:
        """The finding, if the question was asked."""
        return next((f for f in self.findings if (f.parameter, f.question) == (parameter, question)), None)

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Columns (the questions that were asked) and rows (parameters): yes, NO, ? or nothing."""
        asked = [q for q in QUESTIONS if any(f.question == q and f.parameter for f in self.findings)]
        names = list(dict.fromkeys(f.parameter for f in self.findings if f.parameter))
        words = {"passed": "yes", "failed": "NO", "unknown": "?"}
        rows = []
        for name in names:
            found = {f.question: words[f.answer] for f in self.findings if f.parameter == name}
            rows.append((name, *(found.get(question, "") for question in asked)))
        return ("parameter", *asked), rows


def write_junit(path: Path, report: Report) -> None:
    """JUnit's XML, a test case a finding; what could not be asked is skipped."""
    counts = {answer: sum(f.answer == answer for f in report.findings) for answer in ("failed", "unknown")}
    root = ElementTree.Element(
        "testsuite",
        name=f"jostle domain check {report.env}",
        tests=str(len(report.findings)),
        failures=str(counts["failed"]),
        skipped=str(counts["unknown"]),
        errors="0",
    )
    for f in report.findings:
        case = ElementTree.SubElement(root, "testcase", classname=f.parameter or report.env, name=f.question)
        if f.answer != "passed":
            kind = "failure" if f.answer == "failed" else "skipped"
            ElementTree.SubElement(case, kind, message=f.said).text = str(f)
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def passed(parameter: str, questions: Sequence[str]) -> list[Finding]:
    """Findings that passed."""
    return [Finding(parameter, question, "passed") for question in questions]
