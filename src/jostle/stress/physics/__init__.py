"""Stress tests of physics: sets, sweeps, pairs, controls that learn nothing, and the worst case by search."""

from jostle.stress.physics.control import RULES, SATURATED, control_of
from jostle.stress.physics.matrix import Generalisation, generalisation
from jostle.stress.physics.ranges import PACKER, Ranges
from jostle.stress.physics.suites import grid, levels, physics_pair, physics_sets, physics_sweep, sweep
from jostle.stress.physics.worst import WorstCase, worst_case

__all__ = [
    "PACKER",
    "RULES",
    "SATURATED",
    "Generalisation",
    "Ranges",
    "WorstCase",
    "control_of",
    "generalisation",
    "grid",
    "levels",
    "physics_pair",
    "physics_sets",
    "physics_sweep",
    "sweep",
    "worst_case",
]
