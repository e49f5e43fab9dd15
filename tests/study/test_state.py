"""What a study's folder holds: rows count where their runs are elsewhere, and none is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from jostle.errors import CheckpointError
from jostle.study import make_study, read
from jostle.study.executor import Ended
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


def test_a_carried_row_is_shown_and_never_made(tmp_path: Path) -> None:
    methods = {**SPEC["methods"], "popart": {"algorithm": "dqn", "version": "elsewhere", "carried": True}}
    study = make_study({**SPEC, "seeds": 1, "methods": methods})
    ours = [job for job in study.jobs if not job.carried]
    (theirs,) = (job for job in study.jobs if job.carried)
    (tmp_path / "results.jsonl").write_text("".join(map(line, ours)))
    outcome = run_study(study, tmp_path, executor=none)
    assert (outcome.done, outcome.left) == (ours, [theirs])
    (tmp_path / "results.jsonl").write_text("".join(map(line, [*ours, theirs])))
    outcome = run_study(study, tmp_path, executor=none)
    assert (len(outcome.done), outcome.left) == (3, [])
    assert [row["method"] for row in read(tmp_path).rows] == ["epsilon", "noisy", "popart"]


def test_rows_of_a_study_that_has_run_are_enough(tmp_path: Path) -> None:
    """Handed on without the runs' folders, which their lines name, they are neither lost nor run again."""
    study = make_study(SPEC)
    rows = [{**json.loads(line(job)), "folder": str(job.folder)} for job in study.jobs]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = run_study(study, tmp_path, executor=none)
    assert (len(outcome.done), outcome.left) == (4, [])
    assert [row["scores"] for row in read(tmp_path).rows] == [row["scores"] for row in rows]
    assert not any("folder" in row for row in read(tmp_path).rows)
    (tmp_path / study.jobs[0].folder).mkdir(parents=True)  # a run is there again, without a result yet
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(list(done_jobs(study, tmp_path))) == 3


def test_play_by_chance_that_is_measured_in_two_ways_ends(tmp_path: Path) -> None:
    """The same play in two tasks, evaluated over 2 and over 3 episodes: each has its folder, and both get done."""
    place = {"env": "jostle/DeepSea-v0", "env_options": {"size": 3}}
    tasks = {"few": {**place, "evaluate": {"episodes": 2}}, "more": {**place, "evaluate": {"episodes": 3}}}
    study = make_study({"seeds": 1, "steps": 10, "tasks": tasks, "methods": {"chance": {"algorithm": "random"}}})
    few, more = study.jobs
    assert (few.key, few.measured == more.measured) == (more.key, False)
    calls: list[int] = []

    def work(folders: Any, *, started: Any, **_: Any) -> Any:
        calls.append(len(folders))
        assert len(calls) < 3
        for folder in folders:
            started(folder)
            job = Job.of(json.loads((folder / "job.json").read_text()))
            (folder / "result.json").write_text(line(job))
            yield Ended(folder, 0, 1.0, 1)

    outcome = run_study(study, tmp_path, executor=work)
    assert (outcome.done, calls) == ([few, more], [2])
    assert [row["folder"] for row in read(tmp_path).rows] == [str(few.folder), str(more.folder)]
