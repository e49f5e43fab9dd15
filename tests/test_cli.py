"""The command: what users type, end to end, and one sentence for everything that can go wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import jostle
from jostle import presets
from jostle.cli import COMMANDS, main

COMMAND = str(Path(sys.executable).with_name("jostle"))
TINY = ["--num-envs", "4", "--warmup", "40", "--hidden", "16", "--batch-size", "16", "--replay-size", "2000"]
SEA = ["train", "dqn", "--env", "jostle/DeepSea-v0", "--noisy", "factorised", *TINY]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with two checkpoints; tests copy what they change."""
    folder = tmp_path_factory.mktemp("runs") / "sea"
    run = [*SEA, "--steps", "300", "--log-every", "100", "--checkpoint-every", "200"]
    assert main([*run, "--run-dir", str(folder), "--quiet"]) == 0
    assert len(list((folder / "checkpoints").iterdir())) == 2
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(trained, tmp_path / "sea"))


def config_of(folder: Path) -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    return whole


def error_of(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The one sentence of a command that must end with 2."""
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert "\n" not in said
    assert "Traceback" not in said
    return said


# ---- help ----


def test_help_is_quick_and_shows_examples() -> None:
    probe = "import sys; from jostle.cli import main; code = main(['--help']); assert 'torch' not in sys.modules; "
    done = subprocess.run(
        [sys.executable, "-c", probe + "assert 'numpy' not in sys.modules; sys.exit(code)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "examples:" in done.stdout
    assert "jostle train dqn --preset" in done.stdout
    for name in COMMANDS:
        assert name in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert "examples:" in said
    assert f"jostle {command}" in said


def test_settings_are_flags_with_their_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0  # `train` alone shows the only algorithm
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert "--replay-ratio FLOAT" in said
    assert "Transitions learned per environment step, kept constant" in said
    assert "--noisy {none,factorised,independent}" in said


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jostle {jostle.__version__}\n"


# ---- training ----


def test_what_training_says_and_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sea"
    options = ["--env-options", "size=5", "deterministic=true"]
    assert main([*SEA, "--steps", "120", "--seed", "3", "--no-save-replay", *options, "--run-dir", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "jostle/DeepSea-v0 (jostle), 4 together, seed 3" in said
    assert "Flat encoder; action values 16 → 2; 900 parameters; NoisyNet (factorised), 2 layers" in said
    assert "2,000 transitions" in said
    assert "ratio 8 (a batch of 16 for every 2 steps)" in said
    assert re.search(r"mean return of the last \d+ episodes", said)
    for command in ("evaluate", "watch", "doctor", "resume"):
        assert f"jostle {command} {folder}" in said
    config = config_of(folder)
    assert config["env_options"] == {"size": 5, "deterministic": True}
    assert (config["seed"], config["num_envs"]) == (3, 4)
    assert config["config"]["hidden"] == [16]
    assert config["training"]["save_replay"] is False
    assert not list(folder.glob("checkpoints/*/replay*.safetensors"))


def test_the_default_folder_names_environment_and_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SEA, "--steps", "8", "--seed", "2", "--quiet"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"jostle-DeepSea-v0-dqn-s2-\d{8}-\d{6}", folder.name)
    assert capsys.readouterr().out == ""


def test_flags_over_config_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 5\nenv_options: {size: 7}\nconfig: {learning_rate: 1e-4, gamma: 0.95, hidden: [8]}\n")
    folder = tmp_path / "run"
    flags = ["--gamma", "0.9", "--steps", "16", "--env-options", "move_cost=0.02"]
    assert (
        main(["train", "dqn", "--preset=deepsea-noisy", "--config", str(file), *flags, "--run-dir", str(folder)]) == 0
    )
    config = config_of(folder)
    preset = presets.load("deepsea-noisy")
    assert config["env"] == preset["env"]
    assert config["env_options"] == {"size": 7, "move_cost": 0.02}  # one from the file, one from the flag
    assert config["seed"] == 5
    settings = config["config"]
    assert (settings["gamma"], settings["learning_rate"], settings["hidden"]) == (0.9, 1e-4, [8])
    assert settings["warmup"] == preset["config"]["warmup"] != jostle.DQNConfig().warmup
    assert config["training"]["total"] == 16


def test_a_runs_own_config_trains_it_again(trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["train", "dqn", "--config", str(trained / "config.yaml"), "--run-dir", str(again), "--quiet"]) == 0
    assert config_of(again) == config_of(trained)
    newest = [sorted(folder.glob("checkpoints/*/model.safetensors"))[-1] for folder in (trained, again)]
    assert newest[0].parent.name == newest[1].parent.name
    assert newest[0].read_bytes() == newest[1].read_bytes()


# ---- what can be done with a run ----


def test_evaluate(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.json"
    command = ["evaluate", str(trained), "--episodes", "5", "--noise", "mc:3", "--json", str(file)]
    assert main(command) == 0
    table = capsys.readouterr().out
    assert "mc:3" in table
    assert "95% interval" in table
    found = json.loads(file.read_text())
    assert (found["noise"], len(found["episodes"]), found["steps"]) == ("mc:3", 5, 300)
    agent = jostle.load(trained)
    expected = jostle.evaluate(agent, 5, noise="mc:3")
    agent.env.close()
    assert found["mean"] == expected.mean
    assert "exists already" in error_of(capsys, command)
    assert main([*command, "--overwrite", "--quiet", "--env-options", "size=10"]) == 0
    one = ["evaluate", str(trained), "--episodes", "1", "--json", str(file), "--overwrite"]
    assert main(one) == 0  # one episode has no interval
    assert json.loads(file.read_text())["interval95"] == [None, None]
    assert "needs two episodes" in capsys.readouterr().out


def test_evaluate_elsewhere_needs_the_same_spaces(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "other spaces" in error_of(capsys, ["evaluate", str(trained), "--env-options", "size=4"])


def test_resume_to_the_end_and_beyond(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", str(run)]) == 0
    assert "has reached its planned end" in capsys.readouterr().out
    assert main(["resume", str(run), "--steps", "60"]) == 0
    said = capsys.readouterr().out
    assert "resuming from step_000000000300 at step 300 of 360" in said
    assert "360 steps" in said
    assert (run / "checkpoints" / "step_000000000360").is_dir()


def test_doctor_is_content_and_says_so(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(trained)]) == 0
    said = capsys.readouterr().out
    assert "gradient of sigma" in said
    assert "FAIL" not in said
    assert main(["doctor", str(trained), "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_training_leaves_what_the_doctor_found(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At its end, and anew at the end of a resumed one; a doctor who cannot look fails no training."""

    def told() -> dict[str, Any]:
        found: dict[str, Any] = json.loads((run / "doctor.json").read_text())
        return found

    assert told()["step"] == 300
    assert {check["status"] for check in told()["checks"]} <= {"OK", "warning"}
    assert "gradient of sigma" in [check["name"] for check in told()["checks"]]
    assert main(["resume", str(run), "--steps", "60", "--quiet"]) == 0
    assert told()["step"] == 360
    (run / "doctor.json").unlink()
    (run / "doctor.json").mkdir()
    capsys.readouterr()
    assert main(["resume", str(run), "--steps", "60"]) == 0
    assert "note: the doctor could not look at" in capsys.readouterr().err


def test_doctor_exits_with_one_for_a_sick_run(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = jostle.load(trained)
    for state in agent.optimizer.state.values():
        state["exp_avg"].fill_(float("nan"))
    agent.save(tmp_path / "sick")
    agent.env.close()
    assert main(["doctor", str(tmp_path / "sick")]) == 1
    assert "FAIL" in capsys.readouterr().out


# ---- lists ----


def test_envs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs", "deepsea"]) == 0  # the only one that fits: in full
    said = capsys.readouterr().out
    assert "Discrete(2)" in said
    assert "size=10" in said
    assert main(["envs", "CARTPOLE"]) == 0
    found = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert "CartPole-v1" in found
    assert all("cartpole" in name.lower() for name in found)
    assert main(["envs", "CartPole-v1"]) == 0  # an exact id, though others contain it
    assert "Discrete(2)" in capsys.readouterr().out
    assert "CartPole-v1" in error_of(capsys, ["envs", "CartPol-v1"])


def test_envs_without_a_filter_are_families(capsys: pytest.CaptureFixture[str]) -> None:
    """Every environment counts once, and every family is a filter that lists as many."""
    assert main(["envs"]) == 0
    said = capsys.readouterr()
    rows = [line.split() for line in said.out.splitlines()]
    counts = {row[0]: int(row[1].replace(",", "")) for row in rows}
    assert {"jostle", "gymnasium"} <= set(counts)
    assert len(rows) < 40
    everything = jostle.list_envs()
    assert sum(counts.values()) == len(everything)
    assert "jostle envs FAMILY" in said.err
    for family, engine, example in ((row[0], row[2], row[-1]) for row in rows):
        found = {info.id: info for info in everything if info.family == family}
        assert len(found) == counts[family]
        assert example in found
        assert engine in {info.engine for info in found.values()}
    family = rows[-1][0]
    assert sum(info.family == family for info in jostle.list_envs(family)) == counts[family]


def test_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == presets.names()
    assert main(["presets", "cartpole-noisy"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == presets.load("cartpole-noisy")


# ---- errors ----


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], "did you mean train"),
        (["train"], "jostle train dqn"),
        (["train", "dqm", "--env", "x"], "did you mean dqn"),
        ([*SEA[:3], "CartPol-v1", "--steps", "9"], "CartPole-v1"),
        ([*SEA, "--steps", "9", "--env-options", "sise=3"], "did you mean size"),
        ([*SEA, "--steps", "9", "--env-options", "size"], "write key=value"),
        ([*SEA, "--steps", "9", "--env-options", "size=3", "--env_options", "move_cost=1"], "is given twice"),
        ([*SEA, "--steps", "9", "--gamma", "1.5"], "gamma=1.5"),
        ([*SEA, "--steps", "0"], "steps=0"),
        ([*SEA, "--steps", "9", "--log-every", "0"], "log_every=0"),
        ([*SEA, "--steps", "9", "--num-envs", "0"], "num_envs"),
        (["train", "dqn", "--preset", "cartpole-noissy"], "did you mean cartpole-noisy"),
        (["presets", "cartpole"], "cartpole-noisy"),
        (["train", "dqn", "--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["resume", "nowhere"], "there is no folder nowhere"),
        (["evaluate", "nowhere"], "there is no folder nowhere"),
        (["watch", "nowhere"], "there is no folder nowhere"),
        (["doctor", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_mistakes_end_in_a_sentence(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in error_of(capsys, arguments)
    assert not list(tmp_path.rglob("checkpoints"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("env: [", "is no YAML"),
        ("- env", "must be a mapping"),
        ("emv: CartPole-v1", "did you mean env"),
        ("config: {gama: 0.9}", "did you mean gamma"),
        ("config: {gamma: fast}", "gamma='fast'"),
        ("config: 3", "'config'"),
        ("training: {totel: 9}", "did you mean total"),
        ("num_envs: many", "num_envs='many'"),
        ("seed: true", "seed=True"),
        ("algorithm: ppo", "'ppo'"),
    ],
)
def test_mistakes_in_a_file_end_in_a_sentence(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    said = error_of(capsys, [*SEA, "--steps", "9", "--config", str(file)])
    assert says in said
    assert "mine.yaml" in said


def test_parse_errors_of_flags_exit_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SEA, "--steps", "many"]) == 2
    assert main([*SEA, "--stepps", "9"]) == 2
    assert "--steps" in capsys.readouterr().err
    assert main(["train", "dqn"]) == 2  # neither environment nor steps
    said = capsys.readouterr().err
    assert "--env" in said
    assert "--steps" in said


@pytest.mark.parametrize("word", ["1.5", "1e-1", "many", "nan", "inf", "1e999999999", "0x10", ""])
def test_a_count_that_is_no_whole_number_is_refused(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = error_of(capsys, [*SEA, "--steps", word, "--run-dir", str(tmp_path / "sea")])
    assert said == f"error: --steps {word} cannot be used: write a whole number, such as 1000 or 1e3."
    assert "write whole numbers, or None" in error_of(capsys, [*SEA, "--steps", "9", "--log-every", "1.5"])


def test_counts_are_written_as_people_write_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1e2 for 100: in flags of every kind, with a default or none, of commands and of settings; and in files."""
    folder, file = tmp_path / "sea", tmp_path / "mine.yaml"
    file.write_text("num_envs: 2e0\ntraining: {keep: 3e0, eval_every: 1e2}\nconfig: {batch_size: 1.2e1, hidden: [8]}\n")
    counts = ["--steps", "1e2", "--log-every", "5e1", "--replay-size", "2e3", "--warmup", "4_0", "--sigma0", "1"]
    line = ["train", "dqn", "--env", "jostle/DeepSea-v0", "--noisy", "factorised", "--config", str(file), *counts]
    assert main([*line, "--run-dir", str(folder), "--quiet"]) == 0
    config = config_of(folder)
    training, settings = config["training"], config["config"]
    assert (config["num_envs"], training["total"], training["log_every"], training["keep"]) == (2, 100, 50, 3)
    assert (settings["batch_size"], settings["replay_size"], settings["warmup"]) == (12, 2000, 40)
    assert main(["evaluate", str(folder), "--episodes", "3e0", "--json", str(tmp_path / "found.json"), "--quiet"]) == 0
    assert len(json.loads((tmp_path / "found.json").read_text())["episodes"]) == 3
    assert "--episodes 2.5 cannot be used" in error_of(capsys, ["evaluate", str(folder), "--episodes", "2.5"])
    assert main(["resume", str(folder), "--steps", "1e1", "--quiet"]) == 0
    assert config_of(folder)["training"]["total"] == 110
    file.write_text("training: {total: 1.5}")
    assert "total=1.5 in" in error_of(capsys, [*SEA, "--config", str(file)])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("--n-envs", "--num-envs"), ("--buffer-size", "--replay-size"), ("--total-timesteps", "--steps"),
     ("--learning-starts", "--warmup"), ("--env-id", "--env"), ("--n_steps", "--n-step")],
)  # fmt: skip
def test_names_of_other_libraries_find_ours(theirs: str, ours: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"has no option {theirs}; did you mean {ours}?" in error_of(capsys, [*SEA, "--steps", "9", theirs, "1"])


def test_lr_is_the_learning_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sea"
    assert main([*SEA, "--steps", "8", "--lr", "0.125", "--run-dir", str(folder), "--quiet"]) == 0
    assert config_of(folder)["config"]["learning_rate"] == 0.125
    assert main(["resume", str(folder), "--steps", "8", "--lr", "0.25", "--quiet"]) == 0
    assert config_of(folder)["config"]["learning_rate"] == 0.25
    with pytest.raises(jostle.ConfigError, match="'lr'; did you mean learning_rate"):
        jostle.DQN("jostle/DeepSea-v0", lr=0.5)


def test_debug_shows_where_it_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--debug", "resume", "nowhere"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_used_folder_is_left_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run)
    said = error_of(capsys, [*SEA, "--steps", "9", "--run-dir", str(run)])
    assert f"jostle resume {run}" in said
    assert contents(run) == before


@pytest.mark.parametrize("command", ["resume", "evaluate", "watch", "doctor"])
def test_a_folder_without_a_run(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is no run" in error_of(capsys, [command, str(tmp_path)])


def test_bad_values_for_a_run(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "mc:16" in error_of(capsys, ["evaluate", str(trained), "--noise", "loud"])
    assert "episodes=0" in error_of(capsys, ["evaluate", str(trained), "--episodes", "0"])
    assert "steps=0" in error_of(capsys, ["resume", str(trained), "--steps", "0"])


def test_a_truncated_checkpoint_gives_way_to_the_one_before(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truncate(sorted((run / "checkpoints").iterdir())[-1])
    assert main(["evaluate", str(run), "--episodes", "2"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("warning: skipping a checkpoint")
    assert "step_000000000300" in said.err
    assert "after 200 steps" in said.out
    assert main(["resume", str(run), "--quiet"]) == 0
    assert main(["evaluate", str(run), "--episodes", "2"]) == 0
    assert "after 300 steps" in capsys.readouterr().out


def test_without_a_good_checkpoint_nothing_is_touched(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in (run / "checkpoints").iterdir():
        truncate(folder)
    before = contents(run)
    for command in ("resume", "evaluate", "watch", "doctor"):
        assert main([command, str(run)]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert [line.split(":")[0] for line in said] == ["warning", "warning", "error"]
        assert "has no good checkpoint" in said[-1]
    assert {k: v for k, v in contents(run).items() if k != ".lock"} == before


def truncate(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def test_training_outlives_its_reader(tmp_path: Path) -> None:
    """`jostle train … | head -1`, or a `tee` that was killed."""
    command = [COMMAND, *SEA, "--steps", "300", "--run-dir", str(tmp_path / "sea")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"env")
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert (tmp_path / "sea" / "checkpoints" / "step_000000000300").is_dir()


# ---- signals: the real command in its own process ----


def start_and_signal(folder: Path, number: signal.Signals) -> tuple[int, str]:
    """Start a run that would take very long, send a signal once it learns, and wait for its end."""
    endless = [COMMAND, *SEA, "--steps", "100000000", "--log-every", "100", "--checkpoint-every", "100000000"]
    process = subprocess.Popen([*endless, "--run-dir", str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        metrics, patience = folder / "metrics.jsonl", time.monotonic() + 60
        while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:
            assert time.monotonic() < patience
            time.sleep(0.02)
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, said


def test_ctrl_c_saves_and_resume_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "sea"
    code, said = start_and_signal(folder, signal.SIGINT)
    assert code == 130
    assert f"To go on: jostle resume {folder}" in said
    newest = max(p.name for p in (folder / "checkpoints").iterdir())
    step = int(newest.removeprefix("step_"))
    assert step >= 100  # not the checkpoint of the beginning
    assert f"step {step:,} is saved" in said
    done = subprocess.run([COMMAND, "resume", str(folder), "--steps", "40"], capture_output=True, text=True, check=True)
    assert f"at step {step:,} of {step + 40:,}" in done.stdout
    assert main(["doctor", str(folder), "--quiet"]) == 0


def test_ctrl_c_in_a_longer_plan_keeps_its_end(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`resume --steps` is written into the run before it trains on, so that a bare `resume` goes on to that end."""
    metrics, size = run / "metrics.jsonl", (run / "metrics.jsonl").stat().st_size

    def interrupt() -> None:
        patience = time.monotonic() + 60
        while metrics.stat().st_size <= size and time.monotonic() < patience:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main(["resume", str(run), "--steps", "100000000"]) == 130
    thread.join()
    assert capsys.readouterr().out.strip().endswith(f"jostle resume {run}")
    assert config_of(run)["training"]["total"] == 100000300


@pytest.mark.parametrize("number", [
    signal.SIGTERM,
    pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    pytest.param(signal.SIGUSR1, marks=pytest.mark.slow),
])  # fmt: skip
def test_other_signals_save_too(tmp_path: Path, number: signal.Signals) -> None:
    code, said = start_and_signal(tmp_path / "sea", number)
    assert code == 128 + number
    assert "is saved in" in said
    info = json.loads((tmp_path / "sea" / "run.json").read_text())
    assert info["stretches"][0]["how"] == number.name
    assert info["finished"] is False


# ---- changes between stretches, and one line for every moment ----


def test_resume_takes_the_flags_of_train(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--learning-rate", "1e-4", "--num-envs", "2", "--keep", "1", "--env-options", "move_cost=0.5"]
    assert main(["resume", str(run), "--steps", "20", *flags]) == 0
    said = capsys.readouterr().out
    assert "changed from step 300 on: num_envs from 4 to 2" in said
    assert "learning_rate from 0.0005 to 0.0001" in said
    config = config_of(run)
    assert (config["num_envs"], config["training"]["keep"]) == (2, 1)
    assert config["env_options"] == {"move_cost": 0.5}
    assert "What may change" in error_of(capsys, ["resume", str(run), "--hidden", "9"])
    assert "did you mean --learning-rate" in error_of(capsys, ["resume", str(run), "--lerning-rate", "9"])
    assert "spaces" in error_of(capsys, ["resume", str(run), "--env-options", "size=3"])
    assert main(["resume", str(run), "--help"]) == 0
    assert "--replay-ratio" in capsys.readouterr().out


def test_one_line_begins_goes_on_and_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sea"
    line = [*SEA, "--steps", "60", "--run-dir", str(folder), "--resume"]
    assert main(line) == 0
    shutil.rmtree(max((folder / "checkpoints").iterdir()))
    capsys.readouterr()
    assert main(line) == 0
    assert "resuming from step_000000000000" in capsys.readouterr().out
    before = {k: v for k, v in contents(folder).items() if k != "run.json"}
    assert main(line) == 0
    assert "has reached its planned end" in capsys.readouterr().out
    assert {k: v for k, v in contents(folder).items() if k != "run.json"} == before
    assert main([*line[:-4], "80", *line[-3:]]) == 0  # a longer plan is taken
    assert config_of(folder)["training"]["total"] == 80
    assert "gamma from 0.99 to 0.5" in error_of(capsys, [*line, "--gamma", "0.5"])
    assert "--run-dir" in error_of(capsys, [*SEA, "--steps", "60", "--resume"])


def test_a_folder_left_before_the_first_checkpoint_is_begun_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sea"
    line = [*SEA, "--steps", "40", "--run-dir", str(folder), "--resume", "--quiet"]
    assert main(line) == 0
    whole = contents(folder)
    for left in (["config.yaml"], ["config.yaml", "run.json"], []):
        for path in folder.iterdir():
            if path.name not in [*left, ".lock"]:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert main(line) == 0
        weights = "checkpoints/step_000000000040/model.safetensors"
        assert contents(folder)[weights] == whole[weights]
    (folder / "checkpoints").rename(tmp_path / "elsewhere")
    (folder / "metrics.jsonl").unlink()
    assert main(["resume", str(folder)]) == 0
    assert "it begins again" in capsys.readouterr().out


def preempted(folder: Path, moments: list[float]) -> None:
    """Kill one fixed line after so many seconds each, then let it finish."""
    line = [COMMAND, *SEA, "--steps", "400", "--checkpoint-every", "100", "--run-dir", str(folder), "--resume"]
    for moment in moments:
        process = subprocess.Popen([*line, "--quiet"])
        time.sleep(moment)
        process.kill()
        process.wait()
    assert subprocess.run([*line, "--quiet"], check=False).returncode == 0


def test_one_line_survives_kills(tmp_path: Path) -> None:
    preempted(tmp_path / "sea", [2.0])
    assert max((tmp_path / "sea" / "checkpoints").iterdir()).name == "step_000000000400"


@pytest.mark.slow
def test_one_line_survives_kills_in_its_first_seconds(tmp_path: Path) -> None:
    preempted(tmp_path / "whole", [])
    preempted(tmp_path / "sea", [0.05 + 0.145 * i for i in range(20)])
    newest = [path / "checkpoints" / "step_000000000400" / "model.safetensors" for path in tmp_path.iterdir()]
    assert newest[0].read_bytes() == newest[1].read_bytes()


def test_evaluation_while_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sea"
    flags = ["--eval-every", "40", "--eval-episodes", "2", "--eval-env-options", "move_cost=0.5"]
    assert main([*SEA, "--steps", "100", "--run-dir", str(folder), *flags]) == 0
    assert "eval" in capsys.readouterr().out
    assert any("eval/return_mean" in line for line in jostle.read_metrics(folder))
    assert config_of(folder)["training"]["eval_env_options"] == {"move_cost": 0.5}
    file = tmp_path / "found.json"
    assert main(["evaluate", str(folder), "--which", "best", "--episodes", "2", "--quiet", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["steps"] < 100
    assert main(["resume", str(folder), "--steps", "8", "--eval-every", "0"]) == 0
    assert config_of(folder)["training"]["eval_every"] == 0


def test_the_device_can_be_chosen_and_the_replay_is_not_read(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("evaluate", "watch", "resume"):
        said = error_of(capsys, [command, str(run), "--device", "cuda:77", "--quiet"])
        assert "'cuda:77' is not to be had" in said
    for replay in run.glob("checkpoints/*/replay*"):
        replay.write_bytes(b"?" * replay.stat().st_size)
    evaluate = ["evaluate", str(run), "--episodes", "2", "--device", "cpu", "--quiet"]
    assert main([*evaluate, "--json", str(tmp_path / "found.json")]) == 0
    assert len(json.loads((tmp_path / "found.json").read_text())["episodes"]) == 2
