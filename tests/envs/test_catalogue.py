"""Which environments there are, which engine makes them, and what a wrong name is answered with."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from jostle.envs import list_envs, make_env
from jostle.envs.catalogue import describe
from jostle.errors import ConfigError, EnvError


def test_the_list_names_engine_and_family() -> None:
    found = {info.id: info for info in list_envs()}
    assert len(found) > 1000
    assert (found["Pong-v5"].engine, found["Pong-v5"].family, found["Pong-v5"].fast) == ("envpool", "atari", True)
    assert [info.id for info in list_envs("DOORKEY-8")] == ["MiniGrid-DoorKey-8x8-v0"]
    assert {info.family for info in list_envs("procgen")} == {"procgen"}
    assert list_envs("no such thing") == []


def test_a_description_builds_nothing_and_has_spaces_and_defaults() -> None:
    pong = describe("Pong-v5")
    assert pong.observation_space.shape == (4, 84, 84)
    assert pong.options["repeat_action_probability"] == 0.0
    assert "num_envs" not in pong.options
    made = make_env("MiniGrid-DoorKey-8x8-v0")
    assert describe("MiniGrid-DoorKey-8x8-v0").observation_space == made.single_observation_space
    with pytest.raises(ConfigError, match="did you mean Pong-v5"):
        describe("Ponk-v5")


def test_auto_takes_envpool_and_gymnasium_takes_the_rest() -> None:
    assert make_env("CartPole-v1").engine == "envpool"
    assert make_env("CartPole-v1", engine="gymnasium").engine == "gymnasium"
    gym.register("OnlyHere-v0", "gymnasium.envs.classic_control:CartPoleEnv", kwargs={"sutton_barto_reward": True})
    try:
        env = make_env("OnlyHere-v0", 2)
        assert (env.engine, env.id, env.options) == ("gymnasium", "OnlyHere-v0", {})
        assert describe("OnlyHere-v0").options["sutton_barto_reward"] is True
        with pytest.raises(ConfigError, match="no option sutton_barto_rewar: did you mean sutton_barto_reward"):
            make_env("OnlyHere-v0", sutton_barto_rewar=True)
    finally:
        del gym.registry["OnlyHere-v0"]


def test_an_id_may_name_its_module() -> None:
    env = make_env("gymnasium.envs.classic_control:CartPole-v1", 2)
    assert env.engine == "gymnasium"
    assert env.reset()[0].shape == (2, 4)
    with pytest.raises(EnvError, match="no_such_module"):
        make_env("no_such_module:Thing-v0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"id": "CartPol-v1"}, "no environment CartPol-v1: did you mean CartPole-v1"),
        ({"id": "Blackjack-v9", "engine": "gymnasium"}, "no environment Blackjack-v9: did you mean .*Blackjack-v1"),
        ({"id": "OnlyHere-v0", "engine": "envpool"}, "no environment OnlyHere-v0 on envpool"),
        ({"id": "CartPole-v1", "engine": "envpol"}, "engine='envpol' is not known: did you mean envpool"),
        ({"id": "CartPole-v1", "num_envs": 0}, "num_envs=0"),
        ({"id": "CartPole-v1", "render_mode": "human"}, "render_mode='human'"),
        ({"id": lambda: None, "engine": "envpool"}, "a function was given"),
        ({"id": lambda: None, "size": 3}, "takes no options .size.: give them to the environment inside it"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("env_id", ["jostle/DeepSea-v0", "jostle/ThemedCatch-v0"])
def test_the_diagnostics_are_found_and_can_be_snapshotted(env_id: str) -> None:
    env = make_env(env_id, 3, seed=1)
    assert (env.engine, env.can_snapshot) == ("jostle", True)
    assert env.observation_space.contains(env.reset()[0])
    env.load_state_dict(env.state_dict())
    assert describe(env_id).observation_space == env.single_observation_space
    assert "num_envs" not in describe(env_id).options
    assert [info.engine for info in list_envs(env_id)] == ["jostle"]
    with pytest.raises(ConfigError, match="has no option"):
        make_env(env_id, nonsense=1)


def test_options_of_a_diagnostic_have_their_defaults() -> None:
    assert describe("jostle/DeepSea-v0").options["size"] == 10


def test_options_are_recorded_and_reach_the_environment() -> None:
    env = make_env("CartPole-v1", 1, max_episode_steps=3)
    assert env.options == {"max_episode_steps": 3}
    env.reset()
    assert [bool(env.step(np.zeros(1, int))[3][0]) for _ in range(3)] == [False, False, True]


def test_without_envpool_gymnasium_takes_over() -> None:
    """In a process where the package cannot be found."""
    code = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *a: None if name == "envpool" else find(name, *a)
from jostle.envs import list_envs, make_env
from jostle.errors import ConfigError, EnvError
assert make_env("CartPole-v1", 2).engine == "gymnasium"
assert make_env("MiniGrid-Empty-5x5-v0").engine == "gymnasium"
assert "envpool" not in sys.modules
for arguments, kind in (({"id": "CartPole-v1", "engine": "envpool"}, EnvError), ({"id": "Pong-v5"}, ConfigError)):
    try:
        make_env(**arguments)
    except kind as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert 'EnvPool is not installed: pip install "jostle[envpool]".' in done.stdout
    assert "There is no environment Pong-v5" in done.stdout
