"""Encoders: from a batch of raw observations, in the environment's own dtype, to a batch of feature vectors.

Scaling belongs to the encoder (pixels become ``[0, 1]`` on the device), so storage keeps raw observations.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, cast

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from jostle.errors import ConfigError, closest
from jostle.functional.running import Moments
from jostle.nn.pictures import Images, is_picture_like, is_scalable, is_sizeable
from jostle.nn.scaling import Scale, Scaling

Observation = Tensor | dict[str, Tensor]
EncoderKind = Literal["auto", "flat", "nature", "nature-k4", "impala", "impala-gap", "grid"]


class Encoder(nn.Module):
    """A network from observations to features [B, out_features]."""

    out_features: int

    def update_normaliser(self, obs: Observation, mask: Bool[Tensor, "B"]) -> None:
        """Let the running statistics see a batch; most encoders have none."""


class Normaliser(nn.Module):
    """x → (x − mean) / std per feature, clipped to ±10, with statistics that change in `update` alone.

    ``mean`` and ``std`` [F] are float32 copies of the exact statistics; before the first update they are 0 and 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.moments = Moments((size,))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        return ((x - self.mean) / self.std).clamp(-10.0, 10.0)

    @torch.no_grad()
    def update(self, x: Float[Tensor, "B F"], mask: Bool[Tensor, "B"]) -> None:
        """Let the statistics see the rows of x where ``mask`` is true."""
        self.moments.update(x, mask)
        self.mean.copy_(self.moments.mean)
        # A feature that never changed has no spread to divide by: it becomes 0, and stays small when it first moves.
        self.std.copy_((self.moments.var + 1e-8).sqrt())


class Flat(Encoder):
    """Vectors: cast to float, scaled by their bounds (`jostle.nn.scaling`) and flattened. [B, …] → [B, prod(…)].

    ``normalise`` puts a `Normaliser` in the place of the bounds, for integers and floats; what is true or false stays.
    """

    def __init__(
        self, space: spaces.Box | spaces.MultiBinary, *, normalise: bool = False, scaling: Scaling = "bounds"
    ) -> None:
        super().__init__()
        self.shape = space.shape
        self.out_features = math.prod(space.shape)
        kinds = "f" if scaling == "bytes" else "iuf"
        numbers = isinstance(space, spaces.Box) and space.dtype.kind in kinds
        self.normaliser = Normaliser(self.out_features) if normalise and numbers else None
        picture = isinstance(space, spaces.Box) and is_picture_like(space) and is_sizeable(space)
        self.scale = Scale(space, picture=picture, scaling=scaling)
        self._as_it_is = self.normaliser is None and self.scale.unit == 1.0

    def forward(self, obs: Tensor) -> Tensor:
        if self._as_it_is:  # without the cost of a module, which small networks feel
            return obs.reshape(len(obs), -1).float()
        if self.normaliser is None:
            return self.scale(obs).reshape(len(obs), -1)  # type: ignore[no-any-return]
        normalised: Tensor = self.normaliser(obs.reshape(len(obs), -1).float())
        return normalised

    def update_normaliser(self, obs: Observation, mask: Bool[Tensor, "B"]) -> None:
        if self.normaliser is not None and isinstance(obs, Tensor):
            self.normaliser.update(obs.reshape(len(obs), -1).float(), mask)


def _within(
    codes: Int[Tensor, "..."], lowest: Int[Tensor, "..."], highest: Int[Tensor, "..."], refusal: str
) -> tuple[Int[Tensor, "..."], Tensor | float]:
    """Codes brought within their bounds, and what their indicators hold: 1, or 0 for a code that was outside.

    Raises: ConfigError for codes outside, but on devices that looking would wait for.
    """
    inside = codes.clamp(lowest, highest)
    if codes.device.type != "cpu" or torch.compiler.is_compiling():
        return inside, (inside == codes).float()
    if not torch.equal(inside, codes):
        raise ConfigError(refusal)
    return inside, 1.0


class OneHot(Encoder):
    """Categories as indicator vectors: a Discrete [B] or a MultiDiscrete [B, D] observation → [B, sum of counts].

    Categories outside of the space raise, or get no indicator on a GPU; never one of another category.
    """

    offset: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, counts: Sequence[int], start: int | Sequence[int] = 0) -> None:
        super().__init__()
        self.counts = [int(c) for c in counts]
        self.out_features = sum(self.counts)
        low = torch.as_tensor(start, dtype=torch.int64).expand(len(self.counts)).clone()
        first = torch.tensor([0, *np.cumsum(self.counts[:-1]).tolist()])
        self.register_buffer("offset", first - low, persistent=False)
        self.register_buffer("lowest", low, persistent=False)
        self.register_buffer("highest", low + torch.tensor(self.counts) - 1, persistent=False)
        self._refusal = (
            f"an observation holds a category outside of its space, which has {self.counts} of them from "
            f"{low.tolist()} on: mend the environment or its observation_space."
        )

    def forward(self, obs: Tensor) -> Tensor:
        codes = obs.reshape(obs.shape[0], len(self.counts)).long()
        out = torch.zeros(obs.shape[0], self.out_features, device=obs.device)
        if len(self.counts) == 1 and obs.device.type == "cpu" and not torch.compiler.is_compiling():
            try:  # one category has no neighbours, and scatter looks anyway
                return out.scatter_(1, codes + self.offset, 1.0)
            except RuntimeError as error:
                raise ConfigError(self._refusal) from error
        inside, one = _within(codes, self.lowest, self.highest, self._refusal)
        return out.scatter_(1, inside + self.offset, one)


def _channels_last(*layers: nn.Module) -> nn.Sequential:
    """Layers whose weights lie channels-last in memory, the faster layout for convolutions on a CPU."""
    made: nn.Sequential = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made


def _flat_size(convolutions: nn.Module, images: Images) -> int:
    with torch.no_grad():
        try:
            return int(convolutions(torch.zeros(1, images.channels, *images.size)).numel())
        except RuntimeError as error:
            raise ConfigError(
                f"a picture of {images.size[0]}×{images.size[1]} is too small for this encoder; "
                "use encoder='impala', 'grid' or 'flat'."
            ) from error


class ImageEncoder(Encoder):
    """Pictures → what a place in between makes of them → convolutions → features, flattened.

    ``input`` is that place: the identity, or a layer from `jostle.nn.augment.to_random_input`.
    """

    def __init__(self, images: Images, *layers: nn.Module) -> None:
        super().__init__()
        self.images = images
        self.input: nn.Module = nn.Identity()
        self.convolutions = _channels_last(*layers, nn.Flatten())
        self.out_features = _flat_size(self.convolutions, self.images)

    def forward(self, obs: Tensor) -> Tensor:
        features: Tensor = self.convolutions(self.input(self.images(obs)))
        return features


class Nature(ImageEncoder):
    """The three convolutions of Mnih et al. (2015): 32 of 8×8/4, 64 of 4×4/2, 64 of 3×3/1, ReLU, flattened.

    84×84 pictures give 3136 features. The fully connected layer of 512 belongs to the head, where noise may go.
    ``kernel`` is the third one's size: the policies of openai/random-network-distillation have 4 (2304 features).
    """

    def __init__(self, space: spaces.Box, kernel: int = 3, *, scaling: Scaling = "bounds") -> None:
        images = Images(space, scaling)
        super().__init__(
            images,
            nn.Conv2d(images.channels, 32, 8, 4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2),
            nn.ReLU(),
            nn.Conv2d(64, 64, kernel, 1),
            nn.ReLU(),
        )


class _Pool(nn.MaxPool2d):
    """Maxima of 3×3 with stride 2, a border of one: [B, C, H, W] → [B, C, ⌈H/2⌉, ⌈W/2⌉].

    torch's kernel notes where each maximum was. Without gradients nobody asks, and one axis after the other takes a CPU
    less than half the time.
    """

    def __init__(self) -> None:
        super().__init__(3, 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling():
            pooled: Tensor = super().forward(x)
            return pooled
        return _maxima(_maxima(x, 2), 3)


def _maxima(x: Tensor, axis: int) -> Tensor:
    """Maxima of three neighbours around every even place of an axis."""
    at, behind = x[(slice(None),) * axis + (slice(0, None, 2),)], x[(slice(None),) * axis + (slice(1, None, 2),)]
    n = behind.shape[axis]
    out = torch.maximum(at, behind) if at.shape[axis] == n else at.clone()
    if at.shape[axis] != n:
        out.narrow(axis, 0, n).clamp_(min=behind)
    inner = at.shape[axis] - 1
    out.narrow(axis, 1, inner).clamp_(min=behind.narrow(axis, 0, inner))
    return out


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.relu(self.conv1(F.relu(x))))
        return x + out


class Impala(ImageEncoder):
    """The residual encoder of Espeholt et al. (2018): per depth a convolution, a max pool and two residual blocks.

    The last map [B, C, h, w] is flattened after its ReLU; ``pooled`` averages it over space instead, which leaves C
    features and is what class activation maps need.
    """

    def __init__(
        self,
        space: spaces.Box,
        depths: Sequence[int] = (16, 32, 32),
        *,
        pooled: bool = False,
        scaling: Scaling = "bounds",
    ) -> None:
        images = Images(space, scaling)
        blocks: list[nn.Module] = []
        channels = images.channels
        for depth in depths:
            blocks += [nn.Conv2d(channels, depth, 3, padding=1), _Pool()]
            blocks += [_Residual(depth), _Residual(depth)]
            channels = depth
        pool = [nn.AdaptiveAvgPool2d(1)] if pooled else []
        super().__init__(images, *blocks, nn.ReLU(), *pool)


class Grid(Encoder):
    """Small symbolic grids, such as MiniGrid's [7, 7, 3] of (object, colour, state) codes.

    Codes are categories, not intensities: each becomes an indicator, and three 2×2 convolutions of stride 1 follow.
    ``codes`` bounds each channel's codes (MiniGrid has 11 objects, 6 colours and 4 states at most).
    """

    offset: Tensor
    highest: Tensor
    lowest: Tensor

    def __init__(self, space: spaces.Box, codes: Sequence[int] = (11, 6, 4)) -> None:
        super().__init__()
        if len(space.shape) != 3 or space.shape[-1] != len(codes):
            raise ConfigError(f"the grid encoder needs observations [H, W, {len(codes)}], not {space.shape}.")
        self.codes = tuple(codes)
        height, width, _ = space.shape
        first = torch.tensor([0, *np.cumsum(codes)[:-1].tolist()])
        self.register_buffer("offset", first, persistent=False)
        self.register_buffer("highest", torch.tensor(codes) - 1, persistent=False)
        self.register_buffer("lowest", torch.zeros(len(codes), dtype=torch.int64), persistent=False)
        self._refusal = (
            f"the grid encoder knows {list(self.codes)} codes in the channels of a grid, and an observation holds "
            "others; for anything but MiniGrid's codes use encoder='flat'."
        )
        self.convolutions = nn.Sequential(
            nn.Conv2d(sum(codes), 16, 2), nn.ReLU(), nn.Conv2d(16, 32, 2), nn.ReLU(), nn.Conv2d(32, 64, 2), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        if height < 4 or width < 4:
            raise ConfigError(f"a grid of {height}×{width} is too small for the grid encoder; use encoder='flat'.")
        self.out_features = 64 * (height - 3) * (width - 3)

    def forward(self, obs: Tensor) -> Tensor:
        inside, one = _within(obs.long(), self.lowest, self.highest, self._refusal)
        index = (inside + self.offset).permute(0, 3, 1, 2)  # [B, 3, H, W]
        one = one.permute(0, 3, 1, 2) if isinstance(one, Tensor) else one
        planes = torch.zeros(obs.shape[0], sum(self.codes), *index.shape[2:], device=obs.device)
        features: Tensor = self.convolutions(planes.scatter_(1, index, one))
        return features


def module_names(keys: Iterable[str]) -> list[str]:
    """Names under which torch takes modules, one for each key.

    A dot becomes a slash; "~" follows as often as needed where the name is empty, taken, or a ModuleDict's own, such as
    "keys" or "training".
    """
    names: list[str] = []
    own = nn.ModuleDict()
    for key in keys:
        name = key.replace(".", "/")
        while not name or name in names or hasattr(own, name):
            name += "~"
        names.append(name)
    return names


class Join(Encoder):
    """A dictionary of observations: each key has its encoder, the features are concatenated in the key's order."""

    def __init__(self, encoders: dict[str, Encoder]) -> None:
        super().__init__()
        self.keys = list(encoders)
        self.encoders = nn.ModuleDict(dict(zip(module_names(encoders), encoders.values(), strict=True)))
        self.out_features = sum(e.out_features for e in encoders.values())

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        return torch.cat([encoder(obs[key]) for key, encoder in zip(self.keys, self.encoders.values(), strict=True)], 1)

    def update_normaliser(self, obs: Observation, mask: Bool[Tensor, "B"]) -> None:
        if isinstance(obs, dict):
            for key, encoder in zip(self.keys, self.encoders.values(), strict=True):
                cast(Encoder, encoder).update_normaliser(obs[key], mask)


def make_encoder(
    space: gym.Space[object],
    kind: EncoderKind = "auto",
    *,
    normalise: bool = False,
    scaling: Scaling = "bounds",
    makers: Mapping[str, Callable[..., Encoder]] | None = None,
) -> Encoder:
    """The encoder for an observation space; its ``out_features`` is the width of what it returns.

    ``auto`` takes ``nature`` for pictures (`is_picture_like`) of at least 36×36, ``impala`` for smaller ones from
    16×16, ``grid`` for small symbolic grids [H, W, 3] of bytes, indicators for categories, and ``flat`` for the rest.
    It warns where the rest has the shape of a picture. Dictionaries are encoded key by key.
    ``normalise`` gives vectors of numbers a running `Normaliser`; pictures and categories stay as they are.
    ``scaling`` says what else is done to numbers; see `jostle.nn.scaling`. ``makers`` make the encoders of some keys of
    a dictionary, from (space, normalise=…).

    Raises:
        ConfigError: the space cannot be encoded, or not by the encoder asked for.
    """
    if isinstance(space, spaces.Dict):
        kinds = {key: kind if _is_image(s) else "auto" for key, s in space.spaces.items()}
        found: dict[str, Encoder] = {}
        for key, part in space.spaces.items():
            make = (makers or {}).get(key)
            how: dict[str, Any] = {} if make is not None else {"kind": kinds[key], "scaling": scaling}
            found[key] = (make or make_encoder)(part, normalise=normalise, **how)
        return Join(found)
    if isinstance(space, spaces.Discrete):
        return OneHot([int(space.n)], int(space.start))
    if isinstance(space, spaces.MultiDiscrete):
        return OneHot(space.nvec.ravel().tolist(), space.start.ravel().tolist())
    if isinstance(space, spaces.MultiBinary):
        return Flat(space)
    if not isinstance(space, spaces.Box):
        raise ConfigError(f"observations of type {type(space).__name__} cannot be encoded; flatten them in a wrapper.")
    if 0 in space.shape:
        raise ConfigError(f"observations {space.shape} hold nothing; leave them out in a wrapper.")
    if kind == "auto":
        kind = _auto(space, scaling)
    if kind not in _BOX_ENCODERS:
        raise ConfigError(f"encoder '{kind}' is unknown; {closest(kind, ['auto', *_BOX_ENCODERS])}.")
    if kind == "flat":
        return Flat(space, normalise=normalise, scaling=scaling)
    return Grid(space) if kind == "grid" else _BOX_ENCODERS[kind](space, scaling=scaling)


_BOX_ENCODERS: dict[str, Callable[..., Encoder]] = {
    "flat": Flat,
    "nature": Nature,
    "nature-k4": partial(Nature, kernel=4),
    "impala": Impala,
    "impala-gap": partial(Impala, pooled=True),
    "grid": Grid,
}


def _is_image(space: gym.Space[object]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) >= 2


def _auto(space: spaces.Box, scaling: Scaling) -> EncoderKind:
    if is_picture_like(space, scaling):
        if is_sizeable(space, 36):
            return "nature"
        if is_sizeable(space):
            return "impala"
        if space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[-1] == 3 and is_sizeable(space, 4):
            return "grid"
    if scaling == "bounds":
        _warn_of_flat(space)
    return "flat"


def _warn_of_flat(space: spaces.Box) -> None:
    """Say so where a picture may have been taken for a vector."""
    whole, dimensions = space.dtype.kind in "iub", len(space.shape)
    matrix = dimensions == 2 and whole and is_scalable(space) and is_sizeable(space, 36)
    if not (matrix or (dimensions > 2 and is_sizeable(space, 8))):
        return
    if is_picture_like(space) or dimensions == 2:
        why, remedy = "", "encoder='impala' takes them for pictures"
    else:
        why = ", for they have no bounds to be scaled by"
        remedy = "declare these in a wrapper (gymnasium.wrappers.RescaleObservation) if they are pictures"
    warnings.warn(
        f"observations {list(space.shape)} of {space.dtype} are flattened to a vector{why}: {remedy}, and "
        "encoder='flat' ends this warning.",
        stacklevel=4,
    )
