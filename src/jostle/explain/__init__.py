"""The microscope: what a trained policy looks at, what it holds, and what it needs.

Every function takes a policy of any kind (see `jostle.as_view`) and steps: a `Trace`, steps of one, or observations.
"""

from jostle.explain.asking import Subject, Target, ask, intrinsic_reward
from jostle.explain.perturb import (
    baseline_mask,
    feature_ablation,
    greydanus,
    mean_frames,
    occlusion,
    permutation,
    sarfa,
)
from jostle.explain.results import Importance, Maps
from jostle.explain.results.distinctness import distinctness
from jostle.explain.results.gallery import plot_gallery
from jostle.explain.results.objects import object_mass
from jostle.explain.results.video import overlays, record_maps
from jostle.explain.saliency import (
    cam,
    grad_cam,
    gradient,
    gradient_times_input,
    guided_backprop,
    integrated_gradients,
    smooth_grad,
)
from jostle.explain.sanity import check, fidelity, permuted_actions, randomisation
from jostle.explain.sanity.permuted import students
from jostle.explain.tracing import Steps, Trace, fingerprint, read_trace, trace
from jostle.explain.whole import Explanation, explain_policy

__all__ = [
    "Explanation",
    "Importance",
    "Maps",
    "Steps",
    "Subject",
    "Target",
    "Trace",
    "ask",
    "baseline_mask",
    "cam",
    "check",
    "distinctness",
    "explain_policy",
    "feature_ablation",
    "fidelity",
    "fingerprint",
    "grad_cam",
    "gradient",
    "gradient_times_input",
    "greydanus",
    "guided_backprop",
    "integrated_gradients",
    "intrinsic_reward",
    "mean_frames",
    "object_mass",
    "occlusion",
    "overlays",
    "permutation",
    "permuted_actions",
    "plot_gallery",
    "randomisation",
    "read_trace",
    "record_maps",
    "sarfa",
    "smooth_grad",
    "students",
    "trace",
]
