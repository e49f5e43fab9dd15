"""Interval statistics of scores, their curves and figures: plain arrays in, no policy known."""

from jostle.scores.curves import Curve, curve
from jostle.scores.intervals import Interval, improvement_interval, interval, paired_interval, profile_band
from jostle.scores.plots import plot_curves, plot_intervals, plot_profiles
from jostle.scores.rates import difference_interval, rate_interval
from jostle.scores.risk import cvar
from jostle.scores.statistics import (
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    std,
)
from jostle.scores.summary import Summary, aggregate, compare, markdown

__all__ = [
    "Curve",
    "Interval",
    "Summary",
    "aggregate",
    "compare",
    "curve",
    "cvar",
    "difference_interval",
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
    "rate_interval",
    "std",
]
