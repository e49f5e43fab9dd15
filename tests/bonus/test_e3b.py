"""E3B against the covariance matrix, inverted explicitly."""

import numpy as np
import pytest
import torch
from bonus_cases import chain, relu, rollout, vector
from gymnasium import spaces

from jostle.bonus import E3B, Transitions
from jostle.bonus.e3b import elliptical_step

VALID = torch.tensor(
    [[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 1]], dtype=torch.bool
)  # T = 7, N = 3; each invalid row follows an ending


def by_hand(phi: np.ndarray, valid: np.ndarray, start: np.ndarray, ridge: float, memory: list) -> np.ndarray:
    """φᵀ(λI + Σφφᵀ)⁻¹φ environment by environment; ``memory`` holds the episodes' features so far."""
    out = np.zeros(valid.shape)
    for n in range(valid.shape[1]):
        for step in range(valid.shape[0]):
            if not valid[step, n]:
                continue
            if start[step, n]:
                memory[n] = []
            x = phi[step, n]
            covariance = ridge * np.eye(len(x)) + sum((np.outer(y, y) for y in memory[n]), np.zeros((len(x), len(x))))
            out[step, n] = 0 if start[step, n] else x @ np.linalg.inv(covariance) @ x
            memory[n].append(x)
    return out


def made(**options: object) -> E3B:
    torch.manual_seed(0)
    defaults = {"features": 6, "obs_norm": False, "reward_norm": "none", "action_space": spaces.Discrete(4)}
    return E3B(vector(5), 3, **(defaults | options))


def test_two_rollouts_are_as_by_hand() -> None:
    """The memory grows within an episode, begins anew at a start, and lasts from one rollout to the next."""
    bonus, memory = made(ridge=0.3), [[], [], []]
    for round_ in range(2):
        obs = torch.randn(8, 3, 5, generator=torch.Generator().manual_seed(round_))
        t = rollout(obs, VALID)
        if round_ == 1:  # no start: the last rollout's episodes go on, but for the environment that had ended
            start = t.start.clone()
            start[0] = torch.tensor([False, True, False])
            t = Transitions(t.obs, t.next_obs, t.action, t.valid, start, t.done)
        phi = chain(obs[:-1].double().numpy(), bonus.model.encoder, relu, relu)
        expected = by_hand(phi, VALID.numpy(), t.start.numpy(), 0.3, memory)
        np.testing.assert_allclose(bonus.update(t).numpy(), expected, rtol=1e-4, atol=1e-6)
    assert len(memory[2]) < len(memory[0]) + 7
    covariance = 0.3 * np.eye(6) + sum(np.outer(y, y) for y in memory[0])
    np.testing.assert_allclose(bonus.inverse_covariance[0].numpy(), np.linalg.inv(covariance), rtol=1e-4, atol=1e-6)


def test_a_repeated_observation_counts_down() -> None:
    """Along one direction with λ → 0 the bonus is 1/n at the n-th visit, the count bonus that the method extends."""
    inverse = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1) / 1e-6
    phi, yes, no = torch.tensor([[0.0, 2.0, 0.0], [0.0, 2.0, 0.0]]), torch.tensor([True, True]), torch.zeros(2).bool()
    elliptical_step(inverse, phi, yes, yes, 1e-6)
    seen = torch.stack([elliptical_step(inverse, phi, yes, no, 1e-6) for _ in range(5)])
    torch.testing.assert_close(seen, (1 / torch.arange(1, 6)).unsqueeze(1).expand(5, 2), rtol=1e-5, atol=0)
    other = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert (elliptical_step(inverse, other, yes, no, 1e-6) > 1e5).all()


def test_rounding_errors_stay_small_in_a_long_episode() -> None:
    """Strong features of low rank, where float32 updates drift by more than the bonus itself."""
    torch.manual_seed(0)
    basis = torch.randn(3, 24)
    inverse = torch.eye(24, dtype=made().inverse_covariance.dtype).repeat(2, 1, 1) / 0.1
    covariance = 0.1 * np.eye(24)
    yes, no = torch.ones(2).bool(), torch.zeros(2).bool()
    for _ in range(2000):
        phi = 30 * (torch.randn(1, 3) @ basis).expand(2, 24)
        bonus = elliptical_step(inverse, phi, yes, no, 0.1)
        x = phi[0].double().numpy()
        before = covariance.copy()
        covariance += np.outer(x, x)
    np.testing.assert_allclose(bonus.numpy(), x @ np.linalg.solve(before, x), rtol=1e-3)


def test_the_reward_is_for_the_observation_acted_in() -> None:
    one, two = made(), made()
    t = rollout(torch.randn(8, 3, 5), VALID)
    other = Transitions(t.obs, torch.randn(7, 3, 5), t.action, t.valid, t.start, t.done)
    assert torch.equal(one.update(t), two.update(other))


def test_rewards_are_divided_by_their_own_deviation_by_default() -> None:
    plain, bonus = made(), made(reward_norm="reward_std")
    t = rollout(torch.randn(8, 3, 5), VALID)
    raw, reward = plain.update(t).double(), bonus.update(t).double()
    std = np.std(raw[VALID].numpy())
    torch.testing.assert_close(reward, raw / std, rtol=1e-4, atol=0)
    torch.manual_seed(0)
    default = E3B(vector(5), 3, action_space=spaces.Discrete(4), features=6)
    assert default.scale.rewards is not None
    assert default.ridge == 0.1


def test_the_loss_is_the_inverse_models_error() -> None:
    bonus = made()
    obs, action = torch.randn(8, 3, 5), torch.randint(4, (7, 3))
    t = rollout(obs, VALID, action)
    phi = chain(obs.double().numpy(), bonus.model.encoder, relu, relu)
    logits = chain(np.concatenate([phi[:-1], phi[1:]], -1), bonus.model.inverse, relu)
    code = np.eye(4)[action.numpy()]
    cross_entropy = np.log(np.exp(logits).sum(-1)) - (logits * code).sum(-1)
    loss = bonus.loss(t.flatten())
    assert loss.item() == pytest.approx(cross_entropy[VALID.numpy()].mean(), rel=1e-5)
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in bonus.model.encoder.parameters())


def test_an_invalid_row_leaves_the_memory_as_it_is() -> None:
    inverse = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    phi = torch.tensor([[1.0, 2.0, 3.0, 4.0], [torch.nan, 1.0, 1.0, 1.0]])
    elliptical_step(inverse, phi, torch.tensor([True, False]), torch.zeros(2).bool(), 0.1)
    assert torch.equal(inverse[1], torch.eye(4, dtype=torch.float64))
    assert not torch.equal(inverse[0], inverse[1])
    elliptical_step(inverse, phi, torch.tensor([True, False]), torch.tensor([True, True]), 0.1)
    assert torch.equal(inverse[1], torch.eye(4, dtype=torch.float64))
