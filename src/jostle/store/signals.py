"""Ctrl-C and SIGTERM end a training loop between two updates, after its checkpoint is saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


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
    """Note SIGINT and SIGTERM in a `Stop` instead of dying; a Ctrl-C after the first signal raises KeyboardInterrupt.

    >>> with catch_signals() as stop:
    ...     while stop.signal is None:
    ...         signal.raise_signal(signal.SIGINT)  # one update
    >>> stop.exit_code
    130

    The handlers that were there before are put back at the end. Only the main thread may handle signals: elsewhere
    this does nothing.
    """
    stop = Stop()

    def note(number: int, _: FrameType | None) -> None:
        if stop.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if stop.signal is None:
            stop.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # None: set by something other than Python, which cannot be put back from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
