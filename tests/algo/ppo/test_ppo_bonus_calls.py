"""How often PPO asks RND's networks, and in which precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

import jostle

STEPS, ENVS, MINIBATCHES = 8, 4, 2


def make(lively: Any, observations: str = "vector", **settings: Any) -> jostle.PPO:
    """Of the rows all are learned from, so that no minibatch is empty."""
    bonus: dict[str, Any] = {"bonus": ("rnd",), "bonus_features": 8, "bonus_warmup": 2, "bonus_share": 1.0}
    return jostle.PPO(
        lambda: lively(observations=observations), num_envs=ENVS, seed=3, num_steps=STEPS, hidden=(8,),
        minibatches=MINIBATCHES, **bonus, **settings,
    )  # fmt: skip


@contextmanager
def watched(network: nn.Module) -> Iterator[list[torch.Tensor]]:
    """What the network puts out within the block, call by call."""
    outputs: list[torch.Tensor] = []
    hook = network.register_forward_hook(lambda module, arguments, output: outputs.append(output))
    try:
        yield outputs
    finally:
        hook.remove()


@pytest.mark.parametrize("observations", ["vector", "picture"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_the_targets_features_are_computed_once_for_the_rewards_and_once_to_learn_from(
    lively: Any, observations: str, epochs: int
) -> None:
    """However many epochs follow. Rewards are under the old statistics, what is learned under the new ones."""
    agent = make(lively, observations, epochs=epochs)
    agent.advance()
    rnd: Any = agent.bonuses[0]
    with watched(rnd.target) as target, watched(rnd.predictor) as predictor:
        agent.advance()
    assert [len(output) for output in target] == 2 * [STEPS * ENVS]
    assert len(predictor) == 1 + epochs * MINIBATCHES
    assert len(predictor[0]) == STEPS * ENVS
    assert sum(len(output) for output in predictor[1:]) == epochs * int(agent.rollout.valid.sum())


@pytest.mark.parametrize("reduced", [False, True])
def test_rnd_has_the_precision_of_the_policy(lively: Any, reduced: bool) -> None:
    agent = make(lively, bfloat16=reduced)
    rnd: Any = agent.bonuses[0]
    assert rnd.bf16 == reduced
    with watched(rnd.target) as target, watched(rnd.predictor) as predictor:
        agent.advance()
    expected = torch.bfloat16 if reduced else torch.float32
    assert {output.dtype for output in target + predictor} == {expected}
    assert all(parameter.dtype == torch.float32 for parameter in rnd.parameters())
