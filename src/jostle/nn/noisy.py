"""NoisyNet's linear layer: y = (μʷ + σʷ∘εʷ) x + μᵇ + σᵇ∘εᵇ (Fortunato et al. 2017, Noisy Networks for Exploration)."""

import math
import warnings
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from jostle.errors import ConfigError
from jostle.nn.factorised import noisy_weight
from jostle.nn.independent import noise_product
from jostle.nn.linear import linear
from jostle.nn.noise import StochasticLayer
from jostle.nn.past_forward import watched

NoiseKind = Literal["factorised", "independent"]
BiasSigma = Literal["fan_in", "fan_out"]


class NoisyLinear(StochasticLayer):
    """A linear layer with learned noise, [..., p] → [..., q]; in place of `nn.Linear`, whose state dict it extends.

    Parameters: ``weight`` μʷ [q, p] and ``bias`` μᵇ [q] as in `nn.Linear`, ``weight_sigma`` σʷ [q, p] and
    ``bias_sigma`` σᵇ [q]. The sign of σ has no meaning.

    Args:
        in_features: p.
        out_features: q.
        bias: whether there is a bias (with noise).
        noise: ``factorised``, p + q normals per slot: εʷ_ji = f(ε_j) f(ε_i), εᵇ_j = f(ε_j), f(x) = sgn(x)√|x|, which
            the paper uses for DQN and Dueling; ``independent``, pq + q normals, which it uses for A3C.
        sigma0: σ₀. None: the paper's 0.5 (factorised; σ = σ₀/√p at the start) or 0.017 (independent; σ = σ₀).
        bias_sigma: initial σᵇ of factorised noise: the paper's σ₀/√p (``fan_in``), or σ₀/√q (``fan_out``), a
            widespread variant.
        device, dtype: as in `nn.Linear`.

    Raises:
        ConfigError: an unknown option, a width below 1, a σ₀ that is negative or not finite; in a forward pass, a draw
            of a shape that does not fit, no draw made yet, folded weights that are stale or asked to learn.
    """

    weight_sigma: nn.Parameter
    bias_sigma: nn.Parameter | None
    folded_weight: Tensor | None
    folded_bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        noise: NoiseKind = "factorised",
        sigma0: float | None = None,
        bias_sigma: BiasSigma = "fan_in",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(device=device, dtype=dtype)
        if in_features < 1 or out_features < 1:
            raise ConfigError(f"NoisyLinear needs widths of at least 1, not {in_features} → {out_features}.")
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None
        self._make_noisy(noise, sigma0, bias_sigma)
        self.reset_parameters()

    def _make_noisy(self, noise: NoiseKind, sigma0: float | None, bias_sigma: BiasSigma) -> None:
        """Add σ and everything else that a linear layer lacks; parameters stand as weight, its σ, bias, its σ."""
        check_noise(noise, sigma0, bias_sigma)
        self.kind, self.bias_sigma_init = noise, bias_sigma
        self.sigma0 = sigma0 if sigma0 is not None else {"factorised": 0.5, "independent": 0.017}[noise]
        means = dict(self._parameters)
        self._parameters.clear()
        for name in ("weight", "bias"):
            mean = means[name]
            sigma = None if mean is None else nn.Parameter(torch.empty_like(mean), requires_grad=mean.requires_grad)
            self._parameters[name], self._parameters[f"{name}_sigma"] = mean, sigma
        self.register_buffer("folded_weight", None, persistent=False)
        self.register_buffer("folded_bias", None, persistent=False)
        self.reset_sigma()

    @property
    def weight(self) -> Tensor:
        """μʷ [q, p]."""
        mean = self._mean("weight")
        assert mean is not None
        return mean

    @weight.setter
    def weight(self, value: Tensor) -> None:
        self.__dict__["weight"] = value  # of a replica: parameters do not come here

    @property
    def bias(self) -> Tensor | None:
        """μᵇ [q], or None."""
        return self._mean("bias")

    @bias.setter
    def bias(self, value: Tensor | None) -> None:
        if value is None and "bias" not in self.__dict__:
            self._parameters["bias"] = None
        else:
            self.__dict__["bias"] = value

    def _mean(self, name: str) -> Tensor | None:
        """μ as others see it: watched while it is no mean that a pass should use."""
        if name in self.__dict__:
            held: Tensor | None = self.__dict__[name]
            return held
        try:
            mean = self._parameters[name]
        except KeyError:
            raise AttributeError(f"this layer has no {name} yet") from None
        return mean if mean is None or self.selection.mode == "mean" else watched(self, name, mean)

    @property
    def means(self) -> tuple[Tensor, Tensor | None]:
        """μʷ and μᵇ as the layer itself uses them."""
        own = self._parameters
        if "weight" in own:
            return own["weight"], own["bias"]  # type: ignore[return-value]
        return self.weight, self.bias  # of a replica, or computed by a parametrisation

    @property
    def sigmas(self) -> list[nn.Parameter]:
        """σʷ and, if there is a bias, σᵇ."""
        return [self.weight_sigma] if self.bias_sigma is None else [self.weight_sigma, self.bias_sigma]

    def learned(self) -> tuple[Tensor, Tensor]:
        return self.means[0], self.weight_sigma

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The paper's start: μ ~ U[±1/√p], σ = σ₀/√p (factorised); μ ~ U[±√(3/p)], σ = σ₀ (independent)."""
        bound = math.sqrt((1 if self.kind == "factorised" else 3) / self.in_features)
        for mean in self.means:
            if mean is not None:
                nn.init.uniform_(mean, -bound, bound)
        self.reset_sigma()

    @torch.no_grad()
    def reset_sigma(self) -> None:
        """The start of σ alone."""
        fan = self.in_features if self.bias_sigma_init == "fan_in" else self.out_features
        factorised = self.kind == "factorised"
        self.weight_sigma.fill_(self.sigma0 / math.sqrt(self.in_features) if factorised else self.sigma0)
        if self.bias_sigma is not None:
            self.bias_sigma.fill_(self.sigma0 / math.sqrt(fan) if factorised else self.sigma0)

    @property
    def noise_size(self) -> int:
        p, q = self.in_features, self.out_features
        return p + q if self.kind == "factorised" else q * p + q

    def transform(self, normals: Float[Tensor, "S N"]) -> Float[Tensor, "S N"]:
        """f(x) = sgn(x)√|x| for factorised noise; independent noise is the normals themselves."""
        return torch.copysign(normals.abs().sqrt_(), normals) if self.kind == "factorised" else normals

    def forward(self, x: Float[Tensor, "*B p"]) -> Float[Tensor, "*B q"]:
        selection = self.selection
        if selection.mode == "mean":
            return linear(x, *self.means)
        if selection.mode == "folded":
            return self._folded(x)
        selection.require_drawn()
        draw = selection.draw
        if draw.ndim == 0:
            return self._shared(x, draw)
        if draw.shape != x.shape[: draw.ndim] or draw.ndim >= x.ndim:
            raise ConfigError(f"draw of shape {tuple(draw.shape)} does not fit an input of shape {tuple(x.shape)}.")
        return self._per_row(x, draw)

    def _folded(self, x: Tensor) -> Tensor:
        self.selection.require_folded()
        assert self.folded_weight is not None
        if torch.is_grad_enabled() and self.weight_sigma.requires_grad:
            raise ConfigError(
                "folded weights are constants, so nothing would be learned: use mode 'sampled', or no_grad."
            )
        return linear(x, self.folded_weight, self.folded_bias)

    def _shared(self, x: Tensor, slot: Tensor) -> Tensor:
        """All rows under one slot."""
        weight, bias = self.means
        row = self.noise.index_select(0, slot.view(1)).view(-1)  # a copy: a redraw before backward cannot touch it
        if self.kind == "independent":
            eps_weight, eps_bias = self._independent(row)
            return linear(x, torch.addcmul(weight, self.weight_sigma, eps_weight), self._noisy_bias(bias, eps_bias))
        f_in, f_out = self._factors(row)
        if x.numel() == self.in_features:  # for one row, forming a noisy weight costs more than the products themselves
            return self._two_products(x, f_in, f_out)
        noisy = noisy_weight(weight, self.weight_sigma, f_in, f_out)
        return linear(x, noisy, self._noisy_bias(bias, f_out))

    def _per_row(self, x: Tensor, draw: Tensor) -> Tensor:
        """Row b under slot draw[b]; no weight per row is ever formed."""
        draw = draw.reshape(*draw.shape, *[1] * (x.ndim - 1 - draw.ndim))
        if self.kind == "factorised":
            rows = self.noise.index_select(0, draw.reshape(-1)).view(*draw.shape, self.noise_size)
            return self._two_products(x, *self._factors(rows))
        y = linear(x, *self.means)
        y = y + noise_product(x.to(y.dtype), draw.expand(x.shape[:-1]), self.weight_sigma, self.noise)
        if self.bias_sigma is None:
            return y
        eps_bias = self.noise[:, -self.out_features :].index_select(0, draw.reshape(-1))
        return y + (self.bias_sigma * eps_bias).to(y.dtype).view(*draw.shape, self.out_features)

    def _two_products(self, x: Tensor, f_in: Tensor, f_out: Tensor) -> Tensor:
        """y = x μʷᵀ + μᵇ + ((x∘f_in) σʷᵀ + σᵇ)∘f_out: factorised noise needs no noisy weight."""
        noisy = linear(x * f_in.to(x.dtype), self.weight_sigma, self.bias_sigma)
        return torch.addcmul(linear(x, *self.means), noisy, f_out.to(noisy.dtype))

    def _noisy_bias(self, bias: Tensor | None, eps: Tensor) -> Tensor | None:
        if bias is None or self.bias_sigma is None:
            return None
        return torch.addcmul(bias, self.bias_sigma, eps)

    def _independent(self, row: Tensor) -> tuple[Tensor, Tensor]:
        return row[: -self.out_features].view(self.out_features, self.in_features), row[-self.out_features :]

    def _factors(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows[..., : self.in_features], rows[..., self.in_features :]

    @torch.no_grad()
    def fold(self, slot: int) -> None:
        """Write μ + σ∘ε of a slot into the folded weight and bias, in place."""
        self.selection.require_drawn()
        weight, bias = self.means
        if self.folded_weight is None:
            with torch.inference_mode(False):
                self.folded_weight = torch.empty_like(weight, requires_grad=False)
                self.folded_bias = None if bias is None else torch.empty_like(bias, requires_grad=False)
        if self.kind == "factorised":
            f_in, eps_bias = self._factors(self.noise[slot])
            torch.mul(self.weight_sigma, eps_bias[:, None], out=self.folded_weight)
            torch.addcmul(weight, self.folded_weight, f_in, out=self.folded_weight)
        else:
            eps_weight, eps_bias = self._independent(self.noise[slot])
            torch.addcmul(weight, self.weight_sigma, eps_weight, out=self.folded_weight)
        if bias is not None and self.bias_sigma is not None:
            torch.addcmul(bias, self.bias_sigma, eps_bias, out=self.folded_bias)

    @staticmethod
    def from_linear(
        linear: nn.Linear,
        *,
        noise: NoiseKind = "factorised",
        sigma0: float | None = None,
        bias_sigma: BiasSigma = "fan_in",
    ) -> "NoisyLinear":
        """A linear layer made noisy: the very object, so that its hooks, its owners and its optimiser keep it.

        Its parameters are μ, and σ starts anew, frozen where they are.

        Raises:
            ConfigError: a bad option, or a weight that is computed from others.
        """
        check_noise(noise, sigma0, bias_sigma)
        if is_computed(linear):
            raise ConfigError(f"{linear} computes its weight from others: take that off first, as `to_noisy` says.")
        device, dtype = linear.weight.device, linear.weight.dtype
        linear.__class__ = NoisyLinear  # type: ignore[assignment]
        assert isinstance(linear, NoisyLinear)
        linear._begin(device, dtype)
        linear._make_noisy(noise, sigma0, bias_sigma)
        return linear

    def to_linear(self) -> nn.Linear:
        """The mean layer: the very object, a linear one again."""
        for name in ("weight_sigma", "bias_sigma"):
            del self._parameters[name]
        for name in ("noise", "folded_weight", "folded_bias"):
            delattr(self, name)
        for name in ("_selection", "kind", "bias_sigma_init", "sigma0"):
            del self.__dict__[name]
        self.__class__ = nn.Linear  # type: ignore[assignment]
        return self  # type: ignore[return-value]

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.means[1] is not None}, "
            f"noise={self.kind}, sigma0={self.sigma0:g}"
        )


def check_noise(noise: str, sigma0: float | None, bias_sigma: str) -> None:
    """Raises: ConfigError for options that no `NoisyLinear` has."""
    if noise not in ("factorised", "independent"):
        raise ConfigError(f"NoisyLinear's noise is 'factorised' or 'independent', not {noise!r}.")
    if bias_sigma not in ("fan_in", "fan_out"):
        raise ConfigError(f"NoisyLinear's bias_sigma is 'fan_in' or 'fan_out', not {bias_sigma!r}.")
    if noise == "independent" and bias_sigma != "fan_in":
        raise ConfigError("NoisyLinear's bias_sigma applies to factorised noise alone: leave it out.")
    if sigma0 is not None and not (math.isfinite(sigma0) and sigma0 >= 0):
        raise ConfigError(f"NoisyLinear's sigma0 is a finite number of at least 0, not {sigma0}.")


def is_computed(layer: nn.Linear) -> bool:
    """Whether a layer's weight or bias is no parameter of its own, but made of some (weight norm, pruning …)."""
    return is_parametrized(layer) or set(layer._parameters) != {"weight", "bias"}


def noisy_layers(module: nn.Module) -> dict[str, NoisyLinear]:
    """The noisy linear layers of a network by name, such as those that `to_noisy` has made."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, NoisyLinear)}


def to_noisy(
    module: nn.Module,
    where: Callable[[str, nn.Module], bool] | None = None,
    *,
    noise: NoiseKind = "factorised",
    sigma0: float | None = None,
    bias_sigma: BiasSigma = "fan_in",
) -> nn.Module:
    """Make the `nn.Linear` layers of a network noisy, in place; `noisy_layers` tells which ones they are.

    Each stays the object that it was, with its weights, hooks and name; σ of a frozen layer is frozen too. Do it before
    making the optimiser, which would not know of σ. Subclasses of `nn.Linear` stay plain, with a warning, because their
    owners may compute with the weights past `forward` (attention does). Whoever does so with a noisy layer is refused
    at that moment.

    Args:
        module: the network.
        where: says by name and layer which ones to change; None: all.
        noise, sigma0, bias_sigma: as in `NoisyLinear`.

    Returns:
        The network.

    Raises:
        ConfigError: there is nothing to change, a lazy layer has no shape yet, or a weight is computed from others
            (weight norm, spectral norm, pruning). Nothing is changed then.
    """
    check_noise(noise, sigma0, bias_sigma)
    linear = {name: m for name, m in module.named_modules() if isinstance(m, nn.Linear)}
    chosen = {name: m for name, m in linear.items() if where is None or where(name, m)}
    for name, layer in chosen.items():
        if isinstance(layer, nn.LazyLinear):
            raise ConfigError(f"layer '{name}' is lazy and has no shape yet: run one forward pass before to_noisy.")
        if is_computed(layer):
            raise ConfigError(
                f"layer '{name}' has no weight of its own but computes it (weight_norm, spectral_norm, pruning …): "
                "take that off before to_noisy (torch.nn.utils.parametrize.remove_parametrizations, "
                "torch.nn.utils.remove_weight_norm or remove_spectral_norm, prune.remove), or leave the layer out by "
                "`where`."
            )
    plain = {name: layer for name, layer in chosen.items() if type(layer) is nn.Linear}
    if not plain:
        raise ConfigError(f"to_noisy found no nn.Linear to change in {type(module).__name__}: check `where`.")
    left = [f"{name} ({type(layer).__name__})" for name, layer in chosen.items() if name not in plain]
    if left:
        warnings.warn(
            f"to_noisy leaves {', '.join(left)} without noise, for the weights of such layers may be computed with "
            "past their forward: leave them out by `where`, and this warning ends.",
            stacklevel=2,
        )
    for layer in plain.values():
        NoisyLinear.from_linear(layer, noise=noise, sigma0=sigma0, bias_sigma=bias_sigma)
    return module


def to_linear(module: nn.Module) -> nn.Module:
    """Make every noisy layer of a network its mean layer, in place; returns the network."""
    for layer in noisy_layers(module).values():
        layer.to_linear()
    return module
