"""`Randomise`: a Gymnasium wrapper that gives any environment a domain."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float64

from jostle.domain import Quantity, Space
from jostle.envs.randomise.known import Derived
from jostle.envs.randomise.worlds import env_name, world_in
from jostle.errors import ConfigError, closest


class Randomise(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """One environment whose physics or looks are drawn anew for each episode.

    Quantities are those of the environment where it offers some (`jostle/…`), else those of its MjModel
    (``torso.mass``, ``floor.friction.slide``, ``gravity.z``; the names of jostle's MuJoCo environments), else the
    numbers that it holds, by attribute path (``masscart``, ``link.mass``, ``high[0]``). Values are always made of the
    nominal ones, which are read when the environment is wrapped, so that nothing drifts.

    A draw is a function of (seed, environment, episode): the seed of the last `reset` that gave one, the `index`, and
    how many resets there were since. Gymnasium's and Stable-Baselines3's vectors seed their rows one by one, so that
    each row has draws of its own.

    `info` of every reset and step holds ``domain``, the values by name, and ``domain_log_density``. ``options`` of a
    reset may hold ``domain``: "nominal" for an episode without randomisation, or values by name, to replay a draw.

    Args:
        env: one environment; vectors are made of wrapped ones.
        space: what varies, as `jostle.domain.Space.load` takes it: a Space, a YAML file, or a mapping.
        seed: of the draws, whatever the environment is seeded with; None: the environment's.
        index: number of the environment, where several share a `seed`.
        derived: for environments with attributes: what follows from those that vary, as ``{"total_mass": lambda env:
            env.masscart + env.masspole}``. Known of Gymnasium's own; of others it is found out, and asked for.

    Raises:
        ConfigError: the space names what there is not, or attributes from which others follow.

    >>> env = Randomise(gym.make("CartPole-v1"), {"masspole": [0.05, 0.5]})
    >>> obs, info = env.reset(seed=0)
    >>> info["domain"]["masspole"] == env.unwrapped.masspole
    True
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        space: Any,
        *,
        seed: int | None = None,
        index: int = 0,
        derived: Derived | None = None,
    ) -> None:
        if not isinstance(env, gym.Env):
            raise ConfigError(
                f"Randomise wraps one environment, and a {type(env).__name__} was given: wrap each before the vector "
                "is made of them, or give make_env domain=…."
            )
        loaded = Space.load(space)
        gym.utils.RecordConstructorArgs.__init__(self, space=loaded.data(), seed=seed, index=index, derived=derived)
        gym.Wrapper.__init__(self, env)
        self._name = env_name(env)
        self._world = world_in(env, loaded.names, derived)
        self.bound = loaded.bind(self._world.quantities, self._name)
        self._own_seed, self._index = seed, np.array([index], np.int64)
        self._seed, self._episode, self._steps = seed, -1, 0
        self._values = self.bound.nominal[None].copy()
        self._log_density = 0.0
        self._within = [i for i, p in enumerate(self.bound.space.parameters) if p.when in ("interval", "step")]
        self._pinned: set[int] = set()
        self._held: dict[str, float] | None = None

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """All that could vary, by name."""
        return self._world.quantities

    @property
    def domain(self) -> dict[str, float]:
        """The values that hold, by name."""
        return {name: float(value) for name, value in zip(self.bound.names, self._values[0], strict=True)}

    def hold(self, values: Mapping[str, float]) -> None:
        """From now on nothing is drawn: these values hold in every episode, and what was never named is nominal.

        A reset with ``options={"domain": …}`` goes first. Stress tests set environments that draw by themselves so.

        Raises:
            ConfigError: the space has no such name, or the value makes no sense there.
        """
        places = {self._place(name, value): float(value) for name, value in values.items()}
        held = (
            dict(zip(self.bound.names, self.bound.nominal.tolist(), strict=True)) if self._held is None else self._held
        )
        self._held = held | {self.bound.names[place]: value for place, value in places.items()}
        self._values = np.array([[self._held[name] for name in self.bound.names]])
        self._pinned = set(range(len(self.bound)))
        self._apply(range(len(self.bound)))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw, set, and begin an episode."""
        given = dict(options or {})
        asked = given.pop("domain", None)
        if seed is not None:
            self._seed, self._episode = seed if self._own_seed is None else self._own_seed, 0
        else:
            self._episode += 1
        if self._seed is None:
            self._seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._steps = 0
        self._draw(asked)
        self._apply(range(len(self.bound)))
        obs, info = self.env.reset(seed=seed, options=given or None)
        confirm = getattr(self._world, "confirm", None)
        if confirm is not None:
            confirm()
        return obs, self._told(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step, under what is drawn within episodes if it is due."""
        if self._within and self._steps:
            self._vary()
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        return obs, reward, terminated, truncated, self._told(info)

    def _draw(self, asked: Any) -> None:
        asked = self._held if asked is None else asked
        self._pinned = set()
        if isinstance(asked, str) and asked == "nominal":
            self._values, self._log_density = self.bound.nominal[None].copy(), 0.0
            self._pinned = set(range(len(self.bound)))
            return
        draw = self._drawn(0)
        self._values, self._log_density = draw.values, float(draw.log_density[0])
        if asked is None:
            return
        if not isinstance(asked, Mapping):
            raise ConfigError(f'options["domain"] is "nominal" or values by name, not {asked!r}.')
        for name, value in asked.items():
            place = self._place(str(name), value)
            self._values[0, place] = value
            self._pinned.add(place)
        drawn = self.bound.drawn(self._values)
        self._log_density = float(self.bound.space.log_density(drawn)[0])

    def _place(self, name: str, value: float) -> int:
        """Which parameter it is; refused where there is none, or the value makes no sense."""
        if name not in self.bound.names:
            raise ConfigError(f"the space of {self._name} has no {name}; {closest(name, self.bound.names)}")
        place = self.bound.names.index(name)
        quantity = self.bound.quantities[place]
        if not quantity.low <= float(value) <= quantity.high:
            raise ConfigError(
                f"{name} = {value} of {self._name} makes no sense outside {quantity.low:g} to {quantity.high:g}."
            )
        return place

    def _drawn(self, steps: int) -> Any:
        assert self._seed is not None
        episode = np.array([self._episode], np.int64)
        return self.bound.draw(self._seed, self._index, episode, np.array([steps], np.int64))

    def _vary(self) -> None:
        parameters = self.bound.space.parameters
        now, before = np.array([self._steps]), np.array([self._steps - 1])
        due = [i for i in self._within if (parameters[i].ticks(now) != parameters[i].ticks(before)).any()]
        due = [i for i in due if i not in self._pinned]
        if due:
            fresh: Float64[np.ndarray, "1 P"] = self._drawn(self._steps).values
            self._values = self._values.copy()
            self._values[0, due] = fresh[0, due]
            self._apply(due)

    def _apply(self, places: Any) -> None:
        values = {self.bound.names[i]: self._values[:, i].copy() for i in places}
        if values:
            self._world.set_quantities(values, np.zeros(1, np.int64))

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        return {**info, "domain": self.domain, "domain_log_density": self._log_density}
