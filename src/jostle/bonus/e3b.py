"""Exploration via elliptical episodic bonuses (Henaff et al. 2022, arXiv 2210.05805)."""

from typing import Any, ClassVar

import gymnasium as gym
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.bonus.interface import Bonus, Transitions
from jostle.bonus.inverse import InverseModel
from jostle.bonus.scale import RewardNorm
from jostle.errors import ConfigError


class E3B(Bonus):
    """How far an observation's features lie from those that the episode has seen: a count bonus for continuous states.

    ``i_t = φ(s_t)ᵀ C⁻¹ φ(s_t)`` with ``C = λI + Σ φ(s_i) φ(s_i)ᵀ`` over the earlier steps of the episode. The inverse
    is kept for each environment and updated by the Sherman–Morrison formula; a start sets it to I/λ. The reward of an
    episode's first observation is 0. All this, and λ = 0.1, is as in the official code (facebookresearch/e3b,
    `minihack/torchbeast/src/utils.py`); the observation rewarded is s_t, the one that the action is chosen in. The loss
    is the inverse model's error.

    Differences from that code: φ is a `Trunk` and a linear layer of 128 outputs rather than 1024 (the memory takes
    N·F² numbers), and observations are normalised by running statistics. There the rewards are divided by their running
    deviation, which is ``reward_norm="reward_std"``, the default here.

    Args:
        observation_space, num_envs, frame_stack, discount, reward_norm, obs_norm, clip, share, codes, scale_horizon:
            see `Bonus`.
        action_space: of one environment.
        features: F, width of φ.
        ridge: λ.
    """

    name: ClassVar[str] = "e3b"
    stored: ClassVar[bool] = True
    last_frame: ClassVar[bool] = False

    inverse_covariance: Float[Tensor, "N F F"]

    def __init__(
        self,
        observation_space: gym.Space[Any],
        num_envs: int,
        *,
        action_space: gym.Space[Any],
        frame_stack: int = 1,
        features: int = 128,
        discount: float = 0.99,
        share: float = 1.0,
        obs_norm: bool = True,
        clip: float = 5.0,
        codes: bool | None = None,
        reward_norm: RewardNorm = "reward_std",
        scale_horizon: float | None = None,
        ridge: float = 0.1,
    ) -> None:
        super().__init__(
            observation_space,
            num_envs,
            frame_stack=frame_stack,
            discount=discount,
            reward_norm=reward_norm,
            obs_norm=obs_norm,
            clip=clip,
            codes=codes,
            scale_horizon=scale_horizon,
            share=share,
        )
        if not ridge > 0:
            raise ConfigError(f"e3b: ridge={ridge} must be positive.")
        self.ridge = ridge
        self.model = InverseModel(self.preprocess, action_space, features, self.name)
        # In float32 the updates' rounding errors outgrow the bonus of well-known directions within an episode.
        start = torch.eye(features, dtype=torch.float64).div(ridge).repeat(num_envs, 1, 1)
        self.register_buffer("inverse_covariance", start)

    @torch.no_grad()
    def raw(self, t: Transitions) -> Float[Tensor, "T N"]:
        """The elliptical bonus step by step; the memory moves on."""
        if t.start is None:
            raise ConfigError("e3b needs to know where episodes start: give Transitions(start=…).")
        rows = self.preprocess.rows(t.obs, t.valid.shape)
        phi = torch.cat([self.model.phi(self.preprocess(piece)) for piece in self.preprocess.pieces(rows)])
        phi = phi.view(*t.valid.shape, -1)
        memory = self.inverse_covariance
        return torch.stack(
            [elliptical_step(memory, *row, self.ridge) for row in zip(phi, t.valid, t.start, strict=True)]
        )

    def loss_rows(self, t: Transitions, target: Tensor | None) -> Float[Tensor, ""]:
        """The inverse model's mean error."""
        phi = self.model.phi(self.preprocess(self.preprocess.rows(t.obs, t.valid.shape)))
        next_phi = self.model.phi(self.preprocess(self.preprocess.rows(t.next_obs, t.valid.shape)))
        loss = self.model.error(phi, next_phi, t.action).sum() / max(len(phi), 1)
        if len(phi):
            self.count_metric("inverse_loss", loss)
        return loss


def elliptical_step(
    inverse: Float[Tensor, "N F F"],
    phi: Float[Tensor, "N F"],
    valid: Bool[Tensor, "N"],
    start: Bool[Tensor, "N"],
    ridge: float,
) -> Float[Tensor, "N"]:
    """``b = φᵀC⁻¹φ`` for one step of every environment, 0 at starts.

    ``inverse`` is updated in place, to ``C⁻¹ − uuᵀ/(1 + b)`` with u = C⁻¹φ; rows that are not valid keep theirs.
    """
    if start.any():
        inverse[start & valid] = torch.eye(phi.shape[1], dtype=inverse.dtype, device=phi.device) / ridge
    phi = torch.where(valid[:, None], phi, 0.0).to(inverse.dtype)
    u = torch.bmm(inverse, phi[:, :, None]).squeeze(2)
    bonus = (u * phi).sum(1)
    inverse.baddbmm_(u[:, :, None], (u / (1 + bonus)[:, None])[:, None, :], alpha=-1)
    return torch.where(start, 0.0, bonus).float()
