"""Training goes on when nobody reads its output any more, or the disk that takes it is full."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Patient:
    """A text stream that goes on in silence once its reader has gone or its disk is full, instead of raising."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As the stream's."""
        try:
            return self._stream.write(text)
        except OSError:
            self._silence()
            return len(text)

    def flush(self) -> None:
        """As the stream's."""
        try:
            self._stream.flush()
        except OSError:
            self._silence()

    def _silence(self) -> None:
        # What is still in the stream's buffer must go somewhere, or it raises again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def outliving_its_reader() -> Iterator[None]:
    """Within the block, a standard output that takes nothing any more ends nothing."""
    with contextlib.redirect_stdout(Patient(sys.stdout)):
        yield
