"""ThemedCatch's rules against a scalar twin, and what it promises as a vector environment."""

import itertools
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import jostle
from jostle.envs.diagnostics import THEMED_CATCH
from jostle.envs.diagnostics.themed.game import EPISODE_LENGTH, ThemedCatchEnv, ThemedCatchVectorEnv
from jostle.errors import CheckpointError, ConfigError, EnvError
from jostle.registration import register


class ScalarCatch:
    """One game by the page's rules, without arrays."""

    def __init__(self, column: int, paddle: int, drift: int) -> None:
        self.row, self.column, self.paddle, self.drift = 0, column, paddle, drift

    def step(self, action: int) -> tuple[float, bool]:
        before = abs(self.column - self.paddle)
        self.paddle = min(7, max(0, self.paddle + (-1, 0, 1)[action]))
        reward = 0.2 * (before - abs(self.column - self.paddle))
        self.row += 1
        if self.row in (2, 4):
            if not 0 <= self.column + self.drift <= 7:
                self.drift = -self.drift
            self.column += self.drift
        if self.row == 7:
            reward += 1.0 if self.column == self.paddle else -1.0
        return reward, self.row == 7

    def chase(self) -> int:
        return 1 + (self.column > self.paddle) - (self.column < self.paddle)


def test_the_game_plays_by_its_rules() -> None:
    n, rng = 200, np.random.default_rng(0)
    env = ThemedCatchVectorEnv(n)
    _, info = env.reset(seed=1)
    caught, drifts = 0, set()
    for _episode in range(3):
        drift = np.asarray(env.state_dict()["drift"])
        twins = [ScalarCatch(int(info["ball"][i, 1]), int(info["paddle"][i, 1]), int(drift[i])) for i in range(n)]
        drifts |= set(drift.tolist())
        assert (info["ball"][:, 0] == 0).all()
        for t in range(EPISODE_LENGTH):
            chase = np.array([w.chase() for w in twins])
            action = np.where(rng.random(n) < 0.7, chase, rng.integers(0, 3, n))
            _, reward, terminated, truncated, info = env.step(action)
            expected = [w.step(int(a)) for w, a in zip(twins, action, strict=True)]
            np.testing.assert_array_equal(reward, [e[0] for e in expected])
            np.testing.assert_array_equal(terminated, [e[1] for e in expected])
            np.testing.assert_array_equal(info["ball"], [[w.row, w.column] for w in twins])
            np.testing.assert_array_equal(info["paddle"], [[7, w.paddle] for w in twins])
            assert not truncated.any()
            assert ("caught" in info) == (t == EPISODE_LENGTH - 1)
        np.testing.assert_array_equal(info["caught"], [w.column == w.paddle for w in twins])
        assert info["_caught"].all()
        caught += int(info["caught"].sum())
        _, reward, terminated, _, info = env.step(rng.integers(0, 3, n))
        assert not reward.any()
        assert not terminated.any()
        assert "caught" not in info
    assert 100 < caught < 500, "both endings were played"
    assert drifts == {-1, 0, 1}


def test_chasing_the_ball_catches_from_every_start() -> None:
    for column, paddle, drift in itertools.product(range(8), range(8), (-1, 0, 1)):
        game = ScalarCatch(column, paddle, drift)
        for _ in range(EPISODE_LENGTH):
            reward, _ = game.step(game.chase())
        assert reward >= 1.0, (column, paddle, drift)


def test_starts_are_uniform() -> None:
    n = 7_680
    env = ThemedCatchVectorEnv(n, num_themes=4)
    _, info = env.reset(seed=0)
    drift = np.asarray(env.state_dict()["drift"])
    joint = np.stack([info["ball"][:, 1], info["paddle"][:, 1], drift + 1, info["theme"]], axis=1)
    counts = np.zeros((8, 8, 3, 4))
    np.add.at(counts, tuple(joint.T), 1)
    mean = n / counts.size
    chi_square = ((counts - mean) ** 2 / mean).sum()
    assert chi_square < 767 + 4 * np.sqrt(2 * 767), "ball, paddle, drift and theme are uniform and independent"


def test_themes_never_touch_the_game() -> None:
    options: list[dict[str, Any]] = [{}, {"split": "test"}, {"num_themes": 1}, {"themes": (5, 200), "pixels": 64}]
    envs = [ThemedCatchVectorEnv(16, **o) for o in options]
    infos = [env.reset(seed=3)[1] for env in envs]
    seen: list[set[int]] = [set(info["theme"].tolist()) for info in infos]
    for action in np.random.default_rng(0).integers(0, 3, (50, 16)):
        steps = [env.step(action) for env in envs]
        for obs, reward, terminated, _, info in steps[1:]:
            assert obs.shape[1] in (32, 64)
            np.testing.assert_array_equal(reward, steps[0][1])
            np.testing.assert_array_equal(terminated, steps[0][2])
            np.testing.assert_array_equal(info["ball"], steps[0][4]["ball"])
        for themes, step in zip(seen, steps, strict=True):
            themes |= set(step[4]["theme"].tolist())
    assert seen[0] <= set(range(128))
    assert len(seen[0]) > 40
    assert seen[1] <= set(range(144, 208))
    assert seen[2] == {0}
    assert seen[3] == {5, 200}


def test_a_theme_lasts_for_an_episode() -> None:
    env = ThemedCatchVectorEnv(32)
    _, info = env.reset(seed=0)
    theme, changed = info["theme"], 0
    for t in range(1, 33):
        info = env.step(np.ones(32, dtype=np.int64))[4]
        if t % 8:
            np.testing.assert_array_equal(info["theme"], theme)
        else:
            changed += int((info["theme"] != theme).sum())
            theme = info["theme"]
    assert changed > 100


def test_without_the_dense_part_only_the_ending_pays() -> None:
    env = ThemedCatchVectorEnv(64, dense=False)
    env.reset(seed=0)
    for t, action in enumerate(np.random.default_rng(0).integers(0, 3, (16, 64))):
        reward = env.step(action)[1]
        assert set(reward.tolist()) == ({-1.0, 1.0} if t % 8 == 6 else {0.0})


@pytest.mark.parametrize("taken", [10, 15], ids=["within an episode", "after an ending"])
def test_a_snapshot_continues_bit_for_bit_in_a_fresh_instance(taken: int) -> None:
    actions = np.random.default_rng(3).integers(0, 3, (40, 5))
    one = ThemedCatchVectorEnv(5, split="tune")
    one.reset(seed=8)
    for action in actions[:taken]:
        ended = one.step(action)[2]
    assert ended.all() == (taken == 15)
    kept = one.state_dict()
    untouched = {k: np.array(v) for k, v in kept.items()}
    other = ThemedCatchVectorEnv(5, split="tune")
    other.load_state_dict(kept)
    for action in actions[taken:]:
        a, b = one.step(action), other.step(action)
        for x, y in zip(a[:4], b[:4], strict=True):
            np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(a[4]["theme"], b[4]["theme"])
    for key, value in untouched.items():
        np.testing.assert_array_equal(kept[key], value)


def test_an_environment_does_not_know_how_many_stand_beside_it() -> None:
    many, single = ThemedCatchVectorEnv(6), ThemedCatchEnv()
    many.reset(seed=20)
    single.reset(seed=24)
    over = False
    for action in np.random.default_rng(3).integers(0, 3, (60, 6)):
        obs, reward, terminated, _, info = many.step(action)
        if over:
            alone, told = single.reset()
            over = False
        else:
            alone, paid, over, _, told = single.step(action[4])
            assert (paid, over) == (reward[4], terminated[4])
        np.testing.assert_array_equal(alone, obs[4])
        assert told["theme"] == info["theme"][4]
        assert told["ball"].tolist() == info["ball"][4].tolist()
        assert ("caught" in told) == over


def test_what_a_call_returned_is_the_callers_own() -> None:
    spoilt, clean = ThemedCatchVectorEnv(4), ThemedCatchVectorEnv(4)
    first = spoilt.reset(seed=0)
    for array in (first[0], *first[1].values()):
        array[:] = 1
    clean.reset(seed=0)
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for action in np.random.default_rng(4).integers(0, 3, (30, 4)):
        step, expected = spoilt.step(action), clean.step(action)
        arrays = [*step[:4], *step[4].values()]
        for x, y in zip(arrays, [*expected[:4], *expected[4].values()], strict=True):
            np.testing.assert_array_equal(x, y)
            kept.append((y, y.copy()))
        for one, other in itertools.combinations(arrays, 2):
            assert not np.shares_memory(one, other)
        for array in arrays:
            array[:] = 1
    for array, copy in kept:
        np.testing.assert_array_equal(array, copy, err_msg="a later call wrote into what an earlier one returned")


@pytest.mark.parametrize("pixels", [32, 64])
def test_masks_and_positions_point_at_the_objects(pixels: int) -> None:
    env = ThemedCatchVectorEnv(48, split="test", pixels=pixels)
    obs, info = env.reset(seed=2)
    cell = pixels // 8
    for action in np.random.default_rng(3).integers(0, 3, (8, 48)):
        masks = env.object_masks()
        assert not (masks["ball"] & masks["paddle"]).any()
        for i in range(48):
            for name in ("ball", "paddle"):
                mask = masks[name][i]
                hidden = name == "paddle" and (info["ball"][i] == info["paddle"][i]).all()
                if hidden or not mask.any():
                    continue
                assert len(np.unique(obs[i][mask], axis=0)) == 1, "an object has one colour"
                if name == "ball":
                    middle = (np.argwhere(mask).min(axis=0) + np.argwhere(mask).max(axis=0) + 1) / 2
                    centre = (info[name][i] + 0.5) * cell
                    assert np.abs(middle - centre).max() <= pixels / 32, "half the pixels cut at a border"
        obs, _, _, _, info = env.step(action)
    single = ThemedCatchEnv(pixels=pixels)
    single.reset(seed=0)
    assert single.object_masks()["paddle"].shape == (pixels, pixels)


def test_gymnasium_finds_nothing_to_complain_of() -> None:
    register()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(THEMED_CATCH).unwrapped)
        check_env(gym.make(THEMED_CATCH, split="test", pixels=64, dense=False).unwrapped)
        vector = gym.make_vec(THEMED_CATCH, 3, num_themes=2)
    assert isinstance(vector, ThemedCatchVectorEnv)
    assert vector.observation_space.shape == (3, 32, 32, 3)
    assert vector.observation_space.dtype == np.uint8
    assert vector.themes == (0, 1)


def test_gymnasiums_own_vector_of_singles_agrees() -> None:
    register()
    native = gym.make_vec(THEMED_CATCH, 3)
    wrapped = gym.make_vec(THEMED_CATCH, 3, vectorization_mode="sync")
    np.testing.assert_array_equal(native.reset(seed=9)[0], wrapped.reset(seed=9)[0])
    for action in np.random.default_rng(1).integers(0, 3, (20, 3)):
        a, b = native.step(action), wrapped.step(action)
        for x, y in zip(a[:4], b[:4], strict=True):
            np.testing.assert_array_equal(x, y)
        for key in a[4]:
            np.testing.assert_array_equal(a[4][key], b[4][key])


def test_the_picture_is_the_observation_enlarged() -> None:
    env = ThemedCatchVectorEnv(2, render_mode="rgb_array")
    obs, _ = env.reset(seed=0)
    frames = env.render()
    assert frames is not None
    assert frames[1].shape == (256, 256, 3)
    np.testing.assert_array_equal(frames[1][::8, ::8], obs[1])


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"split": "trian"}, "did you mean train"),
        ({"num_themes": 129}, "has 128 themes"),
        ({"num_themes": 0}, "cannot be 0"),
        ({"split": "tune", "num_themes": 17}, "has 16 themes"),
        ({"themes": (3, 208)}, "no theme 208"),
        ({"themes": (-1,)}, "no theme -1"),
        ({"themes": "0,1"}, "no list of whole numbers"),
        ({"themes": 3}, "no list of whole numbers"),
        ({"themes": ()}, "at least one"),
        ({"themes": (3, 3)}, "twice"),
        ({"themes": (3,), "num_themes": 1}, "not both"),
        ({"pixels": 48}, "32 or 64"),
        ({"num_thems": 3}, "did you mean num_themes"),
        ({"render_mode": "ansi"}, "rgb_array"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], hint: str) -> None:
    register()
    for make in (lambda: gym.make(THEMED_CATCH, **options), lambda: gym.make_vec(THEMED_CATCH, 2, **options)):
        with pytest.raises(ConfigError, match=hint):
            make()


def test_bad_calls_and_foreign_snapshots_are_refused() -> None:
    env = ThemedCatchVectorEnv(2)
    with pytest.raises(EnvError, match="call reset"):
        env.object_masks()
    env.reset(seed=0)
    with pytest.raises(EnvError, match="actions 0 to 2"):
        env.step(np.array([0, 3]))
    with pytest.raises(CheckpointError, match="themes"):
        ThemedCatchVectorEnv(2, num_themes=4).load_state_dict(env.state_dict())
    with pytest.raises(CheckpointError, match="dense"):
        ThemedCatchVectorEnv(2, dense=False).load_state_dict(env.state_dict())


@pytest.mark.parametrize("rule", ["colour", "colour-shape"])
def test_by_the_rules_of_colour_blue_balls_are_to_be_let_pass(rule: str) -> None:
    """The game is the same one; what is paid for a blue ball has the other sign, but for the end."""
    n, rng = 100, np.random.default_rng(0)
    plain, coloured = ThemedCatchVectorEnv(n), ThemedCatchVectorEnv(n, rule=rule)
    _, info = plain.reset(seed=5)
    pictures, told = coloured.reset(seed=5)
    shares = []
    for _ in range(8 * 5):
        assert np.array_equal(info["ball"], told["ball"])
        assert np.array_equal(info["theme"], told["theme"])
        action = rng.integers(0, 3, n)
        before = told["blue"]
        _, paid, ended, _, info = plain.step(action)
        pictures, reward, terminated, _, told = coloured.step(action)
        sign = np.where(before, -1, 1)
        np.testing.assert_allclose(reward, sign * paid, atol=1e-12)
        assert np.array_equal(ended, terminated)
        if ended.any():
            assert np.array_equal(told["caught"][ended], (info["caught"] != before)[ended])
            shares.append(before.mean())
        masks = coloured.object_masks()["ball"]
        for i in range(0, n, 7):
            red, _, blue = pictures[i][masks[i]].astype(int).mean(0)
            assert (blue > red) == told["blue"][i]
    assert 0.4 < np.mean(shares) < 0.6


def test_shapes_tell_the_balls_apart_only_where_they_should() -> None:
    for rule, differs in (("colour", False), ("colour-shape", True)):
        env = ThemedCatchVectorEnv(200, rule=rule, themes=[150], pixels=64)
        _, info = env.reset(seed=1)
        masks = env.object_masks()["ball"]
        inside = (info["ball"][:, 1] > 0) & (info["ball"][:, 1] < 7)
        sizes = {b: {int(m.sum()) for m in masks[inside & (info["blue"] == b)]} for b in (False, True)}
        assert (sizes[False] != sizes[True]) == differs


def test_rules_are_checked_and_belong_to_the_state() -> None:
    with pytest.raises(ConfigError, match="colour"):
        ThemedCatchVectorEnv(2, rule="color")
    env, other = ThemedCatchVectorEnv(2, rule="colour"), ThemedCatchVectorEnv(2)
    env.reset(seed=0)
    other.reset(seed=0)
    with pytest.raises(CheckpointError):
        other.load_state_dict(env.state_dict())


def test_a_level_is_the_same_game_in_every_row_and_episode() -> None:
    env = jostle.make_env("jostle/ThemedCatch-v0", 6, 3, domain={"level": {"integers": [1, 3]}}, num_themes=5)
    _, info = env.reset()
    games: dict[float, set[tuple[int, ...]]] = {}
    for _ in range(80):
        for row in np.flatnonzero(info["start"]):
            game = (*info["ball"][row].tolist(), *info["paddle"][row].tolist(), int(info["theme"][row]))
            games.setdefault(float(info["domain"][row, 0]), set()).add(game)
        info = env.step(np.ones(6, np.int64))[4]
    assert set(games) == {1.0, 2.0, 3.0}
    assert all(len(seen) == 1 for seen in games.values())
    assert len(set.union(*games.values())) == 3


def test_without_levels_games_are_those_of_seed_and_episode() -> None:
    plain, domain = (jostle.make_env("jostle/ThemedCatch-v0", 3, 5, **more) for more in ({}, {"domain": {"level": 0}}))
    assert np.array_equal(plain.reset()[0], domain.reset()[0])
    for _ in range(30):
        assert np.array_equal(plain.step(np.zeros(3, np.int64))[0], domain.step(np.zeros(3, np.int64))[0])


def test_snapshots_of_versions_without_levels_are_read() -> None:
    vector = ThemedCatchVectorEnv(2)
    vector.reset(seed=0)
    state = vector.state_dict()
    state.pop("level")
    vector.load_state_dict(state)


def test_one_thing_changes_and_the_games_stay() -> None:
    def played(**changes: Any) -> tuple[Any, Any, list[Any]]:
        env = ThemedCatchVectorEnv(16, themes=[0, 3, 150], **changes)
        obs, info = env.reset(seed=3)
        rewards = [env.step(np.ones(16, np.int64))[1] for _ in range(3)]
        env.reset(seed=3)
        return obs, (info, env.object_masks()), rewards

    plain, (info, masks), paid = played()
    for name in ("ball", "paddle"):
        obs, (told, pixels), same = played(**{f"{name}_hue": 0.4})
        differ = (obs != plain).any(-1)
        assert differ[masks[name]].all(), "all pixels of it have another colour"
        assert not differ[~masks[name]].any()
        np.testing.assert_array_equal(pixels[name], masks[name])
        np.testing.assert_array_equal(same, paid)
        weights = np.array([0.299, 0.587, 0.114])
        assert np.abs((obs - plain.astype(float)) @ weights).max() < 2, "as bright as before, but for rounding"
        obs, (told, pixels), _ = played(**{f"{name}_shift": 3})
        np.testing.assert_array_equal(told[name][:, 1], (info[name][:, 1] + 3) % 8)
        other = "paddle" if name == "ball" else "ball"
        np.testing.assert_array_equal(told[other], info[other])
    assert np.array_equal(played(ball_hue=1.0)[0], plain), "once round"
    for options, hint in (
        ({"ball_hue": 2}, "-1 to 1"),
        ({"paddle_hue": "red"}, "-1 to 1"),
        ({"ball_shift": 0.5}, "whole"),
    ):
        with pytest.raises(ConfigError, match=hint):
            ThemedCatchVectorEnv(1, **options)  # type: ignore[arg-type]


def test_snapshots_know_what_was_changed() -> None:
    env, plain = ThemedCatchVectorEnv(2, ball_hue=0.5), ThemedCatchVectorEnv(2)
    env.reset(seed=0)
    plain.reset(seed=0)
    with pytest.raises(CheckpointError, match="ball_hue"):
        plain.load_state_dict(env.state_dict())
    with pytest.raises(CheckpointError, match="ball_hue"):
        ThemedCatchVectorEnv(2, ball_hue=0.25).load_state_dict(env.state_dict())
    again = ThemedCatchVectorEnv(2, ball_hue=0.5)
    again.reset(seed=1)
    again.load_state_dict(env.state_dict())
    np.testing.assert_array_equal(again.step(np.ones(2, np.int64))[0], env.step(np.ones(2, np.int64))[0])
