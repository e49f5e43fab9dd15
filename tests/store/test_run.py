"""A run folder: what it holds, who may write, and which checkpoint is the newest good one."""

import getpass
import json
import os
import platform
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from jostle.errors import CheckpointError, ConfigError
from jostle.store import Run, Segmented, load_checkpoint

CONFIG = {"env": "CartPole-v1", "lr": 2.5e-4, "tiny": 1e-9, "hidden": (64, 64), "noise": {"sigma": None}, "name": "été"}


def _damage(folder: Path) -> None:
    with (folder / "meta.json").open("ab") as file:
        file.write(b" ")


@pytest.fixture
def run(tmp_path: Path) -> Any:
    with Run.create(tmp_path / "run", CONFIG, {"seed": 3, "command": "jostle train"}) as run:
        yield run


def test_config_and_info_are_read_back(run: Run) -> None:
    again = Run.open(run.path)
    assert again.config == run.config == CONFIG | {"hidden": [64, 64]}
    assert yaml.safe_load((run.path / "config.yaml").read_text()) == again.config
    assert again.info == run.info
    assert again.info["seed"] == 3
    assert again.info["command"] == "jostle train"
    assert again.info["versions"]["torch"] == str(torch.__version__)
    assert again.info["versions"]["numpy"] == np.__version__
    assert set(again.info["versions"]) == {"jostle", "torch", "numpy", "gymnasium", "envpool"}
    assert again.info["python"] == platform.python_version()


def test_nothing_names_the_host_the_user_or_a_path(run: Run) -> None:
    text = (run.path / "run.json").read_text()
    assert platform.node() not in text
    assert str(Path.home()) not in text
    assert os.getcwd() not in text
    assert len(getpass.getuser()) < 4 or getpass.getuser() not in text


@pytest.mark.parametrize("config", [{"f": lambda: 0}, {"p": Path("/")}])
def test_a_config_that_is_no_plain_data_leaves_no_folder(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="YAML cannot express"):
        Run.create(tmp_path / "run", config, {})
    with pytest.raises(ConfigError, match="no plain data"):
        Run.create(tmp_path / "run", {}, config)
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten(run: Run) -> None:
    run.close()
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(CheckpointError, match="holds a run already: resume it"):
        Run.create(run.path, {}, {})
    assert (run.path / "run.json").read_bytes() == before
    (run.path / "run.json").unlink()  # not even what is left of one
    with pytest.raises(CheckpointError, match="holds a run already"):
        Run.create(run.path, {}, {})
    Run.create(run.path.with_name("other"), {}, {}).close()  # the failed attempts hold no lock that matters


@pytest.mark.parametrize("name", ["log.txt", "notes"])
def test_a_folder_with_other_files_may_become_a_run(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("kept")
    Run.create(tmp_path, {}, {}).close()
    assert (tmp_path / name).read_text() == "kept"


def test_folders_that_are_no_runs(tmp_path: Path, run: Run) -> None:
    with pytest.raises(CheckpointError, match=r"there is no folder .*absent: give"):
        Run.open(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty is no run, for it has no run\.json; give the folder of a run"):
        Run.open(tmp_path / "empty")
    with pytest.raises(CheckpointError, match="it holds the runs run: give one of them"):
        Run.open(tmp_path)
    with pytest.raises(CheckpointError, match="there is no folder"):
        Run.open(run.path / "run.json")
    with pytest.raises(CheckpointError, match="cannot make the folder"):
        Run.create(run.path / "run.json" / "run", {}, {})


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": "x"}', "\xff\xfe", '{"format": null}'])
def test_a_broken_run_json(run: Run, text: str) -> None:
    (run.path / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"run\.json cannot be read"):
        Run.open(run.path)


def test_a_newer_run_asks_for_an_upgrade(run: Run) -> None:
    (run.path / "run.json").write_text(json.dumps(run.info | {"format": 2}))
    with pytest.raises(CheckpointError, match=r"format 2.* up to 1: upgrade jostle"):
        Run.open(run.path)


@pytest.mark.parametrize("text", ["a: [", "", "- 1", "!!python/object/apply:os.system ['touch owned']", "\t", "\x00"])
def test_a_broken_config(run: Run, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (run.path / "config.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.yaml (cannot be read|holds no configuration)[^\n]*: put back"):
        Run.open(run.path)
    assert not (tmp_path / "owned").exists()
    (run.path / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"config\.yaml cannot be read"):
        Run.open(run.path)


def test_one_writer_and_any_number_of_readers(run: Run) -> None:
    Run.open(run.path)
    with pytest.raises(CheckpointError, match="another process is writing"):
        Run.open(run.path, write=True)
    run.close()
    run.close()
    Run.open(run.path, write=True).close()
    with Run.open(run.path) as reader, pytest.raises(CheckpointError, match="open for reading"):
        reader.save(1, {})
    with pytest.raises(CheckpointError, match="open for reading"):
        run.save_initial({})


def test_a_killed_writer_gives_the_lock_back_although_its_worker_lives(tmp_path: Path) -> None:
    script = """
import os, sys, time
from pathlib import Path
from jostle.store import Run
run = Run.create(Path(sys.argv[1]), {}, {})
worker = os.fork()
if worker == 0:
    time.sleep(60)
print(worker, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        worker = int(writer.stdout.readline())
        try:
            with pytest.raises(CheckpointError, match="another process is writing"):
                Run.open(tmp_path / "run", write=True)
            writer.kill()
            writer.wait()
            os.kill(worker, 0)
            Run.open(tmp_path / "run", write=True).close()
        finally:
            os.kill(worker, signal.SIGKILL)


def test_the_newest_checkpoints_are_kept(run: Run) -> None:
    run.save_initial({"model": {"w": torch.zeros(2)}})
    for step in (5, 10, 1000):
        assert run.save(step, {"n": step}, {"note": str(step)}) == run.path / f"checkpoints/step_{step:012d}"
    assert [p.name for p in run.checkpoints()] == ["step_000000000010", "step_000000001000"]
    assert run.newest() == (run.checkpoints()[-1], {"n": 1000}, {"note": "1000", "step": 1000})
    assert not run.load_initial()["model"]["w"].any()


def test_a_checkpoint_leaves_its_name_before_it_is_removed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.save(5, {})
    run.save(10, {})
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # as if killed just then
    run.save(15, {})
    assert [p.name for p in run.checkpoints()] == ["step_000000000010", "step_000000000015"]


def test_saving_twice_at_a_step_changes_nothing(run: Run) -> None:
    folder = run.save(5, {"n": 1})
    before = {p.name: p.stat().st_ino for p in folder.iterdir()}
    assert run.save(5, {"n": 2}) == folder
    assert {p.name: p.stat().st_ino for p in folder.iterdir()} == before
    initial = run.save_initial({"n": 1})
    run.save_initial({"n": 2})
    assert load_checkpoint(initial)[0] == {"n": 1}


def test_a_damaged_checkpoint_of_the_step_is_replaced(run: Run) -> None:
    _damage(run.save(5, {"n": 1}))
    run.save(5, {"n": 2})
    assert run.newest()[1] == {"n": 2}
    _damage(run.save_initial({"n": 1}))
    with pytest.raises(CheckpointError, match="damaged"):
        run.load_initial()
    run.save_initial({"n": 2})
    assert run.load_initial() == {"n": 2}


def test_damaged_checkpoints_are_skipped_with_a_warning(run: Run) -> None:
    run.save(5, {"n": 5})
    _damage(run.save(10, {"n": 10}))
    with pytest.warns(UserWarning, match=r"skipping .*step_000000000010 .*'meta\.json' does not match"):
        path, state, _ = run.newest()
    assert (path.name, state) == ("step_000000000005", {"n": 5})
    _damage(path)
    with (
        pytest.warns(UserWarning, match="skipping"),
        pytest.raises(CheckpointError, match=r"no good .*: start it again"),
    ):
        run.newest()


def test_weights_that_are_not_finite_are_neither_saved_nor_resumed_from(run: Run) -> None:
    run.save(5, {"model": {"w": torch.ones(1)}}, finite=("model",))
    bad = {"model": {"w": torch.tensor([float("nan")])}}
    with pytest.raises(CheckpointError, match="'w' of 'model'"):
        run.save(10, bad, finite=("model",))
    assert run.newest()[2]["step"] == 5
    run.save(15, bad)
    with pytest.warns(UserWarning, match="NaN"):
        assert run.newest(finite=("model",))[2]["step"] == 5


@pytest.mark.parametrize("keep", [1, 2])
def test_going_on_after_a_fallback(tmp_path: Path, keep: int) -> None:
    with Run.create(tmp_path / "run", {}, {}) as run:
        run.save(5, {"n": 5})
        _damage(run.save(20, {"n": 20}))
    with Run.open(run.path, write=True, keep=keep) as run:
        with pytest.warns(UserWarning, match="skipping"):
            run.newest()
        run.save(10, {"n": 10})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert run.newest()[2]["step"] == 10
        assert len(run.checkpoints()) == keep


def test_a_good_checkpoint_of_a_later_step_is_not_thrown_away(run: Run) -> None:
    run.save(20, {"n": 20})
    with pytest.raises(CheckpointError, match="newer and good"):
        run.save(10, {"n": 10})
    assert [p.name for p in run.checkpoints()] == ["step_000000000020"]


def test_segments_are_linked_within_one_line_of_training(run: Run) -> None:
    def state(value: int) -> dict[str, Any]:
        return {"replay": Segmented([np.full(3, value)], [7])}

    def links(folder: Path) -> int:
        return next(folder.glob("replay.*")).stat().st_nlink

    run.save(5, state(1))
    assert links(run.save(10, state(1))) == 2
    run.close()
    with Run.open(run.path, write=True) as again:
        # Nothing was loaded: whatever version 7 means now, it need not be what it meant then.
        assert links(again.save(15, state(2))) == 1
        assert again.newest()[1]["replay"].segments[0][0] == 2
    with Run.open(run.path, write=True) as third:
        third.newest()
        assert links(third.save(20, state(2))) == 2


def test_opening_to_write_clears_what_killed_writers_left(run: Run) -> None:
    run.save(5, {"n": 5})
    run.close()
    for left in (".staging-initial", "checkpoints/.staging-step_000000000010", "checkpoints/.staging-old-step"):
        (run.path / left).mkdir()
        (run.path / left / "half").touch()
    (run.path / ".staging-config.yaml").touch()
    Run.open(run.path)
    assert len(list(run.path.rglob(".staging*"))) == 4  # a reader touches nothing
    Run.open(run.path, write=True).close()
    assert not list(run.path.rglob(".staging*"))
    assert run.newest()[1] == {"n": 5}
