"""Tables of a study's results: every number with its interval and its seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jostle.errors import ConfigError
from jostle.scores.intervals import Interval, decimals, improvement_interval, interval, paired_interval
from jostle.scores.summary import compare
from jostle.study.records import shown
from jostle.study.results import OF_METRICS, Results, score
from jostle.study.search.tune import Budget
from jostle.study.shown.conditions import Conditions, cell, columns, conditions_text
from jostle.study.shown.show import Part, Show

POOLED_SEEDS = 5
"""At least, of a task that is put together with others."""


def report(name: str, found: Results, show: Show | None = None, *, inside: bool = True) -> str:
    """Markdown: a table a part and measure, the baseline beside the others; then all tasks together.

    Args:
        name: the title.
        found: the runs.
        show: what is shown.
        inside: the numbers of the inside of agents, of which there are many, too.

    Raises:
        ConfigError: there are no results yet.
    """
    if not found.rows:
        raise ConfigError("no job has a result yet: run the study first.")
    show = show or Show()
    text = [f"# {name}", "", *([show.about.strip(), ""] if show.about else []), *apart(found), *search_table(found)]
    for part in parts_of(found, show):
        if part.task not in found.tasks:
            continue
        for measure in measures_of(found, part.task, show):
            text += _summary(found, part, measure, show)
        text += _contrasts(found, part, show)
        for suite in suites_of(found, part.task):
            text += [f"## {part.name}, stress test {suite}", "", *conditions_text(Conditions(found, part, suite))]
        text += _inside(found, part, numbers=inside)
    return "\n".join([*text, *_together(found, show)])


def looked_into(found: Results) -> bool:
    """Some agent's inside was looked at."""
    return any(row.get("explained") for row in found.rows)


def _inside(found: Results, part: Part, *, numbers: bool) -> list[str]:
    """Claims, and all numbers of the inside; nothing where there are neither."""
    if not part.claims and not looked_into(found):
        return []
    from jostle.study.shown.inside import claims_table, inside_table  # late: tables of scores alone need no torch

    return [*claims_table(found, part), *(inside_table(found, part) if numbers else [])]


def parts_of(found: Results, show: Show) -> Sequence[Part]:
    """What stands together: the parts of the file, or the tasks."""
    return show.parts or [Part(task, task) for task in found.tasks]


def suites_of(found: Results, task: str) -> list[str]:
    """Stress tests of a task."""
    rows = (row for row in found.rows if row["task"] == task)
    return list(dict.fromkeys(suite for row in rows for suite in row["scores"].get("stress") or {}))


def measures_of(found: Results, task: str, show: Show) -> list[str]:
    """Measures of a task that have a table of their own."""
    known = found.measures(task)
    wanted = ("evaluate", "training") if show.measures is None else show.measures
    return [measure for measure in wanted if measure in known or measure.startswith(OF_METRICS)]


def _summary(found: Results, part: Part, measure: str, show: Show) -> list[str]:
    """A row a method: IQM, mean, how many solve the task and when, the probability to end above the baseline, and what
    else the study shows."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    order = part.methods if part.methods is not None else found.methods(part.task)
    told = [row for row in found.rows if row["task"] == part.task and np.isfinite(score(row, measure))]
    for method in order:
        rows = [row for row in told if row["method"] == method]
        if rows:
            runs[method] = rows
    if not runs:
        return []
    base = part.baseline if part.baseline in runs else next(iter(runs))
    scores = {method: np.array([score(row, measure) for row in rows]) for method, rows in runs.items()}
    solved = show.solved.get(part.task)
    timed = any(row["curve"]["steps"] for rows in runs.values() for row in rows)
    head = ["method", "seeds", "IQM", "mean", *([f"P(better than {base})"] if len(runs) > 1 else [])]
    head += [] if solved is None else [f"seeds ≥ {solved:g}", *(["after steps"] if timed else [])]
    head += [*show.extra, *(["seed by seed"] if show.each else [])]
    cells: list[tuple[str, list[Interval | None]]] = []
    for method, values in scores.items():
        better = improvement_interval(values, scores[base]) if method != base else None
        intervals: list[Interval | None] = [interval(values, "iqm"), interval(values, "mean"), better]
        cells.append((f"| {cell(method)} | {len(values)} |", intervals if len(runs) > 1 else intervals[:2]))
    lines = [f"## {part.name}, {show.title(measure)}", ""]
    if part.task in show.titles:
        lines += [f"{show.titles[part.task]}.", ""]
    lines += ["| " + " | ".join(map(cell, head)) + " |", "|---" * len(head) + "|"]
    whole = all(float(value).is_integer() for values in scores.values() for value in values)
    digits = 0 if whole else decimals([each[1] for _, each in cells])
    for line, (method, rows) in zip(columns(cells), runs.items(), strict=True):
        more = []
        if solved is not None:
            more += [str(int((scores[method] >= solved).sum())), *([_soon(rows, solved)] if timed else [])]
        more += [_mean([score(row, each) for row in rows]) for each in show.extra.values()]
        if show.each:
            by_seed = sorted(rows, key=lambda row: row["seed"])
            more.append("; ".join(f"{score(row, measure):,.{digits}f}" for row in by_seed))
        lines.append(line + "".join(f" {cell} |" for cell in more))
    return [*lines, *_pairs(part, runs, measure), ""]


def _pairs(part: Part, runs: Mapping[str, Sequence[Mapping[str, Any]]], measure: str) -> list[str]:
    """How much more the first method of each pair has than the second, over the seeds that both have."""
    sides = {method: {row["seed"]: score(row, measure) for row in rows} for method, rows in runs.items()}
    return _by_seeds([(f"{a} − {b}", sides.get(a, {}), sides.get(b, {})) for a, b in part.pairs])


def _contrasts(found: Results, part: Part, show: Show) -> list[str]:
    """The same of pairs that are not by one measure."""

    def side(method: str, measure: str) -> dict[int, float]:
        rows = [row for row in found.rows if (row["task"], row["method"]) == (part.task, method)]
        return {row["seed"]: score(row, measure) for row in rows if np.isfinite(score(row, measure))}

    told = [
        (" − ".join(f"{method}, {show.title(measure)}" for method, measure in pair), side(*pair[0]), side(*pair[1]))
        for pair in part.contrasts
    ]
    lines = _by_seeds(told)
    return [f"## {part.name}, measures beside each other", *lines, ""] if lines else []


def _by_seeds(pairs: Sequence[tuple[str, Mapping[int, float], Mapping[int, float]]]) -> list[str]:
    """A row for each two sides that have two seeds in common."""
    cells: list[tuple[str, list[Interval | None]]] = []
    for words, first, second in pairs:
        seeds = sorted(first.keys() & second.keys())
        if len(seeds) < 2:
            continue
        x, y = (np.array([side[seed] for seed in seeds]) for side in (first, second))
        cells.append((f"| {cell(words)} | {len(seeds)} |", [paired_interval(x, y), improvement_interval(x, y)]))
    head = ["", "| by pairs of seeds | pairs | difference | P(better) |", "|---|---|---|---|"]
    return [*head, *columns(cells)] if cells else []


def together_scores(found: Results, show: Show) -> tuple[dict[str, Float[np.ndarray, "R M"]], int, list[str]]:
    """Scaled scores of the methods that are put together, how many seeds of each, and which tasks.

    Those with a range, whose every method has enough seeds; as many seeds as all have.
    """
    if not show.together:
        return {}, 0, []
    measure = show.measures[0] if show.measures else "evaluate"
    base = {part.task: part.baseline for part in reversed(list(parts_of(found, show)))}
    named = {
        task: {method: base.get(task) if method == show.together[-1] else method for method in show.together}
        for task in show.ranges if task in found.tasks
    }  # fmt: skip
    scores = {
        task: {name: found.scores(task, measure).get(method or "", np.array([])) for name, method in names.items()}
        for task, names in named.items()
    }
    full = [task for task, each in scores.items() if min(map(len, each.values())) >= POOLED_SEEDS]
    if len(full) < 2:
        return {}, 0, []
    seeds = min(len(values) for task in full for values in scores[task].values())
    return (
        {name: np.stack([_scaled(scores[t][name][:seeds], show.ranges[t]) for t in full], axis=1)
         for name in show.together}, seeds, full,
    )  # fmt: skip


def _together(found: Results, show: Show) -> list[str]:
    scores, seeds, tasks = together_scores(found, show)
    if not scores:
        return []
    ends = ", ".join(f"{task}: {show.ranges[task][0]:g} is 0, {show.ranges[task][1]:g} is 1" for task in tasks)
    base = show.together[-1]
    lines = ["## Together", "", f"{', '.join(tasks)}: {seeds} seeds of each, returns scaled per task ({ends}).", ""]
    lines += [f"| method | IQM | median | mean | optimality gap | P(better than {base}) |", "|---" * 6 + "|"]
    summaries = compare(scores, baseline=base)
    rows = [
        (f"| {name} |", [s.iqm, s.median, s.mean, s.optimality_gap, s.improvement]) for name, s in summaries.items()
    ]
    return [*lines, *columns(rows), ""]


def apart(found: Results) -> list[str]:
    """Sentences where runs of different versions or processors stand together: numbers may differ by that."""
    lines = []
    for what, of in (("versions", _version), ("processors", lambda row: str(row.get("processor") or "unknown"))):
        told = Counter(of(row) for row in found.rows)
        if len(told) > 1:
            lines += [f"Runs of different {what}: " + "; ".join(f"{name} ({n})" for name, n in told.items()) + ".", ""]
    return lines


def search_table(found: Results) -> list[str]:
    """Which settings were chosen, and how; nothing where nothing was searched for."""
    if not found.search:
        return []
    places = dict.fromkeys((row["task"], row["method"]) for row in found.search)
    first = found.search[0]
    budget = Budget(first["trials"], tuple(first["seeds"]), None, first["sampler"], 0, first["measure"])
    lines = ["## Chosen settings", "", search_told(budget, list(dict.fromkeys(method for _, method in places))), ""]
    lines += ["| task | method | chosen | value | trials | failed | steps of each |", "|---|---|---|---|---|---|---|"]
    for task, method in places:
        rows = [row for row in found.search if (row["task"], row["method"]) == (task, method)]
        best = next((row for row in rows if row["chosen"]), None)
        told = "nothing yet" if best is None else ", ".join(f"{k}={shown(v)}" for k, v in best["settings"].items())
        numbers = ["–" if best is None else f"{best['value']:.4g}", str(len(rows)), str(sum(map(_failed, rows)))]
        lines.append(f"| {task} | {method} | {told} | {' | '.join(numbers)} | {rows[0]['steps']:,} |")
    return [*lines, ""]


def search_told(budget: Budget, methods: Sequence[str]) -> str:
    """How settings are chosen, in words."""
    how = {"random": "by random search", "tpe": "by Optuna's TPE"}[budget.sampler]
    many = "s" * (len(budget.seeds) > 1)
    seeds = f"seed{many} {', '.join(map(str, budget.seeds))}, which do{'' if many else 'es'} not report"
    return (
        f"Settings of {', '.join(dict.fromkeys(methods))} are chosen {how} by {seeds}: the same "
        f"{budget.trials} trials of {len(budget.seeds)} for every method and task, by the highest mean of "
        f"{budget.measure}."
    )


def _failed(row: Mapping[str, Any]) -> bool:
    return bool(row["failed"])


def _version(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in (row.get("versions") or {"jostle": "unknown"}).items())


def _soon(rows: Sequence[Mapping[str, Any]], solved: float) -> str:
    """Steps until the curve first reaches the return, in the median run; a dash where that run never does."""
    curves = [zip(row["curve"]["steps"], row["curve"]["return"], strict=True) for row in rows]
    first = np.sort([next((step for step, value in curve if value >= solved), np.inf) for curve in curves])
    median = first[len(first) // 2]  # the later of two in the middle
    return f"{median:,.0f}" if np.isfinite(median) else "–"


def _scaled(values: Float[np.ndarray, "R"], ends: tuple[float, float]) -> Float[np.ndarray, "R"]:
    """0 and 1 at the ends of the task's range."""
    return (values - ends[0]) / (ends[1] - ends[0])


def _mean(values: Sequence[float]) -> str:
    told = [value for value in values if np.isfinite(value)]
    if not told:
        return "–"
    mean = float(np.mean(told))
    return f"{mean:,.0f}" if abs(mean) >= 100 else f"{mean:.3g}"
