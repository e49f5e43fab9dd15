"""Running statistics and the return filter against NumPy, exact integers, and the published algorithms."""

import copy
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from jostle.errors import ConfigError
from jostle.functional import Moments, ReturnFilter


def close(got: Tensor, expected: object, tolerance: float = 1e-12) -> bool:
    return np.allclose(got.numpy(), np.asarray(expected), rtol=tolerance, atol=tolerance)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class PublishedMeanStd:
    """OpenAI's RunningMeanStd, written down from its definition: a prior of weight ε, batches merged by Chan's rule."""

    def __init__(self, epsilon: float = 1e-4) -> None:
        self.mean, self.var, self.count = 0.0, 1.0, epsilon

    def update(self, x: np.ndarray) -> None:
        batch_mean, batch_var, batch_count = x.mean(0), x.var(0), x.shape[0]
        delta, total = batch_mean - self.mean, self.count + batch_count
        m2 = self.var * self.count + batch_var * batch_count + delta**2 * self.count * batch_count / total
        self.mean = self.mean + delta * batch_count / total
        self.var, self.count = m2 / total, total


class PublishedForwardFilter:
    """OpenAI's RewardForwardFilter: one call per time step with the rewards of all environments."""

    def __init__(self, gamma: float) -> None:
        self.total, self.gamma = None, gamma

    def update(self, rewards: np.ndarray) -> np.ndarray:
        self.total = rewards if self.total is None else self.total * self.gamma + rewards
        return self.total


def published_scale(rollouts: list[np.ndarray], gamma: float) -> tuple[float, float]:
    """The official loop: filter the rows of [T, N] one after the other, then count all T·N values."""
    reward_filter, moments = PublishedForwardFilter(gamma), PublishedMeanStd()
    for reward in rollouts:
        moments.update(np.array([reward_filter.update(row) for row in reward]).ravel())
    return math.sqrt(moments.var), moments.count


def test_moments_equal_numpy_however_the_data_are_cut() -> None:
    x = normal(257, 3, 2) * torch.tensor([1.0, 1e-3]) + 1e3
    for cuts in ([257], [1] * 257, [200, 1, 56], [0, 256, 1, 0]):
        moments = Moments((3, 2))
        for part in x.split(cuts):
            moments.update(part)
        assert moments.count.item() == 257
        assert close(moments.mean, x.numpy().mean(0))
        assert close(moments.var, x.numpy().var(0), 1e-10)
        assert torch.equal(moments.std, moments.var.sqrt())


def test_a_batch_greater_than_a_chunk() -> None:
    x = normal(3, 2**17 + 5) + 7
    moments = Moments()
    moments.update(x)
    assert moments.count.item() == x.numel()
    assert close(moments.mean, x.numpy().mean())
    assert close(moments.var, x.numpy().var(), 1e-10)


def test_merging_parts_of_unequal_size_gives_the_whole() -> None:
    x = torch.cat([normal(5, 4), normal(300, 4, seed=1) * 3 + 10, normal(1, 4, seed=2) - 50])
    whole, merged = Moments((4,)), Moments((4,))
    whole.update(x)
    for part in x.split([5, 300, 1]):
        other = Moments((4,))
        other.update(part)
        merged.merge(other)
    merged.merge(Moments((4,)))
    assert merged.count.item() == 306
    assert close(merged.mean, whole.mean)
    assert close(merged.var, whole.var)
    assert close(merged.var, x.numpy().var(0))


def test_before_the_first_observation() -> None:
    for moments in (Moments((2,)), Moments((2,), epsilon_count=1e-4)):
        moments.update(torch.zeros(0, 2))
        moments.merge(Moments((2,)))
        assert moments.mean.tolist() == [0.0, 0.0]
        assert moments.var.tolist() == [1.0, 1.0]
        x = torch.tensor([[3.0, -4.0]])
        assert torch.allclose(moments.normalise(x), x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.uint8, torch.int64])
def test_the_batch_itself_is_left_alone(dtype: torch.dtype) -> None:
    x = torch.arange(12).reshape(6, 2).to(dtype)
    before, moments = x.clone(), Moments((2,))
    moments.update(x)
    moments.normalise(x, clip=1.0)
    assert torch.equal(x, before)
    assert moments.mean.tolist() == [5.0, 6.0]
    assert close(moments.var, [35 / 3, 35 / 3])


def test_masked_observations_are_not_counted() -> None:
    x = normal(4, 6, 3)
    mask = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) < 0.6
    x[~mask] = math.nan
    moments = Moments((3,))
    moments.update(x, mask)
    assert moments.count.item() == mask.sum()
    assert close(moments.mean, x[mask].numpy().mean(0))
    assert close(moments.var, x[mask].numpy().var(0))
    moments.update(x, torch.zeros_like(mask))
    assert moments.count.item() == mask.sum()


def test_equals_the_published_running_mean_std() -> None:
    ours, theirs = Moments((5,), epsilon_count=1e-4), PublishedMeanStd()
    for i, n in enumerate([1, 40, 7, 128]):
        batch = normal(n, 5, seed=i) * 0.01 + i
        ours.update(batch)
        theirs.update(batch.numpy())
        assert close(ours.mean, theirs.mean)
        assert close(ours.var, theirs.var)
    assert math.isclose(ours.count.item(), theirs.count)


def test_no_drift_with_a_large_mean() -> None:
    x = normal(3000) * 0.01 + 1e4
    moments = Moments()
    for value in x:
        moments.update(value)
    assert close(moments.mean, x.numpy().mean())
    assert close(moments.var, x.numpy().var(), 1e-8)


def test_counts_go_on_beyond_what_float32_can_count() -> None:
    moments = Moments()
    moments.update(torch.tensor([1e6 - 1, 1e6 + 1]))
    for _ in range(24):
        moments.merge(copy.deepcopy(moments))
    for _ in range(100):
        moments.update(torch.tensor([1e6 + 4]))
    many = 2**25
    assert moments.count.item() == many + 100
    mean = Fraction(400, many + 100)  # above 10⁶
    assert math.isclose(moments.mean.item(), 1e6 + float(mean), rel_tol=1e-15)
    var = Fraction(many + 1600, many + 100) - mean**2
    assert math.isclose(moments.var.item(), float(var), rel_tol=1e-12)


def test_bytes_are_summed_exactly() -> None:
    x = torch.randint(250, 256, (2000, 2, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    x[:, 0, 0] = 255
    x[:, 0, 1] = 0
    moments = Moments((2, 3))
    moments.update(x)
    for row in range(2):
        for column in range(3):
            values = x[:, row, column].tolist()
            mean = Fraction(sum(values), 2000)
            var = Fraction(sum(v * v for v in values), 2000) - mean**2
            assert moments.mean[row, column].item() == float(mean)
            assert math.isclose(moments.var[row, column].item(), float(var), rel_tol=1e-14)
    assert moments.m2[0, 0].item() == moments.m2[0, 1].item() == 0.0, "a pixel that never changes"


def test_bytes_equal_floats_with_a_mask_and_across_updates() -> None:
    x = torch.randint(0, 256, (600, 4, 5), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mask = torch.rand(600, generator=torch.Generator().manual_seed(1)) < 0.9
    bytewise, floats = Moments((4, 5), 1e-4), Moments((4, 5), 1e-4)
    for part, keep in zip(x.split(299), mask.split(299), strict=True):
        bytewise.update(part, keep)
        floats.update(part.float(), keep)
    assert bytewise.count == floats.count
    assert close(bytewise.mean, floats.mean)
    assert close(bytewise.var, floats.var)


def test_a_slice_of_stacked_frames() -> None:
    stacks = torch.randint(0, 256, (6, 5, 4, 3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    moments = Moments((1, 3, 3))
    moments.update(stacks[:, :, -1:], torch.ones(6, 5, dtype=torch.bool))
    assert close(moments.mean, stacks[:, :, -1:].double().mean((0, 1)))


def test_normalise_by_hand() -> None:
    moments = Moments((2,))
    moments.update(torch.tensor([[1.0, 7.0], [5.0, 7.0]]))  # means 3, 7; standard deviations 2, 0
    assert moments.normalise(torch.tensor([[6.0, 7.0], [-20.0, 7.0]]), clip=5.0).tolist() == [[1.5, 0.0], [-5.0, 0.0]]
    assert moments.normalise(torch.tensor([4, 8])).dtype == torch.float32
    assert moments.normalise(torch.tensor([4.0, 8.0], dtype=torch.float64), eps=1.0).tolist() == [1 / math.sqrt(5), 1.0]


def test_normalise_bytes_as_the_published_code_does() -> None:
    """Division by the bare standard deviation: the made-up first observation keeps it above 0."""
    x = torch.randint(0, 256, (50, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    x[:, 0, 0] = 9
    ours, theirs = Moments((1, 4, 4), 1e-4), PublishedMeanStd()
    ours.update(x)
    theirs.update(x.numpy().astype(np.float64))
    expected = np.clip((x.numpy() - theirs.mean) / np.sqrt(theirs.var), -5, 5)
    assert close(ours.normalise(x, clip=5.0, eps=0.0), expected, 1e-3)


@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float32])
def test_statistics_keep_float64_and_travel_in_a_state_dict(cast: torch.dtype) -> None:
    moments, returns = Moments((2,)), ReturnFilter(3, 0.9)
    moments.update(normal(10, 2) + 1e6)
    returns.update(torch.rand(4, 3), torch.ones(4, 3, dtype=torch.bool))
    for module, fresh in [(moments, Moments((2,))), (returns, ReturnFilter(3, 0.9))]:
        before = copy.deepcopy(module.state_dict())
        module.to(cast)
        fresh.load_state_dict(module.state_dict())
        for name, value in fresh.state_dict().items():
            assert value.dtype == torch.float64
            assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("shape", "mask"), [((4, 3), None), ((4, 1), None), ((), None), ((4, 2), (2, 4)), ((4, 5, 2), (4, 1))]
)
def test_moments_refuse_batches_that_would_broadcast(shape: tuple[int, ...], mask: tuple[int, ...] | None) -> None:
    keep = None if mask is None else torch.ones(mask, dtype=torch.bool)
    with pytest.raises(ConfigError, match="batch of shape"):
        Moments((2,)).update(torch.ones(shape), keep)


def test_merging_other_shapes_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be merged"):
        Moments((3,)).merge(Moments((1,)))


def every(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.bool)


def test_return_filter_equals_the_published_algorithm_over_rollouts() -> None:
    """T ≠ N, so that a filter along the environments, or a count of rows, cannot pass."""
    rollouts = [normal(7, 3, seed=i).square() * (i + 1) for i in range(4)]
    ours = ReturnFilter(3, 0.9)
    assert ours.scale.item() == 1.0
    for i, reward in enumerate(rollouts, 1):
        ours.update(reward, every(7, 3))
        scale, count = published_scale([r.numpy() for r in rollouts[:i]], 0.9)
        assert math.isclose(ours.scale.item(), scale, rel_tol=1e-12)
        assert math.isclose(ours.moments.count.item(), count)


def test_return_filter_by_hand() -> None:
    ours = ReturnFilter(1, 0.5, epsilon_count=0.0)
    ours.update(torch.tensor([[4.0], [2.0]]), every(2, 1))  # R = 4, 4/2 + 2 = 4
    assert ours.scale.item() == 0.0
    ours.update(torch.tensor([[6.0]]), every(1, 1))  # R = 4/2 + 6 = 8: mean 16/3, variance 32/9
    assert math.isclose(ours.scale.item(), math.sqrt(32 / 9))
    assert ours.total.tolist() == [8.0]


def test_return_filter_skips_invalid_rows() -> None:
    """Each environment's valid rewards, put together without the gaps, give the same values to count."""
    reward, gamma = normal(12, 4).square(), 0.8
    valid = torch.rand(12, 4, generator=torch.Generator().manual_seed(3)) < 0.7
    valid[0, 0] = valid[-1, 1] = False
    reward[~valid] = math.nan
    ours = ReturnFilter(4, gamma)
    for rows, keep in zip(reward.split(5), valid.split(5), strict=True):
        ours.update(rows, keep)
    values, last = [], []
    for n in range(4):
        total = 0.0
        for r in reward[valid[:, n], n].tolist():
            total = total * gamma + r
            values.append(total)
        last.append(total)
    expected = PublishedMeanStd()
    expected.update(np.array(values))
    assert math.isclose(ours.scale.item(), math.sqrt(expected.var), rel_tol=1e-12)
    assert math.isclose(ours.moments.count.item(), valid.sum().item() + 1e-4)
    assert close(ours.total, last)


def test_return_filter_starts_again_only_if_it_is_told_where() -> None:
    reward = torch.tensor([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    start = torch.tensor([[True, False], [False, False], [True, False]])
    resetting, running = ReturnFilter(2, 0.5), ReturnFilter(2, 0.5)
    for ours in (resetting, running):
        ours.update(torch.tensor([[8.0, 8.0]]), every(1, 2))
    resetting.update(reward, every(3, 2), start)
    running.update(reward, every(3, 2))
    # Without a start: 8, 5, 4.5, 6.25. With starts at rows 0 and 2: 8, 1, 2.5, 4.
    assert resetting.total.tolist() == [4.0, 6.25]
    assert running.total.tolist() == [6.25, 6.25]
    values = np.array([8.0, 8.0, 1.0, 5.0, 2.5, 4.5, 4.0, 6.25])
    assert math.isclose(resetting.scale.item(), values.std(), rel_tol=1e-3)


def test_return_filter_refuses_environments_along_the_wrong_axis() -> None:
    with pytest.raises(ConfigError, match="for 3 environments got rewards of 7"):
        ReturnFilter(3, 0.9).update(torch.ones(3, 7), every(3, 7))
