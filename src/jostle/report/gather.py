"""From folders to the material of a report: studies, runs, stress tests and comparisons, wherever they lie in them."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jostle.errors import CheckpointError, ConfigError, JostleError
from jostle.report.explained import gather_explained, holds_explanation
from jostle.report.material import Material, Run
from jostle.report.shown import FILE, Shown, read_shown_of
from jostle.report.stresses import gather_tests
from jostle.report.words import listed
from jostle.study import results
from jostle.study.records import RETURN, Record, methods, read_record

_DEEPEST = 6  # folders below the one that was given
_LARGEST = 20_000_000  # bytes of a file that may be a comparison
_EVALUATED = "eval/return_mean"
RESULT, FAILED = "result.json", "failed.json"
"""In a job's folder: what it found, or why it failed when it was last tried."""
METRICS = (RETURN, "charts/SPS", _EVALUATED, "coverage/", "domain/")
"""Beginnings of the names of metrics that sections show; the others are not kept, for they are most of the memory."""


@dataclass
class Found:
    """Folders by what they hold."""

    studies: list[Path] = field(default_factory=list)
    runs: list[Path] = field(default_factory=list)
    tests: list[Path] = field(default_factory=list)
    explained: list[Path] = field(default_factory=list)
    comparisons: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    wanted: dict[str, Sequence[str]] = field(default_factory=dict)
    searches: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


def gather(folders: Sequence[Path], title: str | None = None) -> Material:
    """Read everything in these folders that a report can show.

    What cannot be read becomes a note, as long as anything else can be.

    Raises:
        CheckpointError: a folder is none, or nothing that can be shown is in them.
    """
    found = Found()
    for folder in folders:
        if not folder.is_dir():
            what = "is no folder" if folder.exists() else "does not exist"
            raise CheckpointError(f"{folder} {what}: give the folder of a study, of a run, or one that holds some")
        _look(folder, found, _DEEPEST)
    notes: list[str] = []
    runs = [run for study in found.studies for run in _study(study, found, notes)]
    runs += _lone(found.runs, notes)
    stress = gather_tests(runs, found.tests, notes)
    explained = gather_explained(runs, found.explained, notes)
    if not runs and not stress and not explained and not found.comparisons:
        where = listed(folders, 3)
        why = f": {notes[0]}" if notes else ": give the folder of a study, of a run, or one that holds some"
        raise CheckpointError(f"nothing in {where} can be shown{why}")
    named = {path.resolve().name: text for path in found.studies if (text := _text(path / FILE)) is not None}
    return Material(
        title or listed([folder.resolve().name for folder in folders], 3),
        runs, stress, found.comparisons, found.searches, named, notes=notes, folders=folders,
        explained=explained,
        groups=[group for each in found.shown for group in each.groups()], wanted=found.wanted,
        measured={measure: words for each in found.shown for measure, words in each.show.measured.items()},
        words=[each.show.about for each in found.shown if each.show.about],
        names={name: text for each in found.shown for name, text in each.methods.items()},
    )  # fmt: skip


def _look(folder: Path, found: Found, depth: int) -> None:
    if (folder / results.FILE).is_file():
        found.studies += [folder] if folder not in found.studies else []
        _comparisons(folder, found)
        return
    if (folder / "run.json").is_file():
        found.runs.append(folder)
        return
    if (folder / "summary.json").is_file() and (folder / "episodes.jsonl").is_file():
        found.tests.append(folder)
        return
    if holds_explanation(folder):
        found.explained.append(folder)
        return
    _comparisons(folder, found)
    if depth:
        with os.scandir(folder) as entries:
            inner = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        for name in inner:
            _look(folder / name, found, depth - 1)


def _comparisons(folder: Path, found: Found) -> None:
    """Files that `jostle compare --json` has written."""
    for path in sorted(folder.glob("*.json")):
        try:
            if path.stat().st_size < _LARGEST:
                told = json.loads(path.read_text(encoding="utf-8"))
                if isinstance(told, dict) and {"verdict", "conditions", "before", "after", "metric"} <= told.keys():
                    found.comparisons[path.stem] = told
        except (OSError, ValueError):
            continue


def _study(folder: Path, found: Found, notes: list[str]) -> Iterator[Run]:
    """The runs of a study's results, with their folders where those are there."""
    name = folder.resolve().name
    several = len(found.studies) > 1
    shown = read_shown_of(folder, f"{name}: " if several else "", notes)
    found.shown.append(shown)
    try:
        whole = results.read(folder)
        rows = whole.rows
        if whole.search:
            found.searches[name] = [
                {**row, "task": shown.task(row["task"]), "method": shown.method(row["method"])} for row in whole.search
            ]
    except CheckpointError as error:
        notes.append(f"{error}.")
        rows = []
    known: set[str] = set()
    for row in rows:
        path = folder / str(row.get("folder", ""))
        known.add(path.name)
        record = _record(path, notes) if (path / "run.json").is_file() else None
        place = {"task": shown.task(row["task"]), "method": shown.method(row["method"])}
        if shown.show.measures is not None:
            found.wanted[place["task"]] = shown.show.measures
        yield Run({**row, **place}, record, folder=path if row.get("folder") and path.is_dir() else None)
    missing = [job.parent for job in sorted(folder.glob("*/*/*/job.json")) if not (job.parent / RESULT).exists()]
    missing = [path for path in missing if path.name not in known]
    if missing:
        notes.append(_missing(name, missing))
        if not rows:
            yield from _lone([path for path in missing if (path / "run.json").is_file()], notes)


def _missing(name: str, jobs: Sequence[Path]) -> str:
    """The jobs of a study that have no result, and what those that failed said last."""
    told = []
    for path in jobs:
        where = f"{path.parent.parent.name} / {path.parent.name} / {path.name.rpartition('-')[0]}"
        try:
            said = json.loads((path / FAILED).read_text(encoding="utf-8"))["said"][-1:]
        except (OSError, ValueError, LookupError, TypeError):
            said = []
        told.append(f"{where} (failed{''.join(f': {line}' for line in said)})" if (path / FAILED).exists() else where)
    many = "s have" if len(jobs) > 1 else " has"
    return f"{len(jobs)} job{many} no result in {name}, and no part in any number on this page: {listed(told)}."


def _lone(folders: Sequence[Path], notes: list[str]) -> list[Run]:
    """Runs that belong to no study: an environment is a task, and runs asked for the same are a method."""
    seen: dict[Path, Record] = {}
    for folder in folders:
        record = _record(folder, notes)
        if record is not None:
            seen.setdefault(folder.resolve(), record)
    records = list(seen.values())
    found: list[Run] = []
    for env in dict.fromkeys(record.env for record in records):
        here = [record for record in records if record.env == env]
        going = not any(record.finished for record in here)
        for label, group in sorted(methods(here).items(), key=lambda each: not _control(each[1][0])):
            used: set[int] = set()
            for record in group:
                if not record.finished:
                    planned = "" if record.planned is None else f" of {record.planned:,}"
                    notes.append(f"{record.name} stands at step {record.steps:,}{planned}: its training has not ended.")
                if record.seed is not None and record.seed in used:
                    notes.append(
                        f"{record.name} is left out: another run of {label} has its seed {record.seed}, and the same "
                        "training twice is one."
                    )
                    continue
                if record.seed is not None:
                    used.add(record.seed)
                method = label if record.finished or going else f"{label} (unfinished)"
                found.append(Run(_row(env, method, record), record, record.finished, record.path))
    return found


def _control(record: Record) -> bool:
    """No randomness but the algorithm's own: what the others are compared with, unless somebody says otherwise."""
    none: tuple[Any, ...] = ("none", None, [], False)
    return all(record.settings.get(name) in none for name in ("noisy", "bonus", "input_noise"))


def _row(task: str, method: str, record: Record) -> dict[str, Any]:
    """A lone run as a line of results."""
    told = [(row["step"], row[RETURN]) for row in record.rows if math.isfinite(row.get(RETURN, math.nan))]
    evaluated = [row for row in record.rows if math.isfinite(row.get(_EVALUATED, math.nan))]
    late = evaluated and evaluated[-1]["step"] >= 0.9 * record.steps
    return {
        "task": task, "method": method, "seed": record.seed, "steps": record.steps, "settings": record.settings,
        "versions": record.info.get("versions"),
        "curve": {"steps": [step for step, _ in told], "return": [value for _, value in told]},
        "scores": {"evaluate": {"return": evaluated[-1][_EVALUATED]}} if late else {},
    }  # fmt: skip


def _record(folder: Path, notes: list[str]) -> Record | None:
    """A run's folder; of damaged metrics what stands before the damage, of a damaged run a note."""
    try:
        found = read_record(folder, damaged=lambda text: notes.append(f"{text}."))
    except (JostleError, OSError) as error:
        notes.append(f"{error}.")
        return None
    kept = ("step", "time", *METRICS)
    return replace(found, rows=[{k: v for k, v in row.items() if k.startswith(kept)} for row in found.rows])


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def check_baseline(material: Material, name: str | None) -> None:
    """Set what others are compared with, by its name on the page or in its study.

    Raises:
        ConfigError: no task has such a method.
    """
    name = None if name is None else material.names.get(name, name)
    if name is not None and name not in material.methods:
        raise ConfigError(f"there is no method '{name}' to compare with; give one of {listed(material.methods)}.")
    material.baseline = name
