"""Checks of PPO. One rollout is collected by a copy of the agent, and looked at."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from jostle.algo.parts.auxiliary import notify
from jostle.algo.ppo.agent import PPO
from jostle.algo.ppo.batches import batches
from jostle.algo.ppo.learner import Scored
from jostle.algo.ppo.rollout import MinibatchBy, flat
from jostle.doctor.shared import Check, dormant, looks, noise_size, sigma_gradient
from jostle.doctor.streams import compared, judged
from jostle.nn.distributions import Categorical, Gaussian, MultiCategorical, policy_space
from jostle.nn.encoders import Normaliser

LONG = 50
"""Rollouts after which an agent that has learned nothing at all is suspicious."""
_ROWS = 512  # observations looked at for dead units


def examine(agent: PPO, history: Sequence[dict[str, Any]] = (), planned: int | None = None) -> list[Check]:
    """The checks of a live agent. It plays and leaves gradients, so take a copy.

    Args:
        agent: the agent.
        history: the lines of its run's metrics.
        planned: steps that the run was to have in all.
    """
    agent._warm = True  # a rollout to look at needs no random play before
    agent._collect()
    scored = agent._score()
    checks = [first_ratio(agent), policy(agent), *values(agent, scored), value_loss(history), schedules(agent, planned)]
    if len(agent.streams) > 1:
        checks.append(stream_losses(agent, scored))
    if agent.config.kl_penalty == "adaptive":
        checks.append(penalty(agent))
    if agent.config.normalise_obs:
        checks.append(normaliser(agent))
    if agent.config.noisy != "none":
        checks += [gradient(agent, scored), draws(agent), noise_size(agent.network)]
    if agent.looks is not None:
        seen = agent.rollout.observations(torch.arange(agent.num_envs, device=agent.device))
        checks.append(looks(agent.forward.features, seen, agent.looks.noise.total, agent.device))
    return [*checks, dead_units(agent)]


def _long(agent: PPO) -> bool:
    """The agent has had time to learn something."""
    return agent.updates >= LONG * agent.config.epochs * agent.config.minibatches


def _every(agent: PPO) -> list[Tensor]:
    """Flat rows of the rollout in pieces; whole sequences where the policy has a memory."""
    c, r = agent.config, agent.rollout
    by: MinibatchBy = "rows" if r.state is None else "slices"
    return [rows.to(r.device) for rows in r.minibatches(max(1, c.minibatches), by, torch.Generator())]


# ---- policy ----


@torch.no_grad()
def first_ratio(agent: PPO) -> Check:
    """Before the first gradient step the new policy is the old one: every probability ratio is 1."""
    r, worst = agent.rollout, 0.0
    for rows in _every(agent):
        pi = agent.forward.replay(r, rows).pi
        log_prob = agent.head.distribution(pi).log_prob(flat(rows, r.action))
        error = torch.expm1(log_prob - flat(rows, r.log_prob)).abs()
        worst = max(worst, float(torch.where(flat(rows, r.valid), error, 0.0).max()))
    bound = 1e-2 if agent.config.bfloat16 else 1e-4
    found = f"largest |ratio − 1| before learning {worst:.1e}"
    if worst <= bound:
        return Check("first ratio", "OK", found)
    return Check(
        "first ratio",
        "FAIL" if not worst < 100 * bound else "warning",
        found,
        "the learner does not see the policy that acted: noise, recurrent state, dropout, or statistics that moved",
    )


def policy(agent: PPO) -> Check:
    """The policy still explores, and has learned to prefer something."""
    r = agent.rollout
    every = agent.head.distribution(r.pi[r.valid])
    entropy = float(every.entropy().mean())
    if not math.isfinite(entropy):
        return Check("policy", "FAIL", f"its entropy is {entropy}", "go back to an earlier checkpoint")
    if isinstance(every, Gaussian):
        return _gaussian(agent, every)
    most = _most(every)
    share = entropy / most if most > 0 else 1.0
    found = f"entropy {entropy:.3g} of at most {most:.3g} ({share:.0%})"
    if share < 0.01:
        return Check(
            "policy", "warning", found, "it explores no more: fine once the task is learned, else raise entropy_coef"
        )
    if share > 0.999 and _long(agent):
        return Check(
            "policy", "warning", found, "it still acts at random: no reward was found (try a bonus), or the rate is low"
        )
    return Check("policy", "OK", found)


def _most(distribution: Categorical | MultiCategorical) -> float:
    """The mean entropy of the uniform policy; illegal actions, and what fills up shorter choices, are no actions."""
    log_p = distribution.log_p if isinstance(distribution, Categorical) else distribution.each.log_p  # [B, *D, A]
    possible = (log_p > -1e20).sum(-1).double().log()
    return float(possible.flatten(1).sum(1).mean() if possible.ndim > 1 else possible.mean())


def _gaussian(agent: PPO, every: Gaussian) -> Check:
    log_std = float(every.log_std.mean())
    box: Any = policy_space(agent.env.single_action_space, agent.config.action_scaling)
    low, high = (torch.as_tensor(bound).flatten() for bound in (box.low, box.high))
    action = agent.rollout.action[agent.rollout.valid].cpu()
    beyond = float(((action < low) | (action > high)).float().mean())
    found = f"mean log sigma {log_std:.2g}; {beyond:.0%} of the actions are beyond their bounds"
    if log_std < -5:
        return Check("policy", "warning", found, "it explores no more: fine once learned, else raise entropy_coef")
    if log_std > 2 or beyond > 0.8:
        return Check(
            "policy", "warning", found, "it acts at its bounds alone: lower entropy_coef, or the learning rate"
        )
    return Check("policy", "OK", found)


# ---- values ----


def values(agent: PPO, scored: Scored) -> list[Check]:
    """For every stream: values are finite, near their targets, and within what its rewards can add up to,
    max|r| / (1 − γ)."""
    r, s = agent.rollout, agent.streams
    found = []
    for k, name in enumerate(s.names):
        value, goal = r.value[:-1, :, k][r.valid], scored.target[..., k][r.valid]
        reward = float(scored.reward[..., k][r.valid].abs().max())
        gamma = float(s.discount[k])
        bound = reward / (1 - gamma) if gamma < 1 else math.inf
        bound = bound or math.inf  # without a reward nothing bounds them
        found.append(judged(f"values ({name})", value, goal, bound, settled=_long(agent)))
    return found


def value_loss(history: Sequence[dict[str, Any]]) -> Check:
    """The value loss of the last lines of metrics against those before."""
    losses = [row["losses/value"] for row in history if "losses/value" in row]
    if len(losses) < 8:
        return Check("value loss", "OK", "too few lines of metrics to tell a trend")
    quarter = len(losses) // 4
    before, last = _median(losses[:-quarter]), _median(losses[-quarter:])
    found = f"{last:.3g} of late, {before:.3g} before"
    if not math.isfinite(last) or (last > 1000 * max(before, 1e-12) and last > 1):
        return Check("value loss", "FAIL", found, "it explodes: lower the learning rate, normalise or clip the rewards")
    if last > 30 * max(before, 1e-12) and last > 1:
        return Check("value loss", "warning", found, "it grows: see whether the returns do so, too")
    return Check("value loss", "OK", found)


def stream_losses(agent: PPO, scored: Scored) -> Check:
    """What each stream's values weigh in the gradients."""
    return compared(dict(zip(agent.streams.names, weighted_losses(agent, scored).tolist(), strict=True)))


@torch.no_grad()
def weighted_losses(agent: PPO, scored: Scored) -> Float[Tensor, "K"]:
    """``c_k · mean(½ ((V_k − R_k) / scale_k)²)`` over the rollout, before it is learned from."""
    scale = 1.0 if agent.value_scale is None else agent.value_scale.scale
    error = ((agent.rollout.value[:-1] - scored.target) / scale)[agent.rollout.valid]
    return 0.5 * error.square().mean(0) * agent.streams.value_coef


def _median(numbers: list[float]) -> float:
    return float(torch.tensor(numbers, dtype=torch.float64).nanmedian())


# ---- what changes along the training ----


def schedules(agent: PPO, planned: int | None) -> Check:
    """The learning rate, by its schedule, is not 0 yet."""
    c = agent.config
    rate = agent.learner.optimizers[0].param_groups[0]["lr"]
    ends = [name for name in ("lr_schedule", "entropy_schedule") if getattr(c, name) == "linear"]
    if not ends:
        return Check("schedules", "OK", f"learning rate {rate:.3g}, constant")
    if planned is None:
        return Check("schedules", "OK", f"learning rate {rate:.3g}; {' and '.join(ends)} fall linearly")
    left = 1 - agent.steps / planned
    if left <= 0:
        return Check(
            "schedules",
            "OK",
            f"the end of {' and '.join(ends)}, {planned:,} steps, is reached; who trains on with resume --steps lets "
            "them fall anew, from a part of their first value",
        )
    return Check("schedules", "OK", f"{left:.0%} of the training are left; learning rate {rate:.3g}")


def penalty(agent: PPO) -> Check:
    """The adaptive penalty's weight has not run away."""
    beta = agent.learner.beta
    found = f"weight {beta:.3g}"
    if not 1e-9 < beta < 1e9:
        return Check(
            "KL penalty",
            "FAIL",
            found,
            "it has run away: the divergence does not follow it; check kl_target, epochs and the learning rate",
        )
    if not 1e-4 < beta < 1e4:
        return Check("KL penalty", "warning", found, "it is running away: check kl_target and the learning rate")
    return Check("KL penalty", "OK", found)


@torch.no_grad()
def normaliser(agent: PPO) -> Check:
    """The statistics of observations have seen some, and fit those of now."""
    r = agent.rollout
    names = {name: m for name, m in agent.network.named_modules() if isinstance(m, Normaliser)}
    if not names:
        return Check("observation normaliser", "OK", "there are no vectors to normalise")
    if agent.updates and any(m.moments.count < 2 for m in names.values()):
        return Check(
            "observation normaliser", "FAIL", "it has seen nothing", "call update_normaliser after each rollout"
        )
    beyond: list[float] = []

    def hook(module: Any, args: Any, output: Tensor) -> None:
        beyond.append(float((output.abs() >= 9.99).float().mean()))

    handles = [m.register_forward_hook(hook) for m in names.values()]
    try:
        with agent.noise.using(mode="mean"):
            agent.network.encoder(r.observations(torch.arange(r.steps * r.num_envs, device=r.device)))
    finally:
        for handle in handles:
            handle.remove()
    found = f"{max(beyond, default=0.0):.1%} of the numbers lie at the bound of ±10"
    if max(beyond, default=0.0) > 0.05:
        return Check(
            "observation normaliser", "warning", found, "the observations have left what the statistics were made of"
        )
    return Check("observation normaliser", "OK", found)


# ---- noise and units ----


def gradient(agent: PPO, scored: Scored) -> Check:
    """One loss, backwards: σ of every noisy layer gets a gradient."""
    agent.network.zero_grad(set_to_none=True)
    (batch,) = batches(agent.rollout, _every(agent)[:1], scored.advantage, scored.target, normalise=False)
    notify(agent.learner.aux, "before_minibatch")
    with torch.enable_grad():
        loss, _, _ = agent.learner._loss(batch, batch.valid.sum())
        loss.backward()  # type: ignore[no-untyped-call]
    return sigma_gradient(agent.network)


@torch.no_grad()
def draws(agent: PPO) -> Check:
    """A fresh draw of noise changes the policy, and no two environments act under the same one."""
    r = agent.rollout
    rows = torch.arange(r.num_envs, device=r.device)[None]
    before = agent.forward.replay(r, rows).pi
    first = next(iter(agent.noise.layers.values())).noise.clone()
    same = agent.config.noise_per_env and len(first) > 1 and bool((first[0] == first[1]).all())
    agent.noise.draw()
    change = float((agent.forward.replay(r, rows).pi - before).abs().mean())
    if change == 0:
        return Check("draws", "FAIL", "a fresh draw does not change the policy", "raise sigma0, if it is not 0")
    if same:
        return Check("draws", "FAIL", "two environments act under the same draw", "give each environment its own slot")
    return Check("draws", "OK", f"a fresh draw moves the policy's parameters by {change:.2g}")


def dead_units(agent: PPO) -> Check:
    """Dormant ReLU units and saturated tanh units, without noise."""
    r = agent.rollout
    rows = torch.arange(min(_ROWS, r.steps * r.num_envs), device=r.device)
    rows = rows if r.state is None else rows[: r.num_envs]

    def run() -> None:
        obs = r.observations(rows)
        state = agent.network.initial_state(len(rows))
        with agent.noise.using(mode="mean"):
            agent.network(obs, None if state is None else state.to(r.device))

    return dormant(agent.network, run, "dead units")
