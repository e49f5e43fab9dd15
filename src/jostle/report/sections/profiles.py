"""Performance profiles: the share of runs above each score."""

import numpy as np
from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material
from jostle.report.measures import headlines
from jostle.report.section import Section
from jostle.report.svg.lines import Axis, Line, chart, legend
from jostle.report.words import number
from jostle.scores.intervals import profile_band
from jostle.scores.statistics import performance_profile


def profiles(material: Material) -> Section | None:
    """A chart a headline measure, of methods with several seeds."""
    parts: list[Markup] = []
    for measure in headlines(material):
        runs = {name: list(each.values()) for name, each in measure.scores.items() if len(each) > 1}
        levels = np.unique(np.concatenate(list(runs.values()))) if runs else np.zeros(0)
        if len(levels) < 2:
            continue
        margin = 0.03 * (levels[-1] - levels[0])
        inner = levels if len(levels) < 200 else np.linspace(levels[0], levels[-1], 200)
        grid = np.r_[levels[0] - margin, inner, levels[-1] + margin]
        lines = []
        for name, scores in runs.items():
            low, high = profile_band(scores, grid)
            lines.append(Line(name, material.colour(name), grid, performance_profile(scores, grid), low, high,
                              runs=len(scores)))  # fmt: skip
        told = f"{measure.place}: {measure.title}"
        score = Axis("score τ", lambda value: number(value, 2).rstrip("0").rstrip(".") if value else "0")
        drawn = chart(lines, score, "share of runs above τ", f"Performance profile of {told}.", stairs=True,
                      bounds=(-0.03, 1.03))  # fmt: skip
        parts.append(tag("div", tag("h3", told), legend(lines), drawn))
    if not parts:
        return None
    why = (
        "How many of a method's runs score above each threshold τ, with a pointwise 95% band: a curve that is higher "
        "everywhere is of a better method, curves that cross say that it depends on what is wanted."
    )
    return Section(
        "Performance profiles", join(tag("p", why, class_="quiet"), tag("div", parts, class_="pair")), "profiles"
    )
