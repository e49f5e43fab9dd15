"""Resolved settings, what differs between methods first; versions and machines."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material, Run
from jostle.report.section import Cell, Column, Section, details, table
from jostle.report.svg.lines import swatch
from jostle.report.words import counted, listed, setting
from jostle.study.records import differing, shown

Asked = Mapping[tuple[str, str], Mapping[str, Any]]
"""Settings by task and method."""

_PACKAGES = ("jostle", "torch", "numpy", "gymnasium", "envpool")
_MACHINE: dict[str, Callable[[Run], Any]] = {
    "Python": lambda run: run.info.get("python"),
    "platform": lambda run: run.info.get("platform"),
    "processor": lambda run: run.row.get("processor"),
    "cores": lambda run: run.info.get("cpus"),
    "device": lambda run: run.info.get("device"),
}


def settings(material: Material) -> Section | None:
    """What differs between methods, between tasks, what is the same; and what it all ran on."""
    asked: dict[tuple[str, str], Mapping[str, Any]] = {}
    for run in material.runs:
        if run.row.get("settings"):
            asked.setdefault((run.task, run.method), run.row["settings"])
    parts: list[Any] = []
    if asked:
        apart = differing(list(asked.values()))
        by_task = [name for name in apart if _one_for_each(asked, name, 0)]
        by_method = [name for name in apart if name not in by_task]
        parts += _methods(material, asked, by_method) + _tasks(asked, by_task)
        parts.append(_alike(asked, apart))
    told = versions(material)
    if told:
        head = [Column("what"), Column("which")]
        parts += [tag("h3", "Versions and machines"), table(head, told, "versions and machines", sort=False)]
    return Section("Settings and versions", join(parts), "settings", "Settings") if parts else None


def versions(material: Material) -> list[list[str]]:
    """What the runs were made with, and by how many of them where they are not all of one kind."""
    readers = {name: _version(name) for name in _PACKAGES} | _MACHINE | {"commit of the working folder": _commit}
    rows = []
    for name, read in readers.items():
        told = _values(material, read)
        if told:
            rows.append([name, next(iter(told)) if len(told) == 1 else _counts(told)])
    return rows


def mixtures(material: Material) -> list[str]:
    """Sentences about runs that were made with different versions, or on different machines."""
    found = []
    for name, read in ({name: _version(name) for name in _PACKAGES} | {"Python": _MACHINE["Python"]}).items():
        told = _values(material, read)
        if len(told) > 1:
            found.append(f"The runs are of different versions of {name}: {_counts(told)}.")
    for name, of_many in (("processor", "processors"), ("device", "devices"), ("cores", "machines")):
        told = _values(material, _MACHINE[name])
        if len(told) > 1:
            unit = " cores" if name == "cores" else ""
            told = {f"{value}{unit}": count for value, count in told.items()}
            found.append(f"The runs were made on different {of_many}, so their times do not compare: {_counts(told)}.")
    return found


def _methods(material: Material, asked: Asked, names: Sequence[str]) -> list[Markup]:
    """A column a method; where its value is another one on every task, all of them."""
    methods = list(dict.fromkeys(method for _, method in asked))
    if not names or len(methods) < 2:
        return []
    heads = [Column("setting"), *(Column(join(swatch(material.colour(each)), " ", each)) for each in methods)]
    rows = [[_named(name), *(_of_method(asked, method, name) for method in methods)] for name in names]
    return [tag("h3", "Between methods"), table(heads, rows, "settings in which methods differ", sort=False)]


def _tasks(asked: Asked, names: Sequence[str]) -> list[Markup]:
    """A column a task."""
    tasks = list(dict.fromkeys(task for task, _ in asked))
    if not names:
        return []
    rows = []
    for name in names:
        having = {task: each for (task, _), each in asked.items() if name in each}
        rows.append([_named(name), *(_shown(having.get(task, {}), name) for task in tasks)])
    heads = [Column("setting"), *map(Column, tasks)]
    return [tag("h3", "Between tasks"), table(heads, rows, "settings in which tasks differ", sort=False)]


def _alike(asked: Asked, apart: Sequence[str]) -> Markup | None:
    names = [name for name in dict.fromkeys(name for each in asked.values() for name in each) if name not in apart]
    if not names:
        return None
    rows = [[_named(name), _shown(next(each for each in asked.values() if name in each), name)] for name in names]
    same = "settings are the same for all" if len(asked) > 1 else "settings"
    told = table([Column("setting"), Column("value")], rows, "settings that are the same for all")
    return details(f"{len(rows)} {same}", told)


def _one_for_each(asked: Asked, name: str, place: int) -> bool:
    """Whether a setting has one value for each task (place 0), whatever the method."""
    found: dict[str, set[str]] = {}
    for where, each in asked.items():
        if name in each:
            found.setdefault(where[place], set()).add(json.dumps(each[name], default=str))
    return len(found) > 1 and all(len(values) == 1 for values in found.values())


def _of_method(asked: Asked, method: str, name: str) -> str:
    told = {task: _shown(each, name) for (task, of), each in asked.items() if of == method}
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "; ".join(f"{value} ({task})" for task, value in told.items())


def _named(name: str) -> Cell:
    words, code = setting(name), name.removeprefix("env_options.")
    return Cell(words if words == code else join(words, " ", tag("code", code, class_="quiet")))


def _shown(asked: Mapping[str, Any], name: str) -> str:
    if name not in asked:
        return "–"
    value = asked[name]
    if isinstance(value, dict):
        return json.dumps(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else shown(value)


def _version(package: str) -> Callable[[Run], Any]:
    return lambda run: run.versions.get(package)


def _commit(run: Run) -> str | None:
    told = run.info.get("commit")
    if not isinstance(told, Mapping) or not told.get("commit"):
        return None
    return f"{str(told['commit'])[:12]}{' with changes' if told.get('dirty') else ''}"


def _values(material: Material, of: Callable[[Run], Any]) -> dict[str, int]:
    """What the runs say, each with the number of runs that say it, what most say first."""
    found: dict[str, int] = {}
    for run in material.runs:
        value = of(run)
        if value is not None:
            found[str(value)] = found.get(str(value), 0) + 1
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def _counts(told: Mapping[str, int]) -> str:
    return listed([f"{value} ({counted(count, 'run')})" for value, count in told.items()])
