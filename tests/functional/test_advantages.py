"""Generalised advantages against sums written out episode by episode, over every pattern of ends and resets."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jostle.errors import ConfigError
from jostle.functional import gae
from jostle.functional.scan import reverse_scan

ON, TERMINATED, TRUNCATED, BOTH = range(4)
DISCOUNT = torch.tensor([0.9, 0.99, 0.5, 0.7, 1.0], dtype=torch.float64)
LAMBDA = torch.tensor([0.8, 0.95, 1.0, 0.0, 1.0], dtype=torch.float64)
EPISODIC = torch.tensor([True, False, True, False, False])


def brute_force(
    reward: Tensor, value: Tensor, event: Tensor, valid: Tensor, discount: Tensor, gae_lambda: Tensor, episodic: Tensor
) -> np.ndarray:
    """For each environment and stream: gather its transitions, split them into trajectories, sum (γλ)^l δ_{t+l}."""
    steps, num_envs, streams = reward.shape
    out = np.zeros((steps, num_envs, streams))
    r, v = reward.double().numpy(), value.double().numpy()
    for n, k in itertools.product(range(num_envs), range(streams)):
        rows = [t for t in range(steps) if valid[t, n]]
        trajectories: list[list[int]] = [[]]
        for t in rows:
            trajectories[-1].append(t)
            if episodic[k] and event[t, n] != ON:
                trajectories.append([])
        gamma, decay = float(discount[k]), float(discount[k] * gae_lambda[k])
        for trajectory in trajectories:
            deltas = []
            for t in trajectory:
                if not episodic[k]:
                    later = [u for u in rows if u > t]
                    following = v[later[0] if later else steps, n, k]
                else:
                    following = 0.0 if event[t, n] in (TERMINATED, BOTH) else v[t + 1, n, k]
                deltas.append(r[t, n, k] + gamma * following - v[t, n, k])
            for i, t in enumerate(trajectory):
                out[t, n, k] = sum(decay**m * delta for m, delta in enumerate(deltas[i:]))
    return out


def rollouts(event: Tensor, first_valid: Tensor, resets: int = 1) -> tuple[Tensor, Tensor]:
    """Which rows are valid, if an environment takes ``resets`` rows after an end."""
    valid = torch.ones(event.shape, dtype=torch.bool)
    left = torch.where(first_valid, 0, 1)
    for t in range(event.shape[0]):
        valid[t] = left == 0
        left = torch.where(valid[t] & (event[t] != ON), resets, (left - 1).clamp_min(0))
    return event, valid


def check(event: Tensor, valid: Tensor, streams: slice, seed: int, dtype: torch.dtype = torch.float64) -> None:
    generator = torch.Generator().manual_seed(seed)
    coefficients = [DISCOUNT[streams], LAMBDA[streams], EPISODIC[streams]]
    shape = (*event.shape, len(coefficients[0]))
    reward = torch.randn(shape, generator=generator, dtype=dtype)
    reward[~valid] = math.nan
    value = torch.randn(shape[0] + 1, *shape[1:], generator=generator, dtype=dtype)
    terminated = (event == TERMINATED) | (event == BOTH)
    truncated = (event == TRUNCATED) | (event == BOTH)
    before = [x.clone() for x in (reward, value)]
    got = gae(reward, value, terminated, truncated, valid, *[c.to(dtype) for c in coefficients[:2]], coefficients[2])
    expected = brute_force(reward, value, event, valid, *coefficients)
    assert got.dtype == dtype
    assert np.abs(got.numpy() - expected).max() < (1e-12 if dtype == torch.float64 else 1e-4)
    assert not got[~valid].any()
    assert torch.equal(reward.nan_to_num(), before[0].nan_to_num()), "the arguments are left alone"
    assert torch.equal(value, before[1])


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_every_pattern_of_ends_at_every_place(steps: int) -> None:
    """4^T patterns, each after a running and after an ended episode: one environment each, all in one call.

    They hold an end on the last row, an invalid row first and last, and flags on invalid rows, which say nothing.
    """
    patterns = torch.tensor(list(itertools.product(range(4), repeat=steps))).T
    event = patterns.repeat(1, 2)
    first_valid = torch.arange(event.shape[1]) < patterns.shape[1]
    check(*rollouts(event, first_valid), slice(None), seed=steps)


@pytest.mark.parametrize("streams", [slice(0, 1), slice(1, 2), slice(0, 2), slice(1, 4)])
def test_any_number_of_streams(streams: slice) -> None:
    event = torch.tensor([[ON, TERMINATED, ON, ON, TRUNCATED, ON, ON], [TRUNCATED, ON, ON, TERMINATED, ON, ON, ON]]).T
    check(*rollouts(event, torch.tensor([True, False])), streams, seed=0)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_long_rollouts_with_resets_of_any_length(data: st.DataObject) -> None:
    steps, num_envs = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 3))
    cells = st.lists(st.sampled_from([ON] * 5 + [TERMINATED, TRUNCATED]), min_size=steps, max_size=steps)
    event = torch.tensor([data.draw(cells) for _ in range(num_envs)]).T
    first_valid = torch.tensor([data.draw(st.booleans()) for _ in range(num_envs)])
    check(*rollouts(event, first_valid, resets=data.draw(st.integers(1, 3))), slice(None), seed=steps)


def test_float32_over_a_long_rollout() -> None:
    event = torch.where(torch.rand(300, 2, generator=torch.Generator().manual_seed(1)) < 0.02, TRUNCATED, ON)
    check(*rollouts(event, torch.ones(2, dtype=torch.bool)), slice(0, 4), seed=1, dtype=torch.float32)


def by_hand(end: int, episodic: bool) -> list[float]:
    """Rows: two of an episode, the second ends it, the reset, one of the next. γ = 1/2, λ = 1/2, values 8, 16, 32 …"""
    value = torch.tensor([8.0, 16.0, 32.0, 64.0, 128.0])[:, None, None]
    reward = torch.tensor([1.0, 2.0, math.nan, 4.0])[:, None, None]
    flag = torch.tensor([False, True, False, False])[:, None]
    none = torch.zeros_like(flag)
    valid = torch.tensor([True, True, False, True])[:, None]
    half, kind = torch.tensor([0.5]), torch.tensor([episodic])
    terminated, truncated = (flag, none) if end == TERMINATED else (none, flag)
    advantage: list[float] = gae(reward, value, terminated, truncated, valid, half, half, kind)[:, 0, 0].tolist()
    return advantage


def test_by_hand() -> None:
    # δ_0 = 1 + 16/2 − 8 = 1; δ_3 = 4 + 128/2 − 64 = 4 = A_3.
    # Terminated: δ_1 = 2 − 16 = −14. Truncated: δ_1 = 2 + 32/2 − 16 = 2. A_0 = δ_0 + δ_1/4.
    assert by_hand(TERMINATED, episodic=True) == [-2.5, -14.0, 0.0, 4.0]
    assert by_hand(TRUNCATED, episodic=True) == [1.5, 2.0, 0.0, 4.0]
    # Non-episodic: δ_1 = 2 + 64/2 − 16 = 18, A_1 = 18 + 4/4 = 19, A_0 = 1 + 19/4 = 5.75, whatever the end was.
    assert by_hand(TERMINATED, episodic=False) == [5.75, 19.0, 0.0, 4.0]
    assert by_hand(TRUNCATED, episodic=False) == [5.75, 19.0, 0.0, 4.0]


def test_lambda_one_is_the_discounted_return_minus_the_value() -> None:
    reward = torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    value = torch.tensor([3.0, 5.0, 7.0, 16.0])[:, None, None]
    no, one = torch.zeros(3, 1, dtype=torch.bool), torch.ones(1)
    for episodic in (False, True):
        got = gae(reward, value, no, no, ~no, one / 2, one, torch.tensor([episodic]))
        # Returns 1 + 2/2 + 4/4 + 16/8 = 5, 2 + 4/2 + 16/4 = 8 and 4 + 16/2 = 12.
        assert got[:, 0, 0].tolist() == [2.0, 3.0, 5.0]


def test_the_value_behind_the_last_row_must_be_there() -> None:
    flags = torch.zeros(2, 1, dtype=torch.bool)
    one, yes = torch.ones(1), torch.ones(1, dtype=torch.bool)
    with pytest.raises(ConfigError, match="2 values for 2 rewards"):
        gae(torch.ones(2, 1, 1), torch.ones(2, 1, 1), flags, flags, ~flags, one, one, yes)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 9, 64])
def test_reverse_scan_is_its_recurrence(steps: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    x = torch.randn(steps, 3, generator=generator, dtype=torch.float64)
    decay = torch.randn(steps, 3, generator=generator, dtype=torch.float64)
    got, following = reverse_scan(x, decay), torch.zeros(3, dtype=torch.float64)
    for t in reversed(range(steps)):
        following = x[t] + decay[t] * following
        assert torch.allclose(got[t], following, rtol=1e-10, atol=1e-12)
