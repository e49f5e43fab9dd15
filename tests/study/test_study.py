"""Studies that run: killed, failed, added to, read."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import jostle
from jostle.cli import main
from jostle.errors import CheckpointError, ConfigError
from jostle.store.lock import Lock
from jostle.study import make_study, read
from jostle.study.job import _earlier, work
from jostle.study.records import Record
from jostle.study.run import prepare
from jostle.study.state import write_results

COMMAND = str(Path(sys.executable).with_name("jostle"))
TINY = {"hidden": [8], "warmup": 20, "batch_size": 8}
SPEC: dict[str, Any] = {
    "name": "sea",
    "seeds": 2,
    "steps": 120,
    "tasks": {"sea-3": {"env": "jostle/DeepSea-v0", "env_options": {"size": 3}, "num_envs": 4}},
    "methods": {"epsilon": {"algorithm": "dqn", "config": TINY}},
    "evaluate": {"episodes": 2},
}


def written(folder: Path, **changed: Any) -> Path:
    file = folder / "sea.yaml"
    file.write_text(yaml.safe_dump({**SPEC, **changed}))
    return file


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that has run."""
    folder = tmp_path_factory.mktemp("study")
    assert main(["study", str(written(folder)), "--out", str(folder / "out"), "--quiet"]) == 0
    return folder


def test_results_can_be_read(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read(done / "out")
    assert found.tasks == ["sea-3"]
    assert found.methods("sea-3") == ["epsilon"]
    assert found.measures("sea-3") == ["evaluate", "last", "training"]
    rows = list(found.rows)
    assert [row["seed"] for row in rows] == [0, 1]
    np.testing.assert_array_equal(
        found.scores("sea-3")["epsilon"], [row["scores"]["evaluate"]["return"] for row in rows]
    )
    assert rows[0]["settings"]["hidden"] == [8]
    assert rows[0]["memory"] > 2**20
    run = done / "out" / rows[0]["folder"]
    assert main(["evaluate", str(run), "--episodes", "2", "--quiet", "--json", str(done / "again.json")]) == 0
    again = json.loads((done / "again.json").read_text())
    assert np.mean([episode["ret"] for episode in again["episodes"]]) == pytest.approx(
        rows[0]["scores"]["evaluate"]["return"]
    )
    assert (
        (done / "out" / "results.csv").read_text().startswith("task,method,seed,key,steps,seconds,megabytes,evaluate")
    )
    assert "| epsilon | 2 | " in (done / "out" / "table.md").read_text()
    assert '<section id="answer"' in (done / "out" / "report.html").read_text()
    assert yaml.safe_load((done / "out" / "study.yaml").read_text())["methods"]
    assert json.loads((run / "doctor.json").read_text())["checks"]
    with pytest.raises(ConfigError, match="no task 'sea'; did you mean sea-3"):
        found.scores("sea")
    with pytest.raises(ConfigError, match="nothing measured 'evaluat'"):
        found.scores("sea-3", "evaluat")


def test_agents_are_evaluated_in_physics_that_they_were_not_trained_in(tmp_path: Path) -> None:
    pole = {"env": "jostle/CartPole-v1"}
    spec = {
        "seeds": 1, "steps": 2_000, "evaluate": {"episodes": 20, "domain": {"angle.limit": {"constant": 0.05}}},
        "tasks": {"pole": {**pole, "steps": 2_001, "evaluate": {"episodes": 20}}, "strict": pole},
        "methods": {"ppo": {"algorithm": "ppo", "config": {"num_steps": 32}}},
    }  # fmt: skip
    path = tmp_path / "pole.yaml"
    path.write_text(json.dumps(spec))
    assert main(["study", str(path), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    returns = {row["task"]: row["scores"]["evaluate"]["return"] for row in read(tmp_path / "out").rows}
    assert returns["strict"] < returns["pole"] / 2


def test_what_is_done_is_not_run_again_and_what_is_added_runs(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = done / "out"
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*/*/result.json")}
    methods = {
        "noisy": {"algorithm": "dqn", "config": {**TINY, "noisy": "factorised"}},
        "renamed": SPEC["methods"]["epsilon"],
    }
    more = written(done, seeds=[1, 0], methods=methods)
    assert main(["study", str(more), "--out", str(out), "--dry-run"]) == 0
    assert "2 jobs left" in capsys.readouterr().out  # a method that is called otherwise is the same
    file = written(done, methods={**SPEC["methods"], "noisy": methods["noisy"]})
    assert main(["study", str(file), "--out", str(out), "--dry-run"]) == 0
    assert "2 jobs left" in capsys.readouterr().out
    assert main(["study", str(file), "--out", str(out), "--max-jobs", "1"]) == 0
    assert "3 done, 0 failed, 1 not begun" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [row["method"] for row in read(out).rows] == ["epsilon", "noisy", "epsilon"]


def test_a_failure_is_told_with_its_log_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = {**SPEC["tasks"]["sea-3"], "env_options": {"size": 3, "depth": 5}}
    file = written(tmp_path, seeds=1, tasks={"bad": task, **SPEC["tasks"]})
    assert main(["study", str(file), "--out", str(tmp_path / "out"), "--jobs", "1", "--retries", "1"]) == 1
    said = capsys.readouterr().out
    assert said.count("FAILED bad epsilon seed 0 (exit code 2)") == 2
    assert "error: " in said
    assert "'depth'" in said or "depth" in said
    assert "1 done, 1 failed, 0 not begun" in said
    assert main(["study", str(file), "--out", str(tmp_path / "two"), "--jobs", "1", "--fail-fast", "--quiet"]) == 1
    assert not list((tmp_path / "two").glob("sea-3/*/*/result.json"))


def curves(folder: Path) -> list[tuple[Any, ...]]:
    return [(row["method"], row["seed"], row["curve"], row["scores"]) for row in read(folder).rows]


@pytest.mark.parametrize(("seeds", "kills"), [(1, 1), pytest.param(2, 10, marks=pytest.mark.slow)])
def test_a_study_that_is_killed_ends_as_one_that_never_was(tmp_path: Path, seeds: int, kills: int) -> None:
    file = written(tmp_path, steps=400 * seeds, seeds=seeds)
    assert main(["study", str(file), "--out", str(tmp_path / "whole"), "--quiet"]) == 0
    rng = random.Random(0)
    for _ in range(kills):
        process = subprocess.Popen(
            [COMMAND, "study", str(file), "--out", str(tmp_path / "killed"), "--quiet"], start_new_session=True
        )
        time.sleep(1 + 3 * rng.random())
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert main(["study", str(file), "--out", str(tmp_path / "killed"), "--quiet"]) == 0
    assert curves(tmp_path / "killed") == curves(tmp_path / "whole")


def test_a_study_that_is_asked_to_end_takes_its_jobs_with_it(tmp_path: Path) -> None:
    """SIGTERM reaches the study alone: its job saves, has no result yet, and goes on the next time."""
    file, out = written(tmp_path, seeds=1, steps=100_000), tmp_path / "out"
    process = subprocess.Popen([COMMAND, "study", str(file), "--out", str(out), "--quiet"])
    patience = time.monotonic() + 90
    while not any(path.stat().st_size for path in out.glob("*/*/*/metrics.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.05)
    process.terminate()
    assert process.wait(60) == 143
    (job,) = out.glob("*/*/*")
    assert not (job / "result.json").exists()
    told = json.loads((job / "run.json").read_text())
    assert (told["stretches"][0]["how"], told["finished"]) == ("SIGTERM", False)
    lock = Lock(job / ".lock")  # nobody trains in it any more
    lock.release()


def test_a_job_whose_parent_is_gone_ends(tmp_path: Path) -> None:
    """A study that is killed leaves nobody who trains on; 1 is not this process."""
    (tmp_path / "job.json").write_text(json.dumps(make_study({**SPEC, "steps": 10_000_000}).jobs[0].as_dict()))
    job = subprocess.run([sys.executable, "-m", "jostle.study.job", str(tmp_path), "1"], timeout=60)
    assert job.returncode in (143, -signal.SIGTERM)


def test_two_studies_in_one_folder_are_refused(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = Lock(done / "out" / ".lock")
    try:
        assert main(["study", str(written(done)), "--out", str(done / "out")]) == 2
        assert "error: " in capsys.readouterr().err
    finally:
        lock.release()


@pytest.mark.parametrize(("flags", "match"), [
    (["--minutes", "0"], "--minutes 0 cannot be used"),
    (["--jobs", "0"], "at least 1"),
    (["--table", "--out", "empty"], "no job has a result yet"),
    (["--table", "--out", "nowhere"], "there is no study in nowhere"),
])  # fmt: skip
def test_what_cannot_be_run(
    flags: list[str], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["study", str(written(tmp_path)), *flags]) == 2
    assert match in capsys.readouterr().err


def test_results_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there are no results"):
        read(tmp_path)
    (tmp_path / "results.jsonl").write_text('{"task": 1}\n')
    with pytest.raises(CheckpointError, match="is damaged"):
        read(tmp_path)


def test_evaluations_by_name_and_the_course_of_a_metric(tmp_path: Path) -> None:
    both = [{"episodes": 2}, {"name": "sampled", "episodes": 3, "actions": "sampled", "seed": "own"}]
    config = {"num_steps": 8, "hidden": [8], "minibatches": 1}
    methods = {"ppo": {"algorithm": "ppo", "config": config}}
    spec = make_study({**SPEC, "seeds": 1, "steps": 3000, "methods": methods, "evaluate": both,
                       "metrics": ["losses/value", "coverage/cells", "no/such"]})  # fmt: skip
    (job,) = spec.jobs
    prepare(tmp_path / job.folder, job)
    work(tmp_path / job.folder)
    write_results(spec, tmp_path)
    (row,) = read(tmp_path).rows
    told = {name: (each["episodes"], each["actions"]) for name, each in row["scores"].items() if name != "last"}
    assert told == {"evaluate": (2, "greedy"), "evaluate/sampled": (3, "sampled")}
    assert row["courses"].keys() == {"losses/value", "coverage/cells"}
    lines = [json.loads(each) for each in (tmp_path / job.folder / "metrics.jsonl").read_text().splitlines()]
    course = row["courses"]["losses/value"]
    assert course == {"steps": [each["step"] for each in lines], "values": [each["losses/value"] for each in lines]}
    assert len(course["steps"]) == 3  # a line each thousand steps
    assert row["metrics"]["losses/value"] == course["values"][-1]
    assert read(tmp_path).measures("sea-3") == [
        "evaluate", "evaluate/sampled", "last", "metric/losses/value", "metric/coverage/cells", "training",
    ]  # fmt: skip
    agent = jostle.load(tmp_path / job.folder)
    again = jostle.evaluate(agent, 3, actions="sampled", seed=10_000 + job.seed)
    agent.env.close()
    assert row["scores"]["evaluate/sampled"]["return"] == again.mean


def test_the_time_of_a_training_is_that_of_all_its_stretches() -> None:
    rows = [{"step": 10, "time": 105.0}, {"step": 20, "time": 108.0}, {"step": 30, "time": 1003.0}]
    when = {key: f"1970-01-01T00:{key // 60:02}:{key % 60:02}+00:00" for key in (100, 1000, 1004, 2000)}
    stretches = [
        {"started": when[100], "ended": None, "how": "killed"},  # told until 108
        {"started": when[1000], "ended": when[1004], "how": "SIGTERM"},
        {"started": when[2000], "ended": None, "how": None},  # this one
    ]
    assert _earlier(Record(Path("x"), {}, {"stretches": stretches}, rows)) == 8 + 4
    assert _earlier(Record(Path("x"), {}, {"stretches": stretches[2:]}, rows)) == 0
    assert _earlier(Record(Path("x"), {}, {}, rows)) == 0
