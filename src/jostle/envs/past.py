"""The last observations and actions of an episode, which a policy may see as one more observation."""

import math
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float32

from jostle.envs.masks import counts_of
from jostle.envs.observations import Obs
from jostle.errors import ConfigError
from jostle.nn.privileged import is_privileged

_ONLY = ""  # the key of an observation that is no dictionary
LONGEST = 1000
"""Steps that may be remembered."""


class Past:
    """For N rows, what was observed and done in the last k steps of their episodes: float32 [N, k, E], oldest first.

    The last of them is the observation before the one that is just seen, and the action that led to it; steps from
    before the episode are zeros. Of observations there are the vectors of real numbers, side by side and as they are;
    pictures, categories and what is privileged are left out. Of actions there are indicators of choices; numbers with
    two bounds are brought to −1 to 1.

    Args:
        space: of one observation, as the engine gives it.
        action_space: of one action.
        num_envs: N.
        steps: k.
        env: the environments' name, for messages.

    Raises:
        ConfigError: there are no vectors of real numbers.
    """

    def __init__(
        self, space: spaces.Space[Any], action_space: spaces.Space[Any], num_envs: int, steps: int, env: str
    ) -> None:
        inner = dict(space.spaces) if isinstance(space, spaces.Dict) else {_ONLY: space}
        self._keys = [key for key, part in inner.items() if _is_vector(part) and not is_privileged(key)]
        if not self._keys:
            raise ConfigError(
                f"domain_history={steps} remembers vectors of real numbers, and the observations of {env} are "
                f"{space}: leave it out, and use frame_stack or recurrent."
            )
        self._actions = _Actions(action_space)
        self._seen_width = sum(math.prod(inner[key].shape or ()) for key in self._keys)
        self._rows = num_envs
        width = self._seen_width + self._actions.width
        self.space = spaces.Box(-np.inf, np.inf, (steps, width), np.float32)
        self.window: Float32[np.ndarray, "N k E"] = np.zeros((num_envs, steps, width), np.float32)
        """Never written to again: every step makes a new one."""
        self._seen = np.zeros((num_envs, self._seen_width), np.float32)

    def begin(self, obs: Obs) -> None:
        """All rows start anew with these observations."""
        self.window = np.zeros_like(self.window)
        self._seen = self._vector(obs)

    def push(self, obs: Obs, actions: np.ndarray, start: Bool[np.ndarray, "N"]) -> None:
        """A step was made.

        Args:
            obs: what it led to.
            actions: that were taken.
            start: rows that it started anew, whose action was ignored.
        """
        window = np.empty_like(self.window)
        window[:, :-1] = self.window[:, 1:]
        window[:, -1, : self._seen_width] = self._seen
        window[:, -1, self._seen_width :] = self._actions(actions)
        window[start] = 0.0
        self.window, self._seen = window, self._vector(obs)

    def state_dict(self) -> dict[str, Any]:
        """What the next step adds to."""
        return {"window": self.window.copy(), "seen": self._seen.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Back to a state of `state_dict`."""
        self.window, self._seen = (np.array(state[name], np.float32) for name in ("window", "seen"))

    def _vector(self, obs: Obs) -> Float32[np.ndarray, "N D"]:
        """The vectors among the observations, side by side."""
        parts = [obs[key] if isinstance(obs, dict) else obs for key in self._keys]
        return np.concatenate([np.asarray(part, np.float32).reshape(self._rows, -1) for part in parts], 1)


class _Actions:
    """Actions of N rows as vectors [N, width]."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        counts = counts_of(space)
        self._offset = np.cumsum([0, *counts[:-1]]) if counts else None
        self._first = np.ravel(getattr(space, "start", 0))
        if isinstance(space, spaces.Box):
            self.width = math.prod(space.shape)
            low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
            bounded = np.isfinite(low) & np.isfinite(high) & (high > low) & (high - low < np.finfo(np.float32).max)
            self._middle = np.where(bounded, low / 2 + high / 2, 0.0)
            self._half = np.where(bounded, high / 2 - low / 2, 1.0)
        else:
            self.width = sum(counts)

    def __call__(self, actions: np.ndarray) -> Float32[np.ndarray, "N W"]:
        flat = np.asarray(actions).reshape(len(actions), -1)
        if self._offset is None:
            return ((flat - self._middle) / self._half).astype(np.float32)
        out = np.zeros((len(flat), self.width), np.float32)
        np.put_along_axis(out, flat.astype(np.int64) - self._first + self._offset, 1.0, 1)
        return out


def _is_vector(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and space.dtype.kind == "f" and len(space.shape) < 2
