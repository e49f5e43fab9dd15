"""Stress tests of physics: sets, sweeps, pairs, Sobol indices, controls that learn nothing, worst cases by search."""

from jostle.stress.physics.control import RULES, SATURATED, control_of
from jostle.stress.physics.indices import Indices, saltelli_points, sobol_indices
from jostle.stress.physics.matrix import Generalisation, generalisation, generalisation_intervals
from jostle.stress.physics.ranges import PACKER, Ranges
from jostle.stress.physics.sobol import Sensitivity, sobol_test
from jostle.stress.physics.suites import (
    grid,
    levels,
    physics_pair,
    physics_sets,
    physics_sobol,
    physics_sweep,
    sweep,
)
from jostle.stress.physics.worst import WorstCase, worst_case

__all__ = [
    "PACKER",
    "RULES",
    "SATURATED",
    "Generalisation",
    "Indices",
    "Ranges",
    "Sensitivity",
    "WorstCase",
    "control_of",
    "generalisation",
    "generalisation_intervals",
    "grid",
    "levels",
    "physics_pair",
    "physics_sets",
    "physics_sobol",
    "physics_sweep",
    "saltelli_points",
    "sobol_indices",
    "sobol_test",
    "sweep",
    "worst_case",
]
