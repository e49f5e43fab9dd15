"""Which parameters of a domain matter to each method: Sobol indices as bars."""

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material, Stressed
from jostle.report.section import Cell, Column, Section, details, table
from jostle.report.sections.physics import colour_of, head, tests, title_of
from jostle.report.svg.bars import Bars, bars
from jostle.report.words import number, span

_WORDS = ("alone", "in all")


def physics_sobol(material: Material) -> Section | None:
    """A chart a method and metric, and the numbers behind it."""
    parts = [part for tested in tests(material, "physics-sobol") for part in _tested(material, tested)]
    if not parts:
        return None
    told = (
        "How much of the variance of the scores over the domain each parameter explains by itself (solid, the "
        "first-order Sobol index) and has a part in, alone or together with others (faint, the total index). The luck "
        "of episodes is taken off. What the solid bars leave of 1 is due to combinations; estimates may lie a little "
        "outside of 0 to 1."
    )
    return Section("Which parameters matter", join(tag("p", told, class_="quiet"), parts), "sobol", "Sensitivity")


def _tested(material: Material, tested: Stressed) -> list[Markup]:
    from jostle.stress.physics.sobol import metrics_of, of_method

    result = tested.result
    drawn, rows, without = [], [], []
    for metric in metrics_of(result.sobol):
        for method in result.methods:
            runs = [each for each in result.sobol if each.method == method and metric in each.indices]
            shares = of_method(result.sobol, method, metric)
            if not runs:
                continue
            if shares is None or not all(each.indices[metric].certain for each in runs):
                without.append(f"{metric} of {method}")
                continue
            order = sorted(shares, key=lambda name: -shares[name][1].point)
            about = f"Shares of the variance of the {metric} of {method} over the domain on {tested.task}."
            rows_of = [Bars(name, *shares[name]) for name in order]
            axis = f"share of the variance of the {metric}"
            figure = bars(rows_of, axis, about, words=_WORDS, colour=colour_of(material, method))
            drawn.append(tag("div", head(material, method, runs[0].noise, result), figure))
            first = runs[0].indices[metric]
            luck = sum(each.indices[metric].share_of_luck for each in runs) / len(runs)
            for name in order:
                alone, whole = shares[name]
                rows.append([
                    Cell(f"{method}: {metric}"), Cell(name), Cell(span(alone), alone.point),
                    Cell(span(whole), whole.point), Cell(number(100 * luck, 0) + " %", luck),
                    Cell(f"{first.points} × {first.episodes}", first.points),
                ])  # fmt: skip
    if not drawn and not without:
        return []
    several = any(len(runs) > 1 for runs in result.runs.values())
    over = "training seeds" if several else "resampled points, and say nothing of other seeds"
    parts = [title_of(material, tested), tag("p", f"Intervals of 95% are over {over}.", class_="quiet")]
    if drawn:
        columns = [Column("method"), Column("parameter"), Column("alone", True), Column("in all", True),
                   Column("luck of single episodes", True), Column("points × episodes", True)]  # fmt: skip
        numbers = table(columns, rows, f"Sobol indices, {result.suite.name} on {tested.task}")
        parts += [tag("div", drawn, class_="pair"), details("Every index in numbers", numbers)]
    if without:
        said = f"No certain dependence on the domain, so there is nothing to share out: {'; '.join(without)}."
        parts.append(tag("p", said))
    return parts
