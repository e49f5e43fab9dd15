"""`stress_test`: policies on the conditions of a suite, in environments that equal seeds make equal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from jostle.domain import Space
from jostle.envs import JostleEnv, make_env
from jostle.envs.domain import SpaceLike
from jostle.envs.make import OWN_OPTIONS, capped
from jostle.errors import ConfigError, EnvError, JostleError, closest
from jostle.nn.inference import Inference
from jostle.stress.condition import Condition, Suite
from jostle.stress.independent import require_independent
from jostle.stress.perturbation import Perturbation
from jostle.stress.physics.field import How
from jostle.stress.physics.sobol import EPISODES as SOBOL_EPISODES
from jostle.stress.physics.sobol import POINTS, sensitivity
from jostle.stress.pictures import picture_layouts
from jostle.stress.result import CHANCE, NOISELESS, RULE, Cell, StressResult
from jostle.stress.suites import SEARCHED, make_suite
from jostle.stress.target import Target, target_of
from jostle.view import Episode, PolicyView, as_view, play, require_fit
from jostle.view.acting import RandomView
from jostle.view.interface import EnvSource
from jostle.view.playing import MOST_TOGETHER, Observe, require_seed

DEFAULT_MODES = ("mean", "sampled", "mc:10")
"""Of policies with noise: clean, one draw, and many draws."""


def stress_test(
    policy: Any,
    suite: str | Path | Suite,
    *,
    conditions: Sequence[str] | None = None,
    episodes: int = 100,
    noise: str | Sequence[str] | None = None,
    actions: Literal["greedy", "sampled"] = "greedy",
    seed: int = 10_000,
    num_envs: int | None = None,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    domain: SpaceLike | None = None,
    baseline: bool = True,
    points: int = POINTS,
    notify: Callable[[int, int], None] = lambda _, __: None,
    stop: Callable[[], bool] = lambda: False,
) -> StressResult:
    """Play every policy under every condition and inference mode, and keep every episode.

    Environments are made anew for each condition and reset with the same seeds for every policy and mode, so that
    episode (env, index) of one can be compared with the same of another.

    Args:
        policy: whatever `jostle.as_view` takes; a list of them, runs of one method with training seeds of their own;
            or a dictionary of methods, name -> policy or list.
        suite: a name (``themes``, ``physics-sets`` …, as `jostle stress --list` tells them), a YAML file, or a `Suite`.
        conditions: those of the suite that are played, beside the one that was seen in training; None: all.
        episodes: per condition, mode and policy.
        noise: inference modes, as in `jostle.evaluate`; None: ``mean``, ``sampled`` and ``mc:10``. Methods without
            noise, for which all modes are the same, are played once, in ``mean``.
        actions: ``greedy`` or ``sampled``.
        seed: of environments, perturbations and draws.
        num_envs: environments stepped together; None: as many as episodes, 64 at most. The first episode of each is the
            same game for every policy in any environment that can be seeded.
        env, env_options: where the policies were trained, if they don't know it themselves.
        domain: what is randomised under every condition, as in `jostle.evaluate`; None: nothing.
        baseline: play at random under every condition, too, as the floor that every policy is held against; and by the
            suite's control, if it has one.
        points: of the suite ``physics-sobol`` (`jostle.stress.physics.sobol_test`), a power of two.
        notify: called with episodes done and episodes in all.
        stop: asked at every step; where it says true, the cells measured so far are returned, the present one is not.

    Raises:
        ConfigError: the suite does not fit the environment, or the policies don't fit each other.
        EnvError: an environment failed, or a level that should be unseen was met in training.
    """
    if episodes < 1:
        raise ConfigError(f"episodes={episodes} cannot be used: it must be at least 1.")
    if actions not in ("greedy", "sampled"):
        raise ConfigError(f"actions='{actions}' are unknown; {closest(str(actions), ['greedy', 'sampled'])}")
    require_seed(seed)
    views = _views(policy)
    modes = modes_of(noise, views)
    how = ways(views, modes, actions == "sampled", seed, stop)
    target, chosen = prepare(views, suite, env, env_options, domain, how=how)
    chosen = chosen if conditions is None else chosen.only(conditions)
    runs = {method: _names(group) for method, group in views.items()}
    quiet = [method for method, group in views.items() if not any(view.stochastic for view in group)]
    result = StressResult(target.env, chosen, actions, seed, runs, complete=False, noiseless=quiet)
    plays = _plays(views, modes, quiet)
    if baseline:
        at_random = RandomView(CHANCE, target.observation_space, target.action_space)
        plays.append((Inference.parse(NOISELESS), CHANCE, 0, at_random))
        if chosen.control is not None and isinstance(target.observation_space, Box) and RULE not in views:
            sees, acts = target.observation_space, target.action_space
            rule = as_view(chosen.control, name=RULE, observation_space=sees, action_space=acts)
            plays.append((Inference.parse(NOISELESS), RULE, 0, rule))
    count = min(episodes, MOST_TOGETHER) if num_envs is None else num_envs
    total = episodes * len(plays) * len(chosen.conditions)
    _try_all(chosen, target, views, seed)
    for condition in chosen.conditions:
        vector = vector_of(condition, target, count, seed)
        try:
            observe = observer(condition.perturbation, vector, seed + condition.seed_offset)
            for mode, method, number, view in plays:
                found = play(
                    view.actor(mode, rows=vector.num_envs, seed=seed, sample=actions == "sampled"),
                    vector,
                    episodes,
                    seed=seed + condition.seed_offset,
                    success=chosen.success,
                    observe=observe,
                    draw=f"{seed}:0" if mode.kind == "fixed" and view.stochastic else None,
                    notify=partial(_notify, notify, episodes * (len(result.cells) + len(result.chance)), total),
                    stop=stop,
                )
                if found is None:
                    return result
                check_levels(chosen, condition, found, vector.id)
                cell = Cell(method, number, condition.name, str(mode), tuple(found), seed + condition.seed_offset)
                (result.cells if method in runs else result.chance).append(cell)
        finally:
            vector.close()
    if chosen.sobol is not None:
        played = {method: replace(each, success=chosen.success) for method, each in how.items()}
        result.sobol = sensitivity(
            views, target, Space.load(chosen.sobol), points=points, episodes=SOBOL_EPISODES, how=played
        )
        if stop():
            return result
    result.complete = True
    return result


def prepare(
    views: Mapping[str, Sequence[PolicyView]],
    suite: str | Path | Suite,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    domain: SpaceLike | None = None,
    *,
    how: Mapping[str, How] | None = None,
) -> tuple[Target, Suite]:
    """The environment of the policies and the suite for it; suites of `SEARCHED` are searched for here.

    Args:
        views: method -> its runs.
        suite, env, env_options, domain: as in `stress_test`.
        how: method -> how it is played in a search; None: without noise, greedily, from seed 0.

    Raises:
        ConfigError: the suite does not fit, the policies were trained under different circumstances, or two runs of a
            method are one.
    """
    require_independent(views)
    maker = SEARCHED.get(suite) if isinstance(suite, str) else None
    found: list[tuple[Target, Suite | None]] = []
    for _, _, view in _each(views):
        target = target_of(view, env, env_options, domain)
        made = suite if isinstance(suite, Suite) else None if maker else make_suite(suite, target)
        found.append((target, made))
    (target, chosen), *others = found
    for other, theirs in others:
        if (other.env, other.options, theirs) != (target.env, target.options, chosen):
            raise ConfigError(
                f"the policies were trained in {target.env} {dict(target.options)} and in {other.env} "
                f"{dict(other.options)}, so that what was seen differs: test them one by one."
            )
    if maker is not None:
        chosen = maker(views, target, how or dict.fromkeys(views, How()))
    assert chosen is not None
    return target, chosen


def ways(
    views: Mapping[str, Sequence[PolicyView]],
    modes: Sequence[Inference],
    sample: bool,
    seed: int,
    stop: Callable[[], bool],
) -> dict[str, How]:
    """How each method is played where it is played once: in the first mode, without noise where it has none."""
    noisy = {method: any(view.stochastic for view in group) for method, group in views.items()}
    return {m: How(str(modes[0]) if noisy[m] else NOISELESS, sample, None, seed, stop) for m in views}


def check_levels(suite: Suite, condition: Condition, episodes: Sequence[Episode], env: str) -> None:
    """The proof by the levels played: those of unseen layouts were not trained on, those of seen ones were.

    Raises:
        EnvError: it is not so, or the environment does not tell.
    """
    layouts = condition.labels.get("layouts")
    if suite.training_levels is None or layouts not in ("seen", "unseen"):
        return
    first, count = suite.training_levels
    told = [e.level_seed for e in episodes if e.level_seed is not None]
    if len(told) < len(episodes):
        raise EnvError(
            f"the condition '{condition.name}' has {layouts} layouts, but {env} does not tell which levels it played "
            "(level_seed), so nothing proves that: take the label 'layouts' away."
        )
    levels = np.array(told)
    inside = (levels >= first) & (levels < first + count)
    wrong = inside if layouts == "unseen" else ~inside
    if wrong.any():
        raise EnvError(
            f"the condition '{condition.name}' has {layouts} layouts, but level {levels[wrong][0]} was played and the "
            f"training had {first} to {first + count - 1}: correct its start_level and num_levels."
        )


def _each(views: Mapping[str, Sequence[PolicyView]]) -> list[tuple[str, int, PolicyView]]:
    return [(method, number, view) for method, group in views.items() for number, view in enumerate(group)]


def _plays(
    views: Mapping[str, Sequence[PolicyView]], modes: Sequence[Inference], quiet: Sequence[str]
) -> list[tuple[Inference, str, int, PolicyView]]:
    """Who is played in which mode: methods without noise once, all others in every mode."""
    each = [(mode, *one) for mode in modes for one in _each(views)]
    only = Inference.parse(NOISELESS)
    once = [(only, *one) for one in _each(views) if one[0] in quiet]
    return once + [play for play in each if play[1] not in quiet]


def _notify(notify: Callable[[int, int], None], before: int, total: int, played: int) -> None:
    notify(before + played, total)


def _views(policy: Any) -> dict[str, list[PolicyView]]:
    if isinstance(policy, Mapping):
        groups = {str(name): views_of(group) for name, group in policy.items()}
    else:
        group = views_of(policy)
        groups = {group[0].name: group} if group else {}
    if not groups or not all(groups.values()):
        raise ConfigError("there is no policy to test: give at least one.")
    if CHANCE in groups:
        raise ConfigError(f"no method can be called '{CHANCE}', which the baseline is: give it another name.")
    return groups


def views_of(policy: Any) -> list[PolicyView]:
    return [as_view(one) for one in policy] if isinstance(policy, list | tuple) else [as_view(policy)]


def _names(group: Sequence[PolicyView]) -> list[str]:
    names = [view.name for view in group]
    return names if len(set(names)) == len(names) else [f"{number}" for number in range(len(names))]


def modes_of(noise: str | Sequence[str] | None, views: Mapping[str, Sequence[PolicyView]]) -> list[Inference]:
    """The inference modes that are asked for, or those that the policies call for.

    Raises:
        ConfigError: an unknown mode, none, or one twice.
    """
    if noise is None:
        stochastic = any(view.stochastic for group in views.values() for view in group)
        noise = DEFAULT_MODES if stochastic else "mean"
    texts = [noise] if isinstance(noise, str) else list(noise)
    if not texts or len(set(texts)) < len(texts):
        raise ConfigError(f"noise={texts} cannot be used: give at least one inference mode, and none twice.")
    return [Inference.parse(text) for text in texts]


def _try_all(suite: Suite, target: Target, views: Mapping[str, Sequence[PolicyView]], seed: int) -> None:
    """Make one environment of each kind, so that what cannot be played stops the test before anything is played."""
    kinds: list[tuple[tuple[str | None, dict[str, Any]], list[Condition]]] = []
    for condition in suite.conditions:
        kind = (condition.env, condition.options(target.options))
        alike = next((conditions for known, conditions in kinds if known == kind), None)
        if alike is None:
            kinds.append((kind, [condition]))
        else:
            alike.append(condition)
    for _, conditions in kinds:
        vector = vector_of(conditions[0], target, 1, seed)
        try:
            for condition in conditions:
                try:
                    for _, _, view in _each(views):
                        require_fit(view, vector)
                    observer(condition.perturbation, vector, seed)
                except ConfigError as error:
                    raise ConfigError(f"the condition '{condition.name}' cannot be played: {error}") from error
        finally:
            vector.close()


def vector_of(condition: Condition, target: Target, count: int, seed: int) -> JostleEnv:
    source = target.source if condition.env is None else condition.env
    ignored = [key for key in condition.env_options if key not in OWN_OPTIONS]
    if not isinstance(source, str) and ignored:
        raise ConfigError(
            f"the condition '{condition.name}' sets {ignored[0]}, but {target.env} is made by a function, which takes "
            "no options: register it with gymnasium.register, and give its id."
        )
    try:
        options = capped(condition.options(target.options), count)
        return make_env(source, count, seed=seed + condition.seed_offset, **options)
    except JostleError as error:
        raise type(error)(f"the condition '{condition.name}' cannot be made: {error}") from error


def observer(perturbation: Perturbation | None, env: JostleEnv, seed: int) -> Observe | None:
    if perturbation is None:
        return None
    found = picture_layouts(env.single_observation_space, env.frame_stack, env.id)
    layouts = {key: layout for key, layout in found.items() if perturbation.fits(layout)}
    if not layouts:
        raise ConfigError(f"{perturbation.kind} needs pictures with 3 channels of colour, and {env.id} has none.")

    def observe(obs: Any, episode: np.ndarray, step: np.ndarray) -> Any:
        if not isinstance(obs, dict):
            return perturbation.apply(obs, layouts[""], seed, episode, step)
        changed = {key: perturbation.apply(obs[key], each, seed, episode, step) for key, each in layouts.items()}
        return obs | changed

    return observe
