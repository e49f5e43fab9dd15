"""``jostle explain``."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from jostle.cli.explain_check import JUNIT, judge, read_first
from jostle.cli.flags import named, parse, refuse_twice, shown
from jostle.cli.play import console
from jostle.cli.policies import is_zip, read_policy
from jostle.cli.recipe import parse_options
from jostle.errors import ConfigError

if TYPE_CHECKING:
    from jostle.explain import Explanation


@dataclass
class Explain:
    """Look inside of an agent: what it looks at, by many techniques, and what it holds: weights, units, layers, memory,
    activations, each number beside its null.

    Episodes are recorded once; a folder of figures, numbers and a video is written. A technique that fails a check is
    marked so in its title.

    examples:
      jostle explain runs/catch
      jostle explain runs/catch --parts units layers planes
      jostle explain runs/catch --conditions seen:split=train unseen:split=test
      jostle explain runs/catch --parts probes --assert inside.yaml
      jostle explain runs/catch --target value --steps 12 --methods blur integrated grad-cam
      jostle explain ppo_pong.zip --env ALE/Pong-v5 --algo ppo --out pong
    """

    run: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]
    """The folder of a run or of a saved agent, or a zip of Stable-Baselines3."""
    which: Literal["newest", "best"] = "newest"
    """The run's newest good checkpoint, or the best one by the evaluations of its training."""
    parts: Annotated[tuple[str, ...], named("NAME [NAME ...]")] = ()
    """What is looked at: saliency, weights, units, layers, pruning, memory, planes, paths, entanglement, probes,
    maximised. Without this, all that fit."""
    target: Annotated[str | None, shown("the action's log-probability or value, or mean:0", "NAME")] = None
    """What is explained: log_prob, prob, logit, q, value, entropy, mean:D, std:D; log_prob:2 is that of action 2."""
    methods: Annotated[tuple[str, ...], named("NAME [NAME ...]")] = ()
    """Techniques of saliency: gradient, gradient-input, smoothgrad, guided, integrated, cam, grad-cam, occlusion, blur,
    blur-value, baseline, sarfa; of vectors also ablation and permutation. Without this, all that fit."""
    steps: int = 6
    """Steps that saliency explains, at equal distances over the episodes."""
    episodes: int = 5
    """Episodes to record, of each condition."""
    max_steps: int = 200
    """Steps of one episode, after which it is left."""
    changes: Annotated[tuple[str, ...], named("OBJECT:KEY=VALUE[,KEY=VALUE] [...]")] = ()
    """Objects and the options of the environment that change them, by which techniques of saliency are checked.
    Without this, those that are known of jostle's own environments."""
    conditions: Annotated[tuple[str, ...], named("NAME:KEY=VALUE[,KEY=VALUE] [...]")] = ()
    """Conditions to play under, the first of which is what was seen: a name and options of the environment."""
    domain: Annotated[str | None, shown("nothing is randomised", "train|FILE")] = None
    """train: draw from the whole domain of the training; FILE: from another one; without, the world is nominal."""
    noise: Literal["mean", "fixed", "sampled"] = "mean"
    """mean: without noise; fixed: one draw; sampled: every episode under a draw of its own."""
    actions: Literal["greedy", "sampled"] = "greedy"
    """greedy: the likeliest or best action; sampled: from the policy, as in training (PPO only)."""
    seed: int = 10_000
    """Seed of environments, draws and nulls."""
    device: Annotated[str | None, shown("the run's own")] = None
    """cpu, cuda, cuda:1 …; auto: cuda where there is one."""
    env: str | None = None
    """Where a zip was trained; runs know it."""
    env_options: tuple[str, ...] = ()
    """Options of the environment as key=value, over those of the run."""
    algo: str | None = None
    """The algorithm of a zip (ppo, a2c, dqn, sac, td3, ddpg), which does not tell it."""
    key: str | None = None
    """Which part of observations that are dictionaries is explained."""
    out: Annotated[Path | None, shown("DIR/explain")] = None
    """The folder for figures and numbers."""
    max_size: str = "1GB"
    """What the recorded episodes may take on the disk at most."""
    checks: Annotated[Path | None, tyro.conf.arg(name="assert", metavar="FILE.yaml")] = None
    """Statements about the inside: a list of {probe, mass or sanity, min or max}; an interval must pass."""
    junit: Annotated[Path | None, shown("OUT/junit.xml")] = None
    """Where the results of the statements go, for continuous integration."""
    no_sanity: tyro.conf.FlagCreatePairsOff[bool] = False
    """Leave the sanity checks out."""
    no_video: tyro.conf.FlagCreatePairsOff[bool] = False
    """Leave the video out."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace what an earlier explanation left in the folder."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run code that the file may name or hold: the module of a run's environment, what is pickled in a zip."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors and warnings."""


def explain(arguments: list[str]) -> int:
    """``jostle explain DIR``"""
    for flag in ("--parts", "--methods", "--changes", "--conditions", "--env-options"):
        refuse_twice(arguments, flag)
    args = parse(Explain, arguments, "jostle explain")
    from jostle.envs.domain import asked  # late, so that help is quick
    from jostle.explain import explain_policy
    from jostle.store.signals import catch_signals

    if args.env is not None and not is_zip(args.run):
        raise ConfigError("--env is for zips of Stable-Baselines3: a run knows where it was trained.")
    options, conditions = parse_options(args.env_options), parse_conditions(args.conditions)
    policy, _ = read_policy(
        args.run, algo=args.algo, env=args.env, env_options=options, device=args.device, which=args.which,
        trust=args.trust,
    )  # fmt: skip
    statements = read_first(args.checks, args.junit, policy, tuple(conditions) or None)
    out = args.out or _default(args.run)
    world = {**policy.env_options, **options}
    with catch_signals() as stop, Progress(transient=True, disable=args.quiet or not Console().is_terminal) as progress:
        task = progress.add_task("trace", total=None)
        found = explain_policy(
            policy,
            out,
            parts=args.parts or None,
            initial=args.run if (args.run / "run.json").exists() else None,
            target=args.target,
            methods=args.methods or None,
            steps=args.steps,
            episodes=args.episodes,
            max_steps=args.max_steps,
            conditions=conditions or None,
            noise=args.noise,
            actions=args.actions,
            seed=args.seed,
            env_options=world if args.domain is None else asked(world, args.domain),
            max_size=args.max_size,
            key=args.key,
            sanity=not args.no_sanity,
            changes=parse_conditions(args.changes, "--changes") or None,
            video=not args.no_video,
            overwrite=args.overwrite,
            announce=lambda said: None if args.quiet else print(said, file=sys.stderr),
            notify=lambda done, total, what: progress.update(task, completed=done, total=total, description=what),
            stop=lambda: stop.signal is not None,
        )
    if not args.quiet:
        _show(found)
    if not found.complete:
        print(f"stopped: what was whole is in {out}.")
        return stop.exit_code
    junit = args.junit or out / JUNIT
    return judge(statements, policy, found.trace, junit, target=args.target, key=args.key, quiet=args.quiet)


def parse_conditions(words: tuple[str, ...], flag: str = "--conditions") -> dict[str, dict[str, Any]]:
    """Conditions from ``name:key=value,key=value`` words.

    >>> parse_conditions(("seen", "unseen:split=test,themes=[1, 2]"))
    {'seen': {}, 'unseen': {'split': 'test', 'themes': [1, 2]}}

    Raises:
        ConfigError: a name twice, or what is no option.
    """
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        name, _, rest = word.partition(":")
        if not name or name in found or "=" in name:
            raise ConfigError(f"{flag} {word} cannot be used: NAME:KEY=VALUE, and each a name of its own.")
        pairs = re.split(r",(?=\s*[A-Za-z_]\w*=)", rest) if rest else []
        found[name] = parse_options([pair.strip() for pair in pairs], flag)
    return found


def _default(run: Path) -> Path:
    """In a run's folder; but beside a saved agent's, to which no file may be added, and beside a zip."""
    if is_zip(run):
        return run.with_name(f"{run.stem}-explain")
    return run.with_name(f"{run.resolve().name}-explain") if (run / "meta.json").exists() else run / "explain"


def _show(found: "Explanation") -> None:
    data = found.as_dict()
    about = f"{data['episodes']} episodes, mean return {data['mean return']:.4g}"
    _table(found.rows(), f"{data['policy']} in {data['env']}: {about}")
    _table(found.numbers(), "Inside: each number beside its null")
    for name, why in found.left_out.items():
        print(f"note: no {name}: {why}")
    print(f"figures and numbers in {found.folder} ({found.seconds:.0f} s)")


def _table(rows: list[dict[str, str]], title: str) -> None:
    """Nothing where there are no rows."""
    if not rows:
        return
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        number = name.startswith("like") or name in ("gain", "objects changed", "value", "null", "p")
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row.values())
    console().print(table)
