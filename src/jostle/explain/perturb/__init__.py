"""What a policy makes of observations in which something is missing."""

from jostle.explain.perturb.fill import baseline_of, blurred, mean_frames
from jostle.explain.perturb.maps import baseline_mask, greydanus, occlusion
from jostle.explain.perturb.sarfa import sarfa, sarfa_score
from jostle.explain.perturb.vectors import feature_ablation, permutation

__all__ = [
    "baseline_mask",
    "baseline_of",
    "blurred",
    "feature_ablation",
    "greydanus",
    "mean_frames",
    "occlusion",
    "permutation",
    "sarfa",
    "sarfa_score",
]
