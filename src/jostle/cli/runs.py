"""``jostle runs`` and ``jostle plot``."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.table import Table

from jostle.cli.flags import named, parse, shown
from jostle.cli.play import console, finite, refuse_existing
from jostle.errors import ConfigError
from jostle.study import records
from jostle.study.records import RETURN, Record

if TYPE_CHECKING:
    from jostle.scores.bands import Range

ENTROPY = "domain/entropy"
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
      jostle plot runs/hopper-adr-s* --domain --out ranges.png
    """

    folders: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")]] = ()
    """Runs, or folders that hold runs; none: the folder runs."""
    metric: str = RETURN
    """What is drawn, by its name in metrics.jsonl."""
    domain: tyro.conf.FlagCreatePairsOff[bool] = False
    """Draw instead the ranges of the domain as they moved, a band a method, a panel a parameter."""
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
    from jostle.scores.bands import plot_bands  # late, so that help is quick
    from jostle.scores.plots import plot_curves

    for world, file in files.items():
        metric = ENTROPY if args.domain else args.metric
        groups = records.methods(_drawable([record for record in found if record.env == world], metric))
        if not groups:
            print(f"{world}: no run has two values of {metric}, so there is no curve")
            continue
        if args.domain:
            figure = plot_bands(_ranges(groups, world))
        else:
            figure = plot_curves(
                {name: [record.curve(metric) for record in group] for name, group in groups.items()},
                label="Return" if metric == RETURN else metric,
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


def _ranges(groups: Mapping[str, Sequence[Record]], world: str) -> "dict[str, dict[str, list[Range]]]":
    """The ranges of each parameter of a domain, of the runs of each method that tell them."""
    every = [record for group in groups.values() for record in group]
    names = dict.fromkeys(name for record in every for row in record.rows for name in row)
    found: dict[str, dict[str, list[Range]]] = {}
    for name in names:
        if not (name.startswith("domain/") and name.endswith("/low")):
            continue
        high = name.removesuffix("low") + "high"
        for method, group in groups.items():
            told = [record for record in group if any(name in row for row in record.rows)]
            if told:
                ranges = [(*record.curve(name), record.curve(high)[1]) for record in told]
                found.setdefault(name.removeprefix("domain/").removesuffix("/low"), {})[method] = ranges
    if not found:
        raise ConfigError(f"no run of {world} tells the ranges of a domain: train with --domain.")
    return found


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
