"""The second test of Adebayo et al. (2018) for policies: maps of a network that learned meaningless actions.

Two students with fresh weights learn the policy's actions on a trace, one as they are, one exchanged between the steps.
A technique whose maps are the same for both shows the pictures, not the policy. The distillation is our choice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from jostle.errors import ConfigError
from jostle.explain.asking import Subject, ask
from jostle.explain.asking.targets import vector
from jostle.explain.results import Maps
from jostle.explain.sanity.layers import layers_used
from jostle.explain.sanity.randomise import ALIKE, Method, require_maps, similarities
from jostle.explain.tracing import Trace
from jostle.explain.weights.fresh import refresh
from jostle.view import PolicyView, Probabilities

ROWS = 512
"""Steps of a trace, at most, that the students learn."""


@dataclass(frozen=True)
class Students:
    """Two networks that learned a policy's actions.

    Attributes:
        true, permuted: views of them.
        agreement: the shares of steps at which each does what it was taught, (true, permuted); of continuous actions
            the shares of the variance that it explains.
    """

    true: PolicyView
    permuted: PolicyView
    agreement: tuple[float, float]


@dataclass(frozen=True)
class PermutedControl:
    """How alike the maps of both students are.

    Attributes:
        method: the technique.
        alike: [B] rank correlations of the absolute maps.
        agreement: as of `Students`.
    """

    method: str
    alike: Float[np.ndarray, "B"]
    agreement: tuple[float, float]

    @property
    def failed(self) -> str | None:
        """Why the technique fails; None where it does not, or where the first student learned too little to tell."""
        mean = float(self.alike.mean())
        return f"maps of permuted actions are alike (ρ = {mean:.2f})" if mean > ALIKE else None


def students(
    view: PolicyView,
    trace: Trace,
    *,
    updates: int = 100,
    batch: int = 64,
    rate: float = 1e-3,
    seed: int = 0,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> Students:
    """Teach two networks like a policy's its actions in a trace, from fresh weights. The policy is not changed.

    Args:
        view: the policy, under the trace's draws (`Trace.prepared`).
        trace: of it.
        updates, batch, rate: of Adam.
        seed: of weights, permutation and batches.
        notify: called with updates done and in all.

    Raises:
        ConfigError: the policy shows no outputs, or the trace holds fewer than two steps.
    """
    subject = ask(view, trace.steps(trace.spread(ROWS)), "policy")
    count = len(subject.steps)
    if count < 2:
        raise ConfigError("a trace of one step has no actions to exchange: record more.")
    if subject.acts_only or not any(True for _ in subject.network.parameters()):
        raise ConfigError(f"{view.name} has no weights that could learn other actions.")
    rng = np.random.default_rng(seed)
    order = torch.from_numpy(rng.permutation(count))
    labels = _labels(subject)
    found, shares = [], []
    for number, taught in enumerate((labels, labels[order])):
        student = view.clone()
        for place, layer in enumerate(layers_used(subject)):
            refresh(student.module, layer, seed + place)
        own = subject.of(student)
        student.module.requires_grad_(True)
        optimiser = torch.optim.Adam(student.module.parameters(), lr=rate)
        for update in range(updates):
            rows = torch.from_numpy(rng.integers(0, count, min(batch, count)))
            loss = _loss(own, rows, taught[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            notify(number * updates + update + 1, 2 * updates)
        student.module.requires_grad_(False)
        found.append(student)
        shares.append(_agreement(own, taught))
    return Students(found[0], found[1], (shares[0], shares[1]))


def permuted_actions(method: Method, subject: Subject, taught: Students) -> PermutedControl:
    """Compare the maps of both students at a subject's steps."""
    maps: list[Maps] = [method(subject.of(view)) for view in (taught.true, taught.permuted)]
    require_maps(maps[0])
    alike = [similarities(a, b)[1] for a, b in zip(maps[0].values, maps[1].values, strict=True)]
    return PermutedControl(maps[0].method, np.array(alike), taught.agreement)


def _labels(subject: Subject) -> Tensor:
    """What is taught: actions, or the means of continuous ones."""
    out = subject.reference
    if isinstance(out.distribution, Probabilities) or out.distribution is None:
        return subject.action
    return vector(out, subject.view)


def _logits(subject: Subject, rows: Tensor) -> Tensor:
    one: Any = subject.run(subject.x[rows], rows)
    logits = one.logits
    return vector(one.out, subject.view) if logits is None else logits


def _loss(subject: Subject, rows: Tensor, labels: Tensor) -> Tensor:
    out = _logits(subject, rows)
    if labels.dtype.is_floating_point:
        return F.mse_loss(out, labels)
    return F.cross_entropy(out.flatten(0, -2), labels.flatten())


@torch.no_grad()
def _agreement(subject: Subject, labels: Tensor) -> float:
    rows = torch.arange(len(labels))
    out = torch.cat([_logits(subject, part) for part in torch.split(rows, 64)])
    if labels.dtype.is_floating_point:
        rest, all_of_it = (labels - out).square().sum(), (labels - labels.mean(0)).square().sum()
        return float(1 - rest / all_of_it.clamp_min(1e-12))
    return float((out.argmax(-1) == labels).float().mean())
