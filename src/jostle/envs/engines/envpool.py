"""EnvPool: environments in C++ threads, the fast path for Atari, Procgen, MiniGrid, MuJoCo, Box2D and more."""

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium import spaces

from jostle.envs.actions import tidy_action_space
from jostle.envs.engines.pictures import newest_picture, require_mujoco_pictures
from jostle.envs.engines.procgen_qt import load_procgen
from jostle.envs.frames import forget_before
from jostle.envs.observations import Obs, converter, tidy_observation_space
from jostle.envs.vector import Seed, Step
from jostle.errors import ConfigError, EnvError, closest

RENDER_OPTIONS = ("from_pixels", "render_width", "render_height", "render_camera_id")
"""Options of `envpool.make` for MuJoCo that stand in no pool's configuration."""

RESERVED = {
    "num_envs": "give num_envs to make_env",
    "seed": "give seed to make_env",
    "env_seed": "give seed to make_env; environment i has seed + i",
    "batch_size": "all environments step together",
    "max_num_players": "one agent acts in each environment",
    "gym_reset_return_info": "infos are always returned",
    "base_path": "set the variable ENVPOOL_ASSETS_PATH",
    "task": "it is a part of the id",
}
"""Configuration keys that belong to the adapter, each with what to do instead."""

INSTALL = 'pip install "jostle[envpool]"'

_DROPPED = {"info:env_id", "info:players.env_id", "obs:mission"}


class _Leaf(NamedTuple):
    key: str
    at: int
    convert: Callable[[np.ndarray], np.ndarray] | None


def has_envpool() -> bool:
    """Whether the package `envpool` is installed (it is not imported)."""
    return importlib.util.find_spec("envpool") is not None


def envpool_ids() -> dict[str, str]:
    """The ids that EnvPool knows, each with its family, such as "atari" or "mujoco.gym"; empty without EnvPool."""
    if not has_envpool():
        return {}
    registry = _registry()
    return {env_id: entry[0].removeprefix("envpool.") for env_id, entry in registry.specs.items()}


def pool_spec(env_id: str, **options: Any) -> Any:
    """EnvPool's spec: configuration and spaces of a pool that is not built.

    Raises:
        ConfigError: an option that the family does not have, or a value that it does not take.
        EnvError: the family's libraries are missing.
    """
    names = option_names(env_id)
    for name in options:
        if name in RESERVED:
            raise ConfigError(f"{name} cannot be set as an option of {env_id}: {RESERVED[name]}.")
        if name not in names:
            raise ConfigError(f"{env_id} has no option {name}: {closest(name, names)}")
    try:
        return _registry().make_spec(env_id, **options)
    except Exception as error:
        shown = ", ".join(f"{k}={v!r}" for k, v in options.items()) or "its defaults"
        raise ConfigError(f"EnvPool cannot make {env_id} with {shown}: {_one_line(error)}") from error


def option_names(env_id: str) -> list[str]:
    """The options that an id takes. No spec is made: for Atari that means to load a game."""
    module, spec_class, _ = _registry().specs[env_id]
    if module == "envpool.procgen":
        load_procgen()
    try:
        keys = getattr(importlib.import_module(module), spec_class)._config_keys
    except ImportError as error:
        raise EnvError(f"{env_id} cannot be loaded: {_one_line(error)}") from error
    return [key.replace(".", "_") for key in keys if key not in RESERVED] + list(RENDER_OPTIONS)


def pool_options(env_id: str) -> dict[str, Any]:
    """The options of an id with their defaults."""
    config = pool_spec(env_id).config._asdict()
    return {name: default for name, default in config.items() if name not in RESERVED}


def pool_spaces(spec: Any, env_id: str) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """The observation and action space of one environment, as agents see them; text is dropped (MiniGrid's mission)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium's notes on the precision of the bounds
        observations, actions = spec.observation_space, spec.action_space
    if isinstance(observations, spaces.Dict) and "mission" in observations.spaces:
        observations = spaces.Dict({k: s for k, s in observations.spaces.items() if k != "mission"})
    return tidy_observation_space(observations, env_id), tidy_action_space(actions, env_id)


class EnvPoolEngine:
    """A pool of EnvPool, in NEXT_STEP mode by itself.

    The pool's public `step` goes through `_send` and `_recv`; they are called here directly, which saves the building
    of nested dicts that nobody reads (about a tenth of the time of a step of 64 CartPoles).
    """

    name = "envpool"
    can_snapshot = False
    stack_padding: Literal["repeat", "zero"] = "repeat"

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        seed: int,
        *,
        frame_stack: int,
        render_mode: str | None,
        options: dict[str, Any],
    ) -> None:
        self._stacks_itself = "stack_num" in option_names(env_id)
        if frame_stack and self._stacks_itself:
            options = {**options, "stack_num": frame_stack}
        spec = pool_spec(env_id, **options)
        config = spec.config._asdict()
        if config.get("max_num_players", 1) != 1:
            raise EnvError(f"{env_id} is a game for {config['max_num_players']} players, and jostle trains one agent.")
        self.id, self._num_envs, self._family = env_id, num_envs, envpool_ids()[env_id]
        self._make_options = dict(options, **({"render_mode": render_mode} if render_mode else {}))
        self._render_mode = render_mode
        self.frame_stack = int(config.get("stack_num", 1))
        self.frame_skip = int(config.get("frame_skip", 1))
        self.counts_games = {"info:reward", "info:terminated", "info:lives"} <= set(spec._state_keys)
        # A lost life starts an episode, but EnvPool's stack goes on with frames from before for the next k − 1 steps.
        # Every other start repeats the first frame.
        self._repad = bool(config.get("episodic_life", False)) and self.frame_stack > 1
        self.single_observation_space, self.single_action_space = pool_spaces(spec, env_id)
        self._read_layout(spec)
        if options.get("from_pixels"):
            require_mujoco_pictures()
        self._seed, self._stepped = seed, False
        self._pool: Any = None
        self._obs: Obs | None = None
        self._build(seed)

    @property
    def stacks_itself(self) -> bool:
        """Whether `frame_stack` became EnvPool's own option `stack_num`."""
        return self._stacks_itself

    def reset(self, seed: Seed, options: dict[str, Any] | None) -> tuple[Obs, dict[str, Any]]:
        """Reset all environments. EnvPool seeds a pool only when it is built, so a new seed builds it anew."""
        if seed is not None and not isinstance(seed, int):
            raise ConfigError(f"{self.id} on EnvPool seeds environment i with seed + i alone: give one seed.")
        if options:
            raise ConfigError(f"{self.id} on EnvPool takes no reset options; it was given {', '.join(options)}.")
        if seed is not None and (seed != self._seed or self._stepped):
            self._build(seed)
        self._stepped = True
        self._pool._reset(self._ids)
        values = self._pool._recv()
        self._ended = np.zeros(self._num_envs, np.bool_)
        self._obs = self._read_obs(values)
        self._age = np.full(self._num_envs, self.frame_stack)
        return self._obs, self._read_info(values)

    def step(self, actions: np.ndarray) -> Step:
        """Step all environments; `actions` were checked."""
        self._pool._send([self._ids, self._ids, actions.astype(self._action_dtype, "C").reshape(self._action_shape)])
        values = self._pool._recv()
        truncated = values[self._truncated]
        # EnvPool's "done" covers both: terminated = done and not truncated.
        terminated = np.greater(values[self._done], truncated)
        obs = self._read_obs(values)
        if self._repad:
            assert isinstance(obs, np.ndarray)
            self._age = np.where(self._ended, 0, np.minimum(self._age + 1, self.frame_stack))
            forget_before(obs, self._age, obs.shape[1] // self.frame_stack)
            self._ended = terminated | truncated
        if self._render_mode is not None:
            self._obs = obs
        return obs, values[self._reward], terminated, truncated, self._read_info(values)

    def render(self) -> np.ndarray:
        """uint8 [N, H, W, 3]: EnvPool's own picture, else the newest frame of a pixel observation."""
        if self._family.startswith("mujoco."):
            require_mujoco_pictures()
        try:
            frames: np.ndarray = self._pool.render(env_ids=self._ids)
            return frames
        except Exception as error:
            seen = newest_picture(self._obs, self.frame_stack)
            if seen is None:
                raise EnvError(f"EnvPool cannot draw {self.id}: {_one_line(error)}") from error
            return seen

    def close(self) -> None:
        """Drop the pool; its threads end with it."""
        if self._pool is not None:
            self._pool.close()
        self._pool = None

    def state_dict(self) -> dict[str, Any]:
        """Not possible: EnvPool cannot copy its environments."""
        raise EnvError(f"{self.id} on EnvPool cannot be snapshotted.")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Not possible: EnvPool cannot copy its environments."""
        raise EnvError(f"{self.id} on EnvPool cannot be snapshotted.")

    def _build(self, seed: int) -> None:
        self.close()
        if not 0 <= seed < 2**31 - self._num_envs:
            raise ConfigError(f"seed={seed} does not fit EnvPool, which takes 0 to {2**31 - self._num_envs - 1} here.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._pool = _registry().make(
                    self.id, "gymnasium", num_envs=self._num_envs, seed=seed, **self._make_options
                )
        except Exception as error:
            raise EnvError(f"EnvPool cannot make {self.id}: {_one_line(error)}") from error
        self._seed, self._stepped = seed, False

    def _read_layout(self, spec: Any) -> None:
        """Where each array stands in what `_recv` returns, and what to do with it."""
        keys: list[str] = list(spec._state_keys)
        space = self.single_observation_space
        parts = space.spaces if isinstance(space, spaces.Dict) else {"": space}
        arrays = spec.state_array_spec
        self._obs_leaves = []
        for key, part in parts.items():
            name = _state_key(keys, key)
            shape = tuple(s for s in arrays[name].shape if s != -1)
            fits = arrays[name].dtype == part.dtype and shape == part.shape
            self._obs_leaves.append(_Leaf(key, keys.index(name), None if fits else converter(part, self._num_envs)))
        self._single = None if isinstance(space, spaces.Dict) else self._obs_leaves[0]
        self._info = [
            (key.removeprefix("info:"), i)
            for i, key in enumerate(keys)
            if (key.startswith("info:") or key == "elapsed_step") and key not in _DROPPED
        ]
        self._reward, self._done, self._truncated = (keys.index(k) for k in ("reward", "done", "trunc"))
        action = list(spec.action_array_spec.values())[-1]
        self._action_dtype = np.dtype(action.dtype)
        self._action_shape = (self._num_envs, *(s for s in action.shape if s != -1))
        self._ids = np.arange(self._num_envs, dtype=np.int32)
        self._ended = np.zeros(self._num_envs, np.bool_)

    def _read_obs(self, values: list[np.ndarray]) -> Obs:
        if self._single is not None:
            array = values[self._single.at]
            return array if self._single.convert is None else self._single.convert(array)
        return {key: values[i] if convert is None else convert(values[i]) for key, i, convert in self._obs_leaves}

    def _read_info(self, values: list[np.ndarray]) -> dict[str, Any]:
        return {key: values[i] for key, i in self._info}


def _state_key(keys: list[str], key: str) -> str:
    if not key:
        return next(k for k in keys if k == "obs" or k.startswith("obs:"))
    return next(k for k in keys if k.replace(":", ".") == f"obs.{key}")


def _registry() -> Any:
    if not has_envpool():
        raise EnvError(f"EnvPool is not installed: {INSTALL}.")
    from envpool.registration import registry

    if not registry.specs:
        import envpool.entry  # noqa: F401
    return registry


def _one_line(error: BaseException) -> str:
    """The error's text; pybind's list of signatures, a page long, is left out."""
    text = " ".join(str(error).split()).partition(" The following argument types")[0]
    return text or type(error).__name__
