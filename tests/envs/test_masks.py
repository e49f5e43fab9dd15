"""Masks of legal actions: what environments tell, in one form, and what cannot be one."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from jostle.envs import make_env, random_actions
from jostle.envs.masks import MaskReader, counts_of, legal_choices
from jostle.errors import EnvError

NONE = np.zeros(3, np.bool_)
MULTI = spaces.MultiDiscrete([2, 3])
Tell = Callable[[int, int], Any]


class Told(gym.Env[Any, Any]):
    """Episodes of three steps; ``tell(episode, t)`` is the mask, None where nothing is told."""

    observation_space = spaces.Box(0, 9, (1,), np.float32)

    def __init__(self, tell: Tell, actions: spaces.Space[Any] | None = None) -> None:
        self.action_space, self.tell, self.episode = actions or spaces.Discrete(3), tell, -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.episode, self.t = self.episode + 1, 0
        return self._answer()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        obs, info = self._answer()
        return obs, 0.0, self.t == 3, False, info

    def _answer(self) -> tuple[Any, dict[str, Any]]:
        told = self.tell(self.episode, self.t)
        return np.array([self.t], np.float32), {} if told is None else {"action_mask": told}


def masks(tell: Tell, steps: int = 4, actions: Any = None, **options: Any) -> list[list[int] | None]:
    """The masks of the first of two environments, behind the reset and behind each step."""
    env = make_env(lambda: Told(tell, actions), 2, **options)
    _, info = env.reset()
    found = [info.get("action_mask")]
    for _ in range(steps):
        *_, info = env.step(np.zeros(env.action_space.shape, np.int64))
        found.append(info.get("action_mask"))
        assert "_action_mask" not in info
    env.close()
    told = [m for m in found if m is not None]
    assert all(m.dtype == np.bool_ and m.shape[0] == 2 for m in told)
    assert all((m[0] == m[1]).all() for m in told)
    return [None if m is None else m[0].astype(int).tolist() for m in found]


@pytest.mark.parametrize(
    ("kind", "workers"), [(np.int8, 0), (np.bool_, 0), (np.float32, 0), (list, 0), (np.int8, 2), (list, 2)]
)
def test_a_mask_belongs_to_the_observation_returned_with_it(kind: Any, workers: int) -> None:
    def tell(episode: int, t: int) -> Any:
        mask = [int(t == 0), int(t == 1), 1]
        return mask if kind is list else np.array(mask, kind)

    # Behind the third step stands the final observation, behind the fourth the first of the next episode.
    assert masks(tell, workers=workers) == [[1, 0, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1], [1, 0, 1]]


def test_rows_that_tell_none_may_do_everything() -> None:
    def late(episode: int, t: int) -> Any:
        return np.array([0, 1, 0]) if (episode, t) in ((0, 2), (1, 1)) else None

    assert masks(late, 5) == [None, None, [0, 1, 0], [1, 1, 1], [1, 1, 1], [0, 1, 0]]
    reader = MaskReader(spaces.Discrete(2), 3, "Game")
    told = np.array([[0, 1], [0, 0], [1, 0]], np.int8)
    mask = reader.read(told, np.array([True, False, True]), NONE)
    assert mask.tolist() == [[False, True], [True, True], [True, False]]
    assert told.tolist() == [[0, 1], [0, 0], [1, 0]]  # the environment's own array is left alone
    own = told.astype(np.bool_)
    assert reader.read(own, np.array([True, False, True]), NONE).tolist() == mask.tolist()
    assert reader.read(own, None, np.array([False, True, False])).tolist() == mask.tolist()
    assert own.tolist() == told.astype(np.bool_).tolist()
    ragged = np.array([np.array([0, 1]), None, [1, 0]], object)
    assert reader.read(ragged, None, NONE).tolist() == mask.tolist()


def test_where_an_episode_ends_nothing_need_be_legal() -> None:
    assert masks(lambda episode, t: np.full(3, t < 3)) == [[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1]]
    assert masks(lambda episode, t: np.array([0, t < 3, 0])) == [[0, 1, 0]] * 3 + [[1, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("told", "actions", "says"),
    [
        (np.zeros(3, np.int8), spaces.Discrete(3), "environment 1 leaves no legal action, and its episode has not"),
        (np.ones(4, np.int8), spaces.Discrete(3), "of environment 0 has the shape [4]; for the actions Discrete(3) it"),
        (np.ones((3, 1)), spaces.Discrete(3), "has the shape [3, 1]"),
        (np.array([0, 2, 1]), spaces.Discrete(3), "of environment 1 holds [0, 2, 1]"),
        (np.array([0.5, 1, 1]), spaces.Discrete(3), "holds [0.5, 1.0, 1.0]"),
        (np.array([np.nan, 1, 1]), spaces.Discrete(3), "holds [nan, 1.0, 1.0]"),
        (np.array(["a", "b", "c"]), spaces.Discrete(3), "holds ['a', 'b', 'c']"),
        ("all", spaces.Discrete(3), "has the shape []"),
        (np.array([1, 1, 0, 0, 0]), MULTI, "environment 1 leaves no legal action for choice 1"),
        (np.ones(6), MULTI, "must be 2 + 3 entries of 0 (illegal) and 1 (legal)"),
        ((np.ones(2), np.ones(2)), MULTI, "must be 2 + 3 entries"),
    ],
)
def test_what_is_no_mask_is_named(told: Any, actions: spaces.Space[Any], says: str) -> None:
    reader = MaskReader(actions, 2, "Game")
    rows: Any = np.empty(2, object)
    rows[0] = np.ones(sum(counts_of(actions))) if "environment 1" in says else told
    rows[1] = told
    with pytest.raises(EnvError) as error:
        reader.read(rows, None, NONE[:2])
    assert says in str(error.value)
    assert str(error.value).startswith("Game: ")


@pytest.mark.parametrize("told", [np.zeros(3, np.int8), np.array([2, 1, 0])])
def test_it_is_named_where_it_is_told(told: Any) -> None:
    first = make_env(lambda: Told(lambda *_: told), 2)
    later = make_env(lambda: Told(lambda _, t: np.ones(3, np.int8) if t == 0 else told), 2)
    with pytest.raises(EnvError, match="environment 0"):
        first.reset()
    later.reset()
    with pytest.raises(EnvError, match="environment 0"):
        later.step(np.zeros(2, np.int64))
    with pytest.raises(EnvError, match="call reset"):
        later.step(np.zeros(2, np.int64))


def test_several_choices() -> None:
    flat, parts = np.array([1, 0, 0, 1, 1]), (np.array([1, 0]), [0, 1, 1])
    for told in (flat, parts, list(parts)):
        assert masks(lambda *_, told=told: told, 1, MULTI) == [[1, 0, 0, 1, 1]] * 2
    square = np.array([[1, 0], [0, 1]])
    assert masks(lambda *_: square, 1, spaces.MultiDiscrete([2, 2])) == [[1, 0, 0, 1]] * 2
    assert counts_of(spaces.MultiBinary(3)) == [2, 2, 2]
    assert counts_of(spaces.MultiDiscrete([[2, 3], [4, 5]])) == [2, 3, 4, 5]


def test_boxes_have_no_masks() -> None:
    env = make_env(lambda: Told(lambda *_: np.ones(3), spaces.Box(-1, 1, (1,), np.float32)), 1)
    _, info = env.reset()
    assert "action_mask" not in info
    assert not env.masked
    env.close()


@pytest.mark.parametrize(
    ("space", "told", "legal"),
    [
        (spaces.Discrete(5, start=-2), [1, 0, 1, 0, 1], [[-2, 0, 2]]),
        (spaces.MultiDiscrete([2, 3], start=[4, -1]), [0, 1, 1, 0, 1], [[5], [-1, 1]]),
        (spaces.MultiDiscrete([[2], [2]]), [1, 1, 0, 1], [[0, 1], [1]]),
        (spaces.MultiBinary(2), [1, 1, 1, 0], [[0, 1], [0]]),
    ],
)
def test_random_actions_are_legal_and_each_as_likely(
    space: spaces.Space[Any], told: list[int], legal: list[list[int]]
) -> None:
    rng = np.random.default_rng(0)
    actions = random_actions(space, 6000, rng, np.tile(np.array(told, np.bool_), (6000, 1)))
    assert actions.shape == (6000, *(space.shape or ()))
    for column, expected in zip(actions.reshape(6000, -1).T, legal, strict=True):
        values, times = np.unique(column, return_counts=True)
        assert values.tolist() == expected
        assert abs(times / 6000 - 1 / len(expected)).max() < 0.03


def test_choices_are_legal_whatever_is_drawn() -> None:
    rng = np.random.default_rng(1)
    mask = rng.random((500, 7)) < 0.3
    mask[np.arange(500), rng.integers(4, size=500)] = mask[np.arange(500), 4 + rng.integers(3, size=500)] = True
    chosen = legal_choices(mask, [4, 3], rng)
    assert mask[np.arange(500), chosen[:, 0]].all()
    assert mask[np.arange(500), 4 + chosen[:, 1]].all()
