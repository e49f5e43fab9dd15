"""A stress test in numbers: one line a condition, and what holds over all of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jostle.scores.intervals import Interval
from jostle.scores.risk import cvar
from jostle.stress.chance import kept, lead
from jostle.stress.estimates import estimate, gap, improvement, paired, same_games, success_rate
from jostle.stress.result import CHANCE, Cell, StressResult

METRICS = ("return", "success", "iqm", "cvar", "gap", "success_gap", "lead", "kept")
"""What a `Line` can be asked for by name."""


@dataclass(frozen=True)
class Line:
    """One method under one condition and inference mode.

    Attributes:
        unit: what the intervals are over: ``episodes`` of one run, or ``runs``.
        episodes: per run.
        mean, iqm: of the returns.
        cvar: mean of the worst tenth of the returns.
        success: share of successes; None without a rule.
        gap, success_gap: the reference's minus this condition's; None for the reference.
        lead: the mean return minus random play's; None without that baseline.
        kept: the lead as a share of that in the reference: 1 as there, 0 as at random. None for the reference, and
            where the policy has no certain lead there.
        paired: the episodes stand in pairs with the reference's: equal (environment, index) under equal seeds.
        same_games: pairs of a run of which it is known that both were the same game: their level is told, or they are
            the first episodes of their environments; None if they are not paired.
        disagreement: of the draws of noise; None where the mode has none.
        levels: distinct levels played and how many of them the training had, where the environment numbers them.
    """

    method: str
    condition: str
    noise: str
    unit: str
    runs: int
    episodes: int
    mean: Interval
    iqm: Interval
    cvar: Interval
    success: Interval | None = None
    gap: Interval | None = None
    success_gap: Interval | None = None
    lead: Interval | None = None
    kept: Interval | None = None
    paired: bool = False
    same_games: int | None = None
    disagreement: float | None = None
    levels: dict[str, int] | None = None

    def metric(self, name: str) -> Interval | None:
        """One of `METRICS`; None where this line has it not."""
        found: Interval | None = getattr(self, "mean" if name == "return" else name)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain data; what is None is left out."""
        names = {"return" if key == "mean" else key: value for key, value in vars(self).items() if value is not None}
        return {key: value.as_dict() if isinstance(value, Interval) else value for key, value in names.items()}


@dataclass(frozen=True)
class Overall:
    """One method under one inference mode, over all conditions but the reference, each with equal weight.

    Attributes:
        gap: the reference's mean return minus the mean over the others.
        worst: the condition with the lowest mean return, and that mean.
        cvar_conditions: the mean of the worst tenth of the conditions' mean returns.
        cvar_episodes: the mean of the worst tenth of all episodes' returns (of several runs, averaged over them).
    """

    method: str
    noise: str
    gap: Interval | None
    success_gap: Interval | None
    worst: str
    worst_return: float
    cvar_conditions: float
    cvar_episodes: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data; what is None is left out."""
        told = {key: value for key, value in vars(self).items() if value is not None}
        return {key: value.as_dict() if isinstance(value, Interval) else value for key, value in told.items()}


def lines(result: StressResult) -> list[Line]:
    """One line a condition, method and mode, in the suite's order, then random play's and the fixed rule's.

    Conditions not measured are left out.
    """
    found = []
    for condition in result.suite.names:
        for method in result.methods:
            for noise in result.modes(method):
                cells = result.select(method, noise, condition)
                if len(cells) == len(result.runs[method]):
                    found.append(_line(result, cells, result.select(method, noise, result.suite.reference)))
    for cell in result.chance:
        found.append(_line(result, [cell], result.control_in(cell.method, result.suite.reference)))
    return found


def overall(result: StressResult) -> list[Overall]:
    """What holds over all conditions but the reference; nothing where a condition was not measured."""
    found = []
    names = [name for name in result.suite.names if name != result.suite.reference]
    for method in result.methods:
        for noise in result.modes(method):
            seen = result.select(method, noise, result.suite.reference)
            others = [result.select(method, noise, name) for name in names]
            if not others or any(len(cells) != len(result.runs[method]) for cells in [seen, *others]):
                continue
            means = {name: _mean(cells) for name, cells in zip(names, others, strict=True)}
            worst = min(means, key=means.__getitem__)
            told = seen[0].successes is not None
            pooled = [np.concatenate([cells[run].returns for cells in others]) for run in range(len(seen))]
            found.append(
                Overall(
                    method,
                    noise,
                    gap(seen, others),
                    gap(seen, others, success=True) if told else None,
                    worst,
                    means[worst],
                    cvar(list(means.values())),
                    float(np.mean([cvar(run) for run in pooled])),
                )
            )
    return found


def improvements(result: StressResult) -> dict[str, dict[str, dict[str, Interval]]]:
    """How likely each other method beats the first one: method -> mode -> condition -> P.

    Both are taken in the same mode; one without noise is compared with every mode of the other.
    """
    first, *others = result.methods
    found: dict[str, dict[str, dict[str, Interval]]] = {}
    for method in others:
        for noise in result.modes(first if method in result.noiseless else method):
            for condition in result.suite.names:
                x, y = result.select(method, noise, condition), result.select(first, noise, condition)
                if len(x) == len(result.runs[method]) and len(y) == len(result.runs[first]):
                    found.setdefault(method, {}).setdefault(noise, {})[condition] = improvement(x, y)
    return found


def as_dict(result: StressResult) -> dict[str, Any]:
    """Everything in plain data, without the table of episodes."""
    suite = result.suite
    found: dict[str, Any] = {
        "env": result.env,
        "suite": suite.name,
        "about": suite.about,
        "reference": suite.reference,
        "success": None if suite.success is None else str(suite.success),
        "actions": result.actions,
        "seed": result.seed,
        "complete": result.complete,
        "runs": result.runs,
        "noiseless": result.noiseless,
        "training_levels": list(suite.training_levels) if suite.training_levels else None,
        "conditions": [
            {
                "name": c.name,
                "env_options": dict(c.env_options),
                "env": c.env,
                "perturbation": vars(c.perturbation) if c.perturbation else None,
                "seed_offset": c.seed_offset,
                "labels": dict(c.labels),
            }
            for c in suite.conditions
        ],
        "lines": [line.as_dict() for line in lines(result)],
        "overall": [line.as_dict() for line in overall(result)],
    }
    if result.sobol:
        found["sobol"] = [each.as_dict() for each in result.sobol]
    better = improvements(result)
    if better:
        found["improvement_over"] = result.methods[0]
        found["improvement"] = {
            method: {
                noise: {name: p.as_dict() for name, p in conditions.items()} for noise, conditions in modes.items()
            }
            for method, modes in better.items()
        }
    return found


def _line(result: StressResult, cells: list[Cell], seen: list[Cell]) -> Line:
    returns = [cell.returns for cell in cells]
    told = [cell.successes for cell in cells]
    successes = [s for s in told if s is not None]
    other = cells[0].condition != result.suite.reference and len(seen) == len(cells)
    pairs = other and paired(seen[0], cells[0])
    doubts = [e.disagreement for cell in cells for e in cell.episodes if e.disagreement is not None]
    return Line(
        cells[0].method,
        cells[0].condition,
        cells[0].noise,
        "runs" if len(cells) > 1 else "episodes",
        len(cells),
        len(cells[0].episodes),
        estimate(returns),
        estimate(returns, "iqm"),
        estimate(returns, "cvar"),
        success_rate(successes) if successes else None,
        gap(seen, [cells]) if other else None,
        gap(seen, [cells], success=True) if other and successes else None,
        *_over_chance(result, cells, seen if other else []),
        pairs,
        same_games(cells[0]) if pairs else None,
        float(np.mean(doubts)) if doubts else None,
        _levels(result, cells),
    )


def _over_chance(result: StressResult, cells: list[Cell], seen: list[Cell]) -> tuple[Interval | None, Interval | None]:
    """Lead over random play, and how much is kept of that in the reference."""
    chance, there = result.chance_in(cells[0].condition), result.chance_in(result.suite.reference)
    if not chance or cells[0].method == CHANCE:
        return None, None
    return lead(cells, chance[0]), kept(cells, chance[0], seen, there[0]) if seen and there else None


def _levels(result: StressResult, cells: list[Cell]) -> dict[str, int] | None:
    levels = {e.level_seed for cell in cells for e in cell.episodes if e.level_seed is not None}
    if not levels:
        return None
    found = {"distinct": len(levels), "least": min(levels), "greatest": max(levels)}
    if result.suite.training_levels is not None:
        first, count = result.suite.training_levels
        found["of_training"] = sum(first <= level < first + count for level in levels)
    return found


def _mean(cells: list[Cell]) -> float:
    return float(np.mean([cell.returns.mean() for cell in cells]))
