"""``jostle train``."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from jostle.algo.dqn.agent import DQN
from jostle.algo.dqn.config import DQNConfig
from jostle.algo.ppo.agent import PPO
from jostle.algo.ppo.config import PPOConfig
from jostle.algo.schedule import Schedule
from jostle.algo.settings import SAVED, Settings, merged
from jostle.cli.flags import flag_value, named, parse, refuse_twice, shown
from jostle.cli.health import look_after
from jostle.cli.output import outliving_its_reader
from jostle.cli.plan import Evaluating, Saving, from_training, training_of
from jostle.cli.recipe import overlay, parse_options, starting_point
from jostle.cli.resume import go_on, require_same
from jostle.cli.sections import as_sections, chosen, with_sections
from jostle.cli.streams import gathered
from jostle.cli.summary import header, newest_step, quoted, stopped, summary
from jostle.envs.domain import domain_options
from jostle.errors import ConfigError
from jostle.store import Run


@dataclass
class Train:
    """What every algorithm's command takes."""

    env: str
    """Environment id; `jostle envs` lists them."""
    steps: int
    """Environment steps to train for, summed over all environments."""
    preset: Annotated[str | None, named("NAME")] = None
    """Start from these settings; `jostle presets` lists them."""
    config: Annotated[Path | None, named("FILE")] = None
    """Start from a YAML file in the shape of a run's config.yaml."""
    env_options: Annotated[tuple[str, ...], named("[KEY=VALUE ...]")] = ()
    """Options of the environment as key=value; `jostle envs ID` shows them."""
    domain: Annotated[str | None, named("FILE")] = None
    """What varies from episode to episode; `jostle domain show ENV` lists what can."""
    domain_schedule: Annotated[str | None, shown("uniform", "NAME(…)|FILE")] = None
    """How it is drawn: uniform, "linear(steps=1e6)", "adr(high=400, low=200)", "doraemon(threshold=400)",
    "rollback(high=400, low=200)", plr."""
    domain_privileged: tyro.conf.FlagCreatePairsOff[bool] = False
    """Tell the draws as an observation; --privileged says who sees it."""
    domain_history: int = 0
    """Tell the last K observations and actions of each episode as an observation; 0: none."""
    num_envs: int = 8
    """Environments stepped together."""
    seed: int = 0
    """Seeds environments, weights, noise, and everything else that is drawn."""
    run_dir: Annotated[Path | None, shown("runs/<env>-<algorithm>-s<seed>-<time>", "DIR")] = None
    """A new folder for the run."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on if the folder holds this run already, and do nothing if that has reached its end: one line for a batch
    system that may stop and start it at any moment. Needs --run-dir."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors."""
    saving: tyro.conf.OmitArgPrefixes[Saving] = field(default_factory=Saving)
    evaluating: tyro.conf.OmitArgPrefixes[Evaluating] = field(default_factory=Evaluating)


DQN_HELP = """Train DQN and its family. Flags override --config, which overrides --preset, which overrides the defaults.

examples:
  jostle train dqn --preset cartpole-noisy
  jostle train dqn --env jostle/DeepSea-v0 --env-options size=10 --steps 50000 --noisy factorised
  jostle train dqn --preset noisy-dqn-atari --env Breakout-v5 --seed 1 --run-dir runs/breakout
  jostle train dqn --config runs/breakout/config.yaml --seed 2 --run-dir runs/breakout-2
  jostle train dqn --preset cartpole-noisy --eval-every 5000 --eval-episodes 20 --run-dir runs/cartpole --resume
"""

PPO_HELP = """Train PPO. Flags override --config, which overrides --preset, which overrides the defaults.

examples:
  jostle train ppo --preset cartpole-ppo
  jostle train ppo --env jostle/DeepSea-v0 --env-options size=20 --steps 500000 --bonus rnd
  jostle train ppo --preset rnd-atari --steps 10000000 --run-dir runs/montezuma
  jostle train ppo --env MiniGrid-DoorKey-8x8-v0 --num-envs 64 --steps 2000000 --recurrent gru
  jostle train ppo --env jostle/Hopper-v5 --steps 1e6 --domain masses.yaml --domain-schedule "adr(high=900, low=500)"
  jostle train ppo --preset cartpole-ppo --eval-every 10000 --eval-noise mean --run-dir runs/cartpole --resume
"""

OF_DOMAIN = ("domain", "domain_schedule", "domain_privileged", "domain_history")
"""Flags that are options of the environment."""

COMMANDS: dict[str, tuple[type[DQN] | type[PPO], Any]] = {
    "dqn": (DQN, with_sections(Train, DQNConfig, DQN_HELP)),
    "ppo": (PPO, with_sections(Train, PPOConfig, PPO_HELP)),
}
"""For each algorithm the agent and the command line."""


@outliving_its_reader()
def train_dqn(arguments: list[str]) -> int:
    """``jostle train dqn …``"""
    return _train("dqn", arguments)


@outliving_its_reader()
def train_ppo(arguments: list[str]) -> int:
    """``jostle train ppo …``"""
    return _train("ppo", arguments)


def _train(algorithm: str, arguments: list[str]) -> int:
    refuse_twice(arguments, "--env-options")
    refuse_twice(arguments, "--eval-env-options")
    kind, command = COMMANDS[algorithm]
    preset, config = flag_value(arguments, "--preset"), flag_value(arguments, "--config")
    start = starting_point(preset, Path(config) if config is not None else None, algorithm)
    known: Any = merged(kind.settings(), start.get("config") or {})
    arguments = gathered(arguments, known.streams)
    args = parse(command, arguments, f"jostle train {algorithm}", _defaults(algorithm, start))
    settings: Any = merged(kind.settings(), chosen(args, kind.settings))
    if "jostle" in start:  # a run's own file, which may be older than the refusal of settings without effect
        settings.refuse_idle(merged(kind.settings(), start["config"]))
        settings = merged(settings, {}, origin=SAVED)
    words = {name: getattr(args, name) or None for name in OF_DOMAIN}
    of_domain = {name: word for name, word in words.items() if word is not None}
    given = overlay(start, {"env_options": parse_options(args.env_options) | of_domain})["env_options"]
    options = domain_options(given)
    if args.resume and args.run_dir is None:
        raise ConfigError("--resume needs the folder of the run: give --run-dir, the same every time.")
    run_dir = args.run_dir or _new_folder(args.env, algorithm, args.seed)
    known = (start.get("training") or {}).get("eval_domain")
    plan = training_of(args.saving, args.evaluating, options, known if isinstance(known, dict) else None)
    schedule = Schedule.of(args.steps, **plan)
    if args.resume and (run_dir / "run.json").exists() and not Run.unstarted(run_dir):
        wanted = {
            "algorithm": algorithm, "env": args.env, "num_envs": args.num_envs, "env_options": options,
            "seed": args.seed, "config": settings.as_dict(),
        }  # fmt: skip
        require_same(run_dir, wanted, kind.settings())
        plan = {name: value for name, value in schedule.as_dict().items() if name != "schedules_from"}
        return go_on(run_dir, args.quiet, env=args.env, trust=True, **plan)  # the environment is the user's word
    if not args.resume:
        _refuse_used(run_dir)
    agent = kind(args.env, settings, seed=args.seed, num_envs=args.num_envs, env_options=options)
    try:
        if not args.quiet:
            print(header(agent, run_dir), flush=True)
        agent.train(schedule, run_dir, again=args.resume, progress=not args.quiet)
    except BaseException as error:
        if newest_step(run_dir) is not None or isinstance(error, KeyboardInterrupt | SystemExit):
            print(stopped(run_dir), flush=True)
        raise
    finally:
        agent.env.close()
    if not args.quiet:
        print(summary(agent, run_dir), flush=True)
    del agent  # with its replay, of which the doctor loads another
    look_after(run_dir, args.quiet)
    return 0


def _defaults(algorithm: str, start: dict[str, Any]) -> Any:
    """What the flags' defaults are, and what `--help` shows; without an environment or steps those are required."""
    kind, command = COMMANDS[algorithm]
    training = start.get("training") or {}
    found: Settings = merged(kind.settings(), start.get("config") or {})
    return command(
        env=start.get("env", tyro.MISSING),
        steps=training.get("total") or tyro.MISSING,
        num_envs=start.get("num_envs", 8),
        seed=start.get("seed", 0),
        **from_training(training),
        **as_sections(command, found),
    )


def _new_folder(env: str, algorithm: str, seed: int) -> Path:
    name = env.replace("/", "-").replace(":", "-")
    return Path("runs") / f"{name}-{algorithm}-s{seed}-{time.strftime('%Y%m%d-%H%M%S')}"


def _refuse_used(run_dir: Path) -> None:
    """Say so before the environments are made; `Run.create` sees to it again."""
    if (run_dir / "run.json").exists():
        raise ConfigError(
            f"{run_dir} holds a run already: jostle resume {quoted(run_dir)}, give --resume, or another --run-dir"
        )
