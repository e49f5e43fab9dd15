"""``jostle runs`` and ``jostle plot``."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from jostle.cli.flags import named, parse, shown
from jostle.cli.play import console, finite, refuse_existing
from jostle.errors import ConfigError
from jostle.study import records
from jostle.study.records import RETURN, Record

_WIDEST = 5
"""Settings that stand in columns of their own; if more differ, the others are named below."""


@dataclass
class Runs:
    """List runs: how far they are, what they reached, and in which settings they differ.

    examples:
      jostle runs runs
      jostle runs runs/deepsea-* --sort return
      jostle runs runs --metric eval/return_mean --json runs.json
    """

    folders: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")]] = ()
    """Runs, or folders that hold runs; none: the folder runs."""
    metric: str = RETURN
    """What the last column shows: its mean over the last tenth of the steps."""
    sort: Literal["name", "return", "steps"] = "name"
    """The order; return: by the last column, the best first."""
    json: Path | None = None
    """Write everything found to this file."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


@dataclass
class Plot:
    """Draw learning curves of runs into one figure: a curve a method, over its seeds, with a band.

    Runs that were asked for the same but for their seed are one method.

    examples:
      jostle plot runs
      jostle plot runs/rnd-s* runs/none-s* --out deepsea.png
      jostle plot runs --metric coverage/cells --statistic mean
    """

    folders: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")]] = ()
    """Runs, or folders that hold runs; none: the folder runs."""
    metric: str = RETURN
    """What is drawn, by its name in metrics.jsonl."""
    statistic: Literal["iqm", "mean", "median"] = "iqm"
    """Over the seeds of a method."""
    out: Annotated[Path, named("FILE")] = Path("curves.png")
    """The figure: png, svg or pdf. With several environments each has a file, with its name in it."""
    env: Annotated[str | None, shown("all")] = None
    """Draw the runs of this environment alone."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace files that exist."""


def runs(arguments: list[str]) -> int:
    """``jostle runs DIR …``"""
    args = parse(Runs, arguments, "jostle runs")
    if args.json is not None:
        refuse_existing(args.json, args.overwrite)
    found = records.find_records(args.folders or (Path("runs"),))
    order: dict[str, Any] = {
        "name": lambda record: str(record.path),
        "steps": lambda record: -record.steps,
        "return": lambda record: -value if math.isfinite(value := record.last(args.metric)) else math.inf,
    }
    found.sort(key=order[args.sort])
    apart = [name for name in records.differing([record.settings for record in found]) if name != "steps"]
    if args.json is not None:
        _write_json(args.json, found, args.metric)
    for line in _alike(found, apart):
        print(line)
    console().print(_table(found, apart[:_WIDEST], args.metric))
    if apart[_WIDEST:]:
        print(f"they also differ in {', '.join(apart[_WIDEST:])}: see --json")
    return 0


def plot(arguments: list[str]) -> int:
    """``jostle plot DIR …``"""
    args = parse(Plot, arguments, "jostle plot")
    found = records.find_records(args.folders or (Path("runs"),))
    if args.env is not None:
        known = sorted({record.env for record in found})
        found = [record for record in found if record.env == args.env]
        if not found:
            raise ConfigError(f"there are no runs of {args.env}, but of {', '.join(known)}.")
    worlds = list(dict.fromkeys(record.env for record in found))
    files = {world: _file(args.out, world if len(worlds) > 1 else None) for world in worlds}
    for file in files.values():
        refuse_existing(file, args.overwrite)
    if args.out.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"{args.out} cannot be a figure: give it one of the endings .png, .svg, .pdf.")
    from jostle.scores.plots import plot_curves  # late, so that help is quick

    for world, file in files.items():
        groups = records.methods(_drawable([record for record in found if record.env == world], args.metric))
        if not groups:
            print(f"{world}: no run has two values of {args.metric}, so there is no curve")
            continue
        label = "Return" if args.metric == RETURN else args.metric
        figure = plot_curves(
            {name: [record.curve(args.metric) for record in group] for name, group in groups.items()},
            label=label,
            statistic=args.statistic,
        )
        figure.suptitle(world, x=0.02, ha="left", fontsize=12, fontweight="bold")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(file)
        except OSError as error:
            raise ConfigError(f"cannot write {file} ({error.strerror}): choose another file.") from error
        print(f"{file}: {world}, " + "; ".join(f"{name} ({_seeds(group)})" for name, group in groups.items()))
    return 0


def _drawable(found: Sequence[Record], metric: str) -> list[Record]:
    """The runs that have a curve; a note names the others."""
    if not any(metric in row for record in found for row in record.rows):
        found[0].curve(metric)  # says which metrics there are
    drawable = [record for record in found if sum(math.isfinite(row.get(metric, math.nan)) for row in record.rows) > 1]
    for record in found:
        if record not in drawable:
            print(f"note: {record.path} has fewer than two values of {metric}, and is left out", file=sys.stderr)
    return drawable


def _seeds(group: Sequence[Record]) -> str:
    return f"{len(group)} seed{'' if len(group) == 1 else 's'}"


def _file(out: Path, world: str | None) -> Path:
    if world is None:
        return out
    return out.with_name(f"{out.stem}-{world.replace('/', '-').replace(':', '-')}{out.suffix}")


def _alike(found: Sequence[Record], apart: Sequence[str]) -> list[str]:
    """What all runs have in common, in a line."""
    whole = {name: value for name, value in found[0].settings.items() if name not in apart}
    names = [name for name in ("algorithm", "env") if name in whole]
    told = ", ".join(records.shown(whole[name]) for name in names)
    return [f"{len(found)} runs of {told}"] if told and len(found) > 1 else []


def _table(found: Sequence[Record], apart: Sequence[str], metric: str) -> Table:
    table = Table()
    table.add_column("run", no_wrap=True)
    for name in apart:
        table.add_column(name.removeprefix("env_options."), no_wrap=True)
    for name in ("seed", "steps", "of", ""):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    table.add_column("return, last tenth" if metric == RETURN else metric, justify="right", no_wrap=True)
    same = [record.name for record in found]
    for record in found:
        value = record.last(metric)
        table.add_row(
            record.name if same.count(record.name) == 1 else str(record.path),
            *(records.shown(record.settings.get(name)) for name in apart),
            records.shown(record.seed),
            f"{record.steps:,}",
            "–" if record.planned is None else f"{record.planned:,}",
            "" if record.finished else "not finished",
            f"{value:.4g}" if math.isfinite(value) else "–",
        )
    return table


def _write_json(path: Path, found: Sequence[Record], metric: str) -> None:
    whole = [
        {
            "run": str(record.path), "seed": record.seed, "steps": record.steps, "planned": record.planned,
            "finished": record.finished, "settings": record.settings, metric: record.last(metric),
        }
        for record in found
    ]  # fmt: skip
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(finite(whole), indent=1, allow_nan=False, default=str) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error.strerror}): choose another file.") from error
