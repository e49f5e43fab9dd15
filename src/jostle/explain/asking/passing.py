"""One pass of a policy at given steps, of which targets are made."""

from functools import cached_property
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from jostle.view import MeanStd, Output, Probabilities
from jostle.view.choosing import logits_of


class Pass:
    """One pass of N rows: what went in, and what came out.

    Attributes:
        x: inputs [N, …].
        at: which step each row is of.
        subject: whose pass it is.
        out: what came out, where it is known.
    """

    def __init__(self, subject: Any, x: Tensor, at: Int[Tensor, "N"], out: Output | None = None) -> None:
        self.subject, self.x, self.at, self._out = subject, x, at, out

    @cached_property
    def out(self) -> Output:
        """What the policy puts out."""
        return self.subject.outputs(self.x, self.at) if self._out is None else self._out

    @cached_property
    def logits(self) -> Float[Tensor, "N *D A"] | None:
        """Of a discrete policy, those of illegal actions as good as −∞."""
        return logits_of(self.out, self.subject.mask_of(self.at))

    @property
    def reference(self) -> Output:
        """What it puts out for the unperturbed inputs of these rows."""
        return _rows(self.subject.reference, self.at)

    @property
    def reference_logits(self) -> Float[Tensor, "N *D A"] | None:
        """Those of `reference`."""
        return logits_of(self.reference, self.subject.mask_of(self.at))

    @property
    def action(self) -> Int[Tensor, "N *D"]:
        """The actions taken, counted from 0."""
        action: Tensor = self.subject.action[self.at]
        return action


def _rows(out: Output, at: Int[Tensor, "N"]) -> Output:
    shown = out.distribution
    if isinstance(shown, Probabilities):
        shown = Probabilities(shown.p[at])
    elif isinstance(shown, MeanStd):
        shown = MeanStd(shown.mean[at], shown.std[at])
    some = (None if x is None else x[at] for x in (out.q, out.value, out.logits))
    q, value, logits = some
    return Output(shown, q, value, logits=logits)
