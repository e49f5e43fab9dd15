"""A stress test as Markdown: every number with its interval, the inference mode beside it."""

from collections.abc import Sequence

from jostle.scores.intervals import Interval
from jostle.stress.estimates import same_games
from jostle.stress.report import Line, Overall, improvements, lines, overall
from jostle.stress.result import StressResult


def columns(result: StressResult, found: Sequence[Line]) -> list[tuple[str, list[str]]]:
    """Titles and cells of the table of conditions, for Markdown and the terminal alike."""
    table = [("condition", [line.condition for line in found])]
    if len(result.methods) > 1:
        table.append(("method", [line.method for line in found]))
    table += [("noise", [line.noise for line in found]), ("return", [str(line.mean) for line in found])]
    if any(line.success is not None for line in found):
        table.append(("success", [_text(line.success) for line in found]))
    table.append(("IQM", [_text(line.iqm) for line in found]))
    table.append(("CVaR 10%", [_text(line.cvar) for line in found]))
    if any(line.gap is not None for line in found):
        table.append((f"loss against {result.suite.reference}", [_text(line.gap) for line in found]))
    if any(line.disagreement is not None for line in found):
        told = ["" if line.disagreement is None else f"{line.disagreement:.3g}" for line in found]
        table.append(("disagreement", told))
    return table


def heading(result: StressResult) -> str:
    """What the numbers are of, in one line."""
    count = max((len(runs) for runs in result.runs.values()), default=0)
    episodes = len(result.cells[0].episodes) if result.cells else 0
    over = f"{count} runs" if count > 1 else "the episodes"
    return (
        f"{result.suite.name} on {result.env}, {episodes} episodes a condition, actions {result.actions}, "
        f"95% intervals over {over}"
    )


def sentences(result: StressResult) -> list[str]:
    """What holds over all conditions but the reference, a sentence a method and mode."""
    return [_sentence(line, result) for line in overall(result)]


def markdown_report(result: StressResult) -> str:
    """The whole report."""
    table = columns(result, lines(result))
    rows = [[title for title, _ in table], ["---"] * len(table), *map(list, zip(*(c for _, c in table), strict=True))]
    text = [f"# {heading(result)}", ""]
    if result.suite.about:
        text += [f"{result.suite.about}.", ""]
    if not result.complete:
        text += ["The test was stopped: conditions that are missing were not measured.", ""]
    text += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    told = sentences(result)
    if told:
        text += ["", *(f"- {sentence}" for sentence in told)]
    for method, modes in improvements(result).items():
        text += ["", f"How likely {method} beats {result.methods[0]}, P(X > Y) + ½ P(X = Y):", ""]
        text += ["| condition | noise | P |", "| --- | --- | --- |"]
        text += [f"| {name} | {noise} | {p} |" for noise, found in modes.items() for name, p in found.items()]
    compared = len(result.suite.conditions) > 1 or len(result.methods) > 1
    if compared and result.cells and any(len(runs) == 1 for runs in result.runs.values()):
        text += ["", _pairs(result)]
    return "\n".join(text) + "\n"


def _sentence(line: Overall, result: StressResult) -> str:
    who = f"{line.method}, noise {line.noise}" if len(result.methods) > 1 else f"noise {line.noise}"
    lost = f"loss of return against {result.suite.reference} over all other conditions {line.gap}"
    if line.success_gap is not None:
        lost += f", of success {line.success_gap}"
    return (
        f"{who}: {lost}; worst condition {line.worst} ({line.worst_return:.4g}); CVaR 10% of the conditions "
        f"{line.cvar_conditions:.4g}, of the episodes {line.cvar_episodes:.4g}"
    )


def _pairs(result: StressResult) -> str:
    """What is compared with what, and how sure it is that both sides were the same game."""
    told = "Losses and comparisons pair the episodes of equal (environment, index) under equal seeds and levels"
    known, count = min((same_games(cell), len(cell.episodes)) for cell in result.cells)
    if known == count:
        return f"{told}: the same games, with conditions of other seeds or levels left unpaired."
    return (
        f"{told}. Of {known} pairs in {count} it is known that both sides were the same game: they are the first of "
        "each environment. Later ones are as far as the environment draws the same numbers whatever was played."
    )


def _text(found: Interval | None) -> str:
    return "" if found is None else str(found)
