"""Gymnasium: any registered environment or a function that makes one, stepped in this process."""

import importlib.util
import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv

from jostle.envs.actions import tidy_action_space
from jostle.envs.engines.row_worlds import row_worlds
from jostle.envs.engines.rows import Numbered, needs
from jostle.envs.engines.seeding import SeededGlobals
from jostle.envs.engines.sync import InProcess, RowInfos
from jostle.envs.names import told_by
from jostle.envs.observations import Obs, Path, converter, flat_paths, tidy_observation_space
from jostle.envs.sources import REMEDY, FromSpec, MakeOne, name_of
from jostle.envs.trust import PLUGINS
from jostle.envs.vector import Seed, Step
from jostle.errors import ConfigError, EnvError, JostleError, closest

Spaces = tuple[spaces.Space[Any], spaces.Space[Any]]
"""Observation and action space of one environment."""

_EXTRAS = {"minigrid": 'pip install "jostle[minigrid]"', "ale_py": "pip install ale-py"}


class GymnasiumEngine:
    """A Gymnasium vector environment in NEXT_STEP mode: in this process, in workers, or a native one.

    Args:
        vector: the vector environment.
        env_id: its name, for messages.
        name: "gymnasium", or "jostle" for the diagnostics.
        borrowed: it is somebody else's: what it returns is copied, and `close` leaves it open.
    """

    stack_padding: Literal["repeat", "zero"] = "repeat"
    counts_games = False

    def __init__(
        self, vector: VectorEnv[Any, Any, Any], env_id: str, name: str = "gymnasium", *, borrowed: bool = False
    ) -> None:
        if vector.metadata.get("autoreset_mode") != AutoresetMode.NEXT_STEP:
            raise EnvError(
                f'{env_id} does not say metadata["autoreset_mode"] = AutoresetMode.NEXT_STEP, which jostle needs: make '
                'it with gym.make_vec(…, vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}), or '
                f"{REMEDY}."
            )
        for space in ("single_observation_space", "single_action_space"):
            if not isinstance(getattr(vector, space, None), spaces.Space):
                raise EnvError(f"{env_id} has no {space}, so its rows differ or say nothing of themselves: {REMEDY}.")
        self._borrowed = borrowed
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
        self._paths: dict[str, Path] | None = None
        """Where the parts of an observation lie, unless each lies under its own key."""
        if isinstance(self._raw_space, spaces.Dict):
            paths = flat_paths(self._raw_space)
            self._paths = None if all(path == (key,) for key, path in paths.items()) else paths

    @property
    def world(self) -> object:
        """What may offer quantities: the vector environment itself, or its single environments together."""
        inner = self._vector.unwrapped
        return row_worlds(inner.envs) or inner if isinstance(inner, RowInfos) else inner

    def reset(self, seed: Seed, options: dict[str, Any] | None) -> tuple[Obs, dict[str, Any]]:
        """Reset all environments, seeded with ``seed + i``, or each with its own."""
        vector: Any = self._vector  # whose type knows one seed alone
        obs, info = self._guarded("reset", lambda: vector.reset(seed=seed, options=options))
        return self._tidy(obs, "reset"), info

    def step(self, actions: np.ndarray) -> Step:
        """Step all environments; `actions` were checked."""
        actions = actions.astype(self._action_dtype, copy=False)
        obs, reward, terminated, truncated, info = self._guarded("step", lambda: self._vector.step(actions))
        if self._borrowed:
            terminated, truncated = np.array(terminated, np.bool_), np.array(truncated, np.bool_)
        return self._tidy(obs, "step"), reward.astype(np.float32), terminated, truncated, info

    def render(self) -> np.ndarray:
        """uint8 [N, H, W, 3]."""
        frames = self._vector.render()
        if frames is None or any(frame is None for frame in frames):
            raise EnvError(f"{self._id} has no pictures.")
        return np.stack([np.asarray(frame, np.uint8) for frame in frames])

    def object_masks(self) -> dict[str, np.ndarray] | None:
        """Which pixels of the last observations show which object, bool [N, H, W]; None where that is not told."""
        told = getattr(self._vector.unwrapped, "object_masks", None)
        return None if told is None else dict(told())

    @property
    def observation_names(self) -> Any:
        """What the environments tell of the numbers of their observations; None where they tell nothing."""
        inner = self._vector.unwrapped
        rows = getattr(inner, "envs", None)
        return told_by(rows[0] if rows else inner)

    def close(self) -> None:
        """Close the environments."""
        if not self._borrowed:
            self._vector.close()

    def state_dict(self) -> dict[str, Any]:
        """The native environment's own state."""
        state: dict[str, Any] = getattr(self._vector.unwrapped, "state_dict")()  # noqa: B009  # not in VectorEnv's type
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Back to a state of `state_dict`."""
        getattr(self._vector.unwrapped, "load_state_dict")(state)  # noqa: B009

    def _guarded(self, where: str, call: Callable[[], Any]) -> Any:
        """What the call gives."""
        try:
            return call()
        except (JostleError, NotImplementedError):
            raise
        except Exception as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise EnvError(
                f"{self._id} failed in {where} with {type(error).__name__}: {text}; mend the environment (--debug "
                "shows the place)."
            ) from error

    def _tidy(self, obs: Any, where: str) -> Obs:
        try:
            if "" in self._convert and not isinstance(obs, dict):
                tidy: Obs = self._convert[""](obs)
            else:
                flat = obs if self._paths is None else {key: _follow(obs, path) for key, path in self._paths.items()}
                tidy = {key: convert(flat[key]) for key, convert in self._convert.items()}
        except Exception as error:  # of a vector environment that checks nothing itself
            raise EnvError(
                f"{self._id}: the observations in {where} do not have the form of their space {self._raw_space} "
                f"({type(error).__name__}: {' '.join(str(error).split())}): mend the environment."
            ) from error
        if self._borrowed:  # it may write to its arrays again
            return {k: v.copy() for k, v in tidy.items()} if isinstance(tidy, dict) else tidy.copy()
        return tidy


def one_env(source: str | MakeOne, render_mode: str | None, options: dict[str, Any]) -> gym.Env[Any, Any]:
    """Make one environment from an id or a function.

    Raises:
        ConfigError: options that the environment does not take.
        EnvError: a package that the environment needs is missing, or it cannot be made for another reason.
    """
    env_id = name_of(source)
    drawn: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}  # many constructors take none
    try:
        if isinstance(source, FromSpec):
            return source(render_mode)
        if not isinstance(source, str):
            return source()
        register_plugins(source)
        with warnings.catch_warnings():
            if drawn:  # what draws nothing is told in a sentence
                warnings.filterwarnings("ignore", ".*not in the possible render_modes")
            return gym.make(source, disable_env_checker=True, **drawn, **options)
    except JostleError:
        raise
    except gym.error.DependencyNotInstalled as error:
        raise EnvError(f"{env_id} needs a package that is missing: {needs(error)}") from error
    except (gym.error.NameNotFound, gym.error.VersionNotFound) as error:
        module, _, name = env_id.rpartition(":")
        raise ConfigError(f"{module} registers no {name}: {closest(name, gym.registry)}") from error
    except ModuleNotFoundError as error:
        what = str(error).partition(". ")[0]
        raise EnvError(f"{env_id} cannot be made ({what}): install the module, or run where it lies.") from error
    except TypeError as error:
        raise _wrong_option(source, options | drawn, error) from error
    except Exception as error:
        raise EnvError(f"{env_id} cannot be made: {type(error).__name__}: {' '.join(str(error).split())}") from error


def make_rows(
    source: str | MakeOne, num_envs: int, render_mode: str | None, options: dict[str, Any], first: int
) -> list[Numbered]:
    """`num_envs` environments, numbered from `first`: each an object of its own, all with the same spaces.

    Raises:
        EnvError: they are not.
    """
    name, rows, objects = name_of(source), list[Numbered](), dict[int, int]()
    for index in range(first, first + num_envs):
        env = one_env(source, render_mode, options)
        require_env(env, name, index)
        before = objects.setdefault(id(env.unwrapped), index)
        if before != index:
            raise EnvError(
                f"{name} gives the same object for the environments {before} and {index}, and each row needs one of "
                "its own: let the function return a new environment at each call."
            )
        rows.append(Numbered(env, index, name))
        require_same_spaces(name, first, _spaces(rows[0]), index, _spaces(rows[-1]))
    return rows


def require_env(env: Any, name: str, index: int) -> None:
    """Check that something is a Gymnasium environment with its two spaces.

    Raises:
        EnvError: it is not.
    """
    if not isinstance(env, gym.Env):
        old = any(base.__module__.partition(".")[0] == "gym" for base in type(env).__mro__)
        several = hasattr(env, "possible_agents") or hasattr(env, "observation_spaces")
        ours = isinstance(env, VectorEnv)
        hint = " (package gym: convert it with the package shimmy)" if old else ""
        hint = " (several agents; jostle trains one)" if several else hint
        hint = " (a vector environment: give the object itself)" if ours else hint
        raise EnvError(
            f"{name} gives a {type(env).__name__} as environment {index}, which is no gymnasium.Env{hint}: give a "
            "function that makes one, or its id."
        )
    for what in ("observation_space", "action_space"):
        try:
            space = getattr(env, what)
        except AttributeError:
            space = None
        if not isinstance(space, spaces.Space):
            raise EnvError(
                f"{name}: environment {index} has no {what} ({space!r}): set it in the class, or in the function that "
                "makes the environment."
            )


def require_same_spaces(name: str, first: int, one: Spaces, index: int, other: Spaces) -> None:
    """Check that two environments have the same observation and action space.

    Raises:
        EnvError: they have not.
    """
    for what, a, b in zip(("observation space", "action space"), one, other, strict=True):
        if a != b:
            raise EnvError(
                f"{name}: the {what} of environment {first} is {a}, and that of environment {index} is {b}: let the "
                "class or function make environments of the same spaces (pad them, or train in each by itself)."
            )


def _spaces(env: gym.Env[Any, Any]) -> Spaces:
    return env.observation_space, env.action_space


def _itself(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return env


def in_process(
    source: str | MakeOne,
    num_envs: int,
    render_mode: str | None,
    options: dict[str, Any],
    first: int = 0,
    seed_global: bool = False,
    kind: type[RowInfos] = InProcess,
) -> VectorEnv[Any, Any, Any]:
    """`num_envs` environments in this process, numbered from `first` in error messages."""
    rows = make_rows(source, num_envs, render_mode, options, first)
    vector = kind([partial(_itself, row) for row in rows], copy=True, autoreset_mode=AutoresetMode.NEXT_STEP)
    inner = vector.envs[0].unwrapped
    skip = getattr(inner, "frame_skip", getattr(inner, "_frameskip", 1))
    vector.frame_skip = skip if isinstance(skip, int) else 1  # type: ignore[attr-defined]
    return SeededGlobals(vector, rows) if seed_global else vector


def native(env_id: str, num_envs: int, render_mode: str | None, options: dict[str, Any]) -> VectorEnv[Any, Any, Any]:
    """The vector environment that an id registers as its `vector_entry_point`.

    Raises:
        ConfigError: options that it does not take.
    """
    drawn: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    try:
        vector: VectorEnv[Any, Any, Any] = gym.make_vec(
            env_id, num_envs, vectorization_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT, **drawn, **options
        )
    except TypeError as error:
        raise _wrong_option(env_id, options | drawn, error) from error
    except MemoryError as error:
        raise EnvError(f"{num_envs} of {env_id} cannot be made ({error}): use fewer, or smaller options.") from error
    return vector


def register_plugins(env_id: str) -> None:
    """Import the package that registers `env_id`, where one is known and installed."""
    package = _plugin_of(env_id)
    if package is None or env_id in gym.registry or importlib.util.find_spec(package) is None:
        return
    try:
        gym.register_envs(importlib.import_module(package))
    except ImportError as error:
        raise EnvError(f"{env_id} needs a package that is missing: {needs(error)}") from error


def only_as_vector(env_id: str) -> bool:
    """Whether a registered id makes vector environments and no single ones."""
    spec = gym.registry.get(env_id)
    return spec is not None and spec.entry_point is None and spec.vector_entry_point is not None


def missing_plugin(env_id: str) -> str | None:
    """What to install so that an id is registered; None where that is not known, or installed."""
    package = _plugin_of(env_id)
    if package is None or importlib.util.find_spec(package) is not None:
        return None
    return f"{env_id} needs the package {package}: {_EXTRAS[package]}."


def _plugin_of(env_id: str) -> str | None:
    return next((package for prefix, package in PLUGINS.items() if env_id.startswith(prefix)), None)


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
    name, text = name_of(source), " ".join(str(error).split())
    if "render_mode" in options and "unexpected keyword argument 'render_mode'" in text:
        return EnvError(f"{name} draws no pictures, for its constructor takes no render_mode: make it without one.")
    options = {key: value for key, value in options.items() if key != "render_mode"}
    known = options_of(source) if isinstance(source, str) else {}
    wrong = [key for key in options if known and key not in known]
    if wrong:
        return ConfigError(f"{name} has no option {wrong[0]}: {closest(wrong[0], known)}")
    if isinstance(source, str):
        given = f" with {', '.join(f'{k}={v!r}' for k, v in options.items())}" if options else ""
        return EnvError(f"{name} cannot be made{given} ({text}): `jostle envs` shows its options and defaults.")
    return EnvError(f"{name} cannot be made ({text}): give a function that makes one without arguments.")


def _follow(obs: Any, path: Path) -> Any:
    for part in path:
        obs = obs[part]
    return obs
