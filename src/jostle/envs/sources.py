"""What may stand for an environment: an id, a function or class that makes one, a spec of Gymnasium, a ready object."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from jostle.errors import ConfigError, EnvError

MakeOne = Callable[[], gym.Env[Any, Any]]
EnvSource = str | MakeOne | EnvSpec | gym.Env[Any, Any] | VectorEnv[Any, Any, Any]
"""What `make_env` takes."""

REMEDY = "give a function that makes the environment, or its id"
_OF_THE_VECTOR = ("num_envs", "vectorization_mode", "vector_kwargs")


class FromSpec:
    """A function that makes an environment as Gymnasium's record of another one says, recorded wrappers included."""

    def __init__(self, spec: EnvSpec) -> None:
        self.spec, self.__name__ = spec, spec.id

    def __call__(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """One environment; pictures as asked for here, not as in the record."""
        drawn = render_mode is not None or "render_mode" in self.spec.kwargs
        given: dict[str, Any] = {"render_mode": render_mode} if drawn else {}
        return gym.make(self.spec, disable_env_checker=True, **given)


class Unrepeatable:
    """Stands for a ready object of which no second one can be made, and says so where one is wanted."""

    def __init__(self, name: str, reason: str) -> None:
        self.__name__, self.reason = name, reason

    def __call__(self) -> gym.Env[Any, Any]:
        """Raises: there is no second one."""
        raise EnvError(
            f"{self.__name__} was given as a ready object, and no second one can be made of it ({self.reason}): "
            f"{REMEDY}, as env=…."
        )


class Given(NamedTuple):
    """What `make_env` was given, taken apart."""

    name: str
    """For messages and records."""
    source: str | MakeOne
    """Makes more environments of the kind."""
    ready: gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | None
    """The ready object, if it was one."""


def take_apart(env: Any) -> Given:
    """Tell what stands for an environment.

    Raises:
        ConfigError: nothing that can.
    """
    if isinstance(env, str):
        return Given(str(env), str(env), None)
    if isinstance(env, EnvSpec):
        return Given(env.id, FromSpec(env), None)
    if isinstance(env, gym.Env):
        again = _again(type(env.unwrapped).__name__, env.spec)
        return Given(name_of(again), again, env)
    if isinstance(env, VectorEnv):
        again = _again_one_of(env)
        return Given(name_of(again), again, env)
    if not callable(env):
        raise ConfigError(f"env={_short(env)} is no environment: {REMEDY}.")
    return Given(name_of(env), env, None)


def rows_of(env: Any, default: int) -> int:
    """How many environments are meant where nobody says: as many as a ready object has, else `default`."""
    if isinstance(env, VectorEnv):
        return int(env.num_envs)
    return 1 if isinstance(env, gym.Env) else default


def name_of(source: str | MakeOne) -> str:
    """An id, or the name of the function that makes the environment."""
    if isinstance(source, str):
        return source
    while isinstance(source, partial):
        source = source.func
    return getattr(source, "__name__", type(source).__name__)


def _again(name: str, spec: EnvSpec | None) -> MakeOne:
    """What makes another environment of a recorded kind, where the record is whole."""
    if spec is None:
        return Unrepeatable(name, "Gymnasium did not make it")
    unknown = [w.name for w in spec.additional_wrappers if w.kwargs is None]
    if unknown:
        return Unrepeatable(spec.id, f"Gymnasium has no record of its wrapper {unknown[0]}")
    return FromSpec(spec)


def _again_one_of(vector: VectorEnv[Any, Any, Any]) -> MakeOne:
    """What makes one environment as they stand in a vector, where nothing stands around it."""
    spec = vector.unwrapped.spec
    name = spec.id if spec is not None else type(vector.unwrapped).__name__
    if isinstance(vector, SyncVectorEnv):
        return _again(type(vector.envs[0].unwrapped).__name__, vector.envs[0].spec)
    if not isinstance(vector, AsyncVectorEnv) or spec is None:
        return Unrepeatable(name, f"it is a {type(vector).__name__}")
    if "wrappers" in spec.kwargs:
        return Unrepeatable(name, "Gymnasium has no record of its wrappers")
    kwargs = {key: value for key, value in spec.kwargs.items() if key not in _OF_THE_VECTOR}
    return FromSpec(
        EnvSpec(
            spec.id,
            spec.entry_point,
            max_episode_steps=spec.max_episode_steps,
            order_enforce=spec.order_enforce,
            kwargs=kwargs,
            additional_wrappers=spec.additional_wrappers,
        )
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
