"""Segments: only what changed is written, and nothing that is linked can go stale."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jostle.errors import CheckpointError
from jostle.store import Segmented, load_checkpoint, save_checkpoint


def _state(arrays: list[Any], versions: list[int]) -> dict[str, Any]:
    return {"replay": {"obs": Segmented(arrays, versions), "added": sum(versions)}}


def _links(folder: Path) -> list[int]:
    return sorted(f.stat().st_nlink for f in folder.glob("replay.*.safetensors"))


def test_segments_come_back_as_they_were(tmp_path: Path, same: Any) -> None:
    state = {
        "a": {
            "x": Segmented([np.arange(6).reshape(2, 3), torch.ones(2, dtype=torch.bfloat16), np.zeros(0)], [1, "b", 0])
        },
        "b": Segmented([], []),
        "c": {"x": Segmented([np.ones(1)], [1]), "y": Segmented([np.zeros(1)], [1])},
    }
    assert same(state, load_checkpoint(save_checkpoint(tmp_path / "c", state, {}))[0])


def test_only_changed_segments_are_written(tmp_path: Path, same: Any) -> None:
    arrays = [np.full(1000, i) for i in range(8)]
    first = save_checkpoint(tmp_path / "1", _state(arrays, [0] * 8), {})
    arrays[3][:] = 77
    changed = _state(arrays, [0, 0, 0, 1, 0, 0, 0, 0])
    second = save_checkpoint(tmp_path / "2", changed, {}, previous=first)
    assert _links(first) == _links(second) == [1] + [2] * 7
    assert same(changed, load_checkpoint(second)[0])
    # The older checkpoint is still whole, and still old.
    assert load_checkpoint(first)[0]["replay"]["obs"].segments[3][0] == 3


def test_without_a_previous_checkpoint_nothing_is_linked(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "1", _state([np.zeros(3)], [0]), {})
    # The same version number of another line of training may mean other contents.
    second = save_checkpoint(tmp_path / "2", _state([np.ones(3)], [0]), {})
    assert load_checkpoint(second)[0]["replay"]["obs"].segments[0].all()


@pytest.mark.parametrize(
    "other",
    [
        {"replay": {"obs": Segmented([np.ones(4)], [0])}},  # another shape
        {"replay": {"obs": Segmented([np.ones(3, np.float32)], [0])}},  # another dtype
        {"replay": {"obs": Segmented([torch.ones(3, dtype=torch.float64)], [0])}},  # another kind
        {"replay": {"obs": Segmented([np.ones(3)], [1])}},  # another version
        {"replay": {"obs": Segmented([np.ones(3)], ["0"])}},  # another version that looks alike
        {"replay": {"action": Segmented([np.ones(3)], [0])}},  # another place
        {"replay": {"obs": [Segmented([np.ones(3)], [0])]}},  # another place with a longer path
    ],
)
def test_only_the_same_segment_is_linked(tmp_path: Path, same: Any, other: dict[str, Any]) -> None:
    first = save_checkpoint(tmp_path / "1", {"replay": {"obs": Segmented([np.zeros(3)], [0])}}, {})
    assert same(other, load_checkpoint(save_checkpoint(tmp_path / "2", other, {}, previous=first))[0])


def test_where_links_are_impossible_segments_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    first = save_checkpoint(tmp_path / "1", _state([np.arange(3)], [0]), {})
    monkeypatch.setattr(os, "link", refuse)
    second = save_checkpoint(tmp_path / "2", _state([np.arange(3)], [0]), {}, previous=first)
    assert _links(second) == [1]
    load_checkpoint(second)


@pytest.mark.parametrize("harm", ["cut", "gone", "no sums"])
def test_a_damaged_previous_checkpoint_does_not_spread(tmp_path: Path, harm: str) -> None:
    first = save_checkpoint(tmp_path / "1", _state([np.arange(3)], [0]), {})
    segment = next(first.glob("replay.*.safetensors"))
    if harm == "cut":
        os.truncate(segment, 20)
    elif harm == "gone":
        segment.unlink()
    else:
        (first / "SHA256SUMS").unlink()
    second = save_checkpoint(tmp_path / "2", _state([np.arange(3)], [0]), {}, previous=first)
    assert load_checkpoint(second)[0]["replay"]["obs"].segments[0].tolist() == [0, 1, 2]


def test_changing_loaded_or_live_segments_changes_no_file(tmp_path: Path) -> None:
    live = [np.zeros(5000), torch.zeros(5000)]
    folder = save_checkpoint(tmp_path / "c", _state(live, [0, 0]), {})
    for array in (*live, *load_checkpoint(folder)[0]["replay"]["obs"].segments):
        array += 1
    loaded = load_checkpoint(folder)[0]["replay"]["obs"].segments
    assert not loaded[0].any()
    assert not loaded[1].any()
    # Nor do they need the file once they are loaded.
    for file in folder.iterdir():
        file.unlink()
    assert loaded[0].sum() == 0


def test_segments_are_checked_for_finiteness(tmp_path: Path) -> None:
    state = {"model": Segmented([np.zeros(2), np.array([np.nan])], [0, 0])}
    with pytest.raises(CheckpointError, match="NaN"):
        save_checkpoint(tmp_path / "c", state, {}, finite=("model",))
    folder = save_checkpoint(tmp_path / "c", state, {})
    with pytest.raises(CheckpointError, match="NaN"):
        load_checkpoint(folder, finite=("model",))


def test_versions_must_match_segments() -> None:
    with pytest.raises(ValueError, match="as many versions"):
        Segmented([np.zeros(1)], [])
