"""Spectra of kernels: how regular in space they are, measured against filters that nobody trained.

p = |FFT₂(kernel, padded with zeros)|², normalised to sum 1. D(p‖q) = Σ p log(p / q) in nats, q being the mean spectrum
of fresh filters of the same shape. Even fresh filters have D > 0, because each has a spectrum of its own and q is a
mean: D of held-out fresh filters is subtracted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from jostle.errors import ConfigError
from jostle.explain.results.kept import keep
from jostle.explain.weights.fresh import drawn_like
from jostle.explain.weights.start import initial_weights
from jostle.explain.weights.tensors import tensor_of
from jostle.view import as_view

if TYPE_CHECKING:
    import matplotlib.figure

SIZE = 16
"""Frequencies a side, unless a kernel is larger."""
FRESH = 4096
"""Fresh kernels of which q is the mean."""
TINY = 1e-12


def power_spectrum(kernels: Float[np.ndarray, "*N h w"], size: int = SIZE) -> Float[np.ndarray, "*N S S"]:
    """|FFT₂|² of kernels padded with zeros to S × S, each normalised to sum 1; frequency 0 is at [0, 0].

    A kernel of zeros, which has no spectrum, gets the flat one.

    Raises:
        ConfigError: kernels larger than S.
    """
    if max(kernels.shape[-2:]) > size:
        raise ConfigError(f"size={size} is smaller than kernels of {kernels.shape[-2]}×{kernels.shape[-1]}.")
    power = np.abs(np.fft.fft2(kernels, s=(size, size))) ** 2
    total = power.sum((-2, -1), keepdims=True)
    return np.where(total > 0, power / np.where(total > 0, total, 1.0), 1.0 / size**2)


def relative_entropy(p: Float[np.ndarray, "*N S S"], q: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "*N"]:
    """D(p‖q) = Σ p log(p / q) in nats; 0 log 0 = 0, and q is nowhere less than 10⁻¹²."""
    return np.asarray((p * np.log(np.maximum(p, TINY) / np.maximum(q, TINY))).sum((-2, -1)))


@dataclass(frozen=True)
class Spectra:
    """Spectra of the kernels of one layer.

    Attributes:
        policy, layer: whose.
        spectrum: their mean [S, S].
        reference: q, the mean of fresh kernels [S, S].
        divergence: D(p‖q) of each of N kernels, without what held-out fresh ones have of it in the mean.
        mean_divergence: D of the mean spectrum, likewise.
        null: ``mean_divergence`` of R held-out sets of as many fresh kernels [R].
        initial: ``mean_divergence`` of the first weights; None where they are not known.
    """

    policy: str
    layer: str
    spectrum: Float[np.ndarray, "S S"]
    reference: Float[np.ndarray, "S S"]
    divergence: Float[np.ndarray, "N"]
    mean_divergence: float
    null: Float[np.ndarray, "R"]
    initial: float | None = None

    @property
    def p(self) -> float:
        """The share of held-out fresh sets that lie as far from q, this one counted among them."""
        return float((1 + (self.null >= self.mean_divergence).sum()) / (1 + len(self.null)))

    @property
    def radial(self) -> tuple[Float[np.ndarray, "K"], Float[np.ndarray, "K"]]:
        """Power by frequency, of the kernels and of fresh ones: means over rings of equal |f|; 1 is a flat spectrum."""
        size = len(self.spectrum)
        f = np.fft.fftfreq(size, 1 / size)
        ring = np.hypot(*np.meshgrid(f, f)).round().astype(int).ravel()
        both = [np.bincount(ring, s.ravel()) / np.bincount(ring) * size**2 for s in (self.spectrum, self.reference)]
        return both[0], both[1]

    def plot(self) -> "matplotlib.figure.Figure":
        """The mean spectrum, that of fresh kernels, and the power by frequency."""
        from jostle.explain.weights.figures import plot_spectra

        return plot_spectra(self)

    def save(self, folder: str | Path, name: str = "spectra") -> list[Path]:
        """Write ``NAME.json``, ``NAME.png`` and ``NAME.npz``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {
            "policy": self.policy, "layer": self.layer, "D of the mean spectrum": self.mean_divergence, "p": self.p,
            "mean D of a kernel": float(self.divergence.mean()), "null": self.null, "initial": self.initial,
        }  # fmt: skip
        arrays = {"spectrum": self.spectrum, "reference": self.reference, "divergence": self.divergence}
        return keep(folder, name, data, self.plot, arrays)


def spectra(
    policy: Any,
    layer: str | None = None,
    *,
    initial: Any = None,
    size: int = SIZE,
    held_out: int = 200,
    seed: int = 0,
    **view: Any,
) -> Spectra:
    """How far the spectra of a layer's kernels are from those of fresh ones.

    Args:
        policy: whatever `jostle.as_view` takes.
        layer: of convolutions; None: the first layer.
        initial: first weights, like which fresh ones are drawn; None: drawn from a normal distribution, which has the
            same spectrum as any other that knows no place, since spectra are normalised.
        size: frequencies a side.
        held_out: R sets of fresh kernels for the null.
        seed: of fresh kernels.
        **view: further arguments of `jostle.as_view`.

    Raises:
        ConfigError: the layer has no kernels in the plane.
    """
    seen = as_view(policy, **view)
    tensor = tensor_of(seen, layer)
    if tensor.values.ndim != 4 or min(tensor.values.shape[2:]) < 2:
        raise ConfigError(
            f"the weights '{tensor.name}' of {seen.name} are {list(tensor.values.shape)}, which are no kernels in the "
            "plane: choose a layer of convolutions."
        )
    if held_out < 1:
        raise ConfigError(f"held_out={held_out} cannot be used: it must be at least 1.")
    size = max(size, *tensor.values.shape[2:])
    own = tensor.values.reshape(-1, *tensor.values.shape[2:])
    first = None if initial is None else initial_weights(initial).get(tensor.name)
    generator = torch.Generator().manual_seed(seed)
    sets = -(-FRESH // len(own))

    def fresh(count: int) -> Float[np.ndarray, "K N h w"]:
        if first is None:
            drawn = torch.randn(count, *own.shape, generator=generator).double()
        else:
            drawn = torch.stack([drawn_like(first, generator).double().reshape(own.shape) for _ in range(count)])
        return drawn.numpy()

    reference = power_spectrum(fresh(sets), size).mean((0, 1))
    held = power_spectrum(fresh(held_out), size)
    bias_each = float(relative_entropy(held, reference).mean())
    null = relative_entropy(held.mean(1), reference)
    bias = float(null.mean())
    p = power_spectrum(own, size)
    begun = None
    if first is not None:
        start = power_spectrum(first.double().cpu().numpy().reshape(own.shape), size)
        begun = float(relative_entropy(start.mean(0), reference)) - bias
    return Spectra(
        policy=seen.name,
        layer=tensor.name,
        spectrum=p.mean(0),
        reference=reference,
        divergence=relative_entropy(p, reference) - bias_each,
        mean_divergence=float(relative_entropy(p.mean(0), reference)) - bias,
        null=null - bias,
        initial=begun,
    )
