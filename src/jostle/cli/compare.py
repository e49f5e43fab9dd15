"""``jostle compare``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from jostle.cli.flags import named, parse, refuse_twice, shown
from jostle.cli.play import console, finite, refuse_existing
from jostle.cli.policies import is_zip, read_policy
from jostle.cli.recipe import parse_options
from jostle.errors import ConfigError

if TYPE_CHECKING:
    from jostle.stress.pairs.found import Comparison
    from jostle.view import PolicyView

_LISTED = 5
"""Worst episodes that are printed."""


@dataclass
class Compare:
    """Is AFTER worse than BEFORE? Both play the same episodes, each seeded anew, under the same conditions.

    With one run on each side the episodes are pairs, and what is found holds for these two agents. With several runs on
    each side the runs are what is counted, and what is found holds for the methods. Says REGRESSED, IMPROVED or NO
    DIFFERENCE SEEN, and how small a difference could have been seen.

    examples:
      jostle compare runs/old runs/new
      jostle compare runs/old runs/new --suite themes --episodes 400 --fail-on-regression
      jostle compare --before runs/old-s0 runs/old-s1 runs/old-s2 --after runs/new-s0 runs/new-s1 runs/new-s2
      jostle compare runs/old runs/new --success "return >= 195" --videos 3 --out gate
      jostle compare old.zip new.zip --env CartPole-v1 --algo ppo
    """

    policies: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="BEFORE AFTER")]] = ()
    """Two folders of runs or of saved agents, or zips of Stable-Baselines3."""
    before: Annotated[tuple[Path, ...], named("DIR [DIR ...]")] = ()
    """The runs of the first side, training seeds of one method, in place of BEFORE."""
    after: Annotated[tuple[Path, ...], named("DIR [DIR ...]")] = ()
    """The runs of the second side, in place of AFTER."""
    suite: Annotated[str | None, shown("as in training", "NAME|FILE.yaml")] = None
    """The conditions: a suite by name (jostle stress --list), or a YAML file."""
    episodes: int = 100
    """Episodes of each run under each condition."""
    metric: Annotated[Literal["success", "return"] | None, shown("success where there is a rule")] = None
    """What is compared."""
    success: Annotated[str | None, shown("the suite's own")] = None
    """When an episode is a success: 'return > 0', 'return >= 195' or 'info KEY'."""
    noise: str = "mean"
    """mean: without noise; fixed: one draw; sampled: a fresh draw for every action; mc:M: averaged over M draws."""
    actions: Literal["greedy", "sampled"] = "greedy"
    """greedy: the likeliest or best action; sampled: from the policy, as in training (PPO only)."""
    confidence: float = 0.95
    """Of the intervals; equal policies are called different with a chance of at most 1 − this."""
    seed: int = 10_000
    """Seed of the first episode; the next ones follow."""
    which: Literal["newest", "best"] = "newest"
    """The runs' newest good checkpoints, or the best ones by the evaluations of their training."""
    device: Annotated[str | None, shown("the run's own")] = None
    """cpu, cuda, cuda:1 …; auto: cuda where there is one."""
    env: str | None = None
    """Where zips were trained; runs know it."""
    env_options: tuple[str, ...] = ()
    """Options of that environment as key=value."""
    domain: Annotated[str | None, shown("nothing is randomised", "train|FILE")] = None
    """train: draw from the whole domain of the training; FILE: from another one; suites of physics vary that."""
    algo: str | None = None
    """The algorithm of zips, which do not tell it: ppo, a2c, dqn, sac, td3 or ddpg."""
    fail_on_regression: tyro.conf.FlagCreatePairsOff[bool] = False
    """Exit with 1 where AFTER regressed under any condition."""
    json: Path | None = None
    """Write everything found to this file."""
    junit: Path | None = None
    """Write a test case for each condition to this file, for continuous integration."""
    videos: int = 0
    """Record so many of the worst paired episodes, both sides."""
    out: Annotated[Path | None, shown("AFTER-against-BEFORE")] = None
    """The folder for videos."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace files that exist."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run code that a file may name or hold: the module of a run's environment, what is pickled in a zip."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors, warnings and the verdict."""


def compare(arguments: list[str]) -> int:
    """``jostle compare BEFORE AFTER``"""
    for flag in ("--before", "--after", "--env-options"):
        refuse_twice(arguments, flag)
    args = parse(Compare, arguments, "jostle compare")
    from jostle.store.signals import catch_signals  # late, so that help is quick
    from jostle.stress.pairs import compare_policies

    before, after = _sides(args)
    for file in (args.json, args.junit):
        if file is not None:
            refuse_existing(file, args.overwrite)
    if args.videos < 0:
        raise ConfigError(f"--videos {args.videos} cannot be used: give how many to record.")
    if args.videos and len(before) > 1:
        raise ConfigError("--videos shows pairs of episodes: give one run on each side.")
    out = args.out or Path(f"{_name(after[0])}-against-{_name(before[0])}")
    videos = _video_files(out, args) if args.videos else []
    old, new = (_load(paths, args) for paths in (before, after))
    with catch_signals() as stop, Progress(transient=True, disable=args.quiet or not Console().is_terminal) as progress:
        task = progress.add_task("episodes", total=None)
        found = compare_policies(
            old,
            new,
            args.suite,
            episodes=args.episodes,
            metric=args.metric,
            success=args.success,
            noise=args.noise,
            actions=args.actions,
            confidence=args.confidence,
            domain=args.domain,
            seed=args.seed,
            worst=max(args.videos, _LISTED),
            notify=lambda done, total: progress.update(task, completed=done, total=total),
            stop=lambda: stop.signal is not None,
        )
    if not found.conditions:
        print("stopped before the first condition was whole: nothing is kept.")
        return stop.exit_code
    if not args.quiet:
        _show(found)
    print(found.verdict)
    _write(found, args)
    if not found.complete:
        print(f"stopped: {len(found.conditions)} of {len(found.suite.conditions)} conditions were compared.")
        return stop.exit_code
    if videos:
        _record(found, old[0], new[0], videos, args.quiet)
    return int(args.fail_on_regression and found.verdict == "REGRESSED")


def _sides(args: Compare) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    if args.policies and (args.before or args.after):
        raise ConfigError("give either BEFORE AFTER, or --before and --after.")
    if args.before or args.after:
        if not (args.before and args.after):
            raise ConfigError("--before and --after go together: give the runs of both sides.")
        return args.before, args.after
    if len(args.policies) != 2:
        raise ConfigError(
            f"jostle compare needs two policies, not {len(args.policies)}: jostle compare BEFORE AFTER, or "
            "--before DIR … --after DIR …"
        )
    return args.policies[:1], args.policies[1:]


def _name(path: Path) -> str:
    return path.stem if is_zip(path) else path.resolve().name


def _load(paths: Sequence[Path], args: Compare) -> "list[PolicyView]":
    views = []
    for path in paths:
        view, _ = read_policy(
            path,
            algo=args.algo if is_zip(path) else None,
            env=args.env,
            env_options=parse_options(args.env_options),
            device=args.device,
            which=args.which,
            trust=args.trust,
        )
        view.name = _name(path)
        views.append(view)
    return views


def _show(found: "Comparison") -> None:
    units = f"{len(found.before)} and {len(found.after)} runs" if found.over_runs else f"{found.episodes} episodes"
    print(
        f"{' '.join(found.after)} against {' '.join(found.before)}: {found.metric} in {found.suite.name} on "
        f"{found.env}, over {units}, noise {found.noise}, actions {found.actions}"
    )
    table = Table()
    several = len(found.conditions) > 1
    titles = ["condition", "before", "after", "difference", *(["beyond clean"] if several else []), "p", "could see"]
    for title in [*titles, "verdict"]:
        table.add_column(title, justify="left" if title in ("condition", "verdict") else "right", no_wrap=True)
    for one in found.conditions:
        d = one.difference
        cost = "" if one.beyond_clean is None else str(one.beyond_clean)
        row = [one.condition, f"{d.x:.4g}", f"{d.y:.4g}", str(d.interval), *([cost] if several else [])]
        table.add_row(*row, f"{one.adjusted:.3g}", f"{d.smallest:.2g}", one.verdict)
    console().print(table)
    apart = [one.condition for one in found.conditions if not one.paired]
    if apart and not found.over_runs:
        print(
            f"no pairs: equal seeds gave other games under {', '.join(apart)}, so the sides are compared as a whole, "
            "which sees less."
        )
    if several:
        print(
            "p is adjusted for the number of conditions (Holm); 'beyond clean' is the difference minus that under "
            f"{found.suite.reference}."
        )
    for episode in found.worst[:_LISTED]:
        print(
            f"worst: {episode.condition}, seed {episode.seed}: {episode.before:.4g} before, {episode.after:.4g} after"
        )


def _write(found: "Comparison", args: Compare) -> None:
    from jostle.stress.pairs.found import write_junit

    for file in (args.json, args.junit):
        if file is None:
            continue
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file is args.json:
                file.write_text(json.dumps(finite(found.as_dict()), indent=1, allow_nan=False) + "\n", encoding="utf-8")
            else:
                write_junit(file, found)
        except OSError as error:
            raise ConfigError(f"cannot write {file} ({error.strerror}): choose another file.") from error


def _video_files(out: Path, args: Compare) -> list[tuple[Path, Path]]:
    """Pairs of files, refused before anything is played."""
    from jostle.watch import make_folder

    files = [(out / f"worst-{n}-before.mp4", out / f"worst-{n}-after.mp4") for n in range(1, args.videos + 1)]
    for pair in files:
        for file in pair:
            refuse_existing(file, args.overwrite)
    make_folder(out)
    return files


def _record(
    found: "Comparison", before: "PolicyView", after: "PolicyView", files: list[tuple[Path, Path]], quiet: bool
) -> None:
    from jostle.stress.pairs.again import again
    from jostle.watch import record

    if not found.worst:
        print("no videos: there is no paired episode in which AFTER did worse.")
    for episode, pair in zip(found.worst, files, strict=False):
        for view, file in zip((before, after), pair, strict=True):
            source, options, observe = again(found, episode, view)
            record(
                view, file, episodes=1, noise=found.noise, actions=found.actions, seed=episode.seed, env=source,
                env_options=options, observe=observe, overwrite=True,
            )  # fmt: skip
            if not quiet:
                print(f"{file}: {episode.condition}, seed {episode.seed}")
