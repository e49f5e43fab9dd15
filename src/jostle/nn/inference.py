"""Acting under a stated inference mode: without noise, under one draw, or averaged over many."""

import copy
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.distributions import Categorical, Distribution, Gaussian, MultiCategorical
from jostle.nn.encoders import Observation
from jostle.nn.noise import Mode, Noise, StochasticLayer
from jostle.nn.policy import QNetwork, greedy, map_observation


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


class Actor(ABC):
    """A frozen copy of an agent's network that acts under an inference mode, with draws of its own.

    The network in training, its noise and its generators are never touched.

    Args:
        network: the network to copy.
        inference: the mode.
        rows: batch size of the observations that will come.
        seed: seed of the draws.
    """

    network: nn.Module

    def __init__(self, network: nn.Module, inference: Inference, *, rows: int, seed: int) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.inference, self.rows = inference, rows
        self.device = next(network.parameters()).device
        self.noise: Noise | None = None
        if any(isinstance(layer, StochasticLayer) for layer in self.network.modules()):
            slots = {"mean": 1, "sampled": rows, "mc": inference.draws}[inference.kind]
            self.noise = Noise(self.network, seed=seed, role="evaluation", slots=slots)

    def load(self, network: nn.Module) -> None:
        """Take over newer weights."""
        self.network.load_state_dict(network.state_dict())

    @abstractmethod
    def act(self, obs: Any, start: np.ndarray[Any, np.dtype[np.bool_]] | None = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Actions that the environment takes, for a batch of its observations; noise is redrawn at every call.

        ``start`` says whose observation is the first of an episode; None: nobody's but at the first call.
        """


class QActor(Actor):
    """Greedy on action values; ``coefficient`` [K] weighs the reward streams, ``first_action`` is the lowest action."""

    network: QNetwork

    def __init__(
        self,
        network: QNetwork,
        coefficient: Float[Tensor, "K"],
        inference: Inference,
        *,
        rows: int,
        seed: int = 0,
        first_action: int = 0,
    ) -> None:
        super().__init__(network, inference, rows=rows, seed=seed)
        self.coefficient, self.first_action = coefficient, first_action

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

    def act(self, obs: Any, start: np.ndarray[Any, np.dtype[np.bool_]] | None = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Greedy actions."""
        best = greedy(self.q(map_observation(obs, self.device)), self.coefficient)
        return best.cpu().numpy() + self.first_action


class PolicyActor(Actor):
    """Acts by a policy: the likeliest action, or a sampled one.

    Under ``mc`` the draws' probabilities are averaged (of a continuous policy, the means; a sampled action is that of
    one draw), and each draw keeps a recurrent state of its own.
    """

    network: ActorCritic

    def __init__(
        self, network: ActorCritic, inference: Inference, *, rows: int, seed: int = 0, sample: bool = False
    ) -> None:
        super().__init__(network, inference, rows=rows, seed=seed)
        self.sample = sample
        self.draws = inference.draws if self.noise is not None else 1
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self._state = self.network.initial_state(self.draws * rows)

    @torch.no_grad()
    def act(self, obs: Any, start: np.ndarray[Any, np.dtype[np.bool_]] | None = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Actions that the environment takes."""
        begins = torch.zeros(self.rows, dtype=torch.bool) if start is None else torch.tensor(start)
        seen = map_observation(obs, self.device)
        mode: Mode = "mean"
        draw = torch.zeros((), dtype=torch.int64, device=self.device)
        if self.draws > 1:
            seen = (
                {k: _repeat(v, self.draws) for k, v in seen.items()}
                if isinstance(seen, dict)
                else _repeat(seen, self.draws)
            )
        if self.noise is not None and self.inference.kind != "mean":
            self.noise.draw()
            mode, draw = "sampled", torch.arange(self.draws, device=self.device).repeat_interleave(self.rows)
            if self.inference.kind == "sampled":
                draw = torch.arange(self.rows, device=self.device)
        begins = begins.to(self.device).repeat(self.draws)[None]
        if self.noise is None:
            pi, self._state = self.network.act(seen, self._state, begins)
        else:
            with self.noise.using(draw, mode):
                pi, self._state = self.network.act(seen, self._state, begins)
        action = self._choose(pi.view(self.draws, -1, pi.shape[-1]))
        return self.network.head.to_env(action.cpu().numpy())

    def _choose(self, pi: Float[Tensor, "M B P"]) -> Tensor:
        """One action per row from the M draws' parameters."""
        distributions = [self.network.head.distribution(p) for p in pi]
        if len(distributions) == 1:
            only = distributions[0]
            return only.sample(self.generator) if self.sample else only.mode()
        first = distributions[0]
        if isinstance(first, Gaussian):
            modes = torch.stack([d.mode() for d in distributions])
            if not self.sample:
                return modes.mean(0)
            samples = torch.stack([d.sample(self.generator) for d in distributions])
            which = torch.randint(len(samples), (samples.shape[1],), generator=self.generator, device=self.device)
            return samples[which, torch.arange(samples.shape[1], device=self.device)]
        mixture = _mixture(distributions)
        return mixture.sample(self.generator) if self.sample else mixture.mode()


def _mixture(distributions: list[Distribution]) -> Categorical:
    """The average of discrete distributions, choice by choice."""
    log_p = torch.stack([d.each.log_p if isinstance(d, MultiCategorical) else d.log_p for d in distributions])  # type: ignore[union-attr]
    return Categorical(log_p.logsumexp(0))


def _repeat(x: Tensor, times: int) -> Tensor:
    return x.repeat(times, *[1] * (x.ndim - 1))
