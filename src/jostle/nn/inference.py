"""Acting under a stated inference mode: without noise, under one draw, or averaged over many."""

import contextlib
import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.disagreement import action_variance, mutual_information, value_variance
from jostle.nn.distributions import Categorical, Distribution, Gaussian, MultiCategorical, masked
from jostle.nn.encoders import Observation
from jostle.nn.finite import require_finite
from jostle.nn.noise import Noise, StochasticLayer
from jostle.nn.policy import QNetwork, greedy, map_observation
from jostle.nn.repeat import RowRepeater
from jostle.nn.rows import Rows, length, put_back, take, which

PIECE = 64
"""Noisy pictures that go through a network at a time on a CPU: 2,560 of 64×64 in one pass through IMPALA take more than
twice the time of 40 passes of 64, for tensors that large are new memory every time (benchmarks/random_conv.py)."""


@dataclass(frozen=True)
class Inference:
    """How noise is used when nobody learns; it stands beside every number that an evaluation reports.

    ``mean`` acts without noise, on mean weights and clean observations; ``fixed`` on one draw, held for the whole
    evaluation (as the official code of Network Randomization evaluates); ``sampled`` on a fresh draw per action and
    environment (as DQN Zoo evaluates); ``mc`` averages the outputs over M fresh draws per action. Recurrent policies
    draw at the start of an episode and hold it to the end, so that a hidden state belongs to one draw.

    All but ``mean`` disregard the clean flags of slots: a bypassed picture is what ``mean`` sees.
    """

    kind: Literal["mean", "fixed", "sampled", "mc"] = "mean"
    draws: int = 1

    @classmethod
    def parse(cls, text: str) -> "Inference":
        """From ``mean``, ``fixed``, ``sampled`` or ``mc:M``.

        >>> Inference.parse("mc:16")
        Inference(kind='mc', draws=16)

        Raises:
            ConfigError: the text is none of these.
        """
        if text == "mean":
            return cls("mean")
        if text == "fixed":
            return cls("fixed")
        if text == "sampled":
            return cls("sampled")
        match = re.fullmatch(r"mc:([1-9]\d{0,3})", text)
        if match:
            return cls("mc", int(match[1]))
        raise ConfigError(
            f"noise mode '{text}' is unknown; use 'mean', 'fixed', 'sampled' or 'mc:M' with M draws (mc:16)."
        )

    def __str__(self) -> str:
        return f"mc:{self.draws}" if self.kind == "mc" else self.kind


Starts: TypeAlias = Bool[np.ndarray, "B"]
"""Whose observation is the first of an episode."""
Mask: TypeAlias = Bool[np.ndarray, "B P"]
"""Which actions are legal, as ``info["action_mask"]`` of `jostle.envs.JostleEnv` tells it."""


class Actor(ABC):
    """A frozen copy of an agent's network that acts under an inference mode, with draws of its own.

    The network in training, its noise and its generators are never touched.

    Args:
        network: the network to copy, with an ``encoder``.
        inference: the mode.
        rows: batch size of the observations that will come.
        seed: seed of the draws.
        recurrent: whether draws are held for an episode.
    """

    network: nn.Module
    name: str = "the policy"
    """What it is called where it cannot act."""
    calls: int = 0
    """How often it has acted."""
    disagreement: np.ndarray[Any, np.dtype[np.float32]] | None = None
    """How far the draws of ``mc`` disagreed in the last `act`, per row [B]; None in the other modes."""

    def __init__(
        self, network: nn.Module, inference: Inference, *, rows: int, seed: int, recurrent: bool = False
    ) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()  # batch norm is not to learn
        self.inference, self.rows, self.recurrent = inference, rows, recurrent
        self.device = next(network.parameters()).device
        self.noise: Noise | None = None
        self.draws = 1
        if any(isinstance(layer, StochasticLayer) for layer in self.network.modules()):
            self.draws = inference.draws
            slots = {"mean": 1, "fixed": 1, "sampled": rows, "mc": self.draws * (rows if recurrent else 1)}
            self.noise = Noise(self.network, seed=seed, role="evaluation", slots=slots[inference.kind])
        encoder = self.network.encoder
        assert isinstance(encoder, nn.Module)
        self._repeater = RowRepeater(encoder)
        self._noisy_encoder = any(isinstance(layer, StochasticLayer) for layer in encoder.modules())

    def _redraw(self, begins: Starts | None) -> None:
        """Draw what is due before an action; ``begins`` says whose episode begins."""
        if self.noise is None or self.inference.kind in ("mean", "fixed"):
            return
        if not self.recurrent:
            self.noise.draw()
        elif begins is not None:
            self.noise.draw([m * self.rows + int(b) for b in np.flatnonzero(begins) for m in range(self.draws)])

    def _pieces(self, batch: int) -> list[tuple[int, int]]:
        """(first, past the last) of the draws·batch rows that go through the network together: draw 0's, then draw 1's.

        All of them, but where noisy pictures make large tensors on a CPU: there whole draws, or parts of one.
        """
        total = self.draws * batch
        if total <= PIECE or self.draws == 1 or not self._noisy_encoder or self.device.type != "cpu":
            return [(0, total)]
        if batch <= PIECE:
            step = batch * (PIECE // batch)
            return [(a, min(a + step, total)) for a in range(0, total, step)]
        return [(m + a, m + min(a + PIECE, batch)) for m in range(0, total, batch) for a in range(0, batch, PIECE)]

    @contextlib.contextmanager
    def _under_noise(self, who: Int[Tensor, "W"], a: int, b: int) -> Iterator[None]:
        """For the rows a to b of draws·W: each under its draw; observations, of those ``who`` act, are repeated."""
        if self.noise is None:
            yield
        elif self.inference.kind in ("mean", "fixed"):
            with self.noise.using(0, "mean" if self.inference.kind == "mean" else "randomised"):
                yield
        else:
            batch, flat = len(who), torch.arange(a, b, device=self.device)
            draw, row = flat // batch, who[flat % batch]
            if self.recurrent:
                draw = draw * self.rows + row
            elif self.inference.kind == "sampled":
                draw = row
            with self.noise.using(draw, "randomised"), self._repeater.by(max(1, (b - a) // batch)):
                yield

    def load(self, network: nn.Module) -> None:
        """Take over newer weights, of the same shapes."""
        mine, theirs = self.network.state_dict(), network.state_dict()
        torch._foreach_copy_(list(mine.values()), [theirs[name] for name in mine])

    @abstractmethod
    def act(
        self, obs: Any, start: Starts | None = None, among: Rows | None = None, mask: Mask | None = None
    ) -> np.ndarray[Any, np.dtype[Any]]:
        """Actions that the environment takes, for a batch of its observations; noise is redrawn at every call.

        Raises:
            ConfigError: what the network puts out is not finite.

        Args:
            obs: [B, …], or a dictionary of them.
            start: whose observation is the first of an episode; None: nobody's but at the first call.
            among: whose actions are wanted; None: everybody's. Nothing is computed for the others, which get actions
                and disagreement that mean nothing.
            mask: the legal actions, as ``info["action_mask"]`` tells them; None: all. No other action is returned.
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

    def q(self, obs: Observation) -> Float[Tensor, "B K A"]:
        """Action values, averaged over the draws of ``mc``; noise is redrawn at every call."""
        return self._each(obs).mean(0)

    @torch.no_grad()
    def _each(self, obs: Observation, among: Rows | None = None) -> Float[Tensor, "M B K A"]:
        batch = length(obs)
        who = which(among, batch, self.device)
        seen = take(obs, who)
        self._redraw(None)
        parts = []
        for a, b in self._pieces(len(who)):
            with self._under_noise(who % self.rows, a, b):
                parts.append(self.network(_rows_of(seen, len(who), a, b)))
        q = torch.cat(parts)
        return put_back(q.view(self.draws, len(who), *q.shape[1:]), who, batch)

    def act(
        self, obs: Any, start: Starts | None = None, among: Rows | None = None, mask: Mask | None = None
    ) -> np.ndarray[Any, np.dtype[Any]]:
        """Greedy actions on the averaged values; `disagreement` is the variance of the taken actions' values."""
        each = self._each(map_observation(obs, self.device), among)
        self.calls += 1
        require_finite(each.flatten(2), self.name, "action values", self.calls, impossible=True)
        best = greedy(each.mean(0), self.coefficient, mask_tensor(mask, self.device))
        if self.inference.kind == "mc":
            combined = (each * self.coefficient[:, None]).sum(2)
            self.disagreement = value_variance(combined, best).cpu().numpy()
        return best.cpu().numpy() + self.first_action


class PolicyActor(Actor):
    """Acts by a policy: the likeliest action, or a sampled one.

    Under ``mc`` the draws' probabilities are averaged (of a continuous policy, the means; a sampled action is that of
    one draw), and each draw keeps a recurrent state of its own. `disagreement` is then the mutual information of action
    and draw in nats, summed over the choices of a MultiDiscrete action; of a continuous policy it is the variance of
    the draws' means, averaged over the action's numbers.
    """

    network: ActorCritic

    def __init__(
        self, network: ActorCritic, inference: Inference, *, rows: int, seed: int = 0, sample: bool = False
    ) -> None:
        super().__init__(network, inference, rows=rows, seed=seed, recurrent=network.core is not None)
        self.sample = sample
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self._state = self.network.initial_state(self.draws * rows)

    @torch.no_grad()
    def act(
        self, obs: Any, start: Starts | None = None, among: Rows | None = None, mask: Mask | None = None
    ) -> np.ndarray[Any, np.dtype[Any]]:
        """Actions that the environment takes."""
        who = which(among, self.rows, self.device)
        begins = torch.zeros(self.rows, dtype=torch.bool) if start is None else torch.tensor(start)
        begins = begins.to(self.device)[who].repeat(self.draws)
        seen = take(map_observation(obs, self.device), who)
        self._redraw(start)
        own = (torch.arange(self.draws, device=self.device)[:, None] * self.rows + who).flatten()  # of states
        parts = []
        for a, b in self._pieces(len(who)):
            state = None if self._state is None else self._state[:, own[a:b]]
            with self._under_noise(who, a, b):
                part, state = self.network.act(_rows_of(seen, len(who), a, b), state, begins[None, a:b])
            parts.append(part)
            if self._state is not None:
                assert state is not None
                self._state[:, own[a:b]] = state
        pi = torch.cat(parts)
        pi = put_back(pi.view(self.draws, len(who), -1), who, self.rows)
        action = self._choose(masked(pi, mask_tensor(mask, self.device)))
        return self.network.head.to_env(action.cpu().numpy())

    def _choose(self, pi: Float[Tensor, "M B P"]) -> Tensor:
        """One action per row from the M draws' parameters."""
        distributions = [self.network.head.distribution(p) for p in pi]
        self.calls += 1
        if isinstance(distributions[0], Gaussian):
            require_finite(_modes(distributions), self.name, "mean actions", self.calls)
            if self.sample:
                require_finite(pi, self.name, "deviations of the actions", self.calls)
        else:  # whatever is wrong with the logits, these are NaN then
            require_finite(_log_p(distributions), self.name, "log probabilities", self.calls, impossible=True)
        if self.inference.kind == "mc":
            self.disagreement = _disagreement(distributions).cpu().numpy()
        if len(distributions) == 1:
            only = distributions[0]
            return only.sample(self.generator) if self.sample else only.mode()
        if isinstance(distributions[0], Gaussian):
            if not self.sample:
                return _modes(distributions).mean(0)
            samples = torch.stack([d.sample(self.generator) for d in distributions])
            which = torch.randint(len(samples), (samples.shape[1],), generator=self.generator, device=self.device)
            return samples[which, torch.arange(samples.shape[1], device=self.device)]
        mixture = Categorical(_log_p(distributions).logsumexp(0))
        return mixture.sample(self.generator) if self.sample else mixture.mode()


def mask_tensor(mask: Mask | None, device: torch.device) -> Bool[Tensor, "B P"] | None:
    """A mask of NumPy's on a device; None: no mask."""
    return None if mask is None else torch.as_tensor(mask, device=device)


def _rows_of(obs: Observation, batch: int, a: int, b: int) -> Observation:
    """The observations that the rows a to b of all draws see, each once."""
    if b - a >= batch:
        return obs
    first = a % batch
    rows = slice(first, first + b - a)
    return {key: x[rows] for key, x in obs.items()} if isinstance(obs, dict) else obs[rows]


def _disagreement(distributions: list[Distribution]) -> Float[Tensor, "B"]:
    if isinstance(distributions[0], Gaussian):
        return action_variance(_modes(distributions))
    information = mutual_information(_log_p(distributions))
    return information.sum(-1) if isinstance(distributions[0], MultiCategorical) else information


def _modes(distributions: list[Distribution]) -> Float[Tensor, "M B D"]:
    return torch.stack([d.mode() for d in distributions])


def _log_p(distributions: list[Distribution]) -> Float[Tensor, "M *B A"]:
    """Log probabilities of discrete distributions, choice by choice."""
    return torch.stack([d.each.log_p if isinstance(d, MultiCategorical) else d.log_p for d in distributions])  # type: ignore[union-attr]
