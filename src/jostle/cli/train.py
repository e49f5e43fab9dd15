"""``jostle train dqn``."""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from jostle.algo.config import DQNConfig, merged
from jostle.algo.dqn import DQN
from jostle.cli.flags import flag_value, named, parse, refuse_twice, shown
from jostle.cli.output import outliving_its_reader
from jostle.cli.recipe import overlay, parse_options, starting_point
from jostle.cli.summary import header, quoted, stopped, summary
from jostle.errors import ConfigError


@dataclass(frozen=True)
class Settings(DQNConfig):
    """Every setting of DQN."""

    def __post_init__(self) -> None:
        """Not checked yet: `merged` does so, in one sentence, where tyro would frame it."""


@dataclass
class TrainDQN:
    """Train DQN and its family. Flags override --config, which overrides --preset, which overrides the defaults.

    examples:
      jostle train dqn --preset cartpole-noisy
      jostle train dqn --env jostle/DeepSea-v0 --env-options size=10 --steps 50000 --noisy factorised
      jostle train dqn --preset noisy-dqn-atari --env Breakout-v5 --seed 1 --run-dir runs/breakout
      jostle train dqn --config runs/breakout/config.yaml --seed 2 --run-dir runs/breakout-2
    """

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
    num_envs: int = 8
    """Environments stepped together."""
    seed: int = 0
    """Seeds environments, weights, noise, exploration and replay."""
    run_dir: Annotated[Path | None, shown("runs/<env>-dqn-s<seed>-<time>", "DIR")] = None
    """A new folder for the run."""
    log_every: Annotated[int | None, shown("a hundredth of the training, 1,000 at least", "INT")] = None
    """Steps between two lines of metrics."""
    checkpoint_every: Annotated[int | None, shown("a tenth of the training, 10,000 at least", "INT")] = None
    """Steps between two checkpoints."""
    save_replay: bool = True
    """Keep the replay in checkpoints, so that a resumed run equals an unbroken one."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors."""
    settings: tyro.conf.OmitArgPrefixes[Settings] = field(default_factory=Settings)


@outliving_its_reader()
def train(arguments: list[str]) -> int:
    """``jostle train dqn …``"""
    refuse_twice(arguments, "--env-options")
    preset, config = flag_value(arguments, "--preset"), flag_value(arguments, "--config")
    start = starting_point(preset, Path(config) if config is not None else None)
    args = parse(TrainDQN, arguments, "jostle train dqn", _defaults(start))
    settings = merged(None, dataclasses.asdict(args.settings))
    options = overlay(start, {"env_options": parse_options(args.env_options)})["env_options"]
    run_dir = args.run_dir or _new_folder(args.env, args.seed)
    _refuse_used(run_dir)
    agent = DQN(args.env, settings, seed=args.seed, num_envs=args.num_envs, env_options=options)
    try:
        if not args.quiet:
            print(header(agent, run_dir), flush=True)
        agent.learn(
            args.steps,
            run_dir=run_dir,
            progress=not args.quiet,
            log_every=args.log_every,
            checkpoint_every=args.checkpoint_every,
            save_replay=args.save_replay,
        )
    except (KeyboardInterrupt, SystemExit):
        print(stopped(run_dir), flush=True)
        raise
    finally:
        agent.env.close()
    if not args.quiet:
        print(summary(agent, run_dir), flush=True)
    return 0


def _defaults(start: dict[str, Any]) -> TrainDQN:
    """What the flags' defaults are, and what `--help` shows; without an environment or steps those are required."""
    training = start.get("training") or {}
    settings = merged(None, start.get("config") or {})
    return TrainDQN(
        env=start.get("env", tyro.MISSING),
        steps=training.get("total") or tyro.MISSING,
        num_envs=start.get("num_envs", 8),
        seed=start.get("seed", 0),
        log_every=training.get("log_every"),
        checkpoint_every=training.get("checkpoint_every"),
        save_replay=training.get("save_replay", True),
        settings=Settings(**{f.name: getattr(settings, f.name) for f in dataclasses.fields(DQNConfig)}),
    )


def _new_folder(env: str, seed: int) -> Path:
    name = env.replace("/", "-").replace(":", "-")
    return Path("runs") / f"{name}-dqn-s{seed}-{time.strftime('%Y%m%d-%H%M%S')}"


def _refuse_used(run_dir: Path) -> None:
    """Say so before the environments are made; `Run.create` sees to it again."""
    if (run_dir / "run.json").exists():
        raise ConfigError(f"{run_dir} holds a run already: jostle resume {quoted(run_dir)}, or give another --run-dir")
