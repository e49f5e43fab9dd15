"""``jostle report``."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jostle.cli.flags import parse, shown
from jostle.errors import ConfigError, JostleError


@dataclass
class Report:
    """Write one offline page of a study, of runs, of stress tests and comparisons: what was run, the answer first (what
    beat what, by how much, how surely, over how many seeds), curves, tables, settings, and how to repeat it.

    Whatever lies in the folders is shown; what is missing or damaged is said on the page.

    examples:
      jostle report studies/deepsea
      jostle report runs --out deepsea.html --title "Exploration on DeepSea"
      jostle report runs/rnd-s* runs/none-s* --baseline none --videos 2
    """

    folders: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")]] = ()
    """A study, runs, results of stress tests, or folders that hold such; none: the folder runs."""
    out: Annotated[Path | None, shown("DIR/report.html", "FILE.html")] = None
    """The file. An earlier report is replaced."""
    title: Annotated[str | None, shown("the folder's name")] = None
    """Of the page."""
    baseline: Annotated[str | None, shown("the first one", "METHOD")] = None
    """What the other methods are compared with."""
    videos: int = 0
    """Record so many of the worst episodes of each method, and show them on the page."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """For videos: import the module that a run may name to make its environment."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace a file that is no report."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors and warnings."""


def report(arguments: list[str]) -> int:
    """``jostle report DIR …``"""
    args = parse(Report, arguments, "jostle report")
    if args.videos < 0:
        raise ConfigError(f"--videos {args.videos} cannot be used: give how many to record.")
    from jostle.report import write_report  # late, so that help is quick

    path = write_report(
        args.folders or (Path("runs"),),
        args.out,
        title=args.title,
        baseline=args.baseline,
        videos=args.videos,
        trust=args.trust,
        overwrite=args.overwrite,
        notify=lambda line: None if args.quiet else print(line, flush=True),
    )
    if not args.quiet:
        print(f"report in {path}")
    return 0


def report_of_study(spec: Path, out: Path, title: str, quiet: bool) -> None:
    """At a study's end: its file beside its results, and the page. A note where the page cannot be made."""
    from jostle.store.files import replace_file  # late, for it needs torch

    try:
        replace_file(out / "study.yaml", spec.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot write in {out} ({error.strerror}): choose another folder with --out.") from error
    if importlib.util.find_spec("jinja2") is None:
        if not quiet:
            print('note: no report, for it needs Jinja2: pip install "jostle[lab]"')
        return
    from jostle.report import write_report

    try:
        path = write_report(out, title=title)
    except JostleError as error:
        if not quiet:
            print(f"note: no report: {error}")
        return
    if not quiet:
        print(f"report in {path}")
