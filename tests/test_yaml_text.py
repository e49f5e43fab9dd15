"""YAML: a key twice is an error, nothing but plain data comes out, and no text unfolds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jostle.cli.recipe import parse_options, read_config
from jostle.errors import CheckpointError, ConfigError
from jostle.store import Run
from jostle.yaml_text import dump_yaml, parse_yaml

TWICE = "config:\n  gamma: 0.9\n  learning_rate: 0.1\n  gamma: 0.5\n"


@pytest.mark.parametrize(
    "text", [TWICE, "a: 1\n\n\na: 1\n", "{a: 1, a: 2}", "- {x: {y: 1, y: 1}}", "? a\n: 1\n? a\n: 2\n", "'a': 1\na: 2"]
)
def test_a_key_twice_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match=r"is given twice, first in line \d+(.|\n)*line \d+, column"):
        parse_yaml(text)


def test_the_same_key_elsewhere_is_no_second_one() -> None:
    assert parse_yaml("a: {x: 1}\nb: {x: 1}\n1: 0\n'1': 2") == {"a": {"x": 1}, "b": {"x": 1}, 1: 0, "1": 2}
    assert parse_yaml("base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  x: 3")["own"] == {"x": 3, "y": 2}


def test_a_key_twice_is_refused_wherever_yaml_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(TWICE)
    with pytest.raises(ConfigError, match="'gamma' is given twice, first in line 2"):
        read_config(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_options(["size={a: 1, a: 2}"])
    Run.create(tmp_path / "run", {"a": 1}, {}).close()
    (tmp_path / "run" / "config.yaml").write_text(TWICE)
    with pytest.raises(CheckpointError, match="'gamma' is given twice, first in line 2"):
        Run.open(tmp_path / "run")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [LAUGHS, "&a [*a]", "a: &a {b: *a}", "[" * 20_000, "!!binary aGk=", "!!set {a, b}", "!!timestamp 2020-01-01",
     "!!python/object/apply:os.system [ls]", "1" * 5000, "\x00", b"\xff\xfe\x00"],
    ids=lambda text: str(text)[:20].encode("unicode_escape").decode(),
)  # fmt: skip
def test_what_unfolds_or_is_no_plain_data_is_refused(text: Any) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)


@pytest.mark.parametrize("value", ["1e5", "5e-4", "2020-01-01", "yes", "1:30", "", "null", "été", "a: b", "~", "0x1"])
def test_a_text_stays_a_text(value: str) -> None:
    assert parse_yaml(dump_yaml({"a": value})) == {"a": value}


@pytest.mark.parametrize("value", [1e-9, 5e-4, -1e300, 3, True, None, [1, [2.5]], {"x": {"y": 1}}, 0.1, [], {}])
def test_plain_data_come_back(value: Any) -> None:
    back = parse_yaml(dump_yaml({"a": value}))["a"]
    assert back == value
    assert type(back) is type(value)


def test_numpys_scalars_are_numbers(tmp_path: Path) -> None:
    data = {"i": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True), "s": np.str_("x"), "l": (np.uint8(1),)}
    want = {"i": 3, "f": 0.5, "b": True, "s": "x", "l": [1]}
    with Run.create(tmp_path / "run", data, {"seed": np.int64(7)}) as run:
        assert run.config == want
        assert run.info["seed"] == 7
        run.save(0, {"model": {}}, {"n": np.int64(4), "x": {"y": np.float64(0.5)}})
    again = Run.open(tmp_path / "run")
    assert again.config == want
    assert again.info["seed"] == 7
    assert again.newest()[2] == {"n": 4, "x": {"y": 0.5}, "step": 0}
