"""What a study's folder holds: rows count where their runs are elsewhere, and none is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from jostle.errors import CheckpointError
from jostle.study import make_study, read
from jostle.study.jobs import Job
from jostle.study.run import run_study
from jostle.study.state import CARRIED, done_jobs, write_results

SPEC: dict[str, Any] = {
    "name": "sea",
    "seeds": 2,
    "steps": 400,
    "tasks": {"sea-3": {"env": "jostle/DeepSea-v0", "env_options": {"size": 3}, "num_envs": 4}},
    "methods": {"epsilon": {"algorithm": "dqn"}, "noisy": {"algorithm": "dqn", "config": {"noisy": "factorised"}}},
    "evaluate": {"episodes": 2},
}


def line(job: Job, value: float = 0.5) -> str:
    place = {name: getattr(job, name) for name in ("task", "method", "seed", "key", "measured")}
    found = {"curve": {"steps": [], "return": []}, "scores": {"evaluate": {"return": value}}, "memory": None}
    return json.dumps({**place, **found, "steps": 1, "settings": {}, "seconds": {"train": 1.0}}) + "\n"


def none(folders: Any, **_: Any) -> Any:
    """An executor that must not be needed."""
    assert not folders
    return iter(())


def test_a_row_counts_where_its_run_is_elsewhere(tmp_path: Path) -> None:
    study = make_study(SPEC)
    (tmp_path / "results.jsonl").write_text("".join(map(line, study.jobs[:3])))
    assert [job for job, _ in done_jobs(study, tmp_path)] == list(study.jobs[:3])
    outcome = run_study(study, tmp_path, executor=none, most=0)
    assert (len(outcome.done), len(outcome.left)) == (3, 1)
    assert len(read(tmp_path).rows) == 3
    more = make_study({**SPEC, "evaluate": {"episodes": 3}})  # something else is measured, and there is no agent for it
    assert not list(done_jobs(more, tmp_path))


def test_rows_that_are_not_asked_for_are_kept(tmp_path: Path) -> None:
    study, less = make_study(SPEC), make_study({**SPEC, "methods": {"called otherwise": SPEC["methods"]["noisy"]}})
    (tmp_path / "results.jsonl").write_text("".join(map(line, study.jobs)))
    write_results(less, tmp_path)
    assert [row["method"] for row in read(tmp_path).rows] == ["called otherwise"] * 2
    assert len((tmp_path / CARRIED).read_text().splitlines()) == 2
    write_results(study, tmp_path)
    assert len(read(tmp_path).rows) == 4
    assert (tmp_path / CARRIED).read_text() == ""


def test_the_run_in_the_folder_counts_before_a_row(tmp_path: Path) -> None:
    study = make_study(SPEC)
    job = study.jobs[0]
    (tmp_path / "results.jsonl").write_text(line(job, 0.1))
    folder = tmp_path / job.folder
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(job.as_dict()))
    (folder / "result.json").write_text(line(job, 0.9))
    write_results(study, tmp_path)
    (row,) = read(tmp_path).rows
    assert row["scores"]["evaluate"]["return"] == 0.9
    assert row["folder"] == str(job.folder)


def test_damaged_rows_are_said(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("{}\n")
    with pytest.raises(CheckpointError, match=r"results.jsonl is damaged"):
        list(done_jobs(make_study(SPEC), tmp_path))
