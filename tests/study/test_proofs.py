"""What a study promises whatever happens: to others in its folder, on a full disk, and to those who watch and wait."""

import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from jostle.cli import main
from jostle.cli.study import Board
from jostle.errors import JostleError
from jostle.study import job as job_module
from jostle.study import make_study, read
from jostle.study import state as state_module
from jostle.study.executor import Ended
from jostle.study.jobs import Job
from jostle.study.run import Event, run_study
from jostle.study.state import write_results

COMMAND = str(Path(sys.executable).with_name("jostle"))
SPEC: dict[str, Any] = {
    "name": "sea",
    "seeds": 2,
    "steps": 120,
    "tasks": {"sea-3": {"env": "jostle/DeepSea-v0", "env_options": {"size": 3}, "num_envs": 4}},
    "methods": {"epsilon": {"algorithm": "dqn"}},
    "evaluate": {"episodes": 2},
}


class Pretended:
    """An executor without processes, whose jobs end at once."""

    def __init__(self) -> None:
        self.ran: list[Job] = []

    def __call__(self, folders: Any, *, stop: Any, started: Any, tick: Any) -> Any:
        for folder in folders:
            if stop():
                return
            started(folder)
            tick()
            job = Job.of(json.loads((folder / "job.json").read_text()))
            self.ran.append(job)
            place = {name: getattr(job, name) for name in ("task", "method", "seed", "key", "measured")}
            curve = {"steps": [1, 2], "return": [0.0, float(job.asked["config"].get("gamma", 0.99))]}
            row = {
                **place, "steps": 2, "settings": job.asked["config"], "versions": {}, "processor": "x", "curve": curve,
                "scores": {"evaluate": {"return": 1.0}}, "memory": 1, "seconds": {"train": 30.0, "measure": 0.0},
            }  # fmt: skip
            (folder / "result.json").write_text(json.dumps(row))
            yield Ended(folder, 0, 30.0, 1)


def test_two_users_specs_in_one_folder_do_not_mix(tmp_path: Path) -> None:
    """The same names and seeds, other settings: each finds its own runs, before and after the other ran."""
    mine = make_study({**SPEC, "config": {"gamma": 0.9}})
    yours = make_study({**SPEC, "config": {"gamma": 0.5}})
    found = {}
    for name, study in (("mine", mine), ("yours", yours), ("mine", mine)):
        run_study(study, tmp_path, executor=Pretended())
        found.setdefault(name, []).append([row["curve"] for row in read(tmp_path).rows])
    assert found["mine"][0] == found["mine"][1] == [{"steps": [1, 2], "return": [0.0, 0.9]}] * 2
    assert found["yours"] == [[{"steps": [1, 2], "return": [0.0, 0.5]}] * 2]
    assert len(list(tmp_path.glob("sea-3/epsilon/s*-*"))) == 4


def test_a_full_disk_is_one_sentence_and_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(SPEC)
    run_study(study, tmp_path, executor=Pretended())
    before = (tmp_path / "results.jsonl").read_text()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_module, "replace_file", full)
    with pytest.raises(JostleError, match=r"cannot write the results in .*No space left on device.*: make room"):
        write_results(study, tmp_path)
    assert (tmp_path / "results.jsonl").read_text() == before


def test_a_job_on_a_full_disk_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "metrics.jsonl"))

    monkeypatch.setattr(job_module, "work", full)
    assert job_module.main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: the job in {tmp_path} cannot read or write (No space left on device")
    assert said.count("\n") == 1


def test_the_board_counts_what_runs_what_is_done_and_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study({**SPEC, "seeds": 4})
    board = Board(study, [("sea-3", "epsilon")], quiet=False)
    board.begun = time.monotonic() - 60
    first, second, third = study.jobs[1:4]
    for job in (first, second):
        board.notify(Event(job, "started"))
    assert [list(column.cells) for column in board._table().columns[2:]] == [["1 of 4"], ["2"], [""]]
    board.notify(Event(first, "done", Ended(Path("there"), 0, 30.0, 2**30)))
    said = capsys.readouterr().out
    assert said.startswith("[2/4] sea-3 epsilon seed 1: 30 s, 1,024 MB; 2 jobs left, about ")
    assert "2 min at 60 jobs an hour" in said  # one in a minute, two are left
    board.notify(Event(second, "failed", Ended(Path("there"), 2, 1.0, 1), ["error: no"]))
    said = capsys.readouterr().out
    assert "FAILED sea-3 epsilon seed 2 (exit code 2), log in there:\n  error: no" in said
    assert [list(column.cells) for column in board._table().columns[2:]] == [["2 of 4"], [""], ["1"]]
    assert board._left().startswith("1 jobs left")
    board.notify(Event(second, "started"))  # it is tried again
    assert [list(column.cells) for column in board._table().columns[2:]] == [["2 of 4"], ["1"], [""]]
    board.notify(Event(second, "failed", Ended(Path("there"), 2, 1.0, 1), ["error: no"]))
    board.notify(Event(third, "started"))
    assert [list(column.cells) for column in board._table().columns[2:]] == [["2 of 4"], ["1"], ["1"]]


def test_no_job_begins_after_the_minutes_and_no_more_than_the_most(tmp_path: Path) -> None:
    study, executor = make_study({**SPEC, "seeds": 5}), Pretended()
    outcome = run_study(study, tmp_path, executor=executor, stop=lambda: len(executor.ran) >= 2)
    assert (len(outcome.done), len(outcome.left)) == (2, 3)
    outcome = run_study(study, tmp_path, executor=executor, most=2)
    assert (len(outcome.done), len(outcome.left)) == (4, 1)
    assert [job.seed for job in executor.ran] == [0, 1, 2, 3]


def test_the_time_that_is_left_is_estimated_from_the_first_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = {"algorithm": "dqn", "config": {"noisy": "factorised"}}
    spec = {**SPEC, "seeds": 5, "methods": {**SPEC["methods"], "noisy": noisy}}
    file, out = tmp_path / "sea.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(spec))
    line = ["study", str(file), "--out", str(out), "--dry-run", "--jobs", "2"]
    assert main(line) == 0
    assert "10 jobs left, 2 at once: run one job of each (--max-jobs) for an estimate" in capsys.readouterr().out
    run_study(make_study(spec), out, executor=Pretended(), most=2)
    assert main(line) == 0
    assert "8 jobs left, 2 at once: about 2 min" in capsys.readouterr().out  # 8 × 30 s / 2


@pytest.mark.slow
def test_minutes_end_a_study_of_real_processes(tmp_path: Path) -> None:
    """A job that runs when the time is up goes to its end; none is begun."""
    file = tmp_path / "sea.yaml"
    file.write_text(yaml.safe_dump({**SPEC, "seeds": 3}))
    command = [COMMAND, "study", str(file), "--out", str(tmp_path / "out"), "--jobs", "1", "--minutes", "0.001"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0
    assert "0 done, 0 failed, 3 not begun" in ended.stdout or "1 done, 0 failed, 2 not begun" in ended.stdout


def test_brackets_in_names_and_logs_are_text_and_no_markup(tmp_path: Path) -> None:
    """On a terminal as well: `[/x]` of a log would end the study, and `[int]` would not be seen."""
    study = make_study({**SPEC, "methods": {"plain [bold]": {"algorithm": "dqn"}}})
    board, out = Board(study, [], quiet=False), io.StringIO()
    board.live.console = Console(file=out, force_terminal=True, width=100)
    board.alive = True
    board.notify(Event(study.jobs[0], "started"))
    board.notify(Event(study.jobs[0], "failed", Ended(tmp_path, 2, 1.0, 1), ["TypeError: list[int] is no [/x]"]))
    board.live.console.print(board._table())
    assert "TypeError: list[int] is no [/x]" in out.getvalue()
    assert "plain [bold]" in out.getvalue()
