"""Networks of the value-based agents."""

import itertools
from collections.abc import Sequence

import gymnasium as gym
import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.nn.encoders import EncoderKind, Observation, make_encoder


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Fully connected layers of the given widths with a ReLU between each two, none at the end."""
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(sizes):
        layers += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class QNetwork(nn.Module):
    """Action values of K reward streams: observations → [B, K, A].

    An encoder without fully connected layers is followed by the head. Plain: fully connected layers ``hidden``, then
    K·A outputs. Dueling (Wang et al. 2016): the last hidden layer stands twice, once in the value's stream and once in
    the advantage's, and ``Q = V + A − mean_a A``. Every fully connected layer may carry noise, those of both streams
    included (Fortunato et al. 2017); the convolutions stay plain.
    """

    def __init__(
        self,
        observation_space: gym.Space[object],
        num_actions: int,
        *,
        num_streams: int = 1,
        encoder: EncoderKind = "auto",
        hidden: Sequence[int] = (512,),
        dueling: bool = False,
    ) -> None:
        super().__init__()
        self.num_actions, self.num_streams, self.dueling = num_actions, num_streams, dueling
        self.encoder = make_encoder(observation_space, encoder)
        sizes = [self.encoder.out_features, *hidden]
        if dueling:
            shared = mlp(sizes[:-1])
            self.trunk = nn.Sequential(*shared, nn.ReLU()) if len(shared) else nn.Identity()
            self.value = mlp([*sizes[-2:], num_streams])
            self.advantage = mlp([*sizes[-2:], num_streams * num_actions])
        else:
            self.head = mlp([*sizes, num_streams * num_actions])

    def forward(self, obs: Observation) -> Float[Tensor, "B K A"]:
        return self.q(self.encoder(obs))

    def q(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K A"]:
        """Action values from the encoder's features, so that many draws of the head's noise share one encoding."""
        if not self.dueling:
            plain: Tensor = self.head(features)
            return plain.view(-1, self.num_streams, self.num_actions)
        features = self.trunk(features)
        value: Tensor = self.value(features).view(-1, self.num_streams, 1)
        advantage: Tensor = self.advantage(features).view(-1, self.num_streams, self.num_actions)
        return value + advantage - advantage.mean(2, keepdim=True)


def greedy(q: Float[Tensor, "B K A"], coefficient: Float[Tensor, "K"]) -> Tensor:
    """Greedy actions [B] on the weighted sum of the streams' values."""
    return (q * coefficient[:, None]).sum(1).argmax(-1)


def map_observation(obs: object, device: torch.device) -> Observation:
    """NumPy observations (an array or a dictionary of arrays) as tensors on a device, in their own dtype."""
    if isinstance(obs, dict):
        return {key: torch.as_tensor(value, device=device) for key, value in obs.items()}
    return torch.as_tensor(obs, device=device)
