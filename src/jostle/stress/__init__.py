"""The stress test: policies under conditions seen and unseen, and interval statistics of scores."""

from jostle.stress.condition import Condition, Suite
from jostle.stress.consistency import cycle_consistency, cycle_consistency_3way
from jostle.stress.curves import Curve, curve
from jostle.stress.features import FeatureDistance, average_of_draws, feature_distance
from jostle.stress.intervals import Interval, improvement_interval, interval, paired_interval, profile_band
from jostle.stress.perturbation import Perturbation
from jostle.stress.plots import plot_curves, plot_intervals, plot_profiles
from jostle.stress.result import Cell, StressResult, read_result
from jostle.stress.risk import cvar
from jostle.stress.run import stress_test
from jostle.stress.statistics import (
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    std,
)
from jostle.stress.summary import Summary, aggregate, compare, markdown

__all__ = [
    "Cell",
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
