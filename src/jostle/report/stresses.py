"""Stress tests of runs, put together: the runs of a method are its units, never their episodes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jostle.errors import ConfigError
from jostle.report.material import Run, Stressed

if TYPE_CHECKING:
    from jostle.stress.result import StressResult


def gather_tests(runs: Sequence[Run], folders: Sequence[Path], notes: list[str]) -> list[Stressed]:
    """The tests that lie in the runs' folders, one for all runs of a task under the same conditions; and lone ones."""
    places = [(run, folder) for run in runs if run.folder for folder in sorted(run.folder.glob("stress/*/"))]
    if not places and not folders:
        return []
    from jostle.stress.result import read_result  # late, for it needs torch, and most reports do not

    groups: dict[tuple[str, str], list[tuple[Run, StressResult]]] = {}
    where: dict[tuple[str, str], list[Path]] = {}
    for run, folder in places:
        if not (folder / "summary.json").is_file():
            continue
        try:
            result = read_result(folder)
        except ConfigError as error:
            notes.append(f"{error}")
            continue
        if len(result.methods) == 1 and len(result.runs[result.methods[0]]) == 1:
            key = (run.task, _conditions(result))
            groups.setdefault(key, []).append((run, result))
        else:
            notes.append(f"{folder} is a test of several runs, and is shown alone.")
            key = (run.task, str(folder))
            groups[key] = [(run, result)]
        where.setdefault(key, []).append(folder)
    found = [
        Stressed(key[0], _together(group), where[key][0] if len(where[key]) == 1 else None)
        for key, group in groups.items()
    ]
    for folder in folders:
        try:
            result = read_result(folder)
            found.append(Stressed(result.env, result, folder))
        except ConfigError as error:
            notes.append(f"{error}")
    return found


def _conditions(result: "StressResult") -> str:
    """Equal for tests whose numbers can stand side by side."""
    suite = result.suite
    told = [[c.name, dict(c.env_options), c.env, c.seed_offset, vars(c.perturbation) if c.perturbation else None]
            for c in suite.conditions]  # fmt: skip
    plain = [suite.name, suite.reference, str(suite.success), result.actions, result.seed, told]
    return json.dumps(plain, sort_keys=True, default=str)


def _together(group: "Sequence[tuple[Run, StressResult]]") -> "StressResult":
    """One result of several runs' own; a single test stays what it is, under the names of the page."""
    from dataclasses import replace

    first = group[0][1]
    if len(first.methods) != 1 or len(first.runs[first.methods[0]]) != 1:
        return first
    names: dict[str, list[str]] = {}
    whole = replace(first, runs=names, cells=[], noiseless=[], sobol=[], complete=True, chance=list(first.chance))
    for run, result in group:
        (own,) = result.methods
        seeds = names.setdefault(run.method, [])
        whole.cells += [replace(cell, method=run.method, run=len(seeds)) for cell in result.cells]
        whole.sobol += [replace(each, method=run.method, run=len(seeds)) for each in result.sobol]
        seeds.append(f"seed {run.seed}")
        whole.complete = whole.complete and result.complete
        if own in result.noiseless and run.method not in whole.noiseless:
            whole.noiseless.append(run.method)
    return whole
