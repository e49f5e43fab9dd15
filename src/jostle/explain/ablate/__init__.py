"""What a policy loses when a part of it is taken away."""

from jostle.explain.ablate.acting import AblatedActor, Ablation
from jostle.explain.ablate.importance import MagnitudeImportance, magnitude_importance
from jostle.explain.ablate.layers import LayerAblation, layer_ablation
from jostle.explain.ablate.measure import Changes
from jostle.explain.ablate.memory import MemoryAblation, memory_ablation
from jostle.explain.ablate.patching import Patching, UnitPatching, patch_layers, patch_units
from jostle.explain.ablate.rollouts import AblationReturns, ablation_returns, unit_ablations, view_ablations
from jostle.explain.ablate.sparsity import Pruning, pruned, pruning
from jostle.explain.ablate.twins import Twins, twin_worlds
from jostle.explain.ablate.units import CumulativeAblation, UnitAblation, cumulative_ablation, unit_ablation

__all__ = [
    "AblatedActor",
    "Ablation",
    "AblationReturns",
    "Changes",
    "CumulativeAblation",
    "LayerAblation",
    "MagnitudeImportance",
    "MemoryAblation",
    "Patching",
    "Pruning",
    "Twins",
    "UnitAblation",
    "UnitPatching",
    "ablation_returns",
    "cumulative_ablation",
    "layer_ablation",
    "magnitude_importance",
    "memory_ablation",
    "patch_layers",
    "patch_units",
    "pruned",
    "pruning",
    "twin_worlds",
    "unit_ablation",
    "unit_ablations",
    "view_ablations",
]
