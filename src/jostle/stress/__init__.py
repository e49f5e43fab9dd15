"""The stress test: policies under conditions seen and unseen; statistics of scores come from `jostle.scores`."""

from jostle.scores import (
    Curve,
    Interval,
    Summary,
    aggregate,
    compare,
    curve,
    cvar,
    improvement_interval,
    interval,
    iqm,
    markdown,
    mean,
    median,
    optimality_gap,
    paired_interval,
    performance_profile,
    plot_curves,
    plot_intervals,
    plot_profiles,
    probability_of_improvement,
    profile_band,
    std,
)
from jostle.stress.condition import Condition, Suite
from jostle.stress.consistency import cycle_consistency, cycle_consistency_3way
from jostle.stress.features import FeatureDistance, average_of_draws, feature_distance
from jostle.stress.pairs import Comparison, compare_policies
from jostle.stress.perturbation import Perturbation
from jostle.stress.result import Cell, StressResult, read_result
from jostle.stress.run import stress_test

__all__ = [
    "Cell",
    "Comparison",
    "Condition",
    "Curve",
    "FeatureDistance",
    "Interval",
    "Perturbation",
    "StressResult",
    "Suite",
    "Summary",
    "aggregate",
    "average_of_draws",
    "compare",
    "compare_policies",
    "curve",
    "cvar",
    "cycle_consistency",
    "cycle_consistency_3way",
    "feature_distance",
    "improvement_interval",
    "interval",
    "iqm",
    "markdown",
    "mean",
    "median",
    "optimality_gap",
    "paired_interval",
    "performance_profile",
    "plot_curves",
    "plot_intervals",
    "plot_profiles",
    "probability_of_improvement",
    "profile_band",
    "read_result",
    "std",
    "stress_test",
]
