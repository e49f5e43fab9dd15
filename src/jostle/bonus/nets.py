"""Networks of the bonuses: a trunk for any observation space, orthogonally initialised."""

import itertools
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from jostle.bonus.part import Part
from jostle.bonus.preprocess import Preprocess, Rows
from jostle.errors import ConfigError
from jostle.nn.linear import Chain

Activation = Callable[[], nn.Module]
Convolutions = Literal["auto", "nature", "small", "none"]
"""Of pictures: those of 84×84, those for small ones, or none; ``auto`` goes by the size."""

SLOPE = 0.2
"""TensorFlow's default of LeakyReLU, hence the official code's; PyTorch's is 0.01."""
_NATURE = [(32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0)]  # filters, kernel, stride, padding
_SMALL = [(32, 3, 2, 1), (64, 3, 2, 1), (64, 3, 1, 1)]
_GRID = [(16, 2, 1, 0), (32, 2, 1, 0), (64, 2, 1, 0)]


def leaky(slope: float = SLOPE) -> Activation:
    """Makes LeakyReLUs of a slope."""
    return partial(nn.LeakyReLU, slope)


class Trunk(nn.Module):
    """Normalised observations → features [B, out_features]: one body per part of the space, concatenated.

    Pictures of at least 36×36: convolutions of 32 8×8/4, 64 4×4/2 and 64 3×3/1. Smaller ones: 32 3×3/2, 64 3×3/2 and
    64 3×3/1. Grids: 16, 32 and 64 of 2×2/1. Vectors and categories: two layers of ``width``.

    Args:
        preprocess: of the observations.
        width: of the layers for vectors and categories.
        activation: makes what stands between the layers.
        convolutions: of pictures, where not the size is to decide; with ``none`` they are vectors.

    Raises:
        ConfigError: a picture is too small for the convolutions.
    """

    def __init__(
        self, preprocess: Preprocess, width: int, activation: Activation, convolutions: Convolutions = "auto"
    ) -> None:
        super().__init__()
        made = [_body(part, width, activation, convolutions) for part in preprocess.parts]
        self.bodies = nn.ModuleList(body for body, _ in made)
        self.out_features = sum(size for _, size in made)

    def forward(self, x: Rows) -> Tensor:
        features = [body(part) for body, part in zip(self.bodies, x, strict=True)]
        return features[0] if len(features) == 1 else torch.cat(features, 1)


def mlp(sizes: Iterable[int], activation: Activation) -> list[nn.Module]:
    """Linear layers of the given widths, an activation between each two, none at the end."""
    widths = list(sizes)
    layers: list[nn.Module] = []
    for p, q in itertools.pairwise(widths):
        layers += [nn.Linear(p, q), activation()]
    return layers[:-1]


def orthogonal(network: nn.Module, gain: float = math.sqrt(2)) -> nn.Module:
    """Initialise every layer's weights orthogonally with one gain and its biases with 0.

    Convolutions are laid channels-last, the faster layout on a CPU.
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.orthogonal_(layer.weight, gain)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _body(part: Part, width: int, activation: Activation, convolutions: Convolutions) -> tuple[nn.Module, int]:
    flat = part.kind in ("vector", "category")
    if flat or (part.kind == "picture" and convolutions == "none"):
        layers = mlp([math.prod(part.shape), width, width], activation)
        return Chain(*([] if flat else [nn.Flatten()]), *layers, activation()), width
    channels, *size = part.shape
    chosen = {"auto": _NATURE if min(size) >= 36 else _SMALL, "nature": _NATURE, "small": _SMALL}
    body: list[nn.Module] = []
    for filters, kernel, stride, padding in _GRID if part.kind == "grid" else chosen[convolutions]:
        body += [nn.Conv2d(channels, filters, kernel, stride, padding), activation()]
        channels = filters
        size = [(s + 2 * padding - kernel) // stride + 1 for s in size]
    if min(size) < 1:
        raise ConfigError(
            f"{part.owner}: pictures of {part.shape[1]}×{part.shape[2]} are too small for the convolutions "
            f"'{convolutions}', which need 36×36: use 'auto' or 'small'."
        )
    return nn.Sequential(*body, nn.Flatten()), channels * size[0] * size[1]
