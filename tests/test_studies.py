"""The committed studies: their files read, their rows are theirs, and the tables in docs are made of those rows."""

import re
import shutil
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import jostle
from jostle.cli import main
from jostle.study import Results, Study, read, read_study
from jostle.study.results import score
from jostle.study.shown.tables import parts_of, report

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "benchmarks" / "studies"
ROWS = {
    "cartpole": 27,
    "coverage": 40,
    "exploration": 641,
    "inside": 25,
    "network_randomization": 342,
    "physics": 64,
    "reach": 9,
    "streams": 57,
}
"""How many runs there are at least: evidence is added, and never lost."""
NAMES = sorted(path.stem for path in STUDIES.glob("*.yaml"))
HEAVY = ("network_randomization",)
"""Whose tables take longer than a test of every day may."""
SLOW = [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in NAMES]


@cache
def study(name: str) -> Study:
    with warnings.catch_warnings(action="ignore"):  # of settings that are there to be shown to fail
        return read_study(STUDIES / f"{name}.yaml")


@cache
def found(name: str) -> Results:
    return read(STUDIES / name)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_of_a_job_and_none_stands_twice(name: str) -> None:
    jobs = {(job.task, job.method, job.seed): (job.key, job.measured) for job in study(name).jobs}
    rows = found(name).rows
    assert len(rows) >= ROWS[name]
    places = [(row["task"], row["method"], row["seed"]) for row in rows]
    assert len(set(places)) == len(places)
    assert all(jobs[place] == (row["key"], row["measured"]) for place, row in zip(places, rows, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_row_was_made_with_the_settings_of_its_job(name: str) -> None:
    jobs = {job.key: job.asked for job in study(name).jobs}
    for row in found(name).rows:
        asked, settings = jobs[row["key"]], row["settings"]
        assert settings["env"] == asked["env"]
        if asked["algorithm"] != "random":
            assert (settings["steps"], settings["num_envs"]) == (asked["steps"], asked["num_envs"])
            told = {key: settings.get(key) for key in asked["config"]}
            assert told == asked["config"], (row["task"], row["method"])


@pytest.mark.parametrize("name", NAMES)
def test_a_row_has_what_its_job_measures(name: str) -> None:
    jobs = {job.key: job for job in study(name).jobs}
    for row in found(name).rows:
        job, scores = jobs[row["key"]], row["scores"]
        assert job.evaluations.keys() == {each for each in scores if each.startswith("evaluate")}
        for measure, asked in job.evaluations.items():
            assert scores[measure]["episodes"] == asked["episodes"]
            assert scores[measure]["noise"] == asked.get("noise", "mean")
            assert scores[measure]["actions"] == asked.get("actions", "greedy")
        assert [each["suite"] for each in job.stress] == list(scores.get("stress") or {})
        assert {*row.get("courses", {})} <= {*job.metrics}


@pytest.mark.parametrize("name", SLOW)
def test_the_committed_table_is_made_of_the_committed_rows(name: str) -> None:
    spec = study(name)
    text = (STUDIES / name / "table.md").read_text(encoding="utf-8")
    assert text == report(spec.name, found(name), spec.show)


@pytest.mark.parametrize("name", [name for name in NAMES if ROWS[name] < 100])
def test_the_command_makes_the_tables_and_leaves_the_rows(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    shutil.copytree(STUDIES / name, out)
    rows, table = (out / "results.jsonl").read_bytes(), (out / "table.md").read_bytes()
    (out / "table.md").unlink()
    with warnings.catch_warnings(action="ignore"):
        assert main(["study", str(STUDIES / f"{name}.yaml"), "--out", str(out), "--table", "--quiet"]) == 0
    assert (out / "table.md").read_bytes() == table
    assert (out / "results.jsonl").read_bytes() == rows
    assert len((out / "results.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(found(name).rows)
    assert not list(out.glob("*/*/*/job.json"))


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_the_file_is_committed_and_no_other(name: str) -> None:
    spec = study(name)
    drawn = {path.stem for path in (STUDIES / name).glob("*.png")}
    parts = list(parts_of(found(name), spec.show))
    wanted = {f"across-{each.name}" for each in spec.show.across} | ({"together"} if spec.show.together else set())
    wanted |= {f"intervals-{part.name}" for part in parts if part.intervals}
    if "curves" in spec.show.figures:
        wanted |= {f"curves-{part.name}" for part in parts}
    if "conditions" in spec.show.figures:
        suites = {job.task: [one["suite"] for one in job.stress] for job in spec.jobs}
        wanted |= {f"{suite}-{part.name}" for part in parts for suite in suites[part.task]}
    assert drawn == wanted


def section(path: str, heading: str) -> list[str]:
    """The lines of a page's section."""
    text = (ROOT / path).read_text(encoding="utf-8")
    level = heading.partition(" ")[0]
    return re.split(rf"^#{{2,{len(level)}}} ", text.split(f"\n{heading}\n", 1)[1], flags=re.MULTILINE)[0].splitlines()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def by_seed(name: str, task: str, method: str, measure: str) -> list[float]:
    rows = [row for row in found(name).rows if (row["task"], row["method"]) == (task, method)]
    return [score(row, measure) for row in sorted(rows, key=lambda row: row["seed"])]


def test_the_tables_of_cartpole_are_quoted_word_by_word() -> None:
    told = (STUDIES / "cartpole" / "table.md").read_text(encoding="utf-8").splitlines()
    quoted = [line for line in section("benchmarks/README.md", "## CartPole-v1") if line.startswith("|")]
    assert len(quoted) > 10
    assert [line for line in quoted if line not in told] == []


def test_the_claims_about_the_inside_are_quoted_word_by_word() -> None:
    told = [line for line in (STUDIES / "inside" / "table.md").read_text(encoding="utf-8").splitlines()
            if line.endswith(("| holds |", "| not seen |", "| the opposite |"))]  # fmt: skip
    quoted = section("docs/explain-inside.md", "## What published claims hold here")
    assert [line for line in quoted if line.startswith("|")][2:] == told
    assert len(told) == sum(len(part.claims) for part in study("inside").show.parts) == 11


PLACES = {
    "MountainCarContinuous, chosen on": "mountaincar-continuous", "Acrobot": "acrobot", "Pendulum": "pendulum",
    "nine rooms of 5×5 cells, 19×19 pixels": "rooms", "MiniGrid-KeyCorridorS4R3": "keycorridor",
    "MiniGrid-SimpleCrossingS11N5": "simplecrossing",
}  # fmt: skip
METHODS = {"frozen random policy": "frozen", "RND": "rnd", "[E3B](e3b.md)": "e3b", "E3B": "e3b"}


def test_places_seen_are_those_of_the_rows() -> None:
    lines = [cells(line) for line in section("docs/rnd.md", "## Defaults for vectors") if line.startswith("| ")]
    head, *rows = lines[:6]
    assert head[3:5] == ["frozen random policy", "RND"]
    assert len(rows) == 5
    for task, _, steps, *numbers in rows:
        assert f"{study_steps(PLACES[task]):,}" == steps
        for method, told in zip(("frozen", "rnd"), numbers, strict=True):
            seen = [f"{value:,.0f}" for value in by_seed("coverage", PLACES[task], method, "metric/coverage/cells")]
            assert told.removesuffix(", all there are") == ", ".join(seen)


def study_steps(task: str) -> int:
    return next(job.asked["steps"] for job in study("coverage").jobs if job.task == task)


def test_what_episodes_see_on_grids_is_that_of_the_rows() -> None:
    lines = [cells(line) for line in section("docs/rnd.md", "### On grids, E3B") if line.startswith("| ")]
    task, count = "", 0
    for where, method, places, episode in lines[1:]:
        task = where or task
        numbers = by_seed("coverage", PLACES[task], METHODS[method], "metric/coverage/cells")
        assert places == ", ".join(f"{value:.0f}" for value in numbers)
        ends = [np.mean(by_seed("coverage", PLACES[task], METHODS[method], f"{end}/coverage/cells_per_episode"))
                for end in ("early", "late")]  # fmt: skip
        assert [float(part) for part in episode.split(" to ")] == pytest.approx(ends, abs=0.051)
        count += 1
    assert count == 6


@pytest.mark.parametrize(("page", "heading", "quoted"), [
    ("ppo", "### Several streams in one network", [
        ("e3b-1e-6-before", "evaluate", 0.11), ("e3b-1e-6", "evaluate", 0.96), ("none", "evaluate/sampled", 0.89),
        ("e3b-1e-6-before", "evaluate/sampled", 0.65), ("e3b-1e-6", "evaluate/sampled", 0.88),
        ("e3b-1e-6-popart", "evaluate/sampled", 0.88), ("e3b-popart", "evaluate/sampled", 0.46),
        ("e3b", "evaluate/sampled", 0.54),
    ]),
    ("bonuses", "## Results", [
        ("none", "evaluate/sampled", 0.89), ("e3b-1e-6-before", "evaluate/sampled", 0.65),
        ("e3b-1e-6", "evaluate/sampled", 0.88), ("all-1e-6-before", "evaluate/sampled", 0.63),
        ("all-1e-6", "evaluate/sampled", 0.90), ("e3b-before", "evaluate/sampled", 0.48),
        ("e3b", "evaluate/sampled", 0.54), ("rnd-before", "evaluate/sampled", 0.67), ("rnd", "evaluate/sampled", 0.82),
    ]),
])  # fmt: skip
def test_returns_of_streams_that_pages_quote(page: str, heading: str, quoted: list[tuple[str, str, float]]) -> None:
    text = "\n".join(section(f"docs/{page}.md", heading))
    for method, measure, value in quoted:
        assert np.mean(by_seed("streams", "empty", method, measure)) == pytest.approx(value, abs=5e-3), method
        assert f"{value:.2f}" in text


def test_the_rooms_are_as_their_study_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    job = next(job for job in study("coverage").jobs if job.task == "rooms")
    env = jostle.envs.make_env(job.asked["env"], 2, **job.asked["env_options"])
    obs, info = env.reset()
    rng, seen = np.random.default_rng(0), set()
    for _ in range(300):
        for picture, (column, row) in zip(obs, info["agent_pos"], strict=True):
            assert picture.shape == (19, 19)
            assert np.argwhere(picture == 255).tolist() == [[row, column]]
            seen.add((row, column))
        obs, _, _, _, info = env.step(rng.integers(4, size=2))
    env.close()
    free = np.argwhere(obs[0] != 100)
    assert seen <= {(row, column) for row, column in free}
    assert len(free) == 237  # "all there are" in docs/rnd.md
