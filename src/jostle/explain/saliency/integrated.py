"""Integrated gradients (Sundararajan et al. 2017), with how far they are from being complete."""

from typing import Any

import torch
from torch import Tensor

from jostle.errors import ConfigError
from jostle.explain.asking import Subject, Target, ask
from jostle.explain.perturb.fill import baseline_of
from jostle.explain.results import Importance, Maps
from jostle.explain.saliency.shared import captum, picture_layout, places, quiet, require_gradients, result_of


def integrated_gradients(
    policy: Any,
    steps: Any,
    target: str | Target | None = None,
    *,
    fill: Any = None,
    points: int = 50,
    batch: int = 64,
    key: str | None = None,
) -> Maps | Importance:
    """(x − x′) ∫₀¹ ∂y/∂x at x′ + α(x − x′) dα, by Gauss-Legendre; summed over a pixel's channels.

    The numbers ``completeness error`` of each step are Σ − (y(x) − y(x′)), beside ``difference``, y(x) − y(x′): the
    sum of a step's attributions should be that.

    Args:
        policy, steps, target, key: see `jostle.explain.ask`.
        fill: x′. Of pictures as in `jostle.explain.perturb.fill.baseline_of`, None: black. Of vectors a number, or one
            for each feature, None: 0.
        points: at which the gradient is taken.
        batch: inputs that go through the network at a time.

    Raises:
        ConfigError: the policy has no gradients, or an argument cannot be used.
    """
    if points < 1 or batch < 1:
        raise ConfigError(f"points={points} and batch={batch} of integrated gradients must be at least 1.")
    subject = ask(policy, steps, target, key=key)
    require_gradients(subject, at_the_point=False)
    baseline = _baseline(subject, fill)
    with quiet():
        found, error = captum().IntegratedGradients(subject).attribute(
            subject.x.clone(), baselines=baseline, n_steps=points, internal_batch_size=max(batch, len(subject.x)),
            additional_forward_args=(places(subject),), return_convergence_delta=True,
        )  # fmt: skip
    with torch.no_grad():
        difference = subject(subject.x) - subject(baseline)
    how = {"points": points, "baseline": fill if isinstance(fill, str | float | int) else "given" if fill is not None
           else "black" if picture_layout(subject) else 0}  # fmt: skip
    return result_of(
        subject, "integrated gradients", found, "sum", how, completeness_error=error, difference=difference
    )


def _baseline(subject: Subject, fill: Any) -> Tensor:
    layout = picture_layout(subject)
    if layout is not None:
        return layout.shaped(baseline_of(subject, layout, "black" if fill is None else fill)).contiguous()
    value = torch.as_tensor(0.0 if fill is None else fill, dtype=subject.x.dtype)
    try:
        return (value.expand_as(subject.x) if value.ndim == 0 else value.reshape(subject.x.shape[1:]).expand_as(
            subject.x
        )).clone()  # fmt: skip
    except RuntimeError as error:
        raise ConfigError(
            f"a baseline of {list(value.shape)} does not fit observations {list(subject.x.shape[1:])}: give one "
            "number, or one for each feature."
        ) from error
