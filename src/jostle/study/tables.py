"""Tables and figures of a study's results: every number with its interval and its seeds."""

from collections.abc import Iterator
from pathlib import Path

from jostle.errors import ConfigError
from jostle.scores.plots import plot_curves
from jostle.scores.summary import compare, markdown
from jostle.study.results import Results


def report(name: str, found: Results) -> str:
    """Markdown: a table a task and measure, the first method the baseline of the others.

    Raises:
        ConfigError: there are no results yet.
    """
    if not found.rows:
        raise ConfigError("no job has a result yet: run the study first.")
    text = [f"# {name}", ""]
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
