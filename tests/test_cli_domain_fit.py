"""``jostle domain record`` and ``jostle domain fit`` as a user runs them."""

from pathlib import Path

import numpy as np
import pytest

from jostle.cli import main
from jostle.domain import Space
from jostle.reality import Log
from jostle.yaml_text import parse_yaml

PENDULUM = "jostle/Pendulum-v1"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit")
    (folder / "hidden.yaml").write_text("rod.mass: 1.4\nrod.length: 1.2\nobservation.noise: 0.01\n")
    arguments = [PENDULUM, str(folder / "real.npz"), "--steps", "300", "--hold", "5", "--seed", "3"]
    assert main(["domain", "record", *arguments, "--domain", str(folder / "hidden.yaml")]) == 0
    return folder / "real.npz"


def test_from_a_log_to_a_domain_to_a_training(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "identified.yaml"
    arguments = [str(log), PENDULUM, "--parameters", "rod.mass", "rod.length"]
    assert main(["domain", "fit", *arguments, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].split() == ["name", "unit", "nominal", "estimate", "95%", "interval", "deviation"]
    assert "300 transitions, predicted 1 ahead: error" in said
    space = Space.load(out)
    assert space.names == ("rod.mass", "rod.length")
    for parameter, truth in zip(space.parameters, (1.4, 1.2), strict=True):
        low, high = parameter.distribution.support
        assert low < truth < high
        assert high - low < 0.8
    assert main(["domain", "show", PENDULUM, "--domain", str(out)]) == 0
    train = ["train", "ppo", "--env", PENDULUM, "--num-envs", "2", "--num-steps", "32", "--steps", "128", "--quiet"]
    assert main([*train, "--domain", str(out), "--run-dir", str(tmp_path / "run")]) == 0
    again = ["domain", "fit", *arguments, "--spread", "none", "--out", str(out)]
    assert main(again) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*again, "--overwrite", "--horizon", "3", "--loss", "huber"]) == 0
    assert parse_yaml(out.read_text())["parameters"]["rod.mass"]["constant"] == pytest.approx(1.4, rel=0.1)


def test_what_is_not_told_apart_is_said_and_exits_with_1(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["domain", "fit", str(log), PENDULUM, "--parameters", "rod.mass", "torque.gain", "rod.length"]) == 1
    assert "cannot be told apart: changing rod.mass by +" in capsys.readouterr().out


def test_without_parameters_it_says_which_there_are(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["domain", "fit", str(log), PENDULUM]) == 0
    said = capsys.readouterr().out
    assert "rod.length" in said
    assert "--parameters" in said
    assert "start.angle" not in said


def test_an_agent_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "ppo", "--env", PENDULUM, "--num-envs", "2", "--num-steps", "32", "--steps", "64", "--quiet"]
    assert main([*train, "--run-dir", str(tmp_path / "run")]) == 0
    out = tmp_path / "log.npz"
    record = ["domain", "record", PENDULUM, str(out), "--run", str(tmp_path / "run"), "--steps", "50", "--states"]
    assert main([*record, "--num-envs", "2"]) == 0
    found = Log.load(out)
    assert found.state is not None
    assert found.state.shape == (50, 11)
    assert "50 transitions of 2 episodes of jostle/Pendulum-v1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["record", PENDULUM, "LOG"], "exists already: choose another name"),
        (["record", PENDULUM, "log.txt"], "the log log.txt is to be a .npz file"),
        (["record", "jostle/Pendulum-v2", "x.npz"], "Pendulum"),
        (["record", PENDULUM, "x.npz", "--steps", "0"], "steps=0 cannot be used"),
        (["fit", "none.npz", PENDULUM], "none.npz cannot be read"),
        (["fit", "LOG", "jostle/CartPole-v1"], "the log is of jostle/Pendulum-v1, and not of jostle/CartPole-v1"),
        (["fit", "LOG", PENDULUM, "--parameters", "rod.mas"], "did you mean rod.mass"),
        (["fit", "LOG", PENDULUM, "--out", "x.yaml"], "--out writes a domain of what --parameters names"),
        (["fit", "LOG", PENDULUM, "--parameters", "rod.mass", "--horizon", "400"], "has 0 transitions"),
        (["fit", "BAD", PENDULUM, "--parameters", "rod.mass"], "'obs' of the log"),
        (["ft"], "no part 'ft'; did you mean fit"),
    ],
)  # fmt: skip
def test_errors_are_sentences(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    good = Log.load(log)
    bad = good.obs.copy()
    bad[7, 1] = np.nan
    Log(bad, good.action, good.next_obs, good.episode, env=good.env).save(tmp_path / "bad.npz")
    given = [{"LOG": str(log), "BAD": "bad.npz"}.get(word, word) for word in arguments]
    assert main(["domain", *given]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1
