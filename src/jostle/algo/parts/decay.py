"""L2 regularisation, with σ in a group of its own: decay to 0 would be the end of exploration."""

from typing import Any

from torch import nn

from jostle.nn.noisy import noisy_layers


def decay_groups(network: nn.Module, weight_decay: float, sigma_decay: float) -> list[dict[str, Any]]:
    """A network's parameters as an optimiser's groups: weights, and σ of noisy layers where its decay is another."""
    own = {id(s) for layer in noisy_layers(network).values() for s in layer.sigmas}
    if weight_decay == sigma_decay or not own:
        return [{"params": list(network.parameters()), "weight_decay": weight_decay}]
    weights = [p for p in network.parameters() if id(p) not in own]
    sigmas = [p for p in network.parameters() if id(p) in own]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": sigmas, "weight_decay": sigma_decay}]
