"""``jostle resume``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

import jostle
from jostle.cli.flags import parse, shown
from jostle.cli.output import outliving_its_reader
from jostle.cli.summary import newest_step, stopped, summary


@dataclass
class Resume:
    """Go on with a run from its newest good checkpoint, to its planned end or for more steps.

    examples:
      jostle resume runs/deepsea
      jostle resume runs/deepsea --steps 100000
    """

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    steps: Annotated[int | None, shown("to the end that was planned")] = None
    """Train for so many steps from the checkpoint on."""
    device: Annotated[str | None, shown("the run's own")] = None
    """cpu, cuda, cuda:1 …; auto: cuda where there is one."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """Import the module that the folder may name to make its environment."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors and warnings."""


@outliving_its_reader()
def resume(arguments: list[str]) -> int:
    """``jostle resume DIR``"""
    args = parse(Resume, arguments, "jostle resume")

    def notify(line: str) -> None:
        if not args.quiet:
            print(line, flush=True)

    before = newest_step(args.run)
    try:
        agent = jostle.resume(
            args.run,
            steps=args.steps,
            device=args.device,
            trust=args.trust,
            notify=notify,
            progress=not args.quiet,
        )
    except (KeyboardInterrupt, SystemExit):
        # A longer plan given here is not kept in the run, so the rest of it must be given again.
        left = None if args.steps is None else (before or 0) + args.steps - (newest_step(args.run) or 0)
        print(stopped(args.run, left), flush=True)
        raise
    agent.env.close()
    if agent.steps == before and args.steps is None:
        notify("the run has reached its planned end: train on with --steps")
    notify(summary(agent, args.run))
    return 0
