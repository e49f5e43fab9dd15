"""Views of jostle's own agents and of their networks."""

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.envs.domain import off
from jostle.envs.later import LaterEnv
from jostle.errors import ConfigError
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.distributions import Categorical, Distribution, MultiCategorical
from jostle.nn.inference import Actor, Inference, Mask, PolicyActor, QActor, mask_tensor
from jostle.nn.policy import QNetwork, greedy
from jostle.view.choosing import chosen, padded
from jostle.view.interface import EnvSource, MeanStd, Output, PolicyView, Probabilities, own_noise


class NetworkView(PolicyView):
    """An `ActorCritic` or a `QNetwork`.

    Args:
        network: it is copied.
        observation_space, action_space: of one environment.
        coefficient: [K], weights of the reward streams in greedy actions; None: one each.
        agent: the agent that the network is of, which then makes the actors.
    """

    module: ActorCritic | QNetwork

    def __init__(
        self,
        network: ActorCritic | QNetwork,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        *,
        name: str = "",
        coefficient: Float[Tensor, "K"] | None = None,
        agent: Any = None,
        env_source: EnvSource | None = None,
        env_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.name = name or type(network).__name__
        self.observation_space, self.action_space = observation_space, action_space
        self.env_source, self.env_options = env_source, dict(env_options or {})
        self.recurrent = isinstance(network, ActorCritic) and network.core is not None
        self.noise = own_noise(self.module)
        ones = torch.ones(network.num_streams, device=self.device)
        self.coefficient = ones if coefficient is None else coefficient
        self._agent = agent

    def forward(
        self,
        obs: Any,
        *,
        state: Tensor | None = None,
        start: Bool[Tensor, "B"] | None = None,
        draw: int | Int[Tensor, "B"] | None = None,
    ) -> Output:
        """See `PolicyView.forward`."""
        with self._under(draw):
            if isinstance(self.module, QNetwork):
                q = self.module(self._seen(obs))
                best = (q * self.coefficient[:, None]).sum(1).argmax(-1)
                return Output(q=q, value=q.take_along_dim(best[:, None, None], 2).squeeze(2))
            pi, value, state = self.module(self._seen(obs), state, start)
        shown, logits = _shown(self.module.head.distribution(pi), pi)
        return Output(shown, value=value, state=state, logits=logits)

    def actions(
        self, out: Output, *, mask: Mask | None = None, generator: torch.Generator | None = None
    ) -> np.ndarray[Any, Any]:
        """See `PolicyView.actions`."""
        legal = mask_tensor(mask, self.device)
        if isinstance(self.module, QNetwork):
            if generator is not None:
                raise ConfigError(f"{self.name} has no policy to sample actions from: use actions='greedy'.")
            assert out.q is not None
            best = greedy(out.q, self.coefficient, legal)
            return best.cpu().numpy() + int(getattr(self.action_space, "start", 0))
        if legal is not None:
            legal = padded(legal, self.action_space)
        return self.module.head.to_env(chosen(out, legal, generator).detach().cpu().numpy())

    def actor(self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False) -> Actor:
        """See `PolicyView.actor`."""
        if self._agent is not None:
            actor: Actor = self._agent.actor(noise, rows=rows, seed=seed, sample=sample)
            actor.load(self.module)  # the agent may have learned since
            actor.name = self.name
            return actor
        inference = noise if isinstance(noise, Inference) else Inference.parse(noise)
        if isinstance(self.module, ActorCritic):
            own: Actor = PolicyActor(self.module, inference, rows=rows, seed=seed, sample=sample)
            own.name = self.name
            return own
        if sample:
            raise ConfigError(f"{self.name} has no policy to sample actions from: use actions='greedy'.")
        first = int(getattr(self.action_space, "start", 0))
        own = QActor(self.module, self.coefficient, inference, rows=rows, seed=seed, first_action=first)
        own.name = self.name
        return own


def agent_view(agent: Any) -> NetworkView:
    """The view of what has ``network``, ``actor`` and ``env`` as jostle's agents have.

    Raises:
        ConfigError: its network is of an unknown kind.
    """
    if not isinstance(agent.network, ActorCritic | QNetwork):
        raise ConfigError(
            f"the network of {type(agent).__name__} is a {type(agent.network).__name__}, which has no view: give the "
            "network itself, as_view(agent.network, kind=…, env=…)."
        )
    view = NetworkView(
        agent.network,
        agent.env.single_observation_space,
        agent.env.single_action_space,
        name=str(getattr(agent, "algorithm", type(agent).__name__)),
        coefficient=getattr(agent, "coefficient", None),
        agent=agent,
        env_source=agent.env_source,
        env_options=off(agent.env_options),  # tested in the nominal world, unless asked otherwise
    )
    view.seed = getattr(agent, "seed", None)
    view.streams = tuple(getattr(getattr(agent, "streams", None), "names", ()))
    if not isinstance(agent.env, LaterEnv):  # to be asked, it would have to be made
        view.observation_names = dict(getattr(agent.env, "observation_names", {}))
    return view


def _shown(distribution: Distribution, pi: Float[Tensor, "B P"]) -> tuple[Probabilities | MeanStd, Tensor | None]:
    """The distribution, and its logits if it is a discrete one."""
    if isinstance(distribution, Categorical):
        return Probabilities(distribution.log_p.exp()), pi.float()
    if isinstance(distribution, MultiCategorical):
        return Probabilities(distribution.each.log_p.exp()), distribution.each.log_p
    return MeanStd(distribution.mean, distribution.log_std.exp()), None
