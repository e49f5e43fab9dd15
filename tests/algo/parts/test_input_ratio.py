"""PPO's first ratio with randomness in the input: any other draw than the one that acted shows, in bfloat16 too."""

from typing import Any

import pytest

import jostle
from jostle.algo.parts.auxiliary import INPUT
from jostle.nn.noise import CLEAN

every_granularity = pytest.mark.parametrize("per", ["iteration", "env", "episode", "sample"])


def make(lively: Any, **settings: Any) -> jostle.PPO:
    """Learns quickly, so that the policy of the second rollout depends on what it sees."""
    return jostle.PPO(
        lambda: lively(observations="picture"), num_envs=5, seed=3, num_steps=12, hidden=(8,), epochs=1,
        learning_rate=0.02, input_noise="random-conv", **settings,
    )  # fmt: skip


def first_error(agent: jostle.PPO) -> float:
    return float(agent.learner.sums["losses/first_ratio_error"][-1])


@pytest.mark.parametrize("damage", ["none", "redrawn", "clean"])
@every_granularity
def test_other_draws_than_those_that_acted_show(lively: Any, per: str, damage: str) -> None:
    """Where one slot serves all rows too, and where the clean picture stands in the slot's place."""
    agent = make(lively, input_per=per, input_clean=0.0, minibatches=1, recompute=False)
    agent.advance()
    agent._collect()
    scored = agent._score()
    if damage == "redrawn":
        assert agent.looks is not None
        agent.looks.noise.draw()
    elif damage == "clean":
        agent.rollout.draw[..., INPUT] = CLEAN
    agent.learner.learn(scored)
    assert first_error(agent) <= 1e-4 if damage == "none" else first_error(agent) > 1e-2


@pytest.mark.parametrize("use", ["drac", "svea"])
def test_a_draw_in_the_place_of_the_clean_picture_shows(lively: Any, use: str) -> None:
    agent = make(lively, input_use=use, input_clean=0.0, minibatches=1, recompute=False)
    agent.advance()
    agent._collect()
    scored = agent._score()
    assert (agent.rollout.draw[..., INPUT] == CLEAN).all()
    agent.rollout.draw[..., INPUT] = 0
    agent.learner.learn(scored)
    assert first_error(agent) > 1e-2


@every_granularity
def test_in_bfloat16_it_is_exactly_one(lively: Any, per: str) -> None:
    """Old probabilities are computed again by the learner's kernels; those of acting may round otherwise."""
    agent = make(lively, input_per=per, input_clean=0.3, minibatches=2, bfloat16=True)
    assert agent._recompute
    for _ in range(3):
        agent.advance()
        assert first_error(agent) == 0
