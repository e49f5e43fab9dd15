"""Two parameters of the physics against each other, as a map."""

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material, Stressed
from jostle.report.section import Section
from jostle.report.sections.physics import (
    colour_of,
    head,
    over,
    shown_lines,
    telling,
    tests,
    title_of,
)
from jostle.report.svg.heat import heat
from jostle.scores.intervals import decimals


def physics_pair(material: Material) -> Section | None:
    """A map a method, all of a test by one scale."""
    parts = [part for tested in tests(material, "physics-pair") for part in _tested(material, tested)]
    if not parts:
        return None
    told = (
        "Each cell is a world with these two values, the others nominal: the stronger its colour, the higher its "
        "number. Every condition stands with its interval in the table of “Seen and unseen”, and behind its cell."
    )
    return Section("Two parameters against each other", join(tag("p", told, class_="quiet"), parts), "pairs", "Pairs")


def _tested(material: Material, tested: Stressed) -> list[Markup]:
    from jostle.stress.report import lines

    result = tested.result
    found = lines(result)
    if not found:
        return []
    down, right = result.suite.conditions[0].labels
    rows, columns = ([*dict.fromkeys(c.labels[axis] for c in result.suite.conditions)] for axis in (down, right))
    middle = result.suite[result.suite.reference].labels
    framed = rows.index(middle[down]), columns.index(middle[right])
    what, value_of = telling([line for line in found if line.method in result.runs])
    values = [value_of(line).point for line in found]
    limits = (0.0, 1.0) if what != "return" else (min(values), max(values))
    digits = min(decimals([value_of(line) for line in found]), 2)
    maps = []
    for name, lines_ in shown_lines(result, found).items():
        at = {tuple(result.suite[line.condition].labels.values()): value_of(line) for line in lines_}
        cells = [[at.get((row, column)) for column in columns] for row in rows]
        about = f"{what} of {name} by {down} and {right} on {tested.task}."
        drawn = heat(rows, columns, cells, about[:1].upper() + about[1:], down=f"{down} ↓", right=f"{right} →",
                     colour=colour_of(material, name), limits=limits, framed=framed, digits=digits)  # fmt: skip
        maps.append(tag("div", head(material, name, lines_[0].noise, result), drawn))
    told = f"The {what} in each world; the frame marks the middle, which losses are measured from. {over(result)}"
    return [title_of(material, tested), tag("p", told, class_="quiet"), tag("div", maps, class_="pair")]
