"""Unit tests of behaviour: thresholds that intervals must pass, and their results as JUnit XML.

A file is a list of checks:

    - {condition: seen, metric: success, min: 0.9}
    - {condition: test, metric: return, min: 0.0, noise: "mc:10"}
    - {condition: test, metric: gap, max: 0.3}
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from jostle.errors import ConfigError, closest
from jostle.scores.intervals import Interval
from jostle.stress.condition import Suite
from jostle.stress.report import METRICS, Line, lines
from jostle.stress.result import StressResult
from jostle.yaml_file import known_keys, read_yaml

_KEYS = ("condition", "metric", "min", "max", "noise", "method")


@dataclass(frozen=True)
class Check:
    """One threshold. Without ``noise`` every mode must pass, without ``method`` every method.

    Attributes:
        condition, metric: of a `Line`.
        low: the interval's lower end must be at least this; None if ``high`` is given.
        high: the interval's upper end must be at most this.
    """

    condition: str
    metric: str
    low: float | None = None
    high: float | None = None
    noise: str | None = None
    method: str | None = None

    def __str__(self) -> str:
        bound = f">= {self.low:g}" if self.low is not None else f"<= {self.high:g}"
        return f"{self.metric} of {self.condition} {bound}"


@dataclass(frozen=True)
class Verdict:
    """A check of one method under one mode: passed, or why not.

    The check is a `Check`, or another one that says what it is, such as a statement about the inside of a network.
    """

    check: object
    method: str
    noise: str
    failure: str | None

    def __str__(self) -> str:
        said = f"{self.check}, noise {self.noise}"
        return f"passed: {said}" if self.failure is None else f"FAILED: {said}: {self.failure}"


def read_checks(path: Path, suite: Suite, noises: Sequence[str], methods: Sequence[str]) -> list[Check]:
    """The checks of a file, every name in them known.

    Args:
        path: the YAML file.
        suite: its conditions may be named.
        noises: the inference modes that will be measured.
        methods: the methods that will be measured.

    Raises:
        ConfigError: it cannot be read, or asks for what will not be measured.
    """
    data = read_yaml(path, "file of checks")
    if not isinstance(data, list) or not data:
        raise ConfigError(f"{path} needs a list of checks, such as - {{condition: seen, metric: return, min: 0}}.")
    return [_check(entry, f"check {n} of {path}", suite, noises, methods) for n, entry in enumerate(data, 1)]


def run_checks(result: StressResult, checks: Sequence[Check]) -> list[Verdict]:
    """Each check on each mode and method that it is for; what was not measured has failed."""
    measured = {(line.condition, line.noise, line.method): line for line in lines(result)}
    found = []
    for check in checks:
        for method in result.methods if check.method is None else [check.method]:
            every = result.modes(method) or [""]
            for noise in every if check.noise is None else [result.mode(method, check.noise)]:
                line = measured.get((check.condition, noise, method))
                found.append(Verdict(check, method, noise, _failure(check, line)))
    return found


def write_junit(path: Path, verdicts: Sequence[Verdict], suite: str, command: str = "jostle stress") -> None:
    """JUnit's XML, as continuous integration reads it."""
    failures = sum(verdict.failure is not None for verdict in verdicts)
    root = ElementTree.Element(
        "testsuite", name=f"{command} {suite}", tests=str(len(verdicts)), failures=str(failures), errors="0"
    )
    for verdict in verdicts:
        name = f"{verdict.check} (noise {verdict.noise})"
        case = ElementTree.SubElement(root, "testcase", classname=f"{suite}.{verdict.method}", name=name)
        if verdict.failure is not None:
            ElementTree.SubElement(case, "failure", message=verdict.failure).text = str(verdict)
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def outside(found: Interval, low: float | None, high: float | None) -> str | None:
    """Why a number fails its bounds; None if it passes. The interval must pass, not the estimate."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return f"there is no interval of {found.point:.4g}: play more episodes"
    if low is not None and not found.low >= low:
        return f"the interval {_ends(found)} begins below {low:g}"
    if high is not None and not found.high <= high:
        return f"the interval {_ends(found)} ends above {high:g}"
    return None


def bounds_of(given: Mapping[str, Any], where: str) -> tuple[float | None, float | None]:
    """``min`` and ``max`` of an entry, of which it must have one.

    Raises:
        ConfigError: it has none or both, or no number.
    """
    bounds = {key: given[key] for key in ("min", "max") if key in given}
    if len(bounds) != 1:
        raise ConfigError(f"{where} needs either min or max.")
    for key, bound in bounds.items():
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise ConfigError(f"{key}={bound!r} of {where} cannot be used: it must be a number.")
    return bounds.get("min"), bounds.get("max")


def _failure(check: Check, line: Line | None) -> str | None:
    """Why the check fails; None if it passes."""
    found = None if line is None else line.metric(check.metric)
    return "it was not measured" if found is None else outside(found, check.low, check.high)


def _ends(found: Interval) -> str:
    return f"[{found.low:.4g}, {found.high:.4g}]"


def _check(entry: object, where: str, suite: Suite, noises: Sequence[str], methods: Sequence[str]) -> Check:
    given = known_keys(entry, _KEYS, where)
    for key in ("condition", "metric"):
        if key not in given:
            raise ConfigError(f"{where} has no {key}: write {{condition: seen, metric: return, min: 0}}.")
    condition, metric = str(given["condition"]), str(given["metric"])
    named = {"condition": (condition, suite.names), "metric": (metric, METRICS)}
    named |= {key: (str(given[key]), known) for key, known in (("noise", noises), ("method", methods)) if key in given}
    for key, (value, known) in named.items():
        if value not in known:
            raise ConfigError(f"{where} names the {key} '{value}', which will not be measured; {closest(value, known)}")
    if "success" in metric and suite.success is None:
        raise ConfigError(f"{where} asks for {metric}, but the suite '{suite.name}' has no rule of success.")
    if ("gap" in metric or metric == "kept") and condition == suite.reference:
        raise ConfigError(f"{where} asks for {metric} of '{condition}', the reference that it is measured from.")
    low, high = bounds_of(given, where)
    return Check(condition, metric, low, high, given.get("noise"), given.get("method"))
