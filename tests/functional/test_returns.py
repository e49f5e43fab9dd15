"""n-step returns and Q targets against numbers worked out by hand, and against a plain loop."""

import itertools
import math

import torch

from jostle.functional import n_step_return, q_target, td_loss


def test_n_step_return_by_hand() -> None:
    reward = torch.tensor([[1.0, 2.0, 4.0]] * 5)[..., None]
    no, end = False, True
    terminated = torch.tensor([[no, no, no], [no, end, no], [no, no, no], [end, no, no], [no, no, end]])
    truncated = torch.tensor([[no, no, no], [no, no, no], [no, end, no], [no, no, no], [no, no, no]])
    total, factor = n_step_return(reward, terminated, truncated, torch.tensor([0.5]))
    # 1 + 2/2 + 4/4 = 3; 1 + 2/2 = 2; the same for a truncation, which keeps its bootstrap γ² = 1/4; 1; 3.
    assert total[:, 0].tolist() == [3.0, 2.0, 2.0, 1.0, 3.0]
    assert factor[:, 0].tolist() == [0.125, 0.0, 0.25, 0.0, 0.0]


def test_n_step_return_ignores_what_lies_behind_an_end() -> None:
    reward = torch.tensor([[1.0, math.nan, math.inf]])[..., None]
    terminated = torch.tensor([[False, False, True]])
    truncated = torch.tensor([[True, False, False]])
    total, factor = n_step_return(reward, terminated, truncated, torch.tensor([0.9]))
    assert total.item() == 1.0
    assert math.isclose(factor.item(), 0.9, rel_tol=1e-6), "a later termination belongs to another episode"


def test_n_step_return_equals_a_loop_for_every_pattern_of_ends() -> None:
    n, discount = 3, torch.tensor([0.9, 0.5])
    generator = torch.Generator().manual_seed(0)
    for pattern in itertools.product((0, 1, 2), repeat=n):  # 0 goes on, 1 terminates, 2 truncates
        reward = torch.randn(1, n, 2, generator=generator)
        ends = torch.tensor([pattern])
        total, factor = n_step_return(reward, ends == 1, ends == 2, discount)
        for k, gamma in enumerate(discount.tolist()):
            expected, power, alive = 0.0, 1.0, 1.0
            for i in range(n):
                expected += power * reward[0, i, k].item()
                power *= gamma
                if pattern[i]:
                    alive = float(pattern[i] == 2)
                    break
            assert math.isclose(total[0, k].item(), expected, abs_tol=1e-6)
            assert math.isclose(factor[0, k].item(), power * alive, abs_tol=1e-6)


def test_q_target_by_hand() -> None:
    n_return, factor = torch.tensor([[1.0], [1.0]]), torch.tensor([[0.5], [0.0]])
    evaluate = torch.tensor([[[2.0, 8.0]], [[2.0, 8.0]]])
    select = torch.tensor([[[3.0, 1.0]], [[3.0, 1.0]]])
    one = torch.ones(1)
    assert q_target(n_return, factor, evaluate, evaluate, one)[:, 0].tolist() == [5.0, 1.0]
    assert q_target(n_return, factor, evaluate, select, one)[:, 0].tolist() == [2.0, 1.0]


def test_q_target_selects_on_the_weighted_sum_of_streams() -> None:
    zeros, ones = torch.zeros(1, 2), torch.ones(1, 2)
    q = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])  # stream 0 prefers action 0, stream 1 prefers action 1
    assert q_target(zeros, ones, q, q, torch.tensor([1.0, 1.0])).tolist() == [[0.0, 3.0]]
    assert q_target(zeros, ones, q, q, torch.tensor([4.0, 1.0])).tolist() == [[1.0, 0.0]]


def test_td_loss_by_hand() -> None:
    q, target = torch.tensor([[0.0], [0.0]]), torch.tensor([[0.5], [3.0]])
    assert td_loss(q, target, "squared").item() == (0.25 + 9.0) / 2
    assert td_loss(q, target, "huber").item() == (0.125 + 2.5) / 2
    both = torch.tensor([[0.5, 3.0]])
    assert td_loss(torch.zeros(1, 2), both, "squared").item() == 9.25, "streams add up, rows are averaged"
