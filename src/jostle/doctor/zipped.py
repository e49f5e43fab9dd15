"""Checks of a policy that Stable-Baselines3 saved: its weights, its outputs, and its units, on what it sees at play."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jostle.doctor.shared import Check, dormant, finite
from jostle.envs import make_env
from jostle.envs.make import capped
from jostle.envs.sources import rows_of
from jostle.view import source_of
from jostle.view.interface import PolicyView, Probabilities

_ROWS, _STEPS = 8, 64  # environments, and steps of each, that the policy plays


def examine(view: PolicyView) -> list[Check]:
    """What can be said of a policy alone. Its training is not in the zip: neither targets, replay nor losses.

    Args:
        view: the policy, which knows its environment.
    """
    checks = [finite({"model": view.module.state_dict()})]
    if checks[-1].status == "FAIL":
        return checks
    seen = played(view)

    def run() -> None:
        view.forward(seen)

    return [*checks, outputs(view, seen), dormant(view.module, run, "dead units")]


def played(view: PolicyView) -> Any:
    """Observations [B, …] of some episodes' beginnings, by the policy's own actions."""
    source = source_of(view, None)
    env = make_env(source, rows_of(source, _ROWS), seed=10_000, **capped(view.env_options, _ROWS))
    try:
        actor = view.actor("mean", rows=env.num_envs, seed=0)
        obs, info = env.reset()
        kept: list[Any] = []
        for _ in range(_STEPS):
            kept.append(obs)
            mask = info.get("action_mask")
            obs, _, _, _, info = env.step(actor.act(obs, info["start"], None, *(() if mask is None else (mask,))))
    finally:
        env.close()
    if isinstance(kept[0], dict):
        return {key: np.concatenate([one[key] for one in kept]) for key in kept[0]}
    return np.concatenate(kept)


@torch.no_grad()
def outputs(view: PolicyView, seen: Any) -> Check:
    """Distributions and values are finite, and a policy of several actions still has a choice."""
    out = view.forward(seen)
    shown = out.distribution
    tensors = [*(vars(shown).values() if shown is not None else ()), out.q, out.value]
    if not all(bool(x.isfinite().all()) for x in tensors if isinstance(x, Tensor)):
        return Check("outputs", "FAIL", "some are NaN or infinite", "take an earlier model")
    named = {"values": out.value, "action values": out.q}
    found = [f"{name} up to {float(x.abs().max()):.3g}" for name, x in named.items() if x is not None]
    if not isinstance(shown, Probabilities):
        return Check("outputs", "OK", "; ".join(found) or "finite")
    share = float(-torch.xlogy(shown.p, shown.p).sum(-1).mean()) / math.log(max(shown.p.shape[-1], 2))
    found.append(f"entropy {share:.0%} of the most that there can be")
    if share < 0.01:
        remedy = "it explores no more: fine once the task is learned"
        return Check("outputs", "warning", "; ".join(found), remedy)
    return Check("outputs", "OK", "; ".join(found))
