"""Network Randomization's layer: a convolution with random, frozen weights before the encoder (Lee et al. 2020).

Lee, Lee, Shin and Lee, Network Randomization: A Simple Technique for Generalization in Deep Reinforcement Learning,
ICLR 2020. Where paper and code (pokaxpoka/netrand) differ, an option has both.
"""

import itertools
import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.errors import ConfigError, closest
from jostle.nn.input_layer import InputLayer, Region, uniform

Init = Literal["xavier", "xavier-truncated"]
Mixing = Literal["bypass", "identity"]
OutputMap = Literal["none", "clip", "sigmoid", "moments"]

PIECE = 16
"""Rows with a φ each that are convolved together on a CPU."""
TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a standard normal that is cut off at ±2."""


class RandomConv2d(InputLayer):
    """x̂ = φ ∗ x with φ of a slot, [B, k·C, H, W] → [B, k·C, H, W]: C channels to C channels, stride 1, zeros around.

    All k frames of a row share φ. There is no bias and no activation, and nothing learns: φ is noise of the contract,
    neither a parameter nor part of the state dict. ``depth`` convolutions, each with a φ of its own, follow each other.

    When φ is drawn and for whom (per iteration, environment, episode or sample) is decided by whoever owns the `Noise`:
    one slot for all rows is one convolution, a slot per row one grouped convolution.

    Args:
        channels, frames, keep: as in `InputLayer`. CoinRun at 64×64 paints the velocity into the top 12.8 × 25.6 pixels
            on the left; the official code keeps (0, 0, 12, 24), which leaves a seam outside.
        kernel_size: of all convolutions, odd.
        depth: number of convolutions.
        init: ``xavier``: normal with standard deviation √(2 / (fan_in + fan_out)), both fans being C·kernel_size²:
            0.19245 for 3 channels and 3×3. On average over φ, x̂² is then the mean of x² over the window.
            ``xavier-truncated``: a normal cut off at two of its standard deviations and 1/0.8796 times as wide, so that
            the deviation is the same after the cut. TensorFlow's `glorot_normal`, which the official code uses, is
            truncated so; its early versions were not widened (0.16929).
        clean: α, the probability of a clean slot (the official code's REAL_THRES is 1 − α).
        mixing: what a clean slot does. ``bypass``, as in the code: the whole layer is left out, and φ of that slot can
            still be had in mode ``randomised``, so that feature matching goes on. ``identity``, as the paper is
            described: φ itself is the identity kernel, in every mode. Then the output map still applies (``sigmoid``
            changes the picture, the others do not), and feature matching has nothing to match.
        output: ``none``, as in the paper and the code, where values may leave [0, 1]; ``clip`` to [0, 1]; ``sigmoid``;
            ``moments``: shifted and scaled so that mean and standard deviation over all channels and pixels of a row,
            the kept region aside, are those of the input. Matching each channel would take back the change of colour,
            and each frame on its own would let a stack flicker.

    Raises:
        ConfigError: as in `InputLayer`, an even or negative kernel size, no depth, or an unknown option.
    """

    def __init__(
        self,
        channels: int = 3,
        frames: int = 1,
        *,
        kernel_size: int = 3,
        depth: int = 1,
        init: Init = "xavier",
        clean: float = 0.0,
        mixing: Mixing = "bypass",
        output: OutputMap = "none",
        keep: Region | None = None,
    ) -> None:
        super().__init__(channels, frames, clean=clean, keep=keep)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"RandomConv2d's kernel_size is an odd number, not {kernel_size}.")
        if depth < 1:
            raise ConfigError(f"RandomConv2d's depth is at least 1, not {depth}.")
        for option, value, known in (
            ("init", init, ("xavier", "xavier-truncated")),
            ("mixing", mixing, ("bypass", "identity")),
            ("output", output, ("none", "clip", "sigmoid", "moments")),
        ):
            if value not in known:
                raise ConfigError(f"RandomConv2d's {option} {value!r} is unknown; {closest(str(value), known)}.")
        self.kernel_size, self.depth, self.init, self.mixing, self.output = kernel_size, depth, init, mixing, output
        fan = channels * kernel_size**2
        self.std = math.sqrt(2 / (fan + fan))

    @property
    def draw_size(self) -> int:
        return self.depth * self.channels**2 * self.kernel_size**2

    def parameters_of(self, normals: Float[Tensor, "S P"], clean: Bool[Tensor, "S 1"]) -> Float[Tensor, "S P"]:
        """φ, as [depth, C, C, kernel, kernel] in a row; the identity in clean slots where ``mixing`` says so."""
        phi = normals if self.init == "xavier" else truncated(normals) / TRUNCATED_STD
        phi = phi * self.std
        return torch.where(clean, self._identity(normals), phi) if self.mixing == "identity" else phi

    def bypasses(self, flags: Bool[Tensor, "S"]) -> Bool[Tensor, "S"]:
        # The identity kernel changes nothing, but what the output map makes of it is to be seen.
        return flags if self.mixing == "bypass" or self.output in ("none", "clip") else torch.zeros_like(flags)

    def randomise(
        self, x: Float[Tensor, "B C H W"], parameters: Float[Tensor, "S P"], hidden: Bool[Tensor, "H W"] | None
    ) -> Float[Tensor, "B C H W"]:
        shape = self.depth, self.channels, self.channels, self.kernel_size, self.kernel_size
        phi, y = parameters.view(-1, *shape), x
        runs = [] if len(phi) == 1 else _runs(parameters)
        for layer in range(self.depth):
            if len(phi) == 1:
                y = shared_conv(y, phi[0, layer], self.frames)
            elif runs:
                y = torch.cat([shared_conv(y[a:b], phi[a, layer], self.frames) for a, b in runs])
            else:
                y = conv_per_row(y, phi[:, layer], self.frames)
        if self.output == "clip":
            return y.clamp(0.0, 1.0)
        if self.output == "sigmoid":
            return y.sigmoid()
        return match_moments(y.to(x.dtype), x, hidden) if self.output == "moments" else y

    def _identity(self, like: Tensor) -> Float[Tensor, "1 P"]:
        middle = self.kernel_size // 2
        kernel = like.new_zeros(self.depth, self.channels, self.channels, self.kernel_size, self.kernel_size)
        kernel[:, :, :, middle, middle] = torch.eye(self.channels, dtype=like.dtype, device=like.device)
        return kernel.view(1, -1)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, kernel_size={self.kernel_size}, depth={self.depth}, init={self.init}, "
            f"mixing={self.mixing}, output={self.output}"
        )


def _runs(parameters: Float[Tensor, "B P"]) -> list[tuple[int, int]]:
    """(first, past the last) of the runs of rows with one φ, where they are long enough to be convolved one by one.

    Many draws over one batch come so. Empty where they are short, or where looking would wait or break a graph.
    """
    if parameters.device.type != "cpu" or torch.compiler.is_compiling():
        return []
    changes = (parameters[1:] != parameters[:-1]).any(1).nonzero().view(-1) + 1
    if len(changes) >= len(parameters) // 4:
        return []
    ends = [0, *changes.tolist(), len(parameters)]
    return list(itertools.pairwise(ends))


def shared_conv(x: Float[Tensor, "B kC H W"], phi: Float[Tensor, "C C s s"], frames: int) -> Float[Tensor, "B kC H W"]:
    """φ ∗ every frame of every row.

    Channels-last, and frames as blocks on the diagonal of one kernel, is the fastest way on a CPU (with three or four
    channels several times so, benchmarks/random_conv.py).
    """
    channels, size = len(phi), phi.shape[-1]
    if frames > 1:
        blocks = phi.new_zeros(frames, channels, frames, channels, size, size)
        index = torch.arange(frames, device=phi.device)
        blocks[index, :, index] = phi
        phi = blocks.view(frames * channels, frames * channels, size, size)
    return F.conv2d(x.contiguous(memory_format=torch.channels_last), phi, padding=size // 2)


def conv_per_row(
    x: Float[Tensor, "B kC H W"], phi: Float[Tensor, "B C C s s"], frames: int
) -> Float[Tensor, "B kC H W"]:
    """φ_b ∗ every frame of row b, by convolutions with a group for each frame of each row.

    On a CPU `PIECE` rows go together, which stay in its cache while they change their layout and back.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return _grouped(x, phi, frames)
    pieces = zip(torch.split(x, PIECE), torch.split(phi, PIECE), strict=True)
    return torch.cat([_grouped(rows, kernels, frames) for rows, kernels in pieces])


def _grouped(x: Float[Tensor, "B kC H W"], phi: Float[Tensor, "B C C s s"], frames: int) -> Float[Tensor, "B kC H W"]:
    channels, size = phi.shape[1], phi.shape[-1]
    kernels = phi.unsqueeze(1).expand(-1, frames, -1, -1, -1, -1).reshape(-1, channels, size, size)
    flat = x.reshape(1, -1, *x.shape[2:])
    y = F.conv2d(flat, kernels, padding=size // 2, groups=len(x) * frames).view(x.shape)
    return y.contiguous(memory_format=torch.channels_last)


def match_moments(
    y: Float[Tensor, "B C H W"], x: Float[Tensor, "B C H W"], hidden: Bool[Tensor, "H W"] | None
) -> Float[Tensor, "B C H W"]:
    """y, shifted and scaled so that each row's mean and standard deviation over (C, H, W) are those of x.

    ``hidden`` pixels do not count. A y without any spread becomes x's mean.
    """
    seen = torch.ones((), device=x.device) if hidden is None else (~hidden).to(x.dtype)
    count = x.shape[1] * seen.expand(x.shape[2:]).sum()
    mean_x, mean_y = ((z * seen).sum((1, 2, 3), keepdim=True) / count for z in (x, y))
    var_x, var_y = (
        ((z - mean) * seen).square().sum((1, 2, 3), keepdim=True) / count for z, mean in ((x, mean_x), (y, mean_y))
    )
    # Clamped before the root, whose gradient at 0 is infinite.
    return (y - mean_y) * (var_x.clamp(min=1e-12).sqrt() / var_y.clamp(min=1e-12).sqrt()) + mean_x


def truncated(normals: Float[Tensor, "S N"]) -> Float[Tensor, "S N"]:
    """Standard normals turned into ones that are cut off at ±2, rank for rank (inverse distribution function)."""
    low, high = (float(torch.special.ndtr(torch.tensor(end, dtype=torch.float64))) for end in (-2.0, 2.0))
    cut: Tensor = torch.special.ndtri(low + uniform(normals) * (high - low))
    return cut
