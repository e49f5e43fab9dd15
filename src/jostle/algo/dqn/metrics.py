"""What DQN logs of its values and its noise."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.algo.dqn.looks import ReplayLooks
from jostle.functional import greedy_value
from jostle.nn.encoders import Observation
from jostle.nn.noise import Noise
from jostle.nn.noisy import NoisyLinear
from jostle.nn.policy import greedy


@torch.no_grad()
def inspect(
    values: Callable[[Observation], Float[Tensor, "B K A"]],
    obs: Observation,
    coefficient: Float[Tensor, "K"],
    names: Sequence[str],
    noise: Noise,
    looks: ReplayLooks,
    acting: Int[Tensor, "S"],
    layers: Mapping[str, NoisyLinear],
    mask: Bool[Tensor, "B A"] | None = None,
) -> dict[str, float]:
    """Mean value, mean |σ| per layer, and the share of greedy actions that the acting noise flips.

    Args:
        values: Q of every stream.
        obs: B observations.
        coefficient: weights of the streams.
        names: of the streams; empty where they are not told apart.
        noise: in the weights.
        looks: the noise in the input, left out.
        acting: slots of the weights' noise that act.
        layers: noisy ones by name; without any, no more is said of noise.
        mask: the legal actions of each observation, of which alone is spoken; None: all.
    """
    with noise.mean(), looks.clean():
        q = values(obs)
    combined = (q * coefficient[:, None]).sum(1)
    best = combined if mask is None else combined.masked_fill(~mask, -torch.inf)
    out = {"losses/q_value": best.max(-1).values.mean().item()}
    if names:
        means = greedy_value(q, q, coefficient, mask).mean(0).tolist()
        out |= {f"values/mean_{name}": mean for name, mean in zip(names, means, strict=True)}
    if not layers:
        return out
    with noise.using(acting[torch.arange(len(q), device=q.device) % len(acting)]), looks.clean():
        noisy = values(obs)
    flipped = greedy(noisy, coefficient, mask) != greedy(q, coefficient, mask)
    out["noise/flip_rate"] = flipped.float().mean().item()
    for name, layer in layers.items():
        out[f"noise/sigma/{name}"] = layer.weight_sigma.abs().mean().item()
    return out
