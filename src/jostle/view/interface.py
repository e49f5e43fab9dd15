"""What a policy shows to those who test or explain it, whoever trained it."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, Self, TypeAlias

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from jostle.envs import JostleEnv, sources
from jostle.errors import ConfigError
from jostle.nn.encoders import Observation
from jostle.nn.inference import Inference, Mask, Starts
from jostle.nn.noise import Noise, StochasticLayer
from jostle.nn.policy import map_observation
from jostle.nn.rows import Rows
from jostle.view.inside import Patch, hooked, require_kept

EnvSource: TypeAlias = sources.EnvSource
"""What `make_env` takes: an id, or a function that makes one environment."""


class Acts(Protocol):
    """What plays episodes: `jostle.nn.inference.Actor` and its like."""

    disagreement: np.ndarray[Any, np.dtype[np.float32]] | None
    """How far the draws of noise disagreed in the last `act`, per row [B]; None in modes that average nothing."""

    def act(
        self, obs: Any, start: Starts | None = None, among: Rows | None = None, mask: Mask | None = None
    ) -> np.ndarray[Any, Any]:
        """Actions that the environment takes.

        ``start`` marks the rows that begin an episode. ``among`` are the rows whose actions are wanted (None: all);
        for the others any action will do, so that nothing need be computed. ``mask`` are the legal actions, given where
        an environment tells them (``info["action_mask"]``) and left out elsewhere.
        """


@dataclass(frozen=True)
class Probabilities:
    """A discrete policy. ``p`` is [B, A]; with D choices side by side [B, D, A], impossible actions having 0."""

    p: Float[Tensor, "B *D A"]


@dataclass(frozen=True)
class MeanStd:
    """A continuous policy: independent normal variables in the policy's own units.

    Those of jostle's agents reach from −1 to 1 where actions are scaled to their space's bounds afterwards; those of
    others are what they act by before they are clipped.
    """

    mean: Float[Tensor, "B D"]
    std: Float[Tensor, "B D"]


@dataclass(frozen=True)
class Output:
    """What one forward pass gives; None is what the policy has not.

    Attributes:
        distribution: of the actions; None of an agent that is all action values.
        q: action values [B, K, A] of K reward streams.
        value: state values [B, K].
        state: the next recurrent state.
        logits: of a discrete policy, the unnormalised log-probabilities in the form of `Probabilities`; None where only
            these are known.
    """

    distribution: Probabilities | MeanStd | None = None
    q: Float[Tensor, "B K A"] | None = None
    value: Float[Tensor, "B K"] | None = None
    state: Tensor | None = None
    logits: Float[Tensor, "B *D A"] | None = None


class PolicyView(ABC):
    """A frozen copy of a policy, to be looked at and to act. What is trained later is seen by a new view only.

    Observations are those of the environment, as arrays or tensors with a leading axis B, or dictionaries of them.
    Outputs are tensors on the policy's device; gradients flow to inputs that ask for them, not to parameters.

    Attributes:
        name: for tables.
        observation_space, action_space: of one environment.
        module: the network.
        env_source, env_options: where it was trained, as `make_env` takes it; None and {} if that is not known.
        seed: of the training; None if that is not known.
        noise: the view's own draws, without which a stochastic layer does nothing here; None if there is no such layer.
        streams: names of the K reward streams; empty where nobody tells them.
        observation_names: a name for each number of an observation, as `jostle.envs.JostleEnv.observation_names` tells
            them; empty where nobody does.
    """

    name: str
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    module: nn.Module
    env_source: EnvSource | None = None
    env_options: Mapping[str, Any]
    seed: int | None = None
    recurrent: bool = False
    noise: Noise | None = None
    streams: tuple[str, ...] = ()
    observation_names: Mapping[str, Sequence[str]] = MappingProxyType({})

    @abstractmethod
    def forward(
        self,
        obs: Any,
        *,
        state: Tensor | None = None,
        start: Bool[Tensor, "B"] | None = None,
        draw: int | Int[Tensor, "B"] | None = None,
    ) -> Output:
        """One pass.

        Args:
            obs: a batch of B observations.
            state: the recurrent state before them (None: zeros).
            start: rows that begin an episode, whose state is zeroed.
            draw: slot of `redraw` under which each row goes through the network; None: without noise.
        """

    @abstractmethod
    def actor(self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False) -> Acts:
        """What acts in ``rows`` environments together, under draws of its own; see `jostle.evaluate` for the modes."""

    @abstractmethod
    def actions(
        self, out: Output, *, mask: Mask | None = None, generator: torch.Generator | None = None
    ) -> np.ndarray[Any, Any]:
        """The actions that an output means, as the environment takes them.

        Args:
            out: of `forward`.
            mask: the legal actions, as ``info["action_mask"]`` tells them; None: all.
            generator: samples actions from the policy; None: the likeliest or best ones.

        Raises:
            ConfigError: there is no policy to sample from.
        """

    def inputs(self, obs: Any) -> Observation:
        """Observations as tensors of floats in their own units, which `forward` takes, too, and gradients can reach."""
        seen = self._seen(obs)
        return {key: x.float() for key, x in seen.items()} if isinstance(seen, dict) else seen.float()

    def clone(self) -> Self:
        """An equal view whose network and noise are its own, to be changed."""
        twin = copy.copy(self)
        twin.module = self._copied()
        if self.noise is not None:
            twin.noise = own_noise(twin.module, role=self.noise.role, slots=self.noise.slots)
            assert twin.noise is not None
            twin.noise.load_state_dict(self.noise.state_dict())
        return twin

    def _copied(self) -> nn.Module:
        return copy.deepcopy(self.module)

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        tensors = [*self.module.parameters(), *self.module.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    @property
    def stochastic(self) -> bool:
        """There are layers with noise, so that the inference modes differ."""
        return self.noise is not None

    def fits(self, space: gym.Space[Any]) -> bool:
        """Whether observations of this space can be given to the policy."""
        return space == self.observation_space

    def distribution(self, obs: Any, **how: Any) -> Probabilities | MeanStd | None:
        """The actions' distribution, None of a value-based agent; ``how`` as of `forward`."""
        return self.forward(obs, **how).distribution

    def q(self, obs: Any, **how: Any) -> Float[Tensor, "B K A"] | None:
        """Action values, None of a policy; ``how`` as of `forward`."""
        return self.forward(obs, **how).q

    def value(self, obs: Any, **how: Any) -> Float[Tensor, "B K"] | None:
        """State values, of a value-based agent those of its greedy actions; ``how`` as of `forward`."""
        return self.forward(obs, **how).value

    def redraw(self, draws: int, seed: int = 0) -> None:
        """Fill the slots 0 to ``draws`` − 1 with fresh noise, for ``draw=`` of the other methods.

        Raises:
            ConfigError: there is no noise, or no draw is asked for.
        """
        if self.noise is None:
            raise ConfigError(f"{self.name} has no layer with noise, so there is nothing to draw.")
        self.noise = Noise(self.module, seed=seed, role="view", slots=draws)

    def layers(self) -> list[str]:
        """Names of all modules of the network, in the order of their definition."""
        return [name for name, _ in self.module.named_modules() if name]

    def activations(self, obs: Any, layer: str, **how: Any) -> Tensor:
        """What a layer puts out [B, …] for a batch of observations; of several calls in one pass the last one.

        Raises:
            ConfigError: there is no such layer, or the pass does not go through it.
        """
        return self.look(obs, [layer], **how)[1][layer]

    def look(
        self, obs: Any, layers: Sequence[str] = (), *, patch: Mapping[str, Patch] | None = None, **how: Any
    ) -> tuple[Output, dict[str, Tensor]]:
        """One pass, and what layers put out in it, with gradients where the input asks for them.

        Args:
            obs: a batch of observations.
            layers: whose outputs are wanted; of several calls in one pass the last one.
            patch: layer -> function that makes another output of its own one, with which the pass goes on.
            **how: as of `forward`.

        Raises:
            ConfigError: there is no such layer, or the pass does not go through it.
        """
        with hooked(self.module, self.name, layers, patch) as kept:
            out = self.forward(obs, **how)
        require_kept(kept, layers, self.name)
        return out, kept

    def _seen(self, obs: Any) -> Any:
        return map_observation(obs, self.device)

    def _under(self, draw: int | Int[Tensor, "B"] | None) -> AbstractContextManager[None]:
        if self.noise is None:
            if draw is not None:
                raise ConfigError(f"{self.name} has no layer with noise: leave draw out.")
            return nullcontext()
        return self.noise.mean() if draw is None else self.noise.using(draw, "randomised")


def source_of(view: PolicyView, env: EnvSource | None = None) -> EnvSource:
    """The environment to play in: the one given, or the policy's own.

    Raises:
        ConfigError: there is neither.
    """
    source = view.env_source if env is None else env
    if source is None:
        raise ConfigError(f"nobody knows where {view.name} was trained: give env=…, or as_view(policy, env=…).")
    return source


def require_fit(view: PolicyView, env: JostleEnv) -> None:
    """Raises: ConfigError where the policy cannot play in this environment."""
    apart = []
    if not view.fits(env.single_observation_space):
        apart.append(_apart("observations", env.single_observation_space, view.observation_space))
    if view.action_space != env.single_action_space:
        apart.append(_apart("actions", env.single_action_space, view.action_space))
    if apart:
        trained = view.env_source if isinstance(view.env_source, str) else "the one"
        raise ConfigError(
            f"{env.id} has other spaces than {trained} that {view.name} was trained in: {', and '.join(apart)}; choose "
            "an environment, and options such as frame_stack or size, that leave both as they were."
        )


def in_short(space: gym.Space[Any]) -> str:
    """A space without its bounds, which fill a page where they differ from number to number."""
    if isinstance(space, spaces.Dict):
        return f"Dict of {', '.join(map(str, space.spaces))}"
    return f"Box{list(space.shape)} of {space.dtype}" if isinstance(space, spaces.Box) else str(space)


def _apart(what: str, there: gym.Space[Any], trained: gym.Space[Any]) -> str:
    one, other = in_short(there), in_short(trained)
    return f"{what} {one} instead of {other}" if one != other else f"other bounds of its {what} {one}"


def own_noise(module: nn.Module, *, seed: int = 0, role: str = "view", slots: int = 1) -> Noise | None:
    """Draws for the stochastic layers of a module that nobody else uses; None if it has no such layer."""
    stochastic = any(isinstance(layer, StochasticLayer) for layer in module.modules())
    return Noise(module, seed=seed, role=role, slots=slots) if stochastic else None
