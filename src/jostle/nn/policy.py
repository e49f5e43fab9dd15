"""Networks of the value-based agents."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import gymnasium as gym
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jostle.nn.encoders import EncoderKind, Observation, make_encoder
from jostle.nn.history import HistoryEncoder
from jostle.nn.linear import Chain, in_full, run
from jostle.nn.own import Own, OwnEncoder
from jostle.nn.privileged import HISTORY, SeenBy, split
from jostle.nn.scaling import Scaling


class QOutputs(NamedTuple):
    """Action values of a batch, and its features: the encoder's, and those behind the last hidden layer."""

    q: Float[Tensor, "B K A"]
    encoded: Float[Tensor, "B E"]
    hidden: Float[Tensor, "B F"]


def mlp(sizes: Sequence[int]) -> Chain:
    """Fully connected layers of the given widths with a ReLU between each two, none at the end."""
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(sizes):
        layers += [nn.Linear(width, following), nn.ReLU()]
    return Chain(*layers[:-1])


class QNetwork(nn.Module):
    """Action values of K reward streams: observations → [B, K, A].

    An encoder without fully connected layers is followed by the head. Plain: fully connected layers ``hidden``, then
    K·A outputs. Dueling (Wang et al. 2016): the last hidden layer stands twice, once in the value's stream and once in
    the advantage's, and ``Q = V + A − mean_a A``. Every fully connected layer may carry noise, those of both streams
    included (Fortunato et al. 2017); the convolutions stay plain. The key ``"privileged"`` of a dictionary observation
    is not seen, unless ``privileged="both"``.
    """

    def __init__(
        self,
        observation_space: gym.Space[object],
        num_actions: int,
        *,
        num_streams: int = 1,
        encoder: EncoderKind | Own = "auto",
        hidden: Sequence[int] = (512,),
        dueling: bool = False,
        obs_scaling: Scaling = "bounds",
        privileged: SeenBy = "none",
    ) -> None:
        super().__init__()
        self.num_actions, self.num_streams, self.dueling = num_actions, num_streams, dueling
        seen = split(observation_space, privileged)[0]
        self.encoder = (
            make_encoder(seen, encoder, scaling=obs_scaling, makers={HISTORY: HistoryEncoder})
            if isinstance(encoder, str)
            else OwnEncoder(seen, encoder)
        )
        sizes = [self.encoder.out_features, *hidden]
        if dueling:
            shared = mlp(sizes[:-1])
            self.trunk = Chain(*shared, nn.ReLU()) if len(shared) else nn.Identity()
            self.value = mlp([*sizes[-2:], num_streams])
            self.advantage = mlp([*sizes[-2:], num_streams * num_actions])
        else:
            self.head = mlp([*sizes, num_streams * num_actions])

    def forward(self, obs: Observation) -> Float[Tensor, "B K A"]:
        return self.q(self.encoder(obs))

    def q(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K A"]:
        """Action values from the encoder's features, so that many draws of the head's noise share one encoding."""
        return self._values(self._hidden(features))

    def outputs(self, obs: Observation) -> QOutputs:
        """What `forward` gives, and the features on the way to it."""
        encoded: Tensor = self.encoder(obs)
        parts = self._hidden(encoded)
        return QOutputs(self._values(parts), encoded, torch.cat(parts, 1))

    def features(self, obs: Observation) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B F"]]:
        """The encoder's features, and those behind the last hidden layer, of dueling networks both streams'."""
        encoded: Tensor = self.encoder(obs)
        return encoded, torch.cat(self._hidden(encoded), 1)

    def parts(self) -> dict[str, list[nn.Module]]:
        """What stands behind the encoder, by what it computes: modules in their order."""
        if self.dueling:
            return {"shared": [self.trunk], "value": [self.value], "advantage": [self.advantage]}
        return {"action values": [self.head]}

    def _streams(self) -> list[Chain]:
        return [self.value, self.advantage] if self.dueling else [self.head]

    def _hidden(self, encoded: Float[Tensor, "B E"]) -> list[Tensor]:
        """What comes to the last layer of each stream."""
        shared = self.trunk(encoded) if self.dueling else encoded
        return [run(list(stream)[:-1], shared) for stream in self._streams()]

    def _values(self, hidden: list[Tensor]) -> Float[Tensor, "B K A"]:
        """Action values from what comes to the last layers."""
        last = [in_full(stream[-1], h) for stream, h in zip(self._streams(), hidden, strict=True)]
        if not self.dueling:
            return last[0].view(-1, self.num_streams, self.num_actions)
        value = last[0].view(-1, self.num_streams, 1)
        advantage = last[1].view(-1, self.num_streams, self.num_actions)
        return value + advantage - advantage.mean(2, keepdim=True)


def greedy(
    q: Float[Tensor, "B K A"], coefficient: Float[Tensor, "K"], mask: Bool[Tensor, "B A"] | None = None
) -> Tensor:
    """Greedy actions [B] on the weighted sum of the streams' values, among the legal ones by ``mask`` (None: all)."""
    combined = (q * coefficient[:, None]).sum(1)
    return (combined if mask is None else combined.masked_fill(~mask, -torch.inf)).argmax(-1)


def map_observation(obs: object, device: torch.device) -> Observation:
    """NumPy observations (an array or a dictionary of arrays) as tensors on a device, in their own dtype."""
    if isinstance(obs, dict):
        return {key: torch.as_tensor(value, device=device) for key, value in obs.items()}
    return torch.as_tensor(obs, device=device)
