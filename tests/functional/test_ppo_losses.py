"""PPO's losses and diagnostics against numbers worked out by hand and against their definitions."""

import math

import pytest
import torch

from jostle.errors import ConfigError
from jostle.functional import (
    adapt_beta,
    approx_kl,
    approx_kl_k1,
    clipped_policy_loss,
    explained_variance,
    kl_penalty,
    masked_mean,
    normalise_advantage,
    value_loss,
)

NAN = math.nan


def test_clipped_policy_loss_by_hand() -> None:
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1], dtype=torch.float64)
    advantage = torch.tensor([2.0, -2.0, 2.0, -2.0, 3.0], dtype=torch.float64)
    log_prob = ratio.log().requires_grad_()
    loss = clipped_policy_loss(log_prob, torch.zeros(5, dtype=torch.float64), advantage, 0.2)
    # The bound is pessimistic: it cuts a gain (1.2 · 2, 0.8 · −2) but never a loss (1.5 · −2, 0.5 · 2).
    assert torch.allclose(loss, -torch.tensor([2.4, -3.0, 1.0, -1.6, 3.3], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(loss.sum(), log_prob)
    assert torch.allclose(gradient, -torch.tensor([0.0, -3.0, 1.0, 0.0, 3.3], dtype=torch.float64))


def test_value_loss_by_hand() -> None:
    value, old = torch.tensor([[3.0, 3.0], [1.0, -3.0]]), torch.zeros(2, 2)
    target = torch.tensor([[4.0, 0.0], [1.0, 0.0]])
    assert value_loss(value, old, target, 0.0).tolist() == [[0.5, 4.5], [0.0, 4.5]]
    # Kept within ±½ of the old value the predictions are 0.5, 0.5, 0.5 and −0.5.
    assert value_loss(value, old, target, 0.5).tolist() == [[6.125, 4.5], [0.125, 4.5]]
    assert value_loss(value, value, target, 0.5).tolist() == value_loss(value, old, target, 0.0).tolist()


def test_kl_estimators_are_unbiased_for_the_kl_from_old_to_new() -> None:
    old = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    new = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    exact = (old * (old / new).log()).sum()
    k3, k1 = approx_kl(new.log(), old.log()), approx_kl_k1(new.log(), old.log())
    assert torch.allclose((old * k3).sum(), exact), "the expectation over the old policy's actions"
    assert torch.allclose((old * k1).sum(), exact)
    assert (k3 > 0).all()
    assert k1.min() < 0
    assert torch.allclose(k3[0], torch.tensor(0.4 - 1 - math.log(0.4), dtype=torch.float64))


def test_approx_kl_is_not_negative_for_small_steps_in_float32() -> None:
    log_ratio = torch.linspace(-1e-3, 1e-3, 1001)
    k3 = approx_kl(log_ratio, torch.zeros(1001))
    assert k3.min() >= 0
    assert torch.allclose(k3.double(), log_ratio.double().square() / 2, rtol=1e-3, atol=1e-10)


def test_masked_mean_leaves_out_invalid_rows_even_if_nan() -> None:
    valid = torch.tensor([True, False, True])
    assert masked_mean(torch.tensor([1.0, NAN, 4.0]), valid).item() == 2.5
    rows = torch.tensor([[1.0, 2.0], [NAN, NAN], [3.0, 6.0]])
    assert masked_mean(rows, valid).tolist() == [2.0, 4.0]
    assert masked_mean(rows[:, 0].reshape(3, 1), valid[:, None]).item() == 2.0
    assert masked_mean(rows, torch.zeros(3, dtype=torch.bool)).tolist() == [0.0, 0.0]


def test_masked_mean_of_pieces_adds_up() -> None:
    x = torch.arange(6.0)
    valid = torch.tensor([True, True, True, False, True, False])
    pieces = [masked_mean(x[i : i + 2], valid[i : i + 2], 4) for i in (0, 2, 4)]
    assert sum(pieces).item() == masked_mean(x, valid).item() == 7 / 4
    assert masked_mean(x, valid, valid.sum()).item() == 7 / 4


def test_masked_mean_gives_invalid_rows_no_gradient() -> None:
    x = torch.tensor([1.0, NAN, 4.0], requires_grad=True)
    masked_mean(x, torch.tensor([True, False, True])).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.5, 0.0, 0.5]


def test_masked_mean_refuses_a_mask_that_would_broadcast() -> None:
    with pytest.raises(ConfigError, match="does not fit"):
        masked_mean(torch.ones(3), torch.ones(3, 1, dtype=torch.bool))


def test_normalise_advantage_is_torch_std_over_the_valid_rows() -> None:
    advantage = torch.tensor([3.0, NAN, -1.0, 4.0, 100.0], dtype=torch.float64)
    valid = torch.tensor([True, False, True, True, False])
    kept = advantage[valid]
    got = normalise_advantage(advantage, valid)
    assert torch.allclose(got[valid], (kept - kept.mean()) / (kept.std() + 1e-8))
    assert got[~valid].tolist() == [0.0, 0.0]


def test_normalise_advantage_of_one_row_none_and_equal_rows_is_zero() -> None:
    one = torch.tensor([False, True, False])
    for advantage, valid in [([1.0, 5.0, 2.0], one), ([1.0, 5.0, 2.0], one & False), ([5.0] * 3, one | True)]:
        assert normalise_advantage(torch.tensor(advantage), valid).tolist() == [0.0, 0.0, 0.0]


def test_explained_variance_by_hand() -> None:
    target = torch.tensor([[1.0, 1.0, 1.0, 7.0], [3.0, 3.0, 3.0, 7.0], [NAN] * 4, [5.0, 5.0, 5.0, 7.0]])
    value = torch.tensor([[2.0, 9.0, 5.0, 1.0], [4.0, 9.0, 3.0, 2.0], [0.0] * 4, [6.0, 9.0, 1.0, 3.0]])
    valid = torch.tensor([True, True, False, True])
    # Off by a constant: 1. A constant: 0. The wrong way round: residuals −4, 0, 4, so 1 − (32/3)/(8/3) = −3.
    got = explained_variance(value, target, valid)
    assert torch.allclose(got[:3], torch.tensor([1.0, 0.0, -3.0]))
    assert got[3].isnan(), "the targets do not vary"


def test_kl_penalty_by_hand() -> None:
    # The example of TF-Agents' own test: mean KL 0.74, target 0.1, cutoff 5 targets, 30 · (0.74 − 0.5)².
    cutoff = kl_penalty(torch.tensor(0.74), 0.0, 0.1, cutoff_factor=5.0, cutoff_coefficient=30.0)
    assert math.isclose(cutoff.item(), 30 * 0.24**2, rel_tol=1e-5)
    assert math.isclose(kl_penalty(torch.tensor(0.05), 3.0, 0.01).item(), 0.15 + 1000 * 0.03**2, rel_tol=1e-5)
    assert math.isclose(kl_penalty(torch.tensor(0.019), 3.0, 0.01).item(), 0.057, rel_tol=1e-5)


def test_kl_penalty_has_a_gradient_below_and_above_the_cutoff() -> None:
    for kl, slope in [(0.01, 2.0), (0.03, 2.0 + 2000 * 0.01)]:
        x = torch.tensor(kl, requires_grad=True)
        kl_penalty(x, 2.0, 0.01).backward()
        assert x.grad is not None
        assert math.isclose(x.grad.item(), slope, rel_tol=1e-5)


def test_adapt_beta_by_hand() -> None:
    # The sequence of TF-Agents' own test: target 10, tolerance ½.
    beta = adapt_beta(1.0, 10.0, 10.0, tolerance=0.5)
    assert beta == 1.0
    beta = adapt_beta(beta, 100.0, 10.0, tolerance=0.5)
    assert beta == 1.5
    assert adapt_beta(beta, 1.0, 10.0, tolerance=0.5) == 1.0
    # The bounds themselves are near enough, and 1.3 and 0.7 are the defaults.
    for kl, factor in [(13.0, 1.0), (13.01, 1.5), (7.0, 1.0), (6.99, 1 / 1.5)]:
        assert math.isclose(adapt_beta(2.0, kl, 10.0), 2.0 * factor)
    assert adapt_beta(1e17, 1.0, 0.01) == 1e17
    assert adapt_beta(1e-15, 0.0, 0.01) == 1e-15
