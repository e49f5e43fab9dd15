"""Checks of DQN: values, noise, target and replay."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from jostle.algo.dqn.agent import DQN
from jostle.algo.dqn.learner import ACT, LEARN, SELECT
from jostle.algo.dqn.replay import Batch, Replay
from jostle.doctor.shared import Check, Status, distance, dormant, looks, noise_size, sigma_gradient
from jostle.doctor.streams import compared, judged
from jostle.envs import random_actions
from jostle.functional import td_loss
from jostle.nn.encoders import Observation
from jostle.nn.noisy import noisy_layers
from jostle.nn.policy import greedy

SETTLED = 2_000
"""Gradient steps after which values that are worse than a constant are suspicious."""
_ROWS = 512  # observations looked at
_DRAWS = 8  # draws of noise that they are looked at under


def examine(agent: DQN, replay: Replay, initial: Mapping[str, Tensor] | None = None) -> list[Check]:
    """The checks of a live agent's network, noise and target. Draws noise and leaves gradients, so take a copy.

    Args:
        agent: the agent.
        replay: transitions to look at.
        initial: the weights that training began with, where they are known.
    """
    batch = replay.sample(_ROWS, np.random.default_rng(0), agent.device)
    checks = [values(agent, batch, replay)]
    if agent.config.noisy != "none":
        checks += [gradient(agent, batch), *draws(agent, batch.obs, batch.mask), noise_size(agent.network)]
    if agent.looks.online is not None:
        checks.append(looks(agent.learner.features, batch.obs, agent.looks.online.total, agent.device))

    def run() -> None:
        with agent.noise.mean(), agent.looks.clean():
            agent.network(batch.obs)

    return [*checks, dormant(agent.network, run), target(agent, initial)]


def fresh_replay(agent: DQN, steps: int = 256) -> Replay:
    """Transitions of the agent's own noisy behaviour, with a tenth of random actions, from its environments."""
    env = agent.env
    rows = -(-steps // env.num_envs) + agent.config.n_step + env.frame_stack + 1
    replay = Replay(
        rows * env.num_envs,
        env.num_envs,
        env.single_observation_space,
        n_step=agent.config.n_step,
        frame_stack=env.frame_stack,
        stack_padding=env.stack_padding,
    )
    actor, rng = agent.actor("sampled", rows=env.num_envs), np.random.default_rng(0)
    obs, info = env.reset()
    start, mask = info["start"], info.get("action_mask")
    for _ in range(rows):
        action = actor.act(obs, start, mask=mask)
        random = random_actions(env.single_action_space, env.num_envs, rng, mask)
        action = np.where(rng.random(env.num_envs) < 0.1, random, action)
        following, reward, terminated, truncated, info = env.step(action)
        replay.add(obs, action - agent.first_action, reward, terminated, truncated, info["valid"], start, mask)
        obs, start, mask = following, info["start"], info.get("action_mask")
    return replay


# ---- numbers ----


@torch.no_grad()
def values(agent: DQN, batch: Batch, replay: Replay) -> Check:
    """Values are finite, and those of the extrinsic stream within what the rewards seen can add up to,
    max|r| / (1 − γ)."""
    with agent.noise.using(mode="mean"):
        q = agent.network(batch.obs)
    if not q.isfinite().all():
        return Check("values", "FAIL", "some are NaN or infinite", "go back to an earlier checkpoint; scale the input")
    of_legal = q[:, 0] if batch.mask is None else q[:, 0] * batch.mask  # nothing is learned of the others
    greatest = float(of_legal.abs().max())
    reward = float(np.abs(replay.reward[: replay.filled]).max())
    if reward == 0:
        return Check(
            "values",
            "warning",
            f"up to {greatest:.3g}, but no transition in the replay has a reward",
            "explore more (noisy, epsilon_steps) or longer: there is nothing to learn from yet",
        )
    if agent.config.gamma == 1:
        return Check("values", "OK", f"up to {greatest:.3g}; rewards up to {reward:.3g}, not discounted")
    bound = reward / (1 - agent.config.gamma)
    found = f"up to {greatest:.3g}; rewards of {reward:.3g} can add up to {bound:.3g}"
    usual = max(bound, 1.0)  # a network that has learned nothing yet has values below 1 or so
    if greatest > 2 * usual:
        status: Status = "FAIL" if greatest > 10 * usual else "warning"
        return Check("values", status, found, "they diverge: lower the learning rate, use double, a slower target")
    return Check("values", "OK", found)


@torch.no_grad()
def streams(agent: DQN) -> list[Check]:
    """For every bonus: values near their targets, and within what its rewards can add up to; and what each stream's
    values weigh in the loss, on replayed transitions."""
    if agent.intrinsic is None or not agent.replay.ready or not agent.updates:
        return []
    s = agent.streams
    batch = agent.intrinsic.rewarded(agent.replay.sample(_ROWS, np.random.default_rng(0), agent.device))
    with agent.noise.using(mode="mean"), agent.looks.clean():
        q = agent.network(batch.obs)
    value = q.gather(2, batch.action[:, None, None].expand(-1, q.shape[1], 1)).squeeze(2)
    goal = agent.learner.td_target(batch)
    found = []
    for k, name in enumerate(s.names[1:], start=1):
        reward, gamma = float(batch.reward[..., k].abs().max()), float(s.discount[k])
        bound = reward / (1 - gamma) if gamma < 1 and reward else math.inf
        settled = agent.updates >= SETTLED
        found.append(judged(f"values ({name})", value[:, k], goal[:, k], bound, settled=settled))
    return [*found, compared(dict(zip(s.names, weighted_losses(agent, value, goal).tolist(), strict=True)))]


def weighted_losses(agent: DQN, value: Float[Tensor, "B K"], goal: Float[Tensor, "B K"]) -> Float[Tensor, "K"]:
    """``c_k · L((Q_k − target_k) / scale_k)``, with the loss L that is learned."""
    scale = torch.ones_like(goal[0]) if agent.learner.value_scale is None else agent.learner.value_scale.scale
    each = [
        td_loss(q[:, None], y[:, None], agent.config.loss)
        for q, y in zip((value / scale).T, (goal / scale).T, strict=True)
    ]
    return torch.stack(each) * agent.streams.value_coef


# ---- noise ----


def gradient(agent: DQN, batch: Batch) -> Check:
    """One loss, backwards: σ of every noisy layer gets a gradient."""
    agent.noise.draw()
    agent.target_noise.draw()
    agent.network.zero_grad(set_to_none=True)
    with torch.enable_grad():
        # Whichever reward an intrinsic stream has: gradients flow all the same.
        batch = dataclasses.replace(batch, reward=batch.reward.expand(-1, -1, agent.network.num_streams))
        agent.loss(batch).backward()  # type: ignore[no-untyped-call]
    return sigma_gradient(agent.network)


def draws(agent: DQN, obs: Observation, mask: Tensor | None = None) -> list[Check]:
    """Fresh noise changes values and actions, and ξ, ξ′, ξ″ and the acting noise are different draws."""
    agent.noise.draw()
    agent.target_noise.draw()
    return [_draws_matter(agent, obs, mask), _draws_differ(agent)]


@torch.no_grad()
def _draws_matter(agent: DQN, obs: Observation, mask: Tensor | None) -> Check:
    with agent.noise.using(mode="mean"):
        mean = agent.network(obs)
    several = []
    for _ in range(_DRAWS):
        agent.noise.draw([ACT])
        with agent.noise.using(ACT):
            several.append(agent.network(obs))
    noisy = torch.stack(several)  # [draws, B, K, A]
    change = float((noisy[1:] - noisy[:-1]).abs().mean())
    if change == 0:
        return Check(
            "draws",
            "FAIL",
            "a fresh draw does not change any value: the agent does not explore",
            "raise sigma0; if sigma is not 0, the noise does not reach the output",
        )
    spread = float(mean.std())
    best = greedy(mean, agent.coefficient, mask)
    flipped = float(torch.stack([greedy(q, agent.coefficient, mask) != best for q in several]).float().mean())
    found = (
        f"a fresh draw moves values by {change:.2g} (they spread by {spread:.2g}) and flips {flipped:.1%} of actions"
    )
    if flipped == 0 and agent.config.epsilon(agent.steps) == 0:
        return Check("draws", "warning", found, "the agent has stopped exploring: fine once it has learned the task")
    return Check("draws", "OK", found)


def _draws_differ(agent: DQN) -> Check:
    """Compares the noise of the four purposes layer by layer; equal noise would correlate choice and evaluation."""
    same = []
    twins = noisy_layers(agent.target)
    for name, layer in noisy_layers(agent.network).items():
        by_role = {"ξ": layer.noise[LEARN], "ξ″": layer.noise[SELECT], "acting": layer.noise[ACT]}
        if agent.config.target_noise:
            by_role["ξ′"] = twins[name].noise[0]
        roles = list(by_role)
        for i, a in enumerate(roles):
            same += [f"{a} = {b} in {name}" for b in roles[i + 1 :] if torch.equal(by_role[a], by_role[b])]
    if same:
        return Check(
            "separate draws", "FAIL", "; ".join(same), "give each role its own slot, and the target its own Noise"
        )
    named = "ξ (learning), ξ″ (selection), acting" + (" and ξ′ (target)" if agent.config.target_noise else "")
    return Check("separate draws", "OK", f"{named} differ in every layer")


# ---- target and replay ----


def target(agent: DQN, initial: Mapping[str, Tensor] | None) -> Check:
    """The target network lags behind the online one and follows it."""
    c, online, lagging = agent.config, agent.network.state_dict(), agent.target.state_dict()
    behind = distance(online, lagging)
    if agent.updates == 0:
        return Check("target", "OK", "nothing has been learned yet")
    copied = c.target_tau == 0 and agent.steps % c.target_interval < agent.num_envs
    if behind == 0 and not copied and c.target_tau < 1:
        return Check("target", "FAIL", "it equals the online network", "it must lag: check target_interval, target_tau")
    how = f"every {c.target_interval:,} steps" if c.target_tau == 0 else f"by {c.target_tau:g} per update"
    if initial is not None:
        moved = distance(lagging, initial)
        due = agent.steps >= c.warmup + c.target_interval if c.target_tau == 0 else True
        if moved == 0 and due:
            return Check("target", "FAIL", f"it has never moved, though it should {how}", "it must follow the network")
        travelled = distance(online, initial)
        if travelled > 0 and moved > 0 and behind > travelled:
            return Check(
                "target",
                "warning",
                f"it lags by {behind / travelled:.0%} of the way that the network has gone",
                "lower target_interval, or raise target_tau",
            )
    state = "copied just now" if copied and behind == 0 else f"{behind:.2g} behind"
    return Check("target", "OK", f"{state}; it follows {how}")


def replay_state(agent: DQN, state: Mapping[str, Any]) -> Check:
    """The replay holds what it should, and learning goes at the configured replay ratio."""
    c, since = agent.config, state["learning"]["since"]
    if state["replay"] is None:
        finding, held = "not saved", None
    else:
        held = int(agent.replay.valid[: agent.replay.filled].sum())
        finding = f"{held:,} transitions of {agent.replay.rows * agent.num_envs:,}"
        if held == 0 and agent.steps > 0:
            return Check("replay", "FAIL", f"empty after {agent.steps:,} steps", "start the run again")
    if since is None:
        if agent.steps > c.warmup + agent.num_envs and state["replay"] is not None:
            return Check("replay", "FAIL", f"{finding}; no learning after the warm-up", "lower warmup or n_step")
        return Check("replay", "OK", f"{finding}; learning begins after {c.warmup:,} steps")
    step0, update0 = since
    ratio = (agent.updates - update0) * c.batch_size / max(1, agent.steps - step0)
    finding += f"; replay ratio {ratio:.3g} of {c.replay_ratio:g}"
    owed = (agent.steps - step0) * c.replay_ratio / c.batch_size
    if abs(agent.updates - update0 - owed) > 1 + 0.01 * owed:
        return Check("replay", "FAIL", finding, "the run does not learn at the rate that its configuration says")
    if state["replay"] is None:
        return Check("replay", "warning", finding, "a resumed run fills it anew: keep it with --save-replay")
    return Check("replay", "OK", finding)
