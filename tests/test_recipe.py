"""Presets, configuration files and options, apart from the command that reads them."""

from pathlib import Path

import pytest

from jostle import presets
from jostle.cli.flags import flag_value
from jostle.cli.recipe import overlay, parse_options, read_config
from jostle.errors import ConfigError


def test_an_unknown_preset() -> None:
    with pytest.raises(ConfigError, match="did you mean cartpole-noisy"):
        presets.settings("cartpole-nosy")


def test_values_of_options_are_read_as_yaml() -> None:
    words = ["a=1", "b=0.5", "c=1e-3", "d=true", "e=hard", "f=[1, 2]", "g=x=y", "h="]
    assert parse_options(words) == {
        "a": 1, "b": 0.5, "c": 1e-3, "d": True, "e": "hard", "f": [1, 2], "g": "x=y", "h": None
    }  # fmt: skip
    with pytest.raises(ConfigError, match="quote it"):
        parse_options(["a=[1"])
    with pytest.raises(ConfigError, match="write key=value"):
        parse_options(["=1"])


def test_sections_are_merged_key_by_key() -> None:
    base = {"env": "A", "config": {"gamma": 0.9, "double": True}}
    merged = overlay(base, {"env": None, "seed": 1, "config": {"gamma": 0.5}})
    assert merged["env"] == "A"
    assert merged["seed"] == 1
    assert merged["config"] == {"gamma": 0.5, "double": True}
    assert base["config"] == {"gamma": 0.9, "double": True}


@pytest.mark.parametrize(("text", "value"), [("5e-5", 5e-5), ("1E3", 1e3), ("-2.5e-1", -0.25), (".5e1", 5.0)])
def test_numbers_without_a_point_are_numbers(text: str, value: float, tmp_path: Path) -> None:
    """YAML 1.1 reads 5e-5 as a text."""
    assert parse_options([f"a={text}"]) == {"a": value}
    file = tmp_path / "mine.yaml"
    file.write_text("config: {learning_rate: 5e-5}\nenv: 1e5x")
    assert read_config(file) == {"config": {"learning_rate": 5e-5}, "env": "1e5x"}


def test_the_last_of_a_flag_counts() -> None:
    assert flag_value(["--preset", "a", "--preset=b"], "--preset") == "b"
    assert flag_value(["--steps", "1"], "--preset") is None
    assert flag_value(["--preset"], "--preset") is None  # tyro says what is missing
