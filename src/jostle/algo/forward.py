"""A policy's network as PPO runs it: compiled, in reduced precision, each row under the noise that acted."""

import contextlib

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jostle.algo.agent import compiled
from jostle.algo.ppo_config import PPOConfig
from jostle.algo.rollout import Rollout, flat
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.encoders import Observation
from jostle.nn.noise import Noise

State = Float[Tensor, "S n H"] | None


class Forward:
    """Calls a network; outputs are float32.

    Args:
        network: the policy.
        noise: its noise.
        config: for ``compile``, ``bfloat16`` and ``noisy``.
        device: where all of it lies.
    """

    def __init__(self, network: ActorCritic, noise: Noise, config: PPOConfig, device: torch.device) -> None:
        self.network, self.noise = network, noise
        self._noisy, self._bfloat16, self._device = config.noisy != "none", config.bfloat16, device
        self._both = compiled(network, config.compile, device)
        self._policy = compiled(network.act, config.compile, device)

    def values(
        self, obs: Observation, state: State, start: Tensor | None, draw: Int[Tensor, "B"] | None
    ) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B K"], State]:
        """The policy's parameters, values and the next recurrent state."""
        with self._precision(), self._under(draw):
            pi, value, state = self._both(obs, state, start)
        return pi.float(), value.float(), None if state is None else state.float()

    def policy(
        self, obs: Observation, state: State, start: Tensor | None, draw: Int[Tensor, "B"] | None
    ) -> tuple[Float[Tensor, "B P"], State]:
        """The policy's half alone."""
        with self._precision(), self._under(draw):
            pi, state = self._policy(obs, state, start)
        return pi.float(), None if state is None else state.float()

    def replay(
        self, rollout: Rollout, rows: Int[Tensor, "L n"]
    ) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B K"], Observation]:
        """The output for stored rows, under the noise and from the recurrent states that acted, and what was seen."""
        obs = rollout.observations(rows.reshape(-1))
        start = None if rollout.state is None else flat(rows, rollout.start[:-1]).view_as(rows)
        draw = flat(rows, rollout.draw) if self._noisy else None
        pi, value, _ = self.values(obs, rollout.initial_state(rows), start, draw)
        return pi, value, obs

    def _under(self, draw: Int[Tensor, "B"] | None) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if draw is None or not self._noisy else self.noise.using(draw.long())

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bfloat16 else contextlib.nullcontext()
