"""What a user sees of a training run, and how it is ended."""

import doctest
import io
import re
import signal
import threading

import pytest
from rich.console import Console

from jostle.store import Progress, catch_signals, progress, signals


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("jostle.store.progress.time.perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def _console(terminal: bool, width: int = 100) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=width, legacy_windows=False), out


def test_a_log_gets_a_line_every_half_minute_and_one_at_the_end(clock: Clock) -> None:
    console, out = _console(False)
    with Progress(100_000, start=10_000, console=console) as bar:
        for second in range(1, 46):
            clock.now += 1
            bar.update(10_000 + 1000 * second, {"return": second, "loss": 0.123456})
    assert out.getvalue().splitlines() == [
        "40,000/100,000 steps, 1,000 steps/s, 0:01:00 left, return 30, loss 0.1235",
        "55,000/100,000 steps, 1,000 steps/s, 0:00:45 left, return 45, loss 0.1235",
    ]


def test_a_terminal_gets_at_most_ten_pictures_a_second(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    console, out = _console(True)
    drawn = []
    real = Progress._picture
    monkeypatch.setattr(Progress, "_picture", lambda self: (drawn.append(clock.now), real(self))[1])
    with Progress(2000, console=console) as bar:
        for step in range(1, 2001):
            clock.now += 0.001
            bar.update(step, {"[bold]return": -1.5})
    assert 19 <= len(drawn) <= 22
    text = out.getvalue()
    assert "2,000/2,000 steps, 1,000 steps/s" in text
    assert "-1.5" in text
    assert "[bold]return" in text  # names are shown as they are, not taken as markup


@pytest.mark.parametrize("width", [1, 20, 40])
def test_narrow_terminals(clock: Clock, width: int) -> None:
    console, _ = _console(True, width)
    with Progress(10, console=console) as bar:
        clock.now += 1
        bar.update(5, {"a rather long name of a metric": 1.0, "b": float("nan")})


COUNTS = "10,000/100,000 steps, 1,000 steps/s, 0:01:30 left"
METRICS = {"return_100": -1234.5, "td_loss": 0.123456, "eval/return_mean": 12.0, "rnd/reward_mean": 0.5, "rooms": 3.0}


@pytest.mark.parametrize(("width", "height"), [(120, 2), (80, 3), (60, 3), (59, 4), (50, 4), (20, 9)])
def test_a_narrow_terminal_shows_all_in_more_lines(clock: Clock, width: int, height: int) -> None:
    """Nothing is cut off, neither numbers nor names, and the bar goes on to be seen."""
    console, out = _console(True, width)
    bar = Progress(100_000, console=console)
    clock.now += 10
    bar.update(10_000, METRICS)
    out.truncate(0)
    console.print(bar._picture())
    text = re.sub(r"\x1b\[[0-9;]*m|\0", "", out.getvalue())
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= width
    assert len(lines) == height
    assert "…" not in text
    assert sum(line.count("━") for line in lines) >= 9
    said = re.sub("[━╸╺,]", "", " ".join(lines)).split()
    assert said == COUNTS.replace(",", "").split() + [w for n, x in METRICS.items() for w in (n, f"{x:.4g}")]


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_shows_nothing(clock: Clock, terminal: bool) -> None:
    console, out = _console(terminal)
    with Progress(10, quiet=True, console=console) as bar:
        clock.now += 60
        bar.update(10, {"return": 1})
    assert out.getvalue() == ""


def test_speed_is_that_of_the_last_half_minute(clock: Clock) -> None:
    console, _ = _console(False)
    with Progress(10**6, start=500_000, quiet=True, console=console) as bar:
        assert bar.speed() == 0
        for _ in range(10):
            clock.now += 30
            bar.update(500_000)
        clock.now += 30
        bar.update(500_300)
        assert bar.speed() == pytest.approx(300 / 30)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_noted_and_the_handlers_are_put_back(number: signal.Signals, code: int) -> None:
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with catch_signals() as stop:
        assert stop.signal is None
        assert stop.exit_code == 0
        signal.raise_signal(number)
        assert stop.signal == number
    assert stop.exit_code == code
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_interrupts_at_once(first: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGINT)
    with catch_signals() as stop:
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGTERM)  # only Ctrl-C is impatient
        assert stop.signal == first
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


OTHERS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@pytest.mark.parametrize("number", OTHERS)
def test_signals_that_nobody_has_a_use_for_are_noted_too(number: signal.Signals) -> None:
    with catch_signals() as stop:
        signal.raise_signal(number)
    assert stop.exit_code == 128 + number
    assert signal.getsignal(number) == signal.SIG_DFL


@pytest.mark.parametrize("number", OTHERS)
def test_signals_that_are_ignored_or_handled_stay_so(number: signal.Signals) -> None:
    """As under nohup, or where a job's launcher requeues it itself."""
    seen: list[int] = []
    for handler in (signal.SIG_IGN, lambda *_: seen.append(1)):
        before = signal.signal(number, handler)
        try:
            with catch_signals() as stop:
                signal.raise_signal(number)
        finally:
            signal.signal(number, before)
        assert stop.signal is None
    assert seen == [1]


def test_a_second_signal_ends_at_once_unless_it_is_an_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(signals.time, "monotonic", lambda: now)
    reached = False
    with pytest.raises(SystemExit) as end, catch_signals() as stop:  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        now += 0.5
        signal.raise_signal(signal.SIGHUP)
        assert stop.signal == signal.SIGTERM
        now += 1.0
        try:
            signal.raise_signal(signal.SIGTERM)
        except (Exception, SystemExit):  # as environments are guarded, whose fault it is not
            reached = True
    assert end.value.code == 143
    assert not reached


def test_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with catch_signals() as stop:
            seen.append((stop.signal, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


@pytest.mark.parametrize("module", [progress, signals])
def test_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
    assert doctest.testmod(module).attempted > 0  # type: ignore[arg-type]
