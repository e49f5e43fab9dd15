"""How much a policy has changed at given steps: the number that ablations are measured by."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.errors import ConfigError, closest
from jostle.explain.asking import Subject
from jostle.explain.asking.targets import combined_q, kl
from jostle.view import MeanStd, Output, PolicyView
from jostle.view.choosing import logits_of

MEASURES = ("policy", "switched", "value")
UNITS = {"policy": "change of policy", "switched": "share of other actions", "value": "|ΔV|"}
NARROW = 1e-5
"""Deviations below which a normal policy counts as deterministic."""


@dataclass(frozen=True)
class Changes:
    """What A ablations change at B steps.

    Attributes:
        policy: KL(before ‖ after) in nats of a stochastic policy, of action values that of their softmax; of a
            deterministic continuous policy ½ ‖Δ action‖².
        switched: 1 where the likeliest (best) action is another one; of continuous actions NaN.
        value: |ΔV| of the first reward stream; NaN where there is none.
    """

    policy: Float[np.ndarray, "A B"]
    switched: Float[np.ndarray, "A B"]
    value: Float[np.ndarray, "A B"]

    def of(self, measure: str) -> Float[np.ndarray, "A B"]:
        """One of them by name.

        Raises:
            ConfigError: there is no such measure, or the policy has not what it is about.
        """
        if measure not in MEASURES:
            raise ConfigError(f"measure='{measure}' is unknown; {closest(measure, MEASURES)}")
        found: Float[np.ndarray, "A B"] = getattr(self, measure)
        if np.isnan(found).all():
            what = "choices" if measure == "switched" else "values"
            raise ConfigError(f"the policy has no {what}, so that measure='{measure}' says nothing: use 'policy'.")
        return found


def divergence(
    before: Output, after: Output, view: PolicyView, mask: Bool[Tensor, "N *D A"] | None = None
) -> Float[Tensor, "N"]:
    """`Changes.policy`, row by row, in float64: small divergences are differences of nearly equal numbers."""
    if isinstance(before.distribution, MeanStd) and isinstance(after.distribution, MeanStd):
        if float(torch.minimum(before.distribution.std.min(), after.distribution.std.min())) < NARROW:
            return 0.5 * (before.distribution.mean - after.distribution.mean).square().sum(-1)
        return kl(before, after)
    one, other = choices(before, view, mask).double(), choices(after, view, mask).double()
    return kl(before, after, one, other).clamp_min(0)


def choices(out: Output, view: PolicyView, mask: Bool[Tensor, "N *D A"] | None = None) -> Float[Tensor, "N *D A"]:
    """Logits or action values, those of illegal actions as good as −∞."""
    logits = logits_of(out, mask)
    if logits is not None:
        return logits
    q = combined_q(out, view)
    return q if mask is None else q.masked_fill(~mask, -1e30)


def measured(before: Output, after: Output, view: PolicyView, mask: Tensor | None = None) -> list[Tensor]:
    """`Changes` of N rows: policy, switched and value, [N] each."""
    policy = divergence(before, after, view, mask)
    if isinstance(before.distribution, MeanStd):
        switched = torch.full_like(policy, torch.nan)
    else:
        apart = choices(before, view, mask).argmax(-1) != choices(after, view, mask).argmax(-1)
        switched = apart.reshape(len(apart), -1).any(1).float()
    if before.value is None or after.value is None:
        value = torch.full_like(policy, torch.nan)
    else:
        value = (before.value[:, 0] - after.value[:, 0]).abs()
    return [policy, switched, value]


def changes_between(subject: Subject, other: Subject) -> Changes:
    """What another view of the same steps does otherwise [1, B]."""
    everything = torch.arange(len(subject.steps))
    found = measured(subject.reference, other.reference, subject.view, subject.mask_of(everything))
    return gathered([found])


def gathered(parts: list[list[Tensor]]) -> Changes:
    """`Changes` of several ablations, each measured at all steps.

    Raises:
        ConfigError: the change of policy is not finite.
    """
    policy, switched, value = (
        np.stack([part[number].detach().double().cpu().numpy() for part in parts]) for number in range(3)
    )
    if not np.isfinite(policy).all():
        raise ConfigError(
            "an ablated policy puts out NaN or infinities: its weights hold them, or its network overflows."
        )
    return Changes(policy, switched, value)
