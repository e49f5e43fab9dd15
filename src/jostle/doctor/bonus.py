"""Checks of intrinsic rewards, on the rollout that the agent has just collected."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from jostle.algo.dqn.agent import DQN
from jostle.algo.ppo.agent import PPO
from jostle.algo.ppo.bonuses import successors, transitions
from jostle.bonus import RND, Bonus, Transitions
from jostle.bonus.interface import SLOWER, VANISHED
from jostle.bonus.rnd import prediction_error
from jostle.doctor.shared import Check

CLIPPED = 0.2
"""Share of normalised numbers at the bound from which on much is lost."""


def bonuses(agent: PPO, initial: Mapping[str, Tensor] | None = None) -> list[Check]:
    """The checks of every bonus of a live agent whose rollout is there.

    Args:
        agent: the agent.
        initial: frozen parameters as the training began with them (see `Agent.frozen`), where they are known.
    """
    found = []
    following = successors(agent.rollout, agent.config.bonus_ending)
    for bonus in agent.bonuses:
        seen = transitions(agent.rollout, bonus, following)
        found += [statistics(bonus, begun=agent.updates > 0), *frozen_targets(bonus, initial), clipping(bonus, seen)]
        found.append(reward(bonus, seen))
        if isinstance(bonus, RND):
            found.append(predictor(bonus, seen))
    return found


def replayed(agent: DQN, initial: Mapping[str, Tensor] | None = None) -> list[Check]:
    """The checks of DQN's bonuses that need no rollout: statistics, frozen networks, rewards of replayed transitions.

    Args:
        agent: the agent.
        initial: as in `bonuses`.
    """
    found: list[Check] = []
    if agent.intrinsic is None:
        return found
    for k, bonus in enumerate(agent.intrinsic.bonuses, start=1):
        found += [statistics(bonus, begun=agent.updates > 0), *frozen_targets(bonus, initial)]
        if agent.replay.ready and agent.updates:
            batch = agent.intrinsic.rewarded(agent.replay.sample(512, np.random.default_rng(0), agent.device))
            scaled = float(batch.reward[:, 0, k].mean())
            found.append(_amount(bonus, scaled * float(bonus.scale.value), scaled))
    return found


def statistics(bonus: Bonus, begun: bool = True) -> Check:
    """Running statistics are finite and have counted something."""
    name = f"{bonus.name}: statistics"
    moments = {f"observation {i}": part.moments for i, part in enumerate(bonus.preprocess.parts)}
    scale = bonus.scale
    moments["reward"] = scale.returns.moments if scale.returns is not None else scale.rewards
    kept = {key: m for key, m in moments.items() if m is not None}
    for key, m in kept.items():
        if not (m.mean.isfinite().all() and m.m2.isfinite().all() and bool((m.m2 >= 0).all())):
            return Check(name, "FAIL", f"those of the {key} are not finite", "go back to an earlier checkpoint")
    empty = [key for key, m in kept.items() if float(m.count) < 1]
    if empty and begun:
        return Check(
            name,
            "FAIL",
            f"those of the {' and the '.join(empty)} have counted nothing",
            "call update() on each rollout",
        )
    counts = ", ".join(f"{key} {float(m.count):,.0f}" for key, m in kept.items())
    return Check(name, "OK", f"counted: {counts}" if counts else "none are kept")


def frozen_targets(bonus: Bonus, initial: Mapping[str, Tensor] | None) -> list[Check]:
    """Networks that must not learn are as they were at first."""
    frozen = {key: p for key, p in bonus.named_parameters() if not p.requires_grad}
    if not isinstance(bonus, RND) and not frozen:
        return []
    name = f"{bonus.name}: frozen target"
    if not frozen:
        return [Check(name, "FAIL", "the target can learn", "the target network must not require gradients")]
    if initial is None:
        return [Check(name, "OK", "it requires no gradients; what it was at first is not known")]
    first = {key: initial[f"{bonus.name}.{key}"] for key in frozen if f"{bonus.name}.{key}" in initial}
    moved = [key for key, p in first.items() if not torch.equal(p.cpu(), frozen[key].detach().cpu())]
    if moved:
        return [Check(name, "FAIL", f"{moved[0]} has changed since the start", "nothing may train the target")]
    return [Check(name, "OK", "as it was at first" if first else "it requires no gradients")]


@torch.no_grad()
def clipping(bonus: Bonus, seen: Transitions) -> Check:
    """How many normalised numbers lie at the bound."""
    name = f"{bonus.name}: observations"
    parts = bonus.preprocess.parts
    if all(part.moments is None for part in parts):
        return Check(name, "OK", "not normalised")
    rows = bonus.preprocess.rows(seen.obs, seen.valid.shape)
    valid = seen.valid.flatten()
    at_bound = total = 0
    for part, x in zip(parts, rows, strict=True):
        if part.moments is not None:
            for piece, mask in zip(torch.split(x, 1024), torch.split(valid, 1024), strict=True):
                normal = part(piece[mask])
                at_bound += int((normal.abs() >= 0.999 * part.clip).sum())
                total += normal.numel()
    share = at_bound / max(1, total)
    found = f"{share:.1%} of the normalised numbers are clipped at ±{parts[0].clip:g}"
    if share > CLIPPED:
        return Check(name, "warning", found, "statistics do not fit what is seen: a longer bonus_warmup, a higher clip")
    return Check(name, "OK", found)


@torch.no_grad()
def reward(bonus: Bonus, seen: Transitions) -> Check:
    """The intrinsic reward is finite, and there is some, also beside what it was at first."""
    raw = bonus.raw(seen)[seen.valid].float()
    return _amount(bonus, float(raw.mean()), float(bonus.scale.divide(raw).mean()))


def _amount(bonus: Bonus, mean: float, scaled: float) -> Check:
    name = f"{bonus.name}: reward"
    found = f"mean {mean:.3g} raw, {scaled:.3g} normalised"
    left = bonus.left(torch.tensor(mean))
    if left is not None:
        found += f", {float(left):.2g} of what it was at first"
    if not (math.isfinite(mean) and math.isfinite(scaled)):
        return Check(name, "FAIL", found, "go back to an earlier checkpoint, with a lower bonus_learning_rate")
    if mean <= 0:
        return Check(name, "FAIL", f"{found}: there is none at all", "nothing is new to it: check what it sees")
    if scaled < 1e-3 or (left is not None and left < VANISHED):
        return Check(
            name,
            "warning",
            f"{found}: it has vanished",
            f"nothing is new any more, or its networks learn too fast: {SLOWER}",
        )
    return Check(name, "OK", found)


@torch.no_grad()
def predictor(bonus: RND, seen: Transitions) -> Check:
    """The predictor knows what was seen better than what was not: the same observations, each mixed from two."""
    name = f"{bonus.name}: predictor"
    rows = bonus.preprocess.rows(seen.next_obs, seen.valid.shape)
    valid = seen.valid.flatten().nonzero().squeeze(1)[:1024]
    x = bonus.preprocess([part[valid] for part in rows])
    target = bonus._features(bonus.target, x)
    spread, size = float(target.var(0, correction=0).mean()), float(target.square().mean())
    known = float(prediction_error(bonus._features(bonus.predictor, x), target).mean())
    generator = torch.Generator().manual_seed(0)
    new = [_mixed(part, generator) for part in x]
    unknown = float(prediction_error(bonus._features(bonus.predictor, new), bonus._features(bonus.target, new)).mean())
    found = f"error {known:.2g} on what was seen, {unknown:.2g} on mixtures of it; features spread by {spread:.2g}"
    if spread <= 1e-8 * max(size, 1e-12):
        return Check(name, "warning", found, "the target tells nothing apart: all observations look the same to it")
    if known <= 1e-12 * max(size, 1e-12):
        return Check(name, "FAIL", f"{found}: below the noise of float32", "lower bonus_share or bonus_learning_rate")
    if known < 1e-2 * spread and unknown < 2 * known:
        return Check(
            name,
            "warning",
            f"{found}: saturated",
            "it predicts the new as well as the old: lower bonus_share or bonus_learning_rate, more bonus_features",
        )
    return Check(name, "OK", found)


def _mixed(x: Tensor, generator: torch.Generator) -> Tensor:
    """Every number from the row's own observation or from another's, by the toss of a coin."""
    other = x[torch.randperm(len(x), generator=generator).to(x.device)]
    coin = torch.rand(x.shape, generator=generator).to(x.device) < 0.5
    return torch.where(coin, x, other)
