"""The committed studies: their files read, their rows are theirs, and the tables in docs are made of those rows."""

import warnings
from functools import cache
from pathlib import Path

import pytest

from jostle.study import Study, read, read_study
from jostle.study.shown.tables import parts_of, report

STUDIES = Path(__file__).parents[1] / "benchmarks" / "studies"
NAMES = sorted(path.stem for path in STUDIES.glob("*.yaml"))
HEAVY = ("network_randomization",)
"""Whose tables take longer than a test of every day may."""


@cache
def study(name: str) -> Study:
    with warnings.catch_warnings(action="ignore"):  # of settings that are there to be shown to fail
        return read_study(STUDIES / f"{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_of_a_job_and_none_stands_twice(name: str) -> None:
    jobs = {(job.task, job.method, job.seed): (job.key, job.measured) for job in study(name).jobs}
    rows = read(STUDIES / name).rows
    assert len(rows) > 100
    places = [(row["task"], row["method"], row["seed"]) for row in rows]
    assert len(set(places)) == len(places)
    assert all(jobs[place] == (row["key"], row["measured"]) for place, row in zip(places, rows, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_row_was_made_with_the_settings_of_its_job(name: str) -> None:
    jobs = {job.key: job.asked for job in study(name).jobs}
    for row in read(STUDIES / name).rows:
        asked, settings = jobs[row["key"]], row["settings"]
        assert settings["env"] == asked["env"]
        if asked["algorithm"] != "random":
            assert (settings["steps"], settings["num_envs"]) == (asked["steps"], asked["num_envs"])
            told = {key: settings.get(key) for key in asked["config"]}
            assert told == asked["config"], (row["task"], row["method"])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in NAMES]
)
def test_the_committed_table_is_made_of_the_committed_rows(name: str) -> None:
    spec = study(name)
    text = (STUDIES / name / "table.md").read_text(encoding="utf-8")
    assert text == report(spec.name, read(STUDIES / name), spec.show)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_the_file_is_committed_and_no_other(name: str) -> None:
    spec, found = study(name), read(STUDIES / name)
    drawn = {path.stem for path in (STUDIES / name).glob("*.png")}
    parts = list(parts_of(found, spec.show))
    wanted = {f"across-{each.name}" for each in spec.show.across} | ({"together"} if spec.show.together else set())
    wanted |= {f"intervals-{part.name}" for part in parts if part.intervals}
    if "curves" in spec.show.figures:
        wanted |= {f"curves-{part.name}" for part in parts}
    if "conditions" in spec.show.figures:
        suites = {job.task: [one["suite"] for one in job.stress] for job in spec.jobs}
        wanted |= {f"{suite}-{part.name}" for part in parts for suite in suites[part.task]}
    assert drawn == wanted
