"""The command with a domain: what can vary, training, evaluation nominal unless asked, figures, bad input."""

import json
from pathlib import Path

import pytest

from jostle.cli import main
from jostle.yaml_text import parse_yaml

FILE = "parameters:\n  rod.mass: {log_uniform: [0.5, 2], operation: scale}\n  rod.length: [0.7, 1.5]\n"
TRAIN = ["train", "ppo", "--env", "jostle/Pendulum-v1", "--num-envs", "4", "--num-steps", "64", "--hidden", "8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("domain")
    (folder / "rods.yaml").write_text(FILE)
    schedule = ["--domain-schedule", "linear(steps=2000)", "--domain-privileged", "--log-every", "256"]
    arguments = [*TRAIN, "--domain", str(folder / "rods.yaml"), *schedule, "--steps", "2500", "--quiet"]
    assert main([*arguments, "--run-dir", str(folder / "run")]) == 0
    return folder


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_what_can_vary_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["domain", "show", "jostle/Pendulum-v1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "unit", "nominal", "from", "to", "about"]
    assert any(line.split()[:5] == ["rod.mass", "kg", "1", "0.01", "100"] for line in lines)
    assert main(["domain", "show", "jostle/Pendulum-v1", "--filter", "rod"]) == 0
    assert all(line.startswith(("name", "rod.")) for line in capsys.readouterr().out.splitlines())
    assert main(["domain", "show", "jostle/Pendulum-v1", "--domain", str(folder / "rods.yaml")]) == 0
    assert "rod.mass    log_uniform 0.5 to 2  scale" in capsys.readouterr().out
    assert main(["domain"]) == 0
    assert "jostle domain show" in capsys.readouterr().out


def test_a_run_folder_holds_it_all_and_resumes(folder: Path) -> None:
    options = parse_yaml((folder / "run" / "config.yaml").read_text())["env_options"]
    assert options["domain"]["parameters"]["rod.length"] == {"uniform": [0.7, 1.5]}
    assert options["domain_schedule"] == {"linear": {"steps": 2000}}
    assert options["domain_privileged"] is True
    assert main(["resume", str(folder / "run"), "--steps", "256", "--quiet"]) == 0


def test_its_own_file_trains_it_again(folder: Path, tmp_path: Path) -> None:
    config = str(folder / "run" / "config.yaml")
    assert (
        main(["train", "ppo", "--config", config, "--steps", "256", "--run-dir", str(tmp_path / "a"), "--quiet"]) == 0
    )
    again = parse_yaml((tmp_path / "a" / "config.yaml").read_text())
    assert again["env_options"] == parse_yaml((folder / "run" / "config.yaml").read_text())["env_options"]


def test_evaluation_is_nominal_unless_asked(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "light.yaml").write_text("rod.mass: 0.1\nrod.length: 0.5\n")
    returns = {}
    for word in (None, "train", str(tmp_path / "light.yaml")):
        file = tmp_path / f"{len(returns)}.json"
        asked = [] if word is None else ["--domain", word]
        assert main(["evaluate", str(folder / "run"), "--episodes", "2", "--json", str(file), *asked]) == 0
        told = json.loads(file.read_text())
        returns[word] = told["mean"]
        assert told["domain"] == ("nominal" if word is None else word)
    assert len(set(returns.values())) == 3
    assert "nominal" in capsys.readouterr().out


def test_ranges_are_drawn(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["plot", str(folder / "run"), "--domain", "--out", str(tmp_path / "ranges.svg")]) == 0
    text = (tmp_path / "ranges.svg").read_text()
    assert "rod.mass" in text
    assert "rod.length" in text


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--domain", "nowhere.yaml"], "the domain nowhere.yaml cannot be read"),
        (["--domain", "RODS", "--domain-schedule", "andr"], "'andr' is unknown; did you mean adr"),
        (["--domain", "RODS", "--env", "CartPole-v1"], "take jostle/CartPole-v1, the same task"),
    ],
)
def test_bad_input_is_a_sentence_and_leaves_no_folder(
    more: list[str], says: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [str(folder / "rods.yaml") if word == "RODS" else word for word in more]
    said = error_of(capsys, *TRAIN, "--steps", "100", "--run-dir", str(tmp_path / "run"), *more)
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert "no part 'shwo'; did you mean show" in error_of(capsys, "domain", "shwo")
