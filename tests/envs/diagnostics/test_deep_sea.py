"""DeepSea against an independent scalar transcription of bsuite's rules, and its promises as a vector environment."""

import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from jostle.domain.counter_rng import integers, normal, random_bits, uniform
from jostle.envs.diagnostics import DEEP_SEA
from jostle.envs.diagnostics.deep_sea import DeepSeaEnv, DeepSeaVectorEnv, action_mapping, blown_off, reward_noise
from jostle.errors import CheckpointError, ConfigError, EnvError
from jostle.registration import register

SIZE = 5


@dataclass
class ScalarSea:
    """One episode of bsuite's DeepSea, written from its source sentence by sentence, without jostle."""

    mapping: Any
    move_cost: float = 0.01
    row: int = 0
    column: int = 0
    bad: bool = False

    def step(self, action: int, wind: bool = False, noise: float | None = None) -> tuple[Any, float, bool]:
        size = len(self.mapping)
        right = action == self.mapping[self.row][self.column]
        reward = 0.0
        if self.column == size - 1 and right:
            reward += 1.0
        if noise is not None and self.row == size - 1 and self.column in (0, size - 1):
            reward += noise
        if right:
            if not wind and self.column < size - 1:
                self.column += 1
            reward -= self.move_cost / size
        else:
            if self.row == self.column:
                self.bad = True
            if self.column > 0:
                self.column -= 1
        self.row += 1
        picture = np.zeros((size, size), dtype=np.float32)
        if self.row < size:
            picture[self.row][self.column] = 1.0
        return picture, reward, self.row == size


def test_every_action_sequence_of_a_small_sea_plays_as_in_bsuite() -> None:
    sequences = np.array(list(itertools.product((0, 1), repeat=SIZE)))
    env = DeepSeaVectorEnv(len(sequences), size=SIZE, mapping_seed=7)
    obs, _ = env.reset(seed=0)
    twins = [ScalarSea(env.mapping.tolist()) for _ in sequences]
    assert all(np.array_equal(o, np.eye(1, SIZE * SIZE).reshape(SIZE, SIZE)) for o in obs)
    for t in range(SIZE):
        obs, reward, terminated, truncated, info = env.step(sequences[:, t])
        expected = [twin.step(int(a)) for twin, a in zip(twins, sequences[:, t], strict=True)]
        np.testing.assert_array_equal(obs, np.stack([e[0] for e in expected]))
        np.testing.assert_array_equal(reward, [e[1] for e in expected])
        np.testing.assert_array_equal(terminated, [e[2] for e in expected])
        assert not truncated.any()
        assert ("bad_episode" in info) == (t == SIZE - 1)
    np.testing.assert_array_equal(info["bad_episode"], [twin.bad for twin in twins])
    assert info["reached"].sum() == 1, "one of 2^N sequences finds the reward"
    assert not info["bad_episode"][info["reached"]].any()
    assert info["_reached"].all()


def test_the_windy_sea_plays_as_in_bsuite() -> None:
    n, size, episodes = 64, 4, 6
    env = DeepSeaVectorEnv(n, size=size, deterministic=False, move_cost=0.5)
    env.reset(seed=11)
    seed, rng, winds, noises = np.arange(11, 11 + n), np.random.default_rng(0), 0, 0
    for episode in range(episodes):
        twins = [ScalarSea(env.mapping.tolist(), move_cost=0.5) for _ in range(n)]
        noise = reward_noise(seed, np.full(n, episode))
        for t in range(size):
            # Mostly right, or few would see the far corner.
            row, column = np.array([w.row for w in twins]), np.array([w.column for w in twins])
            action = np.where(rng.random(n) < 0.9, env.mapping[row, column], rng.integers(0, 2, n))
            wind = blown_off(seed, np.full(n, episode), np.full(n, t), size)
            _, reward, terminated, _, info = env.step(action)
            expected = [w.step(int(action[i]), bool(wind[i]), float(noise[i])) for i, w in enumerate(twins)]
            np.testing.assert_array_equal(reward, [e[1] for e in expected])
            np.testing.assert_array_equal(terminated, [e[2] for e in expected])
            winds += int(wind.sum())
            noises += sum(abs(r) > 1.2 for r in reward)
        np.testing.assert_array_equal(info["bad_episode"], [w.bad for w in twins])
        env.step(np.zeros(n, dtype=np.int64))
    assert winds > 200
    assert noises > 20


def test_wind_and_noise_have_their_distributions() -> None:
    seed, row = np.repeat(np.arange(500), 40), np.tile(np.arange(40), 500)
    blown = blown_off(seed, np.zeros_like(seed), row, 10)
    assert abs(blown.mean() - 0.1) < 4 * np.sqrt(0.1 * 0.9 / blown.size)
    noise = reward_noise(np.arange(20_000), np.zeros(20_000, dtype=np.int64))
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.std() - 1.0) < 4 / np.sqrt(2 * noise.size)
    assert abs((noise**4).mean() - 3.0) < 4 * np.sqrt(96 / noise.size)


@pytest.mark.parametrize("deterministic", [True, False])
def test_going_right_earns_the_optimal_return(deterministic: bool) -> None:
    n, size = 20_000, 4
    env = DeepSeaVectorEnv(n, size=size, deterministic=deterministic)
    obs, _ = env.reset(seed=5)
    total = np.zeros(n)
    for _ in range(size):
        place = obs.reshape(n, -1).argmax(axis=1)
        obs, reward, _, _, _ = env.step(env.mapping.reshape(-1)[place])
        total += reward
    error = 1e-12 if deterministic else 4 * total.std() / np.sqrt(n)
    assert abs(total.mean() - env.optimal_return) < error
    assert env.optimal_return == pytest.approx((1.0 if deterministic else 0.75**3) - 0.01)


def test_the_mapping_is_bsuites() -> None:
    # RandomState(42).binomial(1, 0.5, [3, 3]), which NumPy's frozen legacy stream fixes for good.
    assert action_mapping(3, 42).tolist() == [[0, 1, 1], [1, 0, 0], [0, 1, 1]]
    assert (DeepSeaVectorEnv(size=4, randomise_actions=False).mapping == 1).all()
    assert not np.array_equal(action_mapping(10, 0), action_mapping(10, 1))


def test_the_row_after_an_ending_ignores_its_action_and_begins_anew() -> None:
    env = DeepSeaVectorEnv(2, size=3, mapping_seed=1)
    first, _ = env.reset(seed=0)
    for t in range(12):
        obs, reward, terminated, _, info = env.step(np.array([t % 2, 1]))
        if t % 4 == 2:
            assert terminated.all()
            assert not obs.any(), "bsuite's last observation is empty"
        elif t % 4 == 3:
            np.testing.assert_array_equal(obs, first)
            assert reward.tolist() == [0.0, 0.0]
            assert not terminated.any()
            assert "reached" not in info
        else:
            assert not terminated.any()


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("taken", [17, 19], ids=["within an episode", "after an ending"])
def test_a_snapshot_continues_bit_for_bit_in_a_fresh_instance(deterministic: bool, taken: int) -> None:
    actions = np.random.default_rng(3).integers(0, 2, (40, 5))
    one = DeepSeaVectorEnv(5, size=4, deterministic=deterministic)
    one.reset(seed=[3, 1, 4, 1, 5])
    for action in actions[:taken]:
        ended = one.step(action)[2]
    assert ended.all() == (taken == 19)
    kept = one.state_dict()
    untouched = {k: np.array(v) for k, v in kept.items()}
    other = DeepSeaVectorEnv(5, size=4, deterministic=deterministic)
    other.load_state_dict(kept)
    for action in actions[taken:]:
        for a, b in zip(one.step(action)[:4], other.step(action)[:4], strict=True):
            np.testing.assert_array_equal(a, b)
    for key, value in untouched.items():
        np.testing.assert_array_equal(kept[key], value)


def test_an_environment_does_not_know_how_many_stand_beside_it() -> None:
    actions = np.random.default_rng(3).integers(0, 2, (60, 6))
    many = DeepSeaVectorEnv(6, size=4, deterministic=False)
    single = DeepSeaEnv(size=4, deterministic=False)
    many.reset(seed=20)
    single.reset(seed=24)
    over = False
    for action in actions:
        _, reward, terminated, _, _ = many.step(action)
        if over:
            single.reset()
            over = False
        else:
            _, alone, over, _, _ = single.step(action[4])
            assert (alone, over) == (reward[4], terminated[4])


def test_what_a_call_returned_is_the_callers_own() -> None:
    actions = np.random.default_rng(4).integers(0, 2, (30, 4))
    spoilt, clean = (DeepSeaVectorEnv(4, size=2, deterministic=False) for _ in range(2))
    spoilt.reset(seed=0)[0][:] = 9
    clean.reset(seed=0)
    for action in actions:
        step = spoilt.step(action)
        for x, y in zip(step[:4], clean.step(action)[:4], strict=True):
            np.testing.assert_array_equal(x, y)
        arrays = [*step[:4], *step[4].values()]
        for one, other in itertools.combinations(arrays, 2):
            assert not np.shares_memory(one, other)
        for array in arrays:
            array[:] = 1


def test_gymnasium_finds_nothing_to_complain_of() -> None:
    register()
    register()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(DEEP_SEA, size=4).unwrapped)
        check_env(gym.make(DEEP_SEA, size=4, deterministic=False).unwrapped)
        vector = gym.make_vec(DEEP_SEA, 3, size=6)
    assert isinstance(vector, DeepSeaVectorEnv)
    assert vector.observation_space.shape == (3, 6, 6)
    assert vector.metadata["autoreset_mode"] is gym.vector.AutoresetMode.NEXT_STEP


def test_gymnasiums_own_vector_of_singles_agrees() -> None:
    register()
    native = gym.make_vec(DEEP_SEA, 4, size=5, deterministic=False)
    wrapped = gym.make_vec(DEEP_SEA, 4, vectorization_mode="sync", size=5, deterministic=False)
    np.testing.assert_array_equal(native.reset(seed=9)[0], wrapped.reset(seed=9)[0])
    for action in np.random.default_rng(1).integers(0, 2, (40, 4)):
        a, b = native.step(action), wrapped.step(action)
        for x, y in zip(a[:4], b[:4], strict=True):
            np.testing.assert_array_equal(x, y)
        assert set(a[4]) == set(b[4])
        for key in a[4]:
            np.testing.assert_array_equal(a[4][key], b[4][key])


def test_the_picture_shows_the_block() -> None:
    env = DeepSeaVectorEnv(1, size=4, randomise_actions=False, render_mode="rgb_array")
    env.reset(seed=0)
    env.step(np.array([1]))
    frames = env.render()
    assert frames is not None
    assert frames[0].shape == (256, 256, 3)
    assert frames[0].dtype == np.uint8
    white = (frames[0] == 255).all(axis=2)
    assert white[64:128, 64:128].all()
    assert white.sum() == 64 * 64
    assert DeepSeaVectorEnv(1).render() is None


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"size": 0}, "at least 1"),
        ({"mapping_seed": -1}, "mapping_seed"),
        ({"move_cost": float("nan")}, "finite"),
        ({"render_mode": "human"}, "rgb_array"),
        ({"sise": 4}, "did you mean size"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], hint: str) -> None:
    register()
    for make in (lambda: gym.make(DEEP_SEA, **options), lambda: gym.make_vec(DEEP_SEA, 2, **options)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ConfigError, match=hint):
                make()


def test_bad_calls_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_envs"):
        DeepSeaVectorEnv(0)
    env = DeepSeaVectorEnv(2, size=3)
    with pytest.raises(EnvError, match="call reset"):
        env.step(np.zeros(2, dtype=np.int64))
    with pytest.raises(EnvError, match="call reset"):
        env.state_dict()
    with pytest.raises(ConfigError, match="3 seeds for 2"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(ConfigError, match="seeds from 0"):
        env.reset(seed=-1)
    env.reset(seed=0)
    for action in (np.array([0, 2]), np.array([-1, 0])):
        with pytest.raises(EnvError, match="actions 0 to 1"):
            env.step(action)
    for action in (np.zeros(3, dtype=np.int64), np.zeros(2), np.zeros((2, 1), dtype=np.int64)):
        with pytest.raises(EnvError, match="2 integer actions"):
            env.step(action)
    single = DeepSeaEnv(size=1)
    single.reset(seed=0)
    single.step(0)
    with pytest.raises(EnvError, match="has ended"):
        single.step(0)


def test_foreign_snapshots_are_refused() -> None:
    env = DeepSeaVectorEnv(2, size=3)
    env.reset(seed=0)
    state = env.state_dict()
    with pytest.raises(CheckpointError, match="mapping"):
        DeepSeaVectorEnv(2, size=3, mapping_seed=1).load_state_dict(state)
    with pytest.raises(CheckpointError, match="'size'"):
        DeepSeaVectorEnv(2, size=4).load_state_dict(state)
    with pytest.raises(CheckpointError, match="num_envs"):
        DeepSeaVectorEnv(3, size=3).load_state_dict(state)
    del state["bad"]
    with pytest.raises(CheckpointError, match="bad"):
        DeepSeaVectorEnv(2, size=3).load_state_dict(state)


def test_unseeded_environments_differ_and_seeded_streams_go_on() -> None:
    env = DeepSeaVectorEnv(3, size=2, deterministic=False)
    env.reset()
    seeds = env.state_dict()["seed"]
    assert len(set(np.asarray(seeds).tolist())) == 3
    env.reset()
    np.testing.assert_array_equal(env.state_dict()["seed"], seeds)
    np.testing.assert_array_equal(env.state_dict()["episode"], [1, 1, 1])
    env.reset(seed=[7, None, 9])
    assert np.asarray(env.state_dict()["seed"])[[0, 2]].tolist() == [7, 9]


def test_the_counter_generator_is_splitmix64() -> None:
    # The first outputs of the reference implementation (Vigna's splitmix64.c) seeded with 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert random_bits(1234567, np.arange(4)).tolist() == expected
    assert random_bits(1234567, 1, 2).tolist() == random_bits(expected[1], 2).tolist()
    draws = random_bits(np.arange(100)[:, None], np.arange(100))
    assert len(np.unique(draws)) == 10_000
    unit = uniform(draws)
    assert 0.0 <= unit.min() < unit.max() < 1.0
    assert abs(unit.mean() - 0.5) < 4 * np.sqrt(1 / 12 / unit.size)
    counts = np.bincount(integers(draws, 7).reshape(-1), minlength=7)
    assert ((counts - 10_000 / 7) ** 2 / (10_000 / 7)).sum() < 22.5, "chi-square, 6 degrees of freedom, p = 0.001"
    assert np.isfinite(normal(draws)).all()
