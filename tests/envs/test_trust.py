"""What a file names is made only where that imports nothing that nobody has vouched for."""

import sys
from pathlib import Path
from typing import Any

import pytest

from jostle.envs import make_env
from jostle.envs.trust import Claimed, claimed, vouched_id, vouched_options
from jostle.errors import ConfigError


@pytest.fixture
def marking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a mark when it is imported."""
    (tmp_path / "leaves_a_mark.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)  # type: ignore[no-untyped-call]
    sys.modules.pop("leaves_a_mark", None)
    return tmp_path / "mark"


@pytest.mark.parametrize("how", [{}, {"workers": 1}, {"engine": "gymnasium"}, {"num_envs": 2}])
def test_an_id_of_a_file_imports_no_module(marking: Path, how: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"'leaves_a_mark' would be imported and run: .* give --trust"):
        make_env(claimed("leaves_a_mark:Some-v0"), **how)
    assert not marking.exists()


@pytest.mark.parametrize("value", ["leaves_a_mark:Some-v0", ["leaves_a_mark:Some-v0"], {"a": {"b": "leaves_a_mark:S"}}])
def test_nor_does_an_option_of_a_file(marking: Path, value: Any) -> None:
    with pytest.raises(ConfigError, match="'leaves_a_mark' would be imported"):
        make_env("CartPole-v1", **claimed({"inner": value}))
    assert not marking.exists()


def test_what_a_user_says_is_his_word(marking: Path) -> None:
    with pytest.raises(ConfigError, match="leaves_a_mark registers no Some"):
        make_env("leaves_a_mark:Some-v0")
    assert marking.exists()
    assert vouched_id(claimed("leaves_a_mark:Some-v0")) == "leaves_a_mark:Some-v0", "it is imported now"


def test_a_file_that_is_trusted_is_a_users_word() -> None:
    options = {"a": ["nowhere:B-v0"], "n": 3}
    assert claimed(options, trust=True) is options
    assert type(claimed("nowhere:B-v0", trust=True)) is str
    assert claimed(None) is None


@pytest.mark.parametrize("name", ["CartPole-v1", "minigrid:MiniGrid-Empty-5x5-v0", "ale_py:ALE/Pong-v5", "ALE/Pong-v5"])
def test_packages_of_environments_are_no_question(name: str) -> None:
    assert type(vouched_id(Claimed(name))) is str


@pytest.mark.parametrize("value", ["host:8080", "C:/maps/one.xml", "no_such_module_anywhere:Name-v0", "a: b", "train"])
def test_options_that_name_no_module_are_let_through(value: str) -> None:
    plain = vouched_options(claimed({"x": [value]}))
    assert plain == {"x": [value]}
    assert type(plain["x"][0]) is str
