"""One environment of many: what it gives is checked where it steps, and whatever is wrong names it by its number."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from jostle.errors import EnvError

Bring = Callable[[Any], Any]
"""Takes an observation and returns it in the form of its space, or raises `Unfit`."""

_OLD = (
    "it follows the interface of before Gymnasium 0.26: let reset(self, *, seed=None, options=None) return "
    "(observation, info) and step five values, the ends as terminated and truncated, or convert it with "
    "the package shimmy"
)
_LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class Unfit(Exception):
    """What is wrong with an observation, a reward or a flag."""


class Numbered(gym.Wrapper[Any, Any, Any, Any]):
    """Environment number `index`. Its faults name it, and the text entries of its Dict observations are dropped.

    Rewards are numbers and flags are bools afterwards, and observations have shape and kind of their space; whether
    they lie inside it is checked for all rows together, in `JostleEnv`.
    """

    def __init__(self, env: gym.Env[Any, Any], index: int, env_id: str) -> None:
        super().__init__(env)
        self._index, self._id = index, env_id
        space = env.observation_space
        if isinstance(space, spaces.Dict):
            parts = {k: s for k, s in space.spaces.items() if s.dtype is None or s.dtype.kind != "U"}
            if len(parts) < len(space.spaces):
                self.observation_space = spaces.Dict(parts)
        self._bring = bring_to(self.observation_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The wrapped environment's reset."""
        try:
            result: Any = self.env.reset(seed=seed, options=options)
        except (Exception, SystemExit) as error:
            raise EnvError(self._failed("reset", error)) from error
        # A list of two is an observation, unless its end is an info.
        two = isinstance(result, (tuple, list)) and len(result) == 2
        if not two or (isinstance(result, list) and not isinstance(result[1], Mapping | None)):
            raise EnvError(
                f"{self._id}: reset of environment {self._index} returned {_kind(result)}, and (observation, info) is "
                f"wanted: {_OLD}."
            )
        obs, info = result
        return self._observation(obs, "reset"), info if info.__class__ is dict else _mapping(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The wrapped environment's step."""
        try:
            result: Any = self.env.step(action)
        except (Exception, SystemExit) as error:
            raise EnvError(self._failed("step", error)) from error
        if not isinstance(result, (tuple, list)) or len(result) != 5:
            raise EnvError(
                f"{self._id}: step of environment {self._index} returned {_kind(result)}, and (observation, reward, "
                f"terminated, truncated, info) is wanted: {_OLD}."
            )
        obs, reward, terminated, truncated, info = result
        if reward.__class__ is not float:
            reward = self._number(reward)
        if terminated.__class__ is not bool:
            terminated = self._flag(terminated, "terminated")
        if truncated.__class__ is not bool:
            truncated = self._flag(truncated, "truncated")
        if info.__class__ is not dict:
            info = _mapping(info)
        return self._observation(obs, "step"), reward, terminated, truncated, info

    def render(self) -> Any:
        """The wrapped environment's picture."""
        try:
            return self.env.render()
        except gym.error.DependencyNotInstalled as error:
            raise EnvError(f"{self._id} draws with a package that is missing: {needs(error)}") from error

    def _observation(self, obs: Any, where: str) -> Any:
        try:
            return self._bring(obs)
        except Unfit as error:
            raise EnvError(
                f"{self._id}: the observation of environment {self._index} in {where} {error}: mend the environment, "
                "or declare the space that its observations have."
            ) from error

    def _number(self, reward: Any) -> float:
        try:
            return number(reward)
        except Unfit as error:
            raise EnvError(
                f"{self._id}: the reward of environment {self._index} {error}, and one number is wanted: let step "
                "return float(reward)."
            ) from error

    def _flag(self, value: Any, name: str) -> bool:
        try:
            found = number(value)
            if found not in (0.0, 1.0):
                raise Unfit(f"is {_short(value)}")
        except Unfit as error:
            raise EnvError(
                f"{self._id}: {name} of environment {self._index} {error}, and True or False is wanted: let step "
                f"return bool({name})."
            ) from error
        return found == 1.0

    def _failed(self, where: str, error: BaseException) -> str:
        text = " ".join(str(error).split()).rstrip(".")
        old = isinstance(error, TypeError) and "unexpected keyword argument" in text and where == "reset"
        old = old or (isinstance(error, ValueError) and "values to unpack (expected 5, got 4)" in text)
        remedy = _OLD if old else "mend the environment (--debug shows the place)"
        return f"{self._id}: environment {self._index} failed in {where} with {type(error).__name__}: {text}; {remedy}."


def _mapping(info: Any) -> dict[str, Any]:
    """What an environment tells as a dict; what is none is nobody's to read."""
    return dict(info) if isinstance(info, Mapping) else {}


def number(value: Any) -> float:
    """One number, also as an array of one entry, a fraction or a NumPy scalar, as a float.

    Raises:
        Unfit: text, None, several numbers, or anything else.
    """
    if isinstance(value, (int, float)):
        return float(value)
    try:
        array = np.asarray(value)
    except Exception as error:
        raise Unfit(f"is {_short(value)}") from error
    if array.size != 1:
        raise Unfit(f"is an array of shape {list(array.shape)}")
    item = array.item()
    if array.dtype.kind not in "biufO" or item is None or isinstance(item, (str, bytes)):
        raise Unfit(f"is {_kind(value)}")
    try:
        return float(item)
    except (TypeError, ValueError) as error:
        raise Unfit(f"is {_kind(value)}") from error


def bring_to(space: spaces.Space[Any], key: str = "") -> Bring:
    """What brings observations to the form of their space. Spaces that jostle refuses are left alone."""
    if isinstance(space, spaces.Dict):
        parts = {part: bring_to(inner, f"{key}.{part}" if key else str(part)) for part, inner in space.spaces.items()}
        return lambda obs: _dict(obs, parts, key)
    if not isinstance(space, _LEAVES):
        return lambda obs: obs
    dtype, shape = space.dtype, space.shape
    counts = isinstance(space, spaces.Discrete)

    def bring(obs: Any) -> Any:
        if obs.__class__ is np.ndarray:
            if obs.dtype == dtype and obs.shape == shape:
                return obs
        elif counts and obs.__class__ is int and -(2**63) <= obs < 2**63:
            return obs
        return _array(obs, space, key)

    return bring


def _dict(obs: Any, parts: dict[Any, Bring], key: str) -> dict[Any, Any]:
    if not isinstance(obs, Mapping):
        raise Unfit(f"{_at(key)}is {_kind(obs)}, and its space is a Dict")
    for part in parts:
        if part not in obs:
            raise Unfit(f"{_at(key)}lacks the key {part!r} of its space")
    return {part: bring(obs[part]) for part, bring in parts.items()}


def _array(obs: Any, space: spaces.Space[Any], key: str) -> np.ndarray:
    """The slow way: other types, lists and NumPy scalars, where nothing is lost by it."""
    assert space.dtype is not None
    if obs is None or isinstance(obs, (str, bytes, Mapping)):
        raise Unfit(f"{_at(key)}is {_kind(obs)}, and its space is {_short(space)}")
    try:
        array = np.asarray(obs)
    except Exception as error:
        raise Unfit(f"{_at(key)}is {_kind(obs)}, which is no array, and its space is {_short(space)}") from error
    if array.dtype.kind not in "biuf":
        raise Unfit(f"{_at(key)}is of type {array.dtype}, and its space is {_short(space)}")
    if array.shape != space.shape:
        declared = list(space.shape or ())
        raise Unfit(f"{_at(key)}has shape {list(array.shape)}, and its space {_short(space)} has {declared}")
    if space.dtype.kind == "f":
        return array
    if array.dtype.kind == "f":
        raise Unfit(f"{_at(key)}is of type {array.dtype}, and its space {_short(space)} holds integers")
    held = array.astype(space.dtype)
    if (held != array).any():
        wrong = array[held != array].flat[0]
        raise Unfit(f"{_at(key)}holds {wrong}, which the type {space.dtype} of its space cannot hold")
    return held


def needs(error: BaseException) -> str:
    """What to install, by the text of a missing package's error."""
    text = " ".join(str(error).split())
    for package, extra in (("pygame", "classic"), ("minigrid", "minigrid")):
        if package in text.lower():
            return f'{package} is not installed: pip install "jostle[{extra}]".'
    return text


def _at(key: str) -> str:
    return f'at "{key}" ' if key else ""


def _kind(value: Any) -> str:
    """A few words for a value of the wrong kind."""
    if value is None or isinstance(value, (str, bytes)):
        return _short(value)
    if isinstance(value, (tuple, list)):
        return f"{len(value)} value{'s' * (len(value) != 1)}"
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {list(value.shape)} and type {value.dtype}"
    return f"of type {type(value).__name__}"


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}…"
