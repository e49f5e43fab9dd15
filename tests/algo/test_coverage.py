"""Coverage counts what was seen: rooms, cells, boxes; per episode, in any order, and exactly after a resume."""

import copy
import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import jostle
from jostle.algo import coverage as module
from jostle.algo.cells import ROOM_BYTES, Boxes, find_view, mix, shrink
from jostle.algo.coverage import Coverage
from jostle.envs import make_env


class Scripted(gym.Env[Any, int]):
    """Shows the observations of a script, one after the other; an episode has `length` steps."""

    def __init__(self, space: spaces.Space[Any], script: list[Any], length: int) -> None:
        self.observation_space, self.action_space = space, spaces.Discrete(2)
        self.script, self.length = itertools.cycle(script), length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return next(self.script), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return next(self.script), 0.0, self.t >= self.length, False, {}


def counted(space: spaces.Space[Any], script: list[Any], steps: int, length: int = 3) -> Coverage:
    env = make_env(lambda: Scripted(space, script, length), 1)
    coverage = Coverage(env)
    coverage.begin(*env.reset())
    for _ in range(steps):
        obs, _, _, _, info = env.step(np.zeros(1, np.int64))
        coverage.see(obs, info)
    env.close()
    return coverage


def test_episodes_and_all_by_hand() -> None:
    # Episodes of four observations: 0 1 1 2, 0 0 0 0, 3 3 4 4; the fourth is under way.
    script = [0, 1, 1, 2, 0, 0, 0, 0, 3, 3, 4, 4, 5, 5]
    coverage = counted(spaces.Discrete(9), script, 13)
    assert coverage.drain_metrics() == {"coverage/cells": 6, "coverage/cells_per_episode": (3 + 1 + 2) / 3}
    assert coverage.drain_metrics() == {"coverage/cells": 6}  # no episode has ended since
    assert coverage.summary() == "6 cells seen"


@pytest.mark.parametrize(
    ("space", "script", "cells"),
    [
        (spaces.MultiDiscrete([3, 4]), [np.array(v) for v in ([0, 1], [1, 0], [0, 1], [2, 3])], 3),
        (spaces.MultiBinary(3), [np.array(v, np.int8) for v in ([0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1, 0])], 3),
        (spaces.Box(0, 9, (2, 2, 3), np.uint8), [np.full((2, 2, 3), v, np.uint8) for v in (0, 1, 0, 2)], 3),
        (spaces.Box(-1, 1, (2,)), [np.array(v, np.float32) for v in ([0, 0], [0.01, 0], [0, 0.5], [0, -0.5])], 3),
        (
            spaces.Dict(x=spaces.Box(-1, 1, (1,)), y=spaces.Discrete(3), privileged=spaces.Box(0, 9, (1,))),
            [
                {"x": np.array([x], np.float32), "y": y, "privileged": np.array([p], np.float32)}
                for x, y, p in [(0.0, 1, 0.0), (0.0, 2, 0.0), (0.5, 1, 0.0), (0.0, 1, 5.0)]
            ],
            3,
        ),
    ],
    ids=["multi-discrete", "multi-binary", "grid", "vector", "dictionary"],
)
def test_whole_observations(space: spaces.Space[Any], script: list[Any], cells: int) -> None:
    assert counted(space, script, 11).drain_metrics()["coverage/cells"] == cells


def test_large_observations_have_no_cells() -> None:
    """Neither a picture nor small: nothing is claimed about it."""
    space = spaces.Box(-1, 1, (300,))
    coverage = counted(space, [np.zeros(300, np.float32)], 5)
    assert coverage.drain_metrics() == {}
    assert coverage.summary() == ""
    assert coverage.state_dict()["seen"].size == 0


def test_boxes_by_hand() -> None:
    two = Boxes([spaces.Box(np.array([-1, 0], np.float32), np.array([1, 10], np.float32))])
    assert two.count == 64
    rows = np.array([[-1.0, 0.0], [-0.97, 0.15], [-0.96, 0.16], [0.999, 9.99], [1.0, 10.0]])
    assert two(rows).tolist() == [[0, 0], [0, 0], [1, 1], [63, 63], [63, 63]]
    assert [Boxes([spaces.Box(-1, 1, (d,))]).count for d in (1, 3, 4, 6, 9, 10, 18, 30)] == [64, 64, 22, 8, 4, 3, 2, 2]


def test_boxes_without_bounds() -> None:
    one = Boxes([spaces.Box(-np.inf, np.inf, (1,))])
    # x / (1 + |x|) of −∞ … ∞ lies within ±1: 64 boxes of 1/32.
    assert one(np.array([[-1e30], [-1.0], [0.0], [0.03], [0.04], [1.0], [1e30]])).ravel().tolist() == [
        0, 16, 32, 32, 33, 48, 63,
    ]  # fmt: skip
    # Bounds as wide as float32 itself are none.
    assert Boxes([spaces.Box(-3e38, 3e38, (1,))])(np.array([[0.0], [1.0]])).ravel().tolist() == [32, 48]


def test_shrunk_pictures_by_hand() -> None:
    picture = np.zeros((2, 14, 21), np.uint8)
    picture[0, :2, :3] = 255
    picture[1, 12:, 18:] = 128
    level = shrink(picture)
    assert level.shape == (2, 49)
    assert level[0].tolist() == [7] + [0] * 48
    assert level[1].tolist() == [0] * 48 + [4]
    assert shrink(np.full((1, 84, 84), 255, np.uint8)).tolist() == [[7] * 49]


def test_pictures_differ_by_each_colour_of_the_newest_frame() -> None:
    places = {}
    for frames in (1, 2):
        space = spaces.Box(0, 255, (14, 14, 3), np.uint8)
        env = make_env(lambda space=space: Scripted(space, [np.zeros(space.shape, np.uint8)], 3), 1, frame_stack=frames)
        view = find_view(env, {})
        assert view is not None
        for plane in range(3 * frames):
            obs = np.zeros((1, *env.single_observation_space.shape), np.uint8)  # [C, H, W]
            obs[0, plane] = 255
            places[frames, plane] = view.identify(view.look(obs, {})[None]).item()
        empty = view.identify(view.look(np.zeros_like(obs), {})[None]).item()
        found = [places[frames, plane] for plane in range(3 * frames)]
        assert set(found[:-3]) <= {empty}
        assert len({empty, *found[-3:]}) == 4


def test_hashes_scatter() -> None:
    assert len(np.unique(mix(np.arange(100_000, dtype=np.uint64)))) == 100_000
    view = find_view(make_env(lambda: Scripted(spaces.MultiDiscrete([100] * 3), [np.zeros(3)], 3), 1), {})
    assert view is not None
    every = np.stack(np.meshgrid(*[np.arange(40)] * 3), -1).reshape(1, -1, 3)
    assert len(np.unique(view.identify(every))) == 40**3
    assert view.identify(every[:, ::-1])[0].tolist() == view.identify(every)[0, ::-1].tolist()


def test_deep_sea_has_a_cell_for_every_place_that_can_be_reached() -> None:
    agent = jostle.PPO("jostle/DeepSea-v0", num_envs=8, env_options={"size": 4}, num_steps=32, device="cpu")
    for _ in range(4):
        agent.advance()
    metrics = agent.drain_metrics()
    agent.env.close()
    assert metrics["coverage/cells"] == len(reachable(4))
    assert metrics["coverage/cells_per_episode"] == 4


def reachable(size: int) -> set[tuple[int, int]]:
    cells, row = {(0, 0)}, {0}
    for r in range(1, size):
        row = {max(0, c - 1) for c in row} | {c + 1 for c in row}
        cells |= {(r, c) for c in row}
    return cells


def test_rooms_of_atari() -> None:
    env = make_env("MontezumaRevenge-v5", 2)
    obs, info = env.reset()
    view = find_view(env, info)
    env.close()
    assert view is not None
    assert view.name == "rooms"
    ram = np.arange(256, dtype=np.uint8).reshape(2, 128)
    assert view.look(obs, {"ram": ram}).tolist() == [3, 131]
    coverage = Coverage(env)
    coverage.begin(obs, info)
    assert coverage.drain_metrics() == {"coverage/rooms": 1}
    assert coverage.summary() == "1 room seen"
    assert view.identify(view.look(obs, info)[None]).tolist() == [[1, 1]]  # the game begins in room 1
    assert ROOM_BYTES["Pitfall"] == 1


def test_grids_by_position() -> None:
    env = make_env("MiniGrid-Empty-5x5-v0", 4)
    coverage, rng, found = Coverage(env), np.random.default_rng(0), set()
    obs, info = env.reset()
    coverage.begin(obs, info)
    found |= {tuple(p) for p in info["agent_pos"].tolist()}
    for _ in range(300):
        obs, _, _, _, info = env.step(rng.integers(3, size=4))
        coverage.see(obs, info)
        found |= {tuple(p) for p in info["agent_pos"].tolist()}
    env.close()
    assert len(found) == 9  # all inner cells
    assert coverage.drain_metrics()["coverage/cells"] == 9


def test_pictures_without_rooms() -> None:
    env = make_env("jostle/ThemedCatch-v0", 2)
    coverage = Coverage(env)
    coverage.begin(*env.reset())
    env.close()
    assert coverage.drain_metrics()["coverage/cells"] in (1, 2)


def test_new_episodes_by_somebody_else_are_not_counted() -> None:
    env = make_env(lambda: Scripted(spaces.Discrete(9), [0, 1, 2, 3, 4, 5], 3), 1)
    coverage = Coverage(env)
    coverage.begin(*env.reset())
    obs, _, _, _, info = env.step(np.zeros(1, np.int64))
    coverage.see(obs, info)
    coverage.begin(*env.reset())  # the episode 0 1 was cut
    for _ in range(3):
        obs, _, _, _, info = env.step(np.zeros(1, np.int64))
        coverage.see(obs, info)
    env.close()
    assert coverage.drain_metrics() == {"coverage/cells": 6, "coverage/cells_per_episode": 4}


def test_memory_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 5)
    coverage = counted(spaces.Discrete(100), list(range(100)), 50, length=20)
    assert coverage.drain_metrics()["coverage/cells"] == 5
    assert coverage.summary() == "5 cells seen or more"
    first_five = counted(spaces.Discrete(100), list(range(5)), 9).state_dict()["seen"].tolist()
    assert coverage.state_dict()["seen"].tolist() == first_five


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    script = [int(v) for v in np.random.default_rng(0).integers(50, size=97)]
    whole = counted(spaces.Discrete(50), script, 400, length=7).state_dict()
    expected = {k: np.asarray(v).tolist() for k, v in whole.items()}
    for steps, size in ((1, 10**6), (9, 10**6), (10**6, 40)):
        monkeypatch.setattr(module, "_STEPS", steps)
        monkeypatch.setattr(module, "_BYTES", size)
        other = counted(spaces.Discrete(50), script, 400, length=7)
        assert {k: np.asarray(v).tolist() for k, v in other.state_dict().items()} == expected


@pytest.mark.parametrize("kind", [jostle.PPO, jostle.DQN])
def test_a_resumed_run_counts_on(kind: Any) -> None:
    """Half, saved and loaded, and the other half: the same numbers as without a break."""
    small = {"num_steps": 16} if kind is jostle.PPO else {"warmup": 50, "replay_size": 1000}

    def agent() -> Any:
        return kind("jostle/DeepSea-v0", num_envs=3, seed=1, env_options={"size": 11}, hidden=(8,), **small)

    unbroken, first, second = agent(), agent(), agent()
    for _ in range(6 if kind is jostle.PPO else 100):
        unbroken.advance()
    for _ in range(3 if kind is jostle.PPO else 50):
        first.advance()
    state = copy.deepcopy(first.state_dict())
    second.advance()  # what it has seen itself is forgotten
    assert second.load_state_dict(state) == []
    for _ in range(3 if kind is jostle.PPO else 50):
        second.advance()
    a, b = unbroken.drain_metrics(), second.drain_metrics()
    for one in (unbroken, first, second):
        one.env.close()
    assert a["coverage/cells"] > 11
    assert a["coverage/cells_per_episode"] == 11
    assert {k: v for k, v in a.items() if "coverage" in k} == {k: v for k, v in b.items() if "coverage" in k}


def test_without_a_snapshot_the_places_stay_and_the_episodes_begin_anew() -> None:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=16, hidden=(8,))
    agent.advance()
    state = copy.deepcopy(agent.state_dict())
    cells = agent.coverage.drain_metrics()["coverage/cells"]
    other = jostle.PPO("CartPole-v1", num_envs=2, num_steps=16, hidden=(8,))
    other.load_state_dict(state)
    assert set(state["coverage"]["seen"].tolist()) <= other.coverage._seen
    assert other.coverage.drain_metrics()["coverage/cells"] <= cells + 2  # the new episodes' first observations
    assert all(len(places) == 1 for places in other.coverage._episode)
    agent.env.close()
    other.env.close()


class Walker(gym.Env[np.ndarray, np.int64]):
    """Shows nothing but noise, and tells where it is: to the right at every step, of 5 columns."""

    observation_space = gym.spaces.Box(0, 255, (30, 30), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self.observation_space.sample(), {"agent_pos": np.array([self.at, 3])}

    def step(self, action):
        self.at += 1
        info = {} if self.at == 2 else {"agent_pos": np.array([self.at, 3])}
        return self.observation_space.sample(), 0.0, self.at == 4, False, info


def test_any_environment_may_tell_where_it_is() -> None:
    env = make_env(Walker, 1)
    coverage = Coverage(env)
    coverage.begin(*env.reset())
    for _ in range(20):
        obs, _, _, _, info = env.step(np.zeros(1, np.int64))
        coverage.see(obs, info)
    env.close()
    told = coverage.drain_metrics()
    assert told["coverage/cells"] == 5  # columns 0, 1, 3 and 4; and the origin, where it told nothing
    assert told["coverage/cells_per_episode"] == 5
