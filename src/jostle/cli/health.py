"""``jostle doctor``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.table import Table

from jostle.cli.flags import parse, refuse_twice
from jostle.cli.play import console
from jostle.cli.policies import is_zip, read_zip, require_home
from jostle.cli.recipe import parse_options
from jostle.errors import ConfigError

if TYPE_CHECKING:
    from jostle.doctor import Check

_COLOUR = {"OK": "green", "warning": "yellow", "FAIL": "bold red"}


@dataclass
class Doctor:
    """Check the newest checkpoint of a run: weights, noise, units, values, policy, bonuses, target and replay.

    Of a zip of Stable-Baselines3: weights, outputs and units. Exits with 1 if a check fails.

    examples:
      jostle doctor runs/deepsea
      jostle doctor ppo_cartpole.zip --env CartPole-v1 --algo ppo
    """

    run: tyro.conf.Positional[Path]
    """The folder of a run (its newest good checkpoint) or of a saved agent, or a zip of Stable-Baselines3."""
    env: str | None = None
    """Of a zip, where it was trained; a run knows it."""
    env_options: tuple[str, ...] = ()
    """Of a zip, options of its environment as key=value."""
    algo: str | None = None
    """The algorithm of a zip (ppo, a2c, dqn, sac, td3, ddpg), which does not tell it."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run code that the file may name or hold: the module of a run's environment, what is pickled in a zip."""
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
    refuse_twice(arguments, "--env-options")
    args = parse(Doctor, arguments, "jostle doctor")
    checks = _of_zip(args) if is_zip(args.run) else _of_run(args)
    if not args.quiet:
        table = Table(title=f"{args.run.name}", title_justify="left", show_lines=True)
        for name in ("check", "status", "finding", "remedy"):
            table.add_column(name, overflow="fold")
        for check in checks:
            colour = _COLOUR[check.status]
            table.add_row(check.name, f"[{colour}]{check.status}[/]", check.finding, check.remedy)
        console().print(table)
    return int(any(check.status == "FAIL" for check in checks))


def _of_run(args: Doctor) -> "list[Check]":
    from jostle.doctor import diagnose  # late, so that help is quick

    require_home([args.run], args.env, [args.algo] if args.algo else [])
    if args.env is not None or args.env_options:
        raise ConfigError("--env and --env-options are for zips of Stable-Baselines3: a run knows its environment.")
    return diagnose(args.run, trust=args.trust)


def _of_zip(args: Doctor) -> "list[Check]":
    algorithm = require_home([args.run], args.env, [args.algo] if args.algo else [])[args.run]
    options = parse_options(args.env_options)
    found = read_zip(
        args.run, algorithm, env=args.env, env_options=options, device="cpu", which="newest", trust=args.trust
    )
    from jostle.doctor.zipped import examine  # late, so that help is quick

    return examine(found.view)
