"""The stress test: interval statistics of scores, and (to come) conditions seen and unseen."""

from jostle.stress.curves import Curve, curve
from jostle.stress.intervals import Interval, improvement_interval, interval, paired_interval, profile_band
from jostle.stress.plots import plot_curves, plot_intervals, plot_profiles
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
    "Curve",
    "Interval",
    "Summary",
    "aggregate",
    "compare",
    "curve",
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
    "std",
]
