"""Generalised advantages for K reward streams, with Gymnasium's NEXT_STEP autoreset rows left out."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.errors import ConfigError
from jostle.functional.scan import reverse_scan


def gae(
    reward: Float[Tensor, "T N K"],
    value: Float[Tensor, "T1 N K"],
    terminated: Bool[Tensor, "T N"],
    truncated: Bool[Tensor, "T N"],
    valid: Bool[Tensor, "T N"],
    discount: Float[Tensor, "K"],
    gae_lambda: Float[Tensor, "K"],
    episodic: Bool[Tensor, "K"],
) -> Float[Tensor, "T N K"]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16) of every stream at once.

    Row t is ``(obs_t, action_t, reward_t, obs_tp1, done_t)``. After a row that ends an episode comes an invalid one:
    its input is the final observation, its output the next episode's first one.

    Episodic streams: ``δ_t = r_t + γ (1 − terminated_t) V_tp1 − V_t`` and ``A_t = δ_t + γλ (1 − done_t) A_tp1``. A
    truncated row bootstraps from the value of the final observation, which is ``value[t + 1]``.

    Non-episodic streams (Burda et al. 2018, section 2.3) do not see the ends, and an invalid row is no time step:
    the ending row's successor is the next episode's first observation, one γ and one λ away. Only where the rollout
    stops on an ending row is that observation not known yet, and ``value[T]`` of the final one takes its place.

    λ = 1 gives discounted returns, bootstrapped at the end of the rollout, minus the values: PPO "without GAE". The
    target of the value function is ``advantage + value[:-1]`` either way.

    Args:
        reward: one reward per row and stream. Those of invalid rows are ignored and may be anything, even NaN.
        value: T1 = T + 1 values, of each row's observation and of the one after the last row.
        terminated: the row led into a terminal state, whose value is 0.
        truncated: the episode was cut after the row for another reason (a time limit).
        valid: False for the rows that only reset; what else they say is ignored.
        discount: γ of each stream.
        gae_lambda: λ of each stream.
        episodic: whether the stream ends with the episode.

    Returns:
        The advantages; 0 for invalid rows.

    Raises:
        ConfigError: ``value`` has not one row more than ``reward``.
    """
    if value.shape[0] != reward.shape[0] + 1:
        raise ConfigError(
            f"gae got {value.shape[0]} values for {reward.shape[0]} rewards: "
            "append the value of the observation after the last row."
        )
    live = valid[..., None]
    end = (terminated | truncated)[..., None] & episodic  # [T, N, K]
    value_tp1 = torch.where(episodic, value[1:], value.gather(0, _next_valid(valid, reward.shape[2])))
    value_tp1 = torch.where(terminated[..., None] & episodic, 0.0, value_tp1)
    # `where`, not a product: an invalid row's reward may be NaN.
    delta = torch.where(live, reward + discount * value_tp1 - value[:-1], 0.0)
    decay = torch.where(live, torch.where(end, 0.0, discount * gae_lambda), 1.0)
    return torch.where(live, reverse_scan(delta, decay), 0.0)


def _next_valid(valid: Bool[Tensor, "T N"], streams: int) -> Int[Tensor, "T N K"]:
    """The first valid row after each row, T where there is none: the index of its value."""
    steps = valid.shape[0]
    row = torch.arange(1, steps + 1, device=valid.device)[:, None]
    after = torch.ones_like(valid)
    after[:-1] = valid[1:]
    index = torch.where(after, row, steps).flip(0).cummin(0).values.flip(0)
    return index[..., None].expand(-1, -1, streams)
