"""Illegal actions in distributions, losses and greedy choices, against distributions of the legal ones alone."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.algo.ppo.loss import Coefficients, ppo_loss
from jostle.functional import greedy_value, q_target
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.distributions import Categorical, kl_divergence, make_distribution, masked
from jostle.nn.inference import Inference, PolicyActor, QActor
from jostle.nn.noisy import to_noisy
from jostle.nn.policy import QNetwork, greedy
from jostle.view import as_view

ROWS = 200
VECTORS = spaces.Box(-1, 1, (5,), np.float32)


def normals(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def masks(counts: tuple[int, ...], rows: int = ROWS, seed: int = 0) -> Tensor:
    """A random part of each choice's actions; in row 0 one action only."""
    g = torch.Generator().manual_seed(seed)
    parts = []
    for count in counts:
        part = torch.rand(rows, count, generator=g) < 0.5
        part[0] = False
        part[torch.arange(rows), torch.randint(count, (rows,), generator=g)] = True
        parts.append(part)
    return torch.cat(parts, 1)


SPACES = {
    (6,): spaces.Discrete(6),
    (2, 4, 3): spaces.MultiDiscrete([2, 4, 3]),
    (2, 2): spaces.MultiBinary(2),
}


@pytest.mark.parametrize("counts", list(SPACES))
def test_a_masked_distribution_is_that_of_the_legal_actions(counts: tuple[int, ...]) -> None:
    head = make_distribution(SPACES[counts])
    mask = masks(counts)
    logits, others = normals(ROWS, sum(counts)).requires_grad_(), normals(ROWS, sum(counts), seed=1)
    ours, other = head.distribution(masked(logits, mask)), head.distribution(masked(others, mask))
    action = ours.sample(torch.Generator().manual_seed(3)).reshape(ROWS, -1)
    best, firsts = ours.mode().reshape(ROWS, -1), [0, *np.cumsum(counts).tolist()]
    log_prob, entropy, kl = (np.zeros(ROWS) for _ in range(3))
    for row in range(ROWS):
        for d, (a, b) in enumerate(itertools.pairwise(firsts)):
            legal = mask[row, a:b].nonzero()[:, 0].numpy()
            z, y = (x[row, a:b].detach().double().numpy()[legal] for x in (logits, others))
            p, q = (np.exp(x) / np.exp(x).sum() for x in (z, y))
            assert action[row, d] in legal
            assert best[row, d] == legal[z.argmax()]
            log_prob[row] += math.log(p[legal.tolist().index(int(action[row, d]))])
            entropy[row] -= (p * np.log(p)).sum()
            kl[row] += (p * np.log(p / q)).sum()
    taken = action if len(counts) > 1 else action[:, 0]
    for found, expected in (
        (ours.log_prob(taken), log_prob), (ours.entropy(), entropy), (kl_divergence(ours, other), kl),
    ):  # fmt: skip
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=2e-5, atol=2e-6)
    everything = ours.log_prob(taken) + ours.entropy() + kl_divergence(ours, other)
    (gradient,) = torch.autograd.grad(everything.sum(), logits)
    assert (gradient[~mask] == 0).all()
    assert (gradient[mask] != 0).any()


def test_a_mask_of_all_actions_changes_no_bit() -> None:
    logits = normals(50, 6)
    plain, full = Categorical(logits), Categorical(masked(logits, torch.ones(50, 6, dtype=torch.bool)))
    assert torch.equal(plain.log_p, full.log_p)
    assert masked(logits, None) is logits


def test_no_illegal_action_is_sampled_at_the_edges_of_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = torch.tensor([[False, True, False, True, False]])
    for uniform in (0.0, 0.5, 1 - 2**-24):
        monkeypatch.setattr(torch, "rand", lambda shape, uniform=uniform, **_: torch.full(shape, uniform))
        for scale in (0.0, 5.0, 1e4):
            action = Categorical(masked(normals(1, 5, scale=scale), mask)).sample(torch.Generator())
            assert mask[0, action]


@pytest.mark.parametrize("c", [Coefficients(0.2, 0.0, 0.5, 0.05), Coefficients(math.inf, 0.1, 0.5, 0.1)])
def test_the_loss_in_one_piece_learns_from_legal_actions_alone(c: Coefficients) -> None:
    """Against the formulas in float64 on the legal actions; each row has its own."""
    mask = masks((6,))
    logits = normals(ROWS, 6).requires_grad_()
    value = normals(ROWS, 2, seed=2).requires_grad_()
    action = Categorical(masked(normals(ROWS, 6, seed=3), mask)).sample(torch.Generator().manual_seed(4))
    old = Categorical(masked(logits.detach() + normals(ROWS, 6, seed=5, scale=0.3), mask)).log_prob(action)
    advantage, old_value, target = normals(ROWS, seed=6), normals(ROWS, 2, seed=7), normals(ROWS, 2, seed=8)
    valid = torch.rand(ROWS, generator=torch.Generator().manual_seed(9)) > 0.2
    count = valid.sum()
    given = old, advantage, old_value, target, valid / count, c
    loss, terms, error = ppo_loss(make_distribution(spaces.Discrete(6)), masked(logits, mask), value, action, *given)
    (found,) = torch.autograd.grad(loss, logits, retain_graph=True)

    z = logits.detach().double().requires_grad_()
    policy, entropy, furthest = torch.zeros(()), torch.zeros(()), 0.0
    for row in valid.nonzero()[:, 0].tolist():
        legal = mask[row].nonzero()[:, 0]
        log_p = z[row, legal].log_softmax(0)
        ratio = (log_p[legal == action[row]][0] - old[row].double()).exp()
        clipped = ratio.clamp(1 - c.clip, 1 + c.clip)
        policy = policy - torch.minimum(ratio * advantage[row], clipped * advantage[row])
        entropy = entropy - (log_p.exp() * log_p).sum()
        furthest = max(furthest, abs(float(ratio.detach()) - 1))
    expected = (policy - c.entropy * entropy) / count
    (gradient,) = torch.autograd.grad(expected, z)
    np.testing.assert_allclose(found.numpy(), gradient.numpy(), rtol=2e-4, atol=1e-7)
    assert (found[~mask] == 0).all()
    assert float(terms["entropy"]) == pytest.approx(float(entropy.detach() / count), rel=1e-5)
    assert float(terms["policy"]) == pytest.approx(float(policy.detach() / count), rel=1e-4, abs=1e-6)
    assert float(error) == pytest.approx(furthest, rel=1e-4)


def test_greedy_values_are_of_legal_actions() -> None:
    mask, coefficient = masks((5,)), torch.tensor([1.0, -0.5])
    target, select = normals(ROWS, 2, 5), normals(ROWS, 2, 5, seed=1)
    found, chosen = greedy_value(target, select, coefficient, mask), greedy(select, coefficient, mask)
    for row in range(ROWS):
        legal = mask[row].nonzero()[:, 0].tolist()
        best = max(legal, key=lambda a: float(select[row, 0, a] - 0.5 * select[row, 1, a]))
        assert chosen[row] == best
        assert torch.equal(found[row], target[row, :, best])
    ones = torch.ones(ROWS, 2)
    assert torch.equal(q_target(ones, 0.5 * ones, target, select, coefficient, mask), 1 + 0.5 * found)
    nothing = greedy_value(target, select, coefficient, torch.zeros_like(mask))  # terminal states, whose factor is 0
    assert nothing.isfinite().all()


# ---- acting ----


def actors(recurrent: Any = "none") -> list[Callable[[str], Any]]:
    torch.manual_seed(0)
    policy = ActorCritic(VECTORS, spaces.Discrete(6), hidden=(8,), shared=True, recurrent=recurrent, recurrent_size=8)
    q = QNetwork(VECTORS, 6, hidden=(8,))
    for network in (policy, q):
        to_noisy(network, noise="factorised", sigma0=3.0)
    with torch.no_grad():
        policy.policy.weight.mul_(100)  # type: ignore[union-attr, operator]
    views = [
        as_view(nn.Linear(5, 6), kind=kind, observation_space=VECTORS, action_space=spaces.Discrete(6, start=2))
        for kind in ("logits", "q")
    ]
    return [
        lambda mode: PolicyActor(policy, Inference.parse(mode), rows=ROWS),
        lambda mode: PolicyActor(policy, Inference.parse(mode), rows=ROWS, sample=True),
        lambda mode: QActor(q, torch.ones(1), Inference.parse(mode), rows=ROWS),
        lambda mode: views[0].actor(mode, rows=ROWS),
        lambda mode: views[0].actor(mode, rows=ROWS, sample=True),
        lambda mode: views[1].actor(mode, rows=ROWS),
    ]


@pytest.mark.parametrize("mode", ["mean", "fixed", "sampled", "mc:5"])
@pytest.mark.parametrize("number", range(6))
def test_every_actor_takes_legal_actions_also_in_rows_that_do_not_count(number: int, mode: str) -> None:
    first = 2 if number >= 3 else 0
    mask, obs = masks((6,)).numpy(), normals(ROWS, 5, scale=1.0).numpy()
    for recurrent in ("none", "gru") if number < 2 else ("none",):
        for among in (None, np.arange(3, 20)):
            actor = actors(recurrent)[number](mode)
            action = actor.act(obs, np.ones(ROWS, np.bool_), among, mask)
            assert mask[np.arange(ROWS), action - first].all()
            assert not mask[np.arange(ROWS), actor.act(obs) - first].all()  # without a mask it would do otherwise
            assert actor.disagreement is None or np.isfinite(actor.disagreement).all()


def test_draws_are_averaged_over_legal_actions() -> None:
    """Each draw's probabilities are those of the legal actions before they are averaged."""
    policy = ActorCritic(VECTORS, spaces.Discrete(3), hidden=(4,))
    actor = PolicyActor(policy, Inference("mc", 2), rows=1)
    # By the first draw action 0 is nearly certain, and of the others 1 likelier by 9 : 1; by the second 2 by 2 : 1.
    pi = torch.tensor([[0.998, 0.0018, 0.0002], [0.1, 0.3, 0.6]]).log()[:, None]
    assert actor._choose(masked(pi, torch.tensor([[False, True, True]]))).tolist() == [1]
    assert actor._choose(masked(pi[1:], torch.tensor([[False, True, True]]))).tolist() == [2]


def test_legal_actions_of_no_probability_share_what_is_left() -> None:
    class Sure(nn.Module):
        def forward(self, obs: Tensor) -> Tensor:
            return torch.tensor([[900.0, 0.0, 0.0, 0.0]]).expand(len(obs), 4)

    view = as_view(Sure(), kind="logits", observation_space=VECTORS, action_space=spaces.Discrete(4))
    mask = np.tile(np.array([False, True, False, True]), (400, 1))
    actions = view.actor(rows=400, sample=True).act(np.zeros((400, 5), np.float32), None, None, mask)
    values, times = np.unique(actions, return_counts=True)
    assert values.tolist() == [1, 3]
    assert times.min() > 150
