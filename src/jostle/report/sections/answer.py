"""What beat what, by how much, how surely, over how many seeds."""

from collections.abc import Sequence

from markupsafe import Markup

from jostle.report.answer import Measure, Verdict, details, headlines, summary, verdicts
from jostle.report.html import join, tag
from jostle.report.material import Material
from jostle.report.section import Section
from jostle.report.svg.dots import Row, dots
from jostle.report.words import counted, listed, span
from jostle.scores.intervals import Interval, improvement_interval
from jostle.scores.summary import aggregate

_FEW = 5
_SIGNS = {"certain": ("▲", "▼"), "likely": ("△", "▽"), "open": ("○", "○"), "alike": ("=", "="), "one seed": ("·", "·")}


def answer(material: Material) -> Section | None:
    """A sentence a comparison, and the scores behind them."""
    measures = headlines(material)
    if not measures:
        return None
    found = verdicts(material, measures)
    parts: list[Markup | None] = [_lead(found, measures)]
    for task in dict.fromkeys(measure.task for measure in measures):
        here = [measure for measure in measures if measure.task == task]
        several = len({measure.task for measure in measures}) > 1
        parts.append(tag("h3", task) if several else None)
        for measure in here:
            told = [verdict for verdict in found if verdict.measure is measure]
            parts.append(tag("div", _figure(material, measure), _sentences(told), class_="finding"))
    parts += [_over_tasks(found), _how(found, measures)]
    return Section("The answer", join(parts), "answer")


def scored(scores: Sequence[float]) -> Interval:
    """The mean with its bootstrap interval; NaN ends with one run."""
    return aggregate(scores).mean


def _lead(found: Sequence[Verdict], measures: Sequence[Measure]) -> Markup:
    """The whole in one or two sentences."""
    certain = [verdict for verdict in found if verdict.sure == "certain"]
    if not found:
        return tag("p", "There is one method, and nothing to compare it with: these are its scores.", class_="lead")
    if certain:
        told = listed([f"{summary(verdict)} on {verdict.measure.task}" for verdict in certain], 3)
        rest = len(found) - len(certain)
        more = (
            f" {_capital(counted(rest, 'other comparison'))} on this page {'is' if rest == 1 else 'are'} not certain."
            if rest
            else ""
        )
        return tag("p", f"{told}.{more}", class_="lead")
    if all(verdict.sure == "one seed" for verdict in found):
        return tag("p", "Nothing is certain: one seed of a method says nothing about other seeds.", class_="lead")
    likely = [verdict for verdict in found if verdict.sure == "likely"]
    if likely:
        told = listed([f"{summary(verdict)} on {verdict.measure.task}" for verdict in likely], 3)
        return tag("p", f"{told}; nothing is certain.", class_="lead")
    return tag("p", "No difference between the methods is certain.", class_="lead")


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
        value = scored(list(scores.values()))
        rows.append(Row(method, material.colour(method), value, seeds, quiet=counted(len(scores), "seed")))
    return dots(rows, measure.title, f"{_capital(measure.title)} on {measure.task}, each method with its seeds.")


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
