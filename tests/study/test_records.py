"""Reading runs: from folders that training has left, and from damaged ones."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import jostle
from jostle.cli import main
from jostle.errors import CheckpointError, ConfigError
from jostle.study import find_records, methods, read_record
from jostle.study.records import differing

SMALL: dict[str, Any] = {"num_envs": 4, "hidden": (8,), "warmup": 20, "batch_size": 8, "env_options": {"size": 4}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods with two seeds each, and one run that was not finished."""
    where = tmp_path_factory.mktemp("runs")
    for noisy in ("none", "factorised"):
        for seed in (1, 2):
            agent = jostle.DQN("jostle/DeepSea-v0", noisy=noisy, seed=seed, **SMALL)  # type: ignore[arg-type]
            agent.learn(120, run_dir=where / "group" / f"{noisy}-s{seed}", log_every=40)
    config = where / "group" / "none-s1" / "config.yaml"
    short = Path(shutil.copytree(config.parent, where / "short"))
    (short / "config.yaml").write_text(config.read_text().replace("total: 120", "total: 9000"))
    info = json.loads((short / "run.json").read_text())
    (short / "run.json").write_text(json.dumps(info | {"finished": False}))
    return where


def test_what_a_folder_says(folder: Path) -> None:
    record = read_record(folder / "group" / "factorised-s2")
    assert (record.algorithm, record.env, record.seed) == ("dqn", "jostle/DeepSea-v0", 2)
    assert (record.steps, record.planned, record.finished) == (120, 120, True)
    assert record.settings["noisy"] == "factorised"
    assert record.settings["env_options.size"] == 4
    assert "threads" not in record.settings
    told = jostle.read_metrics(record.path)
    steps, values = record.curve()
    assert steps.tolist() == [row["step"] for row in told]
    assert values.tolist() == [row["charts/episodic_return"] for row in told]
    assert record.last() == values[-1]
    assert record.last(share=1.0) == pytest.approx(values.mean())
    assert math.isnan(record.last("nothing"))
    with pytest.raises(ConfigError, match=r"no metric 'charts/episodic_retrun'; did you mean charts/episodic_return"):
        record.curve("charts/episodic_retrun")


def test_runs_of_a_method_are_found_by_what_they_were_asked(folder: Path) -> None:
    found = find_records([folder, folder / "group" / "none-s1"])
    assert [record.name for record in found] == ["factorised-s1", "factorised-s2", "none-s1", "none-s2", "short"]
    groups = methods(found)
    assert {name: [record.name for record in group] for name, group in groups.items()} == {
        "steps=120, factorised": ["factorised-s1", "factorised-s2"],
        "steps=120, noisy=none": ["none-s1", "none-s2"],
        "steps=9000, noisy=none": ["short"],
    }
    assert list(methods(found[:2])) == ["dqn"]


def test_a_setting_that_the_other_algorithm_has_not_makes_no_difference() -> None:
    both = [{"algorithm": "dqn", "n_step": 3, "gamma": 1}, {"algorithm": "ppo", "clip": 2, "gamma": 0.9}]
    assert differing(both) == ["algorithm", "gamma"]
    assert differing([{"env_options.size": 4}, {}]) == ["env_options.size"]


def test_runs_are_listed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "runs.json"
    assert main(["runs", str(folder), "--json", str(file)]) == 0
    said = capsys.readouterr().out
    assert "5 runs of dqn, jostle/DeepSea-v0" in said
    assert said.count("not finished") == 1
    assert "noisy" in said
    assert "hidden" not in said
    whole = json.loads(file.read_text())
    assert [(row["seed"], row["planned"], row["finished"]) for row in whole][-1] == (1, 9000, False)
    assert main(["runs", str(folder), "--json", str(file)]) == 2
    assert main(["runs", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_list_needs_no_torch(folder: Path) -> None:
    code = f"import sys; from jostle.cli import main; main(['runs', {str(folder)!r}]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_curves_are_drawn(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "curves.svg"
    assert main(["plot", str(folder / "group"), "--out", str(out)]) == 0
    assert "factorised (2 seeds); noisy=none (2 seeds)" in capsys.readouterr().out
    text = out.read_text()
    assert "jostle/DeepSea-v0" in text
    assert main(["plot", str(folder / "group"), "--out", str(out)]) == 2
    assert main(["plot", str(folder), "--env", "Pong-v5"]) == 2
    assert "there are no runs of Pong-v5, but of jostle/DeepSea-v0" in capsys.readouterr().err
    assert main(["plot", str(folder), "--out", str(tmp_path / "curves.txt")]) == 2
    assert main(["plot", str(folder), "--metric", "luck", "--out", str(tmp_path / "luck.png")]) == 2
    assert "no metric 'luck'" in capsys.readouterr().err


@pytest.mark.parametrize(("file", "text", "match"), [
    ("run.json", None, "run.json is missing"),
    ("run.json", "{", "cannot be read as a run"),
    ("run.json", "[]", "no mappings"),
    ("config.yaml", "a: [", "cannot be read as a run"),
    ("config.yaml", "a: 1\na: 2", "given twice"),
    ("metrics.jsonl", "{}\n", "damaged at line 1"),
    ("metrics.jsonl", '{"step": 1}\n{"step": 2, "x": "y"}\n', "damaged at line 2"),
])  # fmt: skip
def test_damaged_runs(folder: Path, tmp_path: Path, file: str, text: str | None, match: str) -> None:
    copy = Path(shutil.copytree(folder / "short", tmp_path / "copy"))
    (copy / file).unlink()
    if text is not None:
        (copy / file).write_text(text)
    with pytest.raises(CheckpointError, match=match):
        read_record(copy)


def test_a_run_that_was_just_begun_has_no_lines(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "short", tmp_path / "copy"))
    (copy / "metrics.jsonl").write_text('{"step": 40, "charts/episodic_return": null}\n{"step": 80, "ch')
    record = read_record(copy)
    assert (record.steps, len(record.rows)) == (40, 1)
    (copy / "metrics.jsonl").unlink()
    assert read_record(copy).steps == 0
