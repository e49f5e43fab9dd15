"""Signals that ask a training loop to end, between two updates and after its checkpoint is saved."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_ALWAYS = (signal.SIGINT, signal.SIGTERM)
_UNLESS_SPOKEN_FOR = tuple(
    getattr(signal, name)
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)  # Windows has none
)
_PATIENCE = 1.0  # seconds in which a second signal is the first one's echo: `timeout` and lost terminals send two


@dataclass
class Stop:
    """signal: the number of the first signal that arrived, or None as long as there was none."""

    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """What a shell expects: 0, or 128 + the signal (130 for Ctrl-C, 143 for SIGTERM)."""
        return 0 if self.signal is None else 128 + self.signal


@contextmanager
def catch_signals() -> Iterator[Stop]:
    """Note signals in a `Stop` instead of dying of them.

    These are SIGINT and SIGTERM; and SIGHUP (a lost terminal), SIGUSR1 and SIGUSR2 (batch systems, before the time is
    up) where nobody else has a use for them: under ``nohup`` SIGHUP stays ignored. After the first signal a Ctrl-C
    raises KeyboardInterrupt at once, and any other signal SystemExit, unless it comes within a second.

    >>> with catch_signals() as stop:
    ...     while stop.signal is None:
    ...         signal.raise_signal(signal.SIGINT)  # one update
    >>> stop.exit_code
    130

    The handlers that were there before are put back at the end. Only the main thread may handle signals: elsewhere
    this does nothing.
    """
    stop, first, second = Stop(), 0.0, signal.SIGINT

    def note(number: int, _: FrameType | None) -> None:
        nonlocal first, second
        if stop.signal is None:
            stop.signal, first = number, time.monotonic()
        elif number == signal.SIGINT or time.monotonic() - first >= _PATIENCE:
            second = signal.Signals(number)
            raise KeyboardInterrupt  # not SystemExit, which is taken for a fault of the environment that is in its step

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    taken = [*_ALWAYS, *(number for number in _UNLESS_SPOKEN_FOR if signal.getsignal(number) == signal.SIG_DFL)]
    before = {number: signal.signal(number, note) for number in taken}
    try:
        yield stop
    except KeyboardInterrupt:
        if second == signal.SIGINT:
            raise
        raise SystemExit(128 + second) from None
    finally:
        for number, handler in before.items():
            # None: set by something other than Python, which cannot be put back from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
