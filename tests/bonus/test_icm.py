"""ICM and its action codes, against transcriptions in NumPy."""

import numpy as np
import pytest
import torch
from bonus_cases import chain, observations, pixels, relu, rollout, vector
from gymnasium import spaces

from jostle.bonus import ICM
from jostle.bonus.action import ActionCode


def forward(bonus: ICM, obs: np.ndarray) -> np.ndarray:
    """φ of vector observations that are not normalised."""
    return chain(obs, bonus.model.encoder, relu, relu)


def one_hot(action: np.ndarray, count: int) -> np.ndarray:
    return np.eye(count)[action]


def test_reward_and_loss_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    bonus = ICM(vector(4), 3, action_space=spaces.Discrete(5), features=6, obs_norm=False, reward_norm="none", beta=0.3)
    obs, action = torch.randn(8, 3, 4), torch.randint(5, (7, 3))
    valid = torch.rand(7, 3) < 0.7
    t = rollout(obs, valid, action)
    phi = forward(bonus, obs.double().numpy())
    code = one_hot(action.numpy(), 5)
    predicted = chain(np.concatenate([phi[:-1], code], -1), bonus.forward_model, relu)
    error = 0.5 * ((predicted - phi[1:]) ** 2).sum(-1)
    logits = chain(np.concatenate([phi[:-1], phi[1:]], -1), bonus.model.inverse, relu)
    cross_entropy = np.log(np.exp(logits).sum(-1)) - (logits * code).sum(-1)
    keep = valid.numpy()
    np.testing.assert_allclose(bonus.update(t).numpy(), np.where(keep, error, 0), rtol=1e-4, atol=1e-6)
    expected = 0.7 * cross_entropy[keep].mean() + 0.3 * error[keep].mean()
    np.testing.assert_allclose(bonus.loss(t.flatten()).item(), expected, rtol=1e-5)
    metrics = bonus.drain_metrics()
    assert metrics["icm/inverse_loss"] == pytest.approx(cross_entropy[keep].mean(), rel=1e-4)
    assert metrics["icm/forward_loss"] == pytest.approx(error[keep].mean(), rel=1e-4)


def test_pieces_do_not_mix_up_observations_and_actions() -> None:
    """A rollout of more rows than one piece holds has the rewards of its parts."""
    torch.manual_seed(0)
    space = pixels(16, 16)
    bonus = ICM(space, 20, action_space=spaces.Discrete(4), features=8)
    action = torch.randint(4, (15, 20))
    t = rollout(observations(space, 16, 20), None, action)
    assert len(list(bonus.preprocess.pieces(bonus.preprocess.rows(t.obs, (15, 20))))) == 2
    with torch.no_grad():
        whole, single = bonus.raw(t).flatten(), bonus.raw(t.flatten().rows(torch.arange(290, 300)))
    torch.testing.assert_close(whole[290:], single)


def test_every_frame_of_the_stack_is_seen() -> None:
    torch.manual_seed(0)
    space = pixels(4, 36, 36)
    bonus = ICM(space, 2, action_space=spaces.Discrete(3), frame_stack=4, features=8)
    obs = observations(space, 3, 2)
    changed = obs.clone()
    changed[:, :, 0] += 100
    with torch.no_grad():
        assert not torch.allclose(bonus.raw(rollout(obs)), bonus.raw(rollout(changed)))


def test_gradients_reach_the_features_through_both_losses() -> None:
    torch.manual_seed(0)
    t = rollout(torch.randn(6, 2, 4), None, torch.randint(3, (5, 2))).flatten()
    for beta in (0.0, 1.0):
        bonus = ICM(vector(4), 2, action_space=spaces.Discrete(3), features=8, beta=beta)
        bonus.loss(t).backward()
        encoder = [p.grad.abs().sum() > 0 for p in bonus.model.encoder.parameters()]
        assert all(encoder)
        assert bool(bonus.model.inverse[-1].weight.grad.any()) == (beta == 0)
        assert bool(bonus.forward_model[-1].weight.grad.any()) == (beta == 1)


def test_the_forward_loss_moves_the_features_of_the_next_observation_too() -> None:
    """φ(s_{t+1}) is no constant to it, as in the official code: by hand, of linear features without bias."""
    torch.manual_seed(0)
    bonus = ICM(vector(2), 1, action_space=spaces.Discrete(2), features=3, beta=1.0, obs_norm=False)
    t = rollout(torch.zeros(2, 1, 2).add(torch.tensor([[[0.0, 0.0]], [[1.0, -2.0]]])), None, torch.zeros(1, 1).long())
    last = bonus.model.encoder[-1]
    # The first observation is 0 and so are all biases: φ(s_t) = 0 whatever its weights, and only φ(s_{t+1}) moves them.
    bonus.loss(t).backward()
    assert last.weight.grad is not None
    with torch.no_grad():
        trunk = bonus.model.encoder[:-1]([t.next_obs.flatten(0, 1)])
        phi = last(trunk)
        code = torch.cat([torch.zeros(1, 3), torch.tensor([[1.0, 0.0]])], 1)
        error = phi - bonus.forward_model(code)
    torch.testing.assert_close(last.weight.grad, error.T @ trunk)


def test_the_inverse_model_learns_what_an_action_does() -> None:
    """Where the action decides the step, the inverse loss falls far below that of guessing, log 3."""
    torch.manual_seed(0)
    action = torch.randint(3, (40, 8))
    moves = torch.zeros(41, 8, 2)
    moves[1:, :, 0] = action.float() - 1
    obs = moves.cumsum(0) + 0.1 * torch.randn(41, 8, 2)
    bonus = ICM(vector(2), 8, action_space=spaces.Discrete(3), features=16)
    t = rollout(obs, None, action)
    bonus.update(t)
    optimiser = torch.optim.Adam(bonus.trainable_parameters(), 3e-3)
    for _ in range(150):
        optimiser.zero_grad()
        bonus.loss(t.flatten()).backward()
        optimiser.step()
    bonus.drain_metrics()
    bonus.loss(t.flatten())
    assert bonus.drain_metrics()["icm/inverse_loss"] < 0.3


@pytest.mark.parametrize(("space", "action", "code"), [
    (spaces.Discrete(3, start=5), torch.tensor([0, 2]), [[1, 0, 0], [0, 0, 1]]),
    (spaces.MultiDiscrete([2, 3], start=[4, 1]), torch.tensor([[1, 0], [0, 2]]), [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]),
    (spaces.MultiBinary(2), torch.tensor([[0, 1], [1, 1]]), [[1, 0, 0, 1], [0, 1, 0, 1]]),
    (spaces.Box(np.float32([0, -2]), np.float32([4, 2])), torch.tensor([[1.0, 2], [9, -9]]), [[-0.5, 1], [1, -1]]),
    (spaces.Box(-np.inf, np.inf, (2,)), torch.tensor([[1.0, 7.0], [9.0, -9.0]]), [[1, 7], [9, -9]]),
    (spaces.Box(0, 1, (1, 2)), torch.tensor([[[1.0, 0.0]], [[0.5, 0.0]]]), [[1, -1], [0, -1]]),
])  # fmt: skip
def test_actions_as_vectors(space: spaces.Space, action: torch.Tensor, code: list[list[float]]) -> None:
    made = ActionCode(space, "icm")
    assert made.width == len(code[0])
    assert made(action).tolist() == code


def test_errors_of_predicted_actions() -> None:
    """Cross entropies of the components add up; a box has half the squared distance."""
    made = ActionCode(spaces.MultiDiscrete([2, 3]), "icm")
    logits = torch.tensor([[0.0, 1.0, 2.0, 0.0, 1.0]])
    expected = np.log(1 + np.exp(-1)) + np.log(np.exp([2, 0, 1]).sum()) - 1
    assert made.error(logits, torch.tensor([[1, 2]])).item() == pytest.approx(expected, rel=1e-6)
    box = ActionCode(spaces.Box(-2, 2, (2,)), "icm")
    assert box.error(torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, -1.0]])).item() == 0.5 * (1 + 1.5**2)
