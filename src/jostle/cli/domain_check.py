"""``jostle domain check``."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from jostle.cli.flags import named, parse
from jostle.cli.play import console
from jostle.errors import ConfigError


@dataclass
class Check:
    """Does each parameter act, where it should and nowhere else, and is what follows from it fresh?

    Any environment: jostle's, an id of Gymnasium, module:Name-v0, or an MJCF file. Without FILE everything that it
    offers is looked at, around the nominal values. Exits with 1 if something fails.

    examples:
      jostle domain check CartPole-v1 masses.yaml
      jostle domain check jostle/Hopper-v5 masses.yaml --junit domain.xml
      jostle domain check mine:Walker-v0 what-it-draws.yaml --itself
      jostle domain check arm.xml
    """

    env: tyro.conf.Positional[Annotated[str, named("ENV")]]
    """Environment id, module:Name-v0, or an MJCF file."""
    domain: tyro.conf.Positional[Annotated[Path | None, named("FILE")]] = None
    """What varies."""
    itself: bool = False
    """The environment draws by itself what FILE says; watch it for a hundred resets instead of setting it."""
    steps: int = 100
    """Length of each trajectory that is compared."""
    junit: Path | None = None
    """Write JUnit's XML here, for continuous integration."""


def check(arguments: list[str]) -> int:
    """``jostle domain check ENV [FILE]``"""
    args = parse(Check, arguments, "jostle domain check")
    if args.steps < 1:
        raise ConfigError(f"--steps {args.steps} must be at least 1.")
    if args.junit is not None and not args.junit.resolve().parent.is_dir():
        raise ConfigError(f"cannot write {args.junit}: there is no folder {args.junit.resolve().parent}.")
    from jostle.envs.engines.mujoco.catalogue import is_model
    from jostle.stress.lint import QUESTIONS, domain_check, write_junit

    if is_model(args.env) and not Path(args.env).is_file():
        raise ConfigError(f"there is no MJCF file {args.env}: give its path.")
    live = sys.stderr.isatty()
    with contextlib.ExitStack() as stack:
        told = None
        if live:
            status = stack.enter_context(Console(stderr=True).status("looking at the environment"))
            told = lambda name: status.update(f"looking at {name}")  # noqa: E731
        report = domain_check(args.env, args.domain, steps=args.steps, itself=args.itself, told=told)
    columns, rows = report.table()
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(f"[red]{cell}[/red]" if cell == "NO" else cell for cell in row))
    console().print(table)
    for finding in report.findings:
        if finding.answer != "passed":
            print(finding)
    failed = report.failed
    asked = {f.question for f in failed}
    for question in (q for q in QUESTIONS if q in asked):
        print(f"{question}: {QUESTIONS[question]}", file=sys.stderr)
    print(f"{len(report.findings) - len(failed)} of {len(report.findings)} answers are no failures.")
    if args.junit is not None:
        write_junit(args.junit, report)
    return 1 if failed else 0
