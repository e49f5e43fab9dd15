"""docs/stress.md: its Python runs, its YAML is read, its commands are understood."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import nn

from jostle.cli.flags import parse
from jostle.cli.stress import Stress
from jostle.stress import Condition, Suite
from jostle.stress.checks import read_checks
from jostle.stress.perturbation import KINDS
from jostle.stress.suite_file import read_suite
from jostle.stress.suites import DESCRIPTIONS
from jostle.stress.target import target_of
from jostle.view import Success, as_view

PAGE = (Path(__file__).parents[2] / "docs/stress.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def of(kind: str) -> list[str]:
    return [text for language, text in BLOCKS if language == kind]


def test_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, Any] = {"__name__": "docs"}
    for block in of("python"):
        exec(block, known)
    said = capsys.readouterr().out
    for condition in ("ppo seen mean", "random play test mean", "dqn long", "random play short"):
        assert f"\n{condition}" in f"\n{said}"


def test_yaml_is_read(tmp_path: Path) -> None:
    swept, crossed, suite, checks = of("yaml")
    for name, text, count in (("swept", swept, 7), ("crossed", crossed, 9)):
        (tmp_path / f"{name}.yaml").write_text(text)
        rule = as_view(nn.Linear(4, 2), kind="q", env="CartPole-v1")
        assert len(read_suite(tmp_path / f"{name}.yaml", target_of(rule)).conditions) == count
    (tmp_path / "suite.yaml").write_text(suite)
    found = read_suite(tmp_path / "suite.yaml", target_of(as_view(nn.Linear(4, 2), kind="q", env="CartPole-v1")))
    assert (found.reference, len(found.conditions), str(found.success)) == ("earth", 3, "return >= 195")
    (tmp_path / "checks.yaml").write_text(checks)
    themes = Suite("themes", (Condition("seen"), Condition("test")), "seen", Success("info", key="caught"))
    assert len(read_checks(tmp_path / "checks.yaml", themes, ["mean", "mc:10"], ["m"])) == len(yaml.safe_load(checks))


def test_commands_are_understood() -> None:
    lines = [shlex.split(line) for line in "".join(of("")).splitlines() if line.startswith("jostle stress ")]
    assert len(lines) >= 6
    for words in lines:
        parse(Stress, words[2:], "jostle stress")


def test_tables_name_what_there_is() -> None:
    for title, known in (("suite", DESCRIPTIONS), ("kind", KINDS)):
        table = re.search(rf"^\| {title} .*\n\|[-| ]+\n((?:\|.*\n)+)", PAGE, flags=re.MULTILINE)
        assert table is not None
        assert re.findall(r"^\| `([\w-]+)`", table[1], flags=re.MULTILINE) == list(known)
