"""Gymnasium: any registered environment or a function that makes one, stepped in this process."""

import importlib.util
import inspect
from collections.abc import Callable
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from jostle.envs.actions import tidy_action_space
from jostle.envs.observations import Obs, converter, flat_items, tidy_observation_space
from jostle.envs.trust import PLUGINS
from jostle.envs.vector import Step
from jostle.errors import ConfigError, EnvError, JostleError, closest

MakeOne = Callable[[], gym.Env[Any, Any]]


class Numbered(gym.Wrapper[Any, Any, Any, Any]):
    """Environment number `index`: its exceptions name it, and the text entries of its Dict observations are dropped."""

    def __init__(self, env: gym.Env[Any, Any], index: int, env_id: str) -> None:
        super().__init__(env)
        self._index, self._id = index, env_id
        space = env.observation_space
        self._kept: list[str] | None = None
        if isinstance(space, spaces.Dict):
            parts = {k: s for k, s in space.spaces.items() if s.dtype is None or s.dtype.kind != "U"}
            if len(parts) < len(space.spaces):
                self._kept = list(parts)
                self.observation_space = spaces.Dict(parts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The wrapped environment's reset."""
        try:
            obs, info = self.env.reset(seed=seed, options=options)
        except (Exception, SystemExit) as error:
            raise EnvError(self._failed("reset", error)) from error
        return self._keep(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The wrapped environment's step."""
        try:
            obs, reward, terminated, truncated, info = self.env.step(action)
        except (Exception, SystemExit) as error:
            raise EnvError(self._failed("step", error)) from error
        return self._keep(obs), reward, terminated, truncated, info

    def _keep(self, obs: Any) -> Any:
        return obs if self._kept is None else {key: obs[key] for key in self._kept}

    def _failed(self, where: str, error: BaseException) -> str:
        text = " ".join(str(error).split())
        return (
            f"{self._id}: environment {self._index} failed in {where} with {type(error).__name__}: {text.rstrip('.')}; "
            "mend the environment (--debug shows the place)."
        )


class GymnasiumEngine:
    """A Gymnasium vector environment in NEXT_STEP mode: `SyncVectorEnv`, worker processes, or a native one.

    Args:
        vector: the vector environment.
        env_id: its name, for messages.
        name: "gymnasium", or "jostle" for the diagnostics.
    """

    stack_padding: Literal["repeat", "zero"] = "repeat"
    counts_games = False

    def __init__(self, vector: VectorEnv[Any, Any, Any], env_id: str, name: str = "gymnasium") -> None:
        if vector.metadata.get("autoreset_mode") != AutoresetMode.NEXT_STEP:
            raise EnvError(
                f'{env_id} does not say metadata["autoreset_mode"] = AutoresetMode.NEXT_STEP, which jostle needs.'
            )
        self.name, self._id, self._vector = name, env_id, vector
        self._raw_space = vector.single_observation_space
        self.single_observation_space = tidy_observation_space(self._raw_space, env_id)
        self.single_action_space = tidy_action_space(vector.single_action_space, env_id)
        self._action_dtype = vector.single_action_space.dtype
        self.frame_stack = int(getattr(vector, "frame_stack", 1))
        self.frame_skip = int(getattr(vector, "frame_skip", 1))
        self.can_snapshot = hasattr(vector.unwrapped, "state_dict")
        parts = self.single_observation_space
        leaves = parts.spaces if isinstance(parts, spaces.Dict) else {"": parts}
        self._convert = {key: converter(space, vector.num_envs) for key, space in leaves.items()}

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> tuple[Obs, dict[str, Any]]:
        """Reset all environments, seeded with ``seed + i``."""
        obs, info = self._guarded("reset", lambda: self._vector.reset(seed=seed, options=options))
        return self._tidy(obs), info

    def step(self, actions: np.ndarray) -> Step:
        """Step all environments; `actions` were checked."""
        actions = actions.astype(self._action_dtype, copy=False)
        obs, reward, terminated, truncated, info = self._guarded("step", lambda: self._vector.step(actions))
        return self._tidy(obs), reward.astype(np.float32), terminated, truncated, info

    def render(self) -> np.ndarray:
        """uint8 [N, H, W, 3]."""
        frames = self._vector.render()
        if frames is None or any(frame is None for frame in frames):
            raise EnvError(f"{self._id} has no pictures.")
        return np.stack([np.asarray(frame, np.uint8) for frame in frames])

    def close(self) -> None:
        """Close the environments."""
        self._vector.close()

    def state_dict(self) -> dict[str, Any]:
        """The native environment's own state."""
        state: dict[str, Any] = getattr(self._vector.unwrapped, "state_dict")()  # noqa: B009  # not in VectorEnv's type
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Back to a state of `state_dict`."""
        getattr(self._vector.unwrapped, "load_state_dict")(state)  # noqa: B009

    def _guarded(self, where: str, call: Callable[[], Any]) -> Any:
        """What the call gives. Gymnasium raises what NumPy says where observations don't fit their space."""
        try:
            return call()
        except (JostleError, NotImplementedError):
            raise
        except Exception as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise EnvError(
                f"{self._id} failed in {where} with {type(error).__name__}: {text}; check that its observations and "
                "infos fit its spaces, with gymnasium.utils.env_checker.check_env."
            ) from error

    def _tidy(self, obs: Any) -> Obs:
        if not isinstance(obs, dict):
            return self._convert[""](obs)
        flat = obs
        if any(isinstance(part, dict) for part in obs.values()):
            assert isinstance(self._raw_space, spaces.Dict)
            flat = {key: _at(obs, key) for key, _ in flat_items(self._raw_space)}
        return {key: convert(flat[key]) for key, convert in self._convert.items()}


def one_env(source: str | MakeOne, render_mode: str | None, options: dict[str, Any]) -> gym.Env[Any, Any]:
    """Make one environment from an id or a function.

    Raises:
        ConfigError: options that the environment does not take.
        EnvError: a package that the environment needs is missing, or it cannot be made for another reason.
    """
    env_id = name_of(source)
    try:
        if not isinstance(source, str):
            return source()
        register_plugins(source)
        return gym.make(source, render_mode=render_mode, disable_env_checker=True, **options)
    except gym.error.DependencyNotInstalled as error:
        raise EnvError(f"{env_id} needs a package that is missing: {' '.join(str(error).split())}") from error
    except (gym.error.NameNotFound, gym.error.VersionNotFound) as error:
        module, _, name = env_id.rpartition(":")
        raise ConfigError(f"{module} registers no {name}: {closest(name, gym.registry)}") from error
    except ModuleNotFoundError as error:
        what = str(error).partition(". ")[0]
        raise EnvError(f"{env_id} cannot be made ({what}): install the module, or run where it lies.") from error
    except TypeError as error:
        raise _wrong_option(source, options, error) from error
    except Exception as error:
        raise EnvError(f"{env_id} cannot be made: {type(error).__name__}: {' '.join(str(error).split())}") from error


def in_process(
    source: str | MakeOne, num_envs: int, render_mode: str | None, options: dict[str, Any], first: int = 0
) -> VectorEnv[Any, Any, Any]:
    """`num_envs` environments in this process, numbered from `first` in error messages."""

    def numbered(index: int) -> MakeOne:
        return lambda: Numbered(one_env(source, render_mode, options), index, name_of(source))

    vector = SyncVectorEnv(
        [numbered(first + i) for i in range(num_envs)], copy=True, autoreset_mode=AutoresetMode.NEXT_STEP
    )
    inner = vector.envs[0].unwrapped
    skip = getattr(inner, "frame_skip", getattr(inner, "_frameskip", 1))
    vector.frame_skip = skip if isinstance(skip, int) else 1  # type: ignore[attr-defined]
    return vector


def native(env_id: str, num_envs: int, render_mode: str | None, options: dict[str, Any]) -> VectorEnv[Any, Any, Any]:
    """The vector environment that an id registers as its `vector_entry_point`.

    Raises:
        ConfigError: options that it does not take.
    """
    try:
        vector: VectorEnv[Any, Any, Any] = gym.make_vec(
            env_id,
            num_envs,
            vectorization_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
            render_mode=render_mode,
            **options,
        )
    except TypeError as error:
        raise _wrong_option(env_id, options, error) from error
    except MemoryError as error:
        raise EnvError(f"{num_envs} of {env_id} cannot be made ({error}): use fewer, or smaller options.") from error
    return vector


def register_plugins(env_id: str) -> None:
    """Import the package that registers `env_id`, where one is known and installed."""
    for prefix, package in PLUGINS.items():
        if env_id.startswith(prefix) and env_id not in gym.registry and importlib.util.find_spec(package) is not None:
            gym.register_envs(importlib.import_module(package))


def name_of(source: str | MakeOne) -> str:
    """An id, or the name of the function that makes the environment."""
    return source if isinstance(source, str) else getattr(source, "__name__", type(source).__name__)


def options_of(env_id: str) -> dict[str, Any]:
    """The options of a registered id with their defaults (None where there is none); empty if they cannot be read."""
    spec = gym.registry.get(env_id.rpartition(":")[2])
    entry: Any = None if spec is None else spec.entry_point or spec.vector_entry_point
    if spec is None or entry is None:
        return {}
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    return {**defaults_of(creator), **spec.kwargs}


def defaults_of(creator: Any) -> dict[str, Any]:
    """The named arguments of a class or function with their defaults; without one, None."""
    return {
        p.name: None if p.default is p.empty else p.default
        for p in inspect.signature(creator).parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in ("self", "render_mode", "num_envs")
    }


def _wrong_option(source: str | MakeOne, options: dict[str, Any], error: TypeError) -> ConfigError | EnvError:
    """What a `TypeError` of a constructor means: an option that it does not have, or a fault of its own."""
    known = options_of(source) if isinstance(source, str) else {}
    wrong = [name for name in options if known and name not in known]
    if wrong:
        return ConfigError(f"{name_of(source)} has no option {wrong[0]}: {closest(wrong[0], known)}")
    given = f" with {', '.join(f'{k}={v!r}' for k, v in options.items())}" if options else ""
    return EnvError(f"{name_of(source)} cannot be made{given} ({error}): `jostle envs` shows its options and defaults.")


def _at(obs: Any, key: str) -> Any:
    for part in key.split("."):
        obs = obs[part]
    return obs
