"""``jostle doctor``."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.table import Table

from jostle.cli.flags import parse
from jostle.cli.play import console

_COLOUR = {"OK": "green", "warning": "yellow", "FAIL": "bold red"}


@dataclass
class Doctor:
    """Check the newest checkpoint of a run: weights, noise, units, values, policy, bonuses, target and replay.

    Exits with 1 if a check fails.

    examples:
      jostle doctor runs/deepsea
    """

    run: tyro.conf.Positional[Path]
    """The folder of a run (its newest good checkpoint) or of a saved agent."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """Import the module that the folder may name to make its environment."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors; the exit code tells."""


def look_after(run: Path, quiet: bool) -> None:
    """When a training has ended: the doctor's findings into the run's folder, what is wrong to the standard error.

    A training that went well is not failed by what its doctor cannot do.
    """
    from jostle.doctor import keep  # late, so that help is quick

    try:
        checks = keep(run, trust=True)  # the environment has just been trained in
    except Exception as error:
        if not quiet:
            print(f"note: the doctor could not look at {run} ({error})", file=sys.stderr)
        return
    for check in checks:
        if check.status == "FAIL" and not quiet:
            print(f"doctor: {check.name} fails: {check.finding}; {check.remedy}", file=sys.stderr)


def doctor(arguments: list[str]) -> int:
    """``jostle doctor DIR``"""
    args = parse(Doctor, arguments, "jostle doctor")
    from jostle.doctor import diagnose  # late, so that help is quick

    checks = diagnose(args.run, trust=args.trust)
    if not args.quiet:
        table = Table(title=f"{args.run.name}", title_justify="left", show_lines=True)
        for name in ("check", "status", "finding", "remedy"):
            table.add_column(name, overflow="fold")
        for check in checks:
            colour = _COLOUR[check.status]
            table.add_row(check.name, f"[{colour}]{check.status}[/]", check.finding, check.remedy)
        console().print(table)
    return int(any(check.status == "FAIL" for check in checks))
