"""The worst cases within a domain, by search: the cross-entropy method over the draws' own probabilities.

The lowest of many noisy means is too low (the winner's curse), and the worst draw of a search is one. So what was found
is measured anew, by episodes with other seeds that nothing was chosen by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from jostle.domain import Space
from jostle.errors import ConfigError
from jostle.scores import Interval, interval
from jostle.stress.condition import Suite
from jostle.stress.physics.field import TOGETHER, Field, How, seeds_of
from jostle.stress.physics.suites import space_of, worlds
from jostle.stress.target import Target, target_of
from jostle.view import PolicyView, as_view

ROUNDS, DRAWS, EPISODES, CASES = 4, 32, 4, 3
_ELITE, _LEAST_SPREAD = 0.25, 0.05
_APART = 0.1
"""Worst cases differ by so much in the probability of one parameter at least, else they are one."""
_SEARCHED, _HALVED = 3, 4
"""Streams of seeds (`seeds_of`): of the search, and of its last rounds."""


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


@dataclass(frozen=True)
class Searched:
    """A search: the cases that it ended with, the worst first, and how many draws it looked at."""

    cases: tuple[dict[str, float], ...]
    tried: int


def worst_case(
    policy: Any,
    space: Any,
    *,
    env: Any = None,
    env_options: Mapping[str, Any] | None = None,
    rounds: int = ROUNDS,
    draws: int = DRAWS,
    episodes: int = EPISODES,
    final: int = 64,
    seed: int = 0,
) -> WorstCase:
    """Where in a domain a policy fares worst.

    Args:
        policy: whatever `jostle.as_view` takes.
        space: within which to search, as `Space.load` takes it.
        env, env_options: where the policy was trained, if it does not know itself.
        rounds, draws, episodes: of the search (`search`).
        final: episodes of the last measurement.
        seed: of environments and search.

    Raises:
        ConfigError: the environment offers nothing to vary, or the space does not fit.
    """
    if final < 1:
        raise ConfigError(f"final={final} cannot be used: it must be at least 1.")
    view = as_view(policy, env=env, env_options=env_options) if env is not None else as_view(policy)
    target, loaded, how = target_of(view, env, env_options), Space.load(space), How(seed=seed)
    found = search([view], target, loaded, cases=1, rounds=rounds, draws=draws, episodes=episodes, how=how)
    with Field(target, loaded, min(final, TOGETHER)) as field:
        place = np.array([found.cases[0][name] for name in field.bound.names])
        fresh = seeds_of(seed, 0, final)
        there, nominal = (field.play(view, np.tile(at, (final, 1)), fresh, how) for at in (place, field.bound.nominal))
    assert there is not None
    assert nominal is not None
    told, normal = (interval(scores.returns, "mean") for scores in (there, nominal))
    return WorstCase(found.cases[0], told, normal, found.tried)


def search(
    views: Sequence[PolicyView],
    target: Target,
    space: Space,
    *,
    cases: int = CASES,
    rounds: int = ROUNDS,
    draws: int = DRAWS,
    episodes: int = EPISODES,
    how: How,
) -> Searched:
    """Where the runs of a method fare worst, by the mean of their returns.

    Round by round, `draws` points are played `episodes` times each, all under the same seeds; the quarter with the
    lowest mean shapes the distribution of the next round (de Boer et al. 2005, "A tutorial on the cross-entropy
    method"). Of all points the lowest ones that lie apart, four times as many as cases are wanted, are halved twice
    (Jamieson and Talwalkar 2016, "successive halving"), each time by twice as many episodes with new seeds.

    A domain's correlations are not searched by: every combination within its bounds may be found.

    Raises:
        ConfigError: an argument cannot be used, or the space does not fit.
    """
    for name, value in {"cases": cases, "rounds": rounds, "draws": draws, "episodes": episodes}.items():
        if value < 1:
            raise ConfigError(f"{name}={value} cannot be used: it must be at least 1.")
    rng = np.random.default_rng(how.seed)
    seen: list[tuple[float, np.ndarray]] = []
    with Field(target, space, min(TOGETHER, draws * episodes)) as field:
        fixed = seeds_of(how.seed, _SEARCHED, episodes)
        points = rng.random((draws, len(space)))
        for _ in range(rounds):
            means = _means(field, views, points, fixed, how)
            if means is None:
                break
            order = np.argsort(means, kind="stable")
            seen += [(float(means[i]), points[i]) for i in order]
            elite = points[order[: max(2, round(_ELITE * draws))]]
            centre, spread = elite.mean(0), np.maximum(elite.std(0), _LEAST_SPREAD)
            points = np.clip(rng.normal(centre, spread, (draws, len(space))), 1e-3, 1 - 1e-3)
        order = np.argsort([mean for mean, _ in seen], kind="stable")
        kept = _apart(field, [seen[i][1] for i in order], 4 * cases)
        used = 0
        for keep in (2 * cases, cases):
            episodes *= 2
            fresh = seeds_of(how.seed, _HALVED, used + episodes)[used:]
            used += episodes
            means = _means(field, views, np.stack(kept), fresh, how) if kept else None
            if means is not None:
                kept = [kept[i] for i in np.argsort(means, kind="stable")[:keep]]
        found = [field.by_name(row) for row in field.values(np.stack(kept))] if kept else []
    return Searched(tuple(found[:cases]), len(seen))


def worst_suite(
    views: Mapping[str, Sequence[PolicyView]], target: Target, how: Mapping[str, How], cases: int = CASES
) -> Suite:
    """The nominal world and the worst ones of each method, which all methods are then played in, by other seeds."""
    space, found, tried = space_of(target), dict[str, dict[str, float]](), 0
    for method, group in views.items():
        searched = search(group, target, space, cases=cases, how=how[method])
        of = ending(method) if len(views) > 1 else ""
        found |= {f"worst {k}{of}": values for k, values in enumerate(searched.cases, 1)}
        tried += searched.tried
    about = f"the worst worlds that a search over {tried} draws of the domain found, played anew by seeds of their own"
    return worlds("physics-worst", found, target, about)


def _means(
    field: Field, views: Sequence[PolicyView], points: Float64[np.ndarray, "C P"], seeds: np.ndarray, how: How
) -> Float64[np.ndarray, "C"] | None:
    """The mean return at each point over runs and episodes, which have the same seeds at all points."""
    values = np.repeat(field.values(points), len(seeds), axis=0)
    total = np.zeros(len(points))
    for view in views:
        scores = field.play(view, values, np.tile(seeds, len(points)), how)
        if scores is None:
            return None
        total += scores.returns.reshape(len(points), len(seeds)).mean(1)
    return np.asarray(total / len(views))


def _apart(field: Field, points: Sequence[np.ndarray], most: int) -> list[np.ndarray]:
    """The first points that lie apart from all before them."""
    kept: list[np.ndarray] = []
    places: list[np.ndarray] = []
    for point in points:
        place = field.place(point[None])[0]
        if len(kept) < most and all(np.abs(place - other).max() >= _APART for other in places):
            places.append(place)
            kept.append(point)
    return kept


def ending(method: str) -> str:
    """How the names of a method's worst worlds end, where there are several methods.

    >>> ending("runs/pole")
    ' of runs-pole'
    """
    return f" of {method.replace('/', '-').replace(chr(92), '-')}"
