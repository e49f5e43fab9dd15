"""``jostle evaluate`` and ``jostle watch``."""

import json
import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import jostle
from jostle.cli.flags import parse, refuse_twice, shown
from jostle.cli.policies import is_zip, read_policy
from jostle.cli.recipe import parse_options
from jostle.envs.domain import asked, off
from jostle.errors import ConfigError

if TYPE_CHECKING:
    from jostle.evaluation import Evaluation


@dataclass
class Evaluate:
    """Play episodes in new environments, and give the mean return with its 95% interval.

    The interval is that of the mean over these episodes; it says nothing about other training seeds.

    examples:
      jostle evaluate runs/deepsea --episodes 100
      jostle evaluate runs/deepsea --noise mc:16 --json deepsea.json
      jostle evaluate runs/catch --env-options split=test
      jostle evaluate ppo_cartpole.zip --env CartPole-v1 --algo ppo
    """

    run: tyro.conf.Positional[Path]
    """The folder of a run or of a saved agent, or a zip of Stable-Baselines3."""
    which: Literal["newest", "best"] = "newest"
    """The run's newest good checkpoint, or the best one by the evaluations of its training."""
    episodes: int = 20
    """Episodes to play."""
    noise: str = "mean"
    """mean: without noise; fixed: one draw; sampled: a fresh draw for every action; mc:M: averaged over M draws."""
    actions: Literal["greedy", "sampled"] = "greedy"
    """greedy: the likeliest or best action; sampled: from the policy, as in training (PPO only)."""
    epsilon: float = 0.0
    """Probability of a random action."""
    seed: int = 10_000
    """Seed of environments, draws and random actions."""
    device: Annotated[str | None, shown("the run's own")] = None
    """cpu, cuda, cuda:1 …; auto: cuda where there is one."""
    env: str | None = None
    """Another environment with the same spaces; of a zip the one that it was trained in."""
    env_options: tuple[str, ...] = ()
    """Options of the environment as key=value, over those of the run."""
    domain: Annotated[str | None, shown("nothing is randomised", "train|FILE")] = None
    """train: draw from the whole domain of the training; FILE: from another one; without, the world is nominal."""
    algo: str | None = None
    """The algorithm of a zip (ppo, a2c, dqn, sac, td3, ddpg), which does not tell it."""
    max_steps: int = 30_000
    """Steps of one episode, after which it counts as it stands."""
    json: Path | None = None
    """Write everything found, each episode included, to this file."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run code that the file may name or hold: the module of a run's environment, what is pickled in a zip."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors and warnings."""


@dataclass
class Watch:
    """Record a video of a run's agent at play.

    examples:
      jostle watch runs/deepsea
      jostle watch runs/pong --video pong.mp4 --episodes 1 --noise sampled --fps 60
      jostle watch ppo_cartpole.zip --env CartPole-v1 --algo ppo
    """

    run: tyro.conf.Positional[Path]
    """The folder of a run or of a saved agent, or a zip of Stable-Baselines3."""
    which: Literal["newest", "best"] = "newest"
    """The run's newest good checkpoint, or the best one by the evaluations of its training."""
    video: Annotated[Path | None, shown("RUN/videos/step_<step>-<noise>.mp4, or beside a zip")] = None
    """The file to write."""
    episodes: int = 3
    """Episodes to play."""
    noise: str = "mean"
    """mean: without noise; fixed: one draw; sampled: a fresh draw for every action; mc:M: averaged over M draws."""
    actions: Literal["greedy", "sampled"] = "greedy"
    """greedy: the likeliest or best action; sampled: from the policy, as in training (PPO only)."""
    fps: Annotated[int | None, shown("30, fewer for short episodes")] = None
    """Frames per second."""
    seed: int = 10_000
    """Seed of environment and draws."""
    device: Annotated[str | None, shown("the run's own")] = None
    """cpu, cuda, cuda:1 …; auto: cuda where there is one."""
    env_options: tuple[str, ...] = ()
    """Options of the environment as key=value, over those of the run."""
    domain: Annotated[str | None, shown("nothing is randomised", "train|FILE")] = None
    """train: draw from the whole domain of the training; FILE: from another one; without, the world is nominal."""
    env: str | None = None
    """Of a zip, where it was trained; a run knows it."""
    algo: str | None = None
    """The algorithm of a zip (ppo, a2c, dqn, sac, td3, ddpg), which does not tell it."""
    max_frames: int = 2_000
    """Frames of one episode, after which the video ends."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run code that the file may name or hold: the module of a run's environment, what is pickled in a zip."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors and warnings."""


def evaluate(arguments: list[str]) -> int:
    """``jostle evaluate DIR``"""
    refuse_twice(arguments, "--env-options")
    args = parse(Evaluate, arguments, "jostle evaluate")
    if args.json is not None:
        refuse_existing(args.json, args.overwrite)
    given = parse_options(args.env_options)
    policy, steps = read_policy(
        args.run,
        algo=args.algo,
        env=args.env,
        env_options=given,
        device=args.device,
        which=args.which,
        trust=args.trust,
    )
    options = given if is_zip(args.run) else options_for(off(policy.env_options), args.env, args.quiet) | given
    with Progress(transient=True, disable=args.quiet or not Console().is_terminal) as progress:
        task = progress.add_task("episodes", total=args.episodes)
        found = jostle.evaluate(
            policy,
            args.episodes,
            noise=args.noise,
            actions=args.actions,
            epsilon=args.epsilon,
            seed=args.seed,
            env=args.env,
            env_options=options,
            domain=args.domain,
            max_steps=args.max_steps,
            notify=lambda done: progress.update(task, completed=done),
        )
    if args.json is not None:
        world = {} if args.domain is None else {"domain": asked(options, args.domain)["domain"]}
        whole = {"run": args.run.name, "steps": steps, "env_options": options} | world | found.as_dict()
        text = json.dumps(finite(whole), indent=1, allow_nan=False) + "\n"
        try:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {args.json} ({error.strerror}): choose another file.") from error
    if not args.quiet:
        console().print(_table(found, steps))
    return 0


def options_for(options: dict[str, Any], env: str | None, quiet: bool) -> dict[str, Any]:
    """The run's options that another environment has, too; a note says which it has not."""
    if env is None or not options:
        return options
    from jostle.envs.catalogue import describe  # late, so that help is quick
    from jostle.envs.make import OWN_OPTIONS

    known = {*OWN_OPTIONS, *describe(env).options}
    foreign = {key: value for key, value in options.items() if key not in known}
    if foreign and not quiet:
        shown = ", ".join(f"{key}={value}" for key, value in foreign.items())
        print(f"note: {env} has no {shown}, which the run was trained with: left out", file=sys.stderr)
    return {key: value for key, value in options.items() if key in known}


def watch(arguments: list[str]) -> int:
    """``jostle watch DIR``"""
    refuse_twice(arguments, "--env-options")
    args = parse(Watch, arguments, "jostle watch")
    from jostle.watch import make_folder, record  # late, so that help is quick

    if args.video is not None:
        refuse_existing(args.video, args.overwrite)
        make_folder(args.video.parent)
    elif (args.run / "run.json").exists():
        make_folder(args.run / "videos")  # before anything is loaded and played for nothing
    if args.env is not None and not is_zip(args.run):
        raise ConfigError("--env is for zips of Stable-Baselines3: a run's folder knows its environment.")
    given = parse_options(args.env_options)
    policy, steps = read_policy(
        args.run,
        algo=args.algo,
        env=args.env,
        env_options=given,
        device=args.device,
        which=args.which,
        trust=args.trust,
    )
    with _clearing_away():
        video = record(
            policy,
            args.video or _default_video(args.run, steps, args.noise),
            episodes=args.episodes,
            noise=args.noise,
            actions=args.actions,
            fps=args.fps,
            seed=args.seed,
            env_options=off(policy.env_options) | given,
            domain=args.domain,
            overwrite=args.overwrite,
            max_frames=args.max_frames,
        )
    if not args.quiet:
        returns = ", ".join([f"{r:.4g}" for r in video.returns] + ([] if video.cut is None else [f"{video.cut:.4g}+"]))
        width, height = video.size
        print(f"{video.env}, noise {video.noise}, step {steps:,}: returns {returns}")
        print(f"{video.path}: {video.frames} frames of {width}×{height} at {video.fps} per second")
    return 0


@contextmanager
def _clearing_away() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what runs within as Ctrl-C does, so that no half-made file stays."""

    arrived: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        arrived.append(number)
        raise KeyboardInterrupt  # a SystemExit would be taken for the environment's

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        if arrived:
            raise SystemExit(128 + arrived[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _default_video(run: Path, steps: int, noise: str) -> Path:
    """In a run's folder; but beside a zip, and a saved agent's folder, to which no file may be added."""
    noise = noise.replace(":", "")
    if is_zip(run):
        return run.with_name(f"{run.stem}-{noise}.mp4")
    if (run / "meta.json").exists():
        return run.with_name(f"{run.resolve().name}-{noise}.mp4")
    return run / "videos" / f"step_{steps:012d}-{noise}.mp4"


def _table(found: "Evaluation", steps: int) -> Table:
    from jostle.scores.intervals import Interval, decimal  # late, so that help is quick

    returns, (low, high) = found.returns, found.interval
    digits = Interval(found.mean, low, high, 0.95).digits
    ends = f"{decimal(low, digits)} to {decimal(high, digits)}" if len(returns) > 1 else "needs two episodes"
    table = Table(title=f"{found.env} after {steps:,} steps", title_justify="left")
    rows = {
        "episodes": str(len(returns)),
        "noise": found.noise,
        "actions": found.actions,
        "epsilon": f"{found.epsilon:g}",
        "mean return": decimal(found.mean, digits),
        "95% interval": ends,
        "least, greatest": f"{decimal(returns.min(), digits)}, {decimal(returns.max(), digits)}",
        "mean length": f"{sum(e.length for e in found.episodes) / len(returns):.4g}",
        "seed": str(found.seed),
    }
    if found.domain is not None:
        rows["domain"] = found.domain
    if found.cut:
        rows["did not end"] = f"{found.cut} of {len(returns)}"
    if found.disagreement is not None:
        rows["disagreement"] = f"{found.disagreement:.3g}"
    for name in rows:
        table.add_column(name, justify="right")
    table.add_row(*rows.values())
    return table


def console() -> Console:
    """A console for tables; where the output is no terminal, wide enough that they are not squeezed."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=140)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises: ConfigError if the file exists and may not be replaced."""
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists already: choose another name, or give --overwrite")


def finite(data: Any) -> Any:
    """The same data with None for numbers that JSON cannot express."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
