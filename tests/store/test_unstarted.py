"""A folder whose run was killed before its first checkpoint can be begun again, and no other folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from jostle.errors import CheckpointError
from jostle.store import Metrics, Run

CONFIG = {"env": "CartPole-v1"}


def _left(path: Path) -> Path:
    """What a run leaves that was killed while it wrote its first checkpoint."""
    with Run.create(path, CONFIG, {"seed": 1}) as run:
        run.save_initial({"model": {"w": torch.ones(2)}})
        Metrics(run.path).close()
    (path / "checkpoints" / ".staging-step_000000000000").mkdir(parents=True)
    (path / ".staging-run.json").write_text("{")
    return path


def _only(*names: str) -> Callable[[Path], None]:
    def keep(path: Path) -> None:
        for entry in path.iterdir():
            if entry.name not in names:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    return keep


@pytest.mark.parametrize(
    "killed",
    [
        lambda path: None,
        _only(".lock"),
        _only(".lock", "config.yaml"),
        _only(".lock", "config.yaml", ".staging-run.json"),
        _only(".lock", "config.yaml", "run.json"),
        _only("config.yaml", "run.json"),
        _only(".lock", "run.json"),
        lambda path: (path / "log.txt").write_text("kept"),
        lambda path: (path / "checkpoints" / "step_000000000000").mkdir(),  # cut off by a power cut
    ],
)
def test_it_is_begun_again_and_other_files_stay(tmp_path: Path, killed: Callable[[Path], None]) -> None:
    path = _left(tmp_path / "run")
    killed(path)
    others = {p.name for p in path.glob("log.txt")}
    assert Run.unstarted(path)
    with Run.create(path, CONFIG | {"lr": 1}, {"seed": 2}, again=True) as run:
        assert {p.name for p in path.iterdir()} == {".lock", "config.yaml", "run.json"} | others
        run.save(0, {"model": {"w": torch.ones(1)}})
    assert Run.open(path).info["seed"] == 2
    assert not Run.unstarted(path)


def _progress(path: Path) -> None:
    (path / "metrics.jsonl").write_text('{"step": 1}\n')


def _good(path: Path) -> None:
    with Run.open(path, write=True) as run:
        run.save(0, {"model": {"w": torch.ones(1)}})


def _later(path: Path) -> None:
    (path / "checkpoints" / "step_000000000064").mkdir()


def _foreign(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()
    (path / "config.yaml").write_text("mine: 1")


def _foreign_after_a_refusal(path: Path) -> None:
    _foreign(path)
    with pytest.raises(CheckpointError):
        Run.create(path, CONFIG, {})


def _another_tools(path: Path) -> None:
    (path / "run.json").write_text('{"id": 7}')


def _models(path: Path) -> None:
    (path / "checkpoints" / "epoch_1.pt").write_bytes(b"weights")


@pytest.mark.parametrize(
    "begun", [_progress, _good, _later, _foreign, _foreign_after_a_refusal, _another_tools, _models]
)
def test_what_somebody_may_miss_is_never_removed(tmp_path: Path, begun: Callable[[Path], None]) -> None:
    path = _left(tmp_path / "run")
    begun(path)
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    assert not Run.unstarted(path)
    with pytest.raises(CheckpointError, match="holds a run already"):
        Run.create(path, CONFIG, {}, again=True)
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before


def test_a_run_that_somebody_is_about_to_start_is_left_alone(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", CONFIG, {}), pytest.raises(CheckpointError, match="another process is writing"):
        Run.create(tmp_path / "run", CONFIG, {}, again=True)


def test_no_folder_and_an_empty_one_are_no_run(tmp_path: Path) -> None:
    assert not Run.unstarted(tmp_path)
    assert not Run.unstarted(tmp_path / "none")
    with Run.create(tmp_path / "none", CONFIG, {}, again=True) as run:
        assert run.config == CONFIG


def test_a_link_is_removed_and_what_it_names_stays(tmp_path: Path) -> None:
    path = _left(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "events").write_text("kept")
    (path / "tensorboard").rmdir()
    (path / "tensorboard").symlink_to(tmp_path / "elsewhere")
    Run.create(path, CONFIG, {}, again=True).close()
    assert not (path / "tensorboard").exists()
    assert (tmp_path / "elsewhere" / "events").read_text() == "kept"
