"""The worst case within a domain, by search: the cross-entropy method over the draws' own probabilities."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from jostle.domain import Bound, Space
from jostle.envs import JostleEnv, make_env
from jostle.envs.make import capped
from jostle.errors import ConfigError
from jostle.nn.inference import Inference
from jostle.scores import Interval, interval
from jostle.stress.physics.suites import _env, _made_with
from jostle.stress.target import target_of
from jostle.view import PolicyView, as_view, play

_ELITE, _LEAST_SPREAD, _FINALISTS = 0.25, 0.05, 4


class WorstCase(NamedTuple):
    """What was found.

    Attributes:
        values: of the parameters, to be given as a domain (``{name: value}``).
        score: mean return there, of episodes that were not searched with, with its 95% interval.
        nominal: the same at the nominal values.
        tried: draws that were looked at.
    """

    values: dict[str, float]
    score: Interval
    nominal: Interval
    tried: int


def worst_case(
    policy: Any,
    space: Any,
    *,
    env: Any = None,
    env_options: Mapping[str, Any] | None = None,
    rounds: int = 4,
    draws: int = 32,
    episodes: int = 4,
    final: int = 64,
    seed: int = 0,
) -> WorstCase:
    """Where in a domain a policy fares worst.

    Round by round, `draws` points are played `episodes` times each, all together; the quarter with the lowest mean
    return shapes the distribution of the next round (de Boer et al. 2005, "A tutorial on the cross-entropy method").
    The lowest of many noisy means is too low, so the best four candidates are played anew with other seeds, and what
    is told of the lowest one is of further episodes, which nothing was chosen by.

    Args:
        policy: whatever `jostle.as_view` takes.
        space: within which to search, as `Space.load` takes it.
        env, env_options: where the policy was trained, if it does not know itself.
        rounds, draws, episodes: of the search.
        final: episodes of the last measurement.
        seed: of environments and search.

    Raises:
        ConfigError: the environment offers nothing to vary, or the space does not fit.
    """
    for name, value in {"rounds": rounds, "draws": draws, "episodes": episodes, "final": final}.items():
        if value < 1:
            raise ConfigError(f"{name}={value} cannot be used: it must be at least 1.")
    view = as_view(policy, env=env, env_options=env_options) if env is not None else as_view(policy)
    target = target_of(view, env, env_options)
    loaded, source, options = Space.load(space), _env(target) or target.source, _made_with(target)
    rng = np.random.default_rng(seed)
    spread, centre = np.full(len(loaded), np.inf), np.full(len(loaded), 0.5)
    seen: list[tuple[float, np.ndarray]] = []
    with _Field(view, source, options, loaded, draws * episodes) as field:
        for round_ in range(rounds):
            if round_ == 0:
                points = rng.random((draws, len(loaded)))
            else:
                points = np.clip(rng.normal(centre, spread, (draws, len(loaded))), 1e-3, 1 - 1e-3)
            scores = field.scores(points, episodes, seed + round_).mean(1)
            order = np.argsort(scores, kind="stable")
            elite = points[order[: max(2, round(_ELITE * draws))]]
            centre, spread = elite.mean(0), np.maximum(elite.std(0), _LEAST_SPREAD)
            seen += [(float(scores[i]), points[i]) for i in order]
        seen.sort(key=lambda pair: pair[0])
        finalists = np.stack([point for _, point in seen[:_FINALISTS]])
        again = field.scores(finalists, draws * episodes // len(finalists), seed + rounds)
        chosen = finalists[int(np.argmin(again.mean(1)))]
        values = field.bound.by_name(field.values(chosen[None]))
    with _Field(view, source, options, loaded, final) as field:
        found = field.scores(chosen[None], final, seed + rounds + 1)[0]
        nominal = field.returns(np.tile(field.bound.nominal, (final, 1)), seed + rounds + 1)
    told = {name: float(v[0]) for name, v in values.items()}
    return WorstCase(told, interval(found, "mean"), interval(nominal, "mean"), rounds * draws)


class _Field:
    """Many environments of a kind, each with physics of its own, in which a policy plays one episode each."""

    def __init__(self, view: PolicyView, source: Any, options: Mapping[str, Any], space: Space, rows: int) -> None:
        self._view, self._rows = view, rows
        self._env: JostleEnv = make_env(source, rows, **capped(options, rows))
        world = self._env.world
        if world is None:
            raise ConfigError(f"{self._env.id} on {self._env.engine} offers no physics to vary.")
        self._world = world
        self.bound: Bound = space.bind(world.quantities, self._env.id)

    def __enter__(self) -> "_Field":
        return self

    def __exit__(self, *_: object) -> None:
        self._env.close()

    def values(self, points: Float64[np.ndarray, "C P"]) -> Float64[np.ndarray, "C P"]:
        """The values at shares of the draws' probability, in the quantities' units."""
        laws = [p.distribution for p in self.bound.space.parameters]
        return self.bound.values(np.stack([law.quantile(points[:, i]) for i, law in enumerate(laws)], 1))

    def scores(self, points: Float64[np.ndarray, "C P"], episodes: int, seed: int) -> Float64[np.ndarray, "C E"]:
        """Returns at each point, played under the same seeds at all of them where the rows allow it."""
        values = np.repeat(self.values(points), episodes, axis=0)
        filled = np.concatenate([values, np.repeat(values[-1:], self._rows - len(values), axis=0)])
        return self.returns(filled, seed)[: len(values)].reshape(len(points), episodes)

    def returns(self, values: Float64[np.ndarray, "N P"], seed: int) -> Float64[np.ndarray, "N"]:
        """One episode in each row."""
        self._world.set_quantities(self.bound.by_name(values), np.arange(self._rows))
        actor = self._view.actor(Inference.parse("mean"), rows=self._rows, seed=seed, sample=False)
        found = play(actor, self._env, self._rows, seed=seed * 100_003 + 1)
        assert found is not None
        return np.array([episode.ret for episode in sorted(found, key=lambda e: e.env)])
