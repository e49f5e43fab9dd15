"""NoisyNet's linear layer: y = (μʷ + σʷ∘εʷ) x + μᵇ + σᵇ∘εᵇ (Fortunato et al. 2017, Noisy Networks for Exploration)."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.nn.factorised import noisy_weight
from jostle.nn.independent import noise_product
from jostle.nn.linear import linear
from jostle.nn.noise import StochasticLayer

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

    weight: nn.Parameter
    bias: nn.Parameter | None
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
        if noise not in ("factorised", "independent"):
            raise ConfigError(f"NoisyLinear's noise is 'factorised' or 'independent', not {noise!r}.")
        if bias_sigma not in ("fan_in", "fan_out"):
            raise ConfigError(f"NoisyLinear's bias_sigma is 'fan_in' or 'fan_out', not {bias_sigma!r}.")
        if noise == "independent" and bias_sigma != "fan_in":
            raise ConfigError("NoisyLinear's bias_sigma applies to factorised noise alone: leave it out.")
        if sigma0 is not None and not (math.isfinite(sigma0) and sigma0 >= 0):
            raise ConfigError(f"NoisyLinear's sigma0 is a finite number of at least 0, not {sigma0}.")
        self.in_features, self.out_features = in_features, out_features
        self.kind, self.bias_sigma_init = noise, bias_sigma
        self.sigma0 = sigma0 if sigma0 is not None else {"factorised": 0.5, "independent": 0.017}[noise]
        for name in ("weight", "weight_sigma"):
            setattr(self, name, nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype)))
        for name in ("bias", "bias_sigma"):
            empty = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, empty)
        self.register_buffer("folded_weight", None, persistent=False)
        self.register_buffer("folded_bias", None, persistent=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The paper's start: μ ~ U[±1/√p], σ = σ₀/√p (factorised); μ ~ U[±√(3/p)], σ = σ₀ (independent)."""
        bound = math.sqrt((1 if self.kind == "factorised" else 3) / self.in_features)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)
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
            return linear(x, self.weight, self.bias)
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
        row = self.noise.index_select(0, slot.view(1)).view(-1)  # a copy: a redraw before backward cannot touch it
        if self.kind == "independent":
            eps_weight, eps_bias = self._independent(row)
            return linear(x, torch.addcmul(self.weight, self.weight_sigma, eps_weight), self._noisy_bias(eps_bias))
        f_in, f_out = self._factors(row)
        if x.numel() == self.in_features:  # for one row, forming a noisy weight costs more than the products themselves
            return self._two_products(x, f_in, f_out)
        weight = noisy_weight(self.weight, self.weight_sigma, f_in, f_out)
        return linear(x, weight, self._noisy_bias(f_out))

    def _per_row(self, x: Tensor, draw: Tensor) -> Tensor:
        """Row b under slot draw[b]; no weight per row is ever formed."""
        draw = draw.reshape(*draw.shape, *[1] * (x.ndim - 1 - draw.ndim))
        if self.kind == "factorised":
            rows = self.noise.index_select(0, draw.reshape(-1)).view(*draw.shape, self.noise_size)
            return self._two_products(x, *self._factors(rows))
        y = linear(x, self.weight, self.bias)
        y = y + noise_product(x.to(y.dtype), draw.expand(x.shape[:-1]), self.weight_sigma, self.noise)
        if self.bias_sigma is None:
            return y
        eps_bias = self.noise[:, -self.out_features :].index_select(0, draw.reshape(-1))
        return y + (self.bias_sigma * eps_bias).to(y.dtype).view(*draw.shape, self.out_features)

    def _two_products(self, x: Tensor, f_in: Tensor, f_out: Tensor) -> Tensor:
        """y = x μʷᵀ + μᵇ + ((x∘f_in) σʷᵀ + σᵇ)∘f_out: factorised noise needs no noisy weight."""
        noisy = linear(x * f_in.to(x.dtype), self.weight_sigma, self.bias_sigma)
        return torch.addcmul(linear(x, self.weight, self.bias), noisy, f_out.to(noisy.dtype))

    def _noisy_bias(self, eps: Tensor) -> Tensor | None:
        if self.bias is None or self.bias_sigma is None:
            return None
        return torch.addcmul(self.bias, self.bias_sigma, eps)

    def _independent(self, row: Tensor) -> tuple[Tensor, Tensor]:
        return row[: -self.out_features].view(self.out_features, self.in_features), row[-self.out_features :]

    def _factors(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows[..., : self.in_features], rows[..., self.in_features :]

    @torch.no_grad()
    def fold(self, slot: int) -> None:
        """Write μ + σ∘ε of a slot into the folded weight and bias, in place."""
        self.selection.require_drawn()
        if self.folded_weight is None:
            with torch.inference_mode(False):
                self.folded_weight = torch.empty_like(self.weight, requires_grad=False)
                self.folded_bias = None if self.bias is None else torch.empty_like(self.bias, requires_grad=False)
        if self.kind == "factorised":
            f_in, eps_bias = self._factors(self.noise[slot])
            torch.mul(self.weight_sigma, eps_bias[:, None], out=self.folded_weight)
            torch.addcmul(self.weight, self.folded_weight, f_in, out=self.folded_weight)
        else:
            eps_weight, eps_bias = self._independent(self.noise[slot])
            torch.addcmul(self.weight, self.weight_sigma, eps_weight, out=self.folded_weight)
        if self.bias is not None and self.bias_sigma is not None:
            torch.addcmul(self.bias, self.bias_sigma, eps_bias, out=self.folded_bias)

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        *,
        noise: NoiseKind = "factorised",
        sigma0: float | None = None,
        bias_sigma: BiasSigma = "fan_in",
    ) -> "NoisyLinear":
        """A noisy layer around a linear one: μ are its very parameters (optimisers keep them), σ starts anew."""
        weight, bias = linear.weight, linear.bias
        q, p = weight.shape
        layer = cls(p, q, bias is not None, noise=noise, sigma0=sigma0, bias_sigma=bias_sigma, device="meta")
        layer.noise = torch.empty(0, 0, device=weight.device, dtype=weight.dtype)
        layer.weight = weight  # type: ignore[assignment]
        layer.weight_sigma = nn.Parameter(torch.empty_like(weight))
        if bias is not None:
            layer.bias, layer.bias_sigma = bias, nn.Parameter(torch.empty_like(bias))
        layer.reset_sigma()
        return layer.train(linear.training)

    def to_linear(self) -> nn.Linear:
        """The mean layer: a linear one with μ's very parameters."""
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        linear.weight = self.weight
        if self.bias is not None:
            linear.bias = self.bias
        return linear.train(self.training)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"noise={self.kind}, sigma0={self.sigma0:g}"
        )


def _replace(
    module: nn.Module, make: Callable[[str, nn.Module], nn.Module | None], done: dict[nn.Module, nn.Module], path: str
) -> nn.Module:
    """`module` with every submodule for which `make` gives another one replaced; shared ones stay shared."""
    if module not in done:
        new = make(path, module)
        done[module] = module if new is None else new
        if new is None:
            for name, child in list(module._modules.items()):  # named_children leaves out a child's second name
                if child is not None:
                    setattr(module, name, _replace(child, make, done, f"{path}.{name}" if path else name))
    return done[module]


def to_noisy(
    module: nn.Module,
    where: Callable[[str, nn.Module], bool] | None = None,
    *,
    noise: NoiseKind = "factorised",
    sigma0: float | None = None,
    bias_sigma: BiasSigma = "fan_in",
) -> nn.Module:
    """Replace the `nn.Linear` layers of a network by noisy ones that keep their weights, in place.

    Subclasses of `nn.Linear` stay, because their owners may read the weights past `forward` (attention does).

    Args:
        module: the network.
        where: says by name and layer which ones to replace; None: all.
        noise, sigma0, bias_sigma: as in `NoisyLinear`.

    Returns:
        The network, or the new layer where `module` is itself an `nn.Linear`.

    Raises:
        ConfigError: nothing was replaced, or a lazy layer has no shape yet.
    """

    def make(name: str, layer: nn.Module) -> nn.Module | None:
        if isinstance(layer, nn.LazyLinear):
            raise ConfigError(f"layer '{name}' is lazy and has no shape yet: run one forward pass before to_noisy.")
        if type(layer) is not nn.Linear or not (where is None or where(name, layer)):
            return None
        return NoisyLinear.from_linear(layer, noise=noise, sigma0=sigma0, bias_sigma=bias_sigma)

    done: dict[nn.Module, nn.Module] = {}
    result = _replace(module, make, done, "")
    if all(old is new for old, new in done.items()):
        raise ConfigError(f"to_noisy found no nn.Linear to replace in {type(module).__name__}: check `where`.")
    return result


def to_linear(module: nn.Module) -> nn.Module:
    """Replace every noisy layer of a network by its mean layer, in place; returns as `to_noisy` does."""
    return _replace(module, lambda _, m: m.to_linear() if isinstance(m, NoisyLinear) else None, {}, "")
