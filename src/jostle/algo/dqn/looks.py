"""Randomness in DQN's input: who acts, learns and bootstraps under which draw."""

import contextlib
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from jostle.algo.dqn.config import DQNConfig
from jostle.algo.parts.auxiliary import INPUT, WEIGHTS
from jostle.algo.parts.input.draws import input_layers
from jostle.errors import ConfigError
from jostle.nn.noise import CLEAN, Noise, family
from jostle.nn.policy import QNetwork

_Context = contextlib.AbstractContextManager[None]


class ReplayLooks:
    """Draws of the input of an online network and of its target; without input layers nothing happens.

    Acting: one draw for all environments (``iteration``), one for each (``env``), redrawn once something was learned;
    one for each episode; or one for each action (``sample``). Learning: one draw for each minibatch, or, per
    ``sample``, for each transition. Bootstrapping: clean, or the draw of the transition (``input_target="same"``).
    With ``input_use="svea"`` acting and the loss itself are clean.

    Args:
        config: settings.
        network, target: the online network and its copy.
        num_envs: N.
        seed: of the draws.

    Raises:
        ConfigError: ``input_use="drac"``, for which there is no policy.
    """

    def __init__(self, config: DQNConfig, network: QNetwork, target: QNetwork, num_envs: int, seed: int) -> None:
        self.config = config
        self.online: Noise | None = None
        self._device = next(network.parameters()).device
        if config.input_use == "drac":
            raise ConfigError("input_use='drac' pulls policies together, and DQN has none: use input_use='svea'.")
        self.learned = config.batch_size if config.input_per == "sample" else 1
        acting = 1 if config.input_per == "iteration" else num_envs
        self._acting = list(range(self.learned, self.learned + acting))
        if input_layers(network):
            inputs, slots = family("input"), self.learned + acting
            self.online = Noise(network, seed=seed, role="online input", slots=slots, layers=inputs)
            self._target = Noise(target, seed=seed, role="target input", slots=slots, layers=inputs)
            self._act_slots = torch.tensor(self._acting, device=self._device)

    # ---- when what is drawn ----

    def before_acting(self, start: Bool[np.ndarray, "N"]) -> None:
        """New draws for actions, or for the episodes that begin."""
        if self.online is None:
            return
        if self.config.input_per == "sample":
            self.online.draw(self._acting)
        elif self.config.input_per == "episode" and start.any():
            self.online.draw([self._acting[n] for n in np.flatnonzero(start)])

    def before_update(self) -> None:
        """New draws for a minibatch, of which the target network has copies."""
        if self.online is None:
            return
        self.online.draw(list(range(self.learned)))
        for name, layer in self.online.layers.items():
            self._target.layers[name].noise.copy_(layer.noise)

    def after_learning(self) -> None:
        """New draws for acting, where they are held while nothing is learned."""
        if self.online is not None and self.config.input_per in ("iteration", "env"):
            self.online.draw(self._acting)

    # ---- who sees what ----

    def acting(self) -> _Context:
        """For a batch of all environments' observations."""
        if self.online is None:
            return contextlib.nullcontext()
        if self.config.input_use == "svea":
            return self.online.mean()
        return self.online.using(self._act_slots if len(self._acting) > 1 else self._acting[0])

    def clean(self) -> _Context:
        """For any batch, by the online network."""
        return contextlib.nullcontext() if self.online is None else self.online.mean()

    def draws(self, rows: int, learn: int) -> Int[Tensor, "B 2"]:
        """The draws that the loss of a minibatch is taken under: the weights' slot ``learn``, and the input's."""
        draw = torch.full((rows, 2), learn, device=self._device)
        clean = self.config.input_use == "svea" or self.online is None
        draw[:, INPUT] = CLEAN if clean else self.slots(draw[:, WEIGHTS])
        return draw

    def slots(self, rows: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """The input's slots for learning, of as many rows."""
        return torch.arange(len(rows), device=rows.device) % self.learned

    def draw(self) -> None:
        """Nothing to do before a piece of a minibatch: `before_update` has drawn."""

    def using(self, slots: Int[Tensor, "B"], mode: Any = "sampled") -> _Context:
        """For a minibatch under the given slots of the online network."""
        return contextlib.nullcontext() if self.online is None else self.online.using(slots, mode)

    def following(self, transition: Int[Tensor, "M"], *, target: bool) -> _Context:
        """For observations that follow the transitions with these numbers in the minibatch."""
        if self.online is None:
            return contextlib.nullcontext()
        noise = self._target if target else self.online
        if self.config.input_target == "clean":
            return noise.mean()
        return noise.using(transition % self.learned)

    def describe(self) -> dict[str, str]:
        """A line about the draws, where there are any."""
        if self.online is None:
            return {}
        acting = "clean" if self.config.input_use == "svea" else f"under {len(self._acting)} draws"
        return {"input": f"acts {acting}, learns under {self.learned} (one per {self.config.input_per})"}

    # ---- saving ----

    def reseed(self, seed: int) -> None:
        """Begin anew with the generators of another seed."""
        if self.online is not None:
            self.online.reseed(seed)
            self._target.reseed(seed)

    def state_dict(self) -> dict[str, Any] | None:
        """The draws and the generators; None where there is nothing random."""
        return None if self.online is None else self.online.state_dict()

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Restore `state_dict`.

        Raises:
            CheckpointError: it is of other layers or sizes.
        """
        if self.online is not None and state is not None:
            self.online.load_state_dict(state)
