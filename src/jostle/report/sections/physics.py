"""What the sections of stress tests of physics share."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from jostle.report.html import tag
from jostle.report.material import Material, Stressed
from jostle.report.sections.stress import mode_name
from jostle.report.svg.lines import swatch
from jostle.report.words import counted
from jostle.scores.intervals import Interval

if TYPE_CHECKING:
    from jostle.stress.report import Line
    from jostle.stress.result import StressResult


RATE = "share of successes"


def tests(material: Material, name: str) -> Iterator[Stressed]:
    """The stress tests of a suite, or whose conditions are of its form."""
    for tested in material.stress:
        if form(tested.result) == name:
            yield tested


def form(result: "StressResult") -> str:
    """Which suite of physics a test is of, by its conditions: the name is a user's own where the file is."""
    axes = {tuple(condition.labels) for condition in result.suite.conditions}
    if result.sobol:
        return "physics-sobol"
    if axes == {("parameter", "value")}:
        return "physics-sweep"
    if axes == {("world",)}:
        return "physics-worst"
    if axes == {("physics",)} and {"default", "random", "extreme"} <= set(result.suite.names):
        return "physics-sets"
    if len(axes) == 1 and len(next(iter(axes))) == 2 and _crosses(result, *next(iter(axes))):
        return "physics-pair"
    return ""


def value_of(line: "Line") -> Interval:
    """Success where there is a rule, else the return."""
    return line.mean if line.success is None else line.success


def measured(found: "Sequence[Line]") -> str:
    """What `value_of` is."""
    return RATE if any(line.success is not None for line in found) else "return"


def telling(found: "Sequence[Line]") -> tuple[str, "Callable[[Line], Interval]"]:
    """What is shown of many worlds: success where there is a rule and it differs between them, else the return."""
    rates = [line.success.point for line in found if line.success is not None]
    if rates and max(rates) > min(rates):
        return RATE, value_of
    return "return", lambda line: line.mean


def title_of(material: Material, tested: Stressed) -> Markup:
    """Task and suite."""
    several = len({each.task for each in material.stress}) > 1
    name = tested.result.suite.name
    return tag("h3", f"{tested.task}: {name}" if several else f"{name} on {tested.task}")


def head(material: Material, name: str, noise: str, result: "StressResult") -> Markup:
    """A method's name above its figure."""
    runs = result.runs.get(name)
    quiet = f" {counted(len(runs), 'seed')}, {mode_name(noise)}" if runs else " has learned nothing"
    return tag("h4", swatch(colour_of(material, name)), " ", name, tag("span", quiet, class_="quiet"))


def colour_of(material: Material, name: str) -> int:
    """A method's colour; controls have those behind the methods'."""
    from jostle.stress.result import RULE

    return material.colour(name) + int(name == RULE and name not in material.methods)


def first_mode(result: "StressResult", method: str) -> str:
    """The inference mode that is shown: without noise, where that was tested."""
    modes = result.modes(method)
    return "mean" if "mean" in modes or not modes else modes[0]


def shown_lines(result: "StressResult", found: "Sequence[Line]") -> "dict[str, list[Line]]":
    """The lines of each method in the mode that is shown, then those of the controls."""
    names = [*result.methods, *dict.fromkeys(line.method for line in found if line.method not in result.runs)]
    told = {
        name: [
            line
            for line in found
            if line.method == name and (name not in result.runs or line.noise == first_mode(result, name))
        ]
        for name in names
    }
    return {name: lines for name, lines in told.items() if lines}


def over(result: "StressResult") -> str:
    """What the intervals are over."""
    episodes = len(result.cells[0].episodes) if result.cells else 0
    if max((len(runs) for runs in result.runs.values()), default=1) > 1:
        return f"{counted(episodes, 'episode')} a condition and run; intervals of 95% are over training seeds."
    told = "intervals of 95% are over episodes, and say nothing of other seeds"
    return f"{counted(episodes, 'episode')} a condition; {told}."


def _crosses(result: "StressResult", down: str, right: str) -> bool:
    """Numbers of one parameter stand with numbers of the other."""
    pairs = [(c.labels[down], c.labels[right]) for c in result.suite.conditions]
    try:
        _ = [float(x) for pair in pairs for x in pair]
    except ValueError:
        return False
    sides = [set(side) for side in zip(*pairs, strict=True)]
    return len(set(pairs)) == len(pairs) == len(sides[0]) * len(sides[1])
