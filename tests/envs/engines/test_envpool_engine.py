"""EnvPool behind the contract: what it does by itself, what it leaves out, and where it would end the process."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jostle.envs import make_env
from jostle.envs.engines import procgen_qt
from jostle.envs.engines.pictures import newest_picture, require_mujoco_pictures
from jostle.errors import ConfigError, EnvError


def roll(env: Any, steps: int, seed: int | None = None) -> np.ndarray:
    """Observations and rewards of the first rows, as one array."""
    actions = np.random.default_rng(1).integers(0, env.single_action_space.n, (steps, env.num_envs))
    seen = [env.reset(seed=seed)[0]]
    for a in actions:
        obs, reward, *_ = env.step(a)
        seen += [obs, np.broadcast_to(reward.reshape(-1, *[1] * (obs.ndim - 1)), obs.shape)]
    return np.stack(seen)


def test_reset_with_a_seed_is_a_new_pool_with_that_seed() -> None:
    first, second = make_env("CartPole-v1", 3, seed=1), make_env("CartPole-v1", 3, seed=2)
    one, two = roll(first, 40), roll(second, 40)
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(roll(first, 40, seed=2), two)
    np.testing.assert_array_equal(roll(first, 40, seed=2), two)
    assert not np.array_equal(roll(first, 40), two)  # without a seed the running state goes on


def test_environment_i_has_seed_plus_i() -> None:
    np.testing.assert_array_equal(
        roll(make_env("CartPole-v1", 3, seed=5), 1)[0, 2], roll(make_env("CartPole-v1", 1, 7), 1)[0, 0]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodic_lif": True}, "no option episodic_lif: did you mean episodic_life"),
        ({"batch_size": 1}, "batch_size cannot be set .* step together"),
        ({"env_seed": [1]}, "give seed to make_env"),
        ({"stack_num": "four"}, "EnvPool cannot make Pong-v5 with stack_num='four'"),
        ({"seed": -1}, "seed=-1 does not fit EnvPool"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env("Pong-v5", **options)


def test_games_for_several_players_are_refused() -> None:
    with pytest.raises(EnvError, match="game for 2 players"):
        make_env("Backgammon-v1")


def test_reset_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes no reset options; it was given reset_mask"):
        make_env("CartPole-v1", 2).reset(options={"reset_mask": np.array([True, False])})


def test_a_short_batch_after_the_first_step_is_an_error() -> None:
    """EnvPool looks at the shape once; a later short batch would end this process."""
    env = make_env("CartPole-v1", 4)
    env.reset()
    env.step(np.zeros(4, np.int32))
    with pytest.raises(EnvError, match=r"shape \[3\], and \[4\] is needed"):
        env.step(np.zeros(3, np.int32))


def test_rows_after_an_ending_pay_nothing_and_ignore_their_action() -> None:
    one, two = make_env("CartPole-v1", 8), make_env("CartPole-v1", 8)
    one.reset()
    two.reset()
    starts, rng, start = 0, np.random.default_rng(0), np.zeros(8, bool)
    for _ in range(150):
        actions = rng.integers(0, 2, 8)
        obs, reward, terminated, truncated, info = one.step(actions)
        other = two.step(np.where(start, 1 - actions, actions))
        np.testing.assert_array_equal(obs, other[0])
        np.testing.assert_array_equal(info["start"], start)
        assert not (np.abs(reward) + terminated + truncated)[start].any()
        assert (reward[~start] == 1).all()
        starts += int(start.sum())
        start = terminated | truncated
    assert starts > 20


def test_time_limits_truncate() -> None:
    env = make_env("Pendulum-v1", 2, max_episode_steps=5)
    env.reset()
    ends = [env.step(np.zeros((2, 1), np.float32))[2:] for _ in range(5)]
    assert [(t.any(), u.all()) for t, u, _ in ends] == [(False, False)] * 4 + [(False, True)]
    assert ends[-1][2]["episode"]["l"].tolist() == [5, 5]


def test_mujoco_is_float32_inside_and_out() -> None:
    env = make_env("HalfCheetah-v4", 2)
    obs, info = env.reset()
    assert (env.single_observation_space.dtype, obs.dtype, env.frame_skip) == (np.float32, np.float32, 5)
    assert env.single_action_space.dtype == np.float32
    obs, reward, *_, info = env.step(np.full((2, 6), 0.5, np.float32))
    assert (obs.dtype, reward.dtype) == (np.float32, np.float32)
    assert "x_position" in info


@pytest.mark.parametrize(
    "env_id", ["LunarLander-v3", "WalkerRun-v1", "FrozenLake-v1", "Sokoban-v0", "FetchReach-v4", "Highway-v0"]
)
def test_observations_of_every_family_are_in_the_stated_space(env_id: str) -> None:
    env = make_env(env_id, 3)
    env.action_space.seed(0)
    obs, _ = env.reset()
    for _ in range(20):
        assert env.observation_space.contains(obs)
        obs, *_ = env.step(env.action_space.sample())


def test_minigrid_is_the_same_on_both_engines() -> None:
    fast, slow = (make_env("MiniGrid-Empty-8x8-v0", 2, engine=e) for e in ("envpool", "gymnasium"))
    assert (fast.engine, slow.engine) == ("envpool", "gymnasium")
    assert fast.single_observation_space == slow.single_observation_space
    assert fast.single_action_space == slow.single_action_space
    forward_and_turn = np.array([2, 2, 0, 2, 1, 2, 2])
    one, two = fast.reset()[0], slow.reset()[0]
    for action in [*forward_and_turn, None]:
        assert sorted(one) == sorted(two) == ["direction", "image"]
        for key in one:
            assert (one[key].dtype, one[key].shape) == (two[key].dtype, two[key].shape)
            np.testing.assert_array_equal(one[key], two[key])
        if action is not None:
            one, two = fast.step(np.full(2, action))[0], slow.step(np.full(2, action))[0]


def test_atari_stacks_are_padded_by_repetition_after_lost_lives_too() -> None:
    env = make_env("Breakout-v5", 2, seed=3, episodic_life=True)
    assert (env.frame_stack, env.stack_padding, env.frame_skip) == (4, "repeat", 4)
    env.action_space.seed(0)
    obs, info = env.reset()
    lost, before = 0, info["lives"]
    for _ in range(120):
        assert all((obs[row] == obs[row, -1]).all() for row in np.flatnonzero(info["start"]))
        obs, _, terminated, _, info = env.step(env.action_space.sample())
        lost += int((terminated & (info["lives"] < before) & (info["lives"] > 0)).sum())
        before = info["lives"]
    assert lost >= 4


def test_a_reset_where_a_life_has_just_been_lost_begins_whole_stacks() -> None:
    env = make_env("Breakout-v5", 2, seed=3, episodic_life=True)
    env.action_space.seed(0)
    env.reset()
    while not any(flag.any() for flag in env.step(env.action_space.sample())[2:4]):
        pass
    before, moved = env.reset()[0], np.zeros(2, bool)
    for t in range(6):
        obs, *_ = env.step(np.full(2, 2 + t // 3))  # to the right, then to the left
        np.testing.assert_array_equal(obs[:, :-1], before[:, 1:])
        moved |= (obs[:, -1] != obs[:, -2]).any((1, 2))
        before = obs
    assert moved.all()


def test_frame_stack_is_the_pools_own_on_atari() -> None:
    env = make_env("Pong-v5", 2, frame_stack=2)
    assert (env.frame_stack, env.reset()[0].shape) == (2, (2, 2, 84, 84))
    colour = make_env("Pong-v5", 1, frame_stack=3, gray_scale=False)
    assert (colour.frame_stack, colour.reset()[0].shape) == (3, (1, 9, 84, 84))


def invaders(lives_end_episodes: bool, frames: int, resets: list[bool] | None = None) -> tuple[Any, list[bool]]:
    """One Space Invaders game frame by frame with random actions: its statistics, and which rows were resets.

    With ``noop_max=1`` the reset after a lost life is one frame of FIRE. A plain run that is told where those rows were
    plays FIRE there, so both see the same game.
    """
    env = make_env(
        "SpaceInvaders-v5",
        1,
        seed=1,
        frame_skip=1,
        noop_max=1,
        episodic_life=lives_end_episodes,
        reward_clip=lives_end_episodes,
    )
    env.reset()
    rng, starts, endings = np.random.default_rng(0), [], 0
    for t in range(frames):
        action = rng.integers(0, 6, 1)
        if resets is not None and resets[t]:
            action[:] = 1
        _, reward, terminated, _, info = env.step(action)
        assert not lives_end_episodes or reward[0] <= 1
        starts.append(bool(info["start"][0]))
        endings += int(terminated[0])
        if "episode" in info:
            assert endings == (3 if lives_end_episodes else 1)
            return info["episode"], starts
    raise AssertionError("the game did not end")


def test_a_lost_life_is_no_end_of_a_game_and_returns_are_not_clipped() -> None:
    by_lives, resets = invaders(True, 6000)
    whole, _ = invaders(False, 6000, resets)
    assert by_lives["r"] == whole["r"]
    assert whole["r"][0] > 30
    assert sum(resets) == 2
    assert by_lives["l"][0] + 2 == whole["l"][0]


def test_atari_extras_pass_through() -> None:
    env = make_env("Pong-v5", 2)
    env.reset()
    info = env.step(np.zeros(2, int))[-1]
    assert info["ram"].shape == (2, 128)
    assert {"lives", "reward", "terminated", "elapsed_step"} <= set(info)


def loads(library: str) -> bool:
    try:
        return bool(ctypes.CDLL(library))
    except OSError:
        return False


def test_procgen_works_or_says_what_to_install() -> None:
    missing = [name for name in ("libGL.so.1", "libglib-2.0.so.0") if not loads(name)]
    if missing:
        with pytest.raises(EnvError, match="libgl1 and libglib2"):
            make_env("CoinrunHard-v0", 1)
        return
    env = make_env("CoinrunHard-v0", 1, num_levels=5, start_level=100, frame_stack=2)
    obs, info = env.reset()
    assert obs.shape == (1, 6, 64, 64)
    assert (obs[:, :3] == obs[:, 3:]).all()
    seeds = set()
    env.action_space.seed(0)
    for _ in range(20):
        obs, *_, info = env.step(env.action_space.sample())
        seeds |= set(info["level_seed"].tolist())
    assert seeds <= set(range(100, 105))


def test_procgen_names_the_system_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libicudata.so.56").write_text("no library")
    monkeypatch.setattr(procgen_qt, "_wheel_folder", lambda: tmp_path)
    with pytest.raises(EnvError, match=r"libicudata.* install the system packages libgl1 and libglib2\.0-0"):
        procgen_qt._load_qt()


def test_pictures_of_every_row() -> None:
    env = make_env("CartPole-v1", 3, render_mode="rgb_array")
    env.reset()
    frames = env.render()
    assert (frames.dtype, frames.shape[0], frames.shape[-1]) == (np.uint8, 3, 3)
    assert frames.std() > 0
    with pytest.raises(EnvError, match='render_mode="rgb_array"'):
        make_env("CartPole-v1").render()


def test_mujoco_draws_or_says_that_it_cannot() -> None:
    """Without OpenGL it would end this process."""
    env = make_env("HalfCheetah-v4", 2, render_mode="rgb_array")
    env.reset()
    try:
        require_mujoco_pictures()
    except EnvError:
        with pytest.raises(EnvError, match="finds no OpenGL"):
            env.render()
    else:
        assert env.render().shape[0] == 2


def test_pixel_observations_serve_where_a_family_draws_nothing() -> None:
    env = make_env("gfootball/academy_empty_goal-v1", 2, render_mode="rgb_array")
    obs, _ = env.reset()
    np.testing.assert_array_equal(env.render(), obs[..., :3])
    silent = make_env("FrozenLake-v1", 1, render_mode="rgb_array")
    silent.reset()
    with pytest.raises(EnvError, match="cannot draw FrozenLake-v1"):
        silent.render()


def test_the_newest_picture_of_a_stack() -> None:
    stack = np.arange(2 * 4 * 5 * 6, dtype=np.uint8).reshape(2, 4, 5, 6)
    picture = newest_picture(stack, 4)
    assert picture is not None
    assert picture.shape == (2, 5, 6, 3)
    np.testing.assert_array_equal(picture[..., 2], stack[:, 3])
    assert newest_picture(np.zeros((2, 3)), 1) is None
