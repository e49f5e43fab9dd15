"""The suite of Reach's looks: each condition changes what is seen and nothing else, and the arm plays on."""

from typing import Any

import numpy as np
import pytest

import jostle
from jostle.errors import ConfigError
from jostle.stress.looks import CHANGES, REACH
from jostle.stress.suites import make_suite
from jostle.stress.target import target_of
from jostle.view import as_view


def still(obs: Any) -> np.ndarray:
    return np.zeros((len(obs["picture"]), 6), np.float32)


def test_a_condition_changes_the_picture_alone() -> None:
    view = as_view(still, env=REACH, env_options={"observation": "both"})
    suite = make_suite("reach-looks", target_of(view))
    assert suite.names == ["seen", *CHANGES, "all of it"]
    seen: dict[str, Any] = {}
    for condition in suite.conditions:
        env = jostle.make_env(REACH, 4, seed=5, threads=1, **condition.options({"observation": "both"}))
        obs, _ = env.reset(seed=5)
        action = np.full((4, 6), 0.3, np.float32)
        for _ in range(3):
            obs, reward, *_ = env.step(action)
        env.close()
        (joints,) = [value for key, value in obs.items() if key != "picture"]
        if not seen:
            seen = {"joints": joints, "reward": reward, "picture": obs["picture"]}
            continue
        np.testing.assert_array_equal(joints, seen["joints"], condition.name)
        np.testing.assert_array_equal(reward, seen["reward"], condition.name)
        changed = np.abs(obs["picture"].astype(int) - seen["picture"]).reshape(4, -1).mean(1)
        assert (changed > 0.3).all(), (condition.name, changed)
        assert len(np.unique(changed.round(6))) == 4  # each episode has looks of its own


def test_it_is_played_and_fits_no_other_environment() -> None:
    view = as_view(still, env=REACH, env_options={"observation": "both"})
    found = jostle.stress_test(view, "reach-looks", conditions=["light"], episodes=2, baseline=False)
    assert [cell.condition for cell in found.cells] == ["seen", "light"]
    blind = as_view(lambda obs: np.zeros((len(obs), 6), np.float32), env=REACH)
    with pytest.raises(ConfigError, match="seen in pictures"):
        jostle.stress_test(blind, "reach-looks", episodes=1)
