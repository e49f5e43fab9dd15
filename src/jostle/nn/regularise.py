"""Regularisers of an encoder: dropout under the noise contract, and batch normalisation."""

from statistics import NormalDist
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.nn.encoders import ImageEncoder
from jostle.nn.noise import CLEAN, Family, StochasticLayer


class Dropout(StochasticLayer):
    """Features [B, F] times the mask of a slot: 0 with probability p, else 1 / (1 − p), feature by feature.

    The masks that acted are replayed by the learner, so PPO's first ratio stays 1; `nn.Dropout` would draw new ones. It
    knows nothing of `train()` and `eval()`: in mode ``mean``, and in rows under `CLEAN`, features stay as they are.
    (The official code of Network Randomization has one mask for the whole batch; here each row may have its own.)

    Args:
        features: F.
        p: probability of a 0, within [0, 1).

    Raises:
        ConfigError: an argument out of range; in a forward pass, a draw that does not fit, or no draw made yet.
    """

    family: ClassVar[Family] = "input"

    def __init__(self, features: int, p: float = 0.1) -> None:
        super().__init__()
        if features < 1 or not 0 <= p < 1:
            raise ConfigError(f"Dropout needs features ≥ 1 and 0 ≤ p < 1, not features={features}, p={p}.")
        self.features, self.p = features, p

    @property
    def noise_size(self) -> int:
        return self.features

    def transform(self, normals: Float[Tensor, "S N"]) -> Float[Tensor, "S N"]:
        """The masks."""
        if self.p == 0:
            return torch.ones_like(normals)
        return (normals >= NormalDist().inv_cdf(self.p)).to(normals.dtype) / (1 - self.p)

    def fold(self, slot: int) -> None:
        """Nothing to do: there are no weights."""

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        selection = self.selection
        if selection.mode == "mean":
            return x
        selection.require_drawn()
        draw = selection.draw
        if draw.ndim > 1 or (draw.ndim == 1 and len(draw) != len(x)):
            raise ConfigError(f"draw of shape {tuple(draw.shape)} does not fit an input of shape {tuple(x.shape)}.")
        draw = draw.view(-1)
        mask = self.noise.index_select(0, draw.clamp(min=0)).to(x.dtype)
        return x * torch.where((draw == CLEAN).view(-1, 1), 1.0, mask)

    def extra_repr(self) -> str:
        return f"features={self.features}, p={self.p:g}"


def add_dropout(encoder: ImageEncoder, p: float = 0.1) -> None:
    """Put dropout behind an image encoder's flattened features, in place; before its network's `Noise` is made."""
    encoder.convolutions.append(Dropout(encoder.out_features, p))


def add_batch_norm(encoder: ImageEncoder) -> None:
    """Put a `BatchNorm2d` behind every convolution of an image encoder, in place.

    A labelled exception to PPO's first-ratio contract: in `train()` a row's output depends on the batch that it is in
    (and the statistics on every forward pass), in `eval()` on running statistics; acting and learning see different
    batches either way.
    """
    for parent in list(encoder.convolutions.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(parent, name, nn.Sequential(child, nn.BatchNorm2d(child.out_channels)))
