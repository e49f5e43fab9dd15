"""Whether a technique's maps depend on what a policy has learned, and whether they say what it goes by."""

from jostle.explain.sanity.changes import ChangedObjects, change_objects
from jostle.explain.sanity.curves import Curves, fidelity
from jostle.explain.sanity.intervening import Intervention, intervention
from jostle.explain.sanity.permuted import PermutedControl, permuted_actions
from jostle.explain.sanity.randomise import Randomisation, randomisation
from jostle.explain.sanity.report import Sanity, check

__all__ = [
    "ChangedObjects",
    "Curves",
    "Intervention",
    "PermutedControl",
    "Randomisation",
    "Sanity",
    "change_objects",
    "check",
    "fidelity",
    "intervention",
    "permuted_actions",
    "randomisation",
]
