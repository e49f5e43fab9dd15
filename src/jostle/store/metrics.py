"""Metrics of a run: JSON lines for programs, TensorBoard events for people.

metrics.jsonl holds one object per line: {"step": …, "time": …, name: number, …}, time in seconds since 1970. JSON has
neither NaN nor infinities: they are written as null, and `read_metrics` gives NaN. TensorBoard gets them as they are.
"""

import errno
import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

from jostle.errors import CheckpointError
from jostle.store.files import force

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
    from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

_FILE = "metrics.jsonl"


class Metrics:
    """Appends to a run's metrics. One writer at a time, which the run's lock sees to.

    A line that a killed writer left half written is removed first.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / _FILE
        self._events_dir = run_dir / "tensorboard"
        self._events: RecordWriter | None = None
        self._purge: int | None = None
        try:
            # Unbuffered: what a full disk refused must not come back to life when the file is closed.
            self._file = self._path.open("a+b", buffering=0)
            try:
                self._file.truncate(_end_of_lines(self._path))
                self._events_dir.mkdir(exist_ok=True)
            except OSError:
                self._file.close()
                raise
        except OSError as error:
            where = error.filename or self._path
            raise CheckpointError(
                f"cannot write {where} ({error.strerror}): move away what stands there, or make it writable"
            ) from error

    def log(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Append one line, and one TensorBoard scalar per value, at environment step `step`.

        Raises: CheckpointError if they cannot be written; ValueError for a value named "step" or "time".
        """
        if "step" in values or "time" in values:
            raise ValueError('the names "step" and "time" are taken: rename the metric')
        now = time.time()
        numbers = {name: int(v) if isinstance(v, Integral) else float(v) for name, v in values.items()}
        line = {"step": int(step), "time": round(now, 3)} | {
            name: v if math.isfinite(v) else None for name, v in numbers.items()
        }
        try:
            self._append(json.dumps(line).encode() + b"\n")
            self._write_event(step, now, numbers)
        except OSError as error:
            raise CheckpointError(
                f"cannot write the metrics in {self._path.parent} ({error.strerror}): make room"
            ) from error

    def offset(self) -> int:
        """Bytes of metrics.jsonl so far, safely on the disk: what a checkpoint notes for `cut`."""
        force(self._file.fileno())
        return self._file.seek(0, os.SEEK_END)

    def cut(self, offset: int, step: int) -> None:
        """Go back to a checkpoint: drop the lines after byte `offset`, and let TensorBoard drop what follows `step`.

        Metrics are no part of what is learned. Where the file was cut or edited since, so that no line ends there, a
        warning says so, and the lines up to `step` that are there stay.
        """
        size = self._path.stat().st_size
        self._file.seek(max(0, offset - 1))
        if not 0 <= offset <= size or (offset > 0 and self._file.read(1) != b"\n"):
            offset = _end_of_step(self._path, step)
            warnings.warn(
                f"{self._path} is not as the checkpoint left it: the run goes on, with the lines up to step {step:,} "
                "that are there; earlier ones can be put back from a copy",
                stacklevel=2,
            )
        self._file.truncate(offset)
        self._file.seek(offset)
        if self._events is not None:
            self._events.close()
            self._events = None
        self._purge = step + 1

    def close(self) -> None:
        """Close the files; further calls do nothing."""
        self._file.close()
        if self._events is not None:
            self._events.close()
            self._events = None

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, line: bytes) -> None:
        """Write the whole line or none of it."""
        end = self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.truncate(end)
            raise

    def _write_event(self, step: int, now: float, numbers: Mapping[str, float]) -> None:
        # Imported here: 0.3 s that no reader of a run needs to pay.
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        if self._events is None:
            self._events = self._open_events(now)
        scalars = [Summary.Value(tag=name, simple_value=v) for name, v in numbers.items()]
        self._put(Event(wall_time=now, step=step, summary=Summary(value=scalars)))

    def _open_events(self, now: float) -> "RecordWriter":
        """A new event file. TensorBoard's own writer would put the host's name into the file's name."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        index = sum(1 for _ in self._events_dir.glob("events.out.tfevents.*"))  # TensorBoard reads them by name
        self._events = RecordWriter((self._events_dir / f"events.out.tfevents.{index:06d}").open("xb", buffering=0))
        self._put(Event(wall_time=now, file_version="brain.Event:2"))
        if index and self._purge is not None:
            self._put(Event(wall_time=now, step=self._purge, session_log=SessionLog(status=SessionLog.START)))
        return self._events

    def _put(self, event: "Event") -> None:
        assert self._events is not None
        self._events.write(event.SerializeToString())
        self._events.flush()


def read_metrics(run_dir: Path | str) -> list[dict[str, Any]]:
    """The lines of a run's metrics, the oldest first; null becomes NaN. A half-written last line is left out.

    Raises: CheckpointError if the file cannot be read, or a line is no JSON object.
    """
    path = Path(run_dir) / _FILE
    try:
        whole = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"there are no metrics {path} ({error.strerror}): give the folder of a run") from error
    rows = []
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            row = json.loads(line)
            rows.append({name: math.nan if v is None else v for name, v in row.items()})
        except (ValueError, AttributeError) as error:
            raise CheckpointError(f"{path} is damaged at line {number}: remove that line") from error
    return rows


def _end_of_step(path: Path, step: int) -> int:
    """The offset just after the last line before the first of a later step; lines that are no JSON stay."""
    end = 0
    with path.open("rb") as file:
        for line in file:
            try:
                if json.loads(line)["step"] > step:
                    break
            except (ValueError, LookupError, TypeError):
                pass
            end += len(line)
    return end


def _end_of_lines(path: Path) -> int:
    """The offset just after the last line that is whole."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0
