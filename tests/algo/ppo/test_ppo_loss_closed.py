"""The loss in one piece against the same loss from its parts, and its gradients against automatic ones."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from jostle.algo.ppo.loss import Coefficients, ppo_loss
from jostle.functional import approx_kl, clipped_policy_loss, masked_mean, value_loss
from jostle.nn.distributions import LOG_STD_BOUND, Head, make_distribution

SPACES = {
    "one choice": spaces.Discrete(6),
    "equal choices": spaces.MultiDiscrete([3, 3]),
    "unequal choices": spaces.MultiDiscrete([4, 2, 3]),
    "switches": spaces.MultiBinary(5),
    "numbers": spaces.Box(-1, 1, (3,), np.float32),
}


def by_parts(
    head: Head, pi: Tensor, value: Tensor, action: Tensor, old_log_prob: Tensor, advantage: Tensor, old_value: Tensor,
    target: Tensor, weight: Tensor, c: Coefficients,
) -> tuple[Tensor, dict[str, Tensor], Tensor]:  # fmt: skip
    distribution = head.distribution(pi)
    log_prob = distribution.log_prob(action)
    valid, count = weight > 0, 1 / weight.max()
    error = torch.where(valid, torch.expm1(log_prob - old_log_prob).abs(), 0.0)
    rows = {
        "policy": clipped_policy_loss(log_prob, old_log_prob, advantage, c.clip),
        "value": value_loss(value, old_value, target, c.value_clip).sum(1),
        "entropy": distribution.entropy(),
        "approx_kl": approx_kl(log_prob, old_log_prob),
        "clip_fraction": (error > c.clip).float(),
    }
    terms = {name: masked_mean(row, valid, count) for name, row in rows.items()}
    weighted = (value_loss(value, old_value, target, c.value_clip) * c.value).sum(1)
    loss = terms["policy"] + masked_mean(weighted, valid, count) - c.entropy * terms["entropy"]
    return loss, terms, error.max()


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(
    "c", [Coefficients(0.2, 0.0, 0.5, 0.01), Coefficients(0.1, 0.3, 1.0, 0.0), Coefficients(math.inf, 0.1, 0.5, 0.1)]
)
def test_terms_and_gradients_are_those_of_the_parts(c: Coefficients, space: str, streams: int) -> None:
    torch.manual_seed(0)
    rows, head = 500, make_distribution(SPACES[space])
    pi = torch.randn(rows, head.num_params).requires_grad_()
    value = torch.randn(rows, streams, requires_grad=True)
    # Old probabilities far enough off that every case of both clippings occurs.
    old = head.distribution(pi.detach() + 0.3 * torch.randn(rows, head.num_params))
    action = old.sample(torch.Generator().manual_seed(1))
    old_value = value.detach() + 0.3 * torch.randn(rows, streams)
    valid = torch.rand(rows) > 0.2
    if streams == 3:
        c = c._replace(value=c.value * torch.tensor([1.0, 0.25, 1e-6]))
    weight = valid / (valid.sum() + 7)
    given = old.log_prob(action), torch.randn(rows), old_value, torch.randn(rows, streams), weight, c
    ours, parts = ppo_loss(head, pi, value, action, *given), by_parts(head, pi, value, action, *given)
    assert torch.allclose(ours[0], parts[0], rtol=1e-5)
    assert ours[1].keys() == parts[1].keys()
    for name, term in parts[1].items():
        assert torch.allclose(ours[1][name], term, rtol=2e-5, atol=1e-7), name
    assert torch.allclose(ours[2], parts[2], rtol=1e-4)
    for mine, automatic in zip(
        torch.autograd.grad(3 * ours[0], [pi, value]), torch.autograd.grad(3 * parts[0], [pi, value]), strict=True
    ):
        assert torch.allclose(mine, automatic, rtol=1e-4, atol=1e-7)
        assert (mine[~valid] == 0).all()


def test_a_width_beyond_its_bounds_gets_no_gradient() -> None:
    """Inside, log σ has the entropy's alone: the action is the mean at odds of one, and z² − 1 has no weight."""
    head = make_distribution(SPACES["numbers"])
    widths = torch.tensor([LOG_STD_BOUND + 1, -LOG_STD_BOUND - 1, 0.0])
    pi = torch.cat([torch.zeros(3), widths])[None].requires_grad_()
    one, value = torch.ones(1), torch.zeros(1, 1)
    old = head.distribution(pi.detach()).log_prob(torch.zeros(1, 3))
    loss = ppo_loss(
        head, pi, value, torch.zeros(1, 3), old, 0 * one, value, value, one,
        Coefficients(0.2, 0.0, 0.5, 0.25),
    )[0]  # fmt: skip
    (gradient,) = torch.autograd.grad(loss, pi)
    assert gradient.tolist() == [[0, 0, 0, 0, 0, -0.25]]


def test_what_overflows_in_a_ratio_that_is_clipped_has_no_gradient() -> None:
    head = make_distribution(SPACES["one choice"])
    pi, value = torch.zeros(1, 6, requires_grad=True), torch.zeros(1, 1)
    one = torch.ones(1)
    loss = ppo_loss(
        head, pi, value, torch.tensor([2]), -200 * one, one, value, value, one,
        Coefficients(0.2, 0.0, 0.5, 0.0),
    )[0]  # fmt: skip
    assert loss.item() == pytest.approx(-1.2)
    assert torch.autograd.grad(loss, pi)[0].tolist() == [[0.0] * 6]


def test_one_row_by_hand() -> None:
    """Two actions at odds 3 : 1, the likelier taken with old probability ½: the ratio is 1.5, clipped at 1.2."""
    logits = torch.tensor([[math.log(3.0), 0.0]], requires_grad=True)
    value = torch.tensor([[2.0]], requires_grad=True)
    one = torch.ones(1)
    loss, terms, error = ppo_loss(
        make_distribution(spaces.Discrete(2)), logits, value, torch.tensor([0]), math.log(0.5) * one, 2 * one,
        5 * one[:, None], 3 * one[:, None], one, Coefficients(0.2, 0.0, 0.5, 0.0),
    )  # fmt: skip
    assert float(terms["policy"]) == pytest.approx(-2.4)
    assert float(terms["value"]) == pytest.approx(0.5)
    assert float(terms["entropy"]) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert float(terms["clip_fraction"]) == 1.0
    assert float(error) == pytest.approx(0.5)
    assert loss.item() == pytest.approx(-2.4 + 0.25)
    policy, values = torch.autograd.grad(loss, [logits, value])
    assert torch.equal(policy, torch.zeros(1, 2))  # clipped
    assert values.item() == pytest.approx(-0.5)
