"""``jostle domain check`` as a user runs it."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from jostle.cli import main


def test_a_table_an_exit_code_and_junit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space, junit = tmp_path / "space.yaml", tmp_path / "junit.xml"
    space.write_text("masspole: [0.05, 0.5]\nforce_mag: {uniform: [0.5, 2], operation: scale}\n")
    assert main(["domain", "check", "CartPole-v1", str(space), "--junit", str(junit), "--steps", "60"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:3] == ["parameter", "declared", "acts-low"]
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["masspole", "force_mag"]
    assert "NO" not in out
    assert ElementTree.parse(junit).getroot().get("failures") == "0"
    space.write_text("masspole: [0.05, 0.5]\nforce: [1, 2]\n")
    assert main(["domain", "check", "CartPole-v1", str(space)]) == 1
    out, err = capsys.readouterr()
    assert "failed: force, declared: CartPole-v1 has no quantity force" in out
    assert "declared: the space names it, within its bounds" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothere.xml"], "there is no MJCF file nothere.xml"),
        (["CartPole-v9"], "CartPole"),
        (["CartPole-v1", "nothere.yaml"], "nothere.yaml"),
        (["CartPole-v1", "--steps", "0"], "must be at least 1"),
        (["CartPole-v1", "--junit", "nowhere/at/all.xml"], "there is no folder"),
        (["CartPole-v1", "--itself"], "give one"),
        (["CartPole-v1", "--jun", "x.xml"], "did you mean --junit"),
    ],
)
def test_what_cannot_be(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["domain", "check", *arguments]) == 2
    assert said in capsys.readouterr().err
