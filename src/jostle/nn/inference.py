"""Greedy acting under a stated inference mode: without noise, under one draw, or averaged over many."""

import copy
import re
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.nn.encoders import Observation
from jostle.nn.noise import Noise, StochasticLayer
from jostle.nn.policy import QNetwork, greedy


@dataclass(frozen=True)
class Inference:
    """How noise is used when nobody learns; it stands beside every number that an evaluation reports.

    ``mean`` acts on the mean weights; ``sampled`` on a fresh draw per action and environment (as DQN Zoo evaluates);
    ``mc`` averages the action values over M fresh draws.
    """

    kind: Literal["mean", "sampled", "mc"] = "mean"
    draws: int = 1

    @classmethod
    def parse(cls, text: str) -> "Inference":
        """From ``mean``, ``sampled`` or ``mc:M``.

        >>> Inference.parse("mc:16")
        Inference(kind='mc', draws=16)

        Raises:
            ConfigError: the text is none of these.
        """
        if text == "mean":
            return cls("mean")
        if text == "sampled":
            return cls("sampled")
        match = re.fullmatch(r"mc:([1-9]\d{0,3})", text)
        if match:
            return cls("mc", int(match[1]))
        raise ConfigError(f"noise mode '{text}' is unknown; use 'mean', 'sampled' or 'mc:M' with M draws (mc:16).")

    def __str__(self) -> str:
        return f"mc:{self.draws}" if self.kind == "mc" else self.kind


class QActor:
    """A frozen copy of a Q-network that acts greedily under an inference mode, with draws of its own.

    The network in training, its noise and its generators are never touched.

    Args:
        network: the network to copy.
        coefficient: weights [K] of the reward streams.
        inference: the mode.
        rows: batch size of the observations that will come.
        seed: seed of the draws.
    """

    def __init__(
        self, network: QNetwork, coefficient: Float[Tensor, "K"], inference: Inference, *, rows: int, seed: int = 0
    ) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.coefficient = coefficient
        self.inference = inference
        self.rows = rows
        self.noise: Noise | None = None
        if any(isinstance(layer, StochasticLayer) for layer in self.network.modules()):
            slots = {"mean": 1, "sampled": rows, "mc": inference.draws}[inference.kind]
            self.noise = Noise(self.network, seed=seed, role="evaluation", slots=slots)

    def load(self, network: nn.Module) -> None:
        """Take over newer weights."""
        self.network.load_state_dict(network.state_dict())

    @torch.no_grad()
    def q(self, obs: Observation) -> Float[Tensor, "B K A"]:
        """Action values, averaged over the draws of ``mc``; noise is redrawn at every call."""
        if self.noise is None:
            return self.network(obs)  # type: ignore[no-any-return]
        if self.inference.kind == "mean":
            with self.noise.using(mode="mean"):
                return self.network(obs)  # type: ignore[no-any-return]
        self.noise.draw()
        features = self.network.encoder(obs)  # no noise in the convolutions: encoded once for all draws
        draws = self.inference.draws
        device = features.device
        if self.inference.kind == "sampled":
            draw = torch.arange(len(features), device=device) % self.rows
        else:
            draw = torch.arange(draws, device=device).repeat_interleave(len(features))
        with self.noise.using(draw):
            q = self.network.q(features.repeat(draws, 1))
        return q.unflatten(0, (draws, len(features))).mean(0)  # type: ignore[no-untyped-call, no-any-return]

    def act(self, obs: Observation) -> Int[Tensor, "B"]:
        """Greedy actions."""
        return greedy(self.q(obs), self.coefficient)
