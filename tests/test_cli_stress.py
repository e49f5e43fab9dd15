"""``jostle stress``: what users type, what it leaves, and one sentence for everything that can go wrong."""

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import jostle
from jostle import stress
from jostle.cli import main
from jostle.cli.flags import parse
from jostle.cli.stress import Stress
from jostle.stress.result import read_rows
from jostle.view import play

TRAIN = [
    "train",
    "dqn",
    "--num-envs",
    "4",
    "--warmup",
    "40",
    "--hidden",
    "16",
    "--batch-size",
    "4",
    "--replay-ratio",
    "1",
    "--quiet",
]
CATCH = ["--env", "jostle/ThemedCatch-v0", "--env-options", "num_themes=4", "--encoder", "flat"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two seeds on the themed game, one with noise, and one of another game."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in ("0", "1"):
        run = [*TRAIN, *CATCH, "--replay-size", "400", "--steps", "60", "--seed", seed]
        assert main([*run, "--run-dir", str(folder / f"catch-s{seed}")]) == 0
    noisy = [*TRAIN, *CATCH, "--replay-size", "400", "--steps", "60", "--noisy", "factorised"]
    assert main([*noisy, "--run-dir", str(folder / "noisy")]) == 0
    pole = [*TRAIN, "--env", "CartPole-v1", "--replay-size", "400", "--steps", "60"]
    assert main([*pole, "--run-dir", str(folder / "pole")]) == 0
    return folder


@pytest.fixture
def gravity(tmp_path: Path) -> Path:
    """A suite of one's own for CartPole."""
    file = tmp_path / "gravity.yaml"
    text = "success: return >= 9\nconditions: [{name: full}, {name: short, env_options: {max_episode_steps: 8}}]\n"
    file.write_text(text)
    return file


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one sentence of a command that must end with 2."""
    assert main(["stress", *map(str, arguments)]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert "\n" not in said
    return said


def test_what_it_says_and_leaves(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    run = trained / "noisy"
    assert main(["stress", str(run), "--suite", "themes", "--episodes", "8", "--out", str(out), "--no-baseline"]) == 0
    said = capsys.readouterr().out
    for text in ("themes on jostle/ThemedCatch-v0, 8 episodes", "sampled", "mc:10", "loss against seen", str(out)):
        assert text in said
    assert sorted(path.name for path in out.iterdir()) == ["episodes.jsonl", "figure.png", "report.md", "summary.json"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["complete"]
    assert summary["runs"] == {"noisy": ["noisy"]}
    lines = {(x["condition"], x["noise"]): x for x in summary["lines"]}
    assert len(lines) == 4 * 3
    assert {"return", "success", "iqm", "cvar", "gap", "success_gap", "disagreement"} <= lines["test", "mc:10"].keys()
    assert "gap" not in lines["seen", "mean"]
    # The numbers are those of the table, and the table that of an evaluation.
    rows = read_rows(out / "episodes.jsonl")
    assert len(rows) == 4 * 3 * 8
    returns = [r["return"] for r in rows if (r["condition"], r["noise"]) == ("seen", "mc:10")]
    assert lines["seen", "mc:10"]["return"]["point"] == pytest.approx(sum(returns) / 8)
    agent = jostle.load(run)
    assert returns == [e.ret for e in jostle.evaluate(agent, 8, noise="mc:10").episodes]
    agent.env.close()
    report = (out / "report.md").read_text()
    assert "| test | mc:10 | " in report
    # An evaluation says the same, digit by digit.
    capsys.readouterr()
    assert main(["evaluate", str(run), "--episodes", "8", "--noise", "mc:10"]) == 0
    told = lines["seen", "mc:10"]["return"]
    digits = stress.Interval(told["point"], told["low"], told["high"], 0.95).digits
    said = capsys.readouterr().out
    assert f"{told['point']:.{digits}f}" in said
    assert f"{told['low']:.{digits}f} to {told['high']:.{digits}f}" in said
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    # The run itself still loads: nothing was changed in it.
    jostle.load(run).env.close()


def test_the_default_folder_lies_in_the_run(trained: Path, tmp_path: Path, gravity: Path) -> None:
    run = Path(shutil.copytree(trained / "pole", tmp_path / "pole"))
    short = ["stress", str(run), "--suite", str(gravity), "--episodes", "3", "--quiet", "--no-baseline"]
    assert main(short) == 0
    assert (run / "stress" / "gravity" / "report.md").exists()
    assert main(short) == 2, "what is there is not replaced"
    assert main([*short, "--overwrite", "--episodes", "4"]) == 0
    assert len(read_rows(run / "stress" / "gravity" / "episodes.jsonl")) == 8
    agent = jostle.load(run)
    saved = agent.save(tmp_path / "saved")
    agent.env.close()
    assert main(["stress", str(saved), "--suite", str(gravity), "--episodes", "2", "--quiet"]) == 0
    assert (tmp_path / "saved-stress-gravity" / "report.md").exists()
    jostle.load(saved).env.close()  # its check sums still hold


def test_seeds_of_one_method_and_another_method(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(trained / name) for name in ("catch-s0", "catch-s1", "noisy")]
    out = tmp_path / "out"
    quick = ["--suite", "themes", "--episodes", "4", "--noise", "mean", "--no-baseline", "--out", str(out)]
    assert main(["stress", *runs, *quick]) == 0
    assert "2 runs" in capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["runs"] == {"catch": ["catch-s0", "catch-s1"], "noisy": ["noisy"]}
    assert {(x["method"], x["unit"], x["runs"]) for x in summary["lines"]} == {
        ("catch", "runs", 2), ("noisy", "episodes", 1)
    }  # fmt: skip
    assert summary["improvement_over"] == "catch"
    assert 0 <= summary["improvement"]["noisy"]["mean"]["seen"]["point"] <= 1
    rows = read_rows(out / "episodes.jsonl")
    assert {row["run"] for row in rows} == {"catch-s0", "catch-s1", "noisy"}


def test_runs_are_of_one_method_by_what_they_were_asked_to_do(
    tmp_path: Path, gravity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PPO's runs never end at equal steps, for a reset is none: three seeds are one method all the same."""

    def run(name: str, seed: int, steps: int = 60, stop: int = 10**9, **settings: Any) -> int:
        agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=16, hidden=(4,), epochs=1, seed=seed, **settings)
        agent.learn(steps, run_dir=tmp_path / name, callback=lambda a: a.steps < stop)
        agent.save(tmp_path / f"{name}-saved")
        agent.env.close()
        return agent.steps

    ended = {run(f"pole-s{seed}", seed) for seed in range(3)}
    assert len(ended) > 1
    run("longer", 5, steps=90)
    run("other", 6, gamma=0.5)
    run("short", 7, stop=1)
    names = ["pole-s0", "pole-s1", "pole-s2", "longer", "other", "short"]
    for ending in ("", "-saved"):
        out = tmp_path / f"out{ending}"
        names = [name for name in names if name != "other" or not ending]
        runs = [str(tmp_path / f"{name}{ending}") for name in names]
        assert main(["stress", *runs, "--suite", str(gravity), "--episodes", "3", "--out", str(out)]) == 0
        said = capsys.readouterr()
        found = json.loads((out / "summary.json").read_text())["runs"]
        assert [len(group) for group in found.values()] == [3] + [1] * (len(names) - 3)
        assert [group[0] for group in found.values()] == [f"{name}{ending}" for name in ("pole-s0", *names[3:])]
        assert "note: short" in said.err
        assert "95% intervals over runs, of a single run over its episodes" in said.out
        assert "3 runs" in said.out
        assert "3 episodes" in said.out
    report = (tmp_path / "out" / "report.md").read_text()
    assert "of a run, 1 against 3: no interval without two runs each" in report

    shutil.copytree(tmp_path / "pole-s0", tmp_path / "copy")
    run("again", 0)
    for second in ("copy", "again"):
        both = [tmp_path / "pole-s0", tmp_path / second]
        said = error_of(capsys, *both, "--suite", gravity, "--out", tmp_path / "none")
        assert f"pole-s0 and {second} of the method " in said
        assert "they are no independent runs: give runs with training seeds of their own" in said
    assert not (tmp_path / "none").exists()


def test_checks_decide_the_exit_code(
    trained: Path, tmp_path: Path, gravity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = tmp_path / "checks.yaml"
    checks.write_text("- {condition: short, metric: return, max: 8}\n- {condition: full, metric: success, min: 0.3}\n")
    run = ["stress", str(trained / "pole"), "--suite", str(gravity), "--episodes", "10", "--assert", str(checks)]
    junit = tmp_path / "ci" / "results.xml"
    assert main([*run, "--out", str(tmp_path / "a"), "--junit", str(junit)]) == 0
    assert "2 of 2 checks passed" in capsys.readouterr().out
    assert ElementTree.parse(junit).getroot().get("failures") == "0"

    checks.write_text("- {condition: short, metric: return, min: 8.5}\n- {condition: full, metric: return, min: 1}\n")
    assert main([*run, "--out", str(tmp_path / "b"), "--quiet"]) == 1
    said = capsys.readouterr().out.strip()
    assert re.fullmatch(r"FAILED: return of short >= 8\.5, noise mean: the interval .* begins below 8\.5", said)
    root = ElementTree.parse(tmp_path / "b" / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")


def test_the_list_of_suites(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stress", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "themes", "pictures", "procgen-looks", "procgen-levels", "reach-looks", "physics-sets", "physics-sweep",
        "physics-pair", "physics-sobol", "physics-worst",
    ]  # fmt: skip


def test_what_cannot_be_tested(
    trained: Path, tmp_path: Path, gravity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pole, catch = trained / "pole", trained / "catch-s0"
    broken, empty, file = tmp_path / "broken.yaml", tmp_path / "empty", tmp_path / "file"
    broken.write_text("conditions: [{name: ")
    evil = tmp_path / "evil.yaml"
    evil.write_text('{name: "../../evil", conditions: [{name: a}]}')
    empty.mkdir()
    file.touch()
    for arguments, said in (
        ((), "needs the folder of a run: jostle stress DIR --suite NAME"),
        ((catch,), "needs --suite with one of themes, pictures, procgen-looks, procgen-levels"),
        ((catch, "--suite", "teams"), "no suite 'teams'; did you mean themes?"),
        ((pole, "--suite", "themes"), "'themes' is for jostle/ThemedCatch-v0, not CartPole-v1"),
        ((pole, "--suite", "pictures"), "pictures can be perturbed, and CartPole-v1 has observations Box[4]"),
        ((tmp_path / "none", "--suite", "themes"), "there is no folder"),
        ((empty, "--suite", "themes"), "is no run, for it has no run.json"),
        ((pole, "--suite", broken), "is no YAML"),
        ((pole, "--suite", "none.yaml"), "none.yaml cannot be read (No such file or directory)"),
        ((pole, pole, "--suite", gravity), "pole is given twice"),
        ((pole, catch, "--suite", gravity), "so that what was seen differs: test them one by one"),
        ((pole, "--suite", evil), "a suite cannot be called '../../evil': give it a name of one line without / and"),
        ((pole, "--suite", gravity, "--seed", "-1", "--out", tmp_path / "y"), "seed=-1 cannot be used: it must be"),
        ((pole, "--suite", gravity, "--noise", "meen"), "noise mode 'meen' is unknown"),
        ((pole, "--suite", gravity, "--noise", "mean", "--noise", "mc:2"), "--noise is given twice"),
        ((pole, "--suite", gravity, "--episodes", "0", "--out", tmp_path / "x"), "episodes=0 cannot be used"),
        ((pole, "--suite", gravity, "--actions", "sampled", "--out", tmp_path / "x"), "no policy to sample actions"),
        ((pole, "--suite", gravity, "--junit", "a.xml"), "give --assert FILE.yaml, too"),
        ((pole, "--suite", gravity, "--assert", "none.yaml"), "the file of checks none.yaml cannot be read"),
        ((pole, "--suite", gravity, "--out", file), "is a file: choose a folder with --out"),
        ((pole, "--suite", gravity, "--out", file / "out"), "cannot write in"),
        ((pole, "--suite", gravity, "--out", "/proc/jostle"), "cannot write in /proc/jostle"),
        ((pole, "--suite", gravity, "--epsodes", "3"), "no option --epsodes; did you mean --episodes?"),
    ):
        assert said in error_of(capsys, *arguments), arguments
    assert not (tmp_path / "y").exists()
    assert main(["evaluate", str(pole), "--seed", "-1"]) == 2
    assert capsys.readouterr().err.startswith("error: seed=-1 cannot be used: it must be a whole number from 0 to")


def test_flags_as_they_are_documented() -> None:
    args = parse(Stress, ["a", "b", "--suite", "themes", "--noise", "mean", "mc:4", "--assert", "c.yaml"], "x")
    assert args.runs == (Path("a"), Path("b"))
    assert args.noise == ("mean", "mc:4")
    assert args.checks == Path("c.yaml")


def test_ctrl_c_before_anything_is_whole(
    trained: Path, tmp_path: Path, gravity: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return play(*args, **options)

    monkeypatch.setattr("jostle.stress.run.play", interrupted)
    out = tmp_path / "out"
    assert main(["stress", str(trained / "pole"), "--suite", str(gravity), "--out", str(out)]) == 143
    assert capsys.readouterr().out == "stopped before the first measurement was whole: nothing is kept.\n"
    assert not list(out.iterdir())


def test_ctrl_c_keeps_what_was_measured(
    trained: Path, tmp_path: Path, gravity: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def interrupted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            signal.raise_signal(signal.SIGINT)
        return play(*args, **options)

    monkeypatch.setattr("jostle.stress.run.play", interrupted)
    out = tmp_path / "out"
    run = ["stress", str(trained / "pole"), "--suite", str(gravity), "--episodes", "6", "--out", str(out)]
    assert main(run) == 130
    said = capsys.readouterr().out
    assert f"stopped: 1 whole measurement (condition, mode and agent) kept in {out}" in said
    summary = json.loads((out / "summary.json").read_text())
    assert not summary["complete"]
    assert [line["condition"] for line in summary["lines"]] == ["full"]
    assert {row["condition"] for row in read_rows(out / "episodes.jsonl")} == {"full"}
    assert "was stopped" in (out / "report.md").read_text()
    assert (out / "figure.png").exists()
