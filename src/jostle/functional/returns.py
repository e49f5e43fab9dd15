"""Returns and bootstrapped targets."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def n_step_return(
    reward: Float[Tensor, "B n K"],
    terminated: Bool[Tensor, "B n"],
    truncated: Bool[Tensor, "B n"],
    discount: Float[Tensor, "K"],
    episodic: Bool[Tensor, "K"] | None = None,
) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """Discounted sum of up to n rewards, and the factor of the value that follows them.

    The window of row b starts at its own transition and stops with the first that terminates or truncates: with m
    transitions used, ``R = Σ_{i<m} γ^i r_i`` and the factor is ``γ^m``, or 0 where the last one used terminated.
    A truncated window is bootstrapped from its final observation, so its factor stays ``γ^m``.

    A stream that is not episodic goes on behind every end: it uses all n transitions, its factor is ``γ^n``, and the
    value that follows is that of the state in which transition n would start (Burda et al. 2018, section 2.3, have such
    returns for the intrinsic reward).

    Args:
        reward: rewards of n successive real transitions for K reward streams, without the rows that only reset an
            environment; for episodic streams those behind an end are ignored.
        terminated: the transition led into a terminal state, whose value is 0.
        truncated: the episode was cut there for another reason (a time limit), its state has a value.
        discount: γ of each stream.
        episodic: whether a stream's return ends with the episode; None: all do.

    Returns:
        ``(R, factor)``; the bootstrapped target is ``R + factor * value`` (Sutton & Barto 2018, eq. 7.1).
    """
    n = reward.shape[1]
    ended = terminated | truncated
    ends_before = torch.zeros_like(ended)
    ends_before[:, 1:] = ended[:, :-1].cumsum(1) > 0
    used = ~ends_before  # [B, n]: transition i belongs to the window
    powers = discount ** torch.arange(n + 1, device=reward.device, dtype=reward.dtype)[:, None]  # [n + 1, K]
    # `where`, not a product: what lies behind an end may be anything, even NaN.
    total = torch.where(used[..., None], reward * powers[:n], 0.0).sum(1)
    length = used.sum(1)
    alive = ~(terminated & used).any(1)
    factor = powers[length] * alive[:, None]
    if episodic is None:
        return total, factor
    return torch.where(episodic, total, (reward * powers[:n]).sum(1)), torch.where(episodic, factor, powers[n])


def greedy_value(
    q_target: Float[Tensor, "B K A"],
    q_select: Float[Tensor, "B K A"],
    coefficient: Float[Tensor, "K"],
    mask: Bool[Tensor, "B A"] | None = None,
) -> Float[Tensor, "B K"]:
    """``Q_target(s, a*)`` with ``a* = argmax_a Σ_k c_k Q_select_k(s, a)``: one action for all streams.

    With a ``mask`` the maximum is over the actions where it is true.
    """
    combined = (q_select * coefficient[:, None]).sum(1)
    best = (combined if mask is None else combined.masked_fill(~mask, -torch.inf)).argmax(-1)  # [B]
    return q_target.gather(2, best[:, None, None].expand(-1, q_target.shape[1], 1)).squeeze(2)


def q_target(
    n_return: Float[Tensor, "B K"],
    factor: Float[Tensor, "B K"],
    q_target_tpn: Float[Tensor, "B K A"],
    q_select_tpn: Float[Tensor, "B K A"],
    coefficient: Float[Tensor, "K"],
    mask: Bool[Tensor, "B A"] | None = None,
) -> Float[Tensor, "B K"]:
    """Q-learning's target ``R + factor · Q_target(s', a*)`` with ``a* = argmax_a Σ_k c_k Q_select_k(s', a)``.

    With ``q_select = q_target`` this is DQN's maximum (Mnih et al. 2015); with the online network's values it is
    double Q-learning (van Hasselt et al. 2016). NoisyNet-DQN evaluates with noise ξ′ and NoisyNet-Dueling selects
    with ξ″ (Fortunato et al. 2017): the caller's values carry that noise already. ``mask`` are the legal actions in s'.
    """
    return n_return + factor * greedy_value(q_target_tpn, q_select_tpn, coefficient, mask)
