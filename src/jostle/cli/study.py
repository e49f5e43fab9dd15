"""``jostle study``."""

import importlib.util
import math
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from jostle.cli.flags import named, parse, shown
from jostle.cli.play import console
from jostle.errors import ConfigError

if TYPE_CHECKING:
    from jostle.study.executor import Executor
    from jostle.study.jobs import Job
    from jostle.study.run import Event, Outcome
    from jostle.study.spec import Study as Spec


@dataclass
class Study:
    """Train every method on every task with every seed, measure the agents, and make tables, curves and a report of it.

    A job that has a result is never run again: what is added to the file runs, and nothing is written over. A study
    that was stopped or killed goes on where it was, within each job too. Exits with 1 where jobs failed.

    examples:
      jostle study deepsea.yaml --dry-run
      jostle study deepsea.yaml
      jostle study deepsea.yaml --jobs 2 --minutes 30 --fail-fast
      jostle study deepsea.yaml --ray auto
      jostle study deepsea.yaml --table
    """

    spec: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SPEC.yaml")]]
    """Tasks, methods and seeds (docs/study.md)."""
    out: Annotated[Path | None, shown("studies/NAME", "DIR")] = None
    """The study's folder: a run's folder for each job, results.jsonl, results.csv, table.md,
    figures, report.html."""
    jobs: Annotated[int | None, shown("as many as there are cores for them")] = None
    """Jobs at once; fewer where memory is short."""
    threads: int = 1
    """Threads of each job."""
    ray: Annotated[str | None, named("ADDRESS")] = None
    """Run the jobs on a Ray cluster: auto (this machine's), HOST:PORT or ray://HOST:PORT. All its machines must see the
    study's folder under the same path."""
    retries: int = 0
    """How often a job that failed is tried again; it goes on where it was."""
    fail_fast: tyro.conf.FlagCreatePairsOff[bool] = False
    """Begin no other job after a failure."""
    minutes: Annotated[float | None, named("MINUTES")] = None
    """Begin no job after so many minutes; those that run are ended to their end."""
    max_jobs: int | None = None
    """Begin no more jobs than this."""
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show what would run, and how long that takes by the jobs that are done."""
    table: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run nothing: make table and figures of the results that are there."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print nothing but errors and failures."""


def study(arguments: list[str]) -> int:
    """``jostle study SPEC.yaml``"""
    args = parse(Study, arguments, "jostle study")
    from jostle.store.signals import catch_signals  # late, so that help is quick
    from jostle.study.run import run_study
    from jostle.study.spec import read_study
    from jostle.study.state import done_jobs

    if args.minutes is not None and not args.minutes > 0:
        raise ConfigError(f"--minutes {args.minutes:g} cannot be used: give more than 0.")
    spec = read_study(args.spec)
    out = args.out or Path("studies") / spec.name
    if args.dry_run:
        _plan(spec, list(done_jobs(spec, out)), args)
        return 0
    if args.table:
        if not out.is_dir():
            raise ConfigError(f"there is no study in {out}: run it first, or give its folder with --out.")
        _tables(spec, out, args)
        return 0
    begun = time.monotonic()
    board = Board(spec, [place_of(job) for job, _ in done_jobs(spec, out)], args.quiet)
    with _executor(args) as executor, catch_signals() as caught, board:

        def tick() -> None:
            """A signal ends the jobs, which save what they have; so nothing trains on behind a study that is gone."""
            board.tick()
            if caught.signal is not None:
                raise SystemExit(caught.exit_code)

        outcome = run_study(
            spec,
            out,
            at_once=args.jobs,
            threads=args.threads,
            executor=executor,
            retries=args.retries,
            fail_fast=args.fail_fast,
            most=args.max_jobs,
            notify=board.notify,
            stop=lambda: args.minutes is not None and time.monotonic() - begun > 60 * args.minutes,
            tick=tick,
        )
    if outcome.done:
        _tables(spec, out, args)
    return _tell(outcome, out, args.quiet)


def _executor(args: Study) -> "AbstractContextManager[Executor | None]":
    """Where the jobs run; None: in processes of this machine."""
    if args.ray is None:
        return nullcontext(None)
    from jostle.study.cluster import on_ray  # late, for it is seldom wanted

    return on_ray(args.ray, args.jobs, args.threads)


def place_of(job: "Job") -> tuple[str, str]:
    """What a job is counted under: its task and its method, or that method's search."""
    from jostle.study.spec import label

    return job.task, label(job.method, job.trial)


@dataclass
class Board:
    """What is seen while a study runs: on a terminal a table that lives, else a line for each job that ends."""

    spec: "Spec"
    before: list[tuple[str, str]]
    quiet: bool
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    running: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.done.update(self.before)
        self.all = self.spec.plan
        self.begun, self.drawn = time.monotonic(), 0.0
        self.live = Live(self._table(), auto_refresh=False, transient=True, console=console())
        self.alive = self.live.console.is_terminal and not self.quiet

    def __enter__(self) -> "Board":
        if self.alive:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.alive:
            self.live.stop()

    def notify(self, event: "Event") -> None:
        """A job has started or ended."""
        place = place_of(event.job)
        if event.what == "started":
            self.running[place] += 1
            if event.job.name in self.broken:  # it is tried again
                self.broken.remove(event.job.name)
                self.failed[place] -= 1
            return
        self.running[place] -= 1
        assert event.ended is not None
        name = event.job.name
        if event.what == "done":
            self.done[place] += 1
            self.seconds.append(event.ended.seconds)
            if not self.quiet and not self.alive:
                told = f"{event.ended.seconds:.0f} s, {event.ended.memory / 2**20:,.0f} MB; {self._left()}"
                print(f"[{sum(self.done.values())}/{sum(self.all.values())}] {name}: {told}", flush=True)
            return
        self.failed[place] += 1
        self.broken.add(name)
        lines = [f"FAILED {name} (exit code {event.ended.code}), log in {event.ended.folder}:", *event.said]
        if self.alive:
            self.live.console.print("\n  ".join(lines), markup=False, highlight=False)
        else:
            print("\n  ".join(lines))

    def tick(self) -> None:
        """Draw anew, twice a second."""
        if self.alive and time.monotonic() - self.drawn > 0.5:
            self.drawn = time.monotonic()
            self.live.update(Group(self._table(), self._left()), refresh=True)

    def _table(self) -> Table:
        table = Table()
        for title in ("task", "method", "done", "running", "failed"):
            table.add_column(title, justify="left" if title in ("task", "method") else "right")
        for (task, method), count in self.all.items():
            place = task, method
            numbers = [f"{self.done[place]} of {count}", self.running[place], self.failed[place]]
            table.add_row(escape(task), escape(method), *(str(number) if number else "" for number in numbers))
        return table

    def _left(self) -> str:
        """The time that is left, by the pace of this call."""
        open_jobs = sum(self.all.values()) - sum(self.done.values()) - sum(self.failed.values())
        if not self.seconds:
            return f"{open_jobs} jobs left"
        rate = len(self.seconds) / (time.monotonic() - self.begun)
        return f"{open_jobs} jobs left, about {_clock(open_jobs / rate)} at {3600 * rate:,.0f} jobs an hour"


def _plan(spec: "Spec", done: "list[tuple[Job, dict[str, Any]]]", args: Study) -> None:
    """What would run, and for how long, by what like jobs took."""
    from jostle.study.pool import cores
    from jostle.study.shown.tables import search_told

    took: dict[tuple[str, str], list[float]] = {}
    for job, row in done:
        took.setdefault(place_of(job), []).append(sum(row["seconds"].values()))
    mean = {place: sum(each) / len(each) for place, each in took.items()}
    fallback = sum(mean.values()) / len(mean) if mean else math.nan
    table = Table()
    for title in ("task", "method", "jobs", "done", "a job takes"):
        table.add_column(title, justify="left" if title in ("task", "method") else "right")
    total = 0.0
    for (task, method), count in spec.plan.items():
        each, had = mean.get((task, method), math.nan), len(took.get((task, method), ()))
        total += (count - had) * (fallback if math.isnan(each) else each)
        table.add_row(escape(task), escape(method), str(count), str(had), "–" if math.isnan(each) else _clock(each))
    console().print(table)
    if spec.searches:
        print(search_told(spec.searches[0].budget, [search.method for search in spec.searches]))
    at_once = args.jobs or max(1, cores() // args.threads)
    left = sum(spec.plan.values()) - len(done)
    told = (
        "run one job of each (--max-jobs) for an estimate" if math.isnan(total) else f"about {_clock(total / at_once)}"
    )
    print(f"{left} jobs left, {at_once} at once: {told if left else 'nothing to do'}")


def _tables(spec: "Spec", out: Path, args: Study) -> None:
    from jostle.cli.report import report_of_study
    from jostle.study import results
    from jostle.study.shown import tables
    from jostle.study.shown.figures import figures
    from jostle.study.state import write_results

    write_results(spec, out)
    found = results.read(out)
    text = tables.report(spec.name, found, spec.show)
    try:
        (out / "table.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write in {out} ({error.strerror}): choose another folder with --out.") from error
    if importlib.util.find_spec("matplotlib") is not None:
        list(figures(found, out, spec.show))
    elif not args.quiet:
        print('note: no figures, for they need matplotlib: pip install "jostle[lab]"')
    if not args.quiet:
        many = tables.looked_into(found)  # numbers of the inside, which would fill the screen
        print(tables.report(spec.name, found, spec.show, inside=False) if many else text)
    report_of_study(args.spec, out, spec.name, args.quiet)


def _tell(outcome: "Outcome", out: Path, quiet: bool) -> int:
    if not quiet:
        parts = [
            f"{len(outcome.done)} done",
            f"{len(outcome.failed)} failed",
            f"{len(outcome.left) + outcome.later} not begun",
        ]
        print(f"{', '.join(parts)}; results in {out}")
    return int(bool(outcome.failed))


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
