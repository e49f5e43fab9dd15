"""The method that acts by chance: in any spaces, an action for each row, and the same ones for the same seed."""

from typing import Any

import numpy as np
import pytest

from jostle.evaluation import evaluate
from jostle.study.chance import chance_view

BOX = {"env": "jostle/Pendulum-v1", "env_options": {}}
CASES: dict[str, dict[str, Any]] = {
    "numbers": BOX,
    "choice": {"env": "jostle/CartPole-v1", "env_options": {}},
    "a dictionary of observations": {
        "env": "jostle/Pendulum-v1",
        "env_options": {"domain": {"rod.mass": [0.5, 2]}, "domain_privileged": True},
    },
}


@pytest.mark.parametrize("asked", CASES.values(), ids=CASES)
def test_it_plays_in_any_spaces(asked: dict[str, Any]) -> None:
    found = [evaluate(chance_view({**asked, "seed": seed}), 3, num_envs=3, seed=0).returns for seed in (0, 0, 1)]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
