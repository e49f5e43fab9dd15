"""Suites of physics: sets of worlds, one parameter at a time, two against each other, and the domain as a whole."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jostle.domain import Quantity, Space
from jostle.envs.domain.options import DOMAIN_OPTIONS, off
from jostle.errors import ConfigError
from jostle.registration import CLASSIC
from jostle.stress.condition import Condition, Suite
from jostle.stress.physics.control import RULES
from jostle.stress.physics.ranges import LIMITS, PACKER, Ranges, extreme_set, family, random_set, twin, widened
from jostle.stress.target import Target
from jostle.view import Success

LEVELS = 5
NOMINAL = "nominal"
DOMAIN = "domain"
"""The condition in which the whole domain is drawn from."""


def physics_sets(target: Target) -> Suite:
    """Default, random and extreme physics: after Packer et al. 2018 where they say it, else around the domain."""
    name = family(target.env)
    theirs = name in PACKER and target.own is None
    if not theirs and not _has_space(target):
        raise ConfigError(
            f"the suite 'physics-sets' has no ranges for {target.env}: it is for {', '.join(PACKER)}, and for "
            "environments with a domain: train with one, or give --domain FILE."
        )
    sets: dict[str, dict[str, Any] | None]
    if theirs:
        sets = {"random": random_set(PACKER[name]), "extreme": extreme_set(PACKER[name])}
        about = "the sets D, R and E of Packer et al. 2018: one draw an episode"
    else:
        space = space_of(target)
        sets = {"random": space.data(), "extreme": _beyond(space, target)}
        about = "default, the domain, and every parameter outside of it by up to half its width: one draw an episode"
    limit = {"max_episode_steps": LIMITS[name]} if theirs and name in LIMITS else {}
    conditions = [_condition("default", {}, target, {"physics": "default"}, limit)]
    for key, domain in sets.items():
        options = {**home(target), **limit, "domain": domain}
        conditions.append(Condition(key, options, env_of(target), labels={"physics": key}))
    control = RULES.get(name) if theirs else None
    return Suite("physics-sets", tuple(conditions), "default", success_of(target), about, control=control)


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


def physics_sobol(target: Target) -> Suite:
    """The nominal world and the whole domain, and how much of the scores' variance each parameter explains."""
    space = space_of(target)
    if space.correlated:
        raise ConfigError(
            f"the suite 'physics-sobol' shares the variance out among independent parameters, and the domain of "
            f"{target.env} has correlated ones: give --domain FILE without them."
        )
    conditions = (
        _condition(NOMINAL, {}, target, {"physics": NOMINAL}),
        Condition(DOMAIN, {**home(target), "domain": space.data()}, env_of(target), labels={"physics": DOMAIN}),
    )
    about = "the whole domain, one draw an episode, and the share of each parameter in the variance (Sobol indices)"
    return Suite("physics-sobol", conditions, NOMINAL, success_of(target), about, sobol=space.data())


def sweep(name: str, values: Mapping[str, Sequence[float]], target: Target) -> Suite:
    """A condition for each value of each parameter, the others nominal."""
    conditions = [_condition(NOMINAL, {}, target, {"parameter": "none", "value": NOMINAL})]
    for parameter, several in values.items():
        for value in several:
            labels = {"parameter": parameter, "value": f"{value:.4g}"}
            conditions.append(_condition(f"{parameter} = {value:.4g}", {parameter: value}, target, labels))
    about = "one parameter at a time, the others at their nominal values"
    return Suite(name, tuple(conditions), NOMINAL, success_of(target), about)


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
    return Suite(name, tuple(conditions), middle.name, success_of(target), about)


def worlds(name: str, found: Mapping[str, Mapping[str, float]], target: Target, about: str) -> Suite:
    """The nominal world, and others by their names, each with its values."""
    conditions = [_condition(NOMINAL, {}, target, {"world": NOMINAL})]
    conditions += [_condition(world, values, target, {"world": world}) for world, values in found.items()]
    return Suite(name, tuple(conditions), NOMINAL, success_of(target), about)


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


def space_of(target: Target) -> Space:
    """What varies: the domain asked for or trained in, else what the environment draws, else Packer's widest ranges.

    Raises:
        ConfigError: nothing says it.
    """
    given = target.options.get("domain") or target.options.get("domain_seen")
    if given is not None:
        return Space.load(given)
    if target.own is not None:
        return target.own.space
    if family(target.env) in PACKER:
        ranges = PACKER[family(target.env)]
        return Space.load({"parameters": {name: {"uniform": [r.least, r.most]} for name, r in ranges.items()}})
    raise ConfigError(
        f"nothing says which physics of {target.env} to vary: train with a domain, give --domain FILE, or write "
        "sweep: {NAME: [VALUES]} into a suite of your own."
    )


def env_of(target: Target) -> str | None:
    """Where the physics can be set, if that is not the policy's own environment: its twin."""
    own = twin(target.env) if target.own is None else None
    return None if own is None or own == target.env else own


def home(target: Target) -> dict[str, Any]:
    """Options of the training that its twin does not take are taken away, and how its domain moved."""
    gone = (key for key in target.options if key not in DOMAIN_OPTIONS and env_of(target) is not None)
    return dict.fromkeys([*gone, *(key for key in ("domain_schedule",) if key in target.options)])


def made_with(target: Target) -> dict[str, Any]:
    """The options of the environment in which the physics can be set, with nothing drawn."""
    mine = off(target.options)
    return mine if env_of(target) is None else {key: value for key, value in mine.items() if key in DOMAIN_OPTIONS}


def success_of(target: Target) -> Success | None:
    """Classic control tells whether an episode was a success."""
    return Success("info", key="is_success") if target.own is None and twin(target.env) in CLASSIC else None


def _has_space(target: Target) -> bool:
    return bool(target.options.get("domain") or target.options.get("domain_seen") or target.own)


def _ends(target: Target) -> dict[str, tuple[float, float]]:
    """The parameters and how far they go."""
    return {name: ends for name, ends, _, _ in _supports(space_of(target), target)}


def _beyond(space: Space, target: Target) -> dict[str, Any]:
    """The domain with every continuous parameter outside of its range, as far as the quantity's bounds leave room."""
    data = {"parameters": dict(space.data()["parameters"])}
    for name, (low, high), quantity, continuous in _supports(space, target):
        ranges: Ranges | None = widened(low, high, quantity) if continuous else None
        if ranges is not None:
            data["parameters"][name] = {"categorical": ranges.extreme}
    return data


def _supports(space: Space, target: Target) -> Iterable[tuple[str, tuple[float, float], Quantity, bool]]:
    from jostle.envs import make_env

    env = make_env(env_of(target) or target.source, 1, **made_with(target))
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
            yield parameter.name, (low, high), bound.quantities[i], parameter.distribution.continuous


def _condition(
    name: str,
    values: Mapping[str, float],
    target: Target,
    labels: Mapping[str, str],
    options: Mapping[str, Any] | None = None,
) -> Condition:
    """A world with these values, the others nominal."""
    own = target.own
    fixed = {} if own is None else dict(zip(own.names, own.nominal.tolist(), strict=True))
    set_ = {**fixed, **values}
    domain = {"parameters": {key: {"constant": value} for key, value in set_.items()}} if set_ else None
    return Condition(name, {**home(target), **(options or {}), "domain": domain}, env_of(target), labels=dict(labels))
