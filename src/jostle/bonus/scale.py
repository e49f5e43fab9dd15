"""The scale of an intrinsic reward."""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jostle.errors import ConfigError, closest
from jostle.functional.running import Moments, ReturnFilter

RewardNorm = Literal["return_std", "reward_std", "none"]


class RewardScale(nn.Module):
    """Divides rewards by a running deviation; never centres or clips.

    Args:
        num_envs: N.
        discount: γ of the returns.
        kind: ``return_std``, the deviation of the discounted sums over the past (Burda et al. 2018, section 2.4);
            ``reward_std``, that of the rewards themselves; ``none``.
        owner: name of the bonus, for messages.
        horizon: transitions after which what was counted weighs 1/e of what is counted now; None: all of the past
            weighs the same.
    """

    def __init__(
        self, num_envs: int, discount: float, kind: RewardNorm, owner: str, horizon: float | None = None
    ) -> None:
        super().__init__()
        if horizon is not None and not horizon > 0:
            raise ConfigError(f"{owner}: scale_horizon={horizon} must be positive.")
        self.horizon = horizon
        if kind not in get_args(RewardNorm):
            raise ConfigError(f"{owner}: reward_norm={kind!r} is unknown: {closest(str(kind), get_args(RewardNorm))}.")
        if not 0 <= discount <= 1:
            raise ConfigError(f"{owner}: discount={discount} must lie in [0, 1].")
        self.returns = ReturnFilter(num_envs, discount) if kind == "return_std" else None
        self.rewards = Moments((), epsilon_count=1e-4) if kind == "reward_std" else None

    def update(self, raw: Float[Tensor, "T N"], valid: Bool[Tensor, "T N"]) -> None:
        """Count the raw rewards of a rollout; before that, let those of the past fade by ``exp(−count / horizon)``."""
        moments = self.rewards if self.returns is None else self.returns.moments
        if moments is not None and self.horizon is not None:
            moments.forget(torch.exp(-valid.sum().double() / self.horizon))
        if self.returns is not None:
            # No starts: in the paper the filter runs on across episodes.
            self.returns.update(raw, valid)
        elif self.rewards is not None:
            self.rewards.update(raw, valid)

    @property
    def value(self) -> Float[Tensor, ""]:
        """What rewards are divided by; 1 before the first update."""
        if self.returns is not None:
            return self.returns.scale
        return self.rewards.std if self.rewards is not None else torch.ones(())

    def divide(self, raw: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The normalised rewards; a deviation of exactly 0 divides by 1."""
        if self.returns is None and self.rewards is None:
            return raw
        scale = self.value
        return raw / torch.where(scale > 0, scale, 1.0).to(raw.dtype)
