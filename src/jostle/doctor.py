"""Is a run healthy? Checks of its newest checkpoint: weights, optimiser, noise, units, values, target and replay.

Each check is a function of a live agent (and of what was saved beside it) that says OK, warning or FAIL, what it found,
and what to do. FAIL means that something does not work; the bounds of warnings are rules of thumb.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.algo.dqn import ACT, DQN, LEARN, SELECT
from jostle.algo.replay import Batch, Replay
from jostle.envs import random_actions
from jostle.errors import CheckpointError, ConfigError
from jostle.loading import rebuild
from jostle.nn.encoders import Observation
from jostle.nn.noisy import NoisyLinear
from jostle.nn.policy import greedy
from jostle.store import Run, load_checkpoint

DORMANT = 0.025
"""Share of its layer's mean activity up to which a unit counts as dormant (Sokar et al. 2023)."""
_ROWS = 512  # observations looked at
_DRAWS = 8  # draws of noise that they are looked at under


@dataclass(frozen=True)
class Check:
    """What one check found. ``remedy`` is empty where the status is OK."""

    name: str
    status: Literal["OK", "warning", "FAIL"]
    finding: str
    remedy: str = ""


def diagnose(path: str | Path) -> list[Check]:
    """Check the newest checkpoint of a run, or a saved agent. Nothing in the folder is changed.

    Raises:
        CheckpointError: there is nothing to check, or it cannot be read.
    """
    path = Path(path)
    initial: Mapping[str, Tensor] | None = None
    checks: list[Check] = []
    if (path / "meta.json").exists():
        state, meta = load_checkpoint(path)
    else:
        run = Run.open(path)
        where, state, meta = run.newest()
        damaged = [p.name for p in run.checkpoints() if p.name > where.name]
        checks.append(_checkpoints(where.name, damaged))
        try:
            initial = run.load_initial()["model"]
        except CheckpointError as error:
            checks.append(Check("first weights", "warning", str(error), "nothing: only comparisons need them"))
    checks.append(finite(state))
    if checks[-1].status == "FAIL":
        return checks
    agent, _ = rebuild(state, {**meta, "config": meta["config"] | {"compile": False}})
    if not isinstance(agent, DQN):
        raise ConfigError("only runs of DQN can be checked so far.")
    try:
        replay = agent.replay if agent.replay.ready else fresh_replay(agent)
        checks += examine(agent, replay, initial)
        checks.append(replay_state(agent, state))
    finally:
        agent.env.close()
    return checks


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
        checks += [sigma_gradient(agent, batch), *draws(agent, batch.obs), noise_size(agent)]
    return [*checks, dormant(agent, batch.obs), target(agent, initial)]


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
    start = info["start"]
    for _ in range(rows):
        action = actor.act(obs, start)
        random = random_actions(env.single_action_space, env.num_envs, rng)
        action = np.where(rng.random(env.num_envs) < 0.1, random, action)
        following, reward, terminated, truncated, info = env.step(action)
        replay.add(obs, action - agent.first_action, reward, terminated, truncated, info["valid"], start)
        obs, start = following, info["start"]
    return replay


def _checkpoints(newest: str, damaged: list[str]) -> Check:
    if damaged:
        return Check(
            "checkpoints",
            "warning",
            f"{', '.join(damaged)} is damaged; {newest} is the newest good one",
            "resume: it goes on from the good one; check the disk",
        )
    return Check("checkpoints", "OK", f"{newest} is whole")


# ---- numbers ----


def finite(state: Mapping[str, Any]) -> Check:
    """Weights, target and optimiser hold neither NaN nor infinities, and no weight is huge."""
    largest = 0.0
    for part in ("model", "target", "optimizer"):
        for name, tensor in _tensors(state[part], part):
            if tensor.is_floating_point() and not tensor.isfinite().all():
                return Check(
                    "finite numbers",
                    "FAIL",
                    f"{name} holds NaN or infinities",
                    "go back to an earlier checkpoint, with a lower learning rate or max_grad_norm",
                )
            if part == "model" and tensor.numel():
                largest = max(largest, float(tensor.abs().max()))
    if largest > 1e3:
        return Check(
            "finite numbers",
            "warning",
            f"all finite, but the largest weight is {largest:.3g}",
            "lower the learning rate, or clip gradients with max_grad_norm",
        )
    return Check("finite numbers", "OK", f"weights, target and optimiser; largest weight {largest:.3g}")


def _tensors(tree: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _tensors(value, f"{path}.{key}")
    elif isinstance(tree, (list, tuple)):
        for index, value in enumerate(tree):
            yield from _tensors(value, f"{path}.{index}")


@torch.no_grad()
def values(agent: DQN, batch: Batch, replay: Replay) -> Check:
    """Values are finite and within what the rewards seen can add up to, max|r| / (1 − γ)."""
    with agent.noise.using(mode="mean"):
        q = agent.network(batch.obs)
    if not q.isfinite().all():
        return Check("values", "FAIL", "some are NaN or infinite", "go back to an earlier checkpoint; scale the input")
    greatest = float(q.abs().max())
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
        status: Literal["warning", "FAIL"] = "FAIL" if greatest > 10 * usual else "warning"
        return Check("values", status, found, "they diverge: lower the learning rate, use double, a slower target")
    return Check("values", "OK", found)


# ---- noise ----


def _noisy(network: nn.Module) -> dict[str, NoisyLinear]:
    return {name: m for name, m in network.named_modules() if isinstance(m, NoisyLinear)}


def sigma_gradient(agent: DQN, batch: Batch) -> Check:
    """One loss, backwards: σ of every noisy layer gets a gradient."""
    agent.noise.draw()
    agent.target_noise.draw()
    agent.network.zero_grad(set_to_none=True)
    with torch.enable_grad():
        agent.loss(batch).backward()  # type: ignore[no-untyped-call]
    layers = _noisy(agent.network)
    dead = []
    for name, layer in layers.items():
        sigmas = (layer.weight_sigma, layer.bias_sigma)
        if any(s is not None and (s.grad is None or not s.grad.any()) for s in sigmas):
            dead.append(name)
    if dead:
        return Check(
            "gradient of sigma",
            "FAIL",
            f"none in {', '.join(dead)}",
            "its noise is off while learning, its parameters are frozen, or no unit before it is active",
        )
    least = min(
        float(layer.weight_sigma.grad.norm()) for layer in layers.values() if layer.weight_sigma.grad is not None
    )
    return Check("gradient of sigma", "OK", f"in all {len(layers)} noisy layers; least norm {least:.2g}")


def draws(agent: DQN, obs: Observation) -> list[Check]:
    """Fresh noise changes values and actions, and ξ, ξ′, ξ″ and the acting noise are different draws."""
    agent.noise.draw()
    agent.target_noise.draw()
    return [_draws_matter(agent, obs), _draws_differ(agent)]


@torch.no_grad()
def _draws_matter(agent: DQN, obs: Observation) -> Check:
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
    best = greedy(mean, agent.coefficient)
    flipped = float(torch.stack([greedy(q, agent.coefficient) != best for q in several]).float().mean())
    found = (
        f"a fresh draw moves values by {change:.2g} (they spread by {spread:.2g}) and flips {flipped:.1%} of actions"
    )
    if flipped == 0 and agent.config.epsilon(agent.steps) == 0:
        return Check("draws", "warning", found, "the agent has stopped exploring: fine once it has learned the task")
    return Check("draws", "OK", found)


def _draws_differ(agent: DQN) -> Check:
    """Compares the noise of the four purposes layer by layer; equal noise would correlate choice and evaluation."""
    same = []
    twins = _noisy(agent.target)
    for name, layer in _noisy(agent.network).items():
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


def noise_size(agent: DQN) -> Check:
    """Mean |σ| over mean |μ| of each noisy layer."""
    ratios = {}
    for name, layer in _noisy(agent.network).items():
        weight = float(layer.weight.detach().abs().mean())
        ratios[name] = float(layer.weight_sigma.detach().abs().mean()) / max(weight, 1e-12)
    found = "sigma / weight: " + ", ".join(f"{name} {ratio:.2g}" for name, ratio in ratios.items())
    if max(ratios.values()) > 10:
        return Check("size of noise", "warning", found, "the noise drowns the weights: lower sigma0")
    if max(ratios.values()) < 0.01:
        return Check("size of noise", "warning", found, "the noise has gone, and exploration with it: raise sigma0")
    return Check("size of noise", "OK", found)


# ---- units ----


def dormant_share(activation: Float[Tensor, "B U *S"]) -> float:
    """Share of τ-dormant units, sᵢ = E|hᵢ| / mean_k E|h_k| ≤ τ = 0.025.

    From Sokar et al. (2023), The Dormant Neuron Phenomenon in Deep Reinforcement Learning. A
    unit of a convolution is a channel; its activity is averaged over the picture. In a silent layer all are dormant.
    """
    activity = activation.abs().transpose(0, 1).flatten(1).mean(1)
    mean = activity.mean()
    return 1.0 if mean == 0 else float((activity / mean <= DORMANT).float().mean())


@torch.no_grad()
def dormant(agent: DQN, obs: Observation) -> Check:
    """The share of dormant units behind every ReLU module, without noise."""
    shares: dict[str, float] = {}

    def hook(name: str) -> Any:
        return lambda module, args, output: shares.__setitem__(name, dormant_share(output))

    handles = [
        m.register_forward_hook(hook(name)) for name, m in agent.network.named_modules() if isinstance(m, nn.ReLU)
    ]
    try:
        with agent.noise.using(mode="mean"):
            agent.network(obs)
    finally:
        for handle in handles:
            handle.remove()
    if not shares:
        return Check("dormant units", "OK", "there are no hidden layers")
    found = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    worst = max(shares.values())
    if worst == 1:
        return Check("dormant units", "FAIL", found, "a whole layer is silent: lower the learning rate and start again")
    if worst > 0.5:
        return Check(
            "dormant units", "warning", found, "much of a layer is unused: lower learning rate or replay_ratio"
        )
    return Check("dormant units", "OK", found)


# ---- target and replay ----


def target(agent: DQN, initial: Mapping[str, Tensor] | None) -> Check:
    """The target network lags behind the online one and follows it."""
    c, online, lagging = agent.config, agent.network.state_dict(), agent.target.state_dict()
    behind = _distance(online, lagging)
    if agent.updates == 0:
        return Check("target", "OK", "nothing has been learned yet")
    copied = c.target_tau == 0 and agent.steps % c.target_interval < agent.num_envs
    if behind == 0 and not copied and c.target_tau < 1:
        return Check("target", "FAIL", "it equals the online network", "it must lag: check target_interval, target_tau")
    how = f"every {c.target_interval:,} steps" if c.target_tau == 0 else f"by {c.target_tau:g} per update"
    if initial is not None:
        moved = _distance(lagging, initial)
        due = agent.steps >= c.warmup + c.target_interval if c.target_tau == 0 else True
        if moved == 0 and due:
            return Check("target", "FAIL", f"it has never moved, though it should {how}", "it must follow the network")
        travelled = _distance(online, initial)
        if travelled > 0 and moved > 0 and behind > travelled:
            return Check(
                "target",
                "warning",
                f"it lags by {behind / travelled:.0%} of the way that the network has gone",
                "lower target_interval, or raise target_tau",
            )
    state = "copied just now" if copied and behind == 0 else f"{behind:.2g} behind"
    return Check("target", "OK", f"{state}; it follows {how}")


def _distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Euclidean distance of two sets of weights."""
    return float(torch.stack([(a[k].cpu().double() - b[k].cpu().double()).square().sum() for k in a]).sum().sqrt())


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
