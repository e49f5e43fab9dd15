"""RND: its networks, the order of an update, and its loss, against literal transcriptions of the official code."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bonus_cases import (
    RewardForwardFilter,
    RunningMeanStd,
    chain,
    grid,
    leaky,
    observations,
    pixels,
    relu,
    rollout,
    vector,
)
from torch import nn

from jostle.bonus import RND, Transitions


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_networks_have_the_official_sizes() -> None:
    bonus = RND(pixels(4, 84, 84), 1, frame_stack=4)
    assert count(bonus.target) == 1_677_984
    assert count(bonus.predictor) == 2_203_296
    assert count(bonus.predictor) == sum(p.numel() for p in bonus.trainable_parameters())


@pytest.mark.parametrize("space", [pixels(84, 84), pixels(20, 20, 3), grid(), vector(5)])
def test_weights_are_orthogonal_with_gain_sqrt_2(space) -> None:
    bonus = RND(space, 1, features=64, codes=True)
    for network in (bonus.target, bonus.predictor):
        for layer in network.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                w = layer.weight.detach().flatten(1)
                gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
                torch.testing.assert_close(gram, 2 * torch.eye(len(gram)), atol=1e-4, rtol=0)
                assert not layer.bias.any()
    first = [next(p for p in network.parameters()) for network in (bonus.target, bonus.predictor)]
    assert not torch.equal(*first)


def test_the_target_and_the_predictor_are_the_official_networks() -> None:
    """Leaky ReLU of slope 0.2 behind convolutions, none behind the output; two ReLU layers more in the predictor."""
    bonus = RND(pixels(84, 84), 1, features=32)
    x = torch.randn(3, 1, 84, 84)

    def convolutions(network: nn.Module) -> torch.Tensor:
        y = x
        for layer, stride in zip([m for m in network.modules() if isinstance(m, nn.Conv2d)], (4, 2, 1), strict=True):
            y = F.conv2d(y, layer.weight, layer.bias, stride)
            y = torch.maximum(y, 0.2 * y)
        return y.flatten(1)

    with torch.no_grad():
        for network, deeper in ((bonus.target, 0), (bonus.predictor, 2)):
            y = convolutions(network)
            linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
            assert len(linear) == 1 + deeper
            for layer in linear[:-1]:
                y = (y @ layer.weight.T + layer.bias).clamp(min=0)
            torch.testing.assert_close(network([x]), y @ linear[-1].weight.T + linear[-1].bias, atol=1e-4, rtol=1e-4)


VALID = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 1, 1], [1, 1, 0], [0, 1, 1]], dtype=torch.bool)  # T = 5, N = 3


def test_two_updates_follow_the_official_order() -> None:
    """Old statistics for the reward; then those of observations; then the filter along time; then the division."""
    space, gamma = vector(4), 0.9
    bonus = RND(space, 3, features=8, discount=gamma)
    optimiser = torch.optim.SGD(bonus.trainable_parameters(), 0.01)
    obs_rms, rew_rms, filters = RunningMeanStd((4,)), RunningMeanStd(), [RewardForwardFilter(gamma) for _ in range(3)]
    for round_ in range(2):
        obs = observations(space, 6, 3, seed=round_) * (1 + 2 * round_) + 1
        valid = VALID if round_ == 0 else VALID.flip(0)
        t = rollout(obs, valid)
        target_layers = bonus.target, (leaky, leaky)
        predictor_layers = bonus.predictor, (leaky, leaky, relu, relu)
        wide = obs.double().numpy()
        x = np.clip((wide[1:] - obs_rms.mean) / np.sqrt(obs_rms.var), -5, 5)
        error = chain(x, predictor_layers[0], *predictor_layers[1]) - chain(x, target_layers[0], *target_layers[1])
        raw = (error**2).mean(-1)
        reward = bonus.update(t)
        obs_rms.update(wide[:-1][valid.numpy()])
        filtered = [
            filters[n].update(raw[step, n]) for step in range(5) for n in range(3) if valid[step, n]
        ]  # each filter runs forward in time
        rew_rms.update(np.array(filtered))
        expected = np.where(valid, raw / np.sqrt(rew_rms.var), 0)
        np.testing.assert_allclose(reward.numpy(), expected, rtol=2e-4, atol=1e-6)
        # The loss sees the new statistics.
        x = np.clip((wide[1:] - obs_rms.mean) / np.sqrt(obs_rms.var), -5, 5)
        target = chain(x, *[target_layers[0]], *target_layers[1])
        np.testing.assert_allclose(bonus.prepare(t).numpy(), target.reshape(15, 8), rtol=2e-4, atol=1e-5)
        error = ((chain(x, predictor_layers[0], *predictor_layers[1]) - target) ** 2).mean(-1)[valid.numpy()]
        loss = bonus.loss(t.flatten())
        np.testing.assert_allclose(loss.item(), error.mean(), rtol=2e-4)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def test_the_filter_runs_along_time_and_never_starts_again() -> None:
    """The filtered sum of constant rewards grows along time, also over an episode's end and into the next rollout."""
    bonus = RND(vector(2), 7, features=4, discount=0.5)
    bonus.update(rollout(torch.ones(4, 7, 2)))
    raw = bonus.raw(rollout(torch.ones(4, 7, 2)))
    first = bonus.scale.returns.total.clone()
    assert first.shape == (7,)
    valid = torch.ones(3, 7, dtype=torch.bool)
    valid[1, :3] = False
    bonus.update(rollout(torch.ones(4, 7, 2), valid))
    second = bonus.scale.returns.total
    r = raw[0, 0].item()
    for n in range(7):
        total = first[n].item()
        for step in range(3):
            total = 0.5 * total + r if valid[step, n] else total
        assert second[n].item() == pytest.approx(total, rel=1e-5)


def test_rewards_are_for_the_next_observation() -> None:
    bonus = RND(vector(3), 2, features=8)
    obs = torch.randn(5, 2, 3)
    t = rollout(obs)
    other = Transitions(torch.randn(4, 2, 3), t.next_obs, t.action, t.valid, t.start, t.done)
    torch.testing.assert_close(bonus.raw(other), bonus.raw(t), atol=0, rtol=0)
    swapped = Transitions(t.next_obs, t.obs, t.action, t.valid, t.start, t.done)
    assert not torch.allclose(bonus.raw(swapped), bonus.raw(t))
    present = RND(vector(3), 2, features=8, target="obs")
    present.load_state_dict(bonus.state_dict())
    torch.testing.assert_close(present.raw(swapped), bonus.raw(t), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("shape", "newest"),
    [((4, 40, 40), np.s_[..., -1:, :, :]), ((40, 40, 4), np.s_[..., -1:]), ((2, 40, 40, 3), np.s_[..., -1:, :, :, :])],
)
def test_only_the_newest_frame_is_seen(shape: tuple[int, ...], newest: tuple) -> None:
    space = pixels(*shape)
    bonus = RND(space, 2, frame_stack=shape[0] if len(shape) == 4 or shape[0] == 4 else 4, features=8)
    obs = observations(space, 4, 2)
    old, new = observations(space, 4, 2, seed=1), obs.clone()
    same = old.clone()
    same[newest] = obs[newest]
    new[newest] = old[newest]
    seen = [bonus.raw(rollout(o)) for o in (obs, same, new)]
    torch.testing.assert_close(seen[0], seen[1], atol=0, rtol=0)
    assert not torch.allclose(seen[0], seen[2])
    channels = 3 if len(shape) == 4 else 1
    bonus.update(rollout(obs))
    assert bonus.preprocess.parts[0].moments.mean.shape == (channels, 40, 40)


def test_observations_are_clipped_at_5() -> None:
    bonus = RND(vector(2), 1, features=8)
    bonus.observe(torch.randn(100, 1, 2), torch.ones(100, 1, dtype=torch.bool))
    (x,) = bonus.preprocess([torch.tensor([[1e4, -1e4], [0.0, 0.0]])])
    assert x[0].tolist() == [5.0, -5.0]
    assert x[1].abs().max() < 1
    (x,) = RND(vector(2), 1, features=8, clip=2.0).preprocess([torch.tensor([[1e4, -1e4]])])
    assert x[0].tolist() == [2.0, -2.0]


def test_selecting_rows_first_is_the_masked_mean() -> None:
    bonus = RND(vector(3), 4, features=8, share=0.3)
    t = rollout(torch.randn(51, 4, 3), torch.rand(50, 4) < 0.9).flatten()
    loss = bonus.loss(t, torch.Generator().manual_seed(3))
    uniform = torch.rand(200, generator=torch.Generator().manual_seed(3))
    mask = ((uniform < 0.3) & t.valid).float()
    (x,) = bonus.preprocess([t.next_obs])
    error = (bonus.predictor([x]) - bonus.target([x])).square().mean(1)
    masked = (mask * error).sum() / mask.sum().clamp(min=1)
    torch.testing.assert_close(loss, masked)
    got = torch.autograd.grad(loss, list(bonus.trainable_parameters()))
    for a, b in zip(got, torch.autograd.grad(masked, list(bonus.trainable_parameters())), strict=True):
        torch.testing.assert_close(a, b)


def test_the_share_is_met_on_average_and_keeps_to_valid_rows() -> None:
    bonus = RND(vector(3), 4, features=8, share=0.25)
    valid = torch.rand(40_000) < 0.5
    rows = bonus.select(valid, torch.Generator().manual_seed(0))
    assert valid[rows].all()
    share = len(rows) / valid.sum().item()
    assert abs(share - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 20_000)


def test_bfloat16_changes_rewards_by_little() -> None:
    plain, half = (RND(pixels(36, 36), 2, features=32, bf16=bf16) for bf16 in (False, True))
    half.load_state_dict(plain.state_dict())
    t = rollout(observations(pixels(36, 36), 5, 2))
    with torch.no_grad():
        exact, rounded = plain.raw(t), half.raw(t)
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, rtol=0.05, atol=0)


@pytest.mark.parametrize(("num_envs", "share"), [(1, 1.0), (32, 1.0), (128, 0.25), (256, 0.125), (1024, 0.03125)])
def test_the_default_share_keeps_the_batch_of_32_environments(num_envs: int, share: float) -> None:
    assert RND(vector(2), num_envs, features=4).share == share


@pytest.mark.parametrize("space", [vector(3), pixels(36, 36)])
def test_a_loss_without_rows_is_zero_and_so_are_its_gradients(space) -> None:
    bonus = RND(space, 2, features=8)
    t = rollout(observations(space, 4, 2), torch.zeros(3, 2, dtype=torch.bool)).flatten()
    loss = bonus.loss(t)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in bonus.trainable_parameters())


def test_a_prepared_target_gives_the_same_loss() -> None:
    bonus = RND(vector(3), 2, features=8, share=0.5)
    t = rollout(torch.randn(9, 2, 3))
    bonus.update(t)
    target = bonus.prepare(t)
    rows = torch.randperm(16)[:10]
    losses = [
        bonus.loss(t.flatten().rows(rows), torch.Generator().manual_seed(1), chosen) for chosen in (None, target[rows])
    ]
    torch.testing.assert_close(losses[0], losses[1], atol=0, rtol=1e-6)
    wrong = bonus.loss(t.flatten().rows(rows), torch.Generator().manual_seed(1), target[rows.flip(0)])
    assert not torch.allclose(wrong, losses[0])


def test_the_target_stays_frozen_even_in_an_optimiser_with_weight_decay() -> None:
    bonus = RND(pixels(36, 36), 1, features=8)
    before = {k: v.clone() for k, v in bonus.target.state_dict().items()}
    predictor = [p.clone() for p in bonus.predictor.parameters()]
    optimiser = torch.optim.AdamW(bonus.parameters(), lr=0.1, weight_decay=0.5)
    t = rollout(observations(pixels(36, 36), 5, 1))
    for _ in range(3):
        optimiser.zero_grad()
        bonus.loss(t.flatten()).backward()
        optimiser.step()
    assert all(torch.equal(v, before[k]) for k, v in bonus.target.state_dict().items())
    assert all(not torch.equal(p, old) for p, old in zip(bonus.predictor.parameters(), predictor, strict=True))


def test_novelty_fades_for_what_was_seen_and_stays_for_the_rest() -> None:
    space = vector(6)
    bonus = RND(space, 2, features=16)
    optimiser = torch.optim.Adam(bonus.trainable_parameters(), 5e-3)
    seen, unseen = rollout(torch.randn(9, 2, 6)), rollout(3 + torch.randn(9, 2, 6))
    bonus.observe(torch.randn(200, 2, 6) * 3, torch.ones(200, 2, dtype=torch.bool))
    before = [bonus.raw(t).mean().item() for t in (seen, unseen)]
    for _ in range(300):
        optimiser.zero_grad()
        bonus.loss(seen.flatten()).backward()
        optimiser.step()
    after = [bonus.raw(t).mean().item() for t in (seen, unseen)]
    assert after[0] < 0.02 * before[0]
    assert after[1] > 0.2 * before[1]


def test_slope_depth_and_convolutions_are_as_asked_for() -> None:
    bonus = RND(vector(5), 1, features=8, slope=0.05, depth=3)
    assert {m.negative_slope for m in bonus.modules() if isinstance(m, nn.LeakyReLU)} == {0.05}
    count = [sum(isinstance(m, nn.Linear) for m in network.modules()) for network in (bonus.target, bonus.predictor)]
    assert count == [3, 6]
    assert sum(isinstance(m, nn.Linear) for m in RND(vector(5), 1, features=8, depth=0).predictor.modules()) == 3

    def kernels(convolutions: str, network: str) -> list[int]:
        made = getattr(RND(pixels(40, 40), 1, features=8, convolutions=convolutions), network)
        return [m.kernel_size[0] for m in made.modules() if isinstance(m, nn.Conv2d)]

    for network in ("target", "predictor"):
        assert kernels("auto", network) == kernels("nature", network) == [8, 4, 3]
        assert kernels("small", network) == [3, 3, 3]
        assert kernels("none", network) == []
    flat = RND(pixels(40, 40), 2, features=8, convolutions="none")
    assert flat.update(rollout(observations(pixels(40, 40), 3, 2))).isfinite().all()
