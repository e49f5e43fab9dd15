"""Many perturbed copies of one picture at a time, and what a policy makes of them."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from jostle.explain.asking import Layout, Pass, Subject
from jostle.explain.perturb.masks import Masks

BATCH = 96
"""Pictures that go through the network at a time: as many as stay in a CPU's caches, more gain nothing there."""


@torch.no_grad()
def perturbed(
    subject: Subject,
    layout: Layout,
    masks: Masks,
    fill: Float[Tensor, "B C H W"],
    score: Callable[[Pass], Tensor],
    *,
    frames: str = "newest",
    batch: int = BATCH,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> Float[Tensor, "B P"]:
    """A score of I ⊙ (1 − M) + B ⊙ M at each step for each mask.

    Args:
        subject: the policy and its steps.
        layout: of its pictures.
        masks: P of them.
        fill: B of every step.
        score: makes numbers [N] of a pass of N perturbed pictures.
        frames: ``newest``: the others stay as they are; ``all``.
        batch: pictures that go through the network at a time; results do not depend on it.
        notify: called with steps done and in all.
    """
    planes = layout.planes(subject.x)
    channels = layout.newest if frames == "newest" else slice(0, layout.channels)
    found = torch.empty(len(planes), len(masks))
    pieces = [(a, b, masks.some(a, b)[:, None].to(planes.device)) for a, b in _pieces(len(masks), batch)]
    size = (pieces[0][1], *planes.shape[1:])
    inside = torch.empty(size, device=planes.device, memory_format=torch.channels_last)  # as convolutions like it
    x = layout.shaped(inside)
    for step in range(len(planes)):
        picture, delta = planes[step], (fill[step] - planes[step])[channels]
        written = -1
        for first, last, mask in pieces:
            n = last - first
            if x._version != written:  # a new step, or a network that writes into what it is given
                inside.copy_(picture.expand_as(inside))
            # I + M ⊙ (B − I), into place: what is not perturbed is there already.
            torch.addcmul(picture[channels], mask, delta, out=inside[:n, channels])
            written = x._version
            found[step, first:last] = score(subject.run(x[:n], torch.full((n,), step)))
        notify(step + 1, len(planes))
    return found


def _pieces(total: int, batch: int) -> Iterator[tuple[int, int]]:
    """Pieces of at most ``batch``, equally large as far as possible: a small rest costs more than its share."""
    each = -(-total // -(-total // batch))
    for first in range(0, total, each):
        yield first, min(first + each, total)
