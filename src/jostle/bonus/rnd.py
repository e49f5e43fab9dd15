"""Random Network Distillation (Burda et al. 2018, arXiv 1810.12894)."""

from typing import Any, ClassVar, Literal, get_args

import gymnasium as gym
import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.bonus.interface import Bonus, Transitions
from jostle.bonus.nets import SLOPE, Convolutions, Trunk, leaky, mlp, orthogonal
from jostle.bonus.preprocess import Rows
from jostle.bonus.scale import RewardNorm
from jostle.errors import ConfigError, closest
from jostle.nn.encoders import Observation
from jostle.nn.linear import Chain

VECTOR_RATE, VECTOR_FEATURES = 1e-5, 64
"""Of the predictor, for vectors of numbers, where nothing is set: a network as wide as those for pictures, learning as
fast as a policy, knows a handful of numbers everywhere within a few thousand steps
(`benchmarks/studies/coverage.yaml`)."""


class RND(Bonus):
    """The error with which a trained network predicts the features of a frozen random one.

    ``i_t = mean_j (f̂_j(x) − f_j(x))²`` with x the normalised newest frame of s_{t+1}. The paper's algorithm 1 writes
    the squared norm; the official code (openai/random-network-distillation,
    `policies/cnn_policy_param_matched.py`) takes the mean over the features, and so does this one.

    Pictures of at least 36×36 get the official networks: at 84×84 grey and 512 features the target has 1,677,984
    parameters and the predictor, ``depth`` = 2 layers deeper, 2,203,296. Other observations get analogous ones (see
    `Trunk`). All weights are orthogonal with gain √2 and all biases 0.

    Args:
        observation_space, num_envs, frame_stack, discount, reward_norm, obs_norm, clip, codes, scale_horizon: see
            `Bonus`.
        features: outputs of both networks, and width of their hidden layers.
        share: share of the transitions that train the predictor; None: min(1, 32 / num_envs), which keeps its batch at
            that of 32 environments (0.25 for 128, the paper's table 5).
        target: whether the next observation (the paper) or the present one is rewarded and learned.
        slope: of the LeakyReLUs in both networks.
        depth: fully connected layers that the predictor has more than the target.
        convolutions: of both networks, for pictures; see `Trunk`.
        bf16: networks run in bfloat16 under autocast.
    """

    name: ClassVar[str] = "rnd"
    sees_resets: ClassVar[bool] = True
    last_frame: ClassVar[bool] = True

    def __init__(
        self,
        observation_space: gym.Space[Any],
        num_envs: int,
        *,
        frame_stack: int = 1,
        features: int = 512,
        discount: float = 0.99,
        share: float | None = None,
        obs_norm: bool = True,
        clip: float = 5.0,
        codes: bool | None = None,
        reward_norm: RewardNorm = "return_std",
        scale_horizon: float | None = None,
        target: Literal["next_obs", "obs"] = "next_obs",
        slope: float = SLOPE,
        depth: int = 2,
        convolutions: Convolutions = "auto",
        bf16: bool = False,
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
            share=min(1.0, 32 / max(1, num_envs)) if share is None else share,
        )
        if features < 1:
            raise ConfigError(f"rnd: features={features} must be at least 1.")
        if target not in ("next_obs", "obs"):
            raise ConfigError(f"rnd: target={target!r} is unknown; use 'next_obs' or 'obs'.")
        if depth < 0 or not 0 <= slope < 1:
            raise ConfigError(f"rnd: slope={slope} must lie in [0, 1), and depth={depth} be 0 or more.")
        if convolutions not in get_args(Convolutions):
            known = closest(str(convolutions), get_args(Convolutions))
            raise ConfigError(f"rnd: convolutions={convolutions!r} is unknown: {known}")
        self.sees, self.bf16 = target, bf16
        trunks = [Trunk(self.preprocess, features, leaky(slope), convolutions) for _ in range(2)]
        size = trunks[0].out_features
        self.target = orthogonal(Chain(trunks[0], nn.Linear(size, features)))
        self.target.requires_grad_(False)
        deeper = mlp([size, *[features] * (depth + 1)], nn.ReLU)
        self.predictor = orthogonal(Chain(trunks[1], *deeper))

    def raw(self, t: Transitions) -> Float[Tensor, "..."]:
        """Mean squared error per transition, of the leading shape."""
        errors: list[Tensor] = []
        valid, first = t.valid.flatten(), 0
        for rows in self.preprocess.pieces(self._rows(t)):
            x = self.preprocess(rows)
            target = self._features(self.target, x)
            errors.append(prediction_error(self._features(self.predictor, x), target))
            real = target[valid[first : first + len(target)]]
            first += len(target)
            if len(real):
                self.count_metric("target_variance", real.var(0, correction=0).mean())
        return torch.cat(errors).view(t.valid.shape)

    @torch.no_grad()
    def prepare(self, t: Transitions) -> Float[Tensor, "B F"]:
        """The target's features of every row, under the present observation statistics."""
        return torch.cat(
            [self._features(self.target, self.preprocess(rows)) for rows in self.preprocess.pieces(self._rows(t))]
        )

    def loss_rows(self, t: Transitions, target: Float[Tensor, "S F"] | None) -> Float[Tensor, ""]:
        """Mean prediction error over all rows."""
        x = self.preprocess(self._rows(t))
        if target is None:
            with torch.no_grad():
                target = self._features(self.target, x)
        error = prediction_error(self._features(self.predictor, x), target)
        loss = error.sum() / max(len(error), 1)
        if len(error):
            self.count_metric("loss", loss)
        return loss

    def _rows(self, t: Transitions) -> Rows:
        seen: Observation = t.next_obs if self.sees == "next_obs" else t.obs
        return self.preprocess.rows(seen, t.valid.shape)

    def _features(self, network: nn.Module, x: Rows) -> Float[Tensor, "B F"]:
        with torch.autocast(x[0].device.type, torch.bfloat16, enabled=self.bf16):
            features: Tensor = network(x)
        return features.float()


def prediction_error(prediction: Float[Tensor, "B F"], target: Float[Tensor, "B F"]) -> Float[Tensor, "B"]:
    """``mean_j (f̂_j − f_j)²``."""
    return (prediction - target).square().mean(-1)
