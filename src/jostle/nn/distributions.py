"""Action distributions that cost few operations, and what each action space makes of them.

`torch.distributions` validates, broadcasts and caches at every call, which on small batches costs more than the
network. Here a distribution is what PPO asks of it; sampling takes the generator it is given and no other.
``gradient`` is that of ``slope · log π(a) + pull · H`` for the parameters, each row with its own two numbers [B].
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.errors import ConfigError

LOG_STD_BOUND = 20.0
"""Gaussians clamp log σ to ±20, so that squares of 1/σ and ratios of two variances stay finite in float32."""
_NEVER = -1e30
"""A finite logit whose probability is exactly 0, so that 0·log 0 needs no special case."""
_LOG_2PI = math.log(2 * math.pi)
ActionScaling = Literal["bounds", "none"]
"""``bounds``: continuous actions from −1 to 1 fill the bounds of their space. ``none``: they are clipped to them."""


class Categorical:
    """One of A actions, int64 [B], from logits [B, A] of any scale."""

    def __init__(self, logits: Float[Tensor, "*B A"]) -> None:
        self.log_p = F.log_softmax(logits.float(), -1)

    def sample(self, generator: torch.Generator) -> Int[Tensor, "*B"]:
        """By inversion: the action whose stretch of the cumulated probabilities holds one uniform number."""
        cumulated = self.log_p.detach().exp().cumsum(-1)
        total = cumulated[..., -1:]  # 1 up to rounding
        uniform = torch.rand(total.shape, generator=generator, device=total.device)
        action = (cumulated <= uniform.mul_(total)).sum(-1)
        if cumulated.device.type == "cpu":
            return action
        # Sums in parallel may rise by rounding where nothing is added: an action that cannot be is none.
        action = action.clamp_(max=cumulated.shape[-1] - 1)
        return torch.where(self.log_prob(action) > 0.5 * _NEVER, action, self.mode())

    def mode(self) -> Int[Tensor, "*B"]:
        """The likeliest action."""
        return self.log_p.argmax(-1)

    def log_prob(self, action: Int[Tensor, "*B"]) -> Float[Tensor, "*B"]:
        """log π(a)."""
        return self.log_p.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Float[Tensor, "*B"]:
        """−Σ π log π in nats."""
        return -(self.log_p.exp() * self.log_p).sum(-1)

    def gradient(
        self, action: Int[Tensor, "*B"], slope: Float[Tensor, "*B"], pull: Float[Tensor, "*B"]
    ) -> Float[Tensor, "*B A"]:
        """slope · (1_a − π) − pull · π (log π + H)."""
        chosen, slope, pull = action.unsqueeze(-1), slope.unsqueeze(-1), pull.unsqueeze(-1)
        p = self.log_p.exp()
        entropy = -(p * self.log_p).sum(-1, keepdim=True)
        return (self.log_p + entropy).mul_(-pull).sub_(slope).mul_(p).scatter_add_(-1, chosen, slope)

    def kl(self, other: "Categorical") -> Float[Tensor, "*B"]:
        """KL(self ‖ other) in nats."""
        return (self.log_p.exp() * (self.log_p - other.log_p)).sum(-1)


class MultiCategorical:
    """D independent choices, int64 [B, D], of `counts` actions each, from logits [B, sum(counts)]."""

    def __init__(self, logits: Float[Tensor, "B P"], counts: Sequence[int]) -> None:
        self.counts, most = counts, max(counts)
        if min(counts) == most:
            parts = logits.reshape(len(logits), len(counts), most)
        else:  # choices with fewer actions are filled up with impossible ones: one batch instead of a loop
            split = torch.split(logits.float(), list(counts), 1)
            parts = torch.stack([F.pad(part, (0, most - part.shape[1]), value=_NEVER) for part in split], 1)
        self.each = Categorical(parts)

    def sample(self, generator: torch.Generator) -> Int[Tensor, "B D"]:
        """One action per choice."""
        return self.each.sample(generator)

    def mode(self) -> Int[Tensor, "B D"]:
        """The likeliest action of each choice."""
        return self.each.mode()

    def log_prob(self, action: Int[Tensor, "B D"]) -> Float[Tensor, "B"]:
        """log π(a), summed over the choices."""
        return self.each.log_prob(action).sum(-1)

    def entropy(self) -> Float[Tensor, "B"]:
        """Entropy in nats, summed over the choices."""
        return self.each.entropy().sum(-1)

    def gradient(
        self, action: Int[Tensor, "B D"], slope: Float[Tensor, "B"], pull: Float[Tensor, "B"]
    ) -> Float[Tensor, "B P"]:
        """Choice by choice as `Categorical` has it."""
        found = self.each.gradient(action, slope[:, None].expand(action.shape), pull[:, None].expand(action.shape))
        if min(self.counts) == found.shape[-1]:
            return found.flatten(1)
        return torch.cat([part[:, :count] for part, count in zip(found.unbind(1), self.counts, strict=True)], 1)

    def kl(self, other: "MultiCategorical") -> Float[Tensor, "B"]:
        """KL(self ‖ other) in nats, summed over the choices."""
        return self.each.kl(other.each).sum(-1)


class Gaussian:
    """D independent normal variables, float32 [B, D], from parameters [B, 2D]: the means, then log σ.

    log σ is clamped to ±`LOG_STD_BOUND`; beyond the bound it gets no gradient.
    """

    def __init__(self, params: Float[Tensor, "B P"]) -> None:
        self.mean, self._log_std = params.float().chunk(2, -1)
        self.log_std = self._log_std.clamp(-LOG_STD_BOUND, LOG_STD_BOUND)

    @cached_property
    def precision(self) -> Float[Tensor, "B D"]:
        """1/σ."""
        return (-self.log_std).exp()

    def sample(self, generator: torch.Generator) -> Float[Tensor, "B D"]:
        """μ + σ ε without a gradient; not clipped to any bounds."""
        mean = self.mean.detach()
        normal = torch.randn(mean.shape, generator=generator, device=mean.device)
        return torch.addcmul(mean, self.log_std.detach().exp(), normal)

    def mode(self) -> Float[Tensor, "B D"]:
        """The mean."""
        return self.mean

    def log_prob(self, action: Float[Tensor, "B D"]) -> Float[Tensor, "B"]:
        """log density, summed over the D variables."""
        z = (action - self.mean) * self.precision
        return -(0.5 * z * z + self.log_std).sum(-1) - 0.5 * _LOG_2PI * self.mean.shape[-1]

    def entropy(self) -> Float[Tensor, "B"]:
        """Differential entropy in nats: Σ log σ + D/2 · log 2πe."""
        return self.log_std.sum(-1) + 0.5 * (1 + _LOG_2PI) * self.mean.shape[-1]

    def gradient(
        self, action: Float[Tensor, "B D"], slope: Float[Tensor, "B"], pull: Float[Tensor, "B"]
    ) -> Float[Tensor, "B P"]:
        """slope · z/σ for the means and slope · (z² − 1) + pull for log σ, with z = (a − μ)/σ."""
        z = (action - self.mean).mul_(self.precision)
        slope, pull = slope[:, None], pull[:, None]
        widths = z.square().sub_(1).mul_(slope).add_(pull).mul_(self._log_std == self.log_std)
        return torch.cat([z.mul_(self.precision).mul_(slope), widths], 1)

    def kl(self, other: "Gaussian") -> Float[Tensor, "B"]:
        """KL(self ‖ other) in nats: Σ log σ₂/σ₁ + (σ₁² + (μ₁ − μ₂)²) / 2σ₂² − ½."""
        log_ratio = self.log_std - other.log_std
        z = (self.mean - other.mean) * other.precision
        return 0.5 * ((2 * log_ratio).exp() - 1 - 2 * log_ratio + z * z).sum(-1)


Distribution = Categorical | MultiCategorical | Gaussian


def masked(params: Float[Tensor, "*M B P"], mask: Bool[Tensor, "B P"] | None) -> Float[Tensor, "*M B P"]:
    """The parameters of discrete distributions in which illegal actions (false in ``mask``) have the probability 0.

    Their logits get no gradient. Every row must leave each choice a legal action. None: as they are.
    """
    return params if mask is None else params.masked_fill(~mask, _NEVER)


def kl_divergence(a: Distribution, b: Distribution) -> Float[Tensor, "B"]:
    """KL(a ‖ b) in nats, row by row, of two distributions of one kind."""
    return a.kl(b)  # type: ignore[arg-type]  # the kinds agree: both come from one head


@dataclass(frozen=True)
class Head:
    """How a policy acts in one action space.

    ``distribution`` takes the policy's output [B, num_params]. Of these a network computes ``num_outputs`` from the
    observation; where it is the smaller number (D of 2D), log σ [D] is a parameter of its own. ``to_env`` turns stored
    policy actions [B, *action_shape] of type ``dtype`` into actions that the environment takes; ``scaled`` says that
    continuous ones are stretched on that way, and not only clipped.
    """

    num_outputs: int
    num_params: int
    action_shape: tuple[int, ...]
    dtype: torch.dtype
    distribution: Callable[[Tensor], Distribution]
    to_env: Callable[[np.ndarray], np.ndarray]
    scaled: bool = False


def make_distribution(space: gym.Space[Any], scaling: ActionScaling = "bounds") -> Head:
    """The head for an action space.

    Discrete is a `Categorical`; MultiDiscrete and MultiBinary (two actions each) are a `MultiCategorical`; Box of
    floats is a `Gaussian` whose actions are stored as they were sampled. On their way to the environment −1 to 1 are
    stretched to the bounds and the rest is clipped, number by number; a number without two bounds is only clipped.

    Raises:
        ConfigError: any other space.
    """
    if isinstance(space, spaces.Discrete):
        return _discrete(space)
    if isinstance(space, spaces.MultiDiscrete):
        return _choices(space.nvec, space.start, space.dtype)
    if isinstance(space, spaces.MultiBinary):
        return _choices(np.full(space.shape, 2), np.zeros(space.shape, np.int64), space.dtype)
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        return _box(space, scaling)
    raise ConfigError(
        f"a policy cannot act in the action space {space}: wrap the environment so that its actions are Discrete, "
        "MultiDiscrete, MultiBinary or a Box of floats."
    )


def _discrete(space: spaces.Discrete) -> Head:
    count, start = int(space.n), int(space.start)

    def to_env(action: np.ndarray) -> np.ndarray:
        shifted: np.ndarray = action + start if start else action
        return shifted

    return Head(count, count, (), torch.int64, Categorical, to_env)


def _choices(nvec: np.ndarray, start: np.ndarray, dtype: np.dtype[Any]) -> Head:
    counts = [int(n) for n in nvec.ravel()]

    def distribution(params: Tensor) -> MultiCategorical:
        return MultiCategorical(params, counts)

    def to_env(action: np.ndarray) -> np.ndarray:
        shifted: np.ndarray = action.reshape(-1, *nvec.shape) + start
        return shifted.astype(dtype, copy=False)

    return Head(sum(counts), sum(counts), (len(counts),), torch.int64, distribution, to_env)


def policy_space(space: gym.Space[Any], scaling: ActionScaling = "bounds") -> gym.Space[Any]:
    """The space of a policy's own actions: of continuous ones, −1 to 1 where they are scaled to the environment's."""
    if not isinstance(space, spaces.Box) or space.dtype.kind != "f":
        return space
    fills = _bounded(space) & (scaling == "bounds")
    low, high = np.where(fills, -1.0, space.low), np.where(fills, 1.0, space.high)
    return spaces.Box(low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype.type)


def _bounded(space: spaces.Box) -> Bool[np.ndarray, "..."]:
    """Which numbers have two bounds; the largest numbers of a type, which stand for none, are no bounds."""
    most = min(float(np.finfo(str(space.dtype)).max), float(np.finfo(np.float32).max))
    return (np.abs(space.low) < most) & (np.abs(space.high) < most)


def _box(space: spaces.Box, scaling: ActionScaling) -> Head:
    size, own = math.prod(space.shape), policy_space(space, scaling)
    assert isinstance(own, spaces.Box)

    def clip(action: np.ndarray) -> np.ndarray:
        # Cast before clipping: a bound that is rounded afterwards could lie outside.
        shaped = action.reshape(-1, *space.shape).astype(space.dtype, copy=False)
        clipped: np.ndarray = np.minimum(np.maximum(shaped, space.low), space.high)
        return clipped

    if own == space:
        return Head(size, 2 * size, (size,), torch.float32, Gaussian, clip)
    fills = _bounded(space)
    low, high = np.where(fills, space.low, -1.0).astype(np.float64), np.where(fills, space.high, 1.0).astype(np.float64)
    middle, half = low / 2 + high / 2, high / 2 - low / 2

    def stretch(action: np.ndarray) -> np.ndarray:
        """low + (clip(a, −1, 1) + 1) / 2 · (high − low), in float64."""
        unit = np.minimum(np.maximum(action.reshape(-1, *space.shape), own.low), own.high)
        return clip(middle + half * unit)

    return Head(size, 2 * size, (size,), torch.float32, Gaussian, stretch, scaled=True)
