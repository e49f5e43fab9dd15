"""Metrics: lines that any program reads, events that TensorBoard reads, and going back to a checkpoint."""

import json
import math
import platform
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jostle.errors import CheckpointError
from jostle.store import Metrics, read_metrics


def _tensorboard(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run_dir / "tensorboard"))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def _log(metrics: Metrics, *steps: int) -> None:
    for step in steps:
        metrics.log(step, {"loss": step / 2})


def _rows(run_dir: Path) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in read_metrics(run_dir)]


def test_lines_and_events_say_the_same(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        metrics.log(10, {"loss": 0.5, "rollout/return": np.float32(2.0), "episodes": np.int64(3)})
        metrics.log(20, {"loss": torch.tensor(0.25)})
    first, second = (json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert first.pop("time") <= second.pop("time")
    assert first == {"step": 10, "loss": 0.5, "rollout/return": 2.0, "episodes": 3}
    assert isinstance(first["episodes"], int)
    assert second == {"step": 20, "loss": 0.25}
    assert _tensorboard(tmp_path) == {
        "loss": [(10, 0.5), (20, 0.25)],
        "rollout/return": [(10, 2.0)],
        "episodes": [(10, 3.0)],
    }


def test_what_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        metrics.log(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.0})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert [json.loads(text)[name] for name in "abcd"] == [None, None, None, 1.0]
    assert "NaN" not in text
    row = read_metrics(tmp_path)[0]
    assert all(math.isnan(row[name]) for name in "abc")
    assert _tensorboard(tmp_path)["b"] == [(1, math.inf)]


def test_the_event_files_do_not_name_the_host(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        _log(metrics, 1)
    names = [p.name for p in (tmp_path / "tensorboard").iterdir()]
    assert names == ["events.out.tfevents.000000"]
    assert platform.node().encode() not in (tmp_path / "tensorboard" / names[0]).read_bytes()


def test_each_line_is_there_at_once(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        _log(metrics, 1)
        assert _rows(tmp_path) == [(1, 0.5)]
        assert _tensorboard(tmp_path) == {"loss": [(1, 0.5)]}


@pytest.mark.parametrize("killed", [True, False])
def test_resuming_takes_back_what_came_after_the_checkpoint(tmp_path: Path, killed: bool) -> None:
    metrics = Metrics(tmp_path)
    _log(metrics, 1, 2)
    offset = metrics.offset()
    assert offset == (tmp_path / "metrics.jsonl").stat().st_size
    _log(metrics, 3, 4)
    metrics.close()
    if killed:  # in the middle of a line and of an event
        with (tmp_path / "metrics.jsonl").open("a") as file:
            file.write('{"step": 5, "lo')
        with (tmp_path / "tensorboard/events.out.tfevents.000000").open("ab") as file:
            file.write(b"\x20\0\0\0\0\0")
    with Metrics(tmp_path) as metrics:
        metrics.cut(offset, 2)
        assert metrics.offset() == offset
        _log(metrics, 3, 6)
    assert _rows(tmp_path) == [(1, 0.5), (2, 1.0), (3, 1.5), (6, 3.0)]
    assert _tensorboard(tmp_path) == {"loss": [(1, 0.5), (2, 1.0), (3, 1.5), (6, 3.0)]}


def test_cutting_while_events_are_being_written(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        _log(metrics, 1)
        offset = metrics.offset()
        _log(metrics, 2, 3)
        metrics.cut(offset, 1)
        _log(metrics, 2)
        metrics.cut(0, -1)
        _log(metrics, 5)
    assert _rows(tmp_path) == [(5, 2.5)]
    assert _tensorboard(tmp_path) == {"loss": [(5, 2.5)]}


def test_a_half_written_line_is_left_out_and_then_removed(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 1')
    assert _rows(tmp_path) == [(1, 0.5)]
    with Metrics(tmp_path) as metrics:
        _log(metrics, 3)
    assert _rows(tmp_path) == [(1, 0.5), (3, 1.5)]


def test_a_long_half_written_line_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    for start in ("", '{"step": 1, "loss": 0.5}\n'):
        file.write_text(start + "x" * 200_000)
        Metrics(tmp_path).close()
        assert file.read_text() == start


@pytest.mark.parametrize("offset", [-1, 10, 1000])
def test_a_cut_that_does_not_fit_warns_and_keeps_the_steps_before(tmp_path: Path, offset: int) -> None:
    with Metrics(tmp_path) as metrics:
        _log(metrics, 1, 5)
        with pytest.warns(UserWarning, match="not as the checkpoint left it: the run goes on"):
            metrics.cut(offset, 1)
        _log(metrics, 2)
    assert _rows(tmp_path) == [(1, 0.5), (2, 1.0)]


def test_a_file_in_the_place_of_the_events_is_named_before_training(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").touch()
    with pytest.raises(CheckpointError, match=r"tensorboard .*move away what stands there"):
        Metrics(tmp_path)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    _log(metrics, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (metrics.offset() + 10, hard))
    try:
        with pytest.raises(CheckpointError, match=r"cannot write the metrics .*: make room"):
            _log(metrics, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "metrics.jsonl").read_bytes().endswith(b"}\n")
    _log(metrics, 3)
    metrics.close()
    assert _rows(tmp_path) == [(1, 0.5), (3, 1.5)]


@pytest.mark.parametrize("line", ["{", "[1]", "3", "\xff"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + line.encode("latin-1") + b"\n")
    with pytest.raises(CheckpointError, match="damaged at line 2: remove"):
        read_metrics(tmp_path)


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there are no metrics"):
        read_metrics(tmp_path)
    with pytest.raises(CheckpointError, match="cannot write"):
        Metrics(tmp_path / "absent")


@pytest.mark.parametrize("name", ["step", "time"])
def test_reserved_names(tmp_path: Path, name: str) -> None:
    with Metrics(tmp_path) as metrics, pytest.raises(ValueError, match="are taken"):
        metrics.log(1, {name: 1.0})
