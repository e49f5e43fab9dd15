"""What `jostle doctor` found when the trainings ended."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jostle.report.html import join, tag
from jostle.report.material import Material, Run
from jostle.report.section import Column, Section, details, table
from jostle.report.words import counted, listed

FILE = "doctor.json"
"""In a run's folder; `jostle.doctor.keep` writes it."""
_ORDER = {"FAIL": 0, "warning": 1, "OK": 2}
_SIGNS = {"FAIL": "✕ fails", "warning": "! warning", "OK": "✓ fine"}


def health(material: Material) -> Section | None:
    """What is wrong first; what is fine is folded away."""
    found = [(run, check) for run in material.runs for check in _checks(run)]
    if not found:
        return None
    counts = Counter(check["status"] for _, check in found)
    checked = len({id(run) for run, _ in found})
    rest = len(material.runs) - checked
    told = (
        f"{counted(checked, 'run')} checked when {'its' if checked == 1 else 'their'} training ended: "
        f"{counted(counts['OK'], 'check')} fine, {counted(counts['warning'], 'warning')}, "
        f"{counted(counts['FAIL'], 'failure')}." + (f" {counted(rest, 'run')} not checked." if rest else "")
    )
    columns = [Column("check"), Column("found"), Column("runs"), Column("what was seen"), Column("what to do")]
    groups: dict[tuple[str, str, str], list[tuple[Run, dict[str, str]]]] = {}
    for run, check in found:
        groups.setdefault((check["name"], check["status"], run.method), []).append((run, check))
    rows: dict[bool, list[list[Any]]] = {True: [], False: []}
    for (name, status, method), each in sorted(groups.items(), key=lambda item: _ORDER[item[0][1]]):
        who = f"{method}, {listed([f'{run.task} seed {run.seed}' for run, _ in each], 3)}"
        sign = tag("span", _SIGNS[status], class_=f"status {status.lower()}")
        rows[status == "OK"].append([name, sign, who, _once(each, "finding"), _once(each, "remedy")])
    fine = table(columns[:-1], [row[:-1] for row in rows[True]], "checks that are fine")
    return Section(
        "Health",
        join(
            tag("p", told, class_="quiet"),
            table(columns, rows[False], "checks that are not fine") if rows[False] else None,
            details("Everything that is fine", fine) if rows[True] else None,
        ),
        "health",
    )  # fmt: skip


def _once(each: Sequence[tuple[Run, Mapping[str, str]]], what: str) -> str:
    """What was said of the runs, each sentence once."""
    return listed(dict.fromkeys(check[what] or "nothing" for _, check in each), 3)


def _checks(run: Run) -> list[dict[str, str]]:
    if run.record is None:
        return []
    try:
        told = json.loads((run.record.path / FILE).read_text(encoding="utf-8"))
        found = [{key: str(check[key]) for key in ("name", "status", "finding", "remedy")} for check in told["checks"]]
        return [check for check in found if check["status"] in _ORDER]
    except (OSError, ValueError, LookupError, TypeError):
        return []
