"""Infos: whatever environments tell arrives with its values or not at all, and never stops a run."""

import threading
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import RecordEpisodeStatistics

import jostle
from jostle.envs import make_env
from jostle.envs.engines.infos import join_infos, pack_infos, unpack_infos
from jostle.errors import ConfigError
from jostle.view import Success, play


class Unwilling:
    """Neither pickles nor compares."""

    def __reduce__(self) -> Any:
        raise RuntimeError("not me")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("nor this")

    __hash__ = None  # type: ignore[assignment]


CYCLE: dict[str, Any] = {"x": 1}
CYCLE["self"] = CYCLE
ANYTHING: dict[str, tuple[Any, Any]] = {
    "length": (np.zeros(1), np.zeros(3)),
    "dtype": (np.zeros(2, np.int8), np.full(2, 0.5)),
    "number, array": (1, np.zeros(2)),
    "number, text": (0, "door"),
    "dict, number": ({"a": 1}, 3),
    "dict, None": ({"a": 1}, None),
    "dicts": ({"a": 1, "b": {"c": "x"}}, {"a": 0.5, "b": {"c": None}}),
    "lists": ([1, 2], (3,)),
    "keys": ({3: 4}, {(1, 2): 3}),
    "huge number": (2**80, 1),
    "text arrays": (np.array(["a"]), np.array(["long"])),
    "objects": (np.array([{}, None], dtype=object), np.array(None, dtype=object)),
    "masked": (np.ma.masked_array([1, 2], [True, False]), 1),
    "structured": (np.zeros(2, "i4,f4"), np.zeros(2)),
    "unwilling": (Unwilling(), Unwilling()),
    "locks": (threading.Lock(), threading.Lock()),
    "cycle": (CYCLE, CYCLE),
    "huge": (np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)),
    "_hidden": (1, "x"),
    "_length": (True, np.ones(9)),
    "action mask": (np.array([1, 0], np.int8), np.array([0, 1], np.int8)),
}


def teller(tell: Any) -> Any:
    """A class of environments that end after five steps; ``tell(number, step)`` is their info."""

    class Tells(gym.Env[Any, Any]):
        observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            if seed is not None:
                self.number = seed
            self.t = 0
            return np.zeros(2, np.float32), tell(self.number, self.t)

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.t += 1
            return np.zeros(2, np.float32), 1.0, self.t >= 5, False, tell(self.number, self.t)

    return Tells


def told_by_two(a: Any, b: Any) -> Any:
    return join_infos({0: {"x": a}, 1: {"x": b}}, 3)["x"]


@pytest.mark.parametrize(
    ("a", "b", "dtype"),
    [
        (1, 2, np.int64),
        (0, 0.5, np.float64),
        (True, False, np.bool_),
        (True, 7, np.int64),
        (np.float32(0.1), np.float32(0.2), np.float32),
        (np.int8(1), np.float32(0.5), np.float32),
        (np.uint8(200), np.int8(-1), np.int16),
        (2**53, 0.5, np.float64),
        (2**53 + 1, 0.5, object),
        (-(2**60) - 1, 1j, object),
        (np.uint64(2**64 - 1), np.int64(-1), object),
        (2**70, 1, object),
        ("a", "b", object),
        (None, 1, object),
        (np.array(3), 4, np.int64),
    ],
)
def test_numbers_keep_their_values(a: Any, b: Any, dtype: Any) -> None:
    joined = told_by_two(a, b)
    assert joined.dtype == dtype
    assert joined.shape == (3,)
    assert joined[0] == a
    assert joined[1] == b
    assert joined[2] == (None if dtype is object else 0)


def test_arrays_of_one_shape_are_stacked_with_a_mask() -> None:
    joined = join_infos({2: {"action_mask": np.array([1, 0, 1], np.int8)}}, 4)
    assert joined["action_mask"].dtype == np.int8
    assert joined["action_mask"].tolist() == [[0] * 3, [0] * 3, [1, 0, 1], [0] * 3]
    assert joined["_action_mask"].tolist() == [False, False, True, False]
    mixed = told_by_two(np.array([1, 2]), np.array([0.5, 1.5]))
    assert mixed[:2].tolist() == [[1, 2], [0.5, 1.5]]


def test_what_was_joined_is_not_written_to_by_the_environment() -> None:
    state = np.zeros(2)
    joined, mixed = told_by_two(state, state), told_by_two(state, np.zeros(3))
    state[0] = 9
    assert joined[0].tolist() == mixed[0].tolist() == [0, 0]


def test_dicts_are_joined_in_turn_and_mixtures_are_objects() -> None:
    joined = join_infos({0: {"d": {"a": 1, "_a": 5, "b": "x"}}, 1: {"d": {"a": 0.5}}}, 2)["d"]
    assert joined["a"].tolist() == [1, 0.5]
    assert joined["_a"].tolist() == [True, True]
    assert joined["b"].tolist() == ["x", None]
    assert joined["_b"].tolist() == [True, False]
    assert told_by_two({"a": 1}, 3).tolist() == [{"a": 1}, 3, None]
    assert told_by_two({"a": 1}, {3: 1}).tolist() == [{"a": 1}, {3: 1}, None]
    assert join_infos({0: {3: 1, ("t",): 2, None: 3, "_m": 4}}, 1) == {}


@pytest.mark.parametrize("name", ANYTHING)
def test_anything_may_be_told_and_workers_tell_the_same(name: str) -> None:
    told = {row: {name: value, "n": row} for row, value in enumerate(ANYTHING[name])}
    here, there = join_infos(told, 2), join_infos(unpack_infos(pack_infos(told)), 2)
    for joined in (here, there):
        assert joined["n"].tolist() == [0, 1]
        assert joined["_n"].tolist() == [True, True]
    if name in ("unwilling", "locks"):
        assert set(there) == {"n", "_n"}, "what cannot be pickled stays in its worker"
    elif not name.startswith("_"):
        assert set(here) == set(there) == {name, f"_{name}", "n", "_n"}


def test_an_object_that_this_process_does_not_know_is_left_out() -> None:
    packed = pack_infos({0: {"x": Success.parse("return > 0"), "y": 1}})
    assert unpack_infos(packed)[0]["x"] == Success.parse("return > 0")
    broken = {0: {**packed[0], "x": type(packed[0]["x"])(b"\x80\x04cno_such_module\nThing\n.")}}
    assert unpack_infos(broken) == {0: {"y": 1}}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("algorithm", ["PPO", "DQN"])
def test_training_never_reads_what_an_environment_tells(algorithm: str, workers: int) -> None:
    held = {name: pair for name, pair in ANYTHING.items() if name not in ("locks", "unwilling")}

    def everything(number: int, t: int) -> Any:
        varied = {f"{key} {t % 3}": pair[(number + t) % 2] for key, pair in held.items()}
        return varied | {"lock": threading.Lock(), 7: 1}

    own = {"valid": 3, "start": "no", "episode": {"r": -99.0, "l": 0}, "_episode": True, "final_info": {}, "ram": 1}
    own |= {"reward": "none", "terminated": None, "lives": [], "agent_pos": 0, "level_seed": "x", "theme": "dark"}
    settings: dict[str, Any] = {"num_envs": 3, "seed": 0, "env_options": {"workers": workers}}
    settings |= {"num_steps": 8, "minibatches": 1} if algorithm == "PPO" else {"warmup": 20, "batch_size": 8}
    returns = []
    for tell in (lambda number, t: {}, lambda number, t: own | everything(number, t), lambda number, t: [own]):
        agent = getattr(jostle, algorithm)(teller(tell), **settings)
        try:
            agent.learn(96)
            returns.append((list(agent.returns), {k: v.clone() for k, v in agent.network.state_dict().items()}))
        finally:
            agent.env.close()
    assert len(returns[0][0]) > 5
    for told, weights in returns:
        assert told == returns[0][0]
        assert all((weights[key] == value).all() for key, value in returns[0][1].items())


@pytest.mark.parametrize("workers", [0, 1])
def test_statistics_of_a_wrapper_are_not_taken_for_those_of_jostle(workers: int) -> None:
    def wrapped() -> Any:
        return RecordEpisodeStatistics(teller(lambda number, t: {"valid": False, "start": 9, "_episode": t == 2})())

    env = make_env(wrapped, 2, workers=workers)
    _, info = env.reset()
    for t in range(1, 14):
        assert info["valid"].dtype == info["start"].dtype == np.bool_
        assert ("_episode" in info) == ("episode" in info) == (t - 1 in (5, 11))
        if "episode" in info:
            assert info["_episode"].tolist() == [True, True]
            assert info["episode"]["r"].tolist() == [5, 5]
            assert set(info["episode"]) == {"r", "l", "t"}
        *_, info = env.step(np.zeros(2, int))
    env.close()


def test_statistics_that_are_told_where_no_episode_ends_are_dropped() -> None:
    env = make_env(teller(lambda number, t: {"episode": {"r": 7.0, "l": 1}, "x": 1}), 2)
    for info in (env.reset()[1], env.step(np.zeros(2, int))[4]):
        assert set(info) == {"valid", "start", "x", "_x"}
    env.close()


class Still:
    """An actor of one action."""

    disagreement: Any = None

    def act(self, obs: Any, start: Any = None, among: Any = None) -> Any:
        return np.zeros(len(obs), np.int64)


def test_games_are_told_apart_by_whole_numbers_only() -> None:
    tags = {
        0: {"theme": 7, "level_seed": np.uint8(3)},
        1: {"theme": "dark"},
        2: {"level_seed": 0.5},
        3: {},
        4: {"theme": True},
    }
    found = play(Still(), make_env(teller(lambda number, t: tags[number]), 5), 10)
    assert found is not None
    assert [(e.theme, e.level_seed) for e in found] == [(7, 3), *[(None, None)] * 4] * 2
    only = play(Still(), make_env(teller(lambda number, t: {"theme": number + 4} if number else {}), 2), 2)
    assert only is not None
    assert [e.theme for e in only] == [None, 5], "a row that tells nothing is not in game 0"


@pytest.mark.parametrize("value", ["yes", {"a": 1}, np.zeros(2), float("nan"), [1]])
def test_a_success_that_is_no_truth_value_is_a_sentence(value: Any) -> None:
    env = make_env(teller(lambda number, t: {"won": value}), 1)
    with pytest.raises(ConfigError, match=r"tells .* as 'won', which is neither true nor false"):
        play(Still(), env, 1, success=Success.parse("info won"))


def test_a_success_may_be_a_number_a_truth_value_or_nothing() -> None:
    values = [True, np.bool_(False), 1, 0.0, None, np.array(1)]
    env = make_env(teller(lambda number, t: {"won": values[number]}), 6)
    found = play(Still(), env, 6, success=Success.parse("info won"))
    assert found is not None
    assert [e.success for e in found] == [True, False, True, False, False, True]


def test_empty_infos_cost_nothing() -> None:
    env = make_env(teller(lambda number, t: {}), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, info = env.reset()
    assert set(info) == {"valid", "start"}
