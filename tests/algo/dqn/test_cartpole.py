"""CartPole-v1 is solved by the preset. Over many seeds: benchmarks/studies/cartpole.yaml."""

import pytest

import jostle
from jostle import presets


@pytest.mark.slow
def test_cartpole_is_solved() -> None:
    agent = jostle.DQN("CartPole-v1", presets.settings("cartpole-noisy"), seed=1, num_envs=8).learn(60_000)
    found = jostle.evaluate(agent, 100, noise="mean")
    assert found.mean >= 475, "Gymnasium's threshold over 100 episodes"
