"""The contract of `JostleEnv` on environments whose every number is known."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from jostle.envs import make_env
from jostle.envs.diagnostics.deep_sea import DeepSeaVectorEnv
from jostle.envs.engines.gymnasium import GymnasiumEngine
from jostle.envs.vector import JostleEnv
from jostle.errors import CheckpointError, ConfigError, EnvError


class Counter(gym.Env[Any, Any]):
    """Episode e of an environment seeded with s has s + e + 1 steps, and step t pays t. Odd episodes are truncated."""

    def __init__(self, broken: str = "", actions: spaces.Space[Any] | None = None) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = actions or spaces.Discrete(3)
        self.broken, self.offset, self.episode, self.t = broken, 0, -1, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.offset, self.episode = seed, -1
        self.episode, self.t = self.episode + 1, 0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        ends = self.t == self.offset + self.episode + 1
        obs, reward = self._see(), float(self.t)
        if self.broken == "observation" and self.t == 2:
            obs[1] = np.nan
        if self.broken == "reward" and self.t == 2:
            reward = np.inf
        return obs, reward, ends and self.episode % 2 == 0, ends and self.episode % 2 == 1, {"t": self.t}

    def _see(self) -> np.ndarray:
        return np.array([self.episode, self.t], np.float64)


class Ramp(gym.Env[Any, Any]):
    """Pictures of one grey value: 10 · episode + t; episodes of three steps."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(2)
        self.episode, self.t = -1, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.episode, self.t = self.episode + 1, 0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self._see(), 0.0, self.t == 3, False, {}

    def _see(self) -> np.ndarray:
        return np.full(self.observation_space.shape, 10 * self.episode + self.t, np.uint8)


def test_masks_rewards_and_statistics_of_every_row() -> None:
    env = make_env(Counter, num_envs=3, seed=0)
    obs, info = env.reset()
    assert info["valid"].all()
    assert info["start"].all()
    assert obs.dtype == np.float32
    episode, t = np.zeros(3, int), np.zeros(3, int)
    ended = np.zeros(3, bool)
    for _ in range(40):
        obs, reward, terminated, truncated, info = env.step(np.zeros(3, np.int64))
        episode, t = np.where(ended, episode + 1, episode), np.where(ended, 0, t + 1)
        last = t == np.arange(3) + episode + 1
        np.testing.assert_array_equal(obs, np.stack([episode, t], 1))
        np.testing.assert_array_equal(info["valid"], ~ended)
        np.testing.assert_array_equal(info["start"], ended)
        np.testing.assert_array_equal(reward, np.where(ended, 0, t))
        np.testing.assert_array_equal(terminated, last & (episode % 2 == 0))
        np.testing.assert_array_equal(truncated, last & (episode % 2 == 1))
        assert ("episode" in info) == last.any()
        if last.any():
            np.testing.assert_array_equal(info["_episode"], last)
            np.testing.assert_array_equal(info["episode"]["r"], np.where(last, t * (t + 1) / 2, 0))
            np.testing.assert_array_equal(info["episode"]["l"], np.where(last, t, 0))
            assert (info["episode"]["t"][last] > 0).all()
        ended = last
    assert reward.dtype == np.float32


class Careless(VectorEnv[Any, Any, Any]):
    """Pays 1 and ends in every row, also in the rows that it resets."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
    num_envs = 2
    single_observation_space, single_action_space = spaces.Box(0, 1, (1,)), spaces.Discrete(2)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return np.zeros((2, 1), np.float32), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        return np.zeros((2, 1), np.float32), np.ones(2), np.array([True, False]), np.array([False, True]), {}


def test_rows_that_are_no_transitions_are_zeroed_whatever_the_engine_says() -> None:
    env = JostleEnv(GymnasiumEngine(Careless(), "Careless"), "Careless", 2, 0)
    env.reset()
    for t in range(6):
        _, reward, terminated, truncated, info = env.step(np.zeros(2, int))
        real = t % 2 == 0
        assert reward.tolist() == [real, real]
        assert terminated.tolist() == [real, False]
        assert truncated.tolist() == [False, real]
        assert ("episode" in info) == real
        if real:
            assert info["episode"]["r"].tolist() == [1, 1]


class Lives:
    """One row of a scripted Atari game: (raw reward, lives, done, game over) of every step."""

    name, can_snapshot, counts_games, frame_stack, frame_skip = "scripted", False, True, 1, 1
    stack_padding = "repeat"
    single_observation_space, single_action_space = spaces.Box(0, 1, (1,)), spaces.Discrete(2)

    def __init__(self, script: list[tuple[float, int, bool, bool]]) -> None:
        self.script = iter(script)

    def reset(self, seed: int | None, options: Any) -> tuple[np.ndarray, dict[str, Any]]:
        return np.zeros((1, 1), np.float32), {}

    def step(self, actions: np.ndarray) -> Any:
        raw, lives, done, over = next(self.script)
        info = {"reward": np.float32([raw]), "lives": np.int32([lives]), "terminated": np.int32([over])}
        clipped = np.sign(np.float32([raw]))
        return np.zeros((1, 1), np.float32), clipped, np.array([done]), np.array([False]), info


def test_games_end_by_game_over_and_by_a_restart_that_only_the_lives_show() -> None:
    script = [
        (5.0, 2, False, False),
        (0.0, 1, True, False),  # a life is lost
        (0.0, 1, False, False),  # the row that resets
        (7.0, 1, False, False),
        (0.0, 0, True, True),  # the game is over: 12 points in 4 transitions
        (0.0, 3, False, False),  # its reset brings the lives back, which is no second ending
        (2.0, 3, False, False),
        (0.0, 2, True, False),  # a life is lost,
        (0.0, 3, False, False),  # and the game ended and restarted within the reset: 2 points in 2 transitions
        (9.0, 0, True, True),
    ]
    env = JostleEnv(Lives(script), "scripted", 1, 0)  # type: ignore[arg-type]
    env.reset()
    ends = {}
    for t in range(len(script)):
        _, reward, *_, info = env.step(np.zeros(1, int))
        assert abs(reward[0]) <= 1
        if "episode" in info:
            ends[t] = (float(info["episode"]["r"][0]), int(info["episode"]["l"][0]))
    assert ends == {4: (12.0, 4), 8: (2.0, 2), 9: (9.0, 1)}


def test_other_autoreset_modes_are_refused() -> None:
    same_step = Careless()
    same_step.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    with pytest.raises(EnvError, match=r"AutoresetMode\.NEXT_STEP"):
        GymnasiumEngine(same_step, "Careless")


def test_a_reset_forgets_the_running_episode() -> None:
    env = make_env(Counter, num_envs=1, seed=4)
    env.reset()
    env.step(np.zeros(1, int))
    env.reset(seed=1)
    env.step(np.zeros(1, int))
    info = env.step(np.zeros(1, int))[-1]
    assert info["episode"]["r"] == [3.0]
    assert info["episode"]["l"] == [2]


def test_the_first_reset_takes_the_seed_and_the_next_one_goes_on() -> None:
    env = make_env(Counter, num_envs=2, seed=5)
    env.reset()
    assert [e.unwrapped.offset for e in env._engine._vector.envs] == [5, 6]
    obs, _ = env.reset()
    np.testing.assert_array_equal(obs[:, 0], [1, 1])


@pytest.mark.parametrize("broken", ["observation", "reward"])
def test_numbers_that_are_not_finite_name_the_row(broken: str) -> None:
    def second_is_broken() -> gym.Env[Any, Any]:
        made.append(1)
        return Counter(broken if len(made) == 2 else "")

    made: list[int] = []
    env = make_env(second_is_broken, num_envs=3, seed=9)
    env.reset()
    env.step(np.zeros(3, int))
    with pytest.raises(EnvError, match=f"{broken} of environment 1 is not finite"):
        env.step(np.zeros(3, int))
    with pytest.raises(EnvError, match=r"call reset\(\)"):
        env.step(np.zeros(3, int))


WRONG_DISCRETE = [
    (np.zeros(2, int), r"shape \[2\], and \[3\] is needed"),
    (np.zeros((3, 1), int), r"shape \[3, 1\]"),
    (np.zeros(3), "float64, and integers are needed"),
    (np.array([0, 3, 0]), "action 3 for environment 1 is outside the range 0 to 2"),
    (np.array([0, 0, -1]), "action -1 for environment 2"),
    (np.array([0, 0, 2**32]), "action 4294967296 for environment 2"),
    (np.array([0, 200, 0], np.uint8), "action 200 for environment 1"),
]


@pytest.mark.parametrize(("actions", "message"), WRONG_DISCRETE)
def test_wrong_discrete_actions(actions: np.ndarray, message: str) -> None:
    env = make_env(Counter, num_envs=3)
    env.reset()
    with pytest.raises(EnvError, match=message):
        env.step(actions)
    assert env.step([2, 1, 0])[1].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("space", "actions", "message"),
    [
        (spaces.Box(-1, 0.4, (2,)), [[0.0, 0.0], [0.0, 0.5]], r"component \[1\] of the action 0.5 for environment 1"),
        (
            spaces.Box(-1, 0.4, (2,)),
            [[np.nan, 0.0], [0.0, 0.0]],
            r"component \[0\] of the action nan for environment 0",
        ),
        (spaces.Box(-np.inf, np.inf, (1,)), [[0.0], [np.inf]], "action inf for environment 1"),
        (spaces.Box(-1, 1, (2,)), [[0, 0], [0, 0]], "floating-point numbers are needed"),
        (spaces.Box(-1, 1, (2,)), [[0.0], [0.0]], r"shape \[2, 1\], and \[2, 2\]"),
        (spaces.MultiDiscrete([2, 5]), [[1, 4], [2, 0]], r"component \[0\] of the action 2 for environment 1"),
        (spaces.Discrete(2, start=3), [3, 5], "action 5 for environment 1 is outside the range 3 to 4"),
    ],
)
def test_wrong_actions_of_other_kinds(space: spaces.Space[Any], actions: Any, message: str) -> None:
    env = make_env(lambda: Counter(actions=space), num_envs=2)
    env.reset()
    with pytest.raises(EnvError, match=message):
        env.step(np.array(actions))
    env.action_space.seed(0)
    env.step(env.action_space.sample())


def test_bounds_that_float32_rounds_are_inside() -> None:
    env = make_env(lambda: Counter(actions=spaces.Box(-0.4, 0.4, (1,), np.float64)), num_envs=1)
    env.reset()
    env.step(np.array([[0.4]]))
    env.step(np.array([[0.4]], np.float32))


def test_spaces_that_cannot_be_used_are_refused_when_made() -> None:
    with pytest.raises(EnvError, match="cannot act in"):
        make_env(lambda: Counter(actions=spaces.Tuple([spaces.Discrete(2)])))
    with pytest.raises(EnvError, match="FlattenObservation"):
        make_env("Blackjack-v1", engine="gymnasium")


def test_step_needs_a_reset_and_an_open_environment() -> None:
    env = make_env(Counter)
    with pytest.raises(EnvError, match=r"call reset\(\) before step"):
        env.step(np.zeros(1, int))
    env.reset()
    env.close()
    with pytest.raises(EnvError, match="closed"):
        env.step(np.zeros(1, int))
    with pytest.raises(EnvError, match="closed"):
        env.reset()


@pytest.mark.parametrize("shape", [(4, 5), (3, 6, 5), (6, 5, 3)], ids=["HW", "CHW", "HWC"])
def test_frame_stack_holds_the_last_frames_and_repeats_the_first(shape: tuple[int, ...]) -> None:
    env = make_env(lambda: Ramp(shape), num_envs=2, frame_stack=3)
    channels = 1 if len(shape) == 2 else 3
    size = (4, 5) if channels == 1 else (6, 5)
    assert env.single_observation_space.shape == (3 * channels, *size)
    assert (env.frame_stack, env.stack_padding) == (3, "repeat")
    expected = [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [10, 10, 10], [10, 10, 11]]
    stacks = [env.reset()[0]] + [env.step(np.zeros(2, int))[0] for _ in expected[1:]]
    stacks += [env.step(np.zeros(2, int))[0], env.reset()[0], env.step(np.zeros(2, int))[0]]
    expected += [[10, 11, 12], [20, 20, 20], [20, 20, 21]]
    for stack, values in zip(stacks, expected, strict=True):
        assert stack.shape == (2, 3 * channels, *size)
        np.testing.assert_array_equal(stack[1, ::channels, 0, 0], values)
        assert (stack == stack[:, :, :1, :1]).all()


def test_frame_stack_needs_pictures() -> None:
    with pytest.raises(ConfigError, match="frame_stack=2 needs uint8 images"):
        make_env(Counter, frame_stack=2)


def deep_sea() -> JostleEnv:
    return JostleEnv(GymnasiumEngine(DeepSeaVectorEnv(4, size=5), "DeepSea", "jostle"), "DeepSea", 4, seed=3)


def trajectory(env: JostleEnv, actions: np.ndarray) -> list[Any]:
    seen: list[Any] = []
    for a in actions:
        obs, reward, terminated, truncated, info = env.step(a)
        episode = info.get("episode", {"r": None, "l": None})
        seen.append([obs, reward, terminated, truncated, info["valid"], info["start"], episode["r"], episode["l"]])
    return seen


@pytest.mark.parametrize("at", [5, 6, 8])  # on an ending row, on the row that resets, and in the middle
def test_a_snapshot_continues_as_if_unbroken(at: int) -> None:
    actions = np.random.default_rng(0).integers(0, 2, (20, 4))
    env = deep_sea()
    env.reset()
    trajectory(env, actions[:at])
    state = env.state_dict()
    unbroken = trajectory(env, actions[at:])
    other = deep_sea()
    other.load_state_dict(state)
    for one, two in zip(unbroken, trajectory(other, actions[at:]), strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)
    assert any(row[6] is not None for row in unbroken)


def test_a_snapshot_serves_more_than_once() -> None:
    """Nobody who goes on from it writes to it, and the time that an episode took goes on from it too."""
    actions = np.random.default_rng(0).integers(0, 2, (12, 4))
    env = deep_sea()
    env.reset()
    trajectory(env, actions[:3])
    state, seen = env.state_dict(), []
    state["seconds"] = state["seconds"] + 1_000
    for _ in range(2):
        other = deep_sea()
        other.load_state_dict(state)
        seen.append(trajectory(other, actions[3:]))
    for one, two in zip(*seen, strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)
    env.load_state_dict(state)
    *_, info = next(step for step in map(env.step, actions) if "episode" in step[4])
    assert (abs(info["episode"]["t"] - 1_000) < 500).all()


def test_what_is_running_is_a_copy() -> None:
    env = make_env(Counter, num_envs=2, seed=9)
    env.reset()
    env.step(np.zeros(2, int))
    returns, lengths = env.running()
    env.step(np.zeros(2, int))
    assert (returns.tolist(), lengths.tolist()) == ([1.0, 1.0], [1, 1])
    assert env.running()[0].tolist() == [3.0, 3.0]


def test_flags_that_stand_for_many_steps_cannot_be_written_to() -> None:
    env = make_env(Counter, num_envs=2, seed=9)
    for info in (env.reset()[1], env.step(np.zeros(2, int))[4]):
        with pytest.raises(ValueError, match="read-only"):
            info["valid"][0] = False


class Reused(Careless):
    """Writes every step into the arrays of the one before, as float32."""

    def __init__(self) -> None:
        self.t, self.given = 0, (np.zeros((2, 1), np.float32), np.zeros(2, np.float32), *np.zeros((2, 2), np.bool_))

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return self.given[0], {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        obs, reward, terminated, truncated = self.given
        self.t += 1
        obs[:], reward[:] = self.t / 100, self.t
        terminated[:], truncated[:] = [self.t % 4 == 1, False], [False, self.t % 4 == 3]
        return obs, reward, terminated, truncated, {}


def test_arrays_of_another_s_environments_are_copied_and_left_alone() -> None:
    vector = Reused()
    env, kept = make_env(vector), []
    env.reset()
    for t in range(1, 9):
        step = env.step(np.zeros(2, int))[:4]
        assert vector.given[1].tolist() == [t, t], "the reward of a row that resets is set to 0 elsewhere"
        kept += [(a, a.copy()) for a in step]
    assert any(copy.any() for array, copy in kept if array.dtype == bool)
    for array, copy in kept:
        np.testing.assert_array_equal(array, copy)


def test_snapshots_refused_with_the_reason() -> None:
    env = make_env(Counter)
    env.reset()
    assert not env.can_snapshot
    with pytest.raises(EnvError, match="cannot be snapshotted"):
        env.state_dict()
    with pytest.raises(EnvError, match="before reset"):
        deep_sea().state_dict()
    saved = deep_sea()
    saved.reset()
    three = JostleEnv(GymnasiumEngine(DeepSeaVectorEnv(3, size=5), "DeepSea", "jostle"), "DeepSea", 3, seed=3)
    with pytest.raises(CheckpointError, match="num_envs=4"):
        three.load_state_dict(saved.state_dict())


@pytest.mark.parametrize("engine", ["envpool", "gymnasium", "jostle", "stack"])
def test_observations_and_masks_are_never_written_to_again(engine: Any) -> None:
    if engine == "stack":
        env = make_env(lambda: Ramp((4, 5)), 4, frame_stack=3)
    else:
        env = deep_sea() if engine == "jostle" else make_env("CartPole-v1", 4, engine=engine)
    env.action_space.seed(0)
    obs, info = env.reset()
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(60):
        kept += [(a, a.copy()) for a in (obs, info["valid"], info["start"])]
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        kept += [(a, a.copy()) for a in (reward, terminated, truncated)]
    assert any(info.any() for _, info in kept if info.dtype == bool)
    for array, copy in kept:
        np.testing.assert_array_equal(array, copy)
