"""Units of a layer taken out, another set of them in each row of one batch."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.errors import ConfigError
from jostle.explain.ablate.before import before
from jostle.explain.ablate.measure import Changes, gathered, measured
from jostle.explain.asking import Subject
from jostle.view import PolicyView
from jostle.view.inside import Patch, hooked, require_kept

ROWS = 2048
"""Rows that go through the network at a time, unless their observations take more than `BYTES`."""
BYTES = 2**26


def cut(keep: Bool[Tensor, "N U"], fill: Float[Tensor, "*F"], where: str) -> Patch:
    """A patch that leaves each row's kept units as they are, and gives the others what stands in ``fill`` [U, …].

    A unit is a feature of outputs [N, U], and a channel of outputs [N, U, H, W].
    """

    def patch(out: Tensor) -> Tensor:
        if out.ndim < 2 or out.shape[:2] != keep.shape:
            raise ConfigError(
                f"the layer {where} puts out {list(out.shape)} for {len(keep)} rows, whose units cannot be told: "
                "choose another layer."
            )
        kept = keep.reshape(*keep.shape, *[1] * (out.ndim - 2))
        return torch.where(kept, out, fill.to(out.dtype).expand(out.shape[1:]))

    return patch


@torch.no_grad()
def outputs_of(subject: Subject, layer: str, batch: int = ROWS) -> Float[Tensor, "B U *S"]:
    """What a layer puts out at the steps.

    Raises:
        ConfigError: there is no such layer, or it has no row for each step, or puts out NaN.
    """
    parts = []
    for at in torch.split(torch.arange(len(subject.steps)), batch):
        with hooked(subject.view.module, subject.view.name, [layer]) as kept:
            subject.outputs(subject.x[at], at)
        require_kept(kept, [layer], subject.view.name)
        found = kept[layer]
        if found.ndim < 2 or len(found) != len(at):
            raise ConfigError(
                f"the layer '{layer}' of {subject.view.name} puts out {list(found.shape)} for {len(at)} observations, "
                "no row for each: choose another layer."
            )
        parts.append(found.float())
    whole = torch.cat(parts)
    if not bool(torch.isfinite(whole).all()):
        raise ConfigError(
            f"the layer '{layer}' of {subject.view.name} puts out NaN or infinities: its weights hold them, or its "
            "network overflows."
        )
    return whole


def filling(outputs: Float[Tensor, "B U *S"], fill: str | float) -> Tensor:
    """What an ablated unit puts out instead [U, …]: ``zero``, its ``mean`` over the steps (place by place), a number.

    Raises:
        ConfigError: it is none of these.
    """
    if fill == "mean":
        return outputs.mean(0)
    if fill == "zero":
        return torch.zeros(outputs.shape[1:])
    if isinstance(fill, int | float) and not isinstance(fill, bool):
        return torch.full(outputs.shape[1:], float(fill))
    raise ConfigError(f"fill='{fill}' of ablated units is unknown: use 'zero', 'mean' or a number.")


@torch.no_grad()
def cut_changes(
    subject: Subject,
    layer: str,
    keep: Bool[np.ndarray, "A U"],
    fill: Tensor,
    *,
    batch: int = ROWS,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> Changes:
    """What A sets of units are worth at the steps; many of them go through the network together.

    What stands before the layer is computed once (`jostle.explain.ablate.before`).

    Args:
        subject: the policy and its steps.
        layer: whose units.
        keep: false for those that are taken out.
        fill: what they put out instead, [U, …].
        batch: rows that go through the network at a time; results do not depend on it.
        notify: called with ablations done and in all.
    """
    steps, total = len(subject.steps), len(keep)
    each = subject.x[:1].numel() * subject.x.element_size()
    together = max(1, min(batch, BYTES // each) // steps)
    kept, once = torch.from_numpy(keep), before(subject, layer, batch)
    parts: list[list[Tensor]] = []
    for first in range(0, total, together):
        some = kept[first : first + together]
        at = torch.arange(steps).repeat(len(some))
        patch = cut(some.repeat_interleave(steps, 0), fill, f"'{layer}' of {subject.view.name}")
        with once.given(at), hooked(subject.view.module, subject.view.name, patch={layer: patch}):
            one = subject.run(subject.x[at], at)
            found = measured(one.reference, one.out, subject.view, subject.mask_of(at))
        for number in range(len(some)):
            parts.append([x[number * steps : (number + 1) * steps] for x in found])
        notify(min(first + together, total), total)
    return gathered(parts)


def one_by_one(units: Sequence[int] | Int[np.ndarray, "A"], count: int) -> Bool[np.ndarray, "A U"]:
    """Keeps all but one unit each."""
    keep = np.ones((len(units), count), np.bool_)
    keep[np.arange(len(units)), np.asarray(units, np.int64)] = False
    return keep


def in_order(order: Int[np.ndarray, "U"], counts: Int[np.ndarray, "A"]) -> Bool[np.ndarray, "A U"]:
    """Takes out the first so many units of an order."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return np.asarray(place[None] >= counts[:, None])


def checked_units(units: Sequence[int] | None, count: int, layer: str, view: PolicyView) -> Int[np.ndarray, "A"]:
    """The units asked for, or all.

    Raises:
        ConfigError: one does not exist.
    """
    if units is None:
        return np.arange(count)
    given = np.asarray(units, np.int64).reshape(-1)
    wrong = given[(given < 0) | (given >= count)]
    if len(wrong) or not len(given):
        said = f"no unit {int(wrong[0])}" if len(wrong) else "no units asked for"
        raise ConfigError(f"the layer '{layer}' of {view.name} has the units 0 to {count - 1}: there are {said}.")
    return given
