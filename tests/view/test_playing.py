"""Playing episodes: which episode and step each observation is of, and what is kept of an episode."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import jostle
from jostle.errors import ConfigError
from jostle.view import Success, play
from jostle.view.playing import require_seed


class Hours(gym.Env[Any, int]):
    """Environment i lasts i + 2 steps, one more in each later episode. The observation is (i, episode, step)."""

    observation_space = spaces.Box(-1, 99, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.number, self.episode = seed, -1
        self.episode, self.t = self.episode + 1, 0
        return self._seen(), {"level_seed": 100 * self.number + self.episode}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        over = self.t >= self.number + 2 + self.episode
        # Some environments tell the next level where the old one ends.
        return self._seen(), 1.0, over, False, {"level_seed": -9 if over else 7, "even": self.episode % 2 == 0}

    def _seen(self) -> Any:
        return np.array([self.number, self.episode, self.t], np.float32)


class Clockwork:
    """Disagrees by the step, and by 1000 on an episode's last observation, where its action is ignored."""

    disagreement: Any = None

    def act(self, obs: Any, start: Any = None, among: Any = None) -> Any:
        number, episode, t = obs.T
        self.disagreement = np.where(t == number + 2 + episode, 1000.0, t).astype(np.float32)
        return np.zeros(len(obs), np.int64)


def test_each_observation_comes_with_its_episode_and_step() -> None:
    env = jostle.make_env(Hours, 3)
    seen = []

    def observe(obs: Any, episode: Any, step: Any) -> Any:
        seen.append((obs[:, 1:].astype(int).tolist(), list(zip(episode.tolist(), step.tolist(), strict=True))))
        return obs

    found = play(Clockwork(), env, 9, observe=observe)
    assert found is not None
    assert len(seen) > 12
    for told, counted in seen:
        assert [tuple(pair) for pair in told] == counted
    assert [(e.env, e.index, e.length) for e in found] == [(i, k, i + 2 + k) for k in range(3) for i in range(3)]


def test_what_is_kept_of_an_episode() -> None:
    found = play(Clockwork(), jostle.make_env(Hours, 2), 6, success=Success.parse("info even"))
    assert found is not None
    for e in found:
        assert e.level_seed == 100 * e.env + e.index, "of the row that began it"
        assert e.disagreement == pytest.approx((e.length - 1) / 2), "the mean of 0 … length − 1: rows that act"
        assert e.success == (e.index % 2 == 0)
    assert found[0].as_dict() == {
        "env": 0, "index": 0, "ret": 2.0, "length": 2, "success": True, "disagreement": 0.5, "level_seed": 0,
    }  # fmt: skip


def test_the_actor_is_told_whose_actions_still_count() -> None:
    told: list[tuple[list[int], list[int]]] = []

    class Told(Clockwork):
        def act(self, obs: Any, start: Any = None, among: Any = None) -> Any:
            told.append((obs[:, 1].astype(int).tolist(), among.tolist()))
            return super().act(obs, start)

    shares = [2, 2, 1, 1]
    found = play(Told(), jostle.make_env(Hours, 4), 6)
    assert [(e.env, e.index) for e in found or []] == [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1)]
    assert told[0][1] == [0, 1, 2, 3]
    for episodes, among in told:
        assert set(among) >= {i for i in range(4) if episodes[i] < shares[i] - 1}, "an episode to come counts"
        assert set(among) <= {i for i in range(4) if episodes[i] < shares[i]}, "after the share nothing counts"
    assert told[-1][1] == [1], "the longest is left"
    few = play(Told(), jostle.make_env(Hours, 4), 2)
    assert [(e.env, e.length) for e in few or []] == [(0, 2), (1, 3)]
    assert told[-1][1] == [1]


def test_the_draw_stands_beside_every_episode() -> None:
    found = play(Clockwork(), jostle.make_env(Hours, 2), 3, draw="5:0")
    assert found is not None
    assert [e.draw for e in found] == ["5:0"] * 3
    assert found[0].as_dict()["draw"] == "5:0"


@pytest.mark.parametrize("seed", [-1, 2**32, "3", 1.5, None, True])
def test_seeds_that_cannot_be_used(seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"seed=.* cannot be used: it must be a whole number from 0 to 4294967295"):
        require_seed(seed)
    require_seed(np.int64(7))
    require_seed(2**32 - 1)


def test_success_by_the_return() -> None:
    for rule, expected in (("return > 3", [False, False, True]), ("return >= 3", [False, True, True])):
        found = play(Clockwork(), jostle.make_env(Hours, 1), 3, success=Success.parse(rule))
        assert found is not None
        assert [e.success for e in found] == expected  # returns of 2, 3 and 4
        assert str(Success.parse(rule)) == rule
    with pytest.raises(ConfigError, match="Hours tells no 'won' where an episode ends"):
        play(Clockwork(), jostle.make_env(Hours, 1), 3, success=Success.parse("info won"))


@pytest.mark.parametrize("text", ["", "return", "return > x", "reward > 3", "return < 3", "info", "info a b"])
def test_rules_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read: write 'return > 0'"):
        Success.parse(text)


def test_a_stop_returns_nothing() -> None:
    asked = iter([False] * 5 + [True])
    assert play(Clockwork(), jostle.make_env(Hours, 2), 6, stop=lambda: next(asked)) is None


def test_an_episode_that_does_not_end_in_time_is_counted_as_it_stands() -> None:
    # Environment i's episode k lasts i + 2 + k steps: with a patience of 4, each of environment 3 and 4 is cut.
    with pytest.warns(UserWarning, match=r"6 of 12 episodes did not end within 4 steps .*max_steps"):
        found = play(Clockwork(), jostle.make_env(Hours, 4), 12, patience=4, success=Success.parse("return >= 4"))
    assert found is not None
    assert [(e.env, e.index) for e in found] == [(i, k) for k in range(3) for i in range(4)]
    for e in found:
        whole = e.env + 2 + e.index
        assert (e.cut, e.length, e.ret) == (whole >= 5 or e.cut, min(whole, 4), min(whole, 4))
        assert e.cut == ("cut" in e.as_dict())
        assert e.success == (e.length == 4)
        assert e.level_seed == 100 * e.env + e.index, "each is an episode of its own"
    assert sum(e.cut for e in found) == 6


def test_rows_that_never_end_are_reset_together() -> None:
    class Never(Hours):
        def step(self, action: int) -> Any:
            obs, reward, _, _, info = super().step(action)
            return obs, reward, False, False, info

    told: list[int] = []
    seen = []

    def observe(obs: Any, episode: Any, step: Any) -> Any:
        seen.append((episode.tolist(), step.tolist()))
        return obs

    given: Any = {"success": Success.parse("info even"), "observe": observe, "notify": told.append}
    with pytest.warns(UserWarning, match="5 of 5 episodes did not end within 3 steps"):
        found = play(Clockwork(), jostle.make_env(Never, 2), 5, patience=3, **given)
    assert found is not None
    assert [(e.env, e.index, e.length, e.cut, e.success) for e in found] == [
        (i, k, 3, True, False) for i, k in ((0, 0), (1, 0), (0, 1), (1, 1), (0, 2))
    ]
    assert [e.level_seed for e in found] == [100 * e.env + e.index for e in found], (
        "the next games, not the first again"
    )
    assert told == [1, 2, 3, 4, 5]
    assert seen == [([k, k], [t, t]) for k in range(3) for t in range(3)]


@pytest.mark.parametrize("length", [0, 6])
def test_a_row_whose_episode_was_cut_is_not_judged_until_the_next(length: int) -> None:
    """It waits for the end of its episode, or, where all do, until all are reset."""

    class Once(Hours):
        """The first episode of environment 0 ends after two steps, and is the only one that ends in time."""

        def step(self, action: int) -> Any:
            obs, reward, _, _, info = super().step(action)
            over = self.t == (2 if self.number == self.episode == 0 else length)
            return obs, reward, over, False, info

    class Doubt(Clockwork):
        def act(self, obs: Any, start: Any = None, among: Any = None) -> Any:
            self.disagreement = obs[:, 2].copy()
            return np.zeros(len(obs), np.int64)

    with pytest.warns(UserWarning, match="5 of 6 episodes did not end within 4 steps"):
        found = play(Doubt(), jostle.make_env(Once, 2), 6, patience=4)
    assert found is not None
    assert [(e.length, e.disagreement) for e in found] == [(2, 0.5), *[(4, 1.5)] * 5]


def test_a_game_that_is_not_told_is_not_the_one_before() -> None:
    class Forgets(Hours):
        """Only even episodes say which level they are."""

        def reset(self, **how: Any) -> Any:
            obs, info = super().reset(**how)
            return obs, info if self.episode % 2 == 0 else {}

    found = play(Clockwork(), jostle.make_env(Forgets, 2), 6)
    assert found is not None
    assert [e.level_seed for e in found] == [0, 100, None, None, 2, 102]


class Listens(Hours):
    """Episodes of twenty steps, whose actions are kept."""

    taken: list[int] = []  # noqa: RUF012

    def step(self, action: int) -> Any:
        Listens.taken.append(int(action))
        obs, reward, _, _, info = super().step(action)
        return obs, reward, self.t == 20, False, info


def test_random_actions_follow_the_seed_and_each_row_has_a_coin_of_its_own() -> None:
    def taken(seed: int) -> list[int]:
        Listens.taken.clear()
        play(Clockwork(), jostle.make_env(Listens, 32), 32, seed=seed, epsilon=0.5)
        return Listens.taken.copy()

    first = taken(3)
    assert first == taken(3)
    assert first != taken(4)
    together = np.array(first).reshape(20, 32)
    assert abs(together.mean() - 1 / 4) < 0.1, "of two actions a random one is the other in half of the cases"
    assert (together.mean(1) > 0).all()
    assert (together.mean(1) < 0.6).all()
