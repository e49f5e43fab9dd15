"""What every agent is checked for: numbers, units, noise."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.algo.parts.input.terms import Features
from jostle.nn.encoders import Observation
from jostle.nn.noise import CLEAN
from jostle.nn.noisy import noisy_layers
from jostle.nn.tanh import Tanh

DORMANT = 0.025
"""Share of its layer's mean activity up to which a unit counts as dormant (Sokar et al. 2023)."""
Status = Literal["OK", "warning", "FAIL"]
PARTS = ("model", "target", "optimizer", "learner", "bonuses", "reward_filter")
"""The parts of a saved state that hold weights, optimisers and statistics, whatever the algorithm."""


@dataclass(frozen=True)
class Check:
    """What one check found. ``remedy`` is empty where the status is OK."""

    name: str
    status: Status
    finding: str
    remedy: str = ""


def checkpoints(newest: str, damaged: list[str]) -> Check:
    """Whether checkpoints after the newest good one are damaged."""
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
    """Weights, targets, optimisers and statistics hold neither NaN nor infinities, and no weight is huge."""
    largest = 0.0
    for part in PARTS:
        for name, tensor in _tensors(state.get(part), part):
            if name.startswith("learner.sums."):  # what is to be logged may be undefined
                continue
            if tensor.is_floating_point() and not tensor.isfinite().all():
                return Check(
                    "finite numbers",
                    "FAIL",
                    f"{name} holds NaN or infinities",
                    "go back to an earlier checkpoint, with a lower learning rate or max_grad_norm",
                )
            if part == "model" and tensor.numel() and ".moments." not in name:
                largest = max(largest, float(tensor.abs().max()))
    if largest > 1e3:
        return Check(
            "finite numbers",
            "warning",
            f"all finite, but the largest weight is {largest:.3g}",
            "lower the learning rate, or clip gradients with max_grad_norm",
        )
    return Check("finite numbers", "OK", f"weights, optimiser and all that is saved; largest weight {largest:.3g}")


def _tensors(tree: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _tensors(value, f"{path}.{key}")
    elif isinstance(tree, (list, tuple)):
        for index, value in enumerate(tree):
            yield from _tensors(value, f"{path}.{index}")


def distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Euclidean distance of two sets of weights."""
    return float(torch.stack([(a[k].cpu().double() - b[k].cpu().double()).square().sum() for k in a]).sum().sqrt())


# ---- noise ----


def sigma_gradient(network: nn.Module) -> Check:
    """After a loss has gone backwards: σ of every noisy layer has a gradient."""
    layers = noisy_layers(network)
    dead, norms = [], []
    for name, layer in layers.items():
        if any(s.grad is None or not s.grad.any() for s in layer.sigmas):
            dead.append(name)
        norms += [float(s.grad.norm()) for s in layer.sigmas[:1] if s.grad is not None]
    if dead:
        return Check(
            "gradient of sigma",
            "FAIL",
            f"none in {', '.join(dead)}",
            "its noise is off while learning, its parameters are frozen, or no unit before it is active",
        )
    return Check("gradient of sigma", "OK", f"in all {len(layers)} noisy layers; least norm {min(norms):.2g}")


def noise_size(network: nn.Module) -> Check:
    """Mean |σ| over mean |μ| of each noisy layer."""
    ratios = {}
    for name, layer in noisy_layers(network).items():
        weight = float(layer.weight.detach().abs().mean())
        ratios[name] = float(layer.weight_sigma.detach().abs().mean()) / max(weight, 1e-12)
    found = "sigma / weight: " + ", ".join(f"{name} {ratio:.2g}" for name, ratio in ratios.items())
    if max(ratios.values()) > 10:
        return Check("size of noise", "warning", found, "the noise drowns the weights: lower sigma0")
    if max(ratios.values()) < 0.01:
        return Check("size of noise", "warning", found, "the noise has gone, and exploration with it: raise sigma0")
    return Check("size of noise", "OK", found)


# ---- units ----


@torch.no_grad()
def looks(features: Features, obs: Observation, slots: int, device: torch.device) -> Check:
    """A change of the pictures changes the features that the policy acts on.

    Args:
        features: the agent's, of observations under draws in a mode.
        obs: B observations.
        slots: how many draws of the input there are.
    """
    rows = len(next(iter(obs.values())) if isinstance(obs, dict) else obs)
    draw = torch.zeros(rows, 2, dtype=torch.int64, device=device)
    draw[:, 1] = torch.arange(rows, device=device) % slots
    changed = features(obs, draw, "randomised")[1].float()
    draw[:, 1] = CLEAN
    clean = features(obs, draw, "sampled")[1].float()
    apart = float((changed - clean).norm() / clean.norm().clamp_min(1e-12))
    if apart == 0:
        return Check(
            "input", "FAIL", "changed pictures give the same features as clean ones", "check input_noise and input_keep"
        )
    return Check("input", "OK", f"a draw moves the features by {apart:.0%} of their size")


def dormant_share(activation: Float[Tensor, "B U *S"]) -> float:
    """Share of τ-dormant units, sᵢ = E|hᵢ| / mean_k E|h_k| ≤ τ = 0.025.

    From Sokar et al. (2023), The Dormant Neuron Phenomenon in Deep Reinforcement Learning. A
    unit of a convolution is a channel; its activity is averaged over the picture. In a silent layer all are dormant.
    """
    activity = activation.abs().transpose(0, 1).flatten(1).mean(1)
    mean = activity.mean()
    return 1.0 if mean == 0 else float((activity / mean <= DORMANT).float().mean())


def saturated_share(activation: Float[Tensor, "B U"]) -> float:
    """Share of tanh units that stay beyond ±0.99 for every observation, where no gradient passes."""
    return float((activation.abs() > 0.99).all(0).float().mean())


@torch.no_grad()
def dormant(network: nn.Module, run: Callable[[], object], name: str = "dormant units") -> Check:
    """The share of dead units behind every ReLU (dormant ones) and Tanh (saturated ones) while ``run`` calls it."""
    shares: dict[str, float] = {}

    def hook(layer: str, share: Callable[[Tensor], float]) -> Any:
        return lambda module, args, output: shares.__setitem__(layer, share(output))

    handles = [
        m.register_forward_hook(hook(layer, dormant_share if isinstance(m, nn.ReLU) else saturated_share))
        for layer, m in network.named_modules()
        if isinstance(m, (nn.ReLU, nn.Tanh, Tanh))
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    if not shares:
        return Check(name, "OK", "there are no hidden layers")
    found = ", ".join(f"{layer} {share:.0%}" for layer, share in shares.items())
    worst = max(shares.values())
    if worst == 1:
        return Check(name, "FAIL", found, "a whole layer is dead: lower the learning rate and start again")
    if worst > 0.5:
        return Check(name, "warning", found, "much of a layer is unused: learn less often, or at a lower rate")
    return Check(name, "OK", found)
