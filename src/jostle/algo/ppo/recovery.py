"""What an episode's last observations and actions tell of its draw: the loss of rapid motor adaptation (RMA)."""

import math
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jostle.algo.parts.auxiliary import Minibatch
from jostle.algo.ppo.rollout import Rollout
from jostle.errors import ConfigError
from jostle.nn.history import features_of, history_of
from jostle.nn.privileged import HISTORY, PRIVILEGED

_PIECE = 4096  # rows that are told together


class DrawRecovery(nn.Module):
    """``c · mean_b mean_p (ξ̂_p(z_b) − ξ_bp)²``: the history's features z shall tell the draw ξ, by a linear layer.

    ξ are the positions of the draw in its ranges, −1 to 1 (log-uniform ranges by their logarithm), as the observation
    "privileged" tells them.

    *Deviation* from RMA (Kumar et al. 2021): there a second phase regresses the encoding that a policy was trained on
    with the draw. Here policy and encoder are trained together, and the encoder tells the draw itself: nothing is
    handed over, and what a policy needs of the past that is no draw may stand in z too.

    Args:
        weight: c.
        encoder: of the observations, with a history's among its parts.
        count: P, how many numbers ξ holds.
    """

    def __init__(self, weight: float, encoder: nn.Module, count: int) -> None:
        super().__init__()
        self.weight = weight
        self.head = nn.Linear(history_of(encoder).out_features, count)
        nn.init.zeros_(self.head.weight)  # at first it tells the middle of every range
        nn.init.zeros_(self.head.bias)

    def forward(self, policy: Any, batch: Minibatch, out: Any) -> dict[str, Tensor]:
        """The named term."""
        assert isinstance(batch.obs, dict)
        told = self.head(features_of(policy.encoder, out.encoded))
        wrong = (told - batch.obs[PRIVILEGED]).square().mean(1)
        return {"draw_recovery": self.weight * batch.mean(wrong)}

    @torch.no_grad()
    def r2(self, encoder: nn.Module, rollout: Rollout) -> Float[Tensor, "P"]:
        """How well a rollout's draws are told (`r_squared`), before anything is learned from it."""
        history = history_of(encoder)
        rows = torch.arange(rollout.steps * rollout.num_envs, device=rollout.device)
        told = [self.head(history(rollout.part(HISTORY, piece))) for piece in torch.split(rows, _PIECE)]
        return r_squared(torch.cat(told), rollout.part(PRIVILEGED, rows), rollout.valid.flatten())


def r_squared(told: Float[Tensor, "B P"], draw: Float[Tensor, "B P"], valid: Bool[Tensor, "B"]) -> Float[Tensor, "P"]:
    """``1 − Σ (ξ̂ − ξ)² / Σ (ξ − mean ξ)²`` per parameter over the valid rows; NaN of one that they all have alike.

    1 is perfect, 0 what their mean would tell, and it can be less.
    """
    told, draw = told.double(), draw.double()

    def mean(x: Float[Tensor, "B P"]) -> Float[Tensor, "P"]:
        return (x * valid[:, None]).sum(0) / valid.sum()

    wrong, spread = mean((told - draw).square()), mean((draw - mean(draw)).square())
    return torch.where(spread > 1e-12, 1 - wrong / spread, torch.nan)


def make_recovery(weight: float, encoder: nn.Module, space: gym.Space[Any], env: str) -> DrawRecovery | None:
    """The loss of the settings; None where its weight is 0.

    Raises:
        ConfigError: the environment does not tell the draw and the history, or the encoder is somebody's own.
    """
    if weight == 0:
        return None
    told = dict(space.spaces) if isinstance(space, spaces.Dict) else {}
    options = {PRIVILEGED: "domain_privileged=True", HISTORY: "domain_history=16"}
    missing = [option for key, option in options.items() if key not in told]
    if missing:
        raise ConfigError(
            f"draw_recovery={weight} learns to tell an episode's draw from its last observations and actions, and "
            f"{env} does not tell both: give a domain and {' and '.join(missing)}, or leave it out."
        )
    return DrawRecovery(weight, encoder, math.prod(told[PRIVILEGED].shape or ()))
