"""The networks of PPO: a policy and K values over one encoder."""

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

import gymnasium as gym
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.nn.distributions import ActionScaling, make_distribution
from jostle.nn.encoders import Encoder, EncoderKind, Observation, make_encoder
from jostle.nn.history import HistoryEncoder, HistoryKind
from jostle.nn.linear import Chain, in_full, run
from jostle.nn.own import Own, OwnEncoder
from jostle.nn.privileged import HISTORY, SeenBy, split
from jostle.nn.recurrent import GRU, LSTM, Recurrent
from jostle.nn.scaling import Scaling
from jostle.nn.tanh import Tanh

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


class Outputs(NamedTuple):
    """What a policy makes of a batch: parameters of its distribution, values, the next recurrent state, and features.

    ``encoded`` are the encoder's, ``hidden`` those behind the policy's last fully connected layer, before recurrence.
    """

    pi: Float[Tensor, "B P"]
    value: Float[Tensor, "B K"]
    state: Float[Tensor, "S n H"] | None
    encoded: Float[Tensor, "B E"]
    hidden: Float[Tensor, "B F"]


class ActorCritic(nn.Module):
    """A policy and the values of K reward streams: observations → (policy parameters [B, P], values [B, K]).

    Encoder → fully connected layers ``hidden`` → (recurrent layer) → heads. The convolutions are always shared, and
    vectors have no encoder weights; ``shared`` says whether policy and values share the hidden layers too. The key
    ``"privileged"`` of a dictionary observation reaches the separate critic alone, unless ``privileged`` says
    otherwise; with ``shared`` nobody sees it.

    ``heads="residual"`` puts a layer x + ReLU(Linear(x)) before the policy and another before all values. With
    ``hidden=(256, 448), activation="relu", shared=True, encoder="nature-k4"`` this is the convolutional policy of
    openai/random-network-distillation; with ``hidden=(256,), recurrent="gru"`` it is the recurrent one.

    Weights start orthogonal with gain √2 (hidden layers and convolutions), 0.01 (policy) and 1 (values), biases at 0,
    as in CleanRL and Stable-Baselines3; the residual branches start with gain 0.1 and all their heads with 0.01, as in
    that code. log σ of a continuous policy is a parameter of its own, ``log_std_init`` at first.

    Noise: `to_noisy(policy, noise="independent")` makes every fully connected layer noisy, which are the hidden layers,
    the residual branches and the heads of both halves (Fortunato et al. 2017 leave the convolutions plain); recurrent
    layers and log σ stay plain too. B rows, time-major or not, take draws [B].

    Args:
        observation_space: as `make_encoder` takes it.
        action_space: as `make_distribution` takes it.
        num_streams: K.
        encoder: as in `make_encoder`; or a module of your own or a function that makes one (`OwnEncoder`), whose
            weights start as they are.
        hidden: widths of the fully connected layers.
        activation: what follows each hidden layer; convolutions have ReLU.
        shared: one trunk for policy and values.
        heads: whether a residual branch stands before each.
        recurrent: the recurrent layer, which policy and values share.
        recurrent_size: H.
        normalise_obs: normalise vectors by running statistics, which `update_normaliser` alone changes.
        obs_scaling, action_scaling: as `make_encoder` and `make_distribution` take them.
        log_std_init: log σ at the start, where actions are continuous.
        privileged: who sees the key ``"privileged"``; both: policy and values alike.
        history_encoder, history_features: what compresses the key ``"domain_history"``, where there is one, to how many
            numbers, which policy and values see (`HistoryEncoder`).

    Raises:
        ConfigError: a space without an encoder or a distribution, or a recurrent layer without ``shared``.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        *,
        num_streams: int = 1,
        encoder: EncoderKind | Own = "auto",
        hidden: Sequence[int] = (64, 64),
        activation: Literal["tanh", "relu"] = "tanh",
        shared: bool = False,
        heads: Literal["plain", "residual"] = "plain",
        recurrent: Literal["none", "gru", "lstm"] = "none",
        recurrent_size: int = 256,
        normalise_obs: bool = False,
        obs_scaling: Scaling = "bounds",
        action_scaling: ActionScaling = "bounds",
        log_std_init: float = 0.0,
        privileged: SeenBy = "critic",
        history_encoder: HistoryKind = "conv",
        history_features: int = 8,
    ) -> None:
        super().__init__()
        if recurrent != "none" and not shared:
            raise ConfigError(f"a recurrent policy (recurrent='{recurrent}') shares its trunk: set shared=True.")
        self.head = make_distribution(action_space, action_scaling)
        self.num_streams = num_streams
        actor_space, told = split(observation_space, privileged)
        self.encoder = (
            make_encoder(
                actor_space,
                encoder,
                normalise=normalise_obs,
                scaling=obs_scaling,
                makers={HISTORY: partial(HistoryEncoder, kind=history_encoder, features=history_features)},
            )
            if isinstance(encoder, str)
            else OwnEncoder(actor_space, encoder)
        )
        see = told if not shared else None
        self.privileged: Encoder | None = None
        if see is not None:
            self.privileged = make_encoder(see, normalise=normalise_obs, scaling=obs_scaling)
        features = self.encoder.out_features
        extra = self.privileged.out_features if self.privileged is not None else 0
        self.actor = _trunk([features, *hidden], activation)
        self.critic = None if shared else _trunk([features + extra, *hidden], activation)
        width = hidden[-1] if hidden else features
        critic_width = width if hidden or shared else features + extra
        self.core: Recurrent | None = None
        if recurrent != "none":
            self.core = {"gru": GRU, "lstm": LSTM}[recurrent](width, recurrent_size)
            width = critic_width = recurrent_size
        residual = heads == "residual"
        self.policy = _head(width, self.head.num_outputs, residual, gain=0.01)
        self.value = _head(critic_width, num_streams, residual, gain=0.01 if residual else 1.0)
        own_std = self.head.num_params - self.head.num_outputs
        self.log_std = nn.Parameter(torch.full((own_std,), float(log_std_init))) if own_std else None
        mine = set(self.encoder.modules()) if isinstance(self.encoder, OwnEncoder) else set()
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer not in mine:
                orthogonal(layer, math.sqrt(2))

    @property
    def state_shape(self) -> tuple[int, int] | None:
        """(S, H) of the recurrent state [S, n, H]; None where there is none."""
        return None if self.core is None else (self.core.num_states, self.core.hidden_size)

    def parts(self) -> dict[str, list[nn.Module]]:
        """What stands behind the encoder, by what it computes: modules in their order."""
        if self.critic is not None:
            return {"policy": [self.actor, self.policy], "values": [self.critic, self.value]}
        core = [] if self.core is None else [self.core]
        return {"shared": [self.actor, *core], "policy": [self.policy], "values": [self.value]}

    def initial_state(self, n: int) -> Float[Tensor, "S n H"] | None:
        """The zero state of n sequences; None where there is none."""
        return None if self.core is None else self.core.initial_state(n)

    def forward(
        self,
        obs: Observation,
        state: Float[Tensor, "S n H"] | None = None,
        start: Bool[Tensor, "..."] | None = None,
    ) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B K"], Float[Tensor, "S n H"] | None]:
        """Policy parameters, values and the next state.

        A recurrent policy takes B = T·n rows, time-major, the state [S, n, H] before the first of them (None: zeros,
        and T = 1) and the flags [T, n] or [T·n] of first rows (None: none is).
        """
        return self.outputs(obs, state, start)[:3]

    def outputs(
        self,
        obs: Observation,
        state: Float[Tensor, "S n H"] | None = None,
        start: Bool[Tensor, "..."] | None = None,
    ) -> Outputs:
        """What `forward` gives, and the features on the way to it."""
        encoded, hidden = self.features(obs)
        x, state = self._recur(hidden, state, start)
        critic = x
        if self.critic is not None:
            seen = encoded
            if self.privileged is not None:
                seen = torch.cat([encoded, self.privileged(obs)], 1)
            critic = self.critic(seen)
        return Outputs(self._pi(x), in_full(self.value, critic), state, encoded, hidden)

    def features(self, obs: Observation) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B F"]]:
        """The encoder's features, and those behind the policy's last fully connected layer."""
        encoded = self.encoder(obs)
        return encoded, self.actor(encoded)

    def act(
        self,
        obs: Observation,
        state: Float[Tensor, "S n H"] | None = None,
        start: Bool[Tensor, "..."] | None = None,
    ) -> tuple[Float[Tensor, "B P"], Float[Tensor, "S n H"] | None]:
        """Policy parameters and the next state, as `forward` gives them, without the values."""
        x, state = self._recur(self.actor(self.encoder(obs)), state, start)
        return self._pi(x), state

    def update_normaliser(self, obs: Observation, mask: Bool[Tensor, "B"]) -> None:
        """Let the running statistics see the rows [B, …] of the observations where ``mask`` is true.

        Nothing happens without ``normalise_obs``. Outputs change, so call it between updates, never within one.
        """
        self.encoder.update_normaliser(obs, mask)
        if self.privileged is not None:
            self.privileged.update_normaliser(obs, mask)

    def _pi(self, x: Tensor) -> Tensor:
        pi = in_full(self.policy, x)
        return pi if self.log_std is None else torch.cat([pi, self.log_std.expand_as(pi)], 1)

    def _recur(self, x: Tensor, state: Tensor | None, start: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.core is None:
            return x, state
        if state is None:
            state = self.core.initial_state(len(x))
        n = state.shape[1]
        start = x.new_zeros(len(x) // n, n, dtype=torch.bool) if start is None else start.view(-1, n)
        out: tuple[Tensor, Tensor] = self.core(x, state, start)
        return out


class Residual(nn.Module):
    """x + ReLU(Linear(x)), the branch before each head in openai/random-network-distillation. [B, F] → [B, F]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = orthogonal(nn.Linear(width, width), 0.1)
        self.relu = nn.ReLU()

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        return x + run([self.linear, self.relu], x)


def orthogonal(layer: Layer, gain: float) -> Layer:
    """Start a layer with orthogonal weights of a gain and a zero bias."""
    with torch.no_grad():
        # Made aside, because weights that lie channels-last cannot be viewed as a matrix.
        layer.weight.copy_(nn.init.orthogonal_(torch.empty(layer.weight.shape), gain))
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def _trunk(sizes: Sequence[int], activation: str) -> Chain:
    layers: list[nn.Module] = []
    kind: type[nn.Module] = {"tanh": Tanh, "relu": nn.ReLU}[activation]
    for width, following in itertools.pairwise(sizes):
        layers += [orthogonal(nn.Linear(width, following), math.sqrt(2)), kind()]
    return Chain(*layers)


def _head(width: int, outputs: int, residual: bool, gain: float) -> nn.Module:
    linear = orthogonal(nn.Linear(width, outputs), gain)
    return nn.Sequential(Residual(width), linear) if residual else linear
