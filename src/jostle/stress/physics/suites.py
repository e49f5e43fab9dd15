"""Suites of physics: the sets of Packer et al., one parameter at a time, and two against each other."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jostle.domain import Space
from jostle.envs.domain.options import DOMAIN_OPTIONS
from jostle.errors import ConfigError
from jostle.registration import CLASSIC
from jostle.stress.condition import Condition, Suite
from jostle.stress.physics.ranges import LIMITS, PACKER, extreme_set, family, random_set, twin
from jostle.stress.target import Target
from jostle.view import Success

LEVELS = 5
NOMINAL = "nominal"


def physics_sets(target: Target) -> Suite:
    """Default, random and extreme physics after Packer et al. 2018."""
    name = family(target.env)
    if name not in PACKER:
        raise ConfigError(
            f"the suite 'physics-sets' has no ranges for {target.env}: it is for {', '.join(PACKER)}; sweep a domain "
            "of your own by a suite in a YAML file."
        )
    ranges = PACKER[name]
    sets: dict[str, dict[str, Any] | None] = {
        "default": None,
        "random": random_set(ranges),
        "extreme": extreme_set(ranges),
    }
    limit = {"max_episode_steps": LIMITS[name]} if name in LIMITS else {}
    conditions = tuple(
        Condition(key, {**_home(target), **limit, "domain": domain}, _env(target), labels={"physics": key})
        for key, domain in sets.items()
    )
    about = "the sets D, R and E of Packer et al. 2018: one draw an episode"
    return Suite("physics-sets", conditions, "default", _success(target), about)


def physics_sweep(target: Target) -> Suite:
    """Each parameter by itself, from one end of its range to the other."""
    found = {name: levels(*ends) for name, ends in _ends(target).items()}
    return sweep("physics-sweep", found, target)


def physics_pair(target: Target) -> Suite:
    """The first two parameters against each other."""
    ends = _ends(target)
    if len(ends) < 2:
        raise ConfigError(f"the suite 'physics-pair' needs two parameters, and the domain of {target.env} has one.")
    return grid("physics-pair", {name: levels(*ends[name]) for name in list(ends)[:2]}, target)


def sweep(name: str, values: Mapping[str, Sequence[float]], target: Target) -> Suite:
    """A condition for each value of each parameter, the others nominal."""
    conditions = [_condition(NOMINAL, {}, target, {"parameter": "none", "value": NOMINAL})]
    for parameter, several in values.items():
        for value in several:
            labels = {"parameter": parameter, "value": f"{value:.4g}"}
            conditions.append(_condition(f"{parameter} = {value:.4g}", {parameter: value}, target, labels))
    about = "one parameter at a time, the others at their nominal values"
    return Suite(name, tuple(conditions), NOMINAL, _success(target), about)


def grid(name: str, values: Mapping[str, Sequence[float]], target: Target) -> Suite:
    """Every pair of values of two parameters; the pair nearest to the middle is the reference."""
    if len(values) != 2:
        raise ConfigError(f"a grid of the suite '{name}' needs two parameters, not {len(values)}.")
    (down, rows), (right, columns) = values.items()
    conditions = []
    for a, b in itertools.product(rows, columns):
        labels = {down: f"{a:.4g}", right: f"{b:.4g}"}
        conditions.append(_condition(f"{down} = {a:.4g}, {right} = {b:.4g}", {down: a, right: b}, target, labels))
    middle = conditions[len(rows) // 2 * len(columns) + len(columns) // 2]
    about = f"{down} against {right}, the others at their nominal values"
    return Suite(name, tuple(conditions), middle.name, _success(target), about)


def levels(low: float, high: float, count: int = LEVELS) -> list[float]:
    """Values from one end to the other: by equal ratios where the ends differ fivefold, else by equal steps.

    >>> levels(1.0, 16.0), levels(1.0, 3.0)
    ([1.0, 2.0, 4.0, 8.0, 16.0], [1.0, 1.5, 2.0, 2.5, 3.0])
    """
    if low > 0 and high / low >= 5:
        found = np.exp(np.linspace(np.log(low), np.log(high), count))
    else:
        found = np.linspace(low, high, count)
    return [float(f"{v:.12g}") for v in found]


def _ends(target: Target) -> dict[str, tuple[float, float]]:
    """The parameters and how far they go: those of the training, else those of Packer et al. in their widest range."""
    given = target.options.get("domain") or target.options.get("domain_seen")
    if given is not None:
        return dict(_supports(Space.load(given), target))
    if family(target.env) in PACKER:
        return {name: (r.least, r.most) for name, r in PACKER[family(target.env)].items()}
    raise ConfigError(
        f"nothing says which physics of {target.env} to vary: train with a domain, give --domain FILE, or write "
        "sweep: {NAME: [VALUES]} into a suite of your own."
    )


def _supports(space: Space, target: Target) -> Iterable[tuple[str, tuple[float, float]]]:
    from jostle.envs import make_env

    env = make_env(_env(target) or target.source, 1, **_made_with(target))
    try:
        if env.world is None:
            raise ConfigError(f"{env.id} on {env.engine} offers no physics to vary.")
        bound = space.bind(env.world.quantities, env.id)
    finally:
        env.close()
    for i, parameter in enumerate(bound.space.parameters):
        ends = np.tile(np.array(parameter.distribution.support, np.float64)[:, None], (1, len(bound)))
        low, high = sorted(float(v) for v in bound.values(ends)[:, i])
        if high > low:
            yield parameter.name, (low, high)


def _condition(name: str, values: Mapping[str, float], target: Target, labels: Mapping[str, str]) -> Condition:
    domain = {"parameters": {key: {"constant": value} for key, value in values.items()}} if values else None
    return Condition(name, {**_home(target), "domain": domain}, _env(target), labels=dict(labels))


def _env(target: Target) -> str | None:
    """Where the physics can be set: the policy's own environment, or its twin."""
    own = twin(target.env)
    return None if own is None or own == target.env else own


def _home(target: Target) -> dict[str, Any]:
    """Options of the training that its twin does not take are taken away."""
    return {} if _env(target) is None else {key: None for key in target.options if key not in DOMAIN_OPTIONS}


def _made_with(target: Target) -> dict[str, Any]:
    mine = {key: value for key, value in target.options.items() if key not in DOMAIN_OPTIONS}
    return mine if _env(target) is None else {}


def _success(target: Target) -> Success | None:
    return Success("info", key="is_success") if twin(target.env) in CLASSIC else None
