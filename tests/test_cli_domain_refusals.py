"""What people get wrong about a domain, at the command: one sentence, exit code 2, and nothing lost or left behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jostle.cli import main
from jostle.yaml_text import parse_yaml

TRAIN = ["train", "ppo", "--num-envs", "2", "--num-steps", "16", "--hidden", "8", "--quiet", "--env"]
PENDULUM = "jostle/Pendulum-v1"

DOMAINS = {
    "misspelt": (
        "rod.mas: [0.5, 2]",
        "has no quantity rod.mas (`jostle domain show` lists them); did you mean rod.mass",
    ),
    "negative": ("rod.mass: [-1, 2]", "would reach -1 kg, and makes sense from 0.01 to 100 kg"),
    "scaled below": ("rod.mass: {uniform: [-1, 2], operation: scale}", "would reach -1 kg"),
    "inverted": ("rod.mass: [2, 0.5]", "has inverted bounds: give the lower one first"),
    "nan": ("rod.mass: [.nan, 2]", "with low=nan cannot be drawn from: it must be a finite number"),
    "infinite": ("rod.mass: [0.5, .inf]", "with high=inf cannot be drawn from"),
    "nan alone": ("rod.mass: .nan", "with value=nan cannot be drawn from"),
    "another's": ("pole.mass: [0.1, 0.2]", "jostle/Pendulum-v1 has no quantity pole.mass"),
    "a mujoco one": ("torso.mass: [3, 4]\ngravity.z: [-12, -9]", "jostle/Pendulum-v1 has no quantity torso.mass"),
    "text": ("rod.mass: heavy", "'heavy' says no distribution"),
    "twice": ("parameters: {rod.mass: [1, 2]}\nmore: 1", "there is no key 'more'"),
    "no kind": ("rod.mass: {unifrm: [1, 2]}", "there is no key 'unifrm'; did you mean uniform"),
    "no yaml": ("rod.mass: [1, 2", "is no YAML"),
    "a list": ("- rod.mass", "must be a mapping"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("domains")
    for name, (text, _) in DOMAINS.items():
        (folder / f"{name.replace(' ', '-')}.yaml").write_text(text + "\n")
    (folder / "good.yaml").write_text("rod.mass: [0.5, 2]\n")
    return folder


@pytest.fixture(scope="module")
def run(files: Path) -> Path:
    arguments = [*TRAIN, PENDULUM, "--domain", str(files / "good.yaml"), "--steps", "64", "--run-dir"]
    assert main([*arguments, str(files / "run")]) == 0
    return files / "run"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence that a command ends with."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert "Traceback" not in said
    return said


def file_of(files: Path, name: str) -> str:
    return str(files / f"{name.replace(' ', '-')}.yaml")


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_that_cannot_be_is_refused_by_every_command(
    name: str, files: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, says = file_of(files, name), DOMAINS[name][1]
    before = sorted(str(p) for p in run.rglob("*"))
    commands = {
        "train": [*TRAIN, PENDULUM, "--steps", "64", "--run-dir", str(tmp_path / "new"), "--domain", file],
        "train, evaluated": [
            *TRAIN, PENDULUM, "--steps", "64", "--run-dir", str(tmp_path / "new"), "--eval-every", "32",
            "--eval-domain", file,
        ],
        "show": ["domain", "show", PENDULUM, "--domain", file],
        "evaluate": ["evaluate", str(run), "--domain", file, "--json", str(tmp_path / "e.json")],
        "watch": ["watch", str(run), "--domain", file, "--video", str(tmp_path / "v.mp4")],
        "stress": ["stress", str(run), "--suite", "physics-sweep", "--domain", file, "--out", str(tmp_path / "s")],
        "resume": ["resume", str(run), "--steps", "32", "--env-options", f"domain={file}"],
        "resume, evaluated": ["resume", str(run), "--steps", "32", "--eval-every", "16", "--eval-domain", file],
    }  # fmt: skip
    for command, arguments in commands.items():
        assert says in refused(capsys, *arguments), command
        assert list(tmp_path.iterdir()) == [], command
        assert sorted(str(p) for p in run.rglob("*")) == before, command
    assert main(["evaluate", str(run), "--episodes", "1", "--quiet"]) == 0, "the run is as it was"


SCHEDULES = {
    "andr(high=1, low=0)": "the domain schedule 'andr' is unknown; did you mean adr",
    "adr": "the domain schedule adr needs high and low: write it as adr(high=…, low=…)",
    "adr(high=1)": "needs low",
    "adr(high=0, low=1)": "low=1 above high=0",
    "adr(hi=1, low=0)": "has no setting 'hi'; did you mean high",
    "adr(high=.nan, low=0)": "cannot be",
    "adr(high=much, low=0)": "high='much' of the domain schedule adr must be a number",
    "adr(high=1, low=0, episodes=2.5)": "give a whole number, 1 or more",
    "rollback(high=1, low=0, patience=.nan)": "cannot be",
    "rollback(high=1, low=0, patience=1.5)": "cannot be",
    "linear": "needs steps",
    "linear(steps=0)": "cannot be",
    "linear(steps=.nan)": "cannot be",
    "doraemon(alpha=2)": "cannot be",
    "doraemon(concentration=1)": "cannot be",
    "doraemon(threshold=.nan)": "cannot be",
    "doraemon(epsilon=.nan)": "cannot be",
    "plr": "the schedule plr replays the values of one parameter",
    "adr high=1": "is no schedule: write it as adr(high=1600, low=800)",
    "nowhere.yaml": "nowhere.yaml cannot be read",
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_that_cannot_be_is_refused(
    schedule: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*TRAIN, PENDULUM, "--steps", "64", "--run-dir", str(tmp_path / "new")]
    good = ["--domain", file_of(files, "good")]
    assert SCHEDULES[schedule] in refused(capsys, *arguments, *good, "--domain-schedule", schedule)
    assert not (tmp_path / "new").exists()


def test_what_goes_with_no_domain_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*TRAIN, PENDULUM, "--steps", "64", "--run-dir", str(tmp_path / "new")]
    assert "there is none: give domain" in refused(capsys, *arguments, "--domain-schedule", "uniform")
    assert "there is none: give domain" in refused(capsys, *arguments, "--domain-privileged")
    said = refused(capsys, *arguments, "--eval-every", "32", "--eval-domain", "train")
    assert "asks for the domain of the training, and it had none" in said
    assert "give a domain and domain_privileged=True and" in refused(capsys, *arguments, "--draw-recovery", "1")
    assert "domain_history=-3 cannot be used" in refused(capsys, *arguments, "--domain-history", "-3")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["train ppo", "train dqn", "evaluate", "watch", "stress", "resume"])
def test_help_says_what_a_domain_is(command: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*command.split(), *([str(run)] if command == "resume" else []), "--help"]
    assert main(arguments) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    if command.startswith("train"):
        for flag in ("--domain FILE", "--domain-schedule NAME(…)|FILE", "--domain-privileged", "--domain-history INT"):
            assert flag in said
        assert "--eval-domain train|FILE|nominal" in said
        assert "`jostle domain show ENV` lists what can" in said
    elif command == "resume":
        assert "--eval-domain train|FILE|nominal" in said
    else:
        assert "--domain train|FILE" in said
        assert "without, the world is nominal" in said


# ---- evaluations within a training ----


def training_of(run: Path) -> dict[str, object]:
    training: dict[str, object] = parse_yaml((run / "config.yaml").read_text())["training"]
    return training


def test_evaluations_are_nominal_or_as_one_asks(files: Path, tmp_path: Path) -> None:
    (tmp_path / "fixed.yaml").write_text("rod.mass: 0.05\nrod.length: 0.4\n")
    fixed = {"parameters": {"rod.mass": {"constant": 0.05}, "rod.length": {"constant": 0.4}}}
    asked: dict[str, tuple[list[str], object]] = {
        "nominal": ([], None),
        "train": (["--eval-domain", "train"], "train"),
        "fixed": (["--eval-domain", str(tmp_path / "fixed.yaml")], fixed),
        "option": (["--eval-env-options", f"domain={tmp_path / 'fixed.yaml'}"], fixed),
        "option-train": (["--eval-env-options", "domain=train"], "train"),
    }
    base = [*TRAIN, PENDULUM, "--domain", file_of(files, "good"), "--domain-privileged", "--domain-history", "3"]
    base += ["--steps", "64", "--eval-every", "64", "--eval-episodes", "2", "--log-every", "64"]
    found = {}
    for name, (more, kept) in asked.items():
        assert main([*base, *more, "--run-dir", str(tmp_path / name)]) == 0
        assert training_of(tmp_path / name)["eval_domain"] == kept
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        found[name] = next(parse_yaml(line)["eval/return_mean"] for line in lines if "eval/return_mean" in line)
    assert len({found["nominal"], found["train"], found["fixed"]}) == 3
    assert found["option"] == found["fixed"]
    assert found["option-train"] == found["train"]
    config = str(tmp_path / "fixed" / "config.yaml")
    (tmp_path / "fixed.yaml").unlink()  # the run holds the domain itself
    assert main(["train", "ppo", "--config", config, "--quiet", "--run-dir", str(tmp_path / "again")]) == 0
    assert training_of(tmp_path / "again") == training_of(tmp_path / "fixed")


def test_a_resumed_run_is_evaluated_as_before_or_otherwise(files: Path, run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    more = ["--steps", "32", "--quiet"]
    assert main(["resume", str(copy), *more, "--eval-every", "32", "--eval-domain", file_of(files, "good")]) == 0
    kept = training_of(copy)["eval_domain"]
    assert kept == {"parameters": {"rod.mass": {"uniform": [0.5, 2.0]}}}
    assert main(["resume", str(copy), *more]) == 0
    assert training_of(copy)["eval_domain"] == kept
    assert main(["resume", str(copy), *more, "--eval-domain", "train"]) == 0
    assert training_of(copy)["eval_domain"] == "train"
    assert main(["resume", str(copy), *more, "--eval-domain", "nominal"]) == 0
    assert training_of(copy)["eval_domain"] is None


# ---- models ----


def test_models_that_cannot_be_or_do_not_fit(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mujoco")
    (tmp_path / "broken.xml").write_text("<mujoco><worldbody><body><joint/></body></worldbody></mujoco>")
    (tmp_path / "odd.xml").write_text("<mujoco><wordbody/></mujoco>")
    task = ["--env-options", "task=jostle.envs.engines.mujoco.tasks.runners:Hopper"]
    arguments = ["--steps", "64", "--run-dir", str(tmp_path / "new"), *task]
    said = refused(capsys, *TRAIN, str(tmp_path / "broken.xml"), *arguments)
    assert "MuJoCo cannot compile" in said
    assert "mend the file" in said
    assert "MuJoCo cannot compile" in refused(capsys, *TRAIN, str(tmp_path / "odd.xml"), *arguments)
    assert "There is no MJCF file" in refused(capsys, *TRAIN, str(tmp_path / "none.xml"), *arguments)
    assert not (tmp_path / "new").exists()
    small = [*TRAIN, "jostle/Hopper-v5", "--steps", "32", "--env-options", "threads=1"]
    assert main([*small, "--run-dir", str(tmp_path / "hopper")]) == 0
    kept = sorted(str(p) for p in (tmp_path / "hopper").rglob("*"))
    other = refused(capsys, "evaluate", str(tmp_path / "hopper"), "--env", "jostle/HalfCheetah-v5", "--episodes", "1")
    assert "observ" in other
    said = refused(capsys, "evaluate", str(tmp_path / "hopper"), "--domain", file_of(files, "good"))
    assert "jostle/Hopper-v5 has no quantity rod.mass" in said
    assert sorted(str(p) for p in (tmp_path / "hopper").rglob("*")) == kept


def test_no_renderer_is_a_sentence(tmp_path: Path) -> None:
    """In a process of its own: the renderer is chosen when it is first imported."""
    pytest.importorskip("mujoco")
    small = [*TRAIN, "jostle/Hopper-v5", "--steps", "32", "--env-options", "threads=1"]
    assert main([*small, "--run-dir", str(tmp_path / "hopper")]) == 0
    words = ["watch", str(tmp_path / "hopper"), "--episodes", "1", "--video", str(tmp_path / "v.mp4")]
    code = f"import sys; from jostle.cli import main; sys.exit(main({words!r}))"
    blind = {**os.environ, "__EGL_VENDOR_LIBRARY_DIRS": "/nowhere"}  # as on a machine without Mesa
    done = subprocess.run([sys.executable, "-c", code], env=blind, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "apt install libegl1 libegl-mesa0 libgl1-mesa-dri" in done.stderr
    assert not (tmp_path / "v.mp4").exists()
