"""The search for settings: what is tried, by which seeds, and what becomes of it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jostle.cli import main
from jostle.errors import ConfigError
from jostle.study import make_study, read
from jostle.study.executor import Ended
from jostle.study.jobs import Job
from jostle.study.run import run_study
from jostle.study.search import sampler as sampler_module
from jostle.study.search.ranges import Range, by_chance, read_ranges
from jostle.study.search.sampler import STARTUP, propose
from jostle.study.search.tune import Found
from jostle.study.state import known, trial_rows

RATE = {"learning_rate": {"log_uniform": [1e-4, 1e-2]}}
SPEC: dict[str, Any] = {
    "name": "sea",
    "seeds": 2,
    "steps": 400,
    "tasks": {"sea-3": {"env": "jostle/DeepSea-v0", "env_options": {"size": 3}, "num_envs": 4}},
    "methods": {
        "epsilon": {"algorithm": "dqn", "config": {"hidden": [8]}},
        "noisy": {
            "algorithm": "dqn", "config": {"hidden": [8], "noisy": "factorised"},
            "tune": {"sigma0": {"choices": [0.1, 0.5]}},
        },
    },
    "evaluate": {"episodes": 2},
    "tune": {"settings": RATE, "trials": 3, "seeds": 2, "steps": 200},
}  # fmt: skip


def spec(**changed: Any) -> Any:
    return {**SPEC, **{key: value for key, value in changed.items() if value is not None}}


def rate(job: Job) -> float:
    return float(job.asked["config"]["learning_rate"])


def worth(job: Job) -> float:
    """What the pretended training of a job is worth: best at a learning rate of 1e-3, and a little luck of the seed."""
    config = job.asked["config"]
    return -abs(math.log10(rate(job)) + 3) + 0.01 * job.seed % 7 + config.get("sigma0", 0)


class Pretended:
    """An executor without processes: jobs are worth what `worth` says, and fail where they are told to."""

    def __init__(self, fail: Any = lambda job: False) -> None:
        self.ran: list[Job] = []
        self.fail = fail

    def __call__(self, folders: Any, *, stop: Any, started: Any, tick: Any) -> Any:
        for folder in folders:
            if stop():
                return
            started(folder)
            job = Job.of(json.loads((folder / "job.json").read_text()))
            self.ran.append(job)
            if self.fail(job):
                yield Ended(folder, 1, 1.0, 1)
                continue
            row = {
                **{name: getattr(job, name) for name in ("task", "method", "seed", "key", "measured")},
                "steps": job.asked["steps"], "settings": job.asked["config"], "versions": {"jostle": "1"},
                "processor": "x", "curve": {"steps": [1, 2], "return": [0.0, 1.0]},
                "scores": {"evaluate": {"return": worth(job)}}, "memory": 1, "seconds": {"train": 2.0, "measure": 0.0},
            }  # fmt: skip
            (folder / "result.json").write_text(json.dumps(row))
            yield Ended(folder, 0, 1.0, 1)


def test_values_of_ranges() -> None:
    assert [Range("integer", (1, 4)).at(u) for u in (0.0, 0.26, 0.5, 0.999)] == [1, 2, 3, 4]
    assert [Range("choices", ("a", "b", "c")).at(u) for u in (0.0, 0.34, 0.99)] == ["a", "b", "c"]
    assert Range("uniform", (-1.0, 1.0)).at(0.25) == -0.5
    assert Range("log_uniform", (1e-4, 1.0)).at(0.25) == pytest.approx(1e-3)
    assert Range("uniform", (0.0, 0.1234567)).at(0.9999999) == 0.1234567  # four digits would lie outside
    assert Range("log_uniform", (1e-4, 1e-2)).at(0.123) == float(f"{1e-4 * 100**0.123:.4g}")


def test_chance_depends_on_name_seed_and_trial_alone() -> None:
    ranges = read_ranges({**RATE, "hidden": {"choices": [[8], [16]]}}, "here")
    drawn = [by_chance(ranges, 0, trial) for trial in range(200)]
    alone = [by_chance({"learning_rate": ranges["learning_rate"]}, 0, trial) for trial in range(200)]
    assert [one["learning_rate"] for one in drawn] == [one["learning_rate"] for one in alone]
    assert by_chance(ranges, 1, 0) != drawn[0]
    logs = np.log10([one["learning_rate"] for one in drawn])
    assert abs(np.mean(logs) + 3) < 0.15
    assert logs.min() > -4
    assert logs.max() < -2
    assert 60 < sum(one["hidden"] == [8] for one in drawn) < 140


def test_a_study_searches_and_reports_by_other_seeds(tmp_path: Path) -> None:
    study = make_study(spec())
    assert dict(study.plan) == {
        ("sea-3", "epsilon, search"): 6, ("sea-3", "epsilon"): 2, ("sea-3", "noisy, search"): 6, ("sea-3", "noisy"): 2,
    }  # fmt: skip
    executor = Pretended()
    outcome = run_study(study, tmp_path, executor=executor)
    assert (len(outcome.done), outcome.failed, outcome.left, outcome.later) == (16, [], [], 0)
    tried, reported = ([job for job in executor.ran if (job.trial is None) is late] for late in (False, True))
    assert {job.seed for job in tried} == {1000, 1001}
    assert {job.asked["steps"] for job in tried} == {200}
    assert [job.seed for job in reported] == [0, 0, 1, 1]
    assert {job.asked["steps"] for job in reported} == {400}
    rates = {method: [rate(job) for job in tried if job.method == method] for method in study.methods}
    assert rates["epsilon"] == rates["noisy"]  # the shared range is tried at the same values
    for method in study.methods:
        mine = {job.trial: [other for other in tried if (other.method, other.trial) == (method, job.trial)]
                for job in tried if job.method == method}  # fmt: skip
        values = {trial: np.mean([worth(job) for job in jobs]) for trial, jobs in mine.items()}
        best = max(values, key=values.__getitem__)
        chosen = mine[best][0].asked["config"]
        assert all(job.asked["config"] == chosen for job in reported if job.method == method)
        rows = [row for row in read(tmp_path).search if row["method"] == method]
        assert [row["trial"] for row in rows] == [0, 1, 2]
        assert [row["value"] for row in rows] == pytest.approx(list(values.values()))
        assert [row["trial"] for row in rows if row["chosen"]] == [best]
    found = read(tmp_path)
    assert [(row["method"], row["seed"]) for row in found.rows] == [
        ("epsilon", 0), ("noisy", 0), ("epsilon", 1), ("noisy", 1),
    ]  # fmt: skip
    assert all(row["chosen"]["settings"]["learning_rate"] == row["settings"]["learning_rate"] for row in found.rows)


def test_what_was_tried_is_not_tried_again(tmp_path: Path) -> None:
    first = Pretended()
    run_study(make_study(spec()), tmp_path, executor=first, most=5)
    assert len(first.ran) == 5
    assert not read(tmp_path).rows
    second = Pretended()
    run_study(make_study(spec()), tmp_path, executor=second)
    keys = [job.key for job in first.ran + second.ran]
    assert len(keys) == len(set(keys)) == 16
    again, more = Pretended(), Pretended()
    run_study(make_study(spec()), tmp_path, executor=again)
    assert again.ran == []
    before = {path: path.read_text() for path in tmp_path.glob("*/*/*/result.json")}
    run_study(make_study(spec(tune={**SPEC["tune"], "trials": 4})), tmp_path, executor=more)
    assert {job.trial for job in more.ran} <= {3, None}
    assert sum(job.trial == 3 for job in more.ran) == 4
    assert {path: path.read_text() for path in before} == before


def test_a_trial_that_fails_is_not_chosen_and_tried_again_the_next_time(tmp_path: Path) -> None:
    study = make_study(spec(methods={"epsilon": SPEC["methods"]["epsilon"]}))
    (search,) = study.searches
    free = [search.trial(n, by_chance(search.ranges, 0, n), Found(tmp_path, lambda *_: None)) for n in range(3)]
    best = max(free, key=lambda trial: np.mean([worth(job) for job in trial.jobs])).number
    outcome = run_study(study, tmp_path, executor=Pretended(lambda job: job.trial == best and job.seed == 1001))
    assert len(outcome.failed) == 1
    rows = read(tmp_path).search
    assert [row["value"] is None for row in rows] == [n == best for n in range(3)]
    assert rows[best]["failed"] == [1001]
    chosen = next(row["trial"] for row in rows if row["chosen"])
    assert chosen != best
    assert {row["chosen"]["trial"] for row in read(tmp_path).rows} == {chosen}
    executor = Pretended()
    outcome = run_study(study, tmp_path, executor=executor)
    assert [job.trial for job in executor.ran] == [best, None, None]
    assert {row["chosen"]["trial"] for row in read(tmp_path).rows} == {best}


def test_nothing_reports_where_every_trial_failed(tmp_path: Path) -> None:
    outcome = run_study(make_study(spec()), tmp_path, executor=Pretended(lambda job: True), fail_fast=False)
    assert (len(outcome.failed), outcome.later) == (12, 4)


def test_tpe_proposes_from_what_was_found(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra tune is not installed")
    tune = {**SPEC["tune"], "sampler": "tpe", "trials": STARTUP + 6, "seeds": [7], "seed": 3}
    study = make_study(spec(tune=tune))
    executor = Pretended()
    run_study(study, tmp_path / "whole", executor=executor)
    rates = [rate(job) for job in executor.ran if job.trial is not None and job.method == "epsilon"]
    assert rates[:STARTUP] == [by_chance(read_ranges(RATE, "here"), 3, n)["learning_rate"] for n in range(STARTUP)]
    away = [abs(math.log10(each) + 3) for each in rates]
    assert np.mean(away[STARTUP:]) < np.mean(away[:STARTUP])
    parts = Pretended()
    for most in (3, 9, 1, 99):
        run_study(make_study(spec(tune=tune)), tmp_path / "parts", executor=parts, most=most)
    assert {job.key for job in parts.ran} == {job.key for job in executor.ran}
    assert len(parts.ran) == len(executor.ran)


def test_proposals_stay_whatever_another_version_would_propose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="the extra tune is not installed")
    tune = {**SPEC["tune"], "sampler": "tpe", "trials": STARTUP + 2, "seeds": [7]}
    study = make_study(spec(methods={"epsilon": SPEC["methods"]["epsilon"]}, tune=tune))
    run_study(study, tmp_path, executor=Pretended())
    before = list(trial_rows(study, tmp_path))

    def other(*_: Any) -> Any:
        raise AssertionError("nothing is to be proposed again")

    monkeypatch.setattr(sampler_module, "propose", other)
    assert list(trial_rows(study, tmp_path)) == before


def test_proposals_lie_in_their_ranges() -> None:
    pytest.importorskip("optuna", reason="the extra tune is not installed")
    ranges = read_ranges(
        {**RATE, "n": {"integer": [1, 3]}, "h": {"choices": [[8], [8, 8]]}, "u": {"uniform": [0.0, 0.33333]}}, "here"
    )
    before: list[Any] = []
    for number in range(STARTUP + 4):
        settings = propose(ranges, 0, before)
        assert 1e-4 <= settings["learning_rate"] <= 1e-2
        assert settings["n"] in (1, 2, 3)
        assert settings["h"] in ([8], [8, 8])
        assert 0 <= settings["u"] <= 0.33333
        before.append((settings, None if number == 2 else float(settings["n"])))


def test_the_search_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "sea.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(SPEC))
    assert main(["study", str(file), "--out", str(out), "--dry-run", "--jobs", "2"]) == 0
    said = capsys.readouterr().out
    assert "16 jobs left, 2 at once" in said
    assert "epsilon, search" in said
    told = "epsilon, noisy are chosen by random search by seeds 1000, 1001, which do not report: the same 3 trials of 2"
    assert told in " ".join(said.split())
    assert not list(out.glob("*"))
    run_study(make_study(SPEC), out, executor=Pretended(), most=12)
    assert main(["study", str(file), "--out", str(out), "--dry-run", "--jobs", "2"]) == 0
    assert "4 jobs left, 2 at once: about 4 s" in capsys.readouterr().out  # by the trials, 2 s each
    run_study(make_study(SPEC), out, executor=Pretended())
    assert main(["study", str(file), "--out", str(out), "--table"]) == 0
    text = (out / "table.md").read_text()
    assert told in text
    trial = known(make_study(SPEC), out).chosen
    for search, best in trial.items():
        assert best is not None
        settings = ", ".join(f"{name}={value:g}" for name, value in best.settings.items())
        assert f"| sea-3 | {search.method} | {settings} | {best.value:.4g} | 3 | 0 | 200 |" in text


@pytest.mark.parametrize(("changed", "match"), [
    ({"tune": {**SPEC["tune"], "seeds": [5, 1]}}, "seed 1 would choose settings and report of them"),
    ({"tune": {**SPEC["tune"], "trial": 3}}, "did you mean trials"),
    ({"tune": {**SPEC["tune"], "trials": 0}}, "trials of tune=0 cannot be used"),
    ({"tune": {**SPEC["tune"], "steps": 0.5}}, "steps of tune=0.5 cannot be used"),
    ({"tune": {**SPEC["tune"], "sampler": "bayes"}}, "sampler='bayes'"),
    ({"tune": {**SPEC["tune"], "seed": -1}}, "seed=-1 of tune"),
    ({"tune": {**SPEC["tune"], "measure": "evaluat"}}, "measure='evaluat', which is not measured"),
    ({"tune": {**SPEC["tune"], "measure": "stress/themes/seen|mean"}}, "which is not measured"),
    ({"tune": {**SPEC["tune"], "settings": {"learning_rat": RATE["learning_rate"]}}}, "did you mean learning_rate"),
    ({"tune": {**SPEC["tune"], "settings": {"gamma": {"uniform": [0.5, 2]}}}}, "gamma=2"),
    ({"tune": {**SPEC["tune"], "settings": {"gamma": [0.5, 0.9]}}}, "gamma in tune"),
    ({"tune": {**SPEC["tune"], "settings": {"gamma": {"log_unifrom": [0.5, 0.9]}}}}, "did you mean log_uniform"),
    ({"tune": {**SPEC["tune"], "settings": {"gamma": {"log_uniform": [0.0, 0.9]}}}}, "give two numbers above 0"),
    ({"tune": {**SPEC["tune"], "settings": {"gamma": {"uniform": [0.9, 0.5]}}}}, "the lower one first"),
    ({"tune": {**SPEC["tune"], "settings": {"hidden": {"choices": []}}}}, "is no range"),
    ({"tune": {**SPEC["tune"], "settings": {"batch_size": {"integer": [8, 16.5]}}}}, "give two whole numbers"),
    ({"tune": {"trials": 3}, "methods": {"epsilon": {"algorithm": "dqn"}}}, "no settings to search for"),
])  # fmt: skip
def test_what_is_no_search(changed: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        make_study(spec(**changed))


def test_a_range_needs_a_budget() -> None:
    with pytest.raises(ConfigError, match="'noisy' has a range to search: give the study a tune block"):
        make_study({key: value for key, value in SPEC.items() if key != "tune"})


def test_tpe_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    ranges = read_ranges(RATE, "here")
    with pytest.raises(ConfigError, match=r'pip install "jostle\[tune\]"'):
        propose(ranges, 0, [({"learning_rate": 1e-3}, 0.0)] * STARTUP)
