"""Actions for observations that somebody brings, out of any environment."""

from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from torch import nn

from jostle.envs import JostleEnv
from jostle.envs.masks import MaskReader
from jostle.errors import ConfigError, EnvError
from jostle.nn.inference import Actor, Inference, Mask


class Acting(Protocol):
    """What predicting needs of an agent."""

    env: JostleEnv
    seed: int
    network: nn.Module

    def actor(
        self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False
    ) -> Actor: ...


class Predictor:
    """Keeps the actor that answered last, and gives it the weights of the moment.

    Every new actor has draws of its own, so that none comes again when modes or batch sizes take turns; but for
    ``fixed``, whose one draw is always the same.
    """

    def __init__(self, agent: Acting) -> None:
        self._agent = agent
        self._last: tuple[Inference, int, Actor] | None = None
        self._made = 0

    def forget(self) -> None:
        """The agent is another one now."""
        self._last = None

    def predict(self, obs: Any, noise: str, action_mask: Any) -> tuple[np.ndarray[Any, np.dtype[Any]] | int, None]:
        """See `jostle.algo.agent.Agent.predict`."""
        inference = Inference.parse(noise)
        batch, single = batched(obs, self._agent.env.single_observation_space)
        parts = list(batch.values()) if isinstance(batch, dict) else [batch]
        if not all(np.isfinite(part).all() for part in parts):
            raise ConfigError("the observation holds NaN or infinite numbers: no action can be told from it.")
        rows = len(parts[0])
        if not rows:
            raise ConfigError("the batch holds no observation: give at least one.")
        mask = None if action_mask is None else self._mask([action_mask] if single else action_mask, rows)
        action = self._actor(inference, rows).act(batch, np.ones(rows, np.bool_), mask=mask)
        if not single:
            return action, None
        return (int(action[0]) if action.ndim == 1 else action[0]), None

    def _actor(self, inference: Inference, rows: int) -> Actor:
        agent, last = self._agent, self._last
        if last is not None and last[:2] == (inference, rows):
            last[2].load(agent.network)
            return last[2]
        seed = agent.seed
        if inference.kind != "fixed":
            seed = int(np.random.default_rng([agent.seed, 5, self._made]).integers(2**30))
            self._made += 1
        actor = agent.actor(inference, rows=rows, seed=seed)
        self._last = inference, rows, actor
        return actor

    def _mask(self, told: Any, rows: int) -> Mask:
        space = self._agent.env.single_action_space
        reader = MaskReader(space, rows, "predict")
        if not reader.counts:
            raise ConfigError(f"the actions {space} have no masks: leave action_mask out.")
        try:
            return reader.read(told, None, np.zeros(rows, np.bool_))
        except EnvError as error:
            raise ConfigError(str(error)) from error


def batched(obs: Any, space: gym.Space[Any]) -> tuple[Any, bool]:
    """The observations as a batch, and whether there was only one without a leading axis.

    Raises:
        ConfigError: they are of another shape or type than the space.
    """
    if isinstance(space, gym.spaces.Dict):
        if not isinstance(obs, dict) or not set(space.spaces) <= set(obs):
            raise ConfigError(f"the observation must be a dictionary with the keys {sorted(space.spaces)}.")
        arrays = {key: np.asarray(obs[key]) for key in space.spaces}
        single = all(arrays[key].shape == (s.shape or ()) for key, s in space.spaces.items())
        good = all(arrays[key].shape[1 - single :] == (s.shape or ()) for key, s in space.spaces.items())
        if not good:
            shapes = {key: s.shape for key, s in space.spaces.items()}
            raise ConfigError(f"observations of shapes {shapes} are expected, with or without a leading axis.")
        return ({key: a[None] for key, a in arrays.items()} if single else arrays), single
    array, shape = np.asarray(obs), space.shape or ()
    if space.dtype is not None and array.dtype != space.dtype and np.issubdtype(space.dtype, np.integer):
        if not np.issubdtype(array.dtype, np.integer):
            raise ConfigError(f"observations of dtype {space.dtype} are expected, not {array.dtype}.")
        array = array.astype(space.dtype)
    if array.shape == shape:
        return array[None], True
    if array.shape[1:] == shape and array.ndim == len(shape) + 1:
        return array, False
    raise ConfigError(f"observations of shape {shape} or (B, …) are expected, not {array.shape}.")
