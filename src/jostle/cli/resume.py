"""``jostle resume``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

import jostle
from jostle.algo import AGENTS
from jostle.algo.changes import differences, in_words
from jostle.algo.settings import Settings, merged
from jostle.cli.flags import parse, refuse_twice, shown
from jostle.cli.health import look_after
from jostle.cli.output import outliving_its_reader
from jostle.cli.plan import Evaluating, Saving, from_training, training_of
from jostle.cli.recipe import parse_options
from jostle.cli.sections import as_sections, chosen, with_sections
from jostle.cli.streams import gathered
from jostle.cli.summary import newest_step, stopped, summary
from jostle.errors import CheckpointError, ConfigError
from jostle.store import Run
from jostle.yaml_text import parse_yaml

HELP = """Go on with a run from its newest good checkpoint, to its planned end or for more steps.

Every setting of `jostle train` is a flag here too: `jostle resume RUN --help` shows them with the run's own values.
What may change between stretches is applied, said and kept in the run; what may not is refused.

examples:
  jostle resume runs/deepsea
  jostle resume runs/deepsea --steps 100000
  jostle resume runs/deepsea --steps 100000 --restart-schedules --learning-rate 1e-4
  jostle resume runs/deepsea --num-envs 4 --env-options move_cost=0.02
  jostle resume runs/deepsea --eval-every 5000
"""


@dataclass
class Resume:
    run: tyro.conf.Positional[Path]
    """The run's folder."""
    steps: Annotated[int | None, shown("to the end that was planned")] = None
    """Train for so many steps from the checkpoint on; the planned end is then there, and schedules go on towards it."""
    restart_schedules: tyro.conf.FlagCreatePairsOff[bool] = False
    """Schedules, such as of the learning rate, begin again here and go to the end, instead of going on."""
    num_envs: Annotated[int | None, shown("the run's own")] = None
    """Another number of environments; episodes, and what each environment had of its own, begin anew."""
    env_options: tuple[str, ...] = ()
    """Options of the environment as key=value, over those of the run; spaces must stay the same."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """Import the module that the folder may name to make its environment."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors and warnings."""
    saving: tyro.conf.OmitArgPrefixes[Saving] = field(default_factory=Saving)
    evaluating: tyro.conf.OmitArgPrefixes[Evaluating] = field(default_factory=Evaluating)


Resume.__doc__ = HELP


@dataclass
class OfNoRun(Resume):
    device: Annotated[str | None, shown("the run's own")] = None
    """cpu, cuda, cuda:1 …; auto: cuda where there is one."""


OfNoRun.__doc__ = HELP


@outliving_its_reader()
def resume(arguments: list[str]) -> int:
    """``jostle resume DIR``"""
    refuse_twice(arguments, "--env-options")
    refuse_twice(arguments, "--eval-env-options")
    config = _config_of(arguments)
    kind = AGENTS.get(str(config.get("algorithm")))
    if kind is None:  # no run, or a damaged one, of which opening it says what is wrong
        args = parse(OfNoRun, arguments, "jostle resume")
        return go_on(args.run, args.quiet, trust=args.trust)
    found = config.get("training")
    training: dict[str, Any] = found if isinstance(found, dict) else {}
    here: Any = merged(kind.settings(), config.get("config") or {})
    command = with_sections(Resume, kind.settings, HELP)
    start = from_training({name: value for name, value in training.items() if name not in ("total",)})
    arguments = gathered(arguments, here.streams)
    args = parse(command, arguments, "jostle resume", command(tyro.MISSING, **start, **as_sections(command, here)))
    settings = {name: v for name, v in chosen(args, kind.settings).items() if v != getattr(here, name)}
    options = parse_options(args.env_options)
    wanted = training_of(args.saving, args.evaluating, (config.get("env_options") or {}) | options)
    given = {name: value for name, value in wanted.items() if value != training_of(**start, env_options={})[name]}
    return go_on(
        args.run,
        args.quiet,
        steps=args.steps,
        num_envs=args.num_envs,
        env_options=options or None,
        restart_schedules=args.restart_schedules,
        trust=args.trust,
        **given,
        **settings,
    )


def _config_of(arguments: list[str]) -> dict[str, Any]:
    """config.yaml of the first argument that is a run's folder; empty where there is none that can be read."""
    for word in arguments:
        file = Path(word) / "config.yaml"
        if not word.startswith("-") and file.is_file():
            try:
                config = (
                    Run.open(Path(word)).config if (Path(word) / "run.json").exists() else parse_yaml(file.read_bytes())
                )
            except (jostle.JostleError, OSError, ValueError, yaml.YAMLError):
                return {}
            return config if isinstance(config, dict) else {}
    return {}


def go_on(run: Path, quiet: bool, **changed: Any) -> int:
    """Go on with a run, and say so."""

    def notify(line: str) -> None:
        if not quiet:
            print(line, flush=True)

    before = newest_step(run)
    try:
        agent = jostle.resume(run, notify=notify, progress=not quiet, **changed)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit) or newest_step(run) != before:
            print(stopped(run), flush=True)
        raise
    agent.env.close()
    if agent.steps == before:
        notify("the run has reached its planned end: train on with --steps")
    notify(summary(agent, run))
    del agent  # with its replay, of which the doctor loads another
    look_after(run, quiet)
    return 0


def require_same(run: Path, wanted: Mapping[str, Any], defaults: Settings) -> None:
    """Refuse to take a run for what a command describes unless it is that, whatever its plan.

    Raises:
        ConfigError: names what differs.
    """
    config = Run.open(run).config
    if config.get("algorithm") not in AGENTS:
        raise CheckpointError(f"the config.yaml of {run} names no algorithm: put back the one that the run began with")
    settings = dict(wanted["config"])
    for name in defaults.decided_by_agent():
        if settings[name] is None:
            settings[name] = (config.get("config") or {}).get(name)
    found = differences(config, {**wanted, "config": settings}, defaults)
    if found:
        raise ConfigError(
            f"{run} holds a run of other settings ({in_words(found)}): give another --run-dir, or change the run by "
            "jostle resume."
        )
