"""Views of what acts and shows nothing else: a function, an object with ``predict``, random play."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from torch import Tensor, nn

from jostle.envs import random_actions
from jostle.errors import ConfigError
from jostle.nn.inference import Inference, Mask, Starts
from jostle.nn.rows import Rows, length
from jostle.view.globals import OwnGlobals
from jostle.view.interface import Acts, EnvSource, PolicyView


class ActingView(PolicyView):
    """A policy that gives actions alone: no distribution, no values, no layers, and no noise to average."""

    def __init__(
        self,
        name: str,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        *,
        env_source: EnvSource | None = None,
        env_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.module = name, nn.Module()
        self.observation_space, self.action_space = observation_space, action_space
        self.env_source, self.env_options = env_source, dict(env_options or {})

    def forward(self, obs: Any, **how: Any) -> NoReturn:
        """Raises: ConfigError, for there is nothing to look into."""
        raise ConfigError(
            f"{self.name} gives actions and shows nothing else: give a torch.nn.Module, or what returns logits, action "
            "values or means with kind='logits', 'q' or 'mean'."
        )

    def actions(self, out: Any, **how: Any) -> NoReturn:
        """Raises: ConfigError, for there are no outputs."""
        self.forward(None)

    @abstractmethod
    def actor(self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False) -> Acts:
        """See `PolicyView.actor`; all modes are the same."""


class PredictorView(ActingView):
    """A function or an object's ``predict``: observations [B, …] as the environment gives them, to actions [B, …].

    It is used as it is, not copied. Of a pair (actions, state), as Stable-Baselines3's models return it, the state is
    handed on. Where the function has parameters of that name, it is given ``state`` and ``episode_start`` (as there),
    ``deterministic`` (False for sampled actions) and ``action_masks`` (the legal ones, where environments tell them).
    """

    def __init__(self, call: Callable[..., Any], name: str, *spaces: gym.Space[Any], **home: Any) -> None:
        super().__init__(name, *spaces, **home)
        self.call, self.takes = call, _parameters(call)

    def actor(
        self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False
    ) -> "PredictorActor":
        """See `ActingView.actor`."""
        if sample and "deterministic" not in self.takes:
            raise ConfigError(f"{self.name} gives no probabilities to sample from: use actions='greedy'.")
        return PredictorActor(self, seed=seed, sample=sample)


class PredictorActor:
    """Acts by a `PredictorView`. The global generators are its own meanwhile, begun by ``seed``."""

    def __init__(self, view: PredictorView, *, seed: int, sample: bool) -> None:
        self.view, self.sample, self.name = view, sample, view.name
        self.disagreement: np.ndarray[Any, np.dtype[np.float32]] | None = None
        self._state: Any = None
        self._globals = OwnGlobals(seed)

    def act(
        self, obs: Any, start: Starts | None = None, among: Rows | None = None, mask: Mask | None = None
    ) -> np.ndarray[Any, Any]:
        """Actions that the environment takes, computed for all rows: a state is the whole batch's."""
        told = {"state": self._state, "episode_start": start, "deterministic": not self.sample, "action_masks": mask}
        how = {key: value for key, value in told.items() if key in self.view.takes}
        try:
            with self._globals.in_place():
                found = self.view.call(obs, **how)
        except Exception as error:
            raise ConfigError(
                f"{self.name} failed on the observations {_described(obs)} ({type(error).__name__}: "
                f"{' '.join(str(error).split())}): it must take a batch of them, as NumPy arrays, and return an action "
                "for each."
            ) from error
        if isinstance(found, tuple):
            found, self._state = found[0], found[1] if len(found) > 1 else None
        actions = np.asarray(found.detach().cpu() if isinstance(found, Tensor) else found)
        wanted = (length(obs), *(self.view.action_space.shape or ()))
        if actions.shape != wanted:
            raise ConfigError(
                f"{self.name} must return actions {list(wanted)} for a batch of {wanted[0]} observations, not "
                f"{list(actions.shape)}: let it return an action for each."
            )
        return actions


class RandomView(ActingView):
    """Uniformly random legal actions: the floor that any policy is held against."""

    def actor(
        self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False
    ) -> "RandomActor":
        """See `ActingView.actor`."""
        return RandomActor(self.action_space, rows, seed)


class RandomActor:
    """Acts at random, from ``seed`` alone."""

    def __init__(self, space: gym.Space[Any], rows: int, seed: int) -> None:
        self.space, self.rows, self.rng = space, rows, np.random.default_rng(seed)
        self.disagreement: np.ndarray[Any, np.dtype[np.float32]] | None = None

    def act(
        self, obs: Any, start: Starts | None = None, among: Rows | None = None, mask: Mask | None = None
    ) -> np.ndarray[Any, Any]:
        """A random action for each row; legal where the environment tells which are."""
        return random_actions(self.space, self.rows, self.rng, mask)


def name_of(policy: Any) -> str:
    """A function's name, or the class of an object or a bound method; ``policy`` where the name says nothing."""
    owner = getattr(policy, "__self__", None) or policy
    name = str(getattr(owner, "__name__", type(owner).__name__))
    return "policy" if name in ("<lambda>", "partial") else name


def _parameters(call: Callable[..., Any]) -> frozenset[str]:
    """The names that a function can be given; none where it does not tell."""
    try:
        return frozenset(inspect.signature(call).parameters)
    except (TypeError, ValueError):
        return frozenset()


def _described(obs: Any) -> str:
    parts = obs.items() if isinstance(obs, dict) else [("", obs)]
    return ", ".join(f"{key} {list(x.shape)} of {x.dtype}".strip() for key, x in parts)
