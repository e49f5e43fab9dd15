"""Features that know what actions do: an encoder trained by predicting the action between two observations."""

from typing import Any

import gymnasium as gym
import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.bonus.action import ActionCode
from jostle.bonus.nets import Trunk, orthogonal
from jostle.bonus.preprocess import Preprocess, Rows
from jostle.errors import ConfigError
from jostle.nn.linear import Chain

HIDDEN = 256


class InverseModel(nn.Module):
    """Encoder φ and inverse model ``â = g(φ(s_t), φ(s_{t+1}))`` (Pathak et al. 2017, section 2.2).

    φ is a `Trunk` and a linear layer; g has one hidden layer of 256 with ReLU, as in the official codes
    (pathak22/noreward-rl `src/model.py`, facebookresearch/e3b `minihack/torchbeast/src/models.py`).

    Args:
        preprocess: of the observations.
        action_space: of one environment.
        features: width of φ.
        owner: name of the bonus, for messages.
    """

    def __init__(self, preprocess: Preprocess, action_space: gym.Space[Any], features: int, owner: str) -> None:
        super().__init__()
        if features < 1:
            raise ConfigError(f"{owner}: features={features} must be at least 1.")
        self.action = ActionCode(action_space, owner)
        trunk = Trunk(preprocess, features, nn.ReLU)
        self.encoder = orthogonal(Chain(trunk, nn.Linear(trunk.out_features, features)))
        hidden = orthogonal(Chain(nn.Linear(2 * features, HIDDEN), nn.ReLU()))
        self.inverse = Chain(hidden, orthogonal(nn.Linear(HIDDEN, self.action.width), 1.0))

    def phi(self, x: Rows) -> Float[Tensor, "B F"]:
        """Features of normalised observations."""
        features: Tensor = self.encoder(x)
        return features

    def error(self, phi: Float[Tensor, "B F"], next_phi: Float[Tensor, "B F"], action: Tensor) -> Float[Tensor, "B"]:
        """How badly the action is predicted from both features."""
        return self.action.error(self.inverse(torch.cat([phi, next_phi], 1)), action)
