"""SARFA: what speaks for the chosen action alone, rather than for all of them (Puri et al. 2020, eqs. 1 to 4)."""

from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from jaxtyping import Float, Int
from torch import Tensor

from jostle.errors import ConfigError
from jostle.explain.asking import ask
from jostle.explain.asking.targets import vector
from jostle.explain.perturb.batches import BATCH, perturbed
from jostle.explain.perturb.fill import baseline_of
from jostle.explain.perturb.masks import gaussian_masks
from jostle.explain.results.maps import Maps, maps_of


def sarfa(
    policy: Any,
    steps: Any,
    *,
    fill: Any = "blur",
    stride: int = 5,
    variance: float = 25.0,
    batch: int = BATCH,
    key: str | None = None,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> Maps:
    """Specific and relevant saliency of the action taken, by the masks of `greydanus`; see `sarfa_score`.

    p is the policy's, or softmax(Q). The newest frame is perturbed.

    Args:
        policy, steps, key: see `jostle.explain.ask`.
        fill: what covers; see `jostle.explain.perturb.fill.baseline_of`.
        stride, variance: of the masks.
        batch: pictures that go through the network at a time.
        notify: called with steps done and in all.

    Raises:
        ConfigError: actions are not Discrete, or the policy sees no pictures.
    """
    subject = ask(policy, steps, "policy", key=key)
    if not isinstance(subject.view.action_space, spaces.Discrete):
        raise ConfigError(f"SARFA is for one choice of actions, not {subject.view.action_space}: use occlusion.")
    layout = subject.layout()
    masks = gaussian_masks(layout.size, stride=stride, variance=variance)
    before = vector(subject.reference, subject.view)
    if not bool(torch.isfinite(before).all()):
        raise ConfigError(f"{subject.view.name} puts out NaN or infinities: its weights hold them, or it overflows.")
    found = perturbed(
        subject,
        layout,
        masks,
        baseline_of(subject, layout, fill),
        lambda one: sarfa_score(before[one.at], vector(one.out, subject.view), one.action),
        batch=batch,
        notify=notify,
    )
    how = {"masks": masks.name, "fill": fill if isinstance(fill, str) else "picture", "frames": "newest"}
    return maps_of(subject, layout, "SARFA", masks.spread(found), signed=False, settings=how)


def sarfa_score(
    before: Float[Tensor, "N A"], after: Float[Tensor, "N A"], action: Int[Tensor, "N"]
) -> Float[Tensor, "N"]:
    """S = 2KΔp / (K + Δp) with Δp = p(a|s) − p(a|s′), 0 where Δp ≤ 0; K = 1 / (1 + KL(original ‖ perturbed)).

    p = softmax of logits or action values; the divergence is that of the softmax over the other actions. One other
    action has nothing to diverge: K = 1.

    Args:
        before, after: logits or action values.
        action: the one explained.
    """
    chosen = action[:, None]
    gain = (before.softmax(1).gather(1, chosen) - after.softmax(1).gather(1, chosen)).squeeze(1)
    keep = torch.ones_like(before, dtype=torch.bool).scatter_(1, chosen, False)
    shape = (len(before), before.shape[1] - 1)
    old, new = (x[keep].view(shape).log_softmax(1) for x in (before, after))
    k = 1 / (1 + (old.exp() * (old - new)).sum(1))
    return torch.where(gain > 0, 2 * k * gain / (k + gain.clamp_min(1e-30)), torch.zeros_like(gain))
