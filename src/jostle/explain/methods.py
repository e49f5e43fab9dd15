"""The techniques by name, with settings that fit the size of the pictures."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from jostle.errors import ConfigError, closest
from jostle.explain.asking import Subject
from jostle.explain.perturb import baseline_mask, feature_ablation, greydanus, occlusion, permutation, sarfa
from jostle.explain.results import Importance, Maps
from jostle.explain.saliency import (
    cam,
    grad_cam,
    gradient,
    gradient_times_input,
    guided_backprop,
    integrated_gradients,
    smooth_grad,
)
from jostle.explain.tracing import Trace
from jostle.view import Probabilities

Made = Callable[[Subject], Maps]
MAPS = (
    "gradient", "gradient-input", "smoothgrad", "guided", "integrated", "cam", "grad-cam", "occlusion", "blur",
    "blur-value", "baseline", "sarfa",
)  # fmt: skip
"""Of pictures."""
FEATURES = ("gradient", "gradient-input", "smoothgrad", "integrated", "ablation", "permutation")
"""Of everything else."""
ATARI = 84
"""Pixels a side, for which the sizes of masks in papers are meant."""


def map_methods(subject: Subject, trace: Trace | None, names: Sequence[str] | None = None) -> dict[str, Made]:
    """Techniques for pictures; each makes maps of a subject, of this one or of one with other weights.

    Masks have the papers' sizes for pictures of 84 pixels a side, and the same share of smaller or larger ones.

    Args:
        subject: the policy and its steps.
        trace: whose mean frame is the baseline image.
        names: which ones; None: all.

    Raises:
        ConfigError: there is no such technique.
    """
    side = min(subject.layout().size)
    share = side / ATARI
    stride, window, variance = max(1, round(5 * share)), max(2, round(5 * share)), max(1.0, 25 * share**2)
    masks: dict[str, Any] = {"stride": stride, "variance": variance}
    known: dict[str, Callable[[Subject], Any]] = {
        "gradient": lambda s: gradient(s, None),
        "gradient-input": lambda s: gradient_times_input(s, None),
        "smoothgrad": lambda s: smooth_grad(s, None),
        "guided": lambda s: guided_backprop(s, None),
        "integrated": lambda s: integrated_gradients(s, None),
        "cam": lambda s: cam(s, None, _linear(s)),
        "grad-cam": lambda s: grad_cam(s, None),
        "occlusion": lambda s: occlusion(s, None, window=window),
        "blur": lambda s: greydanus(s, None, **masks),
        "blur-value": lambda s: greydanus(s, None, "value", **masks),
        "baseline": lambda s: baseline_mask(s, None, trace=trace, **masks),
        "sarfa": lambda s: sarfa(s, None, **masks),
    }
    return _chosen(known, names, subject)


def feature_methods(subject: Subject, names: Sequence[str] | None = None) -> dict[str, Callable[[Subject], Importance]]:
    """Techniques for what is no picture, as `map_methods` gives those for pictures.

    Raises:
        ConfigError: there is no such technique.
    """
    known: Mapping[str, Callable[[Subject], Any]] = {
        "gradient": lambda s: gradient(s, None),
        "gradient-input": lambda s: gradient_times_input(s, None),
        "smoothgrad": lambda s: smooth_grad(s, None),
        "integrated": lambda s: integrated_gradients(s, None),
        "ablation": partial(_without_steps, feature_ablation),
        "permutation": partial(_without_steps, permutation),
    }
    return _chosen(known, names, subject)


def require_names(names: Sequence[str] | None) -> None:
    """Raises: ConfigError where there is no technique of such a name, for pictures or anything else."""
    for name in names or ():
        if name not in (*MAPS, *FEATURES):
            raise ConfigError(f"there is no technique '{name}'; {closest(name, {*MAPS, *FEATURES})}")


def _without_steps(method: Callable[..., Any], subject: Subject) -> Any:
    return method(subject, None)


def _chosen(known: Mapping[str, Any], names: Sequence[str] | None, subject: Subject) -> dict[str, Any]:
    for name in names or ():
        if name not in known:
            raise ConfigError(
                f"there is no technique '{name}' for what {subject.view.name} sees; {closest(name, known)}"
            )
    return {name: known[name] for name in (known if names is None else names)}


def _linear(subject: Subject) -> Any:
    """The target of CAM: of a log-probability its logit, for only that is linear."""
    chosen = subject.target.name
    if isinstance(subject.reference.distribution, Probabilities) and chosen.split(":")[0] in ("log_prob", "prob"):
        return ":".join(["logit", *chosen.split(":")[1:]])
    return None
