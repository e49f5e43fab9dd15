"""Studies that look into their agents: what is asked, of which seeds, where it lies, and what it leaves as it was."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from jostle.cli import main
from jostle.errors import ConfigError
from jostle.study import make_study, read
from jostle.study.jobs import Job
from jostle.study.results import score

SPEC: dict[str, Any] = {
    "name": "sea",
    "seeds": 2,
    "steps": 120,
    "tasks": {"sea-3": {"env": "jostle/DeepSea-v0", "env_options": {"size": 3}, "num_envs": 4}},
    "methods": {
        "epsilon": {"algorithm": "dqn", "config": {"hidden": [8], "warmup": 20, "batch_size": 8}},
        "chance": {"algorithm": "random"},
    },
    "evaluate": {"episodes": 2},
}
ASKED = {"parts": ["weights", "layers"], "episodes": 2, "max_steps": 10}


def test_a_study_without_it_asks_for_what_it_always_did() -> None:
    job = make_study(SPEC).jobs[0]
    assert job.explain is None
    assert "explain" not in job.as_dict()
    assert Job.of({k: v for k, v in job.as_dict().items() if k != "explain"}).measured == job.measured
    other = make_study({**SPEC, "explain": ASKED}).jobs[0]
    assert other.key == job.key, "the training is the same"
    assert other.measured != job.measured
    assert Job.of(json.loads(json.dumps(other.as_dict()))).measured == other.measured


def test_it_is_asked_of_the_first_seeds_and_never_of_chance() -> None:
    jobs = make_study({**SPEC, "explain": {**ASKED, "seeds": 1}}).jobs
    asked = {(job.method, job.seed): job.explain for job in jobs}
    assert asked == {("epsilon", 0): ASKED, ("epsilon", 1): None, ("chance", 0): None, ("chance", 1): None}
    every = make_study({**SPEC, "explain": ASKED}).jobs
    assert [job.seed for job in every if job.explain] == [0, 1]
    task = {**SPEC["tasks"]["sea-3"], "explain": {"parts": ["units"]}}
    own = make_study({**SPEC, "tasks": {"sea-3": task}, "explain": ASKED}).jobs
    assert own[0].explain == {"parts": ["units"]}


def test_techniques_of_the_first_seeds_alone_are_checked() -> None:
    jobs = make_study({**SPEC, "explain": {**ASKED, "sanity": 1}}).jobs
    asked = {job.seed: job.explain for job in jobs if job.method == "epsilon"}
    assert asked == {0: {**ASKED, "sanity": True}, 1: {**ASKED, "sanity": False}}
    plain = make_study({**SPEC, "explain": {**ASKED, "sanity": True}}).jobs
    assert {job.explain["sanity"] for job in plain if job.explain} == {True}


def test_trials_of_a_search_are_not_looked_into() -> None:
    tune = {"settings": {"learning_rate": {"log_uniform": [1e-4, 1e-2]}}, "trials": 2, "seeds": 1}
    methods = {"epsilon": SPEC["methods"]["epsilon"]}
    (search,) = make_study({**SPEC, "methods": methods, "tune": tune, "explain": {**ASKED, "seeds": 1}}).searches
    assert search.job({"learning_rate": 1e-3}, 1000, 0).explain is None
    assert [job.explain for job in search.reports({"learning_rate": 1e-3})] == [ASKED, None]


@pytest.mark.parametrize(("explain", "match"), [
    ({"part": ["units"]}, "explain has no 'part'; did you mean parts"),
    ({"parts": ["unit"]}, "did you mean units"),
    ({"parts": "units"}, "parts of explain must be a list of names"),
    ({"methods": ["blurr"]}, "did you mean blur"),
    ({"seeds": 0}, "seeds of explain=0 cannot be used"),
    ({"sanity": "yes"}, r"sanity of explain \(true, false, or so many seeds\)='yes' cannot be used"),
    ({"conditions": {"a": 1}}, "condition 'a' of explain must be a mapping"),
    ({"changes": {"ball": 1}}, "change 'ball' of explain must be a mapping"),
])  # fmt: skip
def test_what_cannot_be_asked(explain: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        make_study({**SPEC, "explain": explain})


def test_jobs_look_into_their_agents_and_the_report_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sea.yaml"
    file.write_text(yaml.safe_dump({**SPEC, "explain": {**ASKED, "seeds": 1}}))
    out = tmp_path / "out"
    assert main(["study", str(file), "--out", str(out), "--quiet"]) == 0
    rows = {(row["method"], row["seed"]): row for row in read(out).rows}
    first = rows["epsilon", 0]
    assert "explained" not in rows["epsilon", 1]
    assert first["explained"]["techniques"] == {}
    folder = out / first["folder"] / "explain"
    told = json.loads((folder / "summary.json").read_text())
    assert set(told["inside"]) == {"weights", "layers"}
    assert any("set back" in number["number"] for number in told["inside"]["layers"]["numbers"]), "the run's own start"
    kept = first["explained"]["numbers"]
    assert {number["part"] for number in kept} == {"weights", "layers"}
    one = next(n for n in kept if n["number"].endswith("set back, share of all layers"))
    assert {k: v for k, v in one.items() if k != "part"} in told["inside"]["layers"]["numbers"]
    assert score(first, f"inside/layers/{one['number']}") == one["value"]
    assert math.isnan(score(first, f"inside/weights/{one['number']}")), "of another part"
    assert math.isnan(score(rows["epsilon", 1], f"inside/layers/{one['number']}"))
    table = (out / "table.md").read_text()
    assert "## sea-3, inside of the agents" in table
    assert f"| layers | {one['number']} |" in table
    assert not list((out / rows["epsilon", 1]["folder"]).glob("explain"))
    page = (out / "report.html").read_text()
    assert '<section id="inside"' in page
    assert "set back" in page
    before = folder.stat().st_mtime_ns
    capsys.readouterr()
    assert main(["study", str(file), "--out", str(out), "--table"]) == 0
    said = capsys.readouterr().out
    assert "return of the trained agents" in said
    assert "inside of the agents" not in said, "they would fill the screen"
    assert main(["study", str(file), "--out", str(out), "--quiet"]) == 0
    assert folder.stat().st_mtime_ns == before, "what is done is not done again"
