"""Tables and figures of a study's results: every number with its interval and its seeds."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jostle.errors import ConfigError
from jostle.scores.plots import plot_curves
from jostle.scores.summary import compare, markdown
from jostle.study.records import shown
from jostle.study.results import Results
from jostle.study.tune import Budget


def report(name: str, found: Results) -> str:
    """Markdown: a table a task and measure, the first method the baseline of the others.

    Raises:
        ConfigError: there are no results yet.
    """
    if not found.rows:
        raise ConfigError("no job has a result yet: run the study first.")
    text = [f"# {name}", "", *apart(found), *search_table(found)]
    for task in found.tasks:
        for measure in found.measures(task):
            scores = {method: values[:, None] for method, values in found.scores(task, measure).items()}
            if scores:
                baseline = next(iter(scores)) if len(scores) > 1 else None
                text += [
                    f"## {task}, {_title(measure)}",
                    "",
                    markdown(compare(scores, baseline=baseline), metrics=("iqm", "mean")),
                ]
                text.append("")
    return "\n".join(text)


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
    budget = Budget(first["trials"], tuple(first["seeds"]), None, first["sampler"], 0,
                    first["measure"])  # fmt: skip
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


def figures(found: Results, folder: Path) -> Iterator[Path]:
    """Learning curves, a file a task; yields each that was drawn.

    Raises:
        ConfigError: matplotlib is missing, or a file cannot be written.
    """
    for task in found.tasks:
        curves = found.curves(task)
        if not curves:
            continue
        figure = plot_curves(curves)
        figure.suptitle(task, x=0.02, ha="left", fontsize=12, fontweight="bold")
        path = folder / f"curves-{task}.png"
        try:
            figure.savefig(path)
        except OSError as error:
            raise ConfigError(f"cannot write {path} ({error.strerror}): choose another folder with --out.") from error
        yield path


def _title(measure: str) -> str:
    if measure == "evaluate":
        return "return of the trained agents"
    if measure == "training":
        return "return over the last tenth of the training"
    _, suite, cell = measure.split("/", 2)
    condition, mode = cell.rsplit("|", 1)
    return f"{suite}: {condition}, noise {mode}"
