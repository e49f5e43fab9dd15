"""Random changes of colour in the place of an input layer: grey, inversion, jitter. Values are floats in [0, 1]."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.errors import ConfigError
from jostle.nn.input_layer import InputLayer, uniform


class Grey(InputLayer):
    """Every channel becomes the luma of its frame. Only the clean flag is random.

    Grey pictures are no noise around coloured ones, so mode ``mean`` is grey too, unless every slot is clean: a policy
    that learned from grey pictures is evaluated on grey ones. Rows under `CLEAN` keep their colours.
    """

    draw_size = 0

    def __init__(self, channels: int = 3, frames: int = 1, **options: Any) -> None:
        super().__init__(channels, frames, **options)
        if channels != 3:
            raise ConfigError(f"grey needs colour frames of 3 channels, not {channels}: leave it out, or set frames.")

    def without_noise(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return x if self.probability == 1 else self._change(x, torch.zeros(1, dtype=torch.int64, device=x.device))

    def randomise(
        self, x: Float[Tensor, "B C H W"], parameters: Float[Tensor, "S P"], hidden: Bool[Tensor, "H W"] | None
    ) -> Float[Tensor, "B C H W"]:
        frames = x.unflatten(1, (self.frames, 3))  # type: ignore[no-untyped-call]
        return torch.cat([luma(frames)] * 3, 2).flatten(1, 2)


class Inversion(InputLayer):
    """x → 1 − x with probability ½ per slot. (The official code draws once for each environment, and never again.)"""

    draw_size = 1

    def parameters_of(self, normals: Float[Tensor, "S P"], clean: Bool[Tensor, "S 1"]) -> Float[Tensor, "S P"]:
        """1 where the slot inverts, else 0."""
        return (normals < 0).to(normals.dtype)

    def randomise(
        self, x: Float[Tensor, "B C H W"], parameters: Float[Tensor, "S P"], hidden: Bool[Tensor, "H W"] | None
    ) -> Float[Tensor, "B C H W"]:
        inverts = parameters.view(-1, 1, 1, 1)
        return inverts + (1 - 2 * inverts) * x


class Jitter(InputLayer):
    """Brightness, contrast, saturation and hue, changed in this order by torchvision's formulas.

    A slot holds factors of U[max(0, 1 − s), 1 + s] for the first three, s being their strength, and a turn of the hue
    of U[−s, s], in full circles. Results are clipped to [0, 1] after each step. Grey frames have brightness and
    contrast alone. The contrast is about the mean luma of each frame, the kept region aside. (torchvision's
    `ColorJitter` also draws the order. The official code adds U[−½, ½] as brightness to values up to 255, which does
    nothing to be seen, and leaves the hue alone.)

    Raises:
        ConfigError: as in `InputLayer`, frames of other than 1 or 3 channels, or a strength out of range.
    """

    draw_size = 4

    def __init__(
        self,
        channels: int = 3,
        frames: int = 1,
        *,
        brightness: float = 0.5,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(channels, frames, **options)
        if channels not in (1, 3):
            raise ConfigError(f"jitter needs frames of 1 or 3 channels, not of {channels}; set frames.")
        if min(brightness, contrast, saturation, hue) < 0 or hue > 0.5:
            raise ConfigError(
                f"jitter's strengths are at least 0, and hue at most 0.5, not brightness={brightness}, "
                f"contrast={contrast}, saturation={saturation}, hue={hue}."
            )
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def parameters_of(self, normals: Float[Tensor, "S P"], clean: Bool[Tensor, "S 1"]) -> Float[Tensor, "S P"]:
        """The three factors and the turn."""
        strengths = (self.brightness, self.contrast, self.saturation)
        low = normals.new_tensor([*(max(0.0, 1 - s) for s in strengths), -self.hue])
        high = normals.new_tensor([*(1 + s for s in strengths), self.hue])
        return low + uniform(normals) * (high - low)

    def randomise(
        self, x: Float[Tensor, "B C H W"], parameters: Float[Tensor, "S P"], hidden: Bool[Tensor, "H W"] | None
    ) -> Float[Tensor, "B C H W"]:
        brightness, contrast, saturation, turn = parameters.view(-1, 4, 1, 1, 1, 1).unbind(1)
        y: Tensor = x.unflatten(1, (self.frames, self.channels))  # type: ignore[no-untyped-call]
        if self.brightness:
            y = (y * brightness).clamp(0.0, 1.0)
        if self.contrast:
            shown = luma(y) if self.channels == 3 else y
            seen = shown.new_ones(()) if hidden is None else (~hidden).to(y.dtype)
            mean = (shown * seen).sum((3, 4), keepdim=True) / seen.expand(y.shape[3:]).sum()
            y = blend(y, mean, contrast)
        if self.channels == 3 and self.saturation:
            y = blend(y, luma(y), saturation)
        if self.channels == 3 and self.hue:
            y = turn_hue(y, turn)
        return y.flatten(1, 2)


def luma(frames: Float[Tensor, "*B 3 H W"]) -> Float[Tensor, "*B 1 H W"]:
    """0.2989 R + 0.587 G + 0.114 B, as in torchvision's `rgb_to_grayscale`."""
    red, green, blue = frames.unbind(-3)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).unsqueeze(-3)


def blend(a: Tensor, b: Tensor, ratio: Tensor) -> Tensor:
    """ratio · a + (1 − ratio) · b, clipped to [0, 1]."""
    return (ratio * a + (1 - ratio) * b).clamp(0.0, 1.0)


def turn_hue(frames: Float[Tensor, "*B 3 H W"], turn: Tensor) -> Float[Tensor, "*B 3 H W"]:
    """Frames whose hue has been turned, ``turn`` being broadcast in full circles; value and saturation (HSV) stay."""
    red, green, blue = frames.unbind(-3)
    value, low = frames.amax(-3), frames.amin(-3)
    chroma = value - low
    divisor = torch.where(chroma == 0, 1.0, chroma)  # grey pixels have no hue: any will do
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )  # in sixths of the circle
    hue = hue + 6 * turn.squeeze(-3)
    channels = []
    for offset in (5.0, 3.0, 1.0):  # red, green, blue: value − chroma · max(0, min(k, 4 − k, 1))
        k = torch.remainder(hue + offset, 6.0)
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0.0, 1.0))
    return torch.stack(channels, -3)
