"""What a stranger types by mistake, on environments of their own: one sentence each, with the remedy."""

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import jostle
from jostle.cli import main
from jostle.envs.catalogue import nearest_ids
from jostle.errors import ConfigError, EnvError

TRAIN = ["train", "dqn", "--env", "CartPole-v1", "--steps", "10"]


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert "\n" not in said
    return said


@pytest.mark.parametrize("columns", ["40", "100"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "dqn"], "jostle train dqn needs --env and --steps: see"),
        (["train", "dqn", "--steps", "5"], "jostle train dqn needs --env: see"),
        ([*TRAIN, "--learnin-rate", "1"], "has no option --learnin-rate; did you mean --learning-rate"),
        ([*TRAIN, "--zzzzzz", "1"], "has no option --zzzzzz; see jostle train dqn --help."),
        ([*TRAIN, "--num-envs", "four"], "--num-envs four cannot be used: write a whole number, such as 1000 or 1e3."),
        ([*TRAIN, "--noisy", "factorized"], "--noisy factorized is unknown; did you mean factorised?"),
        (["doctor", "a", "b"], "jostle doctor has no use for 'b'"),
        (["doctor"], "jostle doctor needs PATH"),
        (["envs", "a", "b"], "jostle envs has no use for 'b'"),
    ],
)
def test_wrong_arguments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str, arguments: list[str], said: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert said in error_of(capsys, *arguments)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("seed=2", "seed cannot stand in --env-options: give --seed"),
        ("num_envs=2", "give --num-envs"),
        ("id=x", "say which environment with --env"),
        ("render_mode=human", "nothing is drawn in training"),
        ("workers=x", "workers='x' cannot be used: it must be a whole number"),
        ("frame_stack=a", "frame_stack='a' cannot be used"),
        ("engine=[1]", "engine=[1] is not known"),
    ],
)
def test_options_that_belong_elsewhere_or_have_wrong_types(
    capsys: pytest.CaptureFixture[str], option: str, said: str
) -> None:
    assert said in error_of(capsys, *TRAIN, "--env-options", option)


def test_options_in_a_file_are_checked_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("env: CartPole-v1\nenv_options: {1: 2}\n")
    assert "the option 1 in 'env_options'" in error_of(capsys, "train", "dqn", "--config", str(file))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("PongNoFrameskip-v4", "Pong-v5"),
        ("BreakoutDeterministic-v4", "Breakout-v5"),
        ("ALE/Pong-v5", "Pong-v5"),
        ("Pong-ram-v0", "Pong-v5"),
        ("PongNoFramskip-v4", "Pong-v5"),
        ("deepsea", "jostle/DeepSea-v0"),
        ("jostle/DeepSee-v0", "jostle/DeepSea-v0"),
        ("HalfCheetah", "HalfCheetah-v5"),
    ],
)
def test_the_nearest_id_comes_first(wanted: str, found: str) -> None:
    pytest.importorskip("envpool")
    assert nearest_ids(wanted).startswith(f"did you mean {found}")


def test_an_id_without_a_neighbour_points_to_the_list() -> None:
    assert nearest_ids("") == "jostle envs lists those that there are."
    with pytest.raises(ConfigError, match="no environment zzzz: jostle envs lists"):
        jostle.make_env("zzzz")


OWN = """
import gymnasium as gym
import numpy as np

class Own(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (3,), np.float32), gym.spaces.Discrete(2)
    def __init__(self, colour="red", render_mode=None): pass

gym.register("Own-v0", entry_point=Own)
"""


def test_a_module_beside_the_user_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "ownmodule.py").write_text(OWN)
    assert main(["envs", "ownmodule:Own-v0"]) == 0
    assert "colour='red'" in capsys.readouterr().out
    assert "ownmodule registers no Onw-v0: did you mean Own-v0?" in error_of(capsys, "envs", "ownmodule:Onw-v0")
    assert "(No module named 'nosuch'): install the module" in error_of(capsys, "envs", "nosuch:Own-v0")
    gym.registry.pop("Own-v0")


class Odd(gym.Env[Any, Any]):
    """Observations of another shape than its space says, and no pictures."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  # as in Gymnasium
    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Discrete(2)
    render_mode = "rgb_array"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(4, np.float32), 0.0, False, False, {}

    def render(self) -> Any:
        raise NotImplementedError


def test_observations_of_another_shape_are_the_environments_fault() -> None:
    env = jostle.make_env(Odd, num_envs=2, render_mode="rgb_array")
    env.reset()
    with pytest.raises(EnvError, match=r"Odd: the observation of environment 0 in step has shape \[4\]"):
        env.step(np.zeros(2, np.int64))
    with pytest.raises(EnvError, match="Odd on gymnasium draws no pictures: make it without render_mode"):
        env.render()
    env.close()


def test_sizes_that_do_not_fit_into_memory_are_named() -> None:
    with pytest.raises(EnvError, match=r"cannot be made \(Unable to allocate .*use fewer"):
        jostle.make_env("jostle/DeepSea-v0", size=10_000_000)


def test_what_nobody_foresaw_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> str:
        raise KeyError(name)

    monkeypatch.setattr("jostle.presets.text", broken)
    assert error_of(capsys, "presets", "a").startswith("error: an unforeseen KeyError: 'a' (--debug shows")
