"""``jostle train`` and ``jostle resume``."""

import dataclasses
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

import jostle
from jostle.algo.config import DQNConfig, merged
from jostle.algo.dqn import DQN
from jostle.cli.recipe import flag_value, overlay, parse_options, starting_point
from jostle.errors import ConfigError


@dataclass(frozen=True)
class Settings(DQNConfig):
    """Every setting of DQN as a flag. Checked once all of them are known, and then in one sentence."""

    def __post_init__(self) -> None:
        pass


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
    preset: str | None = None
    """Start from these settings; `jostle presets` lists them."""
    config: Path | None = None
    """Start from a YAML file in the shape of a run's config.yaml."""
    env_options: tuple[str, ...] = ()
    """Options of the environment as key=value; `jostle envs ID` shows them."""
    num_envs: int = 8
    """Environments stepped together."""
    seed: int = 0
    """Seeds environments, weights, noise, exploration and replay."""
    run_dir: Path | None = None
    """A new folder for the run; default: runs/<env>-dqn-s<seed>-<time>."""
    log_every: int | None = None
    """Steps between two lines of metrics; default: a hundredth of the training, 1,000 at least."""
    checkpoint_every: int | None = None
    """Steps between two checkpoints; default: a tenth of the training, 10,000 at least."""
    save_replay: bool = True
    """Keep the replay in checkpoints, so that a resumed run equals an unbroken one."""
    quiet: bool = False
    """Print nothing but errors."""
    settings: tyro.conf.OmitArgPrefixes[Settings] = field(default_factory=Settings)


@dataclass
class Resume:
    """Go on with a run from its newest good checkpoint, to its planned end or for more steps.

    examples:
      jostle resume runs/deepsea
      jostle resume runs/deepsea --steps 100000
    """

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    steps: int | None = None
    """Train for so many steps from the checkpoint on; default: to the end that was planned."""
    quiet: bool = False
    """Print nothing but errors and warnings."""


def train(arguments: list[str]) -> int:
    """``jostle train dqn …``"""
    preset, config = flag_value(arguments, "--preset"), flag_value(arguments, "--config")
    start = starting_point(preset, Path(config) if config is not None else None)
    args = tyro.cli(TrainDQN, prog="jostle train dqn", args=arguments, default=_defaults(start))
    settings = merged(None, dataclasses.asdict(args.settings))
    options = overlay(start, {"env_options": parse_options(args.env_options)})["env_options"]
    run_dir = args.run_dir or _new_folder(args.env, args.seed)
    _refuse_used(run_dir)
    agent = DQN(args.env, settings, seed=args.seed, num_envs=args.num_envs, env_options=options)
    try:
        if not args.quiet:
            print(_header(agent, run_dir), flush=True)
        agent.learn(
            args.steps,
            run_dir=run_dir,
            progress=not args.quiet,
            log_every=args.log_every,
            checkpoint_every=args.checkpoint_every,
            save_replay=args.save_replay,
        )
    except (KeyboardInterrupt, SystemExit):
        print(_stopped(run_dir), flush=True)
        raise
    finally:
        agent.env.close()
    if not args.quiet:
        print(_summary(agent, run_dir), flush=True)
    return 0


def resume(arguments: list[str]) -> int:
    """``jostle resume DIR``"""
    args = tyro.cli(Resume, prog="jostle resume", args=arguments)

    def notify(line: str) -> None:
        if not args.quiet:
            print(line, flush=True)

    try:
        agent = jostle.resume(args.run, steps=args.steps, notify=notify, progress=not args.quiet)
    except (KeyboardInterrupt, SystemExit):
        print(_stopped(args.run), flush=True)
        raise
    agent.env.close()
    notify(_summary(agent, args.run))
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
        raise ConfigError(f"{run_dir} holds a run already: jostle resume {_quoted(run_dir)}, or give another --run-dir")


def _header(agent: DQN, run_dir: Path) -> str:
    c, env, replay = agent.config, agent.env, agent.replay
    hidden = [str(m.out_features) for m in agent.network.modules() if hasattr(m, "weight_sigma") or _is_linear(m)]
    noise = "no noise" if c.noisy == "none" else f"NoisyNet ({c.noisy}), {len(agent.noise.layers)} layers"
    parameters = sum(p.numel() for p in agent.network.parameters())
    every = c.batch_size / c.replay_ratio
    rows = {
        "env": f"{env.id} ({env.engine}), {env.num_envs} together, seed {agent.seed}",
        "network": f"{type(agent.network.encoder).__name__} encoder, layers of {' '.join(hidden)}; "
        f"{parameters:,} parameters; {noise}; {agent.device}",
        "replay": f"{replay.rows * env.num_envs:,} transitions, {_bytes(replay.nbytes)} when full; "
        f"ratio {c.replay_ratio:g} (a batch of {c.batch_size} for every {every:g} steps)",
        "run": str(run_dir),
    }
    return "\n".join(f"{name:8} {value}" for name, value in rows.items())


def _is_linear(module: object) -> bool:
    from torch import nn

    return isinstance(module, nn.Linear)


def _summary(agent: DQN, run_dir: Path) -> str:
    where = _quoted(run_dir)
    if agent.returns:
        mean = sum(agent.returns) / len(agent.returns)
        last = f"the last {len(agent.returns)} episodes" if len(agent.returns) > 1 else "the only episode so far"
        found = f"mean return of {last}, while exploring: {mean:.4g}"
    else:
        found = "no episode has ended yet"
    return "\n".join(
        [
            f"{agent.steps:,} steps, {agent.updates:,} updates; {found}",
            f"results in {run_dir}",
            "next:",
            f"  jostle evaluate {where} --episodes 100",
            f"  jostle watch {where}",
            f"  jostle doctor {where}",
            f"  jostle resume {where} --steps {agent.steps}",
        ]
    )


def _stopped(run_dir: Path) -> str:
    saved = sorted((run_dir / "checkpoints").glob("step_*"))
    if not saved:
        return "stopped before anything was saved."
    step = int(saved[-1].name.removeprefix("step_"))
    return f"stopped; step {step:,} is saved in {run_dir}. To go on: jostle resume {_quoted(run_dir)}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _bytes(count: float) -> str:
    """
    >>> _bytes(7_056_000_000)
    '7.06 GB'
    """
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
