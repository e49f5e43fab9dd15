"""What beat what, by how much, how surely, over how many seeds."""

from collections.abc import Sequence

from markupsafe import Markup

from jostle.report.answer import Sure, Verdict, details, summary, verdicts
from jostle.report.html import join, tag
from jostle.report.material import Material
from jostle.report.measures import Measure, headlines
from jostle.report.section import Section
from jostle.report.svg.dots import Row, dots
from jostle.report.words import counted, listed, span
from jostle.scores.intervals import improvement_interval

_FEW = 5
_SIGNS = {"certain": ("▲", "▼"), "likely": ("△", "▽"), "open": ("○", "○"), "alike": ("=", "="), "one seed": ("·", "·")}


def answer(material: Material) -> Section | None:
    """A sentence a comparison, and the scores behind them."""
    measures = headlines(material)
    if not measures:
        return None
    found = verdicts(material, measures)
    parts: list[Markup | None] = [_lead(found)]
    several = len({measure.task for measure in measures}) > 1
    for task in dict.fromkeys(measure.task for measure in measures):
        here = [measure for measure in measures if measure.task == task]
        parts.append(tag("h3", task) if several else None)
        for measure in here:
            told = [verdict for verdict in found if verdict.measure is measure]
            parts.append(tag("h4", measure.part) if measure.part else None)
            parts.append(tag("div", _figure(material, measure), _sentences(told), class_="finding"))
    parts += [_over_tasks(found), _how(found, measures)]
    return Section("The answer", join(parts), "answer")


def _lead(found: Sequence[Verdict]) -> Markup:
    """The whole in one or two sentences."""
    if not found:
        return tag("p", "There is one method, and nothing to compare it with: these are its scores.", class_="lead")
    certain, likely = _claims(found, "certain"), _claims(found, "likely")
    if certain:
        rest = sum(verdict.sure != "certain" for verdict in found)
        one = rest == 1
        more = f" {'One' if one else rest} other comparison{'' if one else 's'} {'is' if one else 'are'} not certain."
        return tag("p", f"{certain}.{more if rest else ''}", class_="lead")
    if likely:
        return tag("p", f"{likely}; nothing is certain.", class_="lead")
    if all(verdict.sure == "one seed" for verdict in found):
        return tag("p", "Nothing is certain: one seed of a method says nothing about other seeds.", class_="lead")
    return tag("p", "No difference between the methods is certain.", class_="lead")


def _claims(found: Sequence[Verdict], sure: Sure) -> str:
    """What may be said so surely: each claim once, with where it holds, and in what where that is not clear."""
    several = len({verdict.measure.short for verdict in found}) > 1
    claims: dict[str, dict[str, dict[str, None]]] = {}
    for verdict in found:
        if verdict.sure == sure:
            claims.setdefault(summary(verdict), {}).setdefault(verdict.measure.task, {})[verdict.measure.short] = None
    told = []
    for claim, tasks in claims.items():
        where = [f"on {task}{f' in {listed(what)}' if several else ''}" for task, what in tasks.items()]
        told.append(f"{claim} {listed(where, 4)}")
    return listed(told, 4) if told else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentences(found: Sequence[Verdict]) -> Markup | None:
    items = []
    for verdict in found:
        sign = _SIGNS[verdict.sure][verdict.difference.point < 0]
        kind = verdict.sure.replace(" ", "-") + (" down" if verdict.difference.point < 0 else "")
        items.append(
            tag("li", tag("span", sign, class_="sign", aria_hidden="true"),
                tag("div", tag("strong", f"{summary(verdict)}."), " ", details(verdict)), class_=kind)
        )  # fmt: skip
    return tag("ul", items, class_="verdicts") if items else None


def _figure(material: Material, measure: Measure) -> Markup:
    rows = []
    for method, scores in measure.scores.items():
        each = list(scores.items()) if len(scores) > 1 else []
        seeds = [(name if name.startswith("seed") else f"seed {name}", value) for name, value in each]
        rows.append(
            Row(method, material.colour(method), measure.mean(method), seeds, quiet=counted(len(scores), "seed"))
        )
    return dots(rows, measure.title, f"{_capital(measure.title)} on {measure.place}, each method with its seeds.")


def _over_tasks(found: Sequence[Verdict]) -> Markup | None:
    """How likely a run of a method beats one of the baseline, over all tasks that both were trained on."""
    told = []
    for method, baseline in dict.fromkeys((verdict.method, verdict.baseline) for verdict in found):
        here = [verdict for verdict in found if (verdict.method, verdict.baseline) == (method, baseline)]
        tasks = {verdict.measure.task: verdict for verdict in here}
        sides = [verdict.sides for verdict in tasks.values()]
        if len(sides) > 1 and len({(len(y), len(x)) for y, x in sides}) == 1 and min(map(len, sides[0])) > 1:
            y, x = (list(map(list, zip(*(side[k] for side in sides), strict=True))) for k in (0, 1))
            chance = improvement_interval(y, x)
            told.append(f"Over all {len(sides)} tasks a run of {method} beats one of {baseline} with probability "
                        f"{span(chance, 2)}.")  # fmt: skip
    return tag("p", " ".join(told)) if told else None


def _how(found: Sequence[Verdict], measures: Sequence[Measure]) -> Markup:
    """How sure "certain" is, and what few seeds are."""
    counts = [len(scores) for measure in measures for scores in measure.scores.values()]
    told = (
        "Dots are training seeds, a bar is their mean, and the strip behind it its 95% interval (bootstrap over seeds)."
    )
    if found:
        told += (
            " “Beat” is said where a permutation test of the seeds, adjusted for everything that is compared here "
            "(Holm), has p ≤ 0.05 and Welch's interval of the difference leaves 0 out; “probably” where the interval "
            "alone does. Episodes are never counted as seeds."
        )
    if 1 < min(counts) < _FEW:
        told += f" {_capital(counted(min(counts), 'seed'))} are few: intervals from so few are too narrow."
    return tag("p", told, class_="quiet")
