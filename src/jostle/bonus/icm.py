"""The intrinsic curiosity module (Pathak et al. 2017, arXiv 1705.05363)."""

from typing import Any, ClassVar

import gymnasium as gym
import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.bonus.interface import Bonus, Transitions
from jostle.bonus.inverse import HIDDEN, InverseModel
from jostle.bonus.nets import orthogonal
from jostle.bonus.preprocess import Rows
from jostle.bonus.scale import RewardNorm
from jostle.errors import ConfigError
from jostle.nn.linear import Chain


class ICM(Bonus):
    """The error of a forward model in the feature space of an inverse model.

    ``i_t = ½ ‖φ̂(s_{t+1}) − φ(s_{t+1})‖²`` with ``φ̂ = f(φ(s_t), a_t)``; the paper's factor η is the stream's
    coefficient. The loss is ``(1 − β) L_I + β L_F`` with L_I the inverse model's error and L_F the forward model's,
    ½‖φ̂ − φ‖²; gradients reach φ through both, as in the official code (pathak22/noreward-rl, `src/model.py`).

    Differences from that code: φ is a `Trunk` and a linear layer instead of four convolutions with 288 outputs;
    weights start orthogonal; observations are normalised by running statistics, and rewards divided by a deviation.
    The whole stack of frames is seen.

    Args:
        observation_space, num_envs, frame_stack, discount, reward_norm, obs_norm, clip, share, codes, scale_horizon:
            see `Bonus`.
        action_space: of one environment.
        features: width of φ.
        beta: β, the forward model's share of the loss.
    """

    name: ClassVar[str] = "icm"
    last_frame: ClassVar[bool] = False

    def __init__(
        self,
        observation_space: gym.Space[Any],
        num_envs: int,
        *,
        action_space: gym.Space[Any],
        frame_stack: int = 1,
        features: int = 256,
        discount: float = 0.99,
        share: float = 1.0,
        obs_norm: bool = True,
        clip: float = 5.0,
        codes: bool | None = None,
        reward_norm: RewardNorm = "return_std",
        scale_horizon: float | None = None,
        beta: float = 0.2,
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
        if not 0 <= beta <= 1:
            raise ConfigError(f"icm: beta={beta} must lie in [0, 1].")
        self.beta = beta
        self.model = InverseModel(self.preprocess, action_space, features, self.name)
        hidden = orthogonal(Chain(nn.Linear(features + self.model.action.width, HIDDEN), nn.ReLU()))
        self.forward_model = Chain(hidden, orthogonal(nn.Linear(HIDDEN, features), 1.0))

    def raw(self, t: Transitions) -> Float[Tensor, "..."]:
        """Half the squared error of the forward model, of the leading shape."""
        lead = t.valid.shape
        action = t.action.reshape(t.valid.numel(), *t.action.shape[len(lead) :])
        pieces = zip(
            self.preprocess.pieces(self.preprocess.rows(t.obs, lead)),
            self.preprocess.pieces(self.preprocess.rows(t.next_obs, lead)),
            strict=True,
        )
        errors, first = [], 0
        for obs, next_obs in pieces:
            phi, next_phi = self._phi(obs), self._phi(next_obs)
            errors.append(self._forward_error(phi, next_phi, action[first : first + len(phi)]))
            first += len(phi)
        return torch.cat(errors).view(lead)

    def loss_rows(self, t: Transitions, target: Tensor | None) -> Float[Tensor, ""]:
        """``(1 − β) L_I + β L_F``, each the mean over all rows."""
        count = max(len(t.valid), 1)
        phi = self._phi(self.preprocess.rows(t.obs, t.valid.shape))
        next_phi = self._phi(self.preprocess.rows(t.next_obs, t.valid.shape))
        inverse = self.model.error(phi, next_phi, t.action).sum() / count
        forward = self._forward_error(phi, next_phi, t.action).sum() / count
        if len(t.valid):
            self.count_metric("inverse_loss", inverse)
            self.count_metric("forward_loss", forward)
        return (1 - self.beta) * inverse + self.beta * forward

    def _phi(self, rows: Rows) -> Float[Tensor, "B F"]:
        return self.model.phi(self.preprocess(rows))

    def _forward_error(
        self, phi: Float[Tensor, "B F"], next_phi: Float[Tensor, "B F"], action: Tensor
    ) -> Float[Tensor, "B"]:
        predicted: Tensor = self.forward_model(torch.cat([phi, self.model.action(action)], 1))
        return 0.5 * (predicted - next_phi).square().sum(1)
