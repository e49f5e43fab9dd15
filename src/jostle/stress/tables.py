"""A stress test as Markdown: every number with its interval, the inference mode beside it."""

from collections.abc import Sequence
from math import floor, log10

from jostle.scores.intervals import Interval, decimal, decimals
from jostle.stress.estimates import same_games
from jostle.stress.physics.sobol import sentences as shares
from jostle.stress.report import Line, Overall, improvements, lines, overall
from jostle.stress.result import StressResult

OVER_CHANCE = "lead over random play"
MOST_NAMED = 5
"""Conditions that one sentence names."""


def columns(result: StressResult, found: Sequence[Line]) -> list[tuple[str, list[str]]]:
    """Titles and cells of the table of conditions, for Markdown and the terminal alike."""
    table = [("condition", [line.condition for line in found])]
    if len(result.methods) > 1 or result.chance:
        table.append(("method", [line.method for line in found]))
    table += [("noise", [line.noise for line in found]), ("return", _column([line.mean for line in found]))]
    if any(line.success is not None for line in found):
        table.append(("success", _column([line.success for line in found])))
    table.append(("IQM", _column([line.iqm for line in found])))
    table.append(("CVaR 10%", _column([line.cvar for line in found])))
    if any(line.gap is not None for line in found):
        table.append((f"loss against {result.suite.reference}", _column([line.gap for line in found])))
    if len({line.runs for line in found}) > 1:
        table.append(("intervals over", [over(line.runs, line.episodes) for line in found]))
    if any(line.disagreement is not None for line in found):
        doubts = [line.disagreement for line in found if line.disagreement is not None]
        digits = max(2 - floor(log10(max(*doubts, 1e-6))), 0)
        told = ["" if line.disagreement is None else f"{line.disagreement:.{digits}f}" for line in found]
        table.append(("disagreement", told))
    if any(line.lead is not None for line in found):
        table.append((OVER_CHANCE, _column([line.lead for line in found])))
    if any(line.kept is not None for line in found):
        table.append(("share of it kept", _column([line.kept for line in found])))
    return table


def over(runs: int, episodes: int) -> str:
    """What intervals are over: the runs of a method, or the episodes of the only one."""
    return f"{runs} runs" if runs > 1 else f"{episodes} episodes"


def heading(result: StressResult) -> str:
    """What the numbers are of, in one line."""
    episodes = len(result.cells[0].episodes) if result.cells else 0
    counts = sorted({len(runs) for runs in result.runs.values()})
    if len(counts) == 1:
        told = f"{counts[0]} runs" if counts[0] > 1 else "the episodes"
    else:
        told = "runs" if counts[0] > 1 else "runs, of a single run over its episodes"
    return (
        f"{result.suite.name} on {result.env}, {episodes} episodes a condition, actions {result.actions}, "
        f"95% intervals over {told}"
    )


def sentences(result: StressResult) -> list[str]:
    """What holds over all conditions but the reference, a sentence a method and mode."""
    found = overall(result)
    returns = decimals([line.mean for line in lines(result)])
    gaps = [decimals([line.gap for line in found]), decimals([line.success_gap for line in found])]
    return [_sentence(line, result, returns, *gaps) for line in found]


def against_chance(result: StressResult) -> list[str]:
    """Where a policy is no better than random play for certain, a sentence a method and mode; nothing without it."""
    told: dict[tuple[str, str], list[Line]] = {}
    for line in lines(result):
        if line.lead is not None and line.method in result.runs:
            told.setdefault((line.method, line.noise), []).append(line)
    found = []
    for (method, noise), each in told.items():
        who = f"{method}, noise {noise}" if len(result.methods) > 1 else f"noise {noise}"
        doubtful = [line.condition for line in each if line.lead is not None and not line.lead.low > 0]
        shown = ", ".join(doubtful[:MOST_NAMED])
        more = f" and {len(doubtful) - MOST_NAMED} more" if len(doubtful) > MOST_NAMED else ""
        where = f"no certain lead over random play in {shown}{more}" if doubtful else "ahead of random play everywhere"
        found.append(f"{who}: {where}")
    return found


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
    told = [*sentences(result), *against_chance(result), *shares(result.sobol)]
    if told:
        text += ["", *(f"- {sentence}" for sentence in told)]
    for method, modes in improvements(result).items():
        beats = f"How likely {method} beats {result.methods[0]}, P(X > Y) + ½ P(X = Y)"
        text += ["", f"{beats}, {_of(result, method)}:", ""]
        text += ["| condition | noise | P |", "| --- | --- | --- |"]
        digits = decimals([p for found in modes.values() for p in found.values()])
        text += [
            f"| {name} | {noise} | {p.text(digits)} |" for noise, found in modes.items() for name, p in found.items()
        ]
    compared = len(result.suite.conditions) > 1 or len(result.methods) > 1
    if compared and result.cells and any(len(runs) == 1 for runs in result.runs.values()):
        text += ["", _pairs(result)]
    return "\n".join(text) + "\n"


def _of(result: StressResult, method: str) -> str:
    """What a comparison of a method with the first one is over."""
    x, y = len(result.runs[method]), len(result.runs[result.methods[0]])
    if x == y == 1:
        return "of the same episode"
    return f"of a run, {x} against {y}" + (": no interval without two runs each" if min(x, y) == 1 else "")


def _sentence(line: Overall, result: StressResult, returns: int, gaps: int, success_gaps: int) -> str:
    who = f"{line.method}, noise {line.noise}" if len(result.methods) > 1 else f"noise {line.noise}"
    lost = f"mean loss of return against {result.suite.reference} over all other conditions {_text(line.gap, gaps)}"
    if line.success_gap is not None:
        lost += f", of success {_text(line.success_gap, success_gaps)}"
    worst, conditions, episodes = (
        decimal(value, returns) for value in (line.worst_return, line.cvar_conditions, line.cvar_episodes)
    )
    return (
        f"{who}: {lost}; worst condition {line.worst} ({worst}); CVaR 10% of the conditions {conditions}, of the "
        f"episodes {episodes}"
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


def _column(found: Sequence[Interval | None]) -> list[str]:
    """The cells of a column, all with one number of decimals."""
    digits = decimals(found)
    return [_text(each, digits) for each in found]


def _text(found: Interval | None, digits: int) -> str:
    return "" if found is None else found.text(digits)
