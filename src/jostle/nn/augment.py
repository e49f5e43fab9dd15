"""Baselines in the place of the random convolution, and what puts any of them into a network.

All are input layers: the parameters of a change belong to a slot, so that PPO's learner replays what acted.
"""

import inspect
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jostle.errors import ConfigError, closest
from jostle.nn.colour import Grey, Inversion, Jitter
from jostle.nn.encoders import Flat, Grid, ImageEncoder
from jostle.nn.input_layer import InputLayer, uniform
from jostle.nn.pictures import Images
from jostle.nn.privileged import PRIVILEGED
from jostle.nn.random_conv import RandomConv2d

InputKind = Literal["random-conv", "cutout", "grey", "inversion", "jitter", "shift"]


class Cutout(InputLayer):
    """Rectangles of random colours, as CoinRun's data augmentation paints them (openai/coinrun).

    A slot holds 0 to ``most`` rectangles, all numbers alike. A rectangle begins anywhere in the picture, measures
    ``smallest`` to ``largest`` of its width and, apart from that, of its height, is cut off at the edge, and covers the
    ones before. Pixels belong to it whose middle does. (CoinRun draws afresh for every picture.)

    Raises:
        ConfigError: as in `InputLayer`, or numbers out of range.
    """

    def __init__(
        self,
        channels: int = 3,
        frames: int = 1,
        *,
        most: int = 5,
        smallest: float = 0.1,
        largest: float = 0.35,
        **options: Any,
    ) -> None:
        super().__init__(channels, frames, **options)
        if most < 1 or not 0 < smallest <= largest <= 1:
            raise ConfigError(
                "cutout needs most ≥ 1 rectangles and 0 < smallest ≤ largest ≤ 1, "
                f"not most={most}, smallest={smallest}, largest={largest}."
            )
        self.most, self.smallest, self.largest = most, smallest, largest

    @property
    def draw_size(self) -> int:
        return 1 + self.most * (4 + self.channels)

    def parameters_of(self, normals: Float[Tensor, "S P"], clean: Bool[Tensor, "S 1"]) -> Float[Tensor, "S P"]:
        """The number of rectangles; then top, left, bottom, right and colour of each, in parts of the picture."""
        drawn = uniform(normals)
        number = (drawn[:, :1] * (self.most + 1)).floor()
        rectangles = drawn[:, 1:].view(len(drawn), self.most, -1)
        start, size, colour = rectangles[..., :2], rectangles[..., 2:4], rectangles[..., 4:]
        end = start + self.smallest + size * (self.largest - self.smallest)
        return torch.cat((number, torch.cat((start, end, colour), 2).flatten(1)), 1)

    def randomise(
        self, x: Float[Tensor, "B C H W"], parameters: Float[Tensor, "S P"], hidden: Bool[Tensor, "H W"] | None
    ) -> Float[Tensor, "B C H W"]:
        height, width = x.shape[2:]
        number = parameters[:, 0].view(-1, 1, 1, 1)
        rectangles = parameters[:, 1:].view(len(parameters), self.most, -1)
        y = ((torch.arange(height, device=x.device) + 0.5) / height).view(1, 1, -1, 1)
        z = ((torch.arange(width, device=x.device) + 0.5) / width).view(1, 1, 1, -1)
        for i in range(self.most):
            top, left, bottom, right = rectangles[:, i, :4, None, None, None].unbind(1)
            colour = rectangles[:, i, 4:].repeat(1, self.frames)[:, :, None, None]
            inside = (y >= top) & (y < bottom) & (z >= left) & (z < right) & (number > i)
            x = torch.where(inside, colour, x)
        return x


class Shift(InputLayer):
    """Pictures moved by up to ``pad`` pixels each way, the edge pixels repeated: padded, then cropped at random.

    All (2·pad + 1)² moves are alike; pixels are moved whole, nothing is interpolated.

    Raises:
        ConfigError: as in `InputLayer`, or a pad below 1.
    """

    draw_size = 2

    def __init__(self, channels: int = 3, frames: int = 1, *, pad: int = 4, **options: Any) -> None:
        super().__init__(channels, frames, **options)
        if pad < 1:
            raise ConfigError(f"shift needs pad ≥ 1 pixels, not {pad}.")
        self.pad = pad

    def parameters_of(self, normals: Float[Tensor, "S P"], clean: Bool[Tensor, "S 1"]) -> Float[Tensor, "S P"]:
        """Where each picture's content comes from: (down, right) in pixels, −pad to pad."""
        return (uniform(normals) * (2 * self.pad + 1)).floor() - self.pad

    def randomise(
        self, x: Float[Tensor, "B C H W"], parameters: Float[Tensor, "S P"], hidden: Bool[Tensor, "H W"] | None
    ) -> Float[Tensor, "B C H W"]:
        height, width = x.shape[2:]
        down, right = parameters.long().unbind(1)
        rows = (torch.arange(height, device=x.device) + down[:, None]).clamp(0, height - 1)  # [S, H]
        columns = (torch.arange(width, device=x.device) + right[:, None]).clamp(0, width - 1)
        each = torch.arange(len(x), device=x.device)[:, None, None]
        # With the channels last, whole pixels are gathered.
        moved: Tensor = x.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]]
        return moved.permute(0, 3, 1, 2)


_LAYERS: dict[InputKind, type[InputLayer]] = {
    "random-conv": RandomConv2d,
    "cutout": Cutout,
    "grey": Grey,
    "inversion": Inversion,
    "jitter": Jitter,
    "shift": Shift,
}


def make_input_layer(kind: InputKind, images: Images, *, frames: int | None = None, **options: Any) -> InputLayer:
    """The input layer of a kind for an encoder's pictures.

    RAD's random convolution is ``random-conv`` with a slot per sample. ``shift`` moves by up to 1/21 of the shorter
    side unless ``pad`` is given: 4 pixels at 84, 3 at 64.

    Args:
        kind: what it does.
        images: the encoder's `Images`.
        frames: how many frames the channels hold; None: what their shape tells.
        options: of the layer's class.

    Raises:
        ConfigError: an unknown kind or option, a number of frames that is unknown or does not fit, more than 4 channels
            in a frame, or as the layer raises.
    """
    if kind not in get_args(InputKind):
        raise ConfigError(f"input layer '{kind}' is unknown; {closest(kind, get_args(InputKind))}.")
    frames = images.frames if frames is None else frames
    if frames is None:
        raise ConfigError(
            f"observations {images.shape} have {images.channels} channels, and how many frames these are is unknown: "
            f"set frames (frames={images.channels} for grey ones"
            + (f", frames={images.channels // 3} for colour)." if images.channels % 3 == 0 else ").")
        )
    if frames < 1 or images.channels % frames:
        raise ConfigError(f"frames={frames} does not divide the {images.channels} channels of {images.shape}.")
    if images.channels // frames > 4:
        raise ConfigError(
            f"with frames={frames}, a frame of observations {images.shape} has {images.channels // frames} channels, "
            "and an input layer takes pictures of 1 to 4: set frames."
        )
    known = _options(kind)
    for name in options:
        if name not in known:
            raise ConfigError(f"input layer '{kind}' has no option '{name}'; {closest(name, known)}.")
    if kind == "shift":
        options.setdefault("pad", max(1, round(min(images.size) / 21)))
    layer = _LAYERS[kind](images.channels // frames, frames, **options)
    layer.check_size(*images.size)
    return layer


def _options(kind: InputKind) -> list[str]:
    own, common = (inspect.signature(c).parameters.values() for c in (_LAYERS[kind], InputLayer))
    return [p.name for p in (*own, *common) if p.kind is p.KEYWORD_ONLY]


def image_encoders(network: nn.Module) -> list[ImageEncoder]:
    """The encoders of pictures in a network, those of privileged observations left out."""
    return [
        module
        for path, module in network.named_modules()
        if isinstance(module, ImageEncoder) and PRIVILEGED not in path.split(".")
    ]


def to_random_input(network: nn.Module, kind: InputKind, **options: Any) -> int:
    """Put an input layer of its own into every image encoder of a network, in place, the privileged one left out.

    Call it before the network's `Noise` is made. ``options`` are those of `make_input_layer`.

    Returns:
        How many there are.

    Raises:
        ConfigError: there is no image encoder, one has an input layer already, or as `make_input_layer` raises.
    """
    encoders = image_encoders(network)
    if not encoders:
        raise ConfigError(f"input layer '{kind}' needs an image encoder: {_instead(network)}")
    if any(not isinstance(encoder.input, nn.Identity) for encoder in encoders):
        raise ConfigError(f"input layer '{kind}' finds another one in its place: an encoder holds one only.")
    for encoder in encoders:
        device = next(encoder.parameters()).device
        encoder.input = make_input_layer(kind, encoder.images, **options).to(device)
    return len(encoders)


def _instead(network: nn.Module) -> str:
    """What the network has, and the remedy."""
    modules = list(network.modules())
    if any(isinstance(module, Grid) for module in modules):
        return "grids of symbols have no looks to randomise; leave it out, or have the environment draw pictures."
    if any(isinstance(module, Flat) and len(module.shape) > 1 for module in modules):
        return "pictures go through encoder='flat' here; use encoder='nature' or 'impala'."
    return "the observations are vectors; leave it out, or have the environment draw pictures."
