"""Many environments of a kind, each with physics of its own, in which a policy plays one episode each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Dict
from jaxtyping import Float64, Int64

from jostle.domain import Bound, Space
from jostle.envs import JostleEnv, make_env
from jostle.envs.make import capped
from jostle.errors import ConfigError
from jostle.nn.inference import Inference
from jostle.nn.privileged import PRIVILEGED
from jostle.stress.physics.suites import env_of, made_with
from jostle.stress.target import Target
from jostle.view import PolicyView, Success, play, require_fit
from jostle.view.playing import Observe

TOGETHER = 256
"""Environments stepped together."""
SEEDS = 2**32
"""Seeds of episodes are below this, so that every command takes them."""


@dataclass(frozen=True)
class How:
    """How policies are played, in every episode of a field alike.

    Attributes:
        noise: the inference mode.
        sample: actions are sampled from the policy.
        success: when an episode is one.
        seed: of points and episodes.
        stop: asked at every step; where it says true, nothing more is played.
        notify: called with the episodes that were played.
    """

    noise: str = "mean"
    sample: bool = False
    success: Success | None = None
    seed: int = 0
    stop: Callable[[], bool] = lambda: False
    notify: Callable[[int], None] = lambda _: None


@dataclass(frozen=True)
class Scores:
    """Returns [M] of M episodes, and 1 where one was a success [M]; None without a rule."""

    returns: Float64[np.ndarray, "M"]
    successes: Float64[np.ndarray, "M"] | None


class Field:
    """R environments that are stepped together. Used as a context, which closes them.

    Args:
        target: where the policies were trained; played is where its physics can be set.
        space: what varies.
        rows: R.

    Attributes:
        bound: the space over the environment's quantities.

    Raises:
        ConfigError: the environment offers nothing to vary, or the space does not fit.
    """

    def __init__(self, target: Target, space: Space, rows: int) -> None:
        self._rows = rows
        self._env: JostleEnv = make_env(env_of(target) or target.source, rows, **capped(made_with(target), rows))
        world = self._env.world
        if world is None:
            self._env.close()
            raise ConfigError(f"{self._env.id} on {self._env.engine} offers no physics to vary.")
        self._world = world
        self.bound: Bound = space.bind(world.quantities, self._env.id)
        self._seen: Bound | None = None
        seen = self._env.single_observation_space
        if isinstance(seen, Dict) and PRIVILEGED in seen.spaces:
            told = target.options.get("domain_seen", target.options.get("domain"))
            self._seen = Space.load(told).bind(world.quantities, self._env.id)

    def __enter__(self) -> "Field":
        return self

    def __exit__(self, *_: object) -> None:
        self._env.close()

    def values(self, shares: Float64[np.ndarray, "M P"]) -> Float64[np.ndarray, "M P"]:
        """The values below which these shares of the draws lie, in the quantities' units."""
        laws = [p.distribution for p in self.bound.space.parameters]
        inside = np.clip(shares, 2.0**-54, 1 - 2.0**-53)
        return self.bound.values(np.stack([law.quantile(inside[:, i]) for i, law in enumerate(laws)], 1))

    def place(self, shares: Float64[np.ndarray, "M P"]) -> Float64[np.ndarray, "M P"]:
        """Where values lie in their distributions, 0 to 1; the same wherever the values are, as within a category."""
        laws = [p.distribution for p in self.bound.space.parameters]
        inside = np.clip(shares, 2.0**-54, 1 - 2.0**-53)
        return np.stack([law.cdf(law.quantile(inside[:, i])) for i, law in enumerate(laws)], 1)

    def by_name(self, values: Float64[np.ndarray, "P"]) -> dict[str, float]:
        """One row of values, as a domain of constants has them."""
        return {name: float(value) for name, value in zip(self.bound.names, values, strict=True)}

    def play(
        self, view: PolicyView, values: Float64[np.ndarray, "M P"], seeds: Int64[np.ndarray, "M"], how: How
    ) -> Scores | None:
        """Episode m of M in the physics `values[m]`, from the seed `seeds[m]`; None if it was stopped.

        The same seed is the same episode, in whatever row and beside whatever others it is played: a lone environment
        that is seeded with it, with these values as its domain, plays it again (where neither noise nor actions are
        drawn).
        """
        require_fit(view, self._env)
        returns: list[float] = []
        won: list[bool | None] = []
        for begin in range(0, len(values), self._rows):
            part = slice(begin, begin + self._rows)
            found = self._round(view, values[part], seeds[part].tolist(), how)
            if found is None:
                return None
            returns += [episode.ret for episode in found]
            won += [episode.success for episode in found]
        told = None if how.success is None else np.array([float(bool(each)) for each in won])
        return Scores(np.array(returns), told)

    def _round(self, view: PolicyView, values: np.ndarray, seeds: Sequence[int], how: How) -> Any:
        """At most R episodes; rows that are left over play the last one again, and are not counted."""
        count = len(seeds)
        spare = self._rows - count
        filled = np.concatenate([values, np.repeat(values[-1:], spare, axis=0)])
        self._world.set_quantities(self.bound.by_name(filled), np.arange(self._rows))
        inference = Inference.parse(how.noise)
        # Another one in each round, so that luck is of each episode; but a draw that is held is held in all of them.
        draws = how.seed if inference.kind == "fixed" else int(seeds[0])
        actor = view.actor(inference, rows=self._rows, seed=draws, sample=how.sample)
        env: Any = _Seeded(self._env, [*seeds, *[seeds[-1]] * spare])
        told = self._told(filled)
        found = play(actor, env, count, seed=draws, success=how.success, stop=how.stop, observe=told)
        if found is None:
            return None
        how.notify(count)
        return sorted(found, key=lambda episode: episode.env)

    def _told(self, values: Float64[np.ndarray, "R P"]) -> Observe | None:
        """Where the draw is an observation, it is that of these values: they were set past what tells it."""
        seen = self._seen
        if seen is None:
            return None
        whole = np.tile(seen.nominal, (self._rows, 1))
        for i, name in enumerate(seen.names):
            if name in self.bound.names:
                whole[:, i] = values[:, self.bound.names.index(name)]
        position = seen.position(whole).astype(np.float32)
        return lambda obs, episode, step: {**obs, PRIVILEGED: position}


class _Seeded:
    """Environments whose seeded reset gives each of them a seed of its own."""

    def __init__(self, env: JostleEnv, seeds: Sequence[int]) -> None:
        self._env, self._seeds = env, seeds

    def reset(self, *, seed: int | None = None) -> Any:
        return self._env.reset(seed=None if seed is None else self._seeds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)


def seeds_of(seed: int, stream: int, count: int) -> Int64[np.ndarray, "count"]:
    """Seeds of episodes for one purpose, all different; those of different streams (0 to 7) differ as well.

    A stream has 2²⁹ of them; number 0 begins with the seed itself, as the conditions of a stress test do.
    """
    return np.asarray((seed + stream * 2**29 + np.arange(count)) % SEEDS, np.int64)
