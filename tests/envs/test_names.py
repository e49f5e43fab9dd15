"""Names of the numbers of observations: one for each, from the environment, its wrappers, a table of ids, or nobody."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from jostle import make_env
from jostle.envs.engines.mujoco.catalogue import mujoco_ids
from jostle.envs.names import KNOWN, names_in, told_by


class Tells(gym.Env[Any, Any]):
    """Three numbers, or two parts."""

    def __init__(self, names: Any = ("a", "b", "c"), parts: bool = False) -> None:
        one = spaces.Box(-1, 1, (3,), np.float32)
        self.observation_space = (
            spaces.Dict({"arm": one, "eye": spaces.Box(0, 1, (2, 2), np.float32)}) if parts else one
        )
        self.action_space = spaces.Discrete(2)
        if names is not None:
            self.observation_names = names

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


class Renamed(gym.Wrapper[Any, Any, Any, Any]):
    observation_names = ("x", "y", "z")


def told(**options: Any) -> Any:
    env = make_env(lambda: Tells(**options), 2)
    env.close()
    return env.observation_names


def test_anybodys_environment_tells_by_an_attribute() -> None:
    assert told() == {"": ("a", "b", "c")}
    assert told(names=None) == {}
    both = {"arm": ["x", "y", "z"], "eye": ["p", "q", "r", "s"]}
    assert told(parts=True, names=both) == {"arm": ("x", "y", "z"), "eye": ("p", "q", "r", "s")}
    assert told(parts=True, names={"arm": ["x", "y", "z"]}) == {"arm": ("x", "y", "z")}
    env = make_env(lambda: gym.wrappers.TimeLimit(Renamed(Tells()), 5), 1)
    assert env.observation_names == {"": ("x", "y", "z")}, "the outermost that says something"
    env.close()
    assert told_by(gym.wrappers.TimeLimit(Tells(), 5)) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"names": ("a", "b")}, "gives 2 names to the 3 numbers of its observation: they are left out"),
        ({"names": "abc"}, "gives 3 names"),
        ({"names": 7}, "gives 0 names"),
        ({"names": {"arms": ("a",)}, "parts": True}, "of an observation 'arms' that it does not have"),
        ({"names": {"arm": ("a",)}, "parts": True}, "gives 1 names to the 3 numbers of its observation 'arm'"),
    ],
)
def test_names_that_are_not_one_for_each_number_are_left_out_with_a_warning(options: Any, said: str) -> None:
    env = make_env(lambda: Tells(**options), 1)
    env.close()
    with pytest.warns(UserWarning, match=said):
        assert env.observation_names == {}


@pytest.mark.parametrize(
    "name", ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"]
)
def test_classic_control(name: str) -> None:
    for made in (make_env(f"jostle/{name}", 2), make_env(name, 1, engine="gymnasium")):
        assert made.observation_names == {"": KNOWN[name]}
        assert len(KNOWN[name]) == made.single_observation_space.shape[0]
        made.close()
    alone = gym.make(f"jostle/{name}")
    assert told_by(alone) == KNOWN[name]


def test_each_number_is_what_it_is_called() -> None:
    env = make_env("jostle/Pendulum-v1", 4)
    obs, _ = env.reset(seed=0)
    at = {name: i for i, name in enumerate(env.observation_names[""])}
    state = env.world.state  # type: ignore[union-attr]
    np.testing.assert_allclose(obs[:, at["cos θ"]], np.cos(state[:, 0]), atol=1e-6)
    np.testing.assert_allclose(obs[:, at["angular velocity"]], state[:, 1], atol=1e-6)
    env.close()


def test_what_a_domain_tells_has_the_names_of_its_parameters() -> None:
    domain = {"rod.mass": {"uniform": [0.5, 2.0]}, "gravity": {"uniform": [5.0, 15.0]}}
    env = make_env("jostle/Pendulum-v1", 2, domain=domain, domain_privileged=True)
    assert env.observation_names == {"obs": KNOWN["Pendulum-v1"], "privileged": env.domain.names}  # type: ignore[union-attr]
    assert set(env.observation_names["privileged"]) == {"rod.mass", "gravity"}
    env.close()


def test_pictures_and_ids_with_other_numbers_have_none() -> None:
    env = make_env("jostle/ThemedCatch-v0", 1)
    assert env.observation_names == {}
    env.close()
    assert names_in(None, spaces.Box(-1, 1, (5,), np.float32), "CartPole-v1") == {}
    assert names_in(None, spaces.Discrete(4), "FrozenLake-v1") == {}


@pytest.mark.parametrize("name", mujoco_ids())
def test_mujoco_tasks_name_every_number_once(name: str) -> None:
    env = make_env(name, 1)
    (names,) = env.observation_names.values()
    assert len(names) == env.single_observation_space.shape[0]
    assert len(set(names)) == len(names)
    env.close()


def test_mujoco_names_are_those_of_the_joints() -> None:
    pytest.importorskip("mujoco")
    for name, some in {
        "HalfCheetah-v5": {0: "rootz position", 1: "rooty angle", 2: "bthigh angle", 8: "rootx velocity"},
        "Ant-v5": {0: "root z", 1: "root qw", 13: "root velocity x", 16: "root rotation x", 27: "torso torque x"},
        "Reacher-v5": {0: "cos joint0 angle", 4: "target x", 6: "joint0 velocity", 8: "fingertip from target x"},
        "Reach-v0": {0: "turn angle", 6: "turn velocity", 12: "fingertip x", 17: "way to the ball z"},
    }.items():
        env = make_env(f"jostle/{name}", 1)
        names = env.observation_names[""]
        assert {i: names[i] for i in some} == some
        env.close()
    env = make_env("jostle/Reach-v0", 1, observation="both", size=16)
    assert list(env.observation_names) == ["proprioception"]
    assert len(env.observation_names["proprioception"]) == 12
    env.close()
