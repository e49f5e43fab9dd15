"""How to repeat what is shown, as commands to copy."""

import shlex

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material
from jostle.report.section import Section, code, details
from jostle.report.words import counted

_JOB = "job.py"
"""The program of a study's jobs, which nobody calls by hand."""


def repeat(material: Material) -> Section | None:
    """The study's file and command, or what each run was made by; and this page."""
    parts: list[Markup] = []
    for name, text in material.studies.items():
        file = f"{name}.yaml"
        parts += [
            tag(
                "p",
                "Save this as ",
                tag("code", file),
                ", and run it; where it has run already, what is missing is run.",
            ),
            code(text),
            code(f"jostle study {shlex.quote(file)}"),
        ]
    commands = _commands(material)
    if commands:
        told = code("\n".join(commands))
        what = f"The commands of {counted(len(commands), 'run')}, as they were given"
        parts.append(join(tag("p", f"{what}:"), told) if len(commands) <= 6 else details(what, told))
    lone = [run.record for run in material.runs if run.record and "folder" not in run.row]
    if lone:
        first = lone[0]
        folder = shlex.quote(str(first.path))
        parts.append(tag("p", "A run's folder holds all its settings. With another seed:"))
        again = f"jostle train {first.algorithm} --config {shlex.quote(str(first.path / 'config.yaml'))}"
        parts.append(code(f"{again} --seed 100 --run-dir {folder}-seed-100"))
    places = " ".join(shlex.quote(str(folder)) for folder in material.folders)
    if places:
        parts.append(tag("p", "This page:"))
        parts.append(code(f"jostle report {places}"))
    return Section("How to repeat it", join(parts), "repeat", "Repeat it") if parts else None


def _commands(material: Material) -> list[str]:
    told = []
    for run in material.runs:
        stretches = run.info.get("stretches")
        first = stretches[0] if isinstance(stretches, list) and stretches and isinstance(stretches[0], dict) else {}
        command = run.info.get("command") or first.get("command")
        if isinstance(command, str) and command and not command.startswith(_JOB):
            told.append(command)
    return list(dict.fromkeys(told))
