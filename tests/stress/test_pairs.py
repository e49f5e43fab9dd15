"""`compare_policies`: pairs that are pairs, verdicts that hold, and runs that are no episodes."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from scene import STEPS, SUITE, watchful

import jostle
from jostle.errors import ConfigError
from jostle.stress import Condition, Suite, compare_policies
from jostle.stress.pairs.compare import over_runs
from jostle.view import PolicyView, as_view


def pole(*weights: float, env: Any = "CartPole-v1", name: str = "pole") -> PolicyView:
    """Push right where the weighted state is positive."""
    layer = torch.nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        layer.weight[:] = torch.tensor([[-w for w in weights], list(weights)])
    return as_view(layer, kind="logits", env=env, name=name)


GOOD, BAD = (0.02, 0.06, 1.0, 0.25), (0.0, 0.0, 1.0, 0.0)


def test_a_policy_is_as_good_as_itself() -> None:
    found = compare_policies(pole(*BAD), pole(*BAD), episodes=70, num_envs=32)
    (only,) = found.conditions
    assert only.paired
    assert (only.difference.p, only.difference.interval.point, only.verdict) == (1.0, 0.0, "NO DIFFERENCE SEEN")
    assert found.verdict == "NO DIFFERENCE SEEN"
    assert found.worst == []


def test_a_regression_is_seen_and_its_worst_episodes_can_be_played_again() -> None:
    how: dict[str, Any] = {"episodes": 40, "num_envs": 16, "success": "return >= 195"}
    found = compare_policies(pole(*GOOD), pole(*BAD), seed=50, worst=3, **how)
    (only,) = found.conditions
    assert (found.metric, found.verdict) == ("success", "REGRESSED")
    assert (only.difference.x, only.difference.y, only.difference.units) == (1.0, 0.0, 40)
    assert only.difference.p == pytest.approx(2 * 0.5**40)
    assert len(found.worst) == 3
    assert all(50 <= episode.seed < 90 for episode in found.worst)
    for episode in found.worst:  # a lone environment with that seed plays the same game
        again = jostle.evaluate(pole(*BAD), 1, seed=episode.seed)
        assert again.episodes[0].ret == episode.after
    assert compare_policies(pole(*BAD), pole(*GOOD), **how).verdict == "IMPROVED"


def test_what_a_condition_costs_both_sides_is_taken_off() -> None:
    """The scene takes 2 off everybody's return where it is poorer; only a brighter picture tells the sides apart."""
    found = compare_policies(watchful("old"), watchful("new"), SUITE, episodes=20, metric="return")
    by_name = {one.condition: one for one in found.conditions}
    assert [one.condition for one in found.conditions] == SUITE.names
    assert by_name["clean"].beyond_clean is None
    poorer = by_name["poorer"].beyond_clean
    assert poorer is not None
    assert (poorer.low, poorer.point, poorer.high) == pytest.approx((0, 0, 0), abs=1e-5)
    assert by_name["poorer"].difference.x == pytest.approx(by_name["clean"].difference.x - 2, abs=1e-5)
    assert by_name["bright"].difference.x == pytest.approx(by_name["clean"].difference.x + STEPS, abs=1e-5)


def test_the_condition_and_no_weakness_of_before_is_blamed() -> None:
    """`after` is worse everywhere by the same amount: nothing is left beyond the clean arm."""
    suite = Suite("two", (Condition("clean"), Condition("again", seed_offset=0)), "clean")
    found = compare_policies(pole(*GOOD), pole(*BAD), suite, episodes=16)
    clean, again = found.conditions
    assert clean.verdict == again.verdict == "REGRESSED"
    assert again.beyond_clean is not None
    assert again.beyond_clean.point == 0
    assert again.adjusted == pytest.approx(2 * again.difference.p)  # Holm, of two


def test_episodes_are_never_taken_for_runs() -> None:
    """Two sides whose runs differ among themselves: hundreds of episodes call it a difference, two runs must not."""
    good, bad = [1.0] * 100, [0.0] * 100
    mixed = over_runs([np.array(good), np.array(bad)], [np.array(good), np.array(good)])
    assert mixed.p > 0.2
    assert mixed.units == 2
    found = compare_policies(
        [pole(*GOOD, name="a"), pole(*BAD, name="b")],
        [pole(*GOOD, name="c"), pole(*GOOD[:3], 0.26, name="d")],
        episodes=16,
    )
    assert found.over_runs
    assert found.verdict == "NO DIFFERENCE SEEN"
    assert found.conditions[0].difference.test == "Welch's t-test"
    with pytest.raises(ConfigError, match="same weights"):
        compare_policies([pole(*BAD), pole(*GOOD)], [pole(*GOOD), pole(*GOOD)], episodes=4)


class Careless(gym.Env[Any, Any]):
    """An environment that no seed reaches."""

    observation_space = gym.spaces.Box(-1, 1, (4,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.obs = np.random.default_rng().uniform(-1, 1, 4).astype(np.float32)
        return self.obs, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.obs, float(action), True, False, {}


def test_what_no_seed_reaches_is_not_paired() -> None:
    found = compare_policies(pole(1, 0, 0, 0, env=Careless), pole(1, 0, 0, 0, env=Careless), episodes=10)
    assert not found.conditions[0].paired
    assert found.conditions[0].difference.test == "Welch's t-test"
    assert found.worst == []
    told = compare_policies(
        pole(1, 0, 0, 0, env=Careless), pole(1, 0, 0, 0, env=Careless), episodes=10, success="return > 0"
    )
    assert told.conditions[0].difference.test == "Fisher's exact test"


def test_a_stop_keeps_whole_conditions() -> None:
    asked = iter(range(10**9))
    found = compare_policies(watchful("old"), watchful("new"), SUITE, episodes=4, stop=lambda: next(asked) > 3 * STEPS)
    assert not found.complete
    assert [one.condition for one in found.conditions] == ["clean"]


@pytest.mark.parametrize(("how", "match"), [
    ({"episodes": 1}, "at least 2"),
    ({"metric": "luck"}, "metric='luck' is unknown"),
    ({"metric": "success"}, "no rule of success"),
    ({"confidence": 1.0}, "between 0.5 and 1"),
    ({"actions": "lazy"}, "unknown"),
    ({"success": "win"}, "cannot be read"),
    ({"after": [0, 0]}, "1 run against 2"),
])  # fmt: skip
def test_what_cannot_be_compared(how: dict[str, Any], match: str) -> None:
    after = [pole(*BAD), pole(*GOOD)] if how.pop("after", None) else pole(*BAD)
    with pytest.raises(ConfigError, match=match):
        compare_policies(pole(*GOOD), after, **how)
