"""Spaces go into plain data and come back to the bit."""

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from jostle.envs.space_data import space_data, space_of
from jostle.errors import CheckpointError

SPACES = [
    spaces.Box(-1, 1, (3,), np.float32),
    spaces.Box(0, 255, (4, 84, 84), np.uint8),
    spaces.Box(
        np.array([0.1, -np.inf], np.float32), np.array([np.nextafter(1, 2, dtype=np.float32), np.inf], np.float32)
    ),
    spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
    spaces.Box(-(2**62), 2**62 + 1, (1,), np.int64),
    spaces.Box(0, 1, (), np.float16),
    spaces.Box(0, 1, (0,), np.float32),
    spaces.Box(0, 1, (3,), np.bool_),
    spaces.Box(np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3) + 1, dtype=np.int8),
    spaces.Discrete(5, start=-3),
    spaces.Discrete(2, dtype=np.int32),
    spaces.MultiDiscrete([3, 4], start=[1, -1]),
    spaces.MultiDiscrete(np.array([[2, 3], [4, 5]]), dtype=np.int32),
    spaces.MultiBinary(4),
    spaces.MultiBinary([2, 3]),
    spaces.Dict({"z": spaces.Discrete(2), "a.b": spaces.Box(0, 1, (2,)), "": spaces.MultiBinary(1)}),
    spaces.Dict({"z": spaces.Discrete(2), "a": spaces.Discrete(3)}, sort_keys=False),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_space_comes_back(space: gym.Space[Any]) -> None:
    back = space_of(json.loads(json.dumps(space_data(space))))
    assert back == space
    assert back.dtype == space.dtype
    assert type(back) is type(space)
    if isinstance(space, spaces.Box) and isinstance(back, spaces.Box):
        assert back.low.tobytes() == space.low.tobytes()
        assert back.high.tobytes() == space.high.tobytes()
    if isinstance(space, spaces.Dict) and isinstance(back, spaces.Dict):
        assert list(back.spaces) == list(space.spaces)


def test_even_bounds_take_one_number() -> None:
    assert len(json.dumps(space_data(spaces.Box(0, 255, (4, 84, 84), np.uint8)))) < 100


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Tuple([spaces.Discrete(2)]), spaces.Dict(t=spaces.Text(3))])
def test_other_spaces_have_no_data(space: gym.Space[Any]) -> None:
    assert space_data(space) is None


BOX, DISCRETE, MANY = (space_data(s) for s in (SPACES[0], SPACES[9], SPACES[11]))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "box",
        {},
        {"kind": "tuple"},
        *[{**(BOX or {}), "shape": shape} for shape in (None, 3, [-1], ["3"], [10**12], [10**6, 10**6], [1.5], [True])],
        *[{**(BOX or {}), "dtype": dtype} for dtype in (None, "object", "U9", 3, "datetime64", [])],
        *[{**(BOX or {}), "low": low} for low in (None, "a", 2.0, float("nan"), [1.0], [[0.0] * 3], {})],
        *[{**(DISCRETE or {}), "n": n} for n in (0, -1, None, 2.0, True, 10**15, "2")],
        *[{**(DISCRETE or {}), "start": start} for start in (None, 1.5, 10**30)],
        *[{**(MANY or {}), "nvec": nvec} for nvec in (None, [], [0, 1], [1.5, 2], ["a"], [[1], [1, 2]])],
        {"kind": "multi_binary", "shape": [10**12]},
        {"kind": "dict", "parts": None},
        {"kind": "dict", "parts": [["a", None]]},
        {"kind": "dict", "parts": [[1, DISCRETE]]},
        {"kind": "dict", "parts": [["a"]]},
    ],
)
def test_nonsense_is_refused_in_a_sentence(data: Any) -> None:
    with pytest.raises(CheckpointError, match="none that jostle wrote"):
        space_of(data)
