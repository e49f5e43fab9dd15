"""Inside the agent: what it looks at and what it holds, each number beside its null."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Explained, Material
from jostle.report.pictures import Pictures
from jostle.report.section import Cell, Column, Section, details, table
from jostle.report.svg.lines import swatch
from jostle.report.words import counted, listed

if TYPE_CHECKING:
    from jostle.explain.results.numbers import Number

FIRST = (
    "gallery", "units/cumulative", "planes/pca", "weights/kernels", "layers/", "memory/", "probes/", "entanglement/",
    "features/ablation",
)  # fmt: skip
"""Beginnings of the names of the figures that are shown at once; the others are folded away."""
EFFECT = (
    "Effects are Hedges' g over the seeds of two methods with its interval; p is by permutation of the seeds, and not "
    "adjusted for there being many numbers."
)
ROOM = 6_000_000
"""Bytes of all pictures, before they grow by a third as text; videos leave a third of it."""


def inside(material: Material) -> Section | None:
    """For each task and method the figures of its first agent; then the numbers of all."""
    if not material.explained:
        return None
    pictures = Pictures(ROOM // 3 if material.videos else ROOM)
    parts: list[Any] = [tag("p", _about(material), class_="quiet")]
    tasks = list(dict.fromkeys(each.task for each in material.explained))
    for task in tasks:
        here = [each for each in material.explained if each.task == task]
        parts.append(tag("h3", task) if len(tasks) > 1 else None)
        for method in dict.fromkeys(each.method for each in here):
            parts += _agent(material, [each for each in here if each.method == method], pictures)
        parts.append(_numbers(material, here, task))
    if pictures.dropped:
        material.notes.append(
            f"{counted(pictures.dropped, 'figure')} of the inside of agents left out, for the page would be too large: "
            "they lie in the folders of the explanations."
        )
    return Section("Inside the agent", join(*parts), "inside", "Inside")


def _about(material: Material) -> str:
    shown = len({(each.task, each.method) for each in material.explained})
    total = len(material.explained)
    first = "" if shown == total else f" The figures are those of {shown} of them, the first seed of each method."
    return (
        f"{counted(total, 'agent')} looked into.{first} A number alone proves nothing: beside each stands its null, "
        "what the same measure gives where nothing was learned, or where labels and orders are random."
    )


def _agent(material: Material, seeds: Sequence[Explained], pictures: Pictures) -> Iterator[Markup | None]:
    first = seeds[0]
    summary = first.summary
    seed = f", seed {first.seed}" if first.seed else ""
    played = f"{counted(summary.episodes, 'episode')}, {counted(summary.steps, 'step')}"
    under = f", under {listed(summary.conditions)}" if len(summary.conditions) > 1 else ""
    yield tag(
        "h4", swatch(material.colour(first.method)), " ", first.method,
        tag("span", f"{seed} ({played}{under}, noise {summary.noise})", class_="quiet"),
    )  # fmt: skip
    if not summary.complete:
        yield tag("p", "The explanation was stopped: what is missing was not looked at.", class_="note")
    yield _verdicts(seeds)
    files = list(summary.figures)
    order = [file for start in FIRST for file in files if file.startswith(start)]
    main = pictures.of(summary.folder, {file: summary.figures[file] for file in order})
    rest = pictures.of(summary.folder, {file: summary.figures[file] for file in files if file not in order})
    who = f"{first.method} on {first.task}"
    yield tag("div", main, class_="shots") if main else None
    yield details(f"More figures of {who}", tag("div", rest, class_="shots")) if rest else None
    yield _techniques(summary.techniques, who)
    if summary.left_out:
        told = [tag("li", tag("b", name), f": {why}") for name, why in summary.left_out.items()]
        yield details(f"What was left out of {who}, and why", tag("ul", told))


def _verdicts(seeds: Sequence[Explained]) -> Markup | None:
    """How many techniques passed their checks; which did not, in how many agents."""
    rows = [
        row for each in seeds for row in each.summary.techniques if row.get("verdict", "not checked") != "not checked"
    ]
    if not rows:
        return None
    failed = [_name(row) for row in rows if row["verdict"] != "passed"]
    over = f" in {counted(len(seeds), 'agent')}" if len(seeds) > 1 else ""
    told = f"Sanity checks: {len(rows) - len(failed)} of {len(rows)} techniques passed{over}."
    if failed:
        each = [
            f"{name} ({failed.count(name)} of {len(seeds)})" if len(seeds) > 1 else name
            for name in dict.fromkeys(failed)
        ]
        told += f" What failed proves nothing about the policy: {listed(each, 12)}."
    return tag("p", told)


def _name(row: dict[str, str]) -> str:
    return f"{row['technique']}, {row['explains']}"


def _techniques(rows: Sequence[dict[str, str]], who: str) -> Markup | None:
    if not rows:
        return None
    heads = list(rows[0])
    text = ("technique", "explains", "verdict", "most important")
    columns = [Column(head, head not in text) for head in heads]
    shown = [
        [_verdict(row.get(head, "")) if head == "verdict" else row.get(head, "") for head in heads] for row in rows
    ]
    return details(f"Techniques and their checks, {who}", table(columns, shown, f"techniques of saliency, {who}"))


def _verdict(said: str) -> Markup:
    kind = "ok" if said == "passed" else "warning" if said == "not checked" else "fail"
    sign = {"ok": "✓ ", "warning": "", "fail": "✗ "}[kind]
    return tag("span", f"{sign}{said}", class_=f"verdict {kind}")


def _numbers(material: Material, here: Sequence[Explained], task: str) -> Markup | None:
    """A row a number and method; of several agents all values."""
    found: dict[tuple[str, str, str], dict[str, list[Number]]] = {}
    for each in here:
        for part, numbers in each.summary.numbers.items():
            for one in numbers:
                found.setdefault((part, one.name, one.of), {}).setdefault(each.method, []).append(one)
    if not found:
        return None
    first = here[0].method
    several = len({each.method for each in here}) > 1
    apart = several and any(_seeds(methods.get(first)) and len(methods) > 1 for methods in found.values())
    columns = [Column("number"), *([Column("method")] if several else []), Column("value", True), Column("null", True),
               Column("the null is"), Column("p", True),
               *([Column(f"effect against {first}", True)] if apart else [])]  # fmt: skip
    rows = []
    for (part, name, _), methods in found.items():
        for method, all_of in methods.items():
            who = [join(swatch(material.colour(method)), " ", method)] if several else []
            nulls = list(dict.fromkeys(one.null_shown for one in all_of))
            effect = [_effect(methods.get(first), all_of if method != first else None)] if apart else []
            rows.append([
                join(tag("span", f"{part}: ", class_="quiet"), name), *who,
                Cell("; ".join(one.shown for one in all_of), _mean(all_of)),
                "; ".join(nulls), all_of[0].null_is, Cell("; ".join(one.p_shown for one in all_of), all_of[0].p),
                *effect,
            ])  # fmt: skip
    shown = table(columns, rows, f"numbers of the inside on {task}")
    return details(
        f"All numbers beside their nulls, {task}", shown, tag("p", EFFECT, class_="quiet") if apart else None
    )


def _seeds(numbers: "Sequence[Number] | None") -> bool:
    """There are two finite values at least."""
    return sum(math.isfinite(one.value) for one in numbers or ()) >= 2


def _effect(base: "Sequence[Number] | None", other: "Sequence[Number] | None") -> Cell:
    """Hedges' g with its interval and p by permutation, of two seeds a side."""
    if base is None or other is None or not (_seeds(base) and _seeds(other)):
        return Cell("", None)
    from jostle.explain.results.effects import effect  # late: reports of runs alone need no torch

    x, y = ([one.value for one in side if math.isfinite(one.value)] for side in (base, other))
    found = effect("", x, y)
    g = found.g
    if not math.isfinite(g.point):
        return Cell("nothing varies", None)
    minus = f"{g.point:.2f} [{g.low:.2f}, {g.high:.2f}]".replace("-", "−")
    return Cell(f"{minus}, p {found.p:.2g}", g.point)


def _mean(numbers: "Sequence[Number]") -> float | None:
    """By which rows are sorted; None where there is nothing finite."""
    found = [one.value for one in numbers if math.isfinite(one.value)]
    return sum(found) / len(found) if found else None
