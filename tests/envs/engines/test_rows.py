"""What one environment gives is checked where it steps, and what is wrong is said of its row."""

import itertools
import multiprocessing
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.envs import JostleEnv, make_env
from jostle.envs.engines.rows import Unfit, number
from jostle.errors import EnvError


def world(
    space: spaces.Space[Any],
    good: Any,
    bad: Any = None,
    *,
    reward: Any = 1.0,
    ends: Any = (False, False),
    at: int = 2,
    info: Any = None,
) -> Any:
    """A class; the second environment made gives what is wrong in its step `at` (0: in reset)."""
    count = itertools.count()

    class World(gym.Env[Any, Any]):
        observation_space, action_space = space, spaces.Discrete(2)

        def __init__(self) -> None:
            self.wrong = next(count) == 1

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            self.t = 0
            return self._see(), {}

        def step(self, action: Any) -> Any:
            self.t += 1
            if not (self.wrong and self.t == at):
                return self._see(), 1.0, self.t == 5, False, {}
            return self._see(), reward, *ends, {} if info is None else info

        def _see(self) -> Any:
            return bad if bad is not None and self.wrong and self.t == at else good

    return World


def play(env: JostleEnv, steps: int) -> None:
    env.reset()
    for _ in range(steps):
        env.step(np.zeros(env.num_envs, int))


BOX = spaces.Box(-1, 1, (2,), np.float32)
ZERO = np.zeros(2, np.float32)
NESTED = spaces.Dict({"a.b": spaces.Discrete(3), "in": spaces.Dict({"x": spaces.MultiBinary(2), "y": BOX})})
GOOD = {"a.b": 1, "in": {"x": np.zeros(2, np.int8), "y": ZERO}}

UNFIT = [
    (BOX, ZERO, np.zeros(3, np.float32), r"has shape \[3\], and its space .* has \[2\]"),
    (BOX, ZERO, [[0.0], [0.0, 1.0]], "which is no array"),
    (BOX, ZERO, np.array([None, 1]), "of type object"),
    (BOX, ZERO, "text", "is 'text', and its space"),
    (BOX, ZERO, {"x": ZERO}, "is of type dict"),
    (
        spaces.Box(0, 9, (2,), np.int64),
        np.zeros(2, int),
        np.zeros(2),
        "type float64, and its .* holds integers",
    ),
    (spaces.Box(0, 255, (2,), np.uint8), np.zeros(2, np.uint8), np.array([0, 256]), "holds 256, which the type uint8"),
    (spaces.Box(0, 9, (2,), np.int64), np.zeros(2, int), np.array([0, 10]), r"is 10 at \[1\], outside its space Box"),
    (spaces.Box(np.array([0, 5]), np.array([9, 6]), dtype=np.int64), np.array([0, 5]), np.array([0, 4]), r"4 at \[1\]"),
    (spaces.Discrete(5), 4, 5, r"is 5, outside its space Discrete\(5\)"),
    (spaces.Discrete(5, start=3), np.int32(7), np.int64(2), "is 2, outside"),
    (spaces.Discrete(5), 0, 0.5, "type float64, and its .* holds integers"),
    (spaces.Discrete(5), 0, np.array([1]), r"has shape \[1\]"),
    (spaces.Discrete(5), 0, 2**70, "of type object"),
    (
        spaces.MultiDiscrete([2, 3]),
        np.array([1, 2]),
        np.array([2, 2]),
        r"is 2 at \[0\], outside its space Multi",
    ),
    (spaces.MultiBinary(2), np.array([1, 0]), np.array([0, 2]), r"is 2 at \[1\], outside its space MultiBinary"),
    (spaces.MultiBinary(2), np.zeros(2, np.int8), np.array([0, 257]), "holds 257, which the type int8"),
    (NESTED, GOOD, {"a.b": 1}, "lacks the key 'in' of its space"),
    (NESTED, GOOD, {**GOOD, "in": {"y": ZERO}}, "at \"in\" lacks the key 'x'"),
    (NESTED, GOOD, {**GOOD, "in": {"x": np.zeros(3, np.int8), "y": ZERO}}, r'at "in\.x" has shape \[3\]'),
    (NESTED, GOOD, {**GOOD, "a.b": 3}, r'observation "a\.b" of environment 1 in \w+ is 3, outside'),
    (
        NESTED,
        GOOD,
        {**GOOD, "in": {"x": [2, 0], "y": ZERO}},
        r'"in\.x" of environment 1 in .* is 2 at \[0\]',
    ),
    (NESTED, GOOD, ZERO, "its space is a Dict"),
]


@pytest.mark.parametrize("at", [0, 2, 5], ids=["reset", "step", "last step"])
@pytest.mark.parametrize(("space", "good", "bad", "message"), UNFIT)
def test_observations_that_do_not_fit(space: spaces.Space[Any], good: Any, bad: Any, message: str, at: int) -> None:
    env = make_env(world(space, good, bad, at=at), 3)
    where = "step" if at else "reset"
    with pytest.raises(EnvError, match=f"^World: the observation.*environment 1 in {where} ") as raised:
        play(env, 5)
    assert raised.match(message)
    assert raised.match("mend the environment, or declare")
    assert "check_env" not in str(raised.value)


@pytest.mark.parametrize(
    ("space", "given", "expected"),
    [
        (BOX, [0.25, 1], [0.25, 1]),
        (BOX, np.float64([2, -9]), [2, -9]),  # floats may lie outside of what is declared
        (BOX, torch.tensor([0.5, 0.25]), [0.5, 0.25]),
        (spaces.Box(0, 255, (2,), np.uint8), np.array([0, 255]), [0, 255]),
        (spaces.Box(-1, 1, (), np.float32), 0.5, 0.5),
        (spaces.Discrete(2), True, 1),
        (spaces.Discrete(3), np.array(2, np.uint8), 2),
        (spaces.MultiDiscrete([3, 3]), (1, 2), [1, 2]),
        (spaces.MultiBinary(2), np.array([True, False]), [1, 0]),
    ],
)
def test_observations_of_other_types_in_which_nothing_is_lost(
    space: spaces.Space[Any], given: Any, expected: Any
) -> None:
    env = make_env(world(space, given), 2)
    obs, _ = env.reset()
    assert obs.dtype == space.dtype
    np.testing.assert_array_equal(obs, [expected, expected])
    np.testing.assert_array_equal(env.step(np.zeros(2, int))[0], [expected, expected])


def test_further_keys_and_text_are_left_out() -> None:
    space = spaces.Dict({"x": BOX, "mission": spaces.Text(9)})
    obs, _ = make_env(world(space, {"x": ZERO, "mission": "go", "more": object()}), 2).reset()
    assert list(obs) == ["x"]


@pytest.mark.parametrize(
    "reward",
    [2, True, np.float32(0.5), np.array([0.5]), np.array([[3]]), np.array(0.25), Fraction(1, 4), Decimal("0.5"), [1.5],
     torch.tensor(0.5)],
    ids=repr,
)  # fmt: skip
def test_rewards_that_are_one_number(reward: Any) -> None:
    env = make_env(world(BOX, ZERO, reward=reward), 2)
    env.reset()
    env.step(np.zeros(2, int))
    assert env.step(np.zeros(2, int))[1].tolist() == [1.0, number(reward)]


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (None, "is None"),
        ("1.0", "is '1.0'"),
        (np.array(["1"]), "is an array of shape|is of type ndarray"),
        (np.zeros(2), r"is an array of shape \[2\]"),
        (np.zeros(0), r"is an array of shape \[0\]"),
        ({}, "is of type dict"),
        (1j, "is of type complex"),
        (float("nan"), "is not finite"),
        (np.array([np.inf]), "is not finite"),
    ],
)
def test_rewards_that_are_none(reward: Any, message: str) -> None:
    env = make_env(world(BOX, ZERO, reward=reward), 2)
    env.reset()
    env.step(np.zeros(2, int))
    with pytest.raises(EnvError, match=f"^World: the reward of environment 1 .*({message})"):
        env.step(np.zeros(2, int))


@pytest.mark.parametrize("name", ["terminated", "truncated"])
def test_flags(name: str) -> None:
    def ends(value: Any) -> tuple[Any, Any]:
        return (value, False) if name == "terminated" else (False, value)

    which = 2 if name == "terminated" else 3
    for value in (np.True_, 1, np.array([True]), np.array(1), 1.0):
        env = make_env(world(BOX, ZERO, ends=ends(value)), 2)
        env.reset()
        env.step(np.zeros(2, int))
        assert env.step(np.zeros(2, int))[which].tolist() == [False, True]
    for value in (None, "no", np.zeros(2, bool), 2, float("nan")):
        env = make_env(world(BOX, ZERO, ends=ends(value)), 2)
        env.reset()
        env.step(np.zeros(2, int))
        with pytest.raises(EnvError, match=f"{name} of environment 1 is .*True or False is wanted"):
            env.step(np.zeros(2, int))


def test_numbers() -> None:
    assert [number(v) for v in (3, np.int8(3), np.array([[3.0]]), Fraction(6, 2))] == [3.0] * 4
    for wrong in (None, "3", b"3", [], [1, 2], object(), np.datetime64("2020-01-01")):
        with pytest.raises(Unfit):
            number(wrong)


class Old(gym.Env[Any, Any]):
    """The interface of long ago."""

    observation_space, action_space = BOX, spaces.Discrete(2)

    def __init__(self, how: str) -> None:
        self.how = how

    def reset(self, **given: Any) -> Any:
        if self.how == "no seed":
            raise TypeError("Old.reset() got an unexpected keyword argument 'seed'")
        return ZERO if self.how == "observation alone" else (ZERO, {})

    def step(self, action: Any) -> Any:
        return ZERO, 1.0, False, {}


@pytest.mark.parametrize(
    ("how", "wrapped", "message"),
    [
        ("no seed", False, "failed in reset with TypeError"),
        ("observation alone", False, r"reset of environment 0 returned an array of shape \[2\]"),
        ("four", False, "step of environment 0 returned 4 values"),
        ("four", True, "failed in step with ValueError"),
    ],
)
def test_the_old_interface_is_recognised(how: str, wrapped: bool, message: str) -> None:
    def make() -> gym.Env[Any, Any]:
        return gym.wrappers.TimeLimit(Old(how), 9) if wrapped else Old(how)

    env = make_env(make)
    with pytest.raises(EnvError, match=f"{message}.*before Gymnasium 0.26.*shimmy"):
        play(env, 1)


@pytest.mark.parametrize("told", [[1], "text", None, 7])
def test_an_info_that_is_no_dict_is_nobody_s_to_read(told: Any) -> None:
    env = make_env(world(BOX, ZERO, info=told), 2)
    env.reset()
    assert set(env.step(np.zeros(2, int))[4]) == {"valid", "start"}


@pytest.mark.parametrize("kind", [jostle.PPO, jostle.DQN])
def test_training_ends_with_the_row(kind: Any) -> None:
    agent = kind(world(spaces.Discrete(3), 2, 3, at=4), num_envs=2, seed=0)
    with pytest.raises(EnvError, match=r"observation of environment 1 in step is 3, outside its space Discrete\(3\)"):
        agent.learn(200)


def test_rows_in_workers_are_numbered_across_them() -> None:
    class Tells(gym.Env[Any, Any]):
        observation_space, action_space = spaces.Discrete(3), spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            return (3 if seed == 2 else 0), {}

    env = make_env(Tells, 3, workers=2)
    with pytest.raises(EnvError, match=r"observation of environment 2 in reset is 3, outside"):
        env.reset()
    env.close()


def test_rows_of_different_workers_have_the_same_spaces(tmp_path: Path) -> None:
    taken = tmp_path / "taken"

    class Differs(Old):
        def __init__(self) -> None:
            first = not taken.exists()
            taken.touch()
            self.observation_space = spaces.Discrete(3 if first else 4)

    with pytest.raises(EnvError, match=r"space of environment 0 is .*, and that of environment 1 is Discrete"):
        make_env(Differs, 2, workers=2)
    assert not multiprocessing.active_children()
