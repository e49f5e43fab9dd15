"""A policy's network as PPO runs it: compiled, in reduced precision, each row under the noise that acted."""

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.algo.machine import compiled
from jostle.algo.parts.auxiliary import INPUT, WEIGHTS
from jostle.algo.ppo.config import PPOConfig
from jostle.algo.ppo.rollout import Rollout, flat
from jostle.nn.actor_critic import ActorCritic, Outputs
from jostle.nn.distributions import masked
from jostle.nn.encoders import Observation
from jostle.nn.noise import Mode, Noise

State = Float[Tensor, "S n H"] | None
Draw = Int[Tensor, "B 2"]
Legal = Bool[Tensor, "B P"] | None


class Forward:
    """Calls a network; outputs are float32.

    Args:
        network: the policy.
        weights: the noise in its weights.
        looks: the noise in its input; None where there is none.
        config: for ``compile`` and ``bfloat16``.
        device: where all of it lies.
    """

    def __init__(
        self, network: ActorCritic, weights: Noise, looks: Noise | None, config: PPOConfig, device: torch.device
    ) -> None:
        self.network, self.weights, self.looks = network, weights, looks
        self._bfloat16, self._device = config.bfloat16, device
        self._outputs = compiled(network.outputs, config.compile, device)
        self._policy = compiled(network.act, config.compile, device)

    @property
    def noisy(self) -> bool:
        """Rows differ by their draws."""
        return bool(self.weights.layers) or self.looks is not None

    def values(
        self, obs: Observation, state: State, start: Tensor | None, draw: Draw | None, mask: Legal = None
    ) -> Outputs:
        """Everything that the network makes of a batch; ``mask`` are the legal actions (None: all)."""
        with self._precision(), self._under(draw, "sampled"):
            out: Outputs = self._outputs(obs, state, start)
        if self._bfloat16:
            out = Outputs(*(None if x is None else x.float() for x in out))  # type: ignore[arg-type]
        return out if mask is None else out._replace(pi=masked(out.pi, mask))

    def policy(
        self, obs: Observation, state: State, start: Tensor | None, draw: Draw | None, mask: Legal = None
    ) -> tuple[Float[Tensor, "B P"], State]:
        """The policy's half alone."""
        with self._precision(), self._under(draw, "sampled"):
            pi, state = self._policy(obs, state, start)
        return masked(pi.float(), mask), None if state is None else state.float()

    def features(self, obs: Observation, draw: Draw, mode: Mode = "sampled") -> tuple[Tensor, Tensor]:
        """The encoder's features and those behind the policy's last fully connected layer."""
        with self._precision(), self._under(draw, mode):
            return self.network.features(obs)

    def replay(
        self, rollout: Rollout, rows: Int[Tensor, "L n"], *, obs: Observation | None = None, draw: Draw | None = None
    ) -> Outputs:
        """The output for stored rows, from the recurrent states that acted, and under the noise that did.

        ``obs``, where they are at hand, are the rows' observations; ``draw`` takes the place of the noise that acted.
        """
        obs = rollout.observations(rows.reshape(-1)) if obs is None else obs
        start = None if rollout.state is None else flat(rows, rollout.start[:-1]).view_as(rows)
        if draw is None and self.noisy:
            draw = flat(rows, rollout.draw)
        return self.values(obs, rollout.initial_state(rows), start, draw, rollout.masks(rows))

    @contextlib.contextmanager
    def _under(self, draw: Draw | None, mode: Mode) -> Iterator[None]:
        """``mode`` is the input's; noise in the weights is always sampled."""
        with contextlib.ExitStack() as stack:
            if draw is not None and self.weights.layers:
                stack.enter_context(self.weights.using(draw[:, WEIGHTS].long()))
            if draw is not None and self.looks is not None:
                stack.enter_context(self.looks.using(draw[:, INPUT].long(), mode))
            yield

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bfloat16 else contextlib.nullcontext()
