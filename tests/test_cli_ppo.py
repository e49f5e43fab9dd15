"""The command with PPO and bonuses: train, resume, evaluate, watch, doctor, presets, and what can go wrong."""

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from jostle import presets
from jostle.cli import main
from jostle.cli.sections import chosen, docs, sections
from jostle.cli.train import COMMANDS, _defaults
from jostle.store import read_metrics
from jostle.yaml_text import parse_yaml

SEA = [
    "train", "ppo", "--env", "jostle/DeepSea-v0", "--env-options", "size=5", "--num-envs", "4", "--num-steps", "16",
    "--hidden", "16", "--bonus-features", "8",
]  # fmt: skip


def error_of(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The one sentence of a command that must end with 2."""
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert "\n" not in said
    return said


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "gru"
    memory = ["--recurrent", "gru", "--recurrent-size", "8", "--minibatch-by", "envs", "--sequence-length", "8"]
    arguments = [*SEA, *memory, "--bonus", "rnd", "--steps", "300", "--log-every", "64", "--checkpoint-every", "100"]
    assert main([*arguments, "--run-dir", str(folder), "--quiet"]) == 0
    return folder


def test_help_has_sections_and_readable_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "ppo", "--help"]) == 0
    said = re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out)
    for title in ("network options", "learning options", "intrinsic-rewards options", "speed options"):
        assert title in said
    said = " ".join(said.split())
    assert "--bonus-share FLOAT|None" in said
    assert "--hidden [INT ...]|None" in said
    assert "{None}" not in said
    assert "Discount of the intrinsic streams." in said
    assert "jostle train ppo --preset cartpole-ppo" in said


SCREEN = 40
"""Lines of a screen, of 80 columns."""


def help_of(*arguments: str) -> str:
    """What a terminal that knows frames is shown."""
    shown = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(shown):
        assert main(["train", *arguments]) == 0
    shown.seek(0)
    return shown.read()


@pytest.mark.parametrize("algorithm", COMMANDS)
def test_help_is_in_sections_that_fit_a_screen_each(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    whole = help_of(algorithm, "--help")
    frames = re.findall(r"^╭.*?^╰", whole, flags=re.MULTILINE | re.DOTALL)
    assert len(frames) > 10
    assert all(len(frame.splitlines()) <= SCREEN for frame in frames)
    listed = whole.split("\nsections: ")[1].split("\njostle train")[0].replace("\n ", "").split(", ")
    assert len(listed) == len(frames) - 1  # the first has no name
    for name in listed:
        alone = help_of(algorithm, "--help", name)
        assert len(alone.splitlines()) <= SCREEN
        flags = re.findall(r"│ (--[\w-]+)", alone)
        assert flags
        assert len(re.findall(r"^╭", alone, flags=re.MULTILINE)) == 1
        assert all(f"│ {flag}" in whole for flag in flags)
    preset = "cartpole-noisy" if algorithm == "dqn" else "cartpole-ppo"
    noise = help_of(algorithm, "--preset", preset, "-h", "noise")  # by what it begins with, with the preset's values
    assert ("(default: factorised)" in noise) == (algorithm == "dqn")
    assert "sections: saving" in help_of(algorithm, "--help", "unheard-of")


@pytest.mark.parametrize("algorithm", COMMANDS)
def test_every_setting_is_a_flag_of_one_section_with_its_text(algorithm: str) -> None:
    settings = COMMANDS[algorithm][0].settings
    names = [name for section in sections(settings).values() for name in section]
    assert sorted(names) == sorted(settings().as_dict())
    assert all(sections(settings))  # every section has a title
    assert set(docs(settings)) == set(names)
    preset = next(name for name in presets.names() if presets.load(name)["algorithm"] == algorithm)
    start: dict[str, Any] = presets.load(preset)
    given = chosen(_defaults(algorithm, start), settings)
    for key, value in start["config"].items():
        assert given[key] == (tuple(value) if isinstance(value, list) else value)


def test_what_training_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sea"
    assert main([*SEA, "--steps", "200", "--log-every", "64", "--bonus", "rnd", "icm", "--run-dir", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "16 steps of 4 environments" in said
    assert "rnd (discount 0.99, weight 0.5, non-episodic)" in said
    number = r"-?[\d.e-]+"
    assert re.search(f"return_100 {number}, losses/value {number}, rnd/reward_mean {number}, icm/reward_mean", said)
    assert re.search(r"\d+ cells seen", said)
    row = read_metrics(folder)[-1]
    assert row["coverage/cells"] > 3
    assert row["coverage/cells_per_episode"] == 5
    assert {"bonus/rnd/reward_mean", "bonus/icm/reward_mean", "losses/value"} <= set(row)


def test_one_line_begins_and_has_nothing_left_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run's own file says what the line left to the algorithm."""
    line = [*SEA, "--steps", "64", "--run-dir", str(tmp_path / "sea"), "--resume"]
    assert main([*line, "--quiet"]) == 0
    assert main(line) == 0
    assert "has reached its planned end" in capsys.readouterr().out
    assert "minibatch_by from rows to envs" in error_of(capsys, [*line, "--minibatch-by", "envs"])


@pytest.mark.parametrize(
    ("algorithm", "settings", "says"),
    [
        ("ppo", {}, "Flat encoder; policy 64 → 64 → 2; values 64 → 64 → 1; "),
        ("ppo", {"bonus": "rnd", "shared": True}, "Flat encoder; shared 64 → 64; policy 2; values 2; "),
        ("ppo", {"heads": "residual", "hidden": 32}, "; policy 32 → 32 → 2; values 32 → 32 → 1; "),
        ("ppo", {"recurrent": "lstm", "recurrent_size": 8}, "; shared 64 → 64 → LSTM 8; policy 2; values 1; "),
        ("ppo", {"hidden": (), "shared": True}, "Flat encoder; policy 2; values 1; "),
        ("dqn", {"noisy": "factorised"}, "Flat encoder; action values 128 → 128 → 2; "),
        ("dqn", {"dueling": True, "hidden": (32, 16)}, "; shared 32; value 16 → 1; advantage 16 → 2; "),
    ],
)  # fmt: skip
def test_layers_are_named_by_what_they_compute(algorithm: str, settings: dict[str, Any], says: str) -> None:
    from jostle.cli.summary import header

    agent: Any = COMMANDS[algorithm][0]("jostle/DeepSea-v0", **settings)
    assert says in header(agent, Path("runs/x"))


@pytest.mark.parametrize("algorithm", COMMANDS)
def test_the_bar_calls_numbers_by_their_names_in_the_metrics(
    algorithm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing was left out, or only what leaves no doubt; and they are the same numbers."""
    small = SEA[2:] if algorithm == "ppo" else [*SEA[2:8], "--hidden", "16", "--warmup", "40", "--bonus-features", "8"]
    folder, often = tmp_path / "sea", ["--eval-every", "320", "--eval-episodes", "2", "--bonus", "rnd"]
    assert main(["train", algorithm, *small, *often, "--steps", "640", "--run-dir", str(folder)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("640/640 steps"))
    shown = {name: float(value) for name, value in (part.split() for part in line.split(", ")[2:])}
    assert set(shown) >= {"return_100", "eval/return_mean", "rnd/reward_mean"}
    logged: dict[str, float] = {}
    for row in read_metrics(folder):
        logged |= row
    for name, value in shown.items():
        (whole,) = [known for known in logged if known == name or known.endswith(f"/{name}")]
        assert value == pytest.approx(logged[whole], rel=1e-3), name


def test_a_recurrent_run_goes_through_every_command(
    recurrent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for actions in ("greedy", "sampled"):
        file = tmp_path / f"{actions}.json"
        assert main(["evaluate", str(recurrent), "--episodes", "6", "--actions", actions, "--json", str(file)]) == 0
        found = json.loads(file.read_text())
        assert (found["actions"], len(found["episodes"])) == (actions, 6)
    same = {e["ret"] for e in json.loads((tmp_path / "greedy.json").read_text())["episodes"]}
    assert len(same) == 1  # one sea, one policy; sampled actions differ
    assert len({e["ret"] for e in json.loads((tmp_path / "sampled.json").read_text())["episodes"]}) > 1
    assert main(["doctor", str(recurrent)]) == 0
    said = capsys.readouterr().out
    for check in ("first ratio", "policy", "values (rnd)", "rnd: reward", "rnd: frozen target"):
        assert check in said
    pytest.importorskip("imageio_ffmpeg")
    video = ["watch", str(recurrent), "--episodes", "1", "--video", str(tmp_path / "sea.mp4"), "--actions", "sampled"]
    assert main(video) == 0
    assert (tmp_path / "sea.mp4").stat().st_size > 1000


def test_a_resumed_run_is_the_unbroken_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bit for bit, bonus and coverage included."""
    from jostle.store import Run

    run = [*SEA, "--bonus", "rnd", "--log-every", "64", "--checkpoint-every", "64", "--seed", "3", "--quiet"]
    assert main([*run, "--steps", "384", "--run-dir", str(tmp_path / "whole")]) == 0
    assert main([*run, "--steps", "192", "--run-dir", str(tmp_path / "broken")]) == 0
    assert main(["resume", str(tmp_path / "broken"), "--steps", "192"]) == 0
    assert "not exactly" not in capsys.readouterr().out
    rows = [read_metrics(tmp_path / name) for name in ("whole", "broken")]
    moving = {"time", "charts/SPS", "charts/FPS"}
    # The first half of a run is half of its plan; no schedule is linear here, so that nothing depends on it.
    last = [{k: v for k, v in lines[-1].items() if k not in moving} for lines in rows]
    assert last[0] == pytest.approx(last[1], nan_ok=True, rel=0, abs=0)
    models = [Run.open(tmp_path / name).newest()[1]["model"] for name in ("whole", "broken")]
    assert all((models[0][key] == models[1][key]).all() for key in models[0])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--bonus", "rndd"], "--bonus rndd is unknown; did you mean rnd?"),
        (["--bonus", "rnd", "rnd"], "without repetition"),
        (["--noisy", "factorized"], "did you mean factorised?"),
        (["--hidden", "16.5"], "--hidden 16.5 cannot be used: write whole numbers, or None"),
        (["--bonus-share", "many"], "--bonus-share many cannot be used: write a number, or None"),
        (["--gama", "0.9"], "did you mean --gamma"),
        (["--recurrent", "gru", "--minibatch-by", "rows"], "envs or slices with recurrence"),
        (["--coef-ext", "0"], "no reward has a weight"),
        (["--epochs", "0"], "epochs=0"),
        (["--preset", "cartpole-noisy"], "the preset 'cartpole-noisy' is for dqn: jostle train dqn"),
    ],
)
def test_mistakes_end_in_a_sentence(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in error_of(capsys, [*SEA, "--steps", "99", *arguments])
    assert not list(tmp_path.iterdir())


def test_dqn_has_no_policy_to_sample_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sea = ["train", "dqn", "--env", "jostle/DeepSea-v0", "--steps", "50", "--warmup", "40", "--hidden", "8", "--quiet"]
    assert main([*sea, "--run-dir", str(tmp_path / "sea")]) == 0
    assert "no policy to sample" in error_of(capsys, ["evaluate", str(tmp_path / "sea"), "--actions", "sampled"])


def test_options_that_another_environment_has_not(recurrent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(recurrent), "--env", "CartPole-v1", "--episodes", "1"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[0] == "note: CartPole-v1 has no size=5, which the run was trained with: left out"
    assert "other spaces" in said[1]
    assert main(["evaluate", str(recurrent), "--env", "jostle/DeepSea-v0", "--episodes", "1", "--quiet"]) == 0
    assert capsys.readouterr().err == ""  # the size is kept: the spaces are the same


def test_differences_of_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "rnd-atari", "--diff", "rnd-atari-cleanrl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rnd-atari", "rnd-atari-cleanrl"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows["config.max_grad_norm"] == ["0.0", "0.5"]
    assert rows["env_options.max_episode_steps"] == ["4500", "—"]
    assert "config.gamma" not in rows
    assert "config.epochs" not in rows
    assert main(["presets", "rnd-atari", "--diff", "rnd-atari"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert "did you mean rnd-atari" in error_of(capsys, ["presets", "rnd-atari", "--diff", "rnd-atary"])
    assert "jostle presets NAME --diff" in error_of(capsys, ["presets", "--diff", "rnd-atari"])


def test_streams_are_flags_over_a_file_and_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    bonus = ["--bonus", "e3b", "--bonus-warmup", "0", "--steps", "64", "--quiet"]
    own = ["--streams.e3b.coef", "0.25", "--streams.ext.value-coef=0.125", "--streams.e3b.episodic", "true"]
    assert main([*SEA, *bonus, *own, "--run-dir", str(first)]) == 0
    assert streams_of(first) == {"ext": {"value_coef": 0.125}, "e3b": {"coef": 0.25, "episodic": True}}
    of_file = ["train", "ppo", "--config", str(first / "config.yaml"), "--quiet", "--run-dir", str(second)]
    assert main([*of_file, "--streams.e3b.coef", "2", "--streams.e3b.episodic", "None"]) == 0
    assert streams_of(second) == {"ext": {"value_coef": 0.125}, "e3b": {"coef": 2}}
    capsys.readouterr()
    assert main(["resume", str(second), "--steps", "64", "--streams.ext.coef", "0.5"]) == 0
    assert "streams.ext.coef from None to 0.5" in capsys.readouterr().out
    assert streams_of(second) == {"ext": {"value_coef": 0.125, "coef": 0.5}, "e3b": {"coef": 2}}
    said = error_of(capsys, ["resume", str(second), "--steps", "64", "--streams.e3b.episodic", "true"])
    assert "streams.e3b.episodic cannot change" in said
    assert "streams.NAME.coef" in said
    for wrong, sentence in {
        ("--streams.rnd.coef", "1"): "streams.rnd is of no reward stream here; known: e3b, ext",
        ("--streams.e3b.koef", "1"): "did you mean coef?",
        ("--streams.e3b.coef",): "--streams.e3b.coef needs a value",
        ("--streams.e3b", "1"): "write the stream",
    }.items():
        assert sentence in error_of(capsys, [*SEA, *bonus, *wrong, "--run-dir", str(tmp_path / "no")])


def streams_of(run: Path) -> Any:
    return parse_yaml((run / "config.yaml").read_text())["config"]["streams"]
