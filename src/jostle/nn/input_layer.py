"""What stands between pictures and the first convolution, under the noise contract: slots, clean flags, a kept region.

A slot of an input layer holds the parameters of one random change of a picture, and its clean flag. Rows under a slot
whose flag is set, rows under the slot `CLEAN` and all rows in mode ``mean`` pass as they are.
"""

import math
from abc import abstractmethod
from statistics import NormalDist
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.errors import ConfigError
from jostle.nn.noise import CLEAN, Family, StochasticLayer

Region = tuple[int, int, int, int]
"""(top, left, height, width) in pixels."""


class InputLayer(StochasticLayer):
    """A random change of pictures [B, k·C, H, W] of floats in [0, 1], of k frames of C channels; shape and dtype stay.

    A subclass says how many standard normals it needs, `draw_size`, what it makes of them, `parameters_of`, and how a
    picture is changed by these, `randomise`. All frames of a row change alike. There are no parameters to learn and no
    state in the state dict. Gradients reach the input.

    Args:
        channels: C, of one frame.
        frames: k.
        clean: α, the probability that a slot is clean.
        keep: a region that is black while the picture is changed and that is put back exactly afterwards, such as the
            velocity that CoinRun paints into a corner.

    Raises:
        ConfigError: an argument out of range; in a forward pass, pictures with another number of channels or too small
            for the region, a draw that does not fit them, or no draw made yet.
    """

    family: ClassVar[Family] = "input"

    def __init__(self, channels: int = 3, frames: int = 1, *, clean: float = 0.0, keep: Region | None = None) -> None:
        super().__init__()
        name = type(self).__name__
        if channels < 1 or frames < 1:
            raise ConfigError(f"{name} needs at least one frame of one channel, not {frames} of {channels}.")
        if not 0 <= clean <= 1:
            raise ConfigError(f"{name}'s clean is the probability of a clean slot, within 0 and 1, not {clean}.")
        if keep is not None and (len(keep) != 4 or min(keep) < 0 or min(keep[2:]) < 1):
            raise ConfigError(f"{name}'s keep is (top, left, height, width) in pixels, not {keep}.")
        self.channels, self.frames, self.probability, self.keep = channels, frames, float(clean), keep
        # A normal is below it with probability α.
        self._threshold = NormalDist().inv_cdf(clean) if 0 < clean < 1 else math.copysign(math.inf, clean - 0.5)

    @property
    @abstractmethod
    def draw_size(self) -> int:
        """Standard normals that one slot's parameters need."""

    def parameters_of(self, normals: Float[Tensor, "S P"], clean: Bool[Tensor, "S 1"]) -> Float[Tensor, "S P"]:
        """The parameters of slots, from standard normals; the identity unless overridden."""
        return normals

    @abstractmethod
    def randomise(
        self, x: Float[Tensor, "B C H W"], parameters: Float[Tensor, "S P"], hidden: Bool[Tensor, "H W"] | None
    ) -> Float[Tensor, "B C H W"]:
        """New pictures, changed by the parameters of their slots; S is B, or 1 where all rows share one slot.

        ``hidden`` is the kept region, black in ``x``; what becomes of it does not matter.
        """

    @property
    def noise_size(self) -> int:
        return self.draw_size + 1

    def transform(self, normals: Float[Tensor, "S N"]) -> Float[Tensor, "S N"]:
        """Parameters, then the clean flag as 1 or 0."""
        clean = normals[:, -1:] < self._threshold
        return torch.cat((self.parameters_of(normals[:, :-1], clean), clean.to(normals.dtype)), 1)

    @property
    def clean(self) -> Bool[Tensor, "D"]:
        """The clean flags of the slots."""
        return self.noise[:, -1] > 0.5

    def fold(self, slot: int) -> None:
        """Nothing to do: there are no weights."""

    def bypasses(self, flags: Bool[Tensor, "S"]) -> Bool[Tensor, "S"]:
        """Which slots leave the picture alone, by their flags, in mode ``sampled``."""
        return flags

    def without_noise(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Mode ``mean``: the pictures as they are, unless overridden."""
        return x

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        selection = self.selection
        if selection.mode == "mean":
            return self.without_noise(x)
        selection.require_drawn()
        self._check(x, selection.draw)
        draw = selection.draw.view(-1)
        # What the draws hold is looked at only where that neither waits for a device nor breaks a graph.
        looks = x.device.type == "cpu" and not torch.compiler.is_compiling()
        if looks:
            draw = _one_if_shared(draw)
        clean = draw == CLEAN
        if selection.mode != "randomised":
            clean = clean | self.bypasses(self.clean.index_select(0, draw.clamp(min=0)))
        if not looks:
            return torch.where(clean.view(-1, 1, 1, 1), x, self._change(x, draw))
        if not bool(clean.any()):
            return self._change(x, draw)
        rows = (~clean).nonzero().view(-1)
        if len(rows) == 0:
            return x
        y = x.clone()
        y[rows] = self._change(x[rows], _one_if_shared(draw[rows]))
        return y

    def _change(self, x: Float[Tensor, "B C H W"], draw: Int[Tensor, "S"]) -> Float[Tensor, "B C H W"]:
        """All rows randomised, the kept region aside; clean rows may be asked for, and get anything."""
        draw = draw[:1] if len(self.noise) == 1 else draw  # the only slot is everybody's
        parameters = self.noise.index_select(0, draw.clamp(min=0))[:, :-1].to(x.dtype)  # a copy: no redraw can touch it
        if self.keep is None:
            return self.randomise(x, parameters, None).to(x.dtype)
        top, left, height, width = self.keep
        region = (..., slice(top, top + height), slice(left, left + width))
        hidden = torch.zeros(x.shape[2:], dtype=torch.bool, device=x.device)
        hidden[region] = True
        black = x.clone()
        black[region] = 0.0
        y = self.randomise(black, parameters, hidden).to(x.dtype)
        if y.requires_grad:
            return torch.where(hidden, x, y)
        y[region] = x[region]  # much the faster, but gradients may need what it writes over
        return y

    def check_size(self, height: int, width: int) -> None:
        """Raises: ConfigError where pictures of this size do not hold the kept region."""
        if self.keep is not None:
            top, left, tall, wide = self.keep
            if top + tall > height or left + wide > width:
                raise ConfigError(
                    f"the region keep={self.keep} (top, left, height, width) reaches beyond pictures of "
                    f"{height}×{width}."
                )

    def _check(self, x: Tensor, draw: Tensor) -> None:
        if not x.is_floating_point():
            raise ConfigError(
                f"{type(self).__name__} changes pictures of floats within [0, 1] and got {x.dtype}; "
                "give x.float() / 255."
            )
        if x.shape[1] != self.channels * self.frames:
            raise ConfigError(
                f"{type(self).__name__} is made for {self.frames} × {self.channels} channels and got {x.shape[1]}: "
                "make it with other frames or channels."
            )
        if draw.ndim > 1 or (draw.ndim == 1 and len(draw) != len(x)):
            raise ConfigError(f"draw of shape {tuple(draw.shape)} does not fit an input of shape {tuple(x.shape)}.")
        self.check_size(x.shape[2], x.shape[3])

    def extra_repr(self) -> str:
        kept = "" if self.keep is None else f", keep={self.keep}"
        return f"{self.frames}×{self.channels} channels, clean={self.probability:g}{kept}"


def _one_if_shared(draw: Int[Tensor, "S"]) -> Int[Tensor, "S"]:
    """The only slot where all rows share one, which is the faster case."""
    if len(draw) == 0:
        return draw
    lowest, highest = (int(end) for end in torch.aminmax(draw))
    if lowest < CLEAN:
        raise IndexError(f"slot {lowest} does not exist: slots begin at 0, and CLEAN is {CLEAN}.")
    return draw[:1] if lowest == highest else draw


def uniform(normals: Tensor) -> Tensor:
    """Uniform numbers within [0, 1) from standard normals, for layers whose parameters are not normal."""
    u: Tensor = torch.special.ndtr(normals).clamp(max=1 - 2**-24)
    return u
