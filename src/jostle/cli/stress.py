"""``jostle stress``."""

import importlib.util
import itertools
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from jostle.cli.flags import named, parse, refuse_twice, shown
from jostle.cli.play import console, finite
from jostle.cli.policies import is_zip, read_zip, require_home
from jostle.cli.recipe import parse_options
from jostle.errors import ConfigError

if TYPE_CHECKING:
    from jostle.nn.inference import Inference
    from jostle.stress.checks import Check, Verdict
    from jostle.stress.condition import Suite
    from jostle.stress.result import StressResult
    from jostle.stress.target import Target
    from jostle.view import PolicyView

_MACHINE = ("device", "threads", "compile")
"""Settings that make no method a different one."""
FILES = ("episodes.jsonl", "summary.json", "report.md", "figure.png", "junit.xml", "sobol.csv", "sobol.png")


@dataclass
class Stress:
    """Test agents under the conditions of a suite, seen in training and unseen, with intervals and the loss between.

    Several folders that were asked for the same but for their seed, settings and planned steps, are the runs of one
    method, and the intervals are then over runs; others are methods of their own, compared on the same episodes. Exits
    with 1 if a check of --assert fails.

    examples:
      jostle stress runs/catch --suite themes
      jostle stress runs/catch --suite pictures --noise mean mc:10 --episodes 200
      jostle stress runs/coinrun-s0 runs/coinrun-s1 --suite procgen-looks --out coinrun
      jostle stress runs/cartpole --suite gravity.yaml --assert behaviour.yaml
      jostle stress ppo_cartpole.zip --env CartPole-v1 --algo ppo --suite gravity.yaml
      jostle stress runs/pole --suite physics-sobol --domain poles.yaml --points 256
      jostle stress runs/pole --suite physics-worst --domain poles.yaml --videos 2
      jostle stress --list
    """

    runs: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")]] = ()
    """Folders of runs or of saved agents, or zips of Stable-Baselines3."""
    which: Literal["newest", "best"] = "newest"
    """The runs' newest good checkpoints, or the best ones by the evaluations of their training."""
    suite: Annotated[str | None, tyro.conf.arg(metavar="NAME|FILE.yaml")] = None
    """A suite by name, or a YAML file with conditions of your own."""
    conditions: Annotated[tuple[str, ...], shown("all", "NAME [NAME ...]")] = ()
    """Conditions of the suite that are played, beside the one that was seen in training."""
    episodes: int = 100
    """Episodes per condition, inference mode and agent."""
    noise: Annotated[tuple[str, ...] | None, shown("mean sampled mc:10 with noise, else mean", "MODE [MODE ...]")] = (
        None
    )
    """mean: without noise; fixed: one draw; sampled: a fresh draw for every action; mc:M: averaged over M draws."""
    actions: Literal["greedy", "sampled"] = "greedy"
    """greedy: the likeliest or best action; sampled: from the policy, as in training (PPO only)."""
    points: Annotated[int, tyro.conf.arg(metavar="INT")] = 128
    """Of physics-sobol, a power of two: so many worlds, times two more than there are parameters, each played twice."""
    videos: int = 0
    """Of physics-worst: record the worst episode in so many of the worst worlds."""
    seed: int = 10_000
    """Seed of environments, perturbations and draws."""
    device: Annotated[str | None, shown("the run's own")] = None
    """cpu, cuda, cuda:1 …; auto: cuda where there is one."""
    env: str | None = None
    """Where zips were trained; runs know it."""
    env_options: tuple[str, ...] = ()
    """Options of that environment as key=value."""
    domain: Annotated[str | None, shown("nothing is randomised", "train|FILE")] = None
    """train: draw from the whole domain of the training; FILE: from another one; without, the world is nominal."""
    algo: Annotated[tuple[str, ...], named("ALGO [ALGO ...]")] = ()
    """The algorithm of the zips, which do not tell it: one for all (ppo, a2c, dqn, sac, td3, ddpg), or one for each."""
    out: Annotated[Path | None, shown("DIR/stress/NAME")] = None
    """The folder for table, report and figure."""
    checks: Annotated[Path | None, tyro.conf.arg(name="assert", metavar="FILE.yaml")] = None
    """Checks of behaviour: a list of {condition, metric, min or max}; an interval must pass, not an estimate."""
    junit: Annotated[Path | None, shown("OUT/junit.xml")] = None
    """Where the results of the checks go, for continuous integration."""
    list: tyro.conf.FlagCreatePairsOff[bool] = False
    """List the suites."""
    no_baseline: tyro.conf.FlagCreatePairsOff[bool] = False
    """Leave out random play, which otherwise stands beside the agents under every condition."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace what an earlier test left in the folder."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run code that a file may name or hold: the module of a run's environment, what is pickled in a zip."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors, warnings and failed checks."""


def stress(arguments: list[str]) -> int:
    """``jostle stress DIR … --suite NAME``"""
    for flag in ("--noise", "--env-options", "--algo", "--conditions"):
        refuse_twice(arguments, flag)
    args = parse(Stress, arguments, "jostle stress")
    from jostle.store.signals import catch_signals  # late, so that help is quick
    from jostle.stress.checks import run_checks, write_junit
    from jostle.stress.run import modes_of, prepare, stress_test, ways
    from jostle.stress.suites import DESCRIPTIONS, SEARCHED
    from jostle.view.playing import require_seed

    if args.list:
        width = max(map(len, DESCRIPTIONS))
        for name, what in DESCRIPTIONS.items():
            print(f"{name:{width}}  {what}")
        return 0
    if not args.runs:
        raise ConfigError("jostle stress needs the folder of a run: jostle stress DIR --suite NAME")
    if args.suite is None:
        raise ConfigError(f"jostle stress needs --suite with one of {', '.join(DESCRIPTIONS)}, or a YAML file.")
    if args.junit is not None and args.checks is None:
        raise ConfigError("--junit is for the results of checks: give --assert FILE.yaml, too.")
    require_seed(args.seed)  # before a folder is made
    if args.videos < 0 or (args.videos and args.suite not in SEARCHED):
        raise ConfigError(f"--videos {args.videos} cannot be used: it records worlds of the suite physics-worst.")
    views = _load(args)
    modes = modes_of(args.noise, views)
    target, suite = None, None
    if args.suite not in SEARCHED:  # searching takes a while: the folder is made before
        target, suite = prepare(views, args.suite, domain=args.domain)
        suite = suite.only(args.conditions) if args.conditions else suite
    elif args.conditions:
        raise ConfigError(f"--conditions cannot choose among worlds that {args.suite} finds itself: leave it out.")
    checks = [] if suite is None else _checks(args, suite, modes, views)
    out = _folder(args.out, args.runs[0], args.suite if suite is None else suite.name, args.overwrite)
    junit = args.junit or out / "junit.xml"
    _require_writable(junit.parent)
    with catch_signals() as stop, Progress(transient=True, disable=args.quiet or not Console().is_terminal) as progress:
        task = progress.add_task("episodes", total=None)
        if suite is None:
            how = ways(views, modes, args.actions == "sampled", args.seed, lambda: stop.signal is not None)
            target, suite = prepare(views, args.suite, domain=args.domain, how=how)
            checks = [] if stop.signal else _checks(args, suite, modes, views)
        result = stress_test(
            views,
            suite,
            episodes=args.episodes,
            noise=[str(mode) for mode in modes],
            actions=args.actions,
            seed=args.seed,
            domain=args.domain,
            baseline=not args.no_baseline,
            points=args.points,
            notify=lambda done, total: progress.update(task, completed=done, total=total),
            stop=lambda: stop.signal is not None,
        )
    if not result.cells:
        print("stopped before the first measurement was whole: nothing is kept.")
        return stop.exit_code
    _write(result, out, args.quiet)
    if not args.quiet:
        _show(result, out)
    if not result.complete:
        print(f"stopped: {_measured(result)} kept in {out}; a condition under way is left out.")
        return stop.exit_code
    if args.videos and target is not None:
        _record(result, views, target, out, args)
    verdicts = run_checks(result, checks)
    if checks:
        try:
            write_junit(junit, verdicts, suite.name)
        except OSError as error:
            raise ConfigError(f"cannot write {junit} ({error.strerror}): choose another file.") from error
    return _judge(verdicts, checks, args.quiet)


def _checks(
    args: Stress, suite: "Suite", modes: "Sequence[Inference]", views: "Mapping[str, Sequence[PolicyView]]"
) -> "list[Check]":
    """The checks that are asked for, every name in them known."""
    from jostle.stress.checks import read_checks

    if args.checks is None:
        return []
    checks = read_checks(args.checks, suite, [str(mode) for mode in modes], list(views))
    if args.no_baseline and any(check.metric in ("lead", "kept") for check in checks):
        raise ConfigError("checks of lead and kept are against random play: leave --no-baseline out.")
    return checks


def _record(
    result: "StressResult", views: "Mapping[str, Sequence[PolicyView]]", target: "Target", out: Path, args: Stress
) -> None:
    """A video of the worst episode in each of the worst worlds."""
    from jostle.stress.replays import again, worst_episodes
    from jostle.watch import record

    for replay in worst_episodes(result, args.videos):
        source, options = again(result, replay, target)
        video = record(
            views[replay.method][replay.run], out / replay.file, episodes=1, noise=replay.noise, actions=args.actions,
            seed=replay.seed, env=source, env_options=options, overwrite=True,
        )  # fmt: skip
        if not args.quiet:
            told = f"{video.returns[0]:.4g}" if video.returns else f"{video.cut:.4g} where the video ends"
            print(f"{video.path}: {replay.condition}, seed {replay.seed}, return {told}")


def _load(args: Stress) -> "dict[str, list[PolicyView]]":
    """The agents as methods: those that were asked for the same but for their seed are the runs of one."""
    import jostle
    from jostle.view import as_view

    folders, device, which, trust = args.runs, args.device, args.which, args.trust
    options = parse_options(args.env_options)
    zips = require_home(folders, args.env, args.algo)
    if not zips and (args.env or args.env_options):
        raise ConfigError(
            "--env and --env-options are for zips of Stable-Baselines3: a run knows where it was trained."
        )
    names = [folder.stem if is_zip(folder) else folder.resolve().name for folder in folders]
    resolved = [folder.resolve() for folder in folders]
    twice = next((folder for folder in resolved if resolved.count(folder) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice.name} is given twice: give each folder once.")
    groups: dict[str, list[tuple[str, PolicyView]]] = {}
    for folder, name in zip(folders, names, strict=True):
        label = name if names.count(name) == 1 else f"{folder.resolve().parent.name}/{name}"
        if folder in zips:
            model = read_zip(
                folder, zips[folder], env=args.env, env_options=options, device=device, which=which, trust=trust
            )
            model.view.name = label
            groups.setdefault(f"{zips[folder]} {model.settings}", []).append((label, model.view))
            continue
        agent = jostle.load(folder, which=which, device=device, replay=False, trust=trust)
        agent.env.close()
        same = {key: value for key, value in agent.description().items() if key not in ("seed", "jostle")}
        same["config"] = {key: value for key, value in same["config"].items() if key not in _MACHINE}
        planned = _planned(folder, agent)
        short = which == "newest" and agent.steps < planned
        if short:
            at = f"step {agent.steps:,} of {planned:,}"
            print(f"note: {label} stands at {at}, and is a method of its own", file=sys.stderr)
        same["steps"] = [planned, agent.steps if short else None]
        groups.setdefault(json.dumps(same, sort_keys=True, default=str), []).append((label, as_view(agent, name=label)))
    return {_method([name for name, _ in group]): [view for _, view in group] for group in groups.values()}


def _planned(folder: Path, agent: Any) -> int:
    """The steps that a training was to have, its end included; of a saved agent that nobody planned those it has."""
    from jostle.store import Run

    if not (folder / "run.json").exists():
        return int(agent.planned or agent.steps)
    training = Run.open(folder).config.get("training")
    total = training.get("total") if isinstance(training, dict) else None
    return int(total) if isinstance(total, int) else int(agent.steps)


def _method(names: list[str]) -> str:
    """One name for the runs of a method: what their names begin with alike.

    >>> _method(["coinrun-s0", "coinrun-s1"]), _method(["a", "b"]), _method(["sea"])
    ('coinrun', 'a and 1 more', 'sea')
    """
    if len(names) == 1:
        return names[0]
    letters = zip(*names, strict=False)
    alike = "".join(same[0] for same in itertools.takewhile(lambda each: len(set(each)) == 1, letters))
    alike = re.sub(r"[-_. ]*(seed|s)?[-_. ]*\d*$", "", alike)
    return alike or f"{names[0]} and {len(names) - 1} more"


def _folder(out: Path | None, run: Path, suite: str, overwrite: bool) -> Path:
    """The folder for the results, made before anything is played."""
    if out is None:
        name = run.stem if is_zip(run) else run.resolve().name
        saved = is_zip(run) or (run / "meta.json").exists()  # to a saved agent no file may be added
        out = run.with_name(f"{name}-stress-{suite}") if saved else run / "stress" / suite
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: choose a folder with --out.")
    left = [name for name in FILES if (out / name).exists()]
    if left and not overwrite:
        raise ConfigError(
            f"{out} holds the results of an earlier test: choose another folder with --out, or give --overwrite"
        )
    _require_writable(out)
    return out


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".jostle-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"cannot write in {folder} ({error.strerror}): choose another folder.") from error


def _write(result: "StressResult", out: Path, quiet: bool) -> None:
    """Table, summary, report and, where matplotlib is installed, the figure."""
    from jostle.stress.physics.sobol import write_csv
    from jostle.stress.report import as_dict
    from jostle.stress.tables import markdown_report

    try:
        for name in FILES:
            (out / name).unlink(missing_ok=True)
        for video in out.glob("worst-*.mp4"):  # of an earlier search
            video.unlink()
        result.write_rows(out / "episodes.jsonl")
        text = json.dumps(finite(as_dict(result)), indent=1, allow_nan=False)
        (out / "summary.json").write_text(text + "\n", encoding="utf-8")
        (out / "report.md").write_text(markdown_report(result), encoding="utf-8")
        if result.sobol:
            write_csv(out / "sobol.csv", result.sobol, result.runs)
        _draw(result, out, quiet)
    except OSError as error:
        raise ConfigError(f"cannot write in {out} ({error.strerror}): choose another folder with --out.") from error


def _draw(result: "StressResult", out: Path, quiet: bool) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        if not quiet:
            print('note: no figure, for it needs matplotlib: pip install "jostle[lab]"')
        return
    from jostle.stress.figures import plot_stress
    from jostle.stress.physics.sobol import metrics_of, of_method
    from jostle.stress.sobol_figure import plot_sobol

    plot_stress(result).savefig(out / "figure.png")
    if any(of_method(result.sobol, method, metric) for method in result.methods for metric in metrics_of(result.sobol)):
        plot_sobol(result).savefig(out / "sobol.png")


def _show(result: "StressResult", out: Path) -> None:
    from jostle.stress.physics.sobol import sentences as shares
    from jostle.stress.report import lines
    from jostle.stress.tables import OVER_CHANCE, against_chance, columns, heading, sentences

    print(heading(result))
    table = Table()
    parts = [part for part in columns(result, lines(result)) if part[0] not in ("IQM", "CVaR 10%", OVER_CHANCE)]
    for title, _ in parts:
        table.add_column(title, justify="left" if title in ("condition", "method", "noise") else "right", no_wrap=True)
    for row in zip(*(cells for _, cells in parts), strict=True):
        table.add_row(*row)
    console().print(table)
    for sentence in [*sentences(result), *against_chance(result), *shares(result.sobol)]:
        print(sentence)
    print(f"results in {out}")


def _measured(result: "StressResult") -> str:
    cells = len(result.cells)
    return f"{cells} whole measurement{'' if cells == 1 else 's'} (condition, mode and agent)"


def _judge(verdicts: "list[Verdict]", checks: "list[Check]", quiet: bool) -> int:
    failed = [verdict for verdict in verdicts if verdict.failure is not None]
    for verdict in failed:
        print(verdict)
    if checks and not quiet:
        print(f"{len(verdicts) - len(failed)} of {len(verdicts)} checks passed")
    return int(bool(failed))
