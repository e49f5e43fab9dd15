"""Targets of several reward streams by hand, and the values that they lead to."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import jostle
from jostle.algo.dqn.replay import Batch
from jostle.bonus import Bonus, Transitions


class Flat(Bonus):
    """The reward 1 for everything; nothing to learn."""

    name, last_frame = "flat", True

    def __init__(self, env: Any) -> None:
        super().__init__(
            env.single_observation_space, env.num_envs, frame_stack=1, discount=0.9, reward_norm="none", obs_norm=False,
            clip=5.0, share=1.0,
        )  # fmt: skip

    def raw(self, t: Transitions) -> Tensor:
        return torch.ones(t.valid.shape)

    def loss_rows(self, t: Transitions, target: Tensor | None) -> Tensor:
        return torch.zeros(())


def table(agent: jostle.DQN, values: list[list[list[float]]], network: Any) -> None:
    """Give a network without hidden layers the values [state][stream][action]."""
    layer = network.head[0]
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(values).flatten(1).T)
        layer.bias.zero_()


def two_streams(identity: Any, **settings: Any) -> jostle.DQN:
    """Three states, three actions; extrinsic γ 0.5, weight 1; intrinsic γ 0.25, weight 2."""
    agent = jostle.DQN(
        identity, num_envs=5, hidden=(), bonus=("rnd",), gamma=0.5, gamma_int=0.25, coef_int=2.0, n_step=2,
        loss="squared", **settings,
    )  # fmt: skip
    zeros = [0.0, 0.0, 0.0]
    table(agent, [[[1.0, 2.0, 0.0], [4.0, 8.0, 6.0]], [[10.0, 20.0, 30.0], [2.0, 4.0, 6.0]],
                  [[5.0, 7.0, 9.0], [1.0, 3.0, 5.0]]], agent.target)  # fmt: skip
    # In state 0 stream 0 prefers action 0 and the weighted sum action 2; in state 1 all prefer 1; in state 2, 0.
    table(
        agent, [[[3.0, 0.0, 2.0], [0.0, 1.0, 2.0]], [zeros, [0.0, 1.0, 0.0]], [[0.5, 0.0, 0.0], zeros]], agent.network
    )
    return agent


def by_hand() -> Batch:
    """Row 0 runs on to state 0. Row 1 terminates at once and goes on in state 1. Row 2 is truncated in state 0 after
    its second transition and goes on in state 2."""
    no = False
    return Batch(
        row=torch.arange(3),
        obs=torch.tensor([0, 1, 2]),
        action=torch.tensor([0, 1, 2]),
        reward=torch.tensor([[[1.0, 4.0], [2.0, 8.0]]] * 3),
        terminated=torch.tensor([[no, no], [True, no], [no, no]]),
        truncated=torch.tensor([[no, no], [no, no], [no, True]]),
        next_obs=torch.tensor([0, 2, 0]),
        linked=torch.tensor([1, 2]),
        linked_obs=torch.tensor([1, 2]),
    )


# ext: 1 + 2/2 + Q(0, 2)/4 = 2; 1, for it terminated; 2 + Q(0, 2)/4 = 2, its final observation is state 0.
# int: 4 + 8/4 = 6, and from there on γ² = 1/16 times Q(0, 2) = 6, Q(1, 1) = 4, Q(2, 0) = 1.
DOUBLE = [[2.0, 6.375], [1.0, 6.25], [2.0, 6.0625]]
# The target network's own choices: action 1 in state 0 (2 + 2·8), 2 in state 1 (30 + 2·6), 2 in state 2 (9 + 2·5).
SINGLE = [[2.5, 6.5], [1.0, 6.375], [2.5, 6.3125]]


@pytest.mark.parametrize(("double", "expected"), [(True, DOUBLE), (False, SINGLE)])
def test_targets_of_two_streams_by_hand(identity: Any, double: bool, expected: list[list[float]]) -> None:
    assert two_streams(identity, double=double).td_target(by_hand()).tolist() == expected


def test_the_loss_sums_over_streams(identity: Any) -> None:
    agent = two_streams(identity)
    # Q of the actions taken: (3, 0), (0, 1), (0, 0). The coefficients 1 and 2 weigh the streams' losses by ½ and 1.
    squares = [0.5 * (3 - 2) ** 2 + 6.375**2, 0.5 * 1**2 + 5.25**2, 0.5 * 2**2 + 6.0625**2]
    assert agent.loss(by_hand()).item() == pytest.approx(sum(squares) / 3)


def test_episodic_intrinsic_returns_end_with_the_episode(identity: Any) -> None:
    agent = two_streams(identity, episodic_int=True)
    batch = copy.copy(by_hand())
    object.__setattr__(batch, "linked", None)
    object.__setattr__(batch, "linked_obs", None)
    assert agent.td_target(batch).tolist() == [[2.0, 6.375], [1.0, 4.0], [2.0, 6.375]]


def test_acting_weighs_the_streams(identity: Any) -> None:
    agent = two_streams(identity, warmup_random=False, epsilon_start=0.0, epsilon_end=0.0)
    agent._obs = np.array([0, 1, 2, 0, 1])
    assert agent._act().tolist() == [2, 1, 0, 2, 1]
    assert agent.predict(np.array([0, 1, 2]))[0].tolist() == [2, 1, 0]
    only = two_streams(identity, coef_ext=0.0)
    assert only.predict(np.array([0, 1, 2]))[0].tolist() == [2, 1, 0]
    assert only.coefficient.tolist() == [0.0, 2.0]


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize(("episodic", "value"), [(False, 2.0), (True, 1.0)])
def test_values_behind_an_end_are_linked(constant: Any, episodic: bool, value: float, n_step: int) -> None:
    """Episodes of one step that pay 1, and a bonus of 1 for all: with γ_I = 1/2 that is worth 1 or, going on, 2."""
    env = jostle.make_env(lambda: constant(1, "terminated"), 2)
    agent = jostle.DQN(
        env, bonuses=(Flat(env),), gamma_int=0.5, episodic_int=episodic, hidden=(), learning_rate=0.05, warmup=20,
        target_tau=0.5, n_step=n_step, bonus_warmup=0,
    )  # fmt: skip
    agent.learn(400)
    with torch.no_grad():
        q = agent.network(torch.ones(1, 2))[0]
    torch.testing.assert_close(q[0], torch.ones(2), atol=0.02, rtol=0)
    torch.testing.assert_close(q[1], torch.full((2,), value), atol=0.04, rtol=0)
