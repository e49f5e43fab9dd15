"""A training run's progress: a bar and the key metrics on a terminal, a short line now and then elsewhere."""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # late, so that `import jostle` is quick
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

_BAR = 10  # columns that a bar beside the counts has at least
_REFRESH = 0.1  # seconds between two pictures on a terminal
_LINE = 30.0  # seconds between two lines in a log
_WINDOW = 30.0  # seconds over which the speed is measured


class Progress:
    """Shows steps done, speed, time left and the metrics given last.

    total: steps at the end.
    start: steps done before, by the run that is resumed; they don't count for the speed.
    quiet: show nothing at all.
    console: where to show it, by default the standard output.
    """

    def __init__(self, total: int, start: int = 0, quiet: bool = False, console: "Console | None" = None) -> None:
        from rich.console import Console

        self.total = total
        self._steps = start
        self._metrics: dict[str, float] = {}
        self._quiet = quiet
        self._console = console or Console()
        now = time.perf_counter()
        self._history: deque[tuple[float, int]] = deque([(now, start)])
        self._interval = _REFRESH if self._console.is_terminal else _LINE
        self._due = now + self._interval
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        if self._console.is_terminal and not self._quiet:
            from rich.live import Live

            self._live = Live(self._picture(), console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._show(time.perf_counter())
        if self._live:
            self._live.stop()
            self._live = None

    def update(self, steps: int, metrics: Mapping[str, float] | None = None) -> None:
        """Say that `steps` steps are done in all, and what was measured. Draws at most ten times a second."""
        self._steps = steps
        if metrics:
            self._metrics.update(metrics)
        now = time.perf_counter()
        if now >= self._due:
            self._show(now)

    def speed(self) -> float:
        """Steps per second over the last half minute, 0 before anything was measured."""
        (then, before), (now, steps) = self._history[0], self._history[-1]
        return (steps - before) / (now - then) if now > then else 0.0

    def _show(self, now: float) -> None:
        self._due = now + self._interval
        self._history.append((now, self._steps))
        while len(self._history) > 2 and self._history[0][0] < now - _WINDOW:
            self._history.popleft()
        if self._quiet:
            return
        if self._live:
            self._live.update(self._picture(), refresh=True)
        else:
            values = "".join(f", {name} {value:.4g}" for name, value in self._metrics.items())
            counts = ", ".join(self._counts())
            self._console.print(f"{counts}{values}", soft_wrap=True, highlight=False, markup=False)

    def _counts(self) -> list[str]:
        """Steps, speed and time left."""
        speed = self.speed()
        counts = [f"{self._steps:,}/{self.total:,} steps", f"{speed:,.0f} steps/s"]
        if speed > 0 and self._steps < self.total:
            counts.append(f"{_duration((self.total - self._steps) / speed)} left")
        return counts

    def _picture(self) -> "Group":
        """The bar, with the counts beside it where there is room and else below it; below them the metrics.

        Neither is ever cut off: what does not fit into a line begins the next one.
        """
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        width = self._console.width
        bar = ProgressBar(total=max(1, self.total), completed=self._steps)
        lines = _filled(map(Text, self._counts()), width, ", ")
        beside = lines.pop() if len(lines) == 1 and lines[0].cell_len + 1 + _BAR <= width else None
        values = [Text.assemble((name, "dim"), f" {value:.4g}") for name, value in self._metrics.items()]
        lines += _filled(values, width, "  ")
        top = Table.grid(padding=(0, 1), expand=True)
        top.add_column(ratio=1)
        if beside is None:
            top.add_row(bar)
        else:
            top.add_row(bar, beside)
        return Group(top, *lines)


def _filled(items: "Iterable[Text]", width: int, gap: str) -> "list[Text]":
    """The items in lines of a width; one that is wider has a line of its own."""
    lines: list[Text] = []
    for item in items:
        if lines and lines[-1].cell_len + len(gap) + item.cell_len <= width:
            lines[-1].append(gap).append_text(item)
        else:
            lines.append(item)
    return lines


def _duration(seconds: float) -> str:
    """
    >>> _duration(3725.4)
    '1:02:05'
    """
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
