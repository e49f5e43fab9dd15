"""The environment under test: made as often as needed, set by name, played under fixed seeds and actions."""

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from jostle.domain import Quantity
from jostle.envs.engines.gymnasium import one_env
from jostle.envs.engines.mujoco.catalogue import is_model, make_engine, mujoco_ids
from jostle.envs.randomise.known import Derived, known
from jostle.envs.randomise.models import has_model
from jostle.envs.randomise.worlds import world_in
from jostle.envs.sources import name_of
from jostle.envs.world import World
from jostle.errors import ConfigError
from jostle.stress.lint.mjcf import EngineEnv, ModelEnv

Source = str | Callable[[], gym.Env[Any, Any]]
ROW = np.zeros(1, np.int64)


class Subject:
    """One environment and what sets it, closed at the end of a ``with``.

    The world is the outermost wrapper or the environment that offers `quantities` and `set_quantities`, else what
    `Randomise` would use.

    Args:
        source: an id of Gymnasium or jostle, ``module:Name-v0``, an MJCF file, or a function that makes an environment.
        names: what will vary, for environments whose quantities are attributes.
        derived: as of `Randomise`; without it nothing is asked for, so that what is stale is found.
        inner: set the environment behind the wrappers, whatever they offer themselves.
    """

    def __init__(
        self, source: Source, names: Iterable[str] = (), derived: Derived | None = None, *, inner: bool = False
    ) -> None:
        self._how = (source, tuple(names), derived, inner)
        self.name = source if isinstance(source, str) else name_of(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of somebody else's environment
            self.env = make(source)
        try:
            own = None if inner else _world_of(self.env)
            if derived is None and known(self.env.unwrapped) is None and not has_model(self.env.unwrapped):
                derived = {}
            self.world: World = own if own is not None else world_in(self.env, self._how[1], derived)
            self.quantities: Mapping[str, Quantity] = dict(self.world.quantities)
        except BaseException:
            self.env.close()
            raise

    def __enter__(self) -> "Subject":
        return self

    def __exit__(self, *_: object) -> None:
        self.env.close()

    def anew(self) -> "Subject":
        """Another one of the same kind.

        Raises:
            ConfigError: the source gave the same environment again.
        """
        source, names, derived, inner = self._how
        made = Subject(source, names, derived, inner=inner)
        if made.env.unwrapped is self.env.unwrapped:
            raise ConfigError(
                f"{self.name} gives the same object again, and what is set here is compared with a fresh environment: "
                "let the function return a new one at each call."
            )
        return made

    def set(self, values: Mapping[str, float]) -> None:
        """Give quantities values."""
        if values:
            self.world.set_quantities({name: np.array([float(v)]) for name, v in values.items()}, ROW)

    def play(
        self, seed: int, steps: int, values: Mapping[str, float] | None = None, *, late: bool = False
    ) -> np.ndarray:
        """Everything an agent sees under fixed actions, [T, K]: observations, rewards, ends.

        Args:
            seed: of the environment's reset, and of the actions; it also chooses their style.
            steps: T.
            values: set before the reset; None: nothing is set.
            late: set them after the reset too, where the environment draws by itself.
        """
        if values is not None:
            self.set(values)
        obs, _ = self.env.reset(seed=seed)
        if late and values is not None:
            self.set(values)
        actions = _Actions(self.env.action_space, seed)
        rows = [self._row(obs, 0.0, False, False)]
        for t in range(steps):
            obs, reward, terminated, truncated, _ = self.env.step(actions.at(t))
            rows.append(self._row(obs, float(reward), bool(terminated), bool(truncated)))
            if terminated or truncated:
                obs, _ = self.env.reset()
                if late and values is not None:
                    self.set(values)
                rows.append(self._row(obs, 0.0, False, False))
        return np.stack(rows)

    def picture(self, values: Mapping[str, float]) -> np.ndarray | None:
        """What is drawn of a first state; None where nothing is."""
        self.set(values)
        self.env.reset(seed=0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                frame: Any = self.env.render()
        except Exception:  # no pygame, no GL
            return None
        return np.asarray(frame) if isinstance(frame, np.ndarray) else None

    def _row(self, obs: Any, reward: float, terminated: bool, truncated: bool) -> np.ndarray:
        seen = np.asarray(gym.spaces.flatten(self.env.observation_space, obs), np.float64)
        return np.concatenate([seen.ravel(), [reward, terminated, truncated]])


class _Actions:
    """Fixed actions in one of three styles: a new one at each step, held for eight, and the extremes, held for five."""

    def __init__(self, space: gym.Space[Any], seed: int) -> None:
        self._space, self._style = copy.deepcopy(space), seed % 3
        self._space.seed(seed)
        self._rng, self._held = np.random.default_rng(seed), self._space.sample()

    def at(self, t: int) -> Any:
        hold = (1, 8, 5)[self._style]
        if t % hold == 0:
            self._held = self._space.sample()
            if self._style == 2 and isinstance(self._space, gym.spaces.Box):
                high = self._rng.random(self._space.shape) < 0.5
                end = np.where(high, self._space.high, self._space.low)
                self._held = np.where(np.isfinite(end), end, self._held).astype(self._space.dtype)
        return self._held


def make(source: Source) -> gym.Env[Any, Any]:
    """One environment, which draws pictures where it can."""
    if isinstance(source, str):
        if is_model(source):
            return ModelEnv(source)
        if source in mujoco_ids():
            return EngineEnv(make_engine(source, 1, {"threads": 1}))
        try:
            return one_env(source, "rgb_array", {})
        except Exception:  # it takes no render_mode, or not this one
            return one_env(source, None, {})
    return one_env(source, None, {})


def _world_of(env: gym.Env[Any, Any]) -> World | None:
    while True:
        if isinstance(env, World):
            return env
        if not isinstance(env, gym.Wrapper):
            return None
        env = env.env
