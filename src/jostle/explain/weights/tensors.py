"""The weights of a network, tensor by tensor, and what becomes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.errors import ConfigError, closest
from jostle.view import PolicyView


@dataclass(frozen=True)
class WeightTensor:
    """One tensor of weights.

    Attributes:
        name: of the parameter.
        layer: of the module that it belongs to; empty for the network itself.
        values: [O, …], O filters or units with what each of them is made of.
    """

    name: str
    layer: str
    values: Float[np.ndarray, "O *I"]

    @property
    def flat(self) -> Float[np.ndarray, "O I"]:
        """A row for each filter."""
        return self.values.reshape(len(self.values), -1)


def weight_tensors(module: nn.Module) -> list[WeightTensor]:
    """Every parameter of two or more axes, in the order of the network; deviations of noise (``sigma``) are left out.

    Biases have one axis, and are not among them.

    Raises:
        ConfigError: they hold NaN or infinities.
    """
    found = []
    for name, parameter in module.named_parameters():
        if parameter.ndim < 2 or "sigma" in name.rsplit(".", 1)[-1]:
            continue
        layer = name.rsplit(".", 1)[0] if "." in name else ""
        if not bool(torch.isfinite(parameter).all()):
            raise ConfigError(f"the weights '{name}' hold NaN or infinities: take an earlier model.")
        found.append(WeightTensor(name, layer, parameter.detach().double().cpu().numpy()))
    return found


def tensor_of(view: PolicyView, layer: str | None = None) -> WeightTensor:
    """A layer's weights; None: the first ones of the network, which see the observation.

    Args:
        view: the policy.
        layer: the module's name, or the parameter's.

    Raises:
        ConfigError: the layer has no weights.
    """
    tensors = weight_tensors(view.module)
    if not tensors:
        raise ConfigError(f"{view.name} has no weights to look at.")
    if layer is None:
        return tensors[0]
    for each in tensors:
        if layer in (each.layer, each.name):
            return each
    raise ConfigError(f"{view.name} has no layer '{layer}' with weights; {closest(layer, [t.layer for t in tensors])}")


def own_parameters(module: nn.Module) -> dict[str, list[str]]:
    """Layer -> the names of the parameters that are its own, for every module that has any, in the network's order.

    The network's own parameters, such as a log σ, stand under their names.
    """
    found: dict[str, list[str]] = {}
    for name, _ in module.named_parameters():
        layer = name.rsplit(".", 1)[0] if "." in name else name
        found.setdefault(layer, []).append(name)
    return found


@torch.no_grad()
def with_weights(view: PolicyView, values: Mapping[str, Tensor], names: Sequence[str] | None = None) -> PolicyView:
    """A copy of a view in which parameters (all that are given, or those of ``names``) have other values.

    Raises:
        ConfigError: one is missing, or of another shape.
    """
    twin = view.clone()
    parameters = dict(twin.module.named_parameters())
    for name in parameters if names is None else names:
        if name not in values:
            if names is None:
                continue
            raise ConfigError(f"there are no weights '{name}' for {view.name}; {closest(name, values)}")
        given = values[name]
        if given.shape != parameters[name].shape:
            raise ConfigError(
                f"the weights '{name}' of {view.name} are {list(parameters[name].shape)} and {list(given.shape)} were "
                "given: take those of a network of the same shape."
            )
        parameters[name].copy_(given.to(parameters[name]))
    return twin
