"""The microscope: what a trained policy looks at, what it holds, and what it needs.

Every function takes a policy of any kind (see `jostle.as_view`) and steps: a `Trace`, steps of one, or observations.
"""

from jostle.explain.ablate import (
    Ablation,
    ablation_returns,
    cumulative_ablation,
    layer_ablation,
    magnitude_importance,
    memory_ablation,
    patch_layers,
    patch_units,
    pruned,
    pruning,
    twin_worlds,
    unit_ablation,
    unit_ablations,
    view_ablations,
)
from jostle.explain.activations import embed, entanglement, gather, probe, probe_layers, trajectories
from jostle.explain.asking import Subject, Target, ask, intrinsic_reward
from jostle.explain.explanation import Explanation
from jostle.explain.maximise import maximise_activation
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
from jostle.explain.results.comparison import compare_numbers
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
from jostle.explain.sanity import change_objects, check, fidelity, intervention, permuted_actions, randomisation
from jostle.explain.sanity.permuted import students
from jostle.explain.statements import Statement, read_statements, run_statements
from jostle.explain.tracing import Steps, Trace, fingerprint, read_trace, trace
from jostle.explain.weights import at_start, compare_weights, kernels, spectra, untrained, weight_statistics
from jostle.explain.whole import explain_policy

__all__ = [
    "Ablation",
    "Explanation",
    "Importance",
    "Maps",
    "Statement",
    "Steps",
    "Subject",
    "Target",
    "Trace",
    "ablation_returns",
    "ask",
    "at_start",
    "baseline_mask",
    "cam",
    "change_objects",
    "check",
    "compare_numbers",
    "compare_weights",
    "cumulative_ablation",
    "distinctness",
    "embed",
    "entanglement",
    "explain_policy",
    "feature_ablation",
    "fidelity",
    "fingerprint",
    "gather",
    "grad_cam",
    "gradient",
    "gradient_times_input",
    "greydanus",
    "guided_backprop",
    "integrated_gradients",
    "intervention",
    "intrinsic_reward",
    "kernels",
    "layer_ablation",
    "magnitude_importance",
    "maximise_activation",
    "mean_frames",
    "memory_ablation",
    "object_mass",
    "occlusion",
    "overlays",
    "patch_layers",
    "patch_units",
    "permutation",
    "permuted_actions",
    "plot_gallery",
    "probe",
    "probe_layers",
    "pruned",
    "pruning",
    "randomisation",
    "read_statements",
    "read_trace",
    "record_maps",
    "run_statements",
    "sarfa",
    "smooth_grad",
    "spectra",
    "students",
    "trace",
    "trajectories",
    "twin_worlds",
    "unit_ablation",
    "unit_ablations",
    "untrained",
    "view_ablations",
    "weight_statistics",
]
