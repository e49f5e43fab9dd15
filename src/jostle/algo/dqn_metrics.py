"""What DQN logs of its values and its noise."""

from typing import TYPE_CHECKING

import torch

from jostle.functional import greedy_value
from jostle.nn.encoders import Observation
from jostle.nn.policy import greedy

if TYPE_CHECKING:
    from jostle.algo.dqn import DQN


@torch.no_grad()
def inspect(agent: "DQN", obs: Observation) -> dict[str, float]:
    """Mean value, mean |σ| per layer, and the share of greedy actions that the acting noise flips."""
    with agent.noise.mean(), agent.looks.clean():
        q = agent._q(agent.network, obs)
    out = {"losses/q_value": (q * agent.coefficient[:, None]).sum(1).max(-1).values.mean().item()}
    if agent.intrinsic:
        means = greedy_value(q, q, agent.coefficient).mean(0).tolist()
        out |= {f"values/mean_{name}": mean for name, mean in zip(agent.streams.names, means, strict=True)}
    if agent.config.noisy == "none":
        return out
    slots = torch.tensor(agent._act_slots, device=agent.device)
    with agent.noise.using(slots[torch.arange(len(q), device=agent.device) % len(slots)]), agent.looks.clean():
        noisy = agent._q(agent.network, obs)
    flipped = greedy(noisy, agent.coefficient) != greedy(q, agent.coefficient)
    out["noise/flip_rate"] = flipped.float().mean().item()
    for name, layer in agent._noisy_layers(agent.network).items():
        out[f"noise/sigma/{name}"] = layer.weight_sigma.abs().mean().item()
    return out
