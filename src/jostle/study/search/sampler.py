"""The next settings to try, proposed by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jostle.errors import ConfigError
from jostle.study.search.ranges import Range, by_chance

STARTUP = 5
"""Trials by chance, before there is enough to learn from."""


def propose(
    ranges: Mapping[str, Range], seed: int, before: Sequence[tuple[Mapping[str, Any], float | None]]
) -> dict[str, Any]:
    """Settings that promise a higher value than those before.

    Args:
        ranges: of the settings.
        seed: of the sampler; the proposal depends on it and on what was tried before.
        before: settings and their value, in the order of the trials; None where the trial failed.

    Raises:
        ConfigError: Optuna is not installed.
    """
    if len(before) < STARTUP:
        return by_chance(ranges, seed, len(before))
    optuna = _optuna()
    spaces = {name: _space(optuna, each) for name, each in ranges.items()}
    drawn = int(np.random.default_rng([seed, len(before)]).integers(2**31))
    sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=0, multivariate=False)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for settings, value in before:
        good = value is not None and math.isfinite(value)
        state = optuna.trial.TrialState.COMPLETE if good else optuna.trial.TrialState.FAIL
        told = {name: _index(each, settings[name]) for name, each in ranges.items()}
        tried = {"params": told, "distributions": spaces, "state": state, "value": value if good else None}
        study.add_trial(optuna.trial.create_trial(**tried))
    asked = study.ask(spaces).params
    return {name: _setting(each, asked[name]) for name, each in ranges.items()}


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError('sampler: tpe needs Optuna: pip install "jostle[tune]", or say sampler: random.') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _space(optuna: Any, each: Range) -> Any:
    if each.kind == "choices":  # by their places, for Optuna has no lists
        return optuna.distributions.CategoricalDistribution(range(len(each.given)))
    low, high = each.given
    if each.kind == "integer":
        return optuna.distributions.IntDistribution(low, high)
    return optuna.distributions.FloatDistribution(low, high, log=each.kind == "log_uniform")


def _index(each: Range, value: Any) -> Any:
    return each.given.index(value) if each.kind == "choices" else value


def _setting(each: Range, value: Any) -> Any:
    if each.kind == "choices":
        return each.given[value]
    return value if each.kind == "integer" else each.within(value)
